"""Grades: each exercise's own, whatever the submission does, and whatever the one before it has done."""

import csv
import json
import os
import shutil
import sys

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from support.cells import PATHS, exercises

from vae_helpers.__main__ import main
from vae_helpers.checks import CODES
from vae_helpers.classroom import _place, edition
from vae_helpers.classroom import grade as grade_module
from vae_helpers.classroom.grade import COLUMNS, OWN, _answers, grade

START, BAYES = PATHS[:2]  # three exercises and five
TITLE = "# 0 · Start here"
MEMORY = 1.5  # GB
RIGHT = {exercise.number: exercise for exercise in exercises(START)}
BITS, AWAY, DRAWS = (RIGHT[n].solution.split("\n\n\n")[1] for n in (1, 2, 3))  # the functions alone
WORLD = "import numpy as np\nfrom vae_helpers.numerics import kl_standard_normal"
WRONG = "def kl_in_bits(mu, std):\n    return 1.0"
FORGED = '{"exercise": 1, "codes": [], "message": ""}'

# What a submission does, in cells between its imports and its right answers.
ALL_RIGHT = ["right"] * 3
HARMLESS = {
    "loops": "while True:\n    pass",
    "raises, exits": ("raise BaseException('x' * 10**6)", "import sys\nsys.exit()"),
    "prints, closes, tidies, swaps": (
        "for _ in range(50):\n    print('x' * 10**6)",
        "import os, sys\nsys.stdout.close()\nsys.stderr.close()\nos.close(1)\nos.close(2)",
        "import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)",
        "import builtins, numpy\nnumpy.sqrt = numpy.square\nbuiltins.abs = lambda x: 0",
    ),
    "forks": "import os, time\nif os.fork() == 0:\n    time.sleep(98765)",
    "copies itself": "import os\nif os.fork() == 0:\n    get_ipython().run_cell = None",
    "leaves children": "import os\nfor _ in range(3):\n    os.system('sleep 98765 &')",
    "ends itself": "import os\nos._exit(0)",
    "kills its parent": "import os\nos.kill(os.getppid(), 9)",
    "kills its group": "import os\nos.killpg(0, 9)",
    "kills itself": "import os\nos.kill(os.getpid(), 9)",
    "breaks its streams": "import os\nos.write = None",
    "takes memory": "x = bytearray(10**10)",
    "takes shared memory": (
        "import mmap\nm = mmap.mmap(-1, 2 * 10**9)\nfor _ in range(2000):\n    m.write(b'x' * 10**6)\n"
        "while True:\n    pass"
    ),
    "fills the disk": (
        "for number in range(40):\n    with open(f'{number}', 'wb') as file:\n"
        "        for _ in range(100):\n            file.write(bytes(10**6))\n        file.flush()"
    ),
    "rewrites": (
        "import os, pathlib, shutil\nfor path in pathlib.Path(FOLDER).rglob('*'):\n"
        "    try:\n        path.unlink()\n    except OSError:\n        pass\n"
        "shutil.rmtree(FOLDER, ignore_errors=True)\nos.makedirs(FOLDER + '/new', exist_ok=True)\n"
        "open(FOLDER + '/new/grades.json', 'w').write('mine')"
    ),
}
NOT_ITS_OWN = {  # wrong in the first exercise, and makes believe
    "redefines": "check_kl_in_bits = lambda fn: True",
    "patches": (
        "from vae_helpers.checks.engine.exercise import Exercise\n"
        "from vae_helpers.checks.engine import comparing\n"
        "from vae_helpers.checks import Report\nfrom vae_helpers.checks.exercises import notebook_00\n"
        "Exercise.__call__ = lambda self, fn: Report('', frozenset(), '')\n"
        "comparing.all_close = lambda *_: True\n"
        "notebook_00.check_kl_in_bits = lambda fn: Report('', frozenset(), '')"
    ),
    "prints a result": (
        f"import os, threading, time\nline = b'{FORGED}\\n'\nprint(line.decode(), flush=True)",
        "def again():\n    while True:\n        os.write(1, line), os.write(2, line), time.sleep(0.001)",
        "threading.Thread(target=again, daemon=True).start()",
    ),
}


