"""What holds for the check of every exercise, found in the modules themselves."""

import importlib
import inspect
import math
import pkgutil
import re

import numpy as np
import pytest
from support.cells import PATHS, code_cells, exercises

from vae_helpers import checks
from vae_helpers.checks import CODES
from vae_helpers.checks import exercises as folder
from vae_helpers.checks.engine.comparing import as_numbers
from vae_helpers.checks.engine.exercise import Exercise, Mistake

MODULES = [
    importlib.import_module(f"{folder.__name__}.{info.name}")
    for info in pkgutil.iter_modules(folder.__path__)
]
# By name: the checks that a notebook may import.
OF_EXERCISES = {
    name: value for module in MODULES for name, value in vars(module).items() if name.startswith("check_")
}
GENERAL = {name: getattr(checks, name) for name in checks.__all__ if name.startswith("check_")}
EXERCISES = {name: check for name, check in OF_EXERCISES.items() if isinstance(check, Exercise)}
EXERCISES |= {f"{name}, further": each.further for name, each in EXERCISES.items() if each.further}

each_check = pytest.mark.parametrize(
    "check", [*GENERAL.values(), *OF_EXERCISES.values()], ids=[*GENERAL, *OF_EXERCISES]
)
each_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


@each_check
@pytest.mark.parametrize("nothing", [None, ...])
def test_an_empty_answer_is_not_attempted(check, nothing):
    assert check(lambda *arguments: nothing).codes == {"not-attempted"}


@each_check
def test_what_is_no_answer_is_an_error(check):
    assert check(lambda *arguments: "0.5").codes == {"error"}
    assert check(lambda *arguments: 1 / 0).codes == {"error"}
    assert check(lambda: 1.0).codes == {"error"}
    with pytest.raises(TypeError, match="fn: expected a function, got float"):
        check(3.0)


@each_check
def test_nonsense_never_passes(check):
    for nonsense in (
        0.0,
        1.0,
        math.pi,
        (0.3, 0.7),
        math.nan,
        -math.inf,
        np.ones((3, 2)),
        [],
        (0.25, math.nan),
    ):
        found = check(lambda *arguments, value=nonsense: value)
        assert not found.passed and found.codes <= set(CODES) and found.message, nonsense
        assert "could not be analysed" not in found.message


@each_check
def test_docstrings_are_complete(check):
    text = inspect.getdoc(check)
    assert all(f"\n{part}:" in text for part in ("Args", "Returns", "Raises", "Source"))


@each_exercise
def test_a_program_without_a_slip_gives_the_truth_by_another_road(exercise):
    assert exercise.program is not exercise.truth
    for case in [*exercise.cases, *(exercise.extremes.cases if exercise.extremes else [])]:
        close = {"rtol": exercise.tolerance / 10, "atol": exercise.tolerance / 10}
        np.testing.assert_allclose(
            as_numbers(exercise.program(*case)), as_numbers(exercise.truth(*case)), **close
        )


@each_exercise
def test_an_exercise_tries_several_cases_and_knows_mistakes(exercise):
    assert len(exercise.cases) + (exercise.extremes is not None) >= 2 and exercise.slips()
    assert re.match(r"notebook \d+, (section|Deeper)", exercise.where)
    for _, said, _ in exercise.slips():
        assert said.endswith((".", "?"))


@each_exercise
def test_a_slip_is_wrong(exercise):
    wanted = [as_numbers(exercise.truth(*case)) for case in exercise.cases]
    slack = {"rtol": 10 * exercise.tolerance, "atol": 10 * exercise.tolerance}
    for _, said, answer in exercise.slips():
        with np.errstate(all="ignore"):
            given = [as_numbers(answer(*case)) for case in exercise.cases]
        pairs = list(zip(given, wanted, strict=True))
        assert any(g.shape != w.shape or not np.allclose(g, w, **slack) for g, w in pairs), said


@each_exercise
def test_a_slip_is_told_by_its_own_code(exercise):
    if "numpy" not in exercise.kinds:
        pytest.skip("the programs speak NumPy, and this exercise hands over tensors alone")
    for mistake, said, answer in exercise.slips():
        assert exercise(answer).codes == {mistake.code}, said


@pytest.mark.parametrize(
    "mistakes, message",
    [
        (["It is whole.", Mistake("half", whole=1)], "steps of the program, half, got whole in 'A half'"),
        (["It is twice.", Mistake("twice", half=1)], "a key of CODES, got 'twice' in 'A half'"),
        ([Mistake("half", half=1)], "sentences, each before its mistakes, got <.*Mistake.*> in 'A half'"),
        (["To nobody.", "It is twice.", Mistake("half", half=1)], "sentences, .*, got 'To nobody.' in"),
        (["It is twice.", Mistake("half", half=1), "To nobody."], "sentences, .*, got 'To nobody.' in"),
    ],
)
def test_a_mistake_that_cannot_be_made_is_refused(mistakes, message):
    def program(x, *, half=0.5):
        return half * x

    words = {"title": "A half", "takes": "x", "returns": "x / 2", "source": "nobody", "where": "notebook 0"}
    with pytest.raises(ValueError, match=f"mistakes: expected {message}"):
        Exercise(
            **words,
            truth=lambda x: x / 2,
            program=program,
            cases=[(1.0,), (2.0,)],
            mistakes=mistakes,
        )


def test_every_check_is_used_in_its_notebook():
    used = {exercise.call[0] for path in PATHS for exercise in exercises(path)}
    assert used == {*GENERAL, *OF_EXERCISES}


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_a_notebook_imports_its_own_exercises(path):
    source = "\n".join(cell.source for cell in code_cells(path))
    assert set(re.findall(r"vae_helpers\.checks\.exercises\.notebook_(\d\d)", source)) <= {path.stem[:2]}
