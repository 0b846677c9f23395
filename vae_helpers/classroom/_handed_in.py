"""Finds what was handed in: which file is whose, and which notebook of the course it is."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import nbformat

from vae_helpers.classroom._place import in_a_line
from vae_helpers.classroom.exercises import Exercise, exercises, paths, read

LARGEST = 64 << 20  # bytes of a file
MOODLE = "_assignsubmission_"


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


class Found(NamedTuple):
    """What lies in a folder.

    Attributes:
        submissions: sorted by their files.
        skipped: the files that are none, each with the reason.
        empty: students without any, each with the reason.
    """

    submissions: list[Submission]
    skipped: list[dict[str, str]]
    empty: dict[str, str]


def find(folder: Path, known: list[Notebook]) -> Found:
    """The submissions in a folder."""
    found, skipped, wraps = [], [], set()
    students: dict[str, list[str]] = {}  # what each has handed in that is no submission
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        for name in ("", *(name for name in files if not name.startswith("."))):  # the folder itself first
            path = Path(parent, name)
            parts = (*Path(parent).relative_to(folder).parts, name)
            student = in_a_line(_whose(parts))
            if any(MOODLE in part for part in parts[1:]) and MOODLE not in parts[0]:
                wraps.add(in_a_line(parts[0]))
            told = students.setdefault(student, [])
            if not name:
                continue
            file, notebook = in_a_line("/".join(parts)), None
            if path.suffix.lower() != ".ipynb" or path.is_symlink():
                reason = "no notebook"
            else:
                cells = _cells(path)
                notebook = _which(name, cells, known)
                reason = "no student: expected a folder, or a name like anna__01_bayes_rule.ipynb"
                if notebook is None:
                    reason = "neither its title nor its name nor its exercises are those of a notebook"
                    reason = "cannot be read as a notebook" if cells is None else f"{reason} of the course"
            if notebook and student:
                found.append(Submission(file, student, notebook, cells))
            else:
                skipped.append({"file": file, "reason": reason})
                told.append(f"{in_a_line(name)}: {reason}")
    there = {each.student for each in found} | wraps | {""}
    empty = {
        name: "; ".join(sorted(told)[:5]) or "no file" for name, told in students.items() if name not in there
    }
    return Found(sorted(found, key=lambda each: each.file), skipped, empty)


def copies(submissions: list[Submission]) -> dict[tuple[str, str], list[str]]:
    """The files of students who have one notebook in several folders, or under several students' names."""
    files: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for each in submissions:
        parent, _, name = each.file.rpartition("/")
        place = parent, name.partition("__")[0] if "__" in name else ""
        files.setdefault((each.student, each.notebook.name), {}).setdefault(place, each.file)
    return {key: list(places.values()) for key, places in files.items() if len(places) > 1}


def _whose(parts: tuple[str, ...]) -> str:
    """The student, from a folder's name or that of a file that lies in none; empty if it tells nobody."""
    for part in parts:
        if MOODLE in part:
            return part.partition(MOODLE)[0]
    if len(parts) > 1:
        return parts[0]
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
    """The notebook of the course that this is, by its title or else by its name or by its exercises."""
    heads = [cell.source.strip().partition("\n")[0] for cell in cells or []]
    called = set(re.findall(r"\bcheck_\w+(?=\()", "\n".join(cell.source for cell in cells or [])))
    has = {each.name: sum(one.check in called for one in each.exercises) for each in known}
    ways = (
        [each for each in known if any(head.startswith(each.title) for head in heads)],
        [each for each in known if each.name in file.lower()],
        [each for each in known if has[each.name] == max(has.values()) > 0],
    )
    return next((way[0] for way in ways if len(way) == 1), None)
