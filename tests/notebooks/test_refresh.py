"""What `notebooks/refresh.py` keeps: of an output the still picture, never the live widget; tags of cells."""

import importlib.util

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook, new_output
from support.cells import ROOT

SPEC = importlib.util.spec_from_file_location("refresh", ROOT / "notebooks" / "refresh.py")
refresh = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(refresh)

VIEW = {"application/vnd.jupyter.widget-view+json": {"model_id": "1", "version_major": 2}}
STILL = {"image/png": "aGk=", "text/plain": "sliders at μ 0.0"}


@pytest.mark.parametrize(
    "output, kept",
    [
        (new_output("execute_result", VIEW | STILL, metadata={"image/png": {"alt": "A."}}), STILL),
        (new_output("display_data", VIEW | {"text/plain": "HBox(…)"}), None),  # what a bar leaves behind
        (new_output("display_data", VIEW), None),
        (new_output("execute_result", {"text/plain": "3"}), {"text/plain": "3"}),
        (new_output("display_data", {"image/png": "aGk="}), {"image/png": "aGk="}),
        (
            new_output("execute_result", {"text/html": '<div data-vae-view="0a1f"><p class="x">p</p></div>'}),
            {"text/html": '<div data-vae-view=""><p class="x">p</p></div>'},  # another one in every run
        ),
    ],
)
def test_only_a_widget_without_a_picture_goes(output, kept):
    metadata = dict(output.metadata)
    assert refresh._keep_still(output) == (kept is not None)
    assert kept is None or (output.data == kept and output.metadata == metadata)


def test_the_blank_line_of_a_progress_bar_goes():
    assert not refresh._keep_still(new_output("stream", text="\r" + 90 * " " + "\r"))


@pytest.mark.parametrize("output", [new_output("stream", text="hello"), new_output("error", ename="E")])
def test_what_holds_no_data_stays_as_it_is(output):
    before = dict(output)
    assert refresh._keep_still(output) and dict(output) == before


def test_a_cell_keeps_its_tags_and_what_it_is_on_slides():
    kept = {"tags": ["raises-exception"], "slideshow": {"slide_type": "fragment"}}
    assert refresh._kept(kept | {"execution": {"iopub.status.busy": "…"}, "collapsed": True}) == kept
    assert refresh._kept({"jupyter": {}}) == {}


@pytest.fixture
def course(tmp_path):
    """A README and a notebook 0 whose tables of notebooks differ."""
    rows = (
        "| [0 · Start](00_start.ipynb) | Why? | 15 min | 1 minute |\n"
        "| [1 · Bayes](01_b.ipynb) | How? | 9 min | 1 s |"
    )
    notebook = new_notebook(
        cells=[new_markdown_cell(f"The map.\n\n| notebook |\n|---|\n{rows}\n\nAnd so on.")]
    )
    (tmp_path / "00.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
    (tmp_path / "README.md").write_text(
        "# Course\n\n| head |\n|---|\n"
        "| [0 · Start](notebooks/00_start.ipynb) | Why? | 20 min | 1 minute |\n"
        "\nEnd.\n"
    )
    return tmp_path


def test_the_readme_gets_the_table_of_notebook_0(course):
    refresh.copy_map(course / "00.ipynb", course / "README.md")
    text = (course / "README.md").read_text(encoding="utf-8")
    assert text == (
        "# Course\n\n| head |\n|---|\n"
        "| [0 · Start](notebooks/00_start.ipynb) | Why? | 15 min | 1 minute |\n"
        "| [1 · Bayes](notebooks/01_b.ipynb) | How? | 9 min | 1 s |\n"
        "\nEnd.\n"
    )
    assert {path.name for path in course.iterdir()} == {"00.ipynb", "README.md"}


def test_a_readme_without_a_table_is_left_alone(course):
    (course / "README.md").write_text("# Course\n")
    with pytest.raises(ValueError, match="readme: expected a table of notebooks in 00.ipynb and README.md"):
        refresh.copy_map(course / "00.ipynb", course / "README.md")
    assert (course / "README.md").read_text() == "# Course\n"