def submit(path, *sources, title=TITLE):
    """Hands in a notebook of these code cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [new_markdown_cell(title)] if title else []
    nbformat.write(new_notebook(cells=cells + [new_code_cell(source) for source in sources]), path)


def codes(found, student):
    return [row["code"] for row in found["results"] if row["student"] == student]


def sentences(found, student):
    return [row["sentence"] for row in found["results"] if row["student"] == student]


def without(found, *columns):
    return [{name: row[name] for name in row if name not in columns} for row in found]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- what is graded -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory):
    """What students hand in who mean no harm."""
    folder = tmp_path_factory.mktemp("ordinary")
    for kind, number in [("solutions", 1), ("student", 1), ("solutions", 3)]:
        course = tmp_path_factory.mktemp("course")
        (course / "notebooks").mkdir()
        shutil.copy(PATHS[number], course / "notebooks")
        (made,) = edition.write(kind, course / "out", course=course)
        (folder / kind).mkdir(exist_ok=True)
        shutil.copy(made, folder / kind)
    submit(folder / "in order.ipynb", title="# My thesis")
    submit(folder / "alone.ipynb", WORLD)
    (folder / "notes.pdf").write_bytes(b"%PDF")
    (folder / ".hidden").mkdir()
    submit(folder / ".hidden" / "a__1.ipynb", WORLD)
    submit(folder / "anna__00_start_here.ipynb", WORLD, BITS, AWAY, DRAWS, title="")
    submit(folder / "Bo B_17_assignsubmission_file_" / "deep" / "mine.ipynb", WORLD, AWAY, DRAWS)
    submit(folder / "Bo B_18_assignsubmission_file_00_start_here.ipynb", WORLD, title="")
    submit(folder / "late" / "a.ipynb", "values = 3", DRAWS, AWAY, BITS, WORLD)
    submit(folder / "twice" / "1.ipynb", WORLD, BITS)
    submit(folder / "twice" / "2.ipynb", WORLD, BITS, AWAY)
    submit(folder / "twice" / "3.ipynb", WORLD, AWAY, BITS)
    submit(
        folder / "wrong" / "00.ipynb",
        "rate = unknown_rate",
        "def kl_in_bits(mu, std):\n    return rate * mu",
        "def away(values, claim):\n    return 1.0\n\n\ncheck_standard_errors_away(away)",
        "draws_to_tell_apart = 7",
    )
    submit(
        folder / "nats" / "00.ipynb",
        WORLD,
        BITS.replace("nats / np.log(2)", "nats"),
        "import nothing_like_it\n\n\n" + AWAY,
        "def draws_to_tell_apart(mu, std, wrong_by):\n    raise ValueError('=cmd\\n\\x1b[31m')",
    )
    for name, text in {"torn": "{", "deep": "[" * 10**6, "odd": '{"cells": 3, "nbformat": 4}'}.items():
        (folder / f"{name}__00_start_here.ipynb").write_text(text, encoding="utf-8")
    before = contents(folder)
    found = grade(folder, seconds=60, memory=MEMORY)
    assert contents(folder) == before
    return found


def test_the_solutions_have_the_full_score(ordinary):
    assert codes(ordinary, "solutions") == ["right"] * 10
    rows = [row for row in ordinary["results"] if row["student"] == "solutions"]
    assert [row["exercise"] for row in rows] == [1, 2, 3, 4, 5] * 2
    assert [row["function"] for row in rows] == [e.call[1] for n in (1, 3) for e in exercises(PATHS[n])]


def test_what_students_are_given_is_not_attempted(ordinary):
    assert codes(ordinary, "student") == ["not-attempted"] * 5
    assert {"student": "student", "notebook": BAYES.stem, "score": 0, "of": 5} in ordinary["totals"]


@pytest.mark.parametrize(
    "student, wanted",
    [
        ("anna", ["right"] * 3),
        ("Bo B_17", ["missing", "right", "right"]),
        ("Bo B_18", ["missing"] * 3),
        ("late", ["right"] * 3),
        ("twice", ["right", "right", "missing"]),
        ("wrong", ["error", "renamed", "no-function"]),
        ("nats", ["scale", "missing", "error"]),
        ("torn", ["unreadable"] * 3),
        ("deep", ["unreadable"] * 3),
        ("odd", ["unreadable"] * 3),
    ],
)
def test_each_exercise_has_a_code(ordinary, student, wanted):
    assert codes(ordinary, student) == wanted
    total = {"student": student, "notebook": START.stem, "score": wanted.count("right"), "of": 3}
    assert total in ordinary["totals"]


def test_each_answer_that_is_not_right_has_a_sentence(ordinary):
    for row in ordinary["results"]:
        assert (row["score"], row["code"]) == (1, "right") or (row["score"], row["code"]) != (0, "right")
        assert row["code"] in {"right", *CODES, *OWN}
        assert row["code"] == "right" or len(row["sentence"]) > 15 and row["sentence"].isprintable()


def test_a_sentence_says_what_is_the_matter(ordinary):
    first, second, third = sentences(ordinary, "wrong")
    told = " Cells that failed: “rate = unknown_rate” (NameError: name 'unknown_rate' is not defined)."
    assert "NameError: name 'rate' is not defined." in first and first.endswith(told)
    assert second == "`standard_errors_away` is not there; its check is called with `away` instead."
    assert third == "draws_to_tell_apart is no function"
    first, second, third = sentences(ordinary, "nats")
    assert "as its cell has failed (ModuleNotFoundError: No module named 'nothing_like_it')." in second
    assert "Cells that failed" not in first + second + third, "those of other exercises have no say"
    assert "ValueError: =cmd" in third
    assert sentences(ordinary, "Bo B_17")[0] == "`kl_in_bits` is not there; the cell of the exercise is gone."


def test_what_is_skipped_is_told_with_its_reason(ordinary):
    told = {row["file"]: row["reason"] for row in ordinary["skipped"]}
    assert (
        list(told)
        == sorted(told)
        == [
            "alone.ipynb",
            "in order.ipynb",
            "notes.pdf",
            "twice/1.ipynb",
            "twice/3.ipynb",
        ]
    )
    assert told["alone.ipynb"].startswith("no student") and told["notes.pdf"] == "no notebook"
    assert told["in order.ipynb"].startswith("neither its title nor its name")
    assert told["twice/3.ipynb"].startswith("twice/2.ipynb counts")


def test_a_function_of_the_lesson_is_no_answer(tmp_path):
    """Whoever deletes the exercise's cell is not given what the lesson calls by the same name."""
    course = tmp_path / "course" / "notebooks"
    course.mkdir(parents=True)
    notebook = nbformat.read(START, as_version=4)
    notebook.cells.insert(1, new_code_cell(f"{WORLD}\n\n\n{BITS}", id="lesson"))
    nbformat.write(notebook, course / START.name)
    lesson = [c.source for c in notebook.cells[:12] if c.cell_type == "code" and "def kl_in_bits" in c.source]
    submit(tmp_path / "in" / "a__00.ipynb", *lesson, WORLD, AWAY)
    found = grade(tmp_path / "in", course=tmp_path / "course", seconds=60)
    assert codes(found, "a") == ["missing", "right", "missing"]


