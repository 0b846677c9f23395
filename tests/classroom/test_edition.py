"""The editions: what they leave out, what they open, and that all the rest is as it was."""

import ast
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from support.cells import PATHS, SOLUTION, exercises, read

from vae_helpers.__main__ import main
from vae_helpers.classroom import edition

EACH = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def editions(tmp_path_factory):
    """Both editions of the course, as the commands write them."""
    folder = tmp_path_factory.mktemp("editions")
    for kind in edition.KINDS:
        assert main(["edition", kind, "--out", str(folder / kind)]) == 0
    return folder


def is_solution(cell):
    return cell.cell_type == "markdown" and SOLUTION.search(cell.source) is not None


@EACH
def test_the_students_edition_is_the_course_without_solutions(editions, path):
    made = nbformat.read(editions / "student" / path.name, as_version=4)
    kept = [cell for cell in read(path).cells if not is_solution(cell)]
    assert len(read(path).cells) - len(kept) == len(exercises(path))
    assert [cell.id for cell in made.cells] == [cell.id for cell in kept]
    assert all(
        one == other for one, other in zip(made.cells, kept, strict=True) if "# Exercises" not in one.source
    )
    assert made.metadata == read(path).metadata
    assert sum(cell.source.count("<summary>Hint") for cell in made.cells) >= 2 * len(exercises(path))


@EACH
def test_nothing_of_a_solution_is_left_anywhere(editions, path):
    text = (editions / "student" / path.name).read_text(encoding="utf-8")
    assert not re.search(r"\b[Ss]olutions?\b", text)
    lesson = [cell.source for cell in read(path).cells if not is_solution(cell)]
    for exercise in exercises(path):
        told = {line.strip() for line in exercise.solution.splitlines()}
        own = {line for line in told if len(line) > 20 and not any(line in cell for cell in lesson)}
        assert own and not [line for line in own if line in text]


