"""Writes the notebooks for students, without solutions, or for lecturers, with all of them opened.

`student` leaves out every folded solution; questions, hints and the folded answers to predictions stay.
`solutions` puts the function of each solution into the exercise's own cell, with the report of its check
below it, and opens the solution, so that the whole of it can be read and projected.

Everything else of a notebook is as it is: cells keep their ids and what they show. The folder is written
as a whole. One that holds anything else than an unchanged earlier edition of the same kind is left alone.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vae_helpers.models.storage import whole_folder
from vae_helpers.numerics._validate import path_option
from vae_helpers.pictures.plotting import COURSE

if TYPE_CHECKING:
    from nbformat import NotebookNode

KINDS = ("student", "solutions")
# What the opening of the exercises says of solutions; nothing of it is true where there are none.
_ADVICE = re.compile(r"(?<=\.)\s+Open a solution\s+only after a try\.|;\s+open a solution\s+only after a try")


def write(kind: str, out: str | Path, *, course: Path = COURSE) -> list[Path]:
    """Writes an edition.

    Args:
        kind: "student" or "solutions".
        out: its folder; made anew if it holds an edition of this kind, unchanged, and nothing else.
        course: the folder with `notebooks/`.

    Returns:
        Its notebooks.

    Raises:
        FileExistsError: `out` holds something else.
        FileNotFoundError: the course has no notebooks.
        ValueError: no such kind; an exercise without the usual form, or whose solution does not pass.
    """
    from vae_helpers.classroom import exercises

    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    sources = exercises.paths(course)
    with whole_folder(out, f".vae-course-edition-{kind}", "out") as made:
        made.mkdir()
        for path in sources:
            notebook = exercises.read(path)
            (_without if kind == "student" else _opened)(notebook, path.stem)
            exercises.write(notebook, made / path.name)
    return [Path(out) / path.name for path in sources]


def _without(notebook: NotebookNode, name: str) -> None:
    """Takes the solutions away."""
    from vae_helpers.classroom.exercises import exercises

    solutions = {each.place + 1 for each in exercises(notebook, name)}
    notebook.cells = [cell for place, cell in enumerate(notebook.cells) if place not in solutions]
    for cell in notebook.cells:
        if cell.source.startswith("## Exercises"):
            cell.source = _ADVICE.sub("", cell.source)


def _opened(notebook: NotebookNode, name: str) -> None:
    """Answers the exercises by their solutions, and opens these."""
    from nbformat.v4 import new_output

    from vae_helpers.classroom.exercises import exercises

    for each in exercises(notebook, name):
        cell, after = notebook.cells[each.place : each.place + 2]
        names = {"__name__": "__main__"}
        exec(compile(each.answer, f"{name}, solution {each.number}", "exec"), names)
        report = names[each.check](names[each.function])
        if not report.passed:
            raise ValueError(f"{name}, exercise {each.number}: expected a solution that passes, got {report}")
        data = {"text/html": report._repr_html_(), "text/plain": repr(report)}
        cell.outputs = [new_output("execute_result", data, execution_count=cell.execution_count)]
        cell.source = each.answer
        after.source = after.source.replace("<details>", "<details open>", 1)


def main(arguments: list[str] | None = None) -> int:
    """Reads the line and writes the edition."""
    parser = argparse.ArgumentParser(
        prog="python -m vae_helpers edition",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--out", type=path_option, required=True, metavar="FOLDER", help="where to")
    options = parser.parse_args(arguments)
    try:
        made = write(options.kind, options.out)
    except ModuleNotFoundError as error:
        if error.name != "nbformat":
            raise
        print("nbformat is missing; it comes with JupyterLab: pip install nbformat", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out}: {len(made)} notebooks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