@pytest.fixture
def ungraded(monkeypatch):
    """No submission runs; those that would are listed."""
    seen = []

    class NoPlace:
        apart = True

        def __init__(self, *_):
            pass

        def run(self, job, seconds):
            seen.append(job)
            return [], "ended", seconds

    monkeypatch.setattr("vae_helpers.classroom.grade.Place", NoPlace)
    return seen


def test_a_moodle_folder_is_found_at_any_depth(tmp_path, ungraded):
    said, deep = [], tmp_path / "wrap" / "Course-Assignment1-4711"
    for name in ("Ann A_11", "Bo B_12"):
        submit(deep / f"{name}_assignsubmission_file_" / "mine" / "00.ipynb", WORLD)
    submit(deep / "Cy C_13_assignsubmission_file_00.ipynb", WORLD)
    (deep / "Di D_14_assignsubmission_file_").mkdir()
    found = grade(tmp_path, warn=said.append)
    assert [row["student"] for row in found["totals"]] == ["Ann A_11", "Bo B_12", "Cy C_13", "Di D_14"]
    assert [line.partition(":")[0] for line in said] == ["protection"]


def test_a_class_is_not_taken_for_a_student(tmp_path, ungraded):
    for name in ("ann", "bo"):
        submit(tmp_path / "wrap" / name / "00.ipynb", WORLD)
    with pytest.raises(
        ValueError, match=r"found wrap alone, with 2 copies .* is .*wrap the folder with the st"
    ):
        grade(tmp_path)
    assert not ungraded
    submit(tmp_path / "cy" / "00.ipynb", WORLD)
    said = []
    grade(tmp_path, warn=said.append)
    assert said[0].startswith("warning: wrap has 2 copies of 00_start_here in different places: wrap/ann/00")


