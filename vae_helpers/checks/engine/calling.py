"""Calling a student's function: safely, without harm to the caller, with the arrays that it likes."""

from __future__ import annotations

import contextlib
import io
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from vae_helpers.checks.engine.report import Failed, Finding, said
from vae_helpers.checks.engine.settings import has_torch
from vae_helpers.numerics._validate import Array

Function = Callable[..., Any]
KINDS = ("numpy", "torch float64", "torch float32")


class Student:
    """A student's function, called with copies of arrays; gives float64 arrays back.

    The first call finds out which arrays the function takes: NumPy's, or else PyTorch's. What the
    function prints or warns about is dropped, and the global random states are as before.

    Args:
        fn: the function.
        kinds: which arrays to try, in this order.
        result: makes an array of whatever it returns.
        seed: what the global generators start from at each call; None for another state each time.

    Attributes:
        kind: the kind of arrays that the function takes; None before the first call with an array.
        changed: names no argument, but says whether any call changed one.
        work: processor time of the quickest call, in seconds.
        seconds: its time; without its waiting, unless it does hardly anything else: on a busy machine
            every call waits.
        calls: how many there were.
        rounding: the relative error of its values where they are numbers of 16 bits; else 0.
    """

    def __init__(
        self,
        fn: Function,
        kinds: Sequence[str] = KINDS,
        result: Function | None = None,
        seed: int | None = None,
    ) -> None:
        self.fn, self.result = as_function(fn), result or as_array
        self.kinds = tuple(kind for kind in kinds if kind == "numpy" or has_torch())
        self.seed = seed
        self.kind: str | None = None
        self.changed, self.work, self.seconds, self.calls = False, np.inf, np.inf, 0
        self.rounding = 0.0

    def __call__(self, *arguments: Any) -> Array:
        """The function's result as a float64 array.

        Args:
            *arguments: arrays are handed over in the kind that the function takes, all others as they are.

        Raises:
            Failed: it returned nothing, raised, or returned what is not a number.
        """
        if self.kind is not None or not any(isinstance(argument, np.ndarray) for argument in arguments):
            return self._call(self.kind, arguments)
        failures: list[Failed] = []
        for kind in self.kinds:
            self.kind = kind
            try:
                return self._call(kind, arguments)
            except Failed as failed:
                if failed.__cause__ is None or failed.finding.code != "error":
                    raise
                failures.append(failed)  # perhaps it takes another kind
        self.kind = None
        # A complaint about the type of the arrays says little: another kind was to be tried.
        raise next((failed for failed in failures if not _is_of_type(failed)), failures[-1])

    @property
    def notes(self) -> list[str]:
        """What was seen that is no mistake."""
        notes = [CHANGES_ARGUMENTS] if self.changed else []
        if self.rounding:
            digits = f"your values are numbers of 16 bits, right to {self.rounding:.1g} of their size."
            notes.append(digits)
        return notes

    def takes_longer(self, seconds: float, *arguments: Any) -> bool:
        """Whether calls do; one that seems to is made twice again, as the first may have had to prepare."""
        calls = self.calls
        for _ in range(2):
            if self.seconds > seconds:
                self(*arguments)
        self.calls = calls  # whose number seeds the noise: what is said must not depend on the time
        return self.seconds > seconds

    def raw(self, *arguments: Any) -> Any:
        """The result as it comes, for arguments as they are, under the same protection."""
        self.calls += 1
        started, worked = time.perf_counter(), time.thread_time()
        try:
            with protected(self.calls if self.seed is None else self.seed):
                result = self.fn(*arguments)
        except KeyboardInterrupt as error:
            if time.perf_counter() - started > 0.05:
                raise  # the reader has lost patience; nobody does so soon
            raise Failed(said("error: Your function stops with KeyboardInterrupt.")) from error
        except NotImplementedError as error:
            raise Failed(NOT_ATTEMPTED) from error
        except BaseException as error:
            text = f"Your function stops with {type(error).__name__}: {_first_line(error)}"
            raise Failed(Finding("error", text)) from error
        work, elapsed = time.thread_time() - worked, time.perf_counter() - started
        self.work = min(self.work, work)
        self.seconds = min(self.seconds, work if work > max(2e-3, 0.012 * elapsed) else elapsed)
        if result is None or isinstance(result, EllipsisType) or result is NotImplemented:
            raise Failed(NOT_ATTEMPTED)
        return result

    def _call(self, kind: str | None, arguments: Sequence[Any]) -> Array:
        handed = [convert(a, kind) if isinstance(a, np.ndarray) else a for a in arguments]
        result = self.raw(*handed)
        for argument, array in zip(handed, arguments, strict=True):
            if isinstance(array, np.ndarray):
                self.changed |= not _unchanged(argument, array, kind)
        self.rounding = max(self.rounding, _rounding(result))
        return self.result(result)


