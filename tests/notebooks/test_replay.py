"""What JupyterLab has shown stands for a run of nbval, and a difference is found as in one."""

from types import SimpleNamespace

import nbformat
import pytest
from nbval.plugin import IPyNbCell, NbCellError
from support.replay import SHOWN, Replay, RunOnce

STREAM = {"output_type": "stream", "name": "stdout", "text": "3.14\n"}
PICTURE = {
    "output_type": "display_data",
    "metadata": {},
    "data": {"text/plain": "<Figure>", "image/png": "ab"},
}
RESULT = {"output_type": "execute_result", "metadata": {}, "execution_count": 2, "data": {"text/plain": "7"}}
ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "mu", "traceback": ["ValueError: mu"]}


def written(path, *cells):
    """A notebook with code cells, each of a source and its outputs; one without a number has not been run."""
    notebook = nbformat.v4.new_notebook()
    for number, (source, *outputs) in enumerate(cells, 1):
        outputs = [nbformat.from_dict(output) for output in outputs]
        cell = nbformat.v4.new_code_cell(source, outputs=outputs, execution_count=number)
        notebook.cells.append(cell)
    nbformat.write(notebook, path)
    return nbformat.read(path, as_version=4)


STORED = [("print(3.14)", STREAM), ("show()", PICTURE), ("3 + 4", RESULT), ("x = 1",)]


@pytest.fixture
def compared(request, tmp_path):
    """Compares what was shown with what is stored, by nbval."""

    def compare(*shown, leave_out=()):
        written(tmp_path / "02_stored.ipynb", *STORED)
        seen = written(tmp_path / "02_shown.ipynb", *shown)
        file = RunOnce.from_parent(request.session, path=tmp_path / "02_stored.ipynb")
        config = request.config
        before = config.stash.get(SHOWN, {})
        config.stash[SHOWN] = before | {"02_stored": seen}
        try:
            cells = list(file.collect())
            file.setup()
            for cell in cells:
                if cell.cell_num not in leave_out:
                    cell.runtest()
        finally:
            config.stash[SHOWN] = before

    return compare


def test_the_same_outputs_pass(compared):
    compared(*STORED)


def test_cells_may_be_left_out_and_more_may_follow(compared):
    compared(*STORED, ("1 + 1",), leave_out=(1, 2))


def test_pictures_are_compared_as_nbval_compares_them(compared):
    other = PICTURE | {"data": PICTURE["data"] | {"image/png": "cd"}}
    compared(STORED[0], ("show()", other), *STORED[2:])


def test_spaces_that_a_longer_line_has_left_at_the_end_pass(compared):
    compared(("print(3.14)", STREAM | {"text": "3.14     \n"}), *STORED[1:])


@pytest.mark.parametrize(
    "place, shown",
    [
        (0, ("print(3.14)", STREAM | {"text": " 3.14\n"})),
        (0, ("print(3.14)", STREAM | {"text": "3.15\n"})),
        (0, ("print(3.14)",)),
        (1, ("show()", PICTURE, PICTURE)),
        (2, ("3 + 4", RESULT | {"data": {"text/plain": "8"}})),
        (3, ("x = 1", STREAM)),
        (3, ("x = 1", ERROR)),
    ],
)
def test_other_outputs_fail(compared, place, shown):
    with pytest.raises(NbCellError) as failed:
        compared(*STORED[:place], shown, *STORED[place + 1 :])
    assert failed.value.cell_num == place


def test_a_cell_that_was_not_run_fails(compared):
    shown = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])
    with pytest.raises(RuntimeError, match="the browser has not run this cell"):
        Replay(shown).execute_cell_input("x = 1")


def test_a_cell_that_is_not_there_fails(compared):
    with pytest.raises(RuntimeError, match="has no such cell"):
        compared(*STORED[1:])


def test_a_notebook_that_no_browser_has_run_is_run(request, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(
        "nbval.plugin.RunningKernel", lambda name, **options: started.append(name) or SimpleNamespace()
    )
    written(tmp_path / "03_alone.ipynb", *STORED)
    file = RunOnce.from_parent(request.session, path=tmp_path / "03_alone.ipynb")
    assert all(isinstance(cell, IPyNbCell) for cell in file.collect())
    file.setup()
    assert len(started) == 1
