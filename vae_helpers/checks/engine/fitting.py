"""Reading a sum of terms off its values: which terms, with which coefficients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations

import numpy as np

from vae_helpers.checks.engine.measuring import Measurement, Sample
from vae_helpers.numerics._validate import Array

Terms = Mapping[str, Callable[..., Array]]
Coefficients = Mapping[str, float]
TOLERANCES = 1e-10, 3e-6  # of the largest value: for float64 functions, and for float32 ones


@dataclass
class Reading:
    """A function as a sum of terms, summed over the event."""

    coefficients: dict[str, float]  # of the terms that are there
    averaged: frozenset[str]  # those that are divided by the event's size (a mean instead of a sum)
    grown: frozenset[str] = frozenset()  # multiplied by it; their coefficients are those of the smaller event
    exact: bool = True  # it holds to the last digits; else to those of float32, as chance may have it

    def at(self, terms: Terms, *arguments: Array) -> float:
        """The value that the sum of terms has for one row, arguments of shape (1, d)."""
        size = arguments[0].shape[-1]
        with np.errstate(all="ignore"):
            values = {name: float(np.sum(terms[name](*arguments))) for name in self.coefficients}
        return sum(c * values[n] / (size if n in self.averaged else 1) for n, c in self.coefficients.items())


def agrees(sample: Sample, truth: Callable[..., Array], tolerance: float = 1e-4) -> bool:
    """Whether the sample is the truth, up to rounding in float32 and the noise of a random function.

    Noise is judged twice: row by row, and by the mean over all rows, which is less noisy.
    """
    expected = sample.column(truth)
    rounding = tolerance * (1 + np.abs(expected))
    off = sample.values - expected
    of_mean = 5 * np.sqrt(np.mean(np.square(sample.errors)) / len(off))
    close = np.all(np.abs(off) <= rounding + 6 * np.asarray(sample.errors))  # NaN is close to nothing
    return bool(close and abs(off.mean()) <= rounding.mean() + of_mean)


def read(
    measurement: Measurement, core: Terms, extras: Terms, whole: Terms | None = None, max_extras: int = 2
) -> Reading | None:
    """Fits the values by as few terms as possible, at both event sizes; None if no sum of terms fits.

    Args:
        measurement: values for two event sizes.
        core: the terms of the right answer, each elementwise (n, d) -> (n, d).
        extras: elementwise terms that mistakes bring in; at most `max_extras` of them at once.
        whole: further terms that are functions of a whole row, (n, d) -> (n,).
        max_extras: how many terms outside the core to try together.
    """
    first, second = measurement.samples
    dims = first.rows[0].shape[-1], second.rows[0].shape[-1]
    others, noise = {**extras, **(whole or {})}, measurement.noise
    terms = {**core, **others}
    for tolerance in TOLERANCES[1:] if noise else TOLERANCES:
        rounding, slack = _slack(second, tolerance, noise)
        for smaller in _sparse(first, core, others, tolerance, noise, max_extras):
            larger = _fit({n: second.column(terms[n]) for n in smaller}, second.values, slack + rounding)
            reading = larger and _compare(smaller, larger[0], dims, whole or (), noise)
            if reading:
                reading = _without_traces(reading, terms, core, first)
                return replace(reading, exact=tolerance == TOLERANCES[0] or bool(noise))
    return None


def _without_traces(reading: Reading, terms: Terms, core: Terms, sample: Sample) -> Reading:
    """Without what a tiny number added for safety leaves: log(σ² + 1e-8) is nearly log σ² + 1e-8/σ²."""
    size = 1e-5 * np.abs(sample.values).max()
    kept = {
        name: value
        for name, value in reading.coefficients.items()
        if name in core or np.abs(value * sample.column(terms[name])).max() > size
    }
    return Reading(kept, reading.averaged & set(kept), reading.grown & set(kept))


def _compare(
    smaller: Coefficients, larger: Coefficients, dims: tuple[int, int], whole: Iterable[str], noise: float
) -> Reading | None:
    """The coefficients at the smaller and the larger event as one reading; None where they contradict."""
    averaged, grown = set(), set()
    for name, value in smaller.items():
        if np.isclose(larger[name], value, rtol=2e-3 + 0.2 * bool(noise)) or name in whole:
            continue
        if np.isclose(larger[name] * dims[1], value * dims[0], rtol=2e-3):
            averaged.add(name)
        elif np.isclose(larger[name] * dims[0], value * dims[1], rtol=2e-3):
            grown.add(name)  # what belongs to the whole event, added in each coordinate
        else:
            return None
    coefficients = {name: value * (dims[0] if name in averaged else 1) for name, value in smaller.items()}
    return Reading(coefficients, frozenset(averaged), frozenset(grown))


def _sparse(
    sample: Sample, core: Terms, extras: Terms, tolerance: float, noise: float, max_extras: int
) -> Iterator[dict[str, float]]:
    """Fits with as few extra terms as possible, the closest and shortest first; the rest in order."""
    columns = {name: sample.column(term) for name, term in {**core, **extras}.items()}
    usable = [name for name in extras if np.isfinite(columns[name]).all()]
    rounding, slack = _slack(sample, tolerance, noise)

    def fit_of(names: Iterable[str]) -> tuple[dict[str, float], float] | None:
        return _fit({name: columns[name] for name in names}, sample.values, slack)

    for count in range(max_extras + 1):
        fits = []
        for chosen in combinations(usable, count):
            fit = fit_of((*core, *chosen))
            if fit:  # what contributes nothing goes, and the others are fitted again
                sizes = {name: abs(value) * np.abs(columns[name]).max() for name, value in fit[0].items()}
                kept = {n: value for n, value in fit[0].items() if sizes[n] > 30 * rounding + 5 * noise}
                again = fit_of(kept)
                fits.append((max(fit[1], 0.03 * slack), again[0] if again else kept))
        yield from (kept for _, kept in sorted(fits, key=lambda fit: (fit[0], len(fit[1]))))


def _slack(sample: Sample, tolerance: float, noise: float) -> tuple[float, float]:
    """(what rounding may do to a value, what rounding and noise may do)."""
    rounding = tolerance * max(float(np.abs(sample.values).max()), 1e-3)
    return rounding, rounding + 5 * noise


def _fit(columns: Mapping[str, Array], values: Array, slack: float) -> tuple[dict[str, float], float] | None:
    """(coefficients, largest error), or None where the columns do not give the values."""
    if not columns:
        return ({}, 0.0) if np.abs(values).max() < 1e-9 else None
    matrix = np.stack(list(columns.values()), axis=1)
    if not (np.isfinite(values).all() and np.isfinite(matrix).all()):
        return None
    norm = np.linalg.norm(matrix, axis=0)
    norm[norm == 0] = 1
    solution = np.linalg.lstsq(matrix / norm, values, rcond=1e-10)[0] / norm
    error = float(np.abs(matrix @ solution - values).max())
    return (dict(zip(columns, map(float, solution), strict=True)), error) if error <= slack else None


def overall_factor(factors: Coefficients, weights: Coefficients | None = None) -> float:
    """The factor common to most terms, or to nearly half of them; 1 where it is as good as another.

    Args:
        factors: for each term of the right answer, what multiplies it (0: it is missing).
        weights: how much a term counts; 1 where it is not named.
    """
    weights = weights or {}

    def support(scale: float) -> float:
        return sum(weights.get(n, 1.0) for n, f in factors.items() if same(f, scale))

    others = [f for f in factors.values() if abs(f) > 1e-9]
    best = max([1.0, -1.0, 2.0, -2.0, *others], key=support)
    return best if others and support(best) >= len(factors) / 2 - 0.6 else 1.0


def simple(value: float) -> bool:
    """Whether a factor is one that people write: a simple fraction, or one part of a whole."""
    near = Fraction(value).limit_denominator(12)
    if abs(float(near) - value) <= 2e-3 * max(abs(value), 0.05) and abs(near.numerator) <= 40:
        return True
    parts = 1 / value  # 0 is simple
    return abs(parts) <= 2000 and abs(parts - round(parts)) <= 2e-3 * abs(parts)


def same(a: float, b: float) -> bool:
    """Whether two coefficients are the same, as far as float32 values can say."""
    return abs(a - b) <= 2e-3 * max(abs(a), abs(b), 1e-6)


def in_words(value: float) -> str:
    """A factor as one would write it: a whole number, a simple fraction, or three digits."""
    near = Fraction(value).limit_denominator(1000)
    short = abs(near.numerator) <= 20 or near.denominator == 1
    return str(near) if near and short and abs(float(near) - value) <= 1e-3 * abs(value) else f"{value:.3g}"


def names_of(items: Iterable[str]) -> str:
    """The items as a list in a sentence, the last one after an "and"."""
    items = list(items)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
