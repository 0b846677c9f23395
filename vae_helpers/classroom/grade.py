"""Grades notebooks that were handed in: a score, the mistake's code and a sentence for each exercise.

FOLDER holds them in any of these forms:

  anna/01_bayes_rule.ipynb                     a folder for each student, with any folders inside it
  Anna B_12_assignsubmission_file_/1.ipynb     the same as Moodle packs it; the student is "Anna B_12"
  anna__01_bayes_rule.ipynb                    files side by side: the student, two underscores, the rest
  Anna B_12_assignsubmission_file_1.ipynb      the same as Moodle packs it without folders

Which notebook a file is, its title tells ("# 1 · Bayes' rule: …"), or else its name ("01_bayes_rule" in it).
Of two files with one notebook by one student the better counts. That the other does not, and each file that
is no submission, is told under "skipped"; hidden files and folders are passed over.

All cells are run from top to bottom; one that fails is left behind. Then the course's own checks look at the
functions that the student's cells define. An answer is right (1) or not (0), and the code says why: one of
`vae_helpers.checks.CODES`, or

  right        the check has passed
  missing      no cell defines the function, or the one that does has failed
  renamed      the exercise's check is called with a function of another name
  no-function  the name stands for something else than a function
  time         it was stopped for the time that it took
  memory       it was stopped for the memory that it took
  disk         it was stopped for the files that it wrote
  ended        it ended the process
  unreadable   the file is no notebook

OUT.json has everything, OUT.csv a line for each exercise; both are written at the end, or neither. There are
no times in them. A cell or a check is given half of the time that is left, so that one that never ends leaves
something to the others; a cell that ends the process, or fills the memory, is left out in a second run.

What a submission cannot do to the others and to the course depends on the system. Everywhere each runs by
itself, after all processes of the one before have been ended, in a folder of its own that is deleted, without
input and with what it prints thrown away.
  Linux, where `unshare` may make namespaces (as root, or where users may have their own): it sees no process
    but its own, has no network and none of root's rights, and can write to its own folder and /dev/shm alone,
    each of which is kept in memory and ends at 1 GB.
  Elsewhere (macOS, Windows, most containers) it has the rights of whoever grades: it may delete that person's
    files, use the network, and end the grader if it looks for it, which then writes nothing. The course's
    package, its notebooks and the submissions are compared after each run; what was changed is put back, the
    changed files are kept aside in the folder for temporary files, and the sentences name them: do not edit
    there meanwhile. Windows also knows no limit on a single cell. Grade strangers' work on Linux.
It can always cheat for itself: it shares a process with the check, and may read the course's solutions and
the other submissions. What it puts in the place of the checks, of NumPy or of builtins is undone before they
are used, but nothing cleverer is.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_helpers.checks import CODES
from vae_helpers.classroom._place import PACKAGE, Place, in_a_line
from vae_helpers.models.storage import check_folder, whole_file
from vae_helpers.pictures.plotting import COURSE

if TYPE_CHECKING:
    from vae_helpers.classroom._handed_in import Submission
    from vae_helpers.classroom.exercises import Exercise

TRIES = 4  # how often a submission is run that ends its own process, each time without the cell that did
COLUMNS = ("student", "notebook", "exercise", "function", "score", "code", "sentence", "file")
OWN = ("missing", "renamed", "no-function", "time", "memory", "disk", "ended", "unreadable")
_WHY = {
    "time": "The time was over before it was checked.",
    "memory": "It needed more memory than a submission is given.",
    "disk": "It wrote more than a submission may.",
    "ended": "It ended the process.",
    "unreadable": "The file is no notebook.",
}

Row = dict[str, Any]


def grade(
    folder: str | Path,
    *,
    course: Path = COURSE,
    seconds: float = 600.0,
    memory: float = 4.0,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, list[Row]]:
    """Grades all submissions in a folder.

    Args:
        folder: as the head of this module describes it.
        course: the folder with `notebooks/`.
        seconds: for one submission, all cells and checks together.
        memory: for one submission, in GB.
        progress: is told a line about each submission.

    Returns:
        "results", a row for each exercise of each submission; "totals", one for each submission; "skipped",
        one for each file that was not graded. All are sorted.

    Raises:
        FileNotFoundError: no such folder, or no submission in it; no notebooks in the course.
        ValueError: seconds or memory is not positive.
    """
    from vae_helpers.classroom._handed_in import find, notebooks

    for name, value in {"seconds": seconds, "memory": memory}.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name}: expected a positive number, got {value}")
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f"folder: expected a folder with submissions, got {folder}")
    submissions, skipped = find(folder, notebooks(course))
    if not submissions:
        raise FileNotFoundError(f"folder: expected submissions in {folder}, found none; see --help")
    place = Place([PACKAGE, course / "notebooks", folder], int(memory * 1e9))
    best: dict[tuple[str, str], list[Row]] = {}
    for each in submissions:
        rows = _grade(each, place, seconds)
        progress(f"{each.file}: {_score(rows)} of {len(rows)}")
        key = each.student, each.notebook.name
        if key in best:
            better, worse = sorted([best[key], rows], key=_score, reverse=True)  # the first of equals
            reason = f"{better[0]['file']} counts, the same notebook by the same student"
            skipped.append({"file": worse[0]["file"], "reason": reason})
            rows = better
        best[key] = rows
    totals = [
        {"student": student, "notebook": name, "score": _score(rows), "of": len(rows)}
        for (student, name), rows in sorted(best.items())
    ]
    results = [row for _, rows in sorted(best.items()) for row in rows]
    return {"results": results, "totals": totals, "skipped": sorted(skipped, key=lambda row: row["file"])}


def _score(rows: list[Row]) -> int:
    return sum(row["score"] for row in rows)


# ---- one submission -------------------------------------------------------------------------


def _grade(submission: Submission, place: Place, seconds: float) -> list[Row]:
    """The rows of a submission; a cell that ends the process is left out in a second run, and so on."""
    exercises, cells = submission.notebook.exercises, submission.cells
    found: dict[int, tuple[list[str], str]] = {}
    failed: dict[int, str] = {}  # what is told of cells
    changed: list[str] = []
    why, deadline = "unreadable", time.monotonic() + seconds
    for _ in range(TRIES if cells is not None else 0):
        left = deadline - time.monotonic()
        job = {
            "cells": [(n, cell.source) for n, cell in enumerate(cells) if cell.cell_type == "code"],
            "exercises": [each._asdict() for each in exercises],
            "own": submission.notebook.own,
            "without": [n for n, told in failed.items() if told in _WHY.values()],
            "found": list(found),
            "seconds": 0.9 * left,
        }
        told, why = place.run(job, left)
        changed += place.put_back()
        failed |= {each["failed"]: each["why"] for each in told if "failed" in each}
        found |= {n: answer for each in told for n, answer in _answers(each).items()}
        steps = [each for each in told if "cell" in each or "checking" in each]
        if why in ("", "time") or not steps:
            break
        if "cell" in steps[-1]:
            failed[steps[-1]["cell"]] = _WHY[why]
        else:
            found[steps[-1]["checking"]] = [why], _WHY[why]
    rows = []
    for each in exercises:
        if each.number in found:
            codes, message = found[each.number]
        else:
            codes, message = ([why], _WHY[why]) if why else _absent(each, cells, failed)
        if failed and {"error", "missing", "time"} & set(codes):
            told = "; ".join(f"cell {n + 1} ({text})" for n, text in sorted(failed.items())[:3])
            message += f" Cells that failed: {told}."
        if changed:
            message += f" Changed by this submission, and put back: {', '.join(changed[:3])}."
        code, sentence = " ".join(codes) or "right", in_a_line(message)[:1500]
        row = submission.student, submission.notebook.name, each.number, each.function, int(not codes)
        rows.append(dict(zip(COLUMNS, (*row, code, sentence, submission.file), strict=True)))
    return rows


def _answers(told: dict[str, Any]) -> dict[int, tuple[list[str], str]]:
    """What the runner tells of an exercise; nothing if it has codes that there are not."""
    codes = told.get("codes", [None])
    if all(isinstance(code, str) and (code in CODES or code in OWN) for code in codes):
        return {told["exercise"]: (codes, told["message"])}
    return {}


def _absent(exercise: Exercise, cells: list[Any], failed: dict[int, str]) -> tuple[list[str], str]:
    """Why there is no such function."""
    absent = f"`{exercise.function}` is not there"
    code = {number: cell for number, cell in enumerate(cells) if cell.cell_type == "code"}
    for number, cell in code.items():
        if number in failed and re.search(rf"^\s*def {exercise.function}\b", cell.source, re.MULTILINE):
            return ["missing"], f"{absent}, as its cell has failed."
    for number, cell in code.items():
        other = re.search(rf"^{exercise.check}\((\w+)\)", cell.source, re.MULTILINE)
        if other and other[1] != exercise.function:
            return ["renamed"], f"{absent}; cell {number + 1} checks `{other[1]}` instead."
    there = any(cell.get("id") == exercise.id for cell in code.values())
    return ["missing"], f"{absent}; the cell of the exercise {'defines it no more' if there else 'is gone'}."


def main(arguments: list[str] | None = None) -> int:
    """Reads the line, grades, and writes the results; 0 if all were graded, whatever their scores."""
    parser = argparse.ArgumentParser(
        prog="python -m vae_helpers grade",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the submissions")
    parser.add_argument(
        "--out", type=Path, default=Path("grades"), help="results, without ending (default: grades)"
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="for each submission (default: 600)")
    parser.add_argument("--memory", type=float, default=4.0, help="GB for each submission (default: 4)")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"FOLDER: expected a folder with submissions, got {options.folder}")
    limits = {"seconds": options.seconds, "memory": options.memory}
    try:
        check_folder(options.out, "out")
        found = grade(options.folder, **limits, progress=lambda line: print(line, flush=True))
        _write(found, options.out)
    except ModuleNotFoundError as error:
        if error.name != "nbformat":
            raise
        print("nbformat is missing; it comes with JupyterLab: pip install nbformat", file=sys.stderr)
        return 2
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    for row in found["skipped"]:
        print(f"skipped {row['file']}: {row['reason']}")
    print(f"{options.out}.json and .csv: {len(found['totals'])} submissions")
    return 0


def _write(found: dict[str, list[Row]], out: Path) -> None:
    """Writes both files, or neither."""
    with whole_file(f"{out}.json") as as_json, whole_file(f"{out}.csv") as as_csv:
        as_json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        with as_csv.open("w", encoding="utf-8-sig", newline="") as file:  # the mark is for spreadsheets
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([_harmless(row[name]) for name in COLUMNS] for row in found["results"])


def _harmless(value: Any) -> Any:
    """No formula to a spreadsheet, whatever a submission has put into its name or its errors."""
    return f"'{value}" if isinstance(value, str) and value.startswith(tuple("=+-@")) else value


if __name__ == "__main__":
    sys.exit(main())