CHANGES_ARGUMENTS = "your function changes its arguments in place; its caller may still need them."
NOT_ATTEMPTED = said("""not-attempted: The function returns nothing so far. Write your answer and run the cell
    again.""")


def _is_of_type(failed: Failed) -> bool:
    return isinstance(failed.__cause__, TypeError | AttributeError) or "torch.Tensor" in failed.finding.text


def as_function(fn: Function) -> Function:
    """The function itself.

    Raises:
        TypeError: it is none.
    """
    if not callable(fn):
        raise TypeError(f"fn: expected a function, got {type(fn).__name__}")
    return fn


def convert(array: Array, kind: str) -> Any:
    """A copy of the array, as NumPy or PyTorch has it."""
    if kind == "numpy":
        return np.array(array)
    import torch  # only where it is needed: the first notebooks start without it

    return torch.tensor(array, dtype=torch.float32 if kind.endswith("32") else torch.float64)


def _unchanged(argument: Any, array: Array, kind: str) -> bool:
    """Whether an argument still is what the function was given."""
    try:
        given = np.asarray(array, np.float32 if kind.endswith("32") else np.float64)
        return np.array_equal(np.asarray(argument, float), given)
    except (TypeError, ValueError, RuntimeError):
        return False


def as_array(value: Any) -> Array:
    """Whatever the function returned as a float64 array.

    Raises:
        Failed: it is not made of real numbers.
    """
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.double() if value.is_floating_point() else value  # NumPy has no bfloat16
        if isinstance(value, list | tuple):
            parts = [as_array(v) for v in value]
            if isinstance(value, tuple) and any(part.ndim > 1 for part in parts):
                raise TypeError  # several results, where one is asked for
            value = parts
        array = np.asarray(value)
        if array.dtype.kind not in "fiu" and array.dtype != object:
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError, RecursionError):
        what = f"tuple of {len(value)} results" if isinstance(value, tuple) else type(value).__name__
        text = f"error: Your function returns a {what} where an array of real numbers was expected."
        raise Failed(said(text)) from None


@contextlib.contextmanager
def protected(seed: int) -> Iterator[None]:
    """Runs a block without output, warnings or a trace in global random states and settings of PyTorch.

    Args:
        seed: what the global generators start from inside, so that a check says the same each time.
    """
    torch = sys.modules.get("torch")
    # The global generators are what must not change here.
    states = random.getstate(), np.random.get_state(), torch and torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if torch:
        dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
        device = torch.get_default_device()
        torch.manual_seed(seed)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        if torch:
            torch.set_rng_state(states[2])
            torch.set_default_dtype(dtype)
            torch.set_grad_enabled(gradients)
            if torch.get_default_device() != device:
                torch.set_default_device(device)


def _rounding(result: Any) -> float:
    """What rounding to 16 bits may have done to a result, as a part of it; 0 for longer numbers."""
    name = str(getattr(result, "dtype", ""))
    return {"float16": 2**-10, "bfloat16": 2**-7}.get(name.removeprefix("torch."), 0.0)


def _first_line(error: BaseException) -> str:
    try:
        text = str(error).strip()
    except Exception:  # an exception that cannot be written
        text = ""
    return text.splitlines()[0][:200] if text else "(no message)"
