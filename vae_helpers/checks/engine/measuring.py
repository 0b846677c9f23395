"""Measuring a function of a batch: its values row by row, whatever it does to the axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vae_helpers.checks.engine.calling import Failed, Student
from vae_helpers.checks.engine.report import Finding

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], tuple[Array, ...]]
BATCH = 48
SLOW = 0.2  # seconds a call: fewer calls from here on
# How a result grows with the size of the batch, as a power, and what that is.
HOW = {
    0: "the mean over the batch",
    1: "the sum over the batch",
    -1: "the mean over the batch, divided by its size once more",
}


@dataclass
class Sample:
    """Values of the function at one event size d, and the rows that they belong to.

    Attributes:
        rows: the arguments, each of shape (n, group, d): each value speaks of the mean over a group.
        values: shape (n,).
        errors: their standard errors, 0 for a function that always gives the same.
    """

    rows: tuple[Array, ...]
    values: Array
    errors: Array | float = 0.0

    def column(self, function: Callable[..., Array]) -> Array:
        """The mean over each group of a function of the rows, elementwise or one number a row."""
        n, group, d = self.rows[0].shape
        flat = [argument.reshape(n * group, d) for argument in self.rows]
        with np.errstate(all="ignore"):
            result = np.asarray(function(*flat), float)
        if result.ndim == 2:
            result = result.sum(axis=-1)
        return result.reshape(n, group).mean(axis=1)


@dataclass
class Measurement:
    """What a function gives at random arguments, for two event sizes.

    Attributes:
        samples: one `Sample` for each event size.
        findings: what the shapes alone show.
        notes: remarks that accuse nobody.
    """

    samples: list[Sample] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def noise(self) -> float:
        """The largest standard error of a value."""
        return max((float(np.max(sample.errors)) for sample in self.samples), default=0.0)


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
    found = Measurement()
    for number, dim in enumerate(dims):
        rng = np.random.default_rng([number, dim])
        arguments = draw(rng, BATCH, dim)
        value = student(*arguments)
        findings, rows = _per_row(value, BATCH, dim, axis)
        if not found.findings:
            found.findings = findings
        if rows is not None:
            rows, errors = _average_noise(student, arguments, rows, dim, axis)
            twin = "" if np.any(errors) or student.seconds > SLOW else _twins(student, arguments, rows, axis)
            if twin == "differ":
                rows, errors = _average_twins(student, arguments, axis)
            if twin == "follow the others":
                if not number:
                    found.findings = [*found.findings, PARTLY]
                try:
                    found.samples.append(_one_by_one(student, draw, rng, dim))
                except Failed:  # a batch of one row is too small for it
                    return Measurement([], found.findings, found.notes)
            else:
                found.samples.append(Sample(tuple(a[:, None, :] for a in arguments), rows, errors))
        elif any(finding.code == "batch-reduced" for finding in findings):
            sample, how = _grouped(student, draw, rng, dim)
            if not number:
                found.findings = [f._replace(text=f.text.replace("HOW", how)) for f in found.findings]
            if sample is None:
                return Measurement([], found.findings, found.notes)
            found.samples.append(sample)
        else:
            return Measurement([], findings, found.notes)
    everything = np.concatenate([sample.values for sample in found.samples])
    if np.isfinite(everything).all() and np.ptp(everything) < 1e-12:
        always = f"Your function gives {everything[0]:.4g}, whatever its arguments are."
        return Measurement([], [Finding("unknown", always)])
    if student.changed:
        found.notes.append("your function changes its arguments in place; its caller may still need them.")
    if found.noise:
        found.notes.append("your function is random; it was judged by its average over many calls.")
    return found


def _per_row(value: Array, batch: int, dim: int, axis: str) -> tuple[list[Finding], Array | None]:
    """(findings, one value a row), or (findings, None) when the rows cannot be told apart."""
    if value.shape == (batch,):
        finite = value[np.isfinite(value)]
        if (
            len(finite) == batch
            and np.ptp(finite) <= 1e-9 * (1e-30 + np.abs(finite).max())
            and finite[0] != 0
        ):
            return [_reduced("the same number for every row")], None
        return [], value
    expected = f"one number a row, shape ({batch},)"
    if value.shape == (batch, dim) and dim > 1:
        text = (
            f"For a batch of {batch} rows with {dim} {axis} your result has the shape {value.shape}; expected"
        )
        return [Finding("shape", f"{text} {expected}. The {axis} are not summed.")], value.sum(axis=-1)
    if value.size == 1:
        return [_reduced("a single number")], None
    if value.shape in {(dim,), (1, dim)}:
        return [
            _reduced(f"one number for each of the {dim} {axis}"),
            Finding("shape", f"Your result has the shape {value.shape}; expected {expected}."),
        ], None
    events = f" with {dim} {axis}" if dim > 1 else ""
    text = f"For {batch} rows{events} your result has the shape {value.shape}; expected {expected}."
    squeezed = value.reshape(-1)
    return [Finding("shape", text)], squeezed if squeezed.shape == (batch,) else None


def _reduced(what: str) -> Finding:
    return Finding(
        "batch-reduced",
        f"Your function gives {what}, HOW; expected one number for each row. The average over the batch "
        "comes later, once, when the loss is formed.",
    )


PARTLY = Finding(
    "batch-reduced",
    "What your function gives for one row changes with the other rows of the batch: a part of it is summed "
    "or averaged over the batch, and then joined to something that is not.",
)


def _twins(student: Student, arguments: tuple[Array, ...], rows: Array, axis: str) -> str:
    """What happens when half of the rows become copies of the first one.

    Returns:
        "differ" if the copies get different values: the function draws noise for each row, the same at
        each call. "follow the others" if the untouched rows change, or the copies together: a row's
        value depends on the rest of its batch. Else empty.
    """
    half, dim = BATCH // 2, arguments[0].shape[-1]
    mixed = (np.concatenate([a[:half], np.repeat(a[:1], BATCH - half, axis=0)]) for a in arguments)
    again = _per_row(student(*mixed), BATCH, dim, axis)[1]
    if again is None or not (np.isfinite(again).all() and np.isfinite(rows).all()):
        return ""
    if np.mean(np.abs(again[:half] - rows[:half]) > 1e-5 * (1 + np.abs(rows[:half]))) > 0.5:
        return "follow the others"
    return "differ" if np.ptp(again[half:]) > 1e-4 * (1 + abs(rows[0])) else ""


def _average_twins(student: Student, arguments: tuple[Array, ...], axis: str) -> tuple[Array, Array]:
    """Each row's value as the average over a batch of its copies, and the standard errors."""
    dim = arguments[0].shape[-1]
    values = np.array(
        [
            _per_row(student(*(np.repeat(a[n : n + 1], BATCH, axis=0) for a in arguments)), BATCH, dim, axis)[
                1
            ]
            for n in range(BATCH)
        ]
    )
    return values.mean(axis=1), values.std(axis=1, ddof=1) / np.sqrt(BATCH)


