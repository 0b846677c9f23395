"""Finds what was handed in: which file is whose, and which notebook of the course it is."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import NamedTuple

import nbformat

from vae_helpers.classroom._place import in_a_line
from vae_helpers.classroom.exercises import Exercise, exercises, paths, read

LARGEST = 64 << 20  # bytes of a file


class Notebook(NamedTuple):
    """One of the course's notebooks: its title, its exercises, and the code of all other cells."""

    name: str
    title: str
    exercises: list[Exercise]
    own: list[str]


class Submission(NamedTuple):
    """A file that was handed in; `cells` is None if it is no notebook."""

    file: str
    student: str
    notebook: Notebook
    cells: list[nbformat.NotebookNode] | None


def notebooks(course: Path) -> list[Notebook]:
    """The notebooks of the course."""
    found = []
    for path in paths(course):
        notebook = read(path)
        asked = exercises(notebook, path.stem)
        own = [cell.source.strip() for cell in notebook.cells if cell.id not in {each.id for each in asked}]
        found.append(Notebook(path.stem, notebook.cells[0].source.splitlines()[0], asked, own))
    return found


def find(folder: Path, known: list[Notebook]) -> tuple[list[Submission], list[dict[str, str]]]:
    """The submissions in a folder, sorted, and the files that are none, each with the reason."""
    found, skipped = [], []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        for path in (Path(parent, name) for name in files if not name.startswith(".")):
            parts = path.relative_to(folder).parts
            file = in_a_line("/".join(parts))
            if path.suffix != ".ipynb" or path.is_symlink():
                skipped.append({"file": file, "reason": "no notebook"})
                continue
            cells = _cells(path)
            notebook, student = _which(path.name, cells, known), _whose(parts)
            if notebook is None:
                reason = "neither its title nor its name is that of a notebook of the course"
                skipped.append({"file": file, "reason": reason})
            elif not student:
                reason = "no student: expected a folder, or a name like anna__01_bayes_rule.ipynb"
                skipped.append({"file": file, "reason": reason})
            else:
                found.append(Submission(file, in_a_line(student), notebook, cells))
    return sorted(found, key=lambda each: each.file), skipped


def _whose(parts: tuple[str, ...]) -> str:
    """The student, from the folder's name or that of a file that lies in none; empty if it tells nobody."""
    student, moodle, _ = parts[0].partition("_assignsubmission_")
    if moodle or len(parts) > 1:
        return student
    student, mark, _ = parts[0].partition("__")
    return student if mark else ""


def _cells(path: Path) -> list[nbformat.NotebookNode] | None:
    """The cells of a notebook; None if the file is no notebook."""
    try:
        if path.stat().st_size > LARGEST:
            return None
        with warnings.catch_warnings(action="ignore"):
            cells = nbformat.reads(path.read_text(encoding="utf-8-sig"), as_version=4).cells
        return [cell for cell in cells if isinstance(cell.source, str) and cell.cell_type]
    except Exception:  # anything may be in the file, and nbformat meets it with any exception
        return None


def _which(file: str, cells: list[nbformat.NotebookNode] | None, known: list[Notebook]) -> Notebook | None:
    """The notebook of the course that this is, by its title or else by its name."""
    heads = {cell.source.strip().partition("\n")[0] for cell in cells or []}
    found = [each for each in known if each.title in heads] or [e for e in known if e.name in file]
    return found[0] if len(found) == 1 else None