def functions(source):
    """Each function of some code by its name, as its body without a docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            yield node.name, "\n".join(map(ast.unparse, body))


# The right KL, which the lesson of notebook 10 sets beside the wrong ones.
TAUGHT = {"10_spot_the_mistake": {"my_kl"}}


@EACH
def test_no_cell_of_the_lesson_has_the_function_of_a_solution(editions, path):
    made = nbformat.read(editions / "student" / path.name, as_version=4)
    sources = [cell.source for cell in made.cells if cell.cell_type == "code"]
    there = {body for source in sources for _, body in functions(source)}
    answers = [answer for exercise in exercises(path) for answer in functions(exercise.solution)]
    assert {name for name, body in answers if body in there} == TAUGHT.get(path.stem, set())


@EACH
def test_the_lecturers_edition_answers_and_opens_each_exercise(editions, path):
    made = nbformat.read(editions / "solutions" / path.name, as_version=4)
    assert [cell.id for cell in made.cells] == [cell.id for cell in read(path).cells]
    cells = {cell.id: cell for cell in made.cells}
    touched = set()
    for exercise in exercises(path):
        check, function = exercise.call
        cell = cells[exercise.stub.id]
        assert dict(functions(cell.source))[function] == dict(functions(exercise.solution))[function]
        assert cell.source.endswith(f"\n{check}({function})") and ".passed" not in cell.source
        (output,) = cell.outputs
        assert output.data["text/plain"].startswith("✓") and "✓" in output.data["text/html"]
        after = made.cells[made.cells.index(cell) + 1]
        assert after.source.startswith("<details open><summary>Solution</summary>")
        assert exercise.solution.strip() in after.source
        touched |= {cell.id, after.id}
    rest = [(one, cells[one.id]) for one in read(path).cells if one.id not in touched]
    assert all(one == other for one, other in rest) and len(rest) > len(touched)


@EACH
@pytest.mark.parametrize("kind", edition.KINDS)
def test_an_edition_is_valid_and_has_no_state_of_widgets(editions, kind, path):
    made = nbformat.read(editions / kind / path.name, as_version=4)
    nbformat.validate(made)
    assert "widgets" not in made.metadata and len({cell.id for cell in made.cells}) == len(made.cells)


@pytest.fixture
def course(tmp_path):
    """A course of two light notebooks."""
    (tmp_path / "course" / "notebooks").mkdir(parents=True)
    for path in (PATHS[1], PATHS[4]):
        shutil.copy(path, tmp_path / "course" / "notebooks")
    return tmp_path / "course"


def change(course, old, new):
    """Changes words of notebook 1."""
    path = course / "notebooks" / PATHS[1].name
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if old in cell.source]
    assert cells
    cells[0].source = cells[0].source.replace(old, new, 1)
    nbformat.write(notebook, path)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_edition_takes_the_place_of_one_of_the_same_kind(course, tmp_path):
    out = tmp_path / "out"
    edition.write("student", out, course=course)
    change(course, "## Summary", "## In short")
    made = edition.write("student", out, course=course)
    assert [path.name for path in made] == names(course / "notebooks")
    assert names(out) == [".vae-course-edition-student", *names(course / "notebooks")]
    assert "## In short" in made[0].read_text(encoding="utf-8")
    assert names(tmp_path) == ["course", "out"]


def test_the_same_course_gives_the_same_bytes(course, tmp_path):
    first, second = (edition.write("solutions", tmp_path / name, course=course) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize("what", ["another kind", "another file", "a changed notebook"])
def test_an_edition_loses_nothing_of_others(course, tmp_path, what):
    out = tmp_path / "out"
    edition.write("solutions" if what == "another kind" else "student", out, course=course)
    if what == "another file":
        (out / "grades.csv").write_text("mine", encoding="utf-8")
    if what == "a changed notebook":
        (out / PATHS[1].name).write_text("mine", encoding="utf-8")
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(FileExistsError, match="out: expected an empty folder, or what was made there before"):
        edition.write("student", out, course=course)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_after_an_interruption_the_earlier_edition_is_there(course, tmp_path, monkeypatch):
    out = tmp_path / "out"
    edition.write("student", out, course=course)
    before = {path: path.read_bytes() for path in out.iterdir()}
    change(course, "## Summary", "## In short")
    real, count = nbformat.writes, []

    def interrupted(*given, **options):
        count.append(1)
        if len(count) == 2:
            raise KeyboardInterrupt
        return real(*given, **options)

    monkeypatch.setattr(nbformat, "writes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        edition.write("student", out, course=course)
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert names(tmp_path) == ["course", "out"]


STUB = "    return None  # your answer\n\n\ncheck_log_prob"


@pytest.mark.parametrize(
    "old, new, message",
    [
        (STUB, STUB.replace("None", "x"), "01_bayes_rule, exercise 1: expected a function that returns None"),
        (
            "check_log_prob(log_prob)",
            "",
            "01_bayes_rule, exercise 1: expected a cell that ends with its check",
        ),
        ("## Summary", "<details><summary>Solution</summary> 7", "expected a solution after each of 5"),
        ("square = (x - mu) ** 2", "square = (x + mu) ** 2", "exercise 1: expected a solution that passes"),
    ],
)
def test_a_notebook_that_would_give_something_away_is_refused(course, tmp_path, old, new, message):
    change(course, old, new)
    with pytest.raises(ValueError, match=message):
        edition.write("solutions", tmp_path / "out", course=course)
    assert names(tmp_path) == ["course"]


def test_what_is_no_kind_or_no_course_is_refused(tmp_path):
    with pytest.raises(ValueError, match="kind: expected one of student, solutions, got 'exam'"):
        edition.write("exam", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="expected the course's notebooks in"):
        edition.write("student", tmp_path / "out", course=tmp_path)
    assert not names(tmp_path)


def test_the_command_says_in_a_line_what_is_wrong(tmp_path, capsys, monkeypatch):
    Path(tmp_path, "thesis.tex").touch()
    assert main(["edition", "student", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.delitem(sys.modules, "vae_helpers.classroom.exercises", raising=False)
    monkeypatch.delattr("vae_helpers.classroom.exercises", raising=False)
    monkeypatch.setitem(sys.modules, "nbformat", None)
    assert main(["edition", "student", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("nbformat is missing")
