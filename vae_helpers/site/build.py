"""The web edition: the notebooks as pages whose sliders need no kernel, made by Sphinx in one go."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from vae_helpers.classroom.bank import practice
from vae_helpers.models.storage import whole_folder
from vae_helpers.numerics._validate import as_count, as_path
from vae_helpers.pictures.plotting import COURSE
from vae_helpers.site import frames, notebooks, slices, slides, teaching
from vae_helpers.widgets import page
from vae_helpers.widgets.lab import lab

MATHJAX = Path("node_modules", "mathjax", "es5", "tex-svg-full.js")  # below docs/
_NOTATION = "### The notation of all notebooks"  # of notebook 0
_FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)
_MARK = ".vae-course-site"  # says that a folder was made here, and of what


def build(out: str | Path, *, course: Path = COURSE, workers: int = 2, cache: Path | None = None) -> Path:
    """Makes the web edition from the notebooks as they are committed.

    Args:
        out: the folder of the edition; it is made anew if it holds an edition, unchanged, and nothing else.
        course: the folder with `notebooks/` and `docs/`.
        workers: processes that draw the stored positions of explorers.
        cache: where drawn positions are kept for the next time; None draws all of them.

    Returns:
        The folder, whose `index.html` is the first page.

    Raises:
        FileNotFoundError: MathJax is not there, or one of the course's folders.
        FileExistsError: `out` holds something else than an edition as it was made.
        RuntimeError: Sphinx has an error or a warning.
        ValueError: a picture without a text, an explorer that fails, a page whose positions are too large.
    """
    out, workers = as_path("out", out).resolve(), as_count("workers", workers)
    if not (course / "docs" / MATHJAX).is_file():
        missing = course / "docs" / MATHJAX
        raise FileNotFoundError(f"expected {missing}; npm install --prefix docs --ignore-scripts brings it")
    with (
        tempfile.TemporaryDirectory(prefix="vae-site-") as temporary,
        whole_folder(out, _MARK, "out") as made,
    ):
        source = Path(temporary, "source")
        _stage(source, course, workers, cache)
        _run_sphinx(source, made, Path(temporary, "doctrees"))
        (made / ".nojekyll").touch()  # or GitHub would leave out the folders that begin with "_"
    return out


# ---- what Sphinx reads ----------------------------------------------------------------------


def _stage(source: Path, course: Path, workers: int, cache: Path | None) -> None:
    shutil.copytree(course / "docs", source, ignore=shutil.ignore_patterns("node_modules", "package*.json"))
    static = source / "_static"
    (static / "mathjax").mkdir()
    shutil.copy(course / "docs" / MATHJAX, static / "mathjax")
    (static / "notebooks").mkdir()
    for path in sorted((course / "notebooks").glob("[0-9]*.ipynb")):
        shutil.copy(path, static / "notebooks")
        notebooks.stage(path, source, slices.explorers(path))
    slides.make_all(source, course / "docs")
    teaching.fill(source / "teaching", course)
    start = course / "notebooks" / "00_start_here.ipynb"
    (source / "notation.md").write_text(_notation(start), encoding="utf-8")
    _fill(source / "index.md", "MAP", _map(start))
    shutil.copy(course / "figures" / "manifold.png", source)
    _write_scripts(static)
    _fill(source / "practice.md", "SECTIONS", practice.sections(course / "notebooks"))
    (static / "explorers").mkdir()
    frames.make_all(course / "notebooks", static / "explorers", workers=workers, cache=cache)
    _fill(source / "accessibility.md", "COUNTED", _counted(source, course / "notebooks"))


def _fill(page: Path, place: str, words: str) -> None:
    """Puts words in their place on a page; ValueError if the page has no such place."""
    text = page.read_text(encoding="utf-8")
    if text.count(place) != 1:
        raise ValueError(f"{page.name}: expected {place} once, got it {text.count(place)} times")
    page.write_text(text.replace(place, words), encoding="utf-8")


def _notation(start: Path) -> str:
    """The page of the notation: that section of notebook 0, which has it for all."""
    return "# Notation\n" + _cell(start, _NOTATION).partition("\n")[2]


def _map(start: Path) -> str:
    """The table of notebooks that notebook 0 has."""
    lines = _cell(start, "| [0 · ").splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def _cell(notebook: Path, words: str) -> str:
    """The one cell of prose that has these words at the beginning of a line."""
    cells = nbformat.read(notebook, as_version=4).cells
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    found = [source for source in prose if f"\n{words}" in f"\n{source}"]
    if len(found) != 1:
        raise ValueError(f"{notebook.name}: expected one cell with {words!r}, got {len(found)}")
    return found[0]


def _counted(source: Path, folder: Path) -> str:
    """What the statement on accessibility tells of each page, as a table."""
    lines = [
        "| page | pictures, each with a text | formulas | explorers | their controls |",
        "|---|---|---|---|---|",
    ]
    for path in sorted(folder.glob("[0-9]*.ipynb")):
        cells = nbformat.read(source / path.name, as_version=4).cells
        outputs = [output for cell in cells for output in cell.get("outputs", ())]
        shown = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
        prose = "".join(cell.source for cell in cells if cell.cell_type == "markdown")
        data = [
            path.read_text("utf-8") for path in (source / "_static" / "explorers").glob(f"{path.stem}.*.js")
        ]
        controls = sum(text.count('"label":') for text in data)
        numbers = (shown.count("<img "), len(_FORMULA.findall(prose)), len(data), controls)
        lines.append(f"| [{path.stem[:2]}]({path.name}) | " + " | ".join(map(str, numbers)) + " |")
    return "\n".join(lines)


def _write_scripts(static: Path) -> None:
    """Scripts and styles of explorers and the Lab, as files that a page opened from a folder may load."""
    texts = {
        "page.js": page.script(),
        "page.css": page.style(),
        "lab.js": lab.script(),
        "lab_data.js": lab.data_script(),
        "lab.css": lab.style(),
        "practice_data.js": practice.script(),
    }
    for name, text in texts.items():
        (static / name).write_text(text, encoding="utf-8", newline="\n")


# ---- Sphinx ---------------------------------------------------------------------------------


def _run_sphinx(source: Path, out: Path, doctrees: Path) -> None:
    """Makes the pages; the same input gives the same bytes."""
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-j", "2"]
    command += ["-d", str(doctrees), str(source), str(out)]
    env = os.environ | {"SOURCE_DATE_EPOCH": "0", "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"Sphinx: expected no error and no warning, got\n{ran.stderr.strip()}")
    (out / ".buildinfo").unlink(missing_ok=True)
    shutil.rmtree(out / "_sources", ignore_errors=True)
