"""Reading the number that somebody logs: which sum of terms it is, and how it draws z.

The loss is called with many small batches. What it draws and decodes is recorded, so that each term of an
ELBO is known for each call, and a fit shows the weights to the last digits: no average is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_helpers.audit.calls import SIZES, Call, listen, probe_batches
from vae_helpers.audit.draws import FORMS, made
from vae_helpers.audit.recording import entry_of
from vae_helpers.audit.subject import Subject
from vae_helpers.audit.terms import FAMILIES, pixel_terms, table_of
from vae_helpers.checks.engine.calling import protected
from vae_helpers.numerics._validate import Array

# What rounding leaves of a value of float32, as a part of it: on average, at most, at most of many terms.
EXACT, NEAR, NEAR_MANY = 1.5e-7, 1.5e-6, 5e-7


class Fit(NamedTuple):
    """A value as a sum of terms, for batches of one size."""

    coefficients: dict[str, float]
    errors: dict[str, float]  # their standard errors, from the rounding that is left
    left: float  # the root mean square of what is left, as a part of the largest term


class LossReading(NamedTuple):
    """What the logged number is made of.

    Attributes:
        likelihood: the term that stands for the log-likelihood, a key of `pixel_terms`; "" for none.
        fits: the coefficients for each size of the batch.
        z: for each call the z that fit, (K, batch, d).
        calls: the calls, of all sizes.
        copies: whether each batch held copies of one image: what mixes the order of a batch can be read so.
    """

    likelihood: str
    fits: dict[int, Fit]
    z: list[Tensor]
    calls: list[Call]
    copies: bool = False

    @property
    def names(self) -> set[str]:
        """The terms beside the likelihood."""
        return set(next(iter(self.fits.values())).coefficients) - {self.likelihood}


def read_loss(
    subject: Subject, loss: Callable[[Tensor], Any], images: Tensor, generator: torch.Generator
) -> LossReading | list[Call]:
    """Which sum of terms the loss is; only the calls where it cannot be read as one of those known here."""
    with protected(0), torch.no_grad():
        probe = subject.randn(2, subject.latent_dim, generator=generator)
        entry = entry_of(subject.decode, subject.modules, probe)
    batches = probe_batches(images, generator)
    calls = [listen(subject, loss, x, seed + 1, entry) for seed, x in enumerate(batches)]
    if len({call.value for call in calls}) == 1:  # whatever the images are
        return calls
    if found := _search(subject, calls):
        return found
    batches = probe_batches(images, generator, copies=True)
    of_copies = [listen(subject, loss, x, seed + 1, entry) for seed, x in enumerate(batches)]
    found = _search(subject, of_copies)
    # What can be read so, and not otherwise, is exact if its order is all that is in the way.
    exact = found and max(fit.left for fit in found.fits.values()) < NEAR_MANY
    return found._replace(copies=True) if exact and _agrees(subject, found, calls, generator) else calls


def _agrees(subject: Subject, found: LossReading, calls: list[Call], generator: torch.Generator) -> bool:
    """Whether what was read with copies is the number of other batches, too, on average over draws from q."""
    plain = [call for call in calls[::2] if len(call.x) == max(SIZES)]
    fit, terms = found.fits[max(SIZES)], pixel_terms(subject)
    way = [c.mu[None] + c.std * subject.randn(1, *c.mu.shape, generator=generator).double() for c in plain]
    table = table_of(subject, plain, way, terms)
    expected = [sum(value * row[name] for name, value in fit.coefficients.items()) for row in table]
    apart = np.array([call.value for call in plain]) - expected
    error = apart.std(ddof=1) / math.sqrt(len(apart))
    return bool(abs(apart.mean()) < 6 * error + 1e-4 * abs(np.mean(expected)))


class _Found(NamedTuple):
    """A sum of terms that fits, and how well."""

    reading: LossReading
    error: float  # what it leaves, as a part of the value


def _search(subject: Subject, calls: list[Call]) -> LossReading | None:
    """The simplest sum of terms, of the draw that accuses least, that fits nearly as well as any."""
    terms, found = pixel_terms(subject), []
    for way in _ways(calls):
        table = table_of(subject, calls, way, terms)
        for family in FAMILIES:
            for likelihood in ("", *terms):
                names = (likelihood, *family) if likelihood else family
                fits = _fits(calls, table, names) if names else None
                if fits:
                    error = max(fit.left for fit in fits.values())
                    found.append(_Found(LossReading(likelihood, fits, way, calls), error))
    if not found:
        return None
    good = 2.5 * max(min(each.error for each in found), EXACT)
    order = list(terms)

    def innocence(each: _Found) -> tuple[int, int]:
        names = set(next(iter(each.reading.fits.values())).coefficients) - {each.reading.likelihood}
        family = next(n for n, family in enumerate(FAMILIES) if set(family) == names)
        return family, order.index(each.reading.likelihood) if each.reading.likelihood else len(order)

    return min((each for each in found if each.error <= good), key=innocence).reading


def _ways(calls: list[Call]) -> Iterator[list[Tensor]]:
    """The z that the calls may have decoded: those that were seen, or else those that noise may have made."""
    layouts = min(len(call.decoded) for call in calls)
    if layouts:
        yield from ([call.decoded[k] for call in calls] for k in range(layouts))
        return
    for form in FORMS.values():
        way = [made(call, form) for call in calls]
        if all(z is not None for z in way):
            yield way
    yield [call.mu[None] for call in calls]


def draw_of(call: Call, reading: LossReading) -> Tensor | None:
    """The z of another call, known in the way in which those of the reading are; None where it is not."""
    ways = list(_ways([*reading.calls, call]))
    same = (way[-1] for way in ways if all(map(torch.equal, way[:-1], reading.z)))
    return next(same, None)


def _fits(calls: list[Call], table: list[dict[str, float]], names: Iterable[str]) -> dict[int, Fit] | None:
    """The coefficients of some terms for each size of the batch; None where they do not give the values."""
    names, found = tuple(names), {}
    for size in SIZES:
        rows = [row for row, call in zip(table, calls, strict=True) if len(call.x) == size]
        values = np.array([call.value for call in calls if len(call.x) == size])
        matrix = np.array([[row.get(name, math.nan) for name in names] for row in rows])
        fit = _fit(matrix, values, names)
        if fit is None:
            return None
        found[size] = fit
    return found


def _fit(matrix: Array, values: Array, names: tuple[str, ...]) -> Fit | None:
    if not np.isfinite(matrix).all():
        return None
    near = NEAR if len(names) < 4 else NEAR_MANY
    norm = np.linalg.norm(matrix, axis=0)
    norm[norm == 0] = 1
    solution, _, rank, _ = np.linalg.lstsq(matrix / norm, values, rcond=1e-12)
    coefficients = solution / norm
    largest = np.abs(values).max()
    size = max(largest, min(np.abs(matrix * coefficients).max(), 1e3 * largest))
    residual = matrix @ coefficients - values
    left = math.sqrt((residual**2).sum() / max(len(values) - rank, 1))
    if left > near * size:
        return None
    spread = np.sqrt(np.diag(np.linalg.pinv((matrix / norm).T @ (matrix / norm)))) / norm
    errors = max(left, EXACT * largest) * spread
    return Fit(
        dict(zip(names, coefficients, strict=True)), dict(zip(names, errors, strict=True)), left / size
    )
