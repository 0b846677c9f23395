"""The check of any other exercise: a reference answer, and the answers that mistakes give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vae_helpers.checks.engine.calling import KINDS, Failed, Student, as_array
from vae_helpers.checks.engine.fitting import in_words
from vae_helpers.checks.engine.report import Finding, Report, report, safely

Array = NDArray[np.float64]


class Mistake(NamedTuple):
    """A mistake that an exercise invites.

    Attributes:
        code: a key of `CODES`.
        answer: what someone who makes it would compute; takes the task's arguments.
        cause: what a teacher says of it, never the solution.
        where: where to look; empty takes the place that `CODES` names.
    """

    code: str
    answer: Callable[..., Any]
    cause: str
    where: str = ""


class Extremes(NamedTuple):
    """Arguments at which numbers become infinite or vanish, though the answer is an ordinary number.

    Attributes:
        cases: such arguments.
        cause: what a teacher says of an answer that is right at moderate arguments only.
        tolerance: largest error, relative to 1 + |value|.
    """

    cases: Sequence[tuple[Any, ...]]
    cause: str
    tolerance: float = 1e-4


@dataclass(frozen=True)
class Task:
    """One exercise whose answer is a function, and how it is checked.

    Attributes:
        exercise: its name, as the report shows it.
        answer: the reference; takes the arguments of any case and returns numbers (a number, an
            array, or a tuple of them). It is computed another way than the exercise suggests where
            there is one.
        cases: arguments to try it with, the smallest first; at least three, so that no constant fits.
        names: the arguments' names.
        mistakes: the mistakes that are known by name.
        where: where the course treats the subject.
        tolerance: largest error, relative to 1 + |value|.
        kinds: which arrays the function is given ("numpy", "torch float32", …), in this order;
            arguments that are no arrays (numbers, functions, models) are handed over as they are.
        extremes: what a right answer should survive, too.
    """

    exercise: str
    answer: Callable[..., Any]
    cases: Sequence[tuple[Any, ...]]
    names: tuple[str, ...]
    mistakes: Sequence[Mistake] = ()
    where: str = ""
    tolerance: float = 1e-4
    kinds: Sequence[str] = KINDS
    extremes: Extremes | None = None


def check_task(fn: Callable[..., Any], task: Task) -> Report:
    """Compares a function with the task's answer in all cases, and names the mistake if it is known.

    Args:
        fn: the student's function.
        task: the exercise.

    Raises:
        TypeError: fn is not a function.
    """
    student = Student(fn, task.kinds, _numbers)
    return safely(task.exercise, lambda: _check_both(student, task))


def _check_both(student: Student, task: Task) -> Report:
    """At moderate arguments, and then at the extremes: what fails only there is called unstable."""
    found = _check(student, task)
    if not found.passed or task.extremes is None:
        return found
    with np.errstate(all="ignore"):  # infinity is to be expected there
        at_extremes = _check(
            student, replace(task, cases=task.extremes.cases, tolerance=task.extremes.tolerance)
        )
    if at_extremes.passed:
        return at_extremes
    seen = " ".join(at_extremes.message.splitlines()[: 2 if "error" in at_extremes.codes else 1])
    return report(task.exercise, [Finding("unstable", task.extremes.cause, task.where)], seen)


def _check(student: Student, task: Task) -> Report:
    wanted = [_numbers(task.answer(*case)) for case in task.cases]
    given: list[Array] = []
    for case, expected in zip(task.cases, wanted, strict=True):
        try:
            value = student.with_any(*case)
        except Failed as failed:
            seen = "" if failed.finding.code == "not-attempted" else f"For {_show(task, case)}:"
            return report(task.exercise, [failed.finding], seen)
        if value.size == expected.size and _squeezed(value) == _squeezed(expected):
            value = value.reshape(expected.shape)
        if value.shape != expected.shape:
            return report(
                task.exercise, [_shape_finding(task, case, value, expected)], f"For {_show(task, case)}:"
            )
        given.append(value)
    if _all_close(given, wanted, task.tolerance):
        notes = ["your function changes its arguments in place; its caller may still need them."]
        return report(task.exercise, notes=notes if student.changed else [])
    return report(task.exercise, _diagnose(task, given, wanted), _counterexample(task, given, wanted))


def _diagnose(task: Task, given: list[Array], wanted: list[Array]) -> list[Finding]:
    for mistake in task.mistakes:
        with np.errstate(all="ignore"):
            answers = [_numbers(mistake.answer(*case)) for case in task.cases]
        same_shape = all(a.shape == w.shape for a, w in zip(answers, wanted, strict=True))
        if same_shape and _all_close(given, answers, task.tolerance):
            return [Finding(mistake.code, mistake.cause, mistake.where or task.where)]
    all_given = np.concatenate([value.ravel() for value in given])
    all_wanted = np.concatenate([value.ravel() for value in wanted])
    if not np.isfinite(all_given).all():
        text = "Your function gives infinity or NaN (not a number) where the answer is finite."
        return [Finding("unknown", text, task.where)]
    for finding in _general(all_given, all_wanted, task.tolerance):
        return [finding._replace(where=task.where) if task.where else finding]
    if _all_close([all_given], [all_wanted], 0.03):
        text = (
            "Your values are nearly right. Is something rounded, cut off or sampled that has an exact value?"
        )
        return [Finding("unknown", text, task.where)]
    text = "This fits no mistake that is known here. Work the example out by hand, step by step."
    return [Finding("unknown", text, task.where)]


def _general(given: Array, wanted: Array, tolerance: float) -> list[Finding]:
    """Mistakes that any number can suffer from."""

    def close(values: Array) -> bool:
        return bool(np.isfinite(values).all()) and _all_close([given], [values], 5 * tolerance)

    with np.errstate(all="ignore"):
        if close(-wanted):
            return [Finding("sign", "Your value has the opposite sign.")]
        if close(2 * wanted):
            return [Finding("half", "Your value is exactly twice the right one: a factor ½ is lost.")]
        if (wanted > 0).all() and close(np.log(wanted)):
            return [Finding("not-log", "Your value is the logarithm of the right one.")]
        if close(np.exp(wanted)):
            return [Finding("not-log", "The logarithm of your value would be right.")]
        ratio = float(given @ wanted) / max(float(wanted @ wanted), 1e-300)
        in_proportion = np.abs(given - ratio * wanted) <= 5 * tolerance * np.abs(ratio * wanted)
        if ratio and abs(ratio - 1) > 0.02 and len(wanted) > 1 and in_proportion.all():
            bits = " In bits, where nats are asked for?" if abs(ratio * np.log(2) - 1) < 1e-3 else ""
            return [
                Finding("scale", f"Your value is {in_words(ratio)} times the right one, each time.{bits}")
            ]
        if (wanted > 0).all() and close(wanted**2):
            return [Finding("std-for-var", "Your value is the square of the right one.")]
        if (wanted > 0).all() and close(np.sqrt(wanted)):
            return [Finding("std-for-var", "Your value is the square root of the right one.")]
        offset = float(np.mean(given - wanted))
        if len(wanted) > 2 and np.ptp(wanted) > 1e-6 and close(wanted + offset):
            return [Finding("constant", f"Your value is off by {in_words(offset)}, each time.")]
    return []


def _numbers(value: Any) -> Array:
    """A number, an array or a tuple of them as one array; what differs in size is laid end to end."""
    if isinstance(value, tuple | list):
        parts = [as_array(part) for part in value]
        if len({_squeezed(part) for part in parts}) == 1:
            return np.stack([part.reshape(_squeezed(part)) for part in parts])
        return np.concatenate([np.empty(0), *(part.ravel() for part in parts)])
    return as_array(value)


def _squeezed(value: Array) -> tuple[int, ...]:
    return tuple(size for size in value.shape if size != 1)


def _all_close(given: Sequence[Array], wanted: Sequence[Array], tolerance: float) -> bool:
    return all(
        bool(np.all(np.abs(g - w) <= tolerance * (1 + np.abs(w)))) for g, w in zip(given, wanted, strict=True)
    )


def _counterexample(task: Task, given: list[Array], wanted: list[Array]) -> str:
    infinite = not all(np.isfinite(value).all() for value in given)  # then that is to be seen
    for case, value, expected in zip(task.cases, given, wanted, strict=True):
        if infinite and np.isfinite(value).all():
            continue
        if not _all_close([value], [expected], task.tolerance):
            if expected.size > 4:
                place = int(np.argmax(~(np.abs(value - expected) <= task.tolerance * (1 + np.abs(expected)))))
                return (
                    f"For {_show(task, case)} entry {place} of your result is {value.flat[place]:.5g}; "
                    f"expected {expected.flat[place]:.5g}."
                )
            return (
                f"For {_show(task, case)} your function gives {_values(value)}; expected {_values(expected)}."
            )
    return ""


def _show(task: Task, case: tuple[Any, ...]) -> str:
    shown = []
    for name, value in zip(task.names, case, strict=True):
        if isinstance(value, bool | str | int | float):
            shown.append(f"{name} = {value:g}" if isinstance(value, int | float) else f"{name} = {value!r}")
        elif isinstance(value, np.ndarray) and value.size <= 6:
            shown.append(
                f"{name} = {np.array2string(value + 0.0, precision=4, separator=', ')}".replace("\n", "")
            )
        elif hasattr(value, "shape"):
            shown.append(f"{name} of shape {tuple(value.shape)}")
    return ", ".join(shown) or "the first case"


def _shape_finding(task: Task, case: tuple[Any, ...], value: Array, expected: Array) -> Finding:
    batches = {a.shape[0] for a in case if getattr(a, "ndim", 0) > 1}
    if value.size == 1 and expected.ndim == 1 and len(expected) in batches:
        text = (
            f"Your function gives a single number for a batch of {len(expected)}; expected one for each row."
        )
        return Finding("batch-reduced", text, task.where)
    text = f"Your function returns {_shape(value)}; expected: {_shape(expected)}."
    return Finding("shape", text, task.where)


def _shape(value: Array) -> str:
    return "one number" if value.size == 1 else f"numbers of shape {value.shape}"


def _values(value: Array) -> str:
    if value.ndim == 2:
        return "[" + ", ".join(_values(row) for row in value) + "]"
    numbers = [f"{v + 0.0:.5g}" for v in value.ravel()]
    return numbers[0] if value.ndim == 0 else "(" + ", ".join(numbers) + ")"
