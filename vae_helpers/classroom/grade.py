"""Grades notebooks that were handed in: a score, the mistake's code and a sentence for each exercise.

FOLDER holds them in any of these forms:

  anna/01_bayes_rule.ipynb                     a folder for each student, with any folders inside it
  Anna B_12_assignsubmission_file_/1.ipynb     the same as Moodle packs it, in any folders: "Anna B_12"
  anna__01_bayes_rule.ipynb                    files side by side: the student, two underscores, the rest
  Anna B_12_assignsubmission_file_1.ipynb      the same as Moodle packs it without folders

Which notebook a file is, its title tells ("# 1 · Bayes' rule: …", and what may follow), or else its name
("01_bayes_rule" in it), or else the checks that it calls. Of two files with one notebook by one student the
better counts. That the other does not, and each file that is no submission, is told under "skipped"; hidden
files and folders are passed over. A student with nothing that could be graded has a line of its own, of 0.

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
  unreadable   the file cannot be read as a notebook
  nothing      the student has handed in no notebook of the course

OUT.json has everything, OUT.csv a line for each exercise; both are written at the end, or neither. Files that
are there are replaced only if this command wrote them and nobody has changed them since. There are no times
in them. --seconds counts cells and checks, not what it takes to start. A cell or a check is given half of
what is left of it, so that one that never ends leaves something to the others. One that cannot be
interrupted, ends the process or fills the memory is left out when the submission is run again.

Submissions are read at the start. Each runs by itself, on a copy of the course of its own, in a folder of
its own; both are deleted, and all its processes ended, before the next one. It has no input, and what it
prints is thrown away. The command writes to OUT alone. If files of the course or of FOLDER are others at the
end than at the start, it names them, whoever changed them. What else is kept from a submission depends on
the system, and is told at the start:
  Linux, where `unshare` may make namespaces (as root, or where users may have their own): it sees no process
    but its own, has no network and none of root's rights, and can write to its own folder and /dev/shm alone,
    each of which is kept in memory and ends at 1 GB.
  Elsewhere (macOS, Windows, most containers) it has the rights of whoever grades: it may change or delete
    that person's files, the course's and the submissions too, use the network, and end the grader if it looks
    for it, which then writes nothing. Other submissions and the course are used as they were at the start,
    but the installed Python packages are shared. Grade strangers' work on Linux.
It can always cheat for itself: it shares a process with the check, and may read the course's solutions and
the other submissions. What it puts in the place of the checks, of NumPy or of builtins is undone before they
are used, but nothing cleverer is.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sys
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_helpers.checks import CODES
from vae_helpers.classroom._place import Place, checksums, in_a_line
from vae_helpers.models.storage import check_folder, whole_file
from vae_helpers.numerics._validate import path_option
from vae_helpers.pictures.plotting import COURSE

if TYPE_CHECKING:
    from vae_helpers.classroom._handed_in import Submission
    from vae_helpers.classroom.exercises import Exercise

TRIES = 12  # how often a submission is run, each time without the cell or the check that was ended
COLUMNS = ("student", "notebook", "exercise", "function", "score", "code", "sentence", "file")
OWN = ("missing", "renamed", "no-function", "time", "memory", "disk", "ended", "unreadable", "nothing")
_WHY = {
    "time": "It was stopped, as it took more than half of the submission's time that was left.",
    "memory": "It needed more memory than a submission is given.",
    "disk": "It wrote more than a submission may.",
    "ended": "It ended the process.",
}
_NOT_CHECKED = {
    "time": "The submission's time was over before it was checked.",
    "unreadable": "The file cannot be read as a notebook.",
}
_PROTECTION = {
    True: "protection: namespaces; a submission can write to a folder of its own alone, and has no network",
    False: "protection: copies and limits, nothing by the system; a submission has the rights of whoever "
    "grades. Grade strangers' work on Linux, where there are namespaces",
}

Row = dict[str, Any]


def grade(
    folder: str | Path,
    *,
    course: Path = COURSE,
    seconds: float = 600.0,
    memory: float = 4.0,
    progress: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = lambda line: None,
) -> dict[str, list[Row]]:
    """Grades all submissions in a folder.

    Args:
        folder: as the head of this module describes it.
        course: the folder with `notebooks/`.
        seconds: for one submission, all cells and checks together.
        memory: for one submission, in GB.
        progress: is told a line about each submission.
        warn: is told what protects the course and the others, whose copies are many, and which files of the
            course or of the folder have changed meanwhile.

    Returns:
        "results", a row for each exercise of each submission; "totals", one for each submission; "skipped",
        one for each file that was not graded. All are sorted. A student without any submission has one row.

    Raises:
        FileNotFoundError: no such folder, or no submission in it; no notebooks in the course.
        RuntimeError: no process starts here.
        ValueError: seconds or memory is not positive, or the memory too small to start; all submissions
            seem to be one student's.
    """
    from vae_helpers.classroom._handed_in import MOODLE, copies, find, notebooks

    for name, value in {"seconds": seconds, "memory": memory}.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name}: expected a positive number, got {value}")
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f"folder: expected a folder with submissions, got {folder}")
    before = checksums([course / "notebooks", folder])
    submissions, skipped, empty = find(folder, notebooks(course))
    if not submissions:
        told = "".join(f"; {each['file']}: {each['reason']}" for each in skipped[:5])
        raise FileNotFoundError(f"folder: expected submissions in {folder}, found none (see --help){told}")
    for (student, name), files in copies(submissions).items():
        told = f"{len(files)} copies of {name} in different places: {', '.join(files[:3])}"
        if {each.student for each in submissions} | empty.keys() == {student} and MOODLE not in files[0]:
            wanted = f"folder: expected students in {folder}, found {student} alone"
            raise ValueError(f"{wanted}, with {told}; is {folder / student} the folder with the students?")
        warn(f"warning: {student} has {told}; the best counts. One student, or a folder of several?")
    asked = {each.notebook.name: each.notebook.exercises for each in submissions}
    place = Place(int(memory * 1e9), [each._asdict() for name in asked for each in asked[name]])
    warn(_PROTECTION[place.apart])
    best = {(student, ""): [_nothing(student, reason)] for student, reason in empty.items()}
    try:
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
    finally:
        after = checksums([course / "notebooks", folder])
        for path in sorted(
            path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
        ):
            warn(f"changed while grading ran: {path}")
    totals = [
        {
            "student": student,
            "notebook": name,
            "score": _score(rows),
            "of": sum(bool(row["file"]) for row in rows),
        }
        for (student, name), rows in sorted(best.items())
    ]
    results = [row for _, rows in sorted(best.items()) for row in rows]
    return {"results": results, "totals": totals, "skipped": sorted(skipped, key=lambda row: row["file"])}


def _score(rows: list[Row]) -> int:
    return sum(row["score"] for row in rows)


def _nothing(student: str, reason: str) -> Row:
    """The line of a student without a submission."""
    sentence = f"There is nothing that could be graded: {reason}."
    return dict(zip(COLUMNS, (student, "", None, "", 0, "nothing", sentence[:1500], ""), strict=True))


# ---- one submission -------------------------------------------------------------------------


def _grade(submission: Submission, place: Place, seconds: float) -> list[Row]:
    """The rows of a submission; what ends the process or has to be ended is left out in a second run."""
    exercises, cells = submission.notebook.exercises, submission.cells
    found: dict[int, tuple[list[str], str]] = {}
    failed: dict[int, str] = {}  # what is told of cells
    stopped: dict[int, str] = {}  # cells that are left out
    why, left = "unreadable", seconds
    for _ in range(TRIES if cells is not None else 0):
        job = {
            "cells": [(n, cell.source) for n, cell in enumerate(cells) if cell.cell_type == "code"],
            "exercises": [each._asdict() for each in exercises],
            "own": submission.notebook.own,
            "without": list(stopped),
            "found": list(found),
            "seconds": 0.9 * left,
        }
        told, why, left = place.run(job, left)
        failed |= {each["failed"]: each["why"] for each in told if "failed" in each}
        found |= {n: answer for each in told for n, answer in _answers(each).items()}
        steps = [each for each in told if "cell" in each or "checking" in each]
        if not why or not steps:
            break
        if "cell" in steps[-1]:
            stopped[steps[-1]["cell"]] = why
        else:
            found[steps[-1]["checking"]] = [why], _WHY[why]
        if left < 0.5:
            why = "time"
            break
    code = {n: cell for n, cell in enumerate(cells or []) if cell.cell_type == "code"}
    failed = {
        n: text for n, text in (failed | {n: _WHY[why] for n, why in stopped.items()}).items() if n in code
    }
    rows = []
    for each in exercises:
        codes, message = found.get(each.number) or _absent(each, code, failed, stopped)
        if codes == ["missing"] and why:
            codes, message = [why], _NOT_CHECKED.get(why, f"It was not checked. {_WHY.get(why, '')}")
        elif codes == ["not-attempted"] and _replaced(each, code, submission.notebook.own):
            message += " An earlier cell defines it; the empty one below replaces it."
        elif codes == ["time"]:
            message = f"{_WHY['time']} The limit for all cells and checks: {seconds:g} seconds."
        if {"error", "missing"} & set(codes):
            others = _others(exercises, code, failed)
            message = message.rstrip() + "." * (bool(others) and message.rstrip()[-1:] not in ".!?") + others
        row = submission.student, submission.notebook.name, each.number, each.function, int(not codes)
        sentence = in_a_line(_PLACE.sub("the cell", _LINE.sub(r"(line \1)", message)))[:1500]
        row = *row, " ".join(codes) or "right", sentence, submission.file
        rows.append(dict(zip(COLUMNS, row, strict=True)))
    return rows


_LINE = re.compile(r"\(<ipython-input-[^>]*>, line (\d+)\)")
_PLACE = re.compile(r"<ipython-input-[^>]*>")


def _answers(told: dict[str, Any]) -> dict[int, tuple[list[str], str]]:
    """What the runner tells of an exercise; nothing if it has codes that there are not."""
    codes = told.get("codes", [None])
    if all(isinstance(code, str) and (code in CODES or code in OWN) for code in codes):
        return {told["exercise"]: (codes, told["message"])}
    return {}


Cells = dict[int, Any]


def _absent(
    exercise: Exercise, code: Cells, failed: dict[int, str], stopped: dict[int, str]
) -> tuple[list[str], str]:
    """Why there is no such function."""
    absent = f"`{exercise.function}` is not there"
    its = [number for number, cell in code.items() if _defines(cell, exercise)]
    for number in its:
        if number in stopped:
            return [stopped[number]], failed[number]
    for number in its:
        if number in failed:
            return ["missing"], f"{absent}, as its cell has failed ({failed[number]})."
    for cell in code.values():
        other = re.search(rf"^{exercise.check}\((\w+)\)", cell.source, re.MULTILINE)
        if other and other[1] != exercise.function:
            return ["renamed"], f"{absent}; its check is called with `{other[1]}` instead."
    there = any(cell.get("id") == exercise.id for cell in code.values())
    return ["missing"], f"{absent}; the cell of the exercise {'defines it no more' if there else 'is gone'}."


def _defines(cell: Any, exercise: Exercise) -> bool:
    return bool(re.search(rf"^\s*def {exercise.function}\b", cell.source, re.MULTILINE))


def _replaced(exercise: Exercise, code: Cells, own: list[str]) -> bool:
    """Whether an answer stands above the cell that is still empty."""
    from vae_helpers.classroom.exercises import is_empty

    its = [
        cell.source for cell in code.values() if _defines(cell, exercise) and cell.source.strip() not in own
    ]
    with suppress(SyntaxError):  # a magic, which only IPython reads
        return any(not is_empty(source, exercise.function) for source in its[:-1])
    return False


def _others(exercises: list[Exercise], code: Cells, failed: dict[int, str]) -> str:
    """The cells that have failed and may have to do with any exercise: those that belong to none."""
    told = []
    for number, text in sorted(failed.items()):
        source = code[number].source
        if not any(_defines(code[number], each) or f"{each.check}(" in source for each in exercises):
            lines = [line.strip() for line in source.splitlines() if line.strip(" #\t")]
            told.append(f"“{(lines or [''])[0][:60]}” ({text})")
    return f" Cells that failed: {'; '.join(told[:3])}." if told else ""


def main(arguments: list[str] | None = None) -> int:
    """Reads the line, grades, and writes the results; 0 if all were graded, whatever their scores."""
    parser = argparse.ArgumentParser(
        prog="python -m vae_helpers grade",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=path_option, metavar="FOLDER", help="the submissions")
    parser.add_argument(
        "--out",
        type=path_option,
        default=Path("grades"),
        help="results, outside FOLDER, without ending (default: grades)",
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="for each submission (default: 600)")
    parser.add_argument("--memory", type=float, default=4.0, help="GB for each submission (default: 4)")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"FOLDER: expected a folder with submissions, got {options.folder}")
    limits = {"seconds": options.seconds, "memory": options.memory}
    say = {
        "progress": lambda line: print(line, flush=True),
        "warn": lambda line: print(line, file=sys.stderr, flush=True),
    }
    try:
        out = _target(options.out, options.folder)
        found = grade(options.folder, **limits, **say)
        while _changed(out):  # somebody has come in between
            out = out.with_name(f"{out.name}-new")
        _write(found, out)
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
    print(f"{out}.json and .csv: {sum(row['of'] > 0 for row in found['totals'])} submissions")
    return 0


def _target(out: Path, folder: Path) -> Path:
    """The results' place without an ending, after a try whether they can be written.

    Raises:
        FileExistsError: something else stands there.
        OSError: nothing can be written there.
        ValueError: it is no name, or inside the folder.
    """
    if out.name in ("", ".."):
        raise ValueError(f"out: expected a name, without an ending, got {str(out)!r}")
    if out.suffix in (".json", ".csv"):
        out = out.with_suffix("")
    check_folder(Path(f"{out}.json"), "out")
    if out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"out: expected a place outside {folder}, got {out}")
    if changed := _changed(out):
        wanted = "out: expected no file, or one that this command wrote, unchanged"
        raise FileExistsError(f"{wanted}, got {changed}")
    try:
        tempfile.TemporaryFile(dir=out.parent).close()
        for path in _files(out):
            if path.exists():
                path.open("r+b").close()
    except OSError as error:
        raise OSError(f"out: expected a place to write to, got {out}: {error.strerror}") from error
    return out


def _files(out: Path) -> tuple[Path, Path]:
    return Path(f"{out}.json"), Path(f"{out}.csv")


def _changed(out: Path) -> Path | None:
    """The file of the results that is there and not as this command has written it, if any."""
    as_json, as_csv = _files(out)
    told: dict[str, Any] = {}
    with suppress(OSError, ValueError, RecursionError, TypeError):
        found = json.loads(as_json.read_bytes())
        told = dict(found.pop("checksums"))
        if told.get("json") != _checksum(_as_json(found)):
            told = {}
    if as_json.exists() and not told:
        return as_json
    with suppress(OSError):
        if as_csv.exists() and _checksum(as_csv.read_bytes()) == told.get("csv"):
            return None
    return as_csv if as_csv.exists() else None


def _checksum(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"


def _as_json(found: dict[str, Any]) -> bytes:
    return (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode()


def _as_csv(found: dict[str, list[Row]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows([_harmless(row[name]) for name in COLUMNS] for row in found["results"])
    return text.getvalue().encode("utf-8-sig")  # the mark is for spreadsheets


def _write(found: dict[str, list[Row]], out: Path) -> None:
    """Writes both files, or neither."""
    table = _as_csv(found)
    checksums = {"json": _checksum(_as_json(found)), "csv": _checksum(table)}
    contents = dict(zip(_files(out), (_as_json(found | {"checksums": checksums}), table), strict=True))
    before = {path: path.read_bytes() if path.exists() else None for path in contents}
    try:
        for path, content in contents.items():
            with whole_file(path) as part:
                part.write_bytes(content)
    except OSError:
        for path, content in before.items():
            with suppress(OSError):
                path.unlink(missing_ok=True) if content is None else path.write_bytes(content)
        raise


def _harmless(value: Any) -> Any:
    """No formula to a spreadsheet, whatever a submission has put into its name or its errors."""
    return f"'{value}" if isinstance(value, str) and value.startswith(tuple("=+-@")) else value


if __name__ == "__main__":
    sys.exit(main())