def _one_by_one(student: Student, draw: Draw, rng: np.random.Generator, dim: int) -> Sample:
    """Values of batches of a single row, for which sum and mean over the batch are the same."""
    drawn = [draw(rng, 1, dim) for _ in range(BATCH // 2 if student.seconds < SLOW else 7)]
    values = np.array([_total(student(*arguments)) for arguments in drawn])
    return Sample(tuple(np.stack(arguments) for arguments in zip(*drawn, strict=True)), values)


def _average_noise(
    student: Student, arguments: tuple[Array, ...], rows: Array, dim: int, axis: str
) -> tuple[Array, Array | float]:
    """The rows again, averaged over calls where the function is random, and their standard errors."""
    if student.seconds > SLOW:
        return rows, 0.0
    again = _per_row(student(*arguments), BATCH, dim, axis)[1]
    if again is None or np.allclose(rows, again, rtol=1e-9, atol=1e-12, equal_nan=True):
        return rows, 0.0
    repeats = [_per_row(student(*arguments), BATCH, dim, axis)[1] for _ in range(40)]
    values = np.array([r for r in repeats if r is not None])
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def _grouped(student: Student, draw: Draw, rng: np.random.Generator, dim: int) -> tuple[Sample | None, str]:
    """Values for groups of four rows, as means over the group, and what the function does with a batch.

    There is no sample if it is neither the sum nor the mean.
    """
    count = 24 if student.seconds < SLOW else 7
    drawn = [draw(rng, 4, dim) for _ in range(count)]
    try:
        values = np.array([_total(student(*arguments)) for arguments in drawn])
        doubled = _total(student(*(np.concatenate([a, a]) for a in drawn[0])))
        student.random = _total(student(*drawn[0])) != values[0]
    except (Failed, ValueError):
        return None, "made from the whole batch"
    rows = tuple(np.stack(arguments) for arguments in zip(*drawn, strict=True))
    for power, how in HOW.items():
        if np.isclose(doubled, 2.0**power * values[0], rtol=1e-4):
            return Sample(rows, values / 4.0**power), how
    if not student.random:
        return _one_by_one(student, draw, rng, dim), "partly a sum and partly a mean over the batch"
    return None, "made from the whole batch"


def _total(value: Array) -> float:
    """A reduced result as one number: broadcast over the batch, or not yet summed over the event."""
    if value.ndim == 1 and value.size > 1 and np.ptp(value) == 0 and value.size in (4, 8):
        return float(value[0])
    return float(value.sum())