def test_no_student_vanishes(tmp_path, ungraded):
    submit(tmp_path / "in" / "anna" / "00.ipynb", WORLD)
    (tmp_path / "in" / "empty").mkdir()
    (tmp_path / "in" / "pdf" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "pdf" / "deep" / "1.pdf").write_bytes(b"%PDF")
    (tmp_path / "in" / "torn__x.ipynb").write_text("{")
    assert main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    lines = csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines())
    told = {line["student"]: line["sentence"] for line in lines if line["code"] == "nothing"}
    nothing = "There is nothing that could be graded:"
    assert told == {
        "empty": f"{nothing} no file.",
        "pdf": f"{nothing} 1.pdf: no notebook.",
        "torn": f"{nothing} torn__x.ipynb: cannot be read as a notebook.",
    }
    found = json.loads((tmp_path / "out.json").read_bytes())
    assert [(row["student"], row["of"]) for row in found["totals"]] == [
        ("anna", 3),
        ("empty", 0),
        ("pdf", 0),
        ("torn", 0),
    ]


def test_a_notebook_is_known_by_title_name_or_exercises(tmp_path, ungraded):
    submit(tmp_path / "a" / "mine.IPYNB", WORLD, title=f"{TITLE}, by Anna")
    submit(tmp_path / "b" / "mine.ipynb", "check_after_two_gauges(f)", title="# Bo: Bayes")
    submit(tmp_path / "c" / "02_ELBO.ipynb", WORLD, title="# Cy")
    submit(tmp_path / "d" / "mine.ipynb", "check_of_nothing(f)", title="# Di")
    found = grade(tmp_path)
    names = {row["student"]: row["notebook"] for row in found["totals"]}
    assert names == {"a": "00_start_here", "b": "01_bayes_rule", "c": "02_elbo", "d": ""}
    assert "nor its exercises are those of a notebook of the course" in found["skipped"][0]["reason"]


def test_the_folder_of_one_student_is_told(tmp_path):
    submit(tmp_path / "01_bayes_rule.ipynb", WORLD)
    with pytest.raises(
        FileNotFoundError, match="01_bayes_rule.ipynb: no student: expected a folder, or a name"
    ):
        grade(tmp_path)


# ---- what a submission does to others -------------------------------------------------------


