"""What making the web edition leaves behind: a whole edition, or what was there before."""

from pathlib import Path

import nbformat
import pytest

from vae_helpers.__main__ import main
from vae_helpers.site import build as site


@pytest.fixture
def course(tmp_path):
    """A folder that has all that the edition is made of, for as far as `build` itself looks."""
    mathjax = tmp_path / "course" / "docs" / site.MATHJAX
    mathjax.parent.mkdir(parents=True)
    mathjax.touch()
    return tmp_path / "course"


@pytest.fixture
def quick(monkeypatch):
    """Instead of Sphinx: one page that says which time it is."""
    times = iter(range(1, 10))

    def run(source, out, doctrees):
        out.mkdir()
        (out / "index.html").write_text(f"edition {next(times)}", encoding="utf-8")

    monkeypatch.setattr(site, "_stage", lambda *_: None)
    monkeypatch.setattr(site, "_run_sphinx", run)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_an_edition_takes_the_place_of_an_earlier_one(course, quick, tmp_path):
    out = tmp_path / "out"
    for time in (1, 2):
        assert site.build(out, course=course) == out
        assert (out / "index.html").read_text(encoding="utf-8") == f"edition {time}"
    assert files(out) == [".nojekyll", ".vae-course-site", "index.html"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == ["out"]


def test_a_folder_with_something_else_is_left_alone(course, quick, tmp_path):
    (tmp_path / "thesis.tex").write_text("my thesis", encoding="utf-8")
    with pytest.raises(FileExistsError, match="out: expected an empty folder, or what was made there before"):
        site.build(tmp_path, course=course)
    assert (tmp_path / "thesis.tex").read_text(encoding="utf-8") == "my thesis"


@pytest.mark.parametrize("fails", ["_stage", "_run_sphinx"])
def test_an_error_keeps_the_earlier_edition(course, quick, tmp_path, monkeypatch, fails):
    site.build(tmp_path / "out", course=course)

    def fail(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(site, fails, fail)
    with pytest.raises(RuntimeError, match="no"):
        site.build(tmp_path / "out", course=course)
    assert (tmp_path / "out" / "index.html").read_text(encoding="utf-8") == "edition 1"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == ["out"]


def test_without_mathjax_the_line_that_brings_it_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="npm install --prefix docs"):
        site.build(tmp_path / "out", course=tmp_path)


def test_a_warning_of_sphinx_is_an_error(tmp_path):
    (tmp_path / "conf.py").write_text('extensions = ["myst_nb"]\n', encoding="utf-8")
    (tmp_path / "index.md").write_text("# Title\n\n[gone](nowhere.md)\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="(?s)no warning, got.*nowhere"):
        site._run_sphinx(tmp_path, tmp_path / "out", tmp_path / "doctrees")


def test_the_command_tells_what_is_wrong_in_a_line(tmp_path, capsys):
    (tmp_path / "thesis.tex").touch()
    assert main(["site", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("text", ["no place", "MAP and MAP"])
def test_a_page_without_its_one_place_is_refused(tmp_path, text):
    (tmp_path / "index.md").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="index.md: expected MAP once"):
        site._fill(tmp_path / "index.md", "MAP", "words")


def test_notation_and_map_are_those_of_the_notebook(tmp_path):
    table = "| notebook | question |\n|---|---|\n| [0 · Start](0.ipynb) | What? |"
    cells = [
        f"**Figure 0.6.** The way.\n\n{table}",
        "### The notation of all notebooks (1 minute)\n\n| $x$ |",
    ]
    path = tmp_path / "00_start_here.ipynb"
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(cell) for cell in cells])
    nbformat.write(made, path)
    assert site._map(path) == table
    assert site._notation(Path(path)) == "# Notation\n\n| $x$ |"
