"""An answer's numbers beside the right ones: whether they agree, where they do not, and how they look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vae_helpers.checks.engine.calling import as_array
from vae_helpers.checks.engine.fitting import in_words
from vae_helpers.checks.engine.report import Finding
from vae_helpers.numerics._validate import Array

# What happens to any number: the code, what the values look like, and what the right ones became.
# A change that only numbers above zero can undergo is tried for those alone.
Arrays = Sequence[Array]
_Changes = Sequence[tuple[str, str, bool, Callable[[Array], Array]]]
_CHANGES: _Changes = [
    ("sign", "Your value has the opposite sign.", False, np.negative),
    ("half", "Your value is exactly twice the right one: a factor ½ is lost.", False, lambda w: 2 * w),
    ("not-log", "Your value is the logarithm of the right one.", True, np.log),
    ("not-log", "The logarithm of your value would be right.", False, np.exp),
]
_POWERS: _Changes = [
    ("std-for-var", "Your value is the square of the right one.", True, np.square),
    ("std-for-var", "Your value is the square root of the right one.", True, np.sqrt),
]
_NOT_FINITE = "Your function gives infinity or NaN (not a number) where the answer is finite."
_NEARLY = "Your values are nearly right. Is something rounded, cut off or sampled that has an exact value?"
_STRANGE = "This fits no mistake that is known here. Work the example out by hand, step by step."


def as_numbers(value: Any) -> Array:
    """A number, an array or a tuple of them as one array; what differs in size is laid end to end."""
    if isinstance(value, tuple | list):
        parts = [as_array(part) for part in value]
        if len({_squeezed(part) for part in parts}) == 1:
            return np.stack([part.reshape(_squeezed(part)) for part in parts])
        return np.concatenate([np.empty(0), *(part.ravel() for part in parts)])
    return as_array(value)


def in_shape_of(expected: Array, value: Array) -> Array:
    """The value without axes of size 1 that the expected one has not, and with those that it has."""
    if value.size == expected.size and _squeezed(value) == _squeezed(expected):
        return value.reshape(expected.shape)
    return value


def all_close(given: Arrays, wanted: Arrays, tolerance: float) -> bool:
    """Whether each pair agrees to `tolerance`, relative to 1 + |value|."""
    return all(bool(np.all(_close(g, w, tolerance))) for g, w in zip(given, wanted, strict=True))


def counterexample(
    names: Sequence[str], cases: Sequence[tuple[Any, ...]], given: Arrays, wanted: Arrays, tolerance: float
) -> str:
    """The first case with another value, in words; the first infinite one, if there is any."""
    infinite = not all(np.isfinite(value).all() for value in given)
    for case, value, expected in zip(cases, given, wanted, strict=True):
        if (infinite and np.isfinite(value).all()) or all_close([value], [expected], tolerance):
            continue
        here = f"For {show(names, case)}"
        if expected.size <= 4:
            return f"{here} your function gives {_values(value)}; expected {_values(expected)}."
        place = int(np.argmax(~_close(value, expected, tolerance)))
        given, right = value.flat[place], expected.flat[place]
        return f"{here} entry {place} of your result is {given:.5g}; expected {right:.5g}."
    return ""


def show(names: Sequence[str], case: tuple[Any, ...]) -> str:
    """The arguments of a case, such as "mu = 1, std = 0.5"; large arrays by their shape alone."""
    shown = []
    for name, value in zip(names, case, strict=True):
        if isinstance(value, int | float):
            shown.append(f"{name} = {value:g}")
        elif isinstance(value, str):
            shown.append(f"{name} = {value!r}")
        elif isinstance(value, np.ndarray) and value.size <= 6:
            numbers = np.array2string(value + 0.0, precision=4, separator=", ")
            shown.append(f"{name} = {numbers}".replace("\n", ""))
        elif hasattr(value, "shape"):
            shown.append(f"{name} of shape {tuple(value.shape)}")
    return ", ".join(shown) or "the first case"


def wrong_shape(case: tuple[Any, ...], value: Array, expected: Array) -> Finding:
    """What a value of another shape looks like."""
    batches = {argument.shape[0] for argument in case if getattr(argument, "ndim", 0) > 1}
    if value.size == 1 and expected.ndim == 1 and len(expected) in batches:
        text = f"Your function gives a single number for a batch of {len(expected)}; "
        return Finding("batch-reduced", text + "expected one for each row.")
    return Finding("shape", f"Your function returns {_shape(value)}; expected: {_shape(expected)}.")


def describe(given: Arrays, wanted: Arrays, tolerance: float) -> Finding:
    """What can be said of wrong values that no known mistake gives."""
    values = np.concatenate([value.ravel() for value in given])
    right = np.concatenate([value.ravel() for value in wanted])
    if not np.isfinite(values).all():
        return Finding("unknown", _NOT_FINITE)
    with np.errstate(all="ignore"):
        seen = (
            _changed(_CHANGES, values, right, tolerance)
            or _scaled(values, right, tolerance)
            or _changed(_POWERS, values, right, tolerance)
            or _shifted(values, right, tolerance)
        )
    return seen or Finding("unknown", _NEARLY if all_close([values], [right], 0.03) else _STRANGE)


def _changed(changes: _Changes, values: Array, right: Array, tolerance: float) -> Finding | None:
    for code, text, needs_positive, change in changes:
        if (not needs_positive or (right > 0).all()) and _agrees(values, change(right), tolerance):
            return Finding(code, text)
    return None


def _scaled(values: Array, right: Array, tolerance: float) -> Finding | None:
    ratio = float(values @ right) / max(float(right @ right), 1e-300)
    in_proportion = np.abs(values - ratio * right) <= 5 * tolerance * np.abs(ratio * right)
    if not ratio or abs(ratio - 1) <= 0.02 or len(right) == 1 or not in_proportion.all():
        return None
    bits = " In bits, where nats are asked for?" if abs(ratio * np.log(2) - 1) < 1e-3 else ""
    return Finding("scale", f"Your value is {in_words(ratio)} times the right one, each time.{bits}")


def _shifted(values: Array, right: Array, tolerance: float) -> Finding | None:
    offset = float(np.mean(values - right))
    if len(right) > 2 and np.ptp(right) > 1e-6 and _agrees(values, right + offset, tolerance):
        return Finding("constant", f"Your value is off by {in_words(offset)}, each time.")
    return None


def _agrees(values: Array, others: Array, tolerance: float) -> bool:
    return bool(np.isfinite(others).all()) and all_close([values], [others], 5 * tolerance)


def _close(value: Array, expected: Array, tolerance: float) -> Array:
    return np.abs(value - expected) <= tolerance * (1 + np.abs(expected))


def _squeezed(value: Array) -> tuple[int, ...]:
    return tuple(size for size in value.shape if size != 1)


def _shape(value: Array) -> str:
    return "one number" if value.size == 1 else f"numbers of shape {value.shape}"


def _values(value: Array) -> str:
    if value.ndim == 2:
        return "[" + ", ".join(_values(row) for row in value) + "]"
    numbers = [f"{v + 0.0:.5g}" for v in value.ravel()]
    return numbers[0] if value.ndim == 0 else "(" + ", ".join(numbers) + ")"
