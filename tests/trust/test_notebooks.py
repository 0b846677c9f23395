"""What runs the notebooks again sees a difference, a warning and a cell that may not be run twice."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from trust import notebooks
from trust.ledger import ROOT


def written(tmp_path, *cells):
    """A notebook of cells, each a text, or a source with what it stores."""
    made = []
    for cell in cells:
        if isinstance(cell, str):
            made.append(new_markdown_cell(cell))
            continue
        source, stored = cell
        outputs = [new_output("stream", name="stdout", text=stored)] if stored else []
        made.append(new_code_cell(source, outputs=outputs, execution_count=1))
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "50_made.ipynb"
    path.write_text(
        nbformat.writes(new_notebook(cells=made, metadata={"kernelspec": spec})), encoding="utf-8"
    )
    return path


WARNS = "import warnings\nwarnings.warn('careful', RuntimeWarning)"
COUNTS = [("count = 0", ""), ("count += 1", ""), ("assert count == 1", "")]


@pytest.mark.parametrize(
    "cells, environment, cut, fails",
    [
        ([("print(2)", "2\n")], {}, notebooks.as_it_is, False),
        ([("print(2)", "3\n")], {}, notebooks.as_it_is, True),
        ([(WARNS, "")], notebooks.STRICT, notebooks.as_it_is, True),
        ([("import os\nprint(os.environ['OMP_NUM_THREADS'])", "3\n")],
         {"OMP_NUM_THREADS": "3"}, notebooks.as_it_is, False),
        (COUNTS, {}, notebooks.as_it_is, False),
        (COUNTS, {}, notebooks.twice, True),
    ],
    ids=["as stored", "another output", "a warning", "the environment arrives", "once", "twice"],
)  # fmt: skip
def test_a_run_sees_what_it_is_for(tmp_path, monkeypatch, cells, environment, cut, fails):
    monkeypatch.setattr(notebooks, "PATHS", [written(tmp_path, *cells)])
    row = notebooks.tried("made", "runs", 1, environment, cut)
    assert (row.tried, row.failed) == (1, int(fails)), row


def test_a_section_is_entered_after_all_above_it(tmp_path):
    path = written(
        tmp_path, "# Title", ("a = 1", ""), "## One", ("a += 1", ""), "words", "## Two", ("a += 2", "")
    )
    parts = notebooks.by_section(nbformat.read(path, as_version=4))
    compared = [
        [cell.source for cell in part.cells if cell.cell_type == "code" and not cell.metadata.get("tags")]
        for part in parts
    ]
    assert compared == [["a += 1"], ["a += 2"]] and [len(part.cells) for part in parts] == [5, 7]


def test_all_notebooks_are_tried():
    assert [path.parent for path in notebooks.PATHS] == [ROOT / "notebooks"] * 11
