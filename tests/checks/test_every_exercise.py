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
from vae_helpers.checks import exercises as exercises_of
from vae_helpers.checks.engine.exercise import Task

MODULES = [
    importlib.import_module(f"{exercises_of.__name__}.{info.name}")
    for info in pkgutil.iter_modules(exercises_of.__path__)
]
OF_EXERCISES = [
    value
    for module in MODULES
    for name, value in vars(module).items()
    if name.startswith("check_")
    and value.__module__ == module.__name__
    and len(inspect.signature(value).parameters) == 1
]
GENERAL = [getattr(checks, name) for name in checks.__all__ if name.startswith("check_")]


def tasks():
    """The tasks of each exercise; some have a second one for extreme or exact cases."""
    found = {}
    for module in MODULES:
        for name, value in vars(module).items():
            made = value() if re.fullmatch(r"_\w+_tasks?", name) else value
            for task in made if isinstance(made, tuple | list) else [made]:
                if isinstance(task, Task):
                    found.setdefault(f"{module.__name__[-2:]} {task.exercise}", []).append(task)
    return [pytest.param(value, id=name) for name, value in found.items()]


each_check = pytest.mark.parametrize("check", [*GENERAL, *OF_EXERCISES], ids=lambda check: check.__name__)


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


@pytest.mark.parametrize("stages", tasks())
def test_an_exercise_knows_mistakes_that_are_wrong(stages):
    assert sum(len(task.mistakes) for task in stages) >= 3 and sum(len(task.cases) for task in stages) >= 3
    assert re.match(r"notebook \d+, section", stages[0].where)
    for task in stages:
        wanted = [_flat(task.answer(*case)) for case in task.cases]
        for mistake in task.mistakes:
            assert mistake.code in CODES and mistake.cause.endswith((".", "?"))
            with np.errstate(all="ignore"):
                given = [_flat(mistake.answer(*case)) for case in task.cases]
            slack = {"rtol": 10 * task.tolerance, "atol": 10 * task.tolerance}
            pairs = list(zip(given, wanted, strict=True))
            assert any(g.shape != w.shape or not np.allclose(g, w, **slack) for g, w in pairs), mistake.cause


def _flat(value):
    return np.concatenate(
        [np.ravel(part) for part in (value if isinstance(value, tuple | list) else [value])]
    )


def test_every_check_is_used_in_its_notebook():
    used = {exercise.call[0] for path in PATHS for exercise in exercises(path)}
    assert used == {check.__name__ for check in [*GENERAL, *OF_EXERCISES]}


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_a_notebook_imports_its_own_exercises(path):
    source = "\n".join(cell.source for cell in code_cells(path))
    assert set(re.findall(r"vae_helpers\.checks\.exercises\.notebook_(\d\d)", source)) <= {path.stem[:2]}
