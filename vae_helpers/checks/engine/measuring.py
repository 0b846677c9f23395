"""Measuring a function of a batch: its values row by row, whatever it does to the axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from vae_helpers.checks.engine.calling import Failed, Student
from vae_helpers.checks.engine.report import Finding, said
from vae_helpers.numerics._validate import Array

Draw = Callable[[np.random.Generator, int, int], tuple[Array, ...]]
BATCH = 48
SLOW = 0.2  # seconds a call: fewer calls from here on
# How a result grows with the size of the batch, as a power, and what that is.
GROWTH = {
    0: "the mean over the batch",
    1: "the sum over the batch",
    -1: "the mean over the batch, divided by its size once more",
}
RANDOM = "your function is random; it was judged by its average over many calls."
PARTLY = said("""batch-reduced: What your function gives for one row changes with the other rows of the batch:
    a part of it is summed or averaged over the batch, and then joined to something that is not.""")


def uniform(*bounds: tuple[float, float]) -> Draw:
    """Arguments that are uniform, each between its bounds and of shape (batch, d)."""
    return lambda rng, batch, dim: tuple(rng.uniform(*pair, (batch, dim)) for pair in bounds)


@dataclass
class Sample:
    """Values of the function at one event size d, and the rows that they belong to.

    Each value speaks of the mean over a group of rows; the first argument has the d that counts.
    """

    rows: tuple[Array, ...]  # the arguments, each of shape (n, group, d)
    values: Array  # shape (n,)
    errors: Array | float = 0.0  # their standard errors; 0 for a function that always gives the same

    def column(self, function: Callable[..., Array]) -> Array:
        """The mean over each group of a function of the rows, elementwise or one number a row."""
        n, group, _ = self.rows[0].shape
        flat = [argument.reshape(n * group, -1) for argument in self.rows]
        with np.errstate(all="ignore"):
            result = np.asarray(function(*flat), float)
        if result.ndim == 2:
            result = result.sum(axis=-1)
        return result.reshape(n, group).mean(axis=1)


@dataclass
class Measurement:
    """What a function gives at random arguments, for two event sizes."""

    samples: list[Sample] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)  # what the shapes alone show
    notes: list[str] = field(default_factory=list)  # remarks that accuse nobody

    @property
    def noise(self) -> float:
        """The largest standard error of a value."""
        return max((float(np.max(sample.errors)) for sample in self.samples), default=0.0)

    @property
    def mixes_rows(self) -> bool:
        """Whether the function sums or averages over the batch, at least in part."""
        return any(finding.code == "batch-reduced" for finding in self.findings)


def measure(student: Student, draw: Draw, dims: Sequence[int] = (3, 5), axis: str = "latents") -> Measurement:
    """Calls the function on random batches and undoes what it did to the axes.

    Args:
        student: the function, guarded.
        draw: makes the arguments from a generator, a batch size and an event size.
        dims: two event sizes: what is averaged over the event differs between them.
        axis: what the event axis is called in the findings.

    Returns:
        The measurement; `samples` is empty when the shape makes no sense.

    Raises:
        Failed: the function gave nothing that can be compared.
    """
    measurement = Measurement()
    for number, dim in enumerate(dims):
        batches = _Batches(student, draw, np.random.default_rng([number, dim]), dim, axis)
        sample, findings = batches.sample()
        measurement.findings = measurement.findings or findings
        if sample is None:
            return Measurement([], measurement.findings)
        measurement.samples.append(sample)
    values = np.concatenate([sample.values for sample in measurement.samples])
    if np.isfinite(values).all() and np.ptp(values) < 1e-12:
        always = f"Your function gives {values[0]:.4g}, whatever its arguments are."
        return Measurement([], [Finding("unknown", always)])
    measurement.notes = student.notes + [RANDOM] * bool(measurement.noise)
    return measurement


@dataclass
class _Batches:
    """Random batches with one event size, and a student's values for them."""

    student: Student
    draw: Draw
    rng: np.random.Generator
    dim: int
    axis: str

    def sample(self) -> tuple[Sample | None, list[Finding]]:
        """The values, and what their shape shows; no sample where it makes no sense."""
        arguments = self.draw(self.rng, BATCH, self.dim)
        values, findings, reduced = self.by_rows(self.student(*arguments))
        if reduced:
            sample, how = self.grouped()
            finding = said(f"""batch-reduced: Your function gives {reduced}, {how}; expected one number for
                each row. The average over the batch comes later, once, when the loss is formed.""")
            return sample, [finding, *findings]
        if values is None:
            return None, findings
        errors: Array | float = 0.0
        if not self.student.takes_longer(SLOW, *arguments):
            values, errors = self.average_noise(arguments, values)
        if self.student.seconds <= SLOW and not np.any(errors):
            twins = self.twins(arguments, values)
            if twins == "differ":
                values, errors = self.average_twins(arguments)
            elif twins == "follow the others":
                try:
                    return self.one_by_one(), [*findings, PARTLY]
                except Failed:  # a batch of one row is too small for it
                    return None, [*findings, PARTLY]
        size = 1 + np.abs(np.where(np.isfinite(values), values, 0.0))  # what is infinite is no noise
        errors = errors + self.student.rounding * size
        return Sample(tuple(a[:, None, :] for a in arguments), values, errors), findings

    def by_rows(self, value: Array) -> tuple[Array | None, list[Finding], str]:
        """One value for each row, None where rows cannot be told apart; what is wrong with the shape; and
        what the result is instead, where the rows of the batch are mixed.
        """
        dim, axis = self.dim, self.axis
        if value.shape == (BATCH,):
            same = np.isfinite(value).all() and np.ptp(value) <= 1e-9 * np.abs(value).max() and value[0] != 0
            return (None, [], "the same number for every row") if same else (value, [], "")
        if value.size == 1:
            return None, [], "a single number"
        expected = f"expected one number a row, shape ({BATCH},)."
        if value.shape in {(dim,), (1, dim)}:
            text = f"Your result has the shape {value.shape}; {expected}"
            return None, [Finding("shape", text)], f"one number for each of the {dim} {axis}"
        if value.shape == (BATCH, dim) and dim > 1:
            text = f"For a batch of {BATCH} rows with {dim} {axis} your result has the shape {value.shape}; "
            return value.sum(axis=-1), [Finding("shape", f"{text}{expected} The {axis} are not summed.")], ""
        events = f" with {dim} {axis}" if dim > 1 else ""
        text = f"For {BATCH} rows{events} your result has the shape {value.shape}; {expected}"
        return value.reshape(-1) if value.size == BATCH else None, [Finding("shape", text)], ""

    def values_of(self, arguments: Iterable[Array]) -> Array | None:
        """The values for another batch, if it has one for each row."""
        return self.by_rows(self.student(*arguments))[0]

    def average_noise(self, arguments: tuple[Array, ...], values: Array) -> tuple[Array, Array | float]:
        """The values again, averaged over calls where the function is random, and their standard errors."""
        again = self.values_of(arguments)
        if again is None or np.allclose(values, again, rtol=1e-9, atol=1e-12, equal_nan=True):
            return values, 0.0
        # Many where they are quick: the average of a few squares is far from normal.
        count = 400 if self.student.seconds < 2e-3 else 40
        repeats = [self.values_of(arguments) for _ in range(count)]
        return _mean([repeat for repeat in repeats if repeat is not None])

    def twins(self, arguments: tuple[Array, ...], values: Array) -> str:
        """What happens when half of the rows become copies of the first one.

        Returns:
            "differ" if the copies get different values: the function draws noise for each row, the same at
            each call. "follow the others" if the untouched rows change, or the copies together: a row's
            value depends on the rest of its batch. Else empty.
        """
        half = BATCH // 2
        twins = [np.concatenate([a[:half], np.repeat(a[:1], BATCH - half, axis=0)]) for a in arguments]
        again = self.values_of(twins)
        if again is None or not (np.isfinite(again).all() and np.isfinite(values).all()):
            return ""
        if np.mean(np.abs(again[:half] - values[:half]) > 1e-5 * (1 + np.abs(values[:half]))) > 0.5:
            return "follow the others"
        return "differ" if np.ptp(again[half:]) > 1e-4 * (1 + abs(values[0])) else ""

    def average_twins(self, arguments: tuple[Array, ...]) -> tuple[Array, Array]:
        """Each row's value as the average over a batch of its copies, and the standard errors."""
        copies = ([np.repeat(a[n : n + 1], BATCH, axis=0) for a in arguments] for n in range(BATCH))
        return _mean(np.transpose([self.values_of(batch) for batch in copies]))

    def one_by_one(self) -> Sample:
        """Values of batches of a single row, for which sum and mean over the batch are the same."""
        count = BATCH // 2 if self.student.seconds < SLOW else 7
        drawn = [self.draw(self.rng, 1, self.dim) for _ in range(count)]
        return Sample(_stacked(drawn), np.array([_total(self.student(*arguments)) for arguments in drawn]))

    def grouped(self) -> tuple[Sample | None, str]:
        """Values for groups of four rows, as means over the group, and what is done with a batch.

        There is no sample if it is neither the sum nor the mean.
        """
        drawn = [self.draw(self.rng, 4, self.dim) for _ in range(24 if self.student.seconds < SLOW else 7)]
        try:
            values = np.array([_total(self.student(*arguments)) for arguments in drawn])
            doubled = _total(self.student(*(np.concatenate([a, a]) for a in drawn[0])))
            random = _total(self.student(*drawn[0])) != values[0]
        except (Failed, ValueError):
            return None, "made from the whole batch"
        for power, how in GROWTH.items():
            if np.isclose(doubled, 2.0**power * values[0], rtol=1e-4):
                return Sample(_stacked(drawn), values / 4.0**power), how
        if random:
            return None, "made from the whole batch"
        return self.one_by_one(), "partly a sum and partly a mean over the batch"


def _mean(repeats: Sequence[Array]) -> tuple[Array, Array]:
    """The mean of repeated values, and its standard error."""
    return np.mean(repeats, axis=0), np.std(repeats, axis=0, ddof=1) / np.sqrt(len(repeats))


def _stacked(drawn: list[tuple[Array, ...]]) -> tuple[Array, ...]:
    return tuple(np.stack(arguments) for arguments in zip(*drawn, strict=True))


def _total(value: Array) -> float:
    """A reduced result as one number: broadcast over the batch, or not yet summed over the event."""
    broadcast = value.ndim == 1 and value.size in (4, 8) and np.ptp(value) == 0
    return float(value[0] if broadcast else value.sum())
