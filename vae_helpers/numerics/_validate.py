"""Checks of arguments: every message names the argument, what was expected and what came."""

from __future__ import annotations

import math
import os
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray
MOST = 2**31 - 1  # of anything that is counted: no machine holds more, and loops over more do not end


def told(value: object) -> str:
    """A value as a message shows it: on one line, in at most 80 characters."""
    try:
        words = " ".join(repr(value).split())
    except Exception:  # a number of 5,000 digits has no text, and a reader's class may have a faulty one
        return type(value).__name__
    return words if len(words) <= 80 else f"{words[:79]}…"


def as_array(name: str, value: ArrayLike) -> Array:
    """Returns `value` as a float64 array that is not empty and holds finite numbers only."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError
        with np.errstate(over="ignore"):  # what is beyond float64 is infinite, and told so below
            array = array.astype(np.float64)
    except Exception:  # whatever another library's array raises when it is asked for numbers
        raise TypeError(f"{name}: expected an array of real numbers, got {type(value).__name__}") from None
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        raise ValueError(f"{name}: expected numbers, got an array of shape {array.shape} with masked ones")
    if array.size == 0:
        raise ValueError(f"{name}: expected at least one number, got an empty array of shape {array.shape}")
    if not np.isfinite(array).all():
        bad = array[~np.isfinite(array)].flat[0]
        raise ValueError(f"{name}: expected finite numbers, got {bad} in an array of shape {array.shape}")
    return array


def as_vectors(**arrays: ArrayLike) -> tuple[Array, ...]:
    """Returns the arguments as float64 arrays with one common event axis, the last.

    Leading axes broadcast; the event axis does not, because a (64, 1) array met by a
    (64, 2) one is nearly always a mistake. A scalar stands for the same number in every
    coordinate.

    Args:
        **arrays: the arguments by their public names; the first one sets the event size.

    Raises:
        ValueError: an argument is empty or not finite, or two shapes do not go together;
            the message names the later argument and gives both shapes.
        TypeError: an argument is not made of real numbers.
    """
    checked = {name: as_array(name, value) for name, value in arrays.items()}
    first, common = "", ()
    for name, array in checked.items():
        if array.ndim == 0:
            continue
        if not common:
            first, common = name, array.shape
            continue
        try:
            leading = np.broadcast_shapes(array.shape[:-1], common[:-1])
        except ValueError:
            leading = None
        if leading is None or array.shape[-1] != common[-1]:
            raise ValueError(f"{name}: expected shape {common} like {first}, got {array.shape}")
        common = (*leading, common[-1])
    event = common[-1:] or (1,)
    return tuple(np.broadcast_to(a, event) if a.ndim == 0 else a for a in checked.values())


def as_number(name: str, value: float, positive: bool = False, minimum: float = -math.inf) -> float:
    """Returns `value` as one finite float of at least `minimum`, above zero if `positive`."""
    if isinstance(value, bool | np.bool_ | str | None):
        raise TypeError(f"{name}: expected a number, got {told(value)}")
    if minimum > -math.inf and isinstance(value, Real) and not minimum <= value < math.inf:
        raise ValueError(f"{name}: expected a finite number of at least {minimum:g}, got {told(value)}")
    array = as_array(name, value)
    if array.size != 1:
        raise ValueError(f"{name}: expected one number, got an array of shape {array.shape}")
    if positive and array.item() <= 0:
        raise ValueError(f"{name}: expected a number above 0, got {array.item():g}")
    if array.item() < minimum:
        raise ValueError(f"{name}: expected a finite number of at least {minimum:g}, got {array.item():g}")
    return array.item()


def as_count(name: str, value: int, minimum: int = 1, maximum: int = MOST) -> int:
    """Returns `value` as an int of at least `minimum` and at most `maximum`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}: expected a whole number, got {told(value)}")
    if value < minimum:
        raise ValueError(f"{name}: expected at least {minimum}, got {told(value)}")
    if value > maximum:
        raise ValueError(f"{name}: expected at most {maximum:,}, got {told(value)}")
    return int(value)


def as_counts(name: str, values: Iterable[int]) -> list[int]:
    """Returns numbers of draws, at least one of them, as ints of at least 1."""
    try:
        values = list(values)
    except TypeError:
        raise TypeError(f"{name}: expected numbers of draws, got {told(values)}") from None
    if not values:
        raise ValueError(f"{name}: expected at least one number of draws, got none")
    return [as_count(name, value) for value in values]


def as_flag(name: str, value: bool) -> bool:
    """Returns `value` as True or False: a text such as "no" would count as True."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {told(value)}")
    return bool(value)


def as_text(name: str, value: str) -> str:
    """Returns `value` when it is a text that can be written to a file."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a text, got {told(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name}: expected a text that can be written, got {value!r}") from None
    return value


def as_path(name: str, value: str | Path) -> Path:
    """Returns a path that a file of this machine can have, with `~` as the home folder."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name}: expected a path, got {told(value)}")
    try:
        path = Path(value).expanduser()
        os.fsencode(path)
    except (RuntimeError, UnicodeEncodeError):  # no such home folder; half a letter
        raise ValueError(f"{name}: expected a path of this machine, got {value!r}") from None
    if "\0" in str(path):
        raise ValueError(f"{name}: expected a path without the character 0, got {value!r}")
    return path


def path_option(text: str) -> Path:
    """`as_path` as the type of a command's option."""
    try:
        return as_path("path", text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def as_function(name: str, value: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `value` when it can be called."""
    if not callable(value):
        raise TypeError(f"{name}: expected a function, got {told(value)}")
    return value


def one_of(name: str, value: str, known: Iterable[str]) -> str:
    """Returns `value` when it is one of the texts that are known."""
    known = tuple(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(known)}, got {told(value)}")
    return value


def as_rng(name: str, value: np.random.Generator) -> np.random.Generator:
    """Returns `value` when it is a NumPy generator: the course has no global random state."""
    if not isinstance(value, np.random.Generator):
        raise TypeError(f"{name}: expected numpy.random.default_rng(seed), got {type(value).__name__}")
    return value
