"""Reading the terms of a random function exactly: it is called again and again with the same noise.

A function that takes its noise from the global generators gives the same draws whenever these start
from the same state. For given noise its value is a sum of terms in mu, σ and log σ², whose coefficients
a few calls show to the last digit: of a draw z = mu + σ ε, z² has the coefficients 1, 2 ε and ε².
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from vae_helpers.checks.engine.calling import Failed, Student
from vae_helpers.checks.engine.fitting import Reading, same
from vae_helpers.numerics._validate import Array

SEED = 1  # of the noise; any
NOISES = 150  # rows, each with noise of its own
FEW = 40  # where so many would take long
PATIENCE = 1.0  # seconds
MANY = 1500


class Values(NamedTuple):
    """A function's values, (codes, noises), and what may stand in them beside the terms, each (codes,)."""

    values: Array
    beside: Mapping[str, Array]


def repeated(
    student_of: Callable[[int], Student], arguments: list[tuple[Any, ...]], reduced: bool, many: bool
) -> Array | None:
    """The values of each of some rows with the same noise, shape (arguments, noises).

    Args:
        student_of: the function with a certain seed.
        arguments: for each row its arguments, each of shape (size,).
        reduced: it sums or averages over the batch, and so is given one row at a time.
        many: take so many noises that their mean square is known to a few per cent, however long it takes.

    Returns:
        None where its noise is not the same again, or where it does not give a number for each row.
    """
    seeds = range(1, (MANY if many else NOISES) // 15) if reduced else [SEED]
    students = [student_of(seed) for seed in seeds]
    count = 1 if reduced else MANY if many else NOISES
    if not reduced and not many:  # the first call may have to prepare
        few = [[np.tile(argument, (FEW, 1)) for argument in row] for row in arguments[:2]]
        seconds = min(_seconds(students[0], batch) for batch in few)
        if seconds * len(arguments) > 2 * PATIENCE:
            return None
        count = NOISES if seconds * len(arguments) * NOISES / FEW < PATIENCE else FEW
    batches = [[np.tile(argument, (count, 1)) for argument in row] for row in arguments]
    found = [[student(*batch) for student in students] for batch in batches]
    again = students[0](*batches[0])
    if not reduced and any(value.shape[:1] != (count,) for row in found for value in row):
        return None
    values = np.array([[value.reshape(count, -1).sum(-1) for value in row] for row in found])
    if not (np.isfinite(values).all() and np.array_equal(again, found[0][0])):
        return None
    return values.reshape(len(arguments), -1)


def _seconds(student: Student, batch: list[Any]) -> float:
    started = time.perf_counter()
    student(*batch)
    return time.perf_counter() - started


def read_terms(values_of: Callable[[Array, Array, bool], Values | None]) -> Reading | None:
    """The terms of a random function, as if they were averaged over its noise.

    Args:
        values_of: the function's values for mu and log_var of shape (codes, d), and whether for many noises.

    Returns:
        None where they are no such sum.
    """
    try:
        one, three = (_terms(values_of, d) for d in (1, 3))
        if one is None or three is None:
            return None
        # Where the noise in log q is not that in z, its size counts.
        known = one if same(one.other, 1.0) else _terms(values_of, 1, many=True) or one
    except (Failed, ValueError):
        return None
    squares = known.squares
    one, three = one.averaged(squares), three.averaged(squares)
    averaged = set()
    for name in {**one, **three}:
        smaller, larger = one.get(name, 0.0), three.get(name, 0.0)
        if same(larger * 3, smaller) and smaller:
            averaged.add(name)
        elif abs(larger - smaller) > 2e-3 * max(abs(smaller), 1e-2):
            return None
    return Reading(one, frozenset(averaged))


class _Terms(NamedTuple):
    """What multiplies the terms at one latent dimension d, for noise whose mean square is not known yet."""

    d: int
    steady: dict[str, float]  # what noise does not touch
    variance: float  # what multiplies σ², over the noise's mean square
    offset: float  # the constant without noise
    slope: float  # … and what multiplies the noise's square in it
    squares: Array  # of the noise, as it is in z

    @property
    def other(self) -> float:
        """The mean square of the noise in z, if that in log q has the mean square 1."""
        return abs(self.steady["μ²"] / self.slope) if self.slope and self.steady["μ²"] else 1.0

    def averaged(self, squares: Array) -> dict[str, float]:
        """The averages over the noise; the ε² in log q has the mean square 1, that in z perhaps not."""
        sizes = (1.0, self.other)
        near = min(sizes, key=lambda value: abs(value - squares.mean())) if squares.any() else 1.0
        found = {"1": self.offset / self.d + self.slope * near, "σ²": self.variance * near, **self.steady}
        size = max(map(abs, found.values()))
        return {name: value for name, value in found.items() if abs(value) > 1e-3 * size}


def terms_of(student: Student, reduced: bool) -> Reading | None:
    """The terms of a random function of mu and log_var.

    Args:
        student: the function.
        reduced: it sums or averages over the batch.

    Returns:
        None where its noise is not the same again, or where its value is no such sum.
    """
    kinds = (student.kind,) if student.kind else student.kinds

    def values_of(mu: Array, v: Array, many: bool) -> Values | None:
        rows = list(zip(mu, v, strict=True))
        values = repeated(lambda seed: Student(student.fn, kinds, seed=seed), rows, reduced, many)
        return None if values is None else Values(values, {})

    return read_terms(values_of)


def _terms(values_of: Callable[..., Values | None], d: int, many: bool = False) -> _Terms | None:
    rng, codes = np.random.default_rng(d), 8 * d + 16
    mu, v = rng.uniform(-2, 2, (codes, d)), rng.uniform(-2, 2, (codes, d))
    found = values_of(mu, v, many)
    if found is None:
        return None
    std = np.exp(v / 2)
    columns = [np.ones(codes), mu.sum(1), (mu**2).sum(1), v.sum(1), *std.T, *(mu * std).T, *(std**2).T]
    for beside in [*found.beside, None]:
        matrix = np.stack([*([] if beside is None else [found.beside[beside]]), *columns], axis=1)
        solution = np.linalg.lstsq(matrix, found.values, rcond=None)[0]  # (columns, noises)
        if np.abs(matrix @ solution - found.values).max() < 2e-5 * np.abs(found.values).max():
            own = {} if beside is None else {beside: float(solution[0].mean())}
            return _read(solution[len(own) :], d, own)
    return None


def _read(found: Array, d: int, own: dict[str, float]) -> _Terms | None:
    """What the coefficients, shape (terms, noises), have in common; None where noise cannot make them."""
    constant, mean, square, log_var = found[:4]
    of_std, of_cross, of_variance = np.split(found[4:], 3)
    size = np.abs(found).max()
    if max(np.ptp(row) for row in (mean, square, log_var)) > 1e-3 * size:
        return None  # noise does not touch these
    weight = square.mean() if np.abs(square).max() > 1e-3 * size else 0.0
    variance, squares = weight, np.zeros_like(of_cross)
    if np.abs(of_cross).max() < 1e-3 * size and np.ptp(of_variance) < 1e-3 * size:
        variance = of_variance.mean()  # of no draw
    elif weight and np.allclose(of_variance, of_cross**2 / (4 * weight), atol=2e-3 * size):
        squares = (of_cross / (2 * weight)) ** 2  # of a single draw
    elif weight:  # of several draws, whose mean square is not known to the last digit
        squares = of_variance / weight
        if abs(squares.mean() - 1) > 6 * np.sqrt(2 / squares.size):
            variance = of_variance.mean()
    else:
        return None
    total = squares.sum(0)
    slope, offset = np.polyfit(total, constant, 1) if np.ptp(total) > 1e-6 else (0.0, constant.mean())
    if np.abs(slope * total + offset - constant).max() > 2e-3 * max(size, 1):
        return None
    steady = {"μ²": weight, "log σ²": log_var.mean(), "μ": mean.mean()}
    steady |= {"σ": of_std.mean() if np.ptp(of_std) < 1e-3 * size else 0.0}
    steady = own | {name: float(c) for name, c in steady.items()}
    return _Terms(d, steady, float(variance), float(offset), float(slope), squares.reshape(-1))