def zoo(folder, which):
    """One of each kind, between copies of an innocent one that makes one mistake."""
    innocent = WORLD, BITS.replace("np.log(2)", "2"), AWAY
    submit(folder / "a innocent" / "00.ipynb", *innocent)
    for name, does in which.items():
        cells = [does] if isinstance(does, str) else does
        cells = [source.replace("FOLDER", repr(str(folder))) for source in cells]
        last = f"print('still here')\n{BITS}" if name in HARMLESS else WRONG
        submit(folder / name / "00.ipynb", WORLD, *cells, last, AWAY, DRAWS)
    submit(folder / "z innocent" / "00.ipynb", *innocent)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What the innocent one gets when nobody else hands in."""
    folder = tmp_path_factory.mktemp("alone")
    zoo(folder, {})
    shutil.rmtree(folder / "a innocent")
    one = grade(folder, seconds=60, memory=MEMORY)["results"]
    assert [row["code"] for row in one] == ["scale", "right", "missing"]
    return without(one, "student", "file")


def innocents(found):
    rows = [row for row in found["results"] if row["student"].endswith("innocent")]
    return [without(rows[n : n + 3], "student", "file") for n in range(0, len(rows), 3)]


def survivors():
    mine = psutil.Process().children(recursive=True)
    return [p for p in psutil.process_iter(["cmdline"]) if "98765" in (p.info["cmdline"] or [])] + [
        p for p in mine if any("_runner" in part for part in p.cmdline())
    ]


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """All that a submission may do, where the system keeps it apart if it can."""
    folder = tmp_path_factory.mktemp("wild")
    zoo(folder, HARMLESS | NOT_ITS_OWN)
    before = contents(folder)
    found = grade(folder, seconds=20, memory=MEMORY)
    assert contents(folder) == before and not survivors()
    return found


def test_no_submission_changes_the_result_of_another(wild, alone):
    assert innocents(wild) == [alone] * 2


@pytest.mark.parametrize("name", HARMLESS)
def test_a_submission_keeps_the_answers_that_it_has(wild, name):
    assert codes(wild, name) == ALL_RIGHT


@pytest.mark.parametrize("name", NOT_ITS_OWN)
def test_the_check_that_counts_is_the_course_s_own(wild, name):
    wrong, *rest = codes(wild, name)
    assert wrong != "right" and wrong in CODES and rest == ["right", "right"]


LOOKS_LIKE_IT = [b"", b"7", b"[]", b"{", b"[" * 10**5, b'{"cell": "1"}', b'{"cell": true}', b'{"failed": 1}']
LOOKS_LIKE_IT += [b'{"exercise": 1, "codes": 7, "message": ""}', b'{"done": true, "exercise": 1}', b"\xff"]


@pytest.mark.parametrize("line", LOOKS_LIKE_IT)
def test_what_only_looks_like_a_line_of_the_runner_is_none(line):
    assert _place._parsed(line) is None


@pytest.mark.parametrize("codes", [["full-marks"], [{}], [None], ["sign", 7]])
def test_codes_that_there_are_not_are_no_answer(codes):
    assert _answers({"exercise": 1, "codes": codes, "message": ""}) == {}
    assert _answers({"exercise": 1, "codes": ["sign"], "message": ""}) == {1: (["sign"], "")}


def test_one_that_never_ends_is_stopped(tmp_path, alone):
    stubborn = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True:\n    pass"
    zoo(tmp_path, {"loops": stubborn})
    submit(tmp_path / "check" / "00.ipynb", WORLD, "def kl_in_bits(mu, std):\n    while True: pass", AWAY)
    found = grade(tmp_path, seconds=10, memory=MEMORY)
    assert codes(found, "loops") == ALL_RIGHT and innocents(found) == [alone] * 2
    assert codes(found, "check") == ["time", "right", "missing"]
    assert "half of the submission's time that was left" in sentences(found, "check")[0]


def answered(body, exercise=1):
    """The cell of an exercise with this body, and the check below it."""
    head = RIGHT[exercise].stub.source.splitlines()[0]
    return f"{head}\n    {body}\n\n\n{RIGHT[exercise].stub.source.splitlines()[-1]}"


CHECKS = next(c.source for c in nbformat.read(START, as_version=4).cells if "check_kl_in_bits," in c.source)
SEGFAULT = "import ctypes; ctypes.string_at(0)"
STUBBORN = "\n    ".join(["while True:", "    try:", "        while True: pass", "    except: pass"])


@pytest.fixture(scope="module")
def costly(tmp_path_factory):
    """Answers that take their process with them, each below right ones or above them."""
    folder = tmp_path_factory.mktemp("costly")
    for name, body in {
        "in C": "return sum(range(10**13))",
        "swallows": STUBBORN,
        "exits": "import os; os._exit(0)",
        "segfault": SEGFAULT,
        "bomb": "return bytearray(10**10)",
    }.items():
        submit(folder / name / "00.ipynb", WORLD, CHECKS, answered(body), AWAY, DRAWS)
    all_ended = [answered("import os; os._exit(0)", number) for number in (1, 2, 3)]
    submit(folder / "all" / "00.ipynb", WORLD, CHECKS, *all_ended)
    submit(folder / "above" / "00.ipynb", WORLD, CHECKS, BITS, RIGHT[1].stub.source, AWAY, "def f(:\n  pass")
    again = tmp_path_factory.mktemp("again")
    shutil.copytree(folder / "in C", again / "in C")
    return [grade(each, seconds=40, memory=MEMORY) for each in (folder, again)]


@pytest.mark.parametrize(
    "student, code",
    [("in C", "time"), ("swallows", "time"), ("exits", "ended"), ("segfault", "ended"), ("bomb", "memory")],
)
def test_an_answer_that_ends_its_process_costs_that_exercise_alone(costly, student, code):
    assert codes(costly[0], student) == [code, "right", "right"]


def test_all_answers_may_end_it(costly):
    assert codes(costly[0], "all") == ["ended"] * 3


def test_a_sentence_is_the_same_in_each_run_and_states_the_limit(costly):
    assert sentences(costly[0], "in C") == sentences(costly[1], "in C")
    wanted = "It was stopped, as it took more than half of the submission's time that was left."
    told = f"{wanted} The limit for all cells and checks: 40 seconds."
    assert sentences(costly[0], "in C")[0] == sentences(costly[0], "swallows")[0] == told


def test_a_stub_below_the_answer_is_named(costly):
    assert codes(costly[0], "above") == ["not-attempted", "right", "missing"]
    told = sentences(costly[0], "above")
    assert told[0].endswith("An earlier cell defines it; the empty one below replaces it.")
    assert "An earlier cell" not in told[1]
    assert told[2].endswith("gone. Cells that failed: “def f(:” (SyntaxError: invalid syntax (line 1)).")


JOB = {"exercises": [], "own": [], "without": [], "found": [], "seconds": 60}


def test_what_no_limit_of_the_system_counts_is_watched(tmp_path):
    place = _place.Place(int(MEMORY * 1e9), [])
    told, why, _ = place.run(JOB | {"cells": [(7, HARMLESS["takes shared memory"])]}, 60)
    assert why == "memory" and told[-1] == {"cell": 7}


def test_what_the_system_keeps_from_a_submission(tmp_path):
    place = _place.Place(int(MEMORY * 1e9), [])
    if not place.apart:
        pytest.skip("no namespaces here")
    refused = {
        "bytearray(10**10)": "MemoryError",
        "for n in range(20):\n    open(str(n), 'wb').write(bytes(10**8))": "No space left on device",
        f"open({str(tmp_path / 'mine')!r}, 'w')": "Read-only file system",
        "open('/proc/sys/kernel/core_pattern', 'w')": "Read-only file system",
        "import subprocess\nsubprocess.run(['mount', '-o', 'remount,rw', '/'], check=1)": "CalledProcess",
        "import socket\nsocket.create_connection(('192.0.2.1', 80), 5)": "Network is unreachable",
        f"import os\nos.kill({os.getpid()}, 0)": "No such process",
        "input()": "EOFError",
        "import os\nfor n in range(600):\n    os.fork() or os.abort()": "BlockingIOError",
    }
    told, why, _ = place.run(JOB | {"cells": list(enumerate(refused))}, 60)
    failed = {each["failed"]: each["why"] for each in told if "failed" in each}
    assert why == "" and list(failed) == list(range(len(refused)))
    for text, wanted in zip(failed.values(), refused.values(), strict=True):
        assert wanted in text


SPOILS = (  # the course that the next one would import, if it were the same
    "import pathlib, vae_helpers\nhere = pathlib.Path(vae_helpers.__file__).parent\n"
    "assert here.parent.parent.name.startswith('vae-grade-')\n"
    "for path in [*here.rglob('*.py'), *here.rglob('*.npz')]:\n    path.write_text('raise SystemExit')"
)


@pytest.mark.skipif(os.name != "posix", reason="a process without a user of its own")
def test_where_nothing_keeps_it_apart_the_others_are_graded_as_they_were(tmp_path, alone, monkeypatch):
    """With the rights of whoever grades, as on macOS."""
    monkeypatch.setattr(_place.shutil, "which", lambda name: None)
    monkeypatch.setattr(_place, "UID", 0)
    monkeypatch.setattr(_place.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "course" / "notebooks").mkdir(parents=True)
    shutil.copy(START, tmp_path / "course" / "notebooks")
    names = ["rewrites", "kills its parent", "kills its group", "leaves children", "forks", "kills itself"]
    zoo(tmp_path / "in", {name: HARMLESS[name] for name in names} | {"spoils": SPOILS})
    package, said = contents(_place.PACKAGE / "checks"), []
    edited = tmp_path / "course" / "notebooks" / "edited meanwhile.py"
    found = grade(
        tmp_path / "in",
        course=tmp_path / "course",
        seconds=30,
        memory=MEMORY,
        warn=said.append,
        progress=lambda line: edited.write_text("mine"),
    )
    assert not survivors() and contents(_place.PACKAGE / "checks") == package
    assert innocents(found) == [alone] * 2
    assert {name: codes(found, name) for name in names} == dict.fromkeys(names, ALL_RIGHT)
    assert codes(found, "spoils")[1:] == ["right", "right"]
    assert said[0].startswith("protection: copies and limits") and said[1:] == sorted(said[1:])
    told = [line.removeprefix("changed while grading ran: ") for line in said[1:]]
    assert str(edited) in told and str(tmp_path / "in" / "new" / "grades.json") in told
    assert str(tmp_path / "in" / "z innocent" / "00.ipynb") in told
    assert edited.read_text() == "mine" and contents(tmp_path / "in" / "new"), "nothing is put back"
    assert not any("hanged" in row["sentence"] for row in found["results"]), "and nobody is blamed"
    assert not any((tmp_path / "temporary").iterdir())


# ---- the command ----------------------------------------------------------------------------


def test_the_command_writes_both_files_and_the_same_again(tmp_path, capsys):
    submit(tmp_path / "in" / "=anna" / "00.ipynb", WORLD, BITS)
    submit(tmp_path / "in" / "Zoë" / "00.ipynb", WORLD, AWAY)
    written = []
    for _ in range(2):
        assert main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--seconds", "60"]) == 0
        written.append([(tmp_path / f"out.{kind}").read_bytes() for kind in ("json", "csv")])
    assert written[0] == written[1] and sorted(p.name for p in tmp_path.iterdir()) == [
        "in",
        "out.csv",
        "out.json",
    ]
    found = json.loads(written[0][0])
    lines = list(csv.DictReader(written[0][1].decode("utf-8-sig").splitlines()))
    assert tuple(lines[0]) == COLUMNS and len(lines) == len(found["results"]) == 6
    assert [line["code"] for line in lines] == [row["code"] for row in found["results"]]
    assert [line["student"] for line in lines][::3] == ["'=anna", "Zoë"], "no formula for a spreadsheet"
    told = capsys.readouterr()
    assert "Zoë/00.ipynb: 1 of 3" in told.out and told.err.count("protection: ") == 2


@pytest.mark.parametrize(
    "line, message",
    [
        ([], "folder: expected submissions in"),
        (["--seconds", "0"], "seconds: expected a positive number, got 0.0"),
        (["--memory", "nan"], "memory: expected a positive number, got nan"),
        (["--out", "no/where"], "out: expected an existing folder, got"),
        (["--out", ""], "out: expected a name, without an ending, got"),
        (["--out", "in/grades"], "out: expected a place outside in, got in/grades"),
        (
            ["--out", "taken"],
            "out: expected no file, or one that this command wrote, unchanged, got taken.csv",
        ),
        (["--out", "taken.csv"], "out: expected no file, or one that this command wrote, unchanged"),
    ],
)
def test_the_command_says_in_a_line_what_is_wrong(tmp_path, monkeypatch, capsys, line, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "taken.csv").mkdir()
    assert main(["grade", "in", *line]) == 2
    error = capsys.readouterr().err
    assert error.startswith(message) and error.count("\n") == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_results_that_somebody_has_edited_are_kept(tmp_path, ungraded, capsys):
    submit(tmp_path / "in" / "a" / "00.ipynb", WORLD)
    line = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out.csv")]
    assert main(line) == main(line) == 0
    out = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv")}
    whole = {path: path.read_bytes() for path in out.values()}
    for path in out.values():
        path.write_bytes(whole[path].replace(b"missing", b"right").replace(b"ended", b"right"))
        edited, runs = path.read_bytes(), len(ungraded)
        assert edited != whole[path] and main(line) == 2 and len(ungraded) == runs
        assert capsys.readouterr().err.endswith(f"unchanged, got {path}\n") and path.read_bytes() == edited
        path.write_bytes(whole[path])
    out["csv"].unlink()
    assert main(line) == 0 and out["csv"].read_bytes() == whole[out["csv"]]
    out["json"].unlink()
    assert main(line) == 2, "a table that nothing vouches for"


def test_results_that_are_edited_while_grading_runs_are_kept(tmp_path, ungraded, capsys, monkeypatch):
    submit(tmp_path / "in" / "a" / "00.ipynb", WORLD)
    monkeypatch.setattr(
        "vae_helpers.classroom.grade._score", lambda rows: (tmp_path / "out.csv").write_text("1")
    )
    assert main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out.csv").read_text() == "1" and not (tmp_path / "out.json").exists()
    assert (tmp_path / "out-new.json").exists() and "out-new.json and .csv" in capsys.readouterr().out


def test_both_files_are_written_or_neither(tmp_path, ungraded, monkeypatch, capsys):
    submit(tmp_path / "in" / "a" / "00.ipynb", WORLD)
    line = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert main(line) == 0
    before = contents(tmp_path)
    submit(tmp_path / "in" / "b" / "00.ipynb", WORLD)
    whole = grade_module.whole_file

    def fails(path):
        if path.suffix == ".csv":
            raise PermissionError("open elsewhere")
        return whole(path)

    monkeypatch.setattr(grade_module, "whole_file", fails)
    assert main(line) == 2 and capsys.readouterr().err.endswith("open elsewhere\n")
    assert {path: text for path, text in contents(tmp_path).items() if path.parts[0] != "in"} == {
        path: text for path, text in before.items() if path.parts[0] != "in"
    }


def test_what_no_empty_run_fits_into_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_place, "START", 20.0)  # OpenBLAS tries again and again
    submit(tmp_path / "in" / "a" / "00.ipynb", WORLD)
    for memory in ("0.01", "0.1"):
        line = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--memory", memory]
        assert main(line) == 2
        told = capsys.readouterr()
        assert (
            told.err.startswith("memory: expected as much as a run without any cell takes") and not told.out
        )


def test_a_folder_that_is_not_there_is_told(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["grade", str(tmp_path / "nowhere")])
    assert (
        ended.value.code == 2 and "FOLDER: expected a folder with submissions, got" in capsys.readouterr().err
    )
    with pytest.raises(FileNotFoundError, match="folder: expected a folder with submissions, got"):
        grade(tmp_path / "nowhere")


def test_an_interruption_writes_nothing(tmp_path, monkeypatch, capsys):
    submit(tmp_path / "in" / "a" / "00.ipynb", WORLD)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_place.Place, "_beyond", interrupted)
    made = {"_memory": 10**9, "_uid": 0, "apart": False, "_prefix": [], "_course": {}}
    monkeypatch.setattr(_place.Place, "__init__", lambda self, *_: vars(self).update(made))
    assert main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err.endswith("\ninterrupted; nothing was written\n")
    assert not survivors() and [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_notebook_without_what_reads_it_is_told(tmp_path, monkeypatch, capsys):
    for name in ("exercises", "_handed_in"):
        monkeypatch.delitem(sys.modules, f"vae_helpers.classroom.{name}", raising=False)
        monkeypatch.delattr(f"vae_helpers.classroom.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "nbformat", None)
    (tmp_path / "in").mkdir()
    assert main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("nbformat is missing")


def test_the_help_explains_every_code(capsys):
    with pytest.raises(SystemExit):
        main(["grade", "--help"])
    text = capsys.readouterr().out
    assert all(f"\n  {code} " in text for code in ("right", *OWN))
