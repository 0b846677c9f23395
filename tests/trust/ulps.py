"""Closed forms against mpmath at 50 digits: the error beyond what rounding the arguments costs.

An argument that was rounded to a float could be any number within half a unit in the last place (ulp) of
it, and no algorithm can know which. So the error of a result f(x) is told in units of

    ulp(f) + Σ_i |∂f/∂x_i| ulp(x_i),

ulp(a) being the distance from |a| to the next larger float of the type in question (of subnormal numbers: the
smallest one), f and its derivatives those of mpmath. Four of these units are two bits. Three exceptions:

- A pixel that is 0 or 1 is exact, and costs nothing.
- An entry ij of a covariance counts with the ulp of √(c_ii c_jj), not with its own, which would be nothing
  where it is 0: the factorization of a matrix rounds by that much. So does one that is a result.
- `expectation` is handed the values of f, rounded, at points that are rounded; both count. The products of
  matrices in `pairwise_log_prob` count with the ulp of the sum of their terms' absolute values.

A result over a quarter of the largest float may also be infinite, and one under the smallest normal float 0.
The arguments are numbers of the type itself.

The worst figure of each function, rounded up, is kept in ulps.json beside this file and held by the tests.
The command writes smaller figures there, and a larger one only where the line was deleted before.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mpmath import mp, mpf

from trust import exact
from trust.ledger import Row
from vae_helpers import models
from vae_helpers.models import likelihoods, objectives
from vae_helpers.models.storage import whole_file
from vae_helpers.numerics import LinearGaussian, estimate, gaussian, importance_gap

KEPT = Path(__file__).parent / "ulps.json"
GOAL = 4.0  # two bits
POINTS = 10_500  # of each function
LOG_P = -8.0  # log p(x given z) where log weights are tried: a sum of both, as always
DOUBLE, SINGLE = np.dtype(np.float64), np.dtype(np.float32)
Array = np.ndarray
Make = Callable[[np.random.Generator, int, int, np.dtype], tuple[Array, ...]]


@dataclass(frozen=True)
class Case:
    """A function of ours and its truth.

    Attributes:
        name: for the table.
        ours: arrays of n points to n values.
        truth: the numbers of one point to the value, its gradient, and what else rounding costs, if anything.
        makes: the kinds of points; each gives n of a size.
        dtype: of arguments and value.
        sizes: of a point.
        covariances: which arguments are.
    """

    name: str
    ours: Callable[..., Array]
    truth: Callable[..., tuple]
    makes: tuple[Make, ...]
    dtype: np.dtype = DOUBLE
    sizes: tuple[int, ...] = (1, 2, 5)
    covariances: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """What its figure is kept under."""
        return f"{self.name}, {self.dtype.name}"


@dataclass(frozen=True)
class Found:
    """What came of a case: the worst error, where, and how many points were above a bound."""

    key: str
    tried: int
    worst: float
    where: str
    above: int


# ---- the measure ----------------------------------------------------------------------------


def ulp(value: Array | float, dtype: np.dtype) -> Array:
    """The distance to the next larger float of the type."""
    largest = np.finfo(dtype).max
    return np.spacing(np.minimum(np.abs(np.asarray(value, np.float64)), largest).astype(dtype)).astype(float)


def batches(case: Case, share: float) -> Iterator[tuple[Array, ...]]:
    """The first points of each kind and size; a share of them is a part of all."""
    number = -(-POINTS // (len(case.makes) * len(case.sizes)))
    for i, make in enumerate(case.makes):
        for size in case.sizes:
            rng = np.random.default_rng([zlib.crc32(case.name.encode()), i, size])
            with np.errstate(all="ignore"):
                arrays = make(rng, number, size, case.dtype)
            if not all(np.isfinite(a).all() for a in arrays):
                raise ValueError(f"{case.key}: kind {i} made points that are not finite")
            yield tuple(a[: math.ceil(share * number)] for a in arrays)


def errors(case: Case, arrays: tuple[Array, ...]) -> list[float]:
    """The error of ours at each point, in the units above."""
    with np.errstate(all="ignore"):
        got = np.asarray(case.ours(*arrays))
    assert got.dtype == case.dtype and got.shape == (len(arrays[0]),), (case.key, got.dtype, got.shape)
    units = [ulp(_of_entries(a) if i in case.covariances else a, case.dtype) for i, a in enumerate(arrays)]
    return [
        _error(case, float(value), *point)
        for value, *point in zip(got, zip(*arrays), zip(*units))  # noqa: B905
    ]


def value_and_unit(case: Case, point: tuple, units: tuple) -> tuple[mpf, mpf]:
    """The truth at a point, and the unit of errors there; `units` are the arguments' own."""
    value, gradient, *extra = case.truth(*(_big(a) for a in point))
    slopes = (g for part in gradient for g in _flat(part))
    of_arguments = (u for part in units for u in np.ravel(part).tolist())
    cost = mp.fsum(abs(g) * u for g, u in zip(slopes, of_arguments, strict=True)) + sum(extra)
    limit = float(np.finfo(case.dtype).max) / 4
    return value, cost + (float(ulp(float(value), case.dtype)) if abs(value) < limit else limit)


def _error(case: Case, got: float, point: tuple, units: tuple) -> float:
    value, unit = value_and_unit(case, point, units)
    numbers = np.finfo(case.dtype)
    if not math.isfinite(got):
        infinite = got == math.copysign(math.inf, value) and abs(value) > float(numbers.max) / 4
        return 0.0 if infinite else math.inf
    if got == 0 and abs(value) < float(numbers.tiny):
        return 0.0
    return float(abs(got - value) / unit)


def _of_entries(cov: Array) -> Array:
    std = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))
    return std[..., :, None] * std[..., None, :]


def _big(array: Array) -> list:
    """A point's argument as lists of mpf."""
    return [_big(a) if np.ndim(a) else mpf(float(a)) for a in np.atleast_1d(array)]


def _flat(part: list) -> Iterator[mpf]:
    for a in part:
        if isinstance(a, list):
            yield from _flat(a)
        else:
            yield a


def measure(key: str, share: float = 1.0, bound: float = GOAL) -> Found:
    """Tries the points of a case."""
    case, worst, where, tried, above = CASES[key], -1.0, "", 0, 0
    with mp.workdps(exact.DIGITS):
        for arrays in batches(case, share):
            found = errors(case, arrays)
            tried, above = tried + len(found), above + sum(e > bound for e in found)
            if (most := max(found)) > worst:
                at = found.index(most)
                worst, where = most, ", ".join(np.array2string(a[at], precision=17) for a in arrays)
    return Found(key, tried, worst, where, above)


# ---- points ---------------------------------------------------------------------------------


def spread(
    rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float, signed: bool = True
) -> Array:
    """Numbers whose logarithm to base 10 is uniform."""
    sign = rng.choice([-1.0, 1.0], size=shape) if signed else 1.0
    return sign * 10 ** rng.uniform(low, high, size=shape)


def as_type(dtype: np.dtype, *arrays: Array) -> tuple[Array, ...]:
    """The arrays as numbers of a type, at most an eighth of its largest."""
    largest = float(np.finfo(dtype).max) / 8
    return tuple(np.clip(a, -largest, largest).astype(dtype) for a in arrays)


def steps(rng: np.random.Generator, a: Array, most: int = 3) -> Array:
    """Each number moved by a few of the next floats, up or down."""
    up = rng.choice([-np.inf, np.inf], size=a.shape).astype(a.dtype)
    count = rng.integers(0, most + 1, size=a.shape)
    for i in range(most):
        a = np.where(i < count, np.nextafter(a, up), a)
    return a


def wide(dtype: np.dtype) -> float:
    """Log-variances up to here have a variance that is a normal float."""
    return 700.0 if dtype == DOUBLE else 85.0


def powers(dtype: np.dtype) -> float:
    """Powers of ten up to here, and down to minus that, are normal floats."""
    return 300.0 if dtype == DOUBLE else 36.0


def _density(kind: str, rng: np.random.Generator, n: int, d: int, dtype: np.dtype) -> tuple[Array, ...]:
    """x, mu, log_var."""
    shape, most = (n, d), powers(dtype)
    eps, mu, log_var = rng.normal(size=shape), rng.normal(size=shape), 3 * rng.normal(size=shape)
    if kind == "wide":
        log_var, mu = rng.uniform(-1, 1, size=shape) * wide(dtype), spread(rng, shape, -3, 3)
        eps *= spread(rng, shape, -3, 2)
    elif kind == "equal":
        log_var = np.where(rng.random(shape) < 0.5, spread(rng, shape, -most, most / 2), 40 * eps)
        mu = spread(rng, shape, -most, most)
        return as_type(dtype, mu, mu, log_var)
    elif kind == "near":
        (mu,) = as_type(dtype, spread(rng, shape, -3, 3))
        log_var = 2 * np.log(np.abs(mu)) - rng.uniform(0, 80, size=shape)
        return steps(rng, mu), mu, *as_type(dtype, log_var)
    elif kind == "zero":  # of the log-density of each coordinate
        log_var, mu = rng.uniform(-40, -2, size=shape), mu * (rng.random(shape) < 0.5) * 1e-8
        eps = np.sqrt(-np.log(2 * np.pi) - log_var) * (1 + spread(rng, shape, -16, -2))
    elif kind == "any size":
        mu = spread(rng, shape, -most - 8, most)
        x = np.where(rng.random(shape) < 0.5, spread(rng, shape, -most - 8, most), mu * (1 + 0.1 * eps))
        x, mu = as_type(dtype, x, mu)
        size = np.maximum(np.maximum(np.abs(x), np.abs(mu)).astype(float), 5e-324)
        return x, mu, *as_type(dtype, 2 * np.log(size) + 3 * rng.normal(size=shape))
    elif kind == "tiny":
        return as_type(dtype, *spread(rng, (3, *shape), -most - 23 * (dtype == DOUBLE) - 8, -5))
    return as_type(dtype, mu + np.exp(log_var / 2) * eps, mu, log_var)


DENSITY = tuple(
    partial(_density, kind) for kind in ("plain", "wide", "equal", "near", "zero", "any size", "tiny")
)


def _standard(kind: str, rng: np.random.Generator, n: int, d: int, dtype: np.dtype) -> tuple[Array, ...]:
    """mu, log_var."""
    shape, most = (n, d), powers(dtype)
    mu, log_var = rng.normal(size=shape), 2 * rng.normal(size=shape)
    if kind == "wide":
        mu, log_var = spread(rng, shape, -5, 5), rng.uniform(-1, 1, size=shape) * wide(dtype)
    elif kind == "near":
        mu, log_var = spread(rng, shape, -12, 0), spread(rng, shape, -12, 0)
    elif kind == "tiny":
        mu, log_var = spread(rng, (2, *shape), -most - 23 * (dtype == DOUBLE) - 8, -5)
    elif kind == "large":
        mu, log_var = spread(rng, shape, -most, most / 2), -spread(rng, shape, 0, most, signed=False)
    elif kind == "edges":  # where one form gives way to another
        edges = np.array([0.05, 0.1, 0.125, 0.25, 0.3, 0.5, 0.7, 1.0])
        log_var = rng.choice(np.concatenate([edges, -edges]), size=shape) * (1 + spread(rng, shape, -16, -1))
        mu = mu * (rng.random(shape) < 0.3)
    return as_type(dtype, mu, log_var)


STANDARD = tuple(partial(_standard, kind) for kind in ("plain", "wide", "near", "tiny", "large", "edges"))


def _pair(kind: str, rng: np.random.Generator, n: int, d: int, dtype: np.dtype) -> tuple[Array, ...]:
    """mu_q, log_var_q, mu_p, log_var_p."""
    shape, most = (n, d), powers(dtype)
    mu_q, log_var_q, mu_p, log_var_p = 2 * rng.normal(size=(4, *shape))
    if kind == "wide":
        log_var_p, difference = rng.uniform(-1, 1, size=(2, *shape)) * 300
        log_var_q, mu_q = log_var_p + difference, mu_p + np.exp(log_var_p / 2) * spread(rng, shape, -8, 8)
    elif kind == "near":
        close = 1 + spread(rng, (2, *shape), -15, -1)
        mu_q, log_var_q = mu_p * close[0], log_var_p * close[1]
    elif kind == "steps":
        log_var_p = rng.uniform(-1, 1, size=shape) * 300
        mu_p = np.exp(log_var_p / 2) * spread(rng, shape, -2, 2)
        return steps(rng, mu_p), steps(rng, log_var_p), mu_p, log_var_p
    elif kind == "any size":
        mu_q, mu_p = spread(rng, (2, *shape), -most - 20, most)
        log_var_p = 2 * np.log(np.maximum(np.abs(mu_q), np.abs(mu_p))) + 3 * rng.normal(size=shape)
        log_var_q = log_var_p + spread(rng, shape, -10, 2)
    elif kind == "huge":
        mu_q = mu_p
        log_var_p, log_var_q = spread(rng, (2, *shape), 0, most)
        log_var_q = np.minimum(log_var_q, log_var_p)
    return as_type(dtype, mu_q, log_var_q, mu_p, log_var_p)


PAIR = tuple(partial(_pair, kind) for kind in ("plain", "wide", "near", "steps", "any size", "huge"))


def _covariances(kind: str, rng: np.random.Generator, n: int, d: int, dtype: np.dtype) -> tuple[Array, ...]:
    """mu_q, cov_q, mu_p, cov_p."""
    (mu_q, mu_p), a, e = rng.normal(size=(2, n, d)), rng.normal(size=(2, n, d, d)), rng.normal(size=(n, d, d))
    cov_q, cov_p = a @ a.swapaxes(-1, -2) / d + 0.1 * np.eye(d)
    if kind == "near":
        size = spread(rng, (n, 1, 1), -14, -1)
        cov_q, mu_q = cov_p + size * 0.05 / d * (e + e.swapaxes(-1, -2)), mu_p + size[..., 0] * mu_q
    elif kind == "scales":
        cov_q, cov_p = (
            cov_q * spread(rng, (n, 1, 1), -8, 8, False),
            cov_p * spread(rng, (n, 1, 1), -8, 8, False),
        )
    elif kind == "graded":
        std = spread(rng, (n, d), -100, 100, False) if d < 3 else spread(rng, (n, d), -6, 6, False)
        outer = std[..., :, None] * std[..., None, :]
        cov_q, cov_p, mu_q, mu_p = cov_q * outer, cov_p * outer, mu_q * std, mu_p * std
    elif kind == "nearly flat":
        thin = np.ones((n, d, d)) + spread(rng, (n, 1, 1), -7, -1, False) * np.eye(d)
        cov_q, cov_p = (cov_q, thin) if rng.random() < 0.5 else (thin, cov_p)
    cov_q, cov_p = ((c + c.swapaxes(-1, -2)) / 2 for c in (cov_q, cov_p))
    return as_type(dtype, mu_q, cov_q, mu_p, cov_p)


COVARIANCES = tuple(
    partial(_covariances, kind) for kind in ("plain", "near", "scales", "graded", "nearly flat")
)


def _black_and_white(
    kind: str, rng: np.random.Generator, n: int, d: int, dtype: np.dtype
) -> tuple[Array, ...]:
    """x, logits."""
    shape, most = (n, d), powers(dtype)
    x, logits = (rng.random(shape) < 0.5) * 1.0, 3 * rng.normal(size=shape)
    if kind == "grey":
        x = np.where(rng.random(shape) < 0.5, rng.random(shape), spread(rng, shape, -most, 0, False))
    elif kind == "sure":
        logits = rng.uniform(-60, 60, size=shape)
    elif kind == "large":
        logits = np.where(rng.random(shape) < 0.5, rng.choice([-1e3, 1e3], size=shape), 1e3 * logits)
    elif kind == "right":  # and sure, so that nearly nothing is lost
        logits = (2 * x - 1) * rng.uniform(0, wide(dtype), size=shape)
    elif kind == "any size":
        logits = spread(rng, shape, -most - 8, most)
    elif kind == "edges":
        edges = np.array([-40.0, -20.0, -1.0, 0.0, 1.0, 20.0, 40.0, 88.0, -88.0])
        logits = rng.choice(edges, size=shape) * (1 + spread(rng, shape, -16, -1))
    return as_type(dtype, x, logits)


BLACK_AND_WHITE = tuple(
    partial(_black_and_white, kind)
    for kind in ("plain", "grey", "sure", "large", "right", "any size", "edges")
)


def _grey(kind: str, rng: np.random.Generator, n: int, d: int, dtype: np.dtype) -> tuple[Array, ...]:
    """x, output, and one log-variance: the density's points, of one width each."""
    x, mu, log_var = (a.astype(float) for a in _density(kind, rng, n, d, dtype))
    scale = np.exp((log_var[:, :1] - log_var) / 2) if kind in ("plain", "wide", "zero") else 1.0
    return as_type(dtype, mu + (x - mu) * scale, mu, log_var[:, :1])


GREY = tuple(partial(_grey, kind) for kind in ("plain", "wide", "equal", "near", "zero", "tiny"))


def _world(kind: str, rng: np.random.Generator, n: int, d: int, dtype: np.dtype) -> tuple[Array, ...]:
    """weight, bias, noise_std, x, mu, log_var: d latents, d to d + 2 numbers."""
    size = max(1, d + int(rng.integers(-1, 3)))
    weight, bias, x = (
        rng.normal(size=(n, size, d)),
        rng.normal(size=(n, size)),
        2 * rng.normal(size=(n, size)),
    )
    std, mu, log_var = spread(rng, (n, 1), -1, 1, False), rng.normal(size=(n, d)), rng.normal(size=(n, d))
    if kind == "sharp":
        std = spread(rng, (n, 1), -5, -1, False)
        x = (weight @ rng.normal(size=(n, d, 1)))[..., 0] + bias + std * rng.normal(size=(n, size))
    elif kind == "graded":
        weight = weight * spread(rng, (n, 1, d), -6, 6)
        x = (weight @ rng.normal(size=(n, d, 1)))[..., 0] + std * rng.normal(size=(n, size))
    elif kind == "flat":
        weight, std = weight * spread(rng, (n, 1, 1), -12, -2), spread(rng, (n, 1), -2, 3, False)
    elif kind == "no weight":
        weight, log_var = 0 * weight, spread(rng, (n, d), -10, 1)
    return as_type(dtype, weight, bias, std, x, mu, log_var)


def world(*which: int) -> tuple[Make, ...]:
    """Points of the linear-Gaussian world, with these of its arguments."""
    return tuple(
        partial(_of_world, kind, which) for kind in ("plain", "sharp", "graded", "flat", "no weight")
    )


def _of_world(kind: str, which: tuple[int, ...], *arguments: object) -> tuple[Array, ...]:
    made = _world(kind, *arguments)
    return tuple(made[i] for i in which)


def _close_world(rng: np.random.Generator, n: int, d: int, dtype: np.dtype) -> tuple[Array, ...]:
    """A q near the posterior: of one latent, or where the columns of the weight are orthogonal."""
    weight, bias, std, x, mu, log_var = _world("plain", rng, n, d, dtype)
    weight = np.broadcast_to(np.eye(d), (n, d, d)) * rng.normal(size=(n, 1, d))
    bias, x = rng.normal(size=(2, n, d))
    precision = 1 + (weight**2).sum(axis=1) / std**2
    close = spread(rng, (2, n, d), -15, -1)
    mu = (weight * (x - bias)[..., None]).sum(axis=1) / std**2 / precision
    return as_type(dtype, weight, bias, std, x, mu * (1 + close[0]), -np.log(precision) * (1 + close[1]))


def _draws(kind: str, rng: np.random.Generator, n: int, d: int, dtype: np.dtype) -> tuple[Array, ...]:
    """Values to be averaged."""
    shape = (n, d)
    if kind == "plain":
        values = rng.normal(size=shape) + spread(rng, (n, 1), -2, 2)
    elif kind == "shifted":
        values = rng.normal(size=shape) * spread(rng, (n, 1), -8, 0) + spread(rng, (n, 1), 0, 8)
    elif kind == "any size":
        values = rng.normal(size=shape) * spread(rng, (n, 1), -300, 300)
    elif kind == "weights":  # as they come of likelihoods
        values = np.exp(rng.uniform(-700, 0, size=(n, 1)) + 3 * rng.normal(size=shape))
    else:
        values = np.tile(spread(rng, (n, 1), -300, 300), d)  # all of them equal
    return as_type(dtype, values)


DRAWS = tuple(partial(_draws, kind) for kind in ("plain", "shifted", "any size", "weights", "equal"))


def _drawn(kind: str, rng: np.random.Generator, n: int, d: int, dtype: np.dtype) -> tuple[Array, ...]:
    """mu, log_var and the standard normals that a fixed generator will draw."""
    shape = (n, d)
    mu, log_var = rng.normal(size=shape), 2 * rng.normal(size=shape)
    if kind == "sharp":
        mu, log_var = 10 * mu, rng.uniform(-60, -5, size=shape)
    elif kind == "wide":
        mu, log_var = spread(rng, shape, -5, 5), rng.uniform(-80, 40, size=shape)
    elif kind == "tiny":
        mu, log_var = spread(rng, (2, *shape), -powers(dtype), -3)
    of_type = torch.float64 if dtype == DOUBLE else torch.float32
    eps = torch.randn(1, n, d, generator=torch.Generator().manual_seed(0), dtype=of_type)[0].numpy()
    return *as_type(dtype, mu, log_var), eps


DRAWN = tuple(partial(_drawn, kind) for kind in ("plain", "sharp", "wide", "tiny"))


# ---- ours, of n points ----------------------------------------------------------------------


def of_torch(function: Callable[..., torch.Tensor]) -> Callable[..., Array]:
    """A function of tensors as one of arrays."""
    return lambda *arrays: (
        function(*map(torch.from_numpy, map(np.ascontiguousarray, arrays))).detach().numpy()
    )


def slope(function: Callable[..., torch.Tensor], which: int) -> Callable[..., Array]:
    """The first number of its gradient by one argument, from autograd."""

    def gradient(*arrays: Array) -> Array:
        tensors = [torch.from_numpy(np.ascontiguousarray(a)).requires_grad_() for a in arrays]
        function(*tensors).sum().backward()
        return tensors[which].grad[:, 0].numpy()

    return gradient


def one_by_one(function: Callable) -> Callable[..., Array]:
    """A function of one point as one of n."""
    return lambda *arrays: np.array([function(*point) for point in zip(*arrays, strict=True)], np.float64)


def in_world(function: Callable[..., Array]) -> Callable[..., Array]:
    """A function of a model and more as one of n points."""
    return one_by_one(lambda weight, bias, std, *rest: function(LinearGaussian(weight, bias, std[0]), *rest))


def bernoulli(x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The log-density of pixels."""
    return likelihoods.LIKELIHOODS["bernoulli"].log_prob(x, logits)


def gaussian_pixels(x: torch.Tensor, output: torch.Tensor, log_var: torch.Tensor) -> torch.Tensor:
    """The log-density of pixels, one point after the other as each has a log-variance of its own."""
    log_prob = likelihoods.LIKELIHOODS["gaussian"].log_prob
    return torch.stack([log_prob(*point[:2], point[2][0]) for point in zip(x, output, log_var, strict=True)])


def pairwise_bernoulli(x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """That of all pairs, of which the diagonal is asked for."""
    pairwise = likelihoods.LIKELIHOODS["bernoulli"].pairwise_log_prob
    return torch.stack([pairwise(a[None], b[None])[0, 0] for a, b in zip(x, logits, strict=True)])


def pairwise_truth(x: list, logits: list, dtype: np.dtype) -> tuple:
    """The truth, and what the sums of a matrix product cost."""
    size = mp.fsum(abs(a) * t + max(a, 0) for t, a in zip(x, logits, strict=True))
    return *exact.bernoulli(x, logits), mpf(float(np.finfo(dtype).eps)) * size


class _Stub(models.VAE):
    """A model with this q(z given x) for all x, and with the same log p(x given z) for all z."""

    def __init__(self, mu: torch.Tensor, log_var: torch.Tensor, log_p: float = 0.0) -> None:
        super().__init__(1, 1, data_dim=1)
        self.q, self.log_p = (mu, log_var), log_p

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """q(z given x)."""
        return self.q

    def log_likelihood(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """The constant."""
        return torch.full(z.shape[:-1], self.log_p, dtype=z.dtype)


def log_weights(mu: torch.Tensor, log_var: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
    """log p(x, z) - log q(z) of one draw."""
    model, draw = _Stub(*_padded(mu, log_var), LOG_P), torch.Generator().manual_seed(0)
    return objectives.log_weights(model, mu, 1, draw)[0][: len(mu)]


def bound_for_training(mu: torch.Tensor, log_var: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
    """The same, as the bound of one draw that is trained by."""
    model, draw = _Stub(*_padded(mu, log_var), LOG_P), torch.Generator().manual_seed(0)
    return objectives.iwae_for_training(model, mu, 1, draw)[: len(mu)]


def reparameterize(mu: torch.Tensor, log_var: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
    """z of one draw and one latent."""
    return models.reparameterize(*_padded(mu, log_var), 1, torch.Generator().manual_seed(0))[0, : len(mu), 0]


def _padded(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """As many rows as were made, so that the generator draws what it drew there."""
    rows = -(-POINTS // len(DRAWN))
    return [torch.cat([t, torch.zeros(max(0, rows - len(t)), t.shape[1], dtype=t.dtype)]) for t in tensors]


def weight_truth(mu: list, log_var: list, eps: list) -> tuple:
    """Of the log weight, with that constant."""
    value, gradient = exact.log_ratio(mu, log_var, eps)
    return value + LOG_P, gradient


def elbo_of(mu: torch.Tensor, log_var: torch.Tensor) -> torch.Tensor:
    """The KL term of the ELBO, where p(x given z) = 1."""
    return -objectives.elbo(_Stub(mu, log_var), mu, generator=torch.Generator().manual_seed(0)).elbo


# ---- integrals ------------------------------------------------------------------------------


def _integrand(kind: str, rng: np.random.Generator, n: int, d: int, dtype: np.dtype) -> tuple[Array, ...]:
    """mu, std and a."""
    std = spread(rng, (n, 1), -3, 3, False)
    return rng.normal(size=(n, 1)) * std * 3, std, rng.uniform(-3, 3, size=(n, 1)) / std


def _cosine(mu: list, std: list, a: list) -> tuple:
    (m,), (s,), (a,) = mu, std, a
    decay, eps = mp.exp(-((a * s) ** 2) / 2), mpf(2) ** -52
    value = decay * mp.cos(a * m)
    gradient = [-decay * a * mp.sin(a * m)], [-a * a * s * value], [mpf(0)]
    return value, gradient, eps * (1 + abs(a) * (abs(m) + s))


def _exponential(mu: list, std: list, a: list) -> tuple:
    (m,), (s,), (a,) = mu, std, a
    value, eps = mp.exp(a * m + (a * s) ** 2 / 2), mpf(2) ** -52
    return value, ([a * value], [a * a * s * value], [mpf(0)]), eps * value * (1 + abs(a) * (abs(m) + s))


def _fourth_power(mu: list, std: list, a: list) -> tuple:
    (m,), (s,) = mu, std
    value = m**4 + 6 * (m * s) ** 2 + 3 * s**4
    gradient = [4 * m**3 + 12 * m * s * s], [12 * m * m * s + 12 * s**3], [mpf(0)]
    return value, gradient, value * mpf(2) ** -52


INTEGRANDS = {
    "cos(a z)": (lambda a: lambda z: np.cos(a * z), _cosine),
    "exp(a z)": (lambda a: lambda z: np.exp(a * z), _exponential),
    "z⁴": (lambda a: lambda z: z**4, _fourth_power),
}


def _integral(f: Callable, mu: Array, std: Array, a: Array) -> float:
    return gaussian.expectation(f(a[0]), mu[0], std[0])


# ---- all cases ------------------------------------------------------------------------------


def _cases() -> Iterator[Case]:
    yield Case("gaussian.log_prob", gaussian.log_prob, exact.log_prob, DENSITY)
    yield Case("gaussian.entropy", gaussian.entropy, exact.entropy, (_log_vars, _near_no_entropy))
    yield Case("gaussian.kl_standard_normal", gaussian.kl_standard_normal, exact.kl_standard_normal, STANDARD)
    yield Case("gaussian.kl_diagonal", gaussian.kl_diagonal, exact.kl_diagonal, PAIR)
    yield Case(
        "gaussian.kl_full", gaussian.kl_full, exact.kl_full, COVARIANCES, sizes=(1, 2, 4), covariances=(1, 3)
    )
    for name, (f, truth) in INTEGRANDS.items():
        ours = one_by_one(partial(_integral, f))
        yield Case(f"gaussian.expectation of {name}", ours, truth, (partial(_integrand, name),), sizes=(1,))
    yield from _worlds()
    yield Case("estimate, mean", lambda v: estimate(v.T).mean, exact.estimate_mean, DRAWS, sizes=(2, 7, 300))
    yield Case(
        "estimate, standard error",
        lambda v: estimate(v.T).standard_error,
        exact.standard_error,
        DRAWS,
        sizes=(2, 7, 300),
    )
    for dtype in (DOUBLE, SINGLE):
        yield from _of_torch(dtype)


def _worlds() -> Iterator[Case]:
    sizes, q = (1, 2, 3), world(0, 1, 2, 3, 4, 5)
    for name, ours, truth, makes in (
        (
            "log_likelihood",
            lambda m, x, z: m.log_likelihood(x, z),
            exact.log_likelihood,
            world(0, 1, 2, 3, 4),
        ),
        ("log_evidence", lambda m, x: m.log_evidence(x), exact.log_evidence, world(0, 1, 2, 3)),
        ("posterior, mean", lambda m, x: m.posterior(x)[0][-1], exact.posterior_mean, world(0, 1, 2, 3)),
        (
            "posterior, covariance",
            lambda m, x: m.posterior(x)[1][0, -1],
            exact.posterior_cov,
            world(0, 1, 2, 3),
        ),
        ("elbo", lambda m, *rest: m.elbo(*rest), exact.elbo, q),
        ("gap", lambda m, *rest: m.gap(*rest), exact.gap, (*q, _close_world)),
    ):
        yield Case(f"LinearGaussian.{name}", in_world(ours), truth, makes, sizes=sizes)


def _of_torch(dtype: np.dtype) -> Iterator[Case]:
    one, pixels = (1,), (1, 3, 20)
    for name, function, truth, makes, sizes in (
        (
            "models.kl_standard_normal",
            models.kl_standard_normal,
            exact.kl_standard_normal,
            STANDARD,
            (1, 2, 5),
        ),
        ("models.elbo, KL term", elbo_of, exact.kl_standard_normal, STANDARD[:3], (1, 2, 5)),
        ("models.log_weights", log_weights, weight_truth, DRAWN, one),
        ("models.iwae_for_training", bound_for_training, weight_truth, DRAWN, one),
        ("models.reparameterize", reparameterize, exact.reparameterized, DRAWN, one),
        ("Bernoulli.log_prob", bernoulli, exact.bernoulli, BLACK_AND_WHITE, pixels),
        (
            "Bernoulli.pairwise_log_prob",
            pairwise_bernoulli,
            partial(pairwise_truth, dtype=dtype),
            BLACK_AND_WHITE,
            pixels,
        ),
        (
            "Bernoulli.mean",
            lambda x, a: likelihoods.LIKELIHOODS["bernoulli"].mean(a[:, 0]),
            _mean_of_bernoulli,
            BLACK_AND_WHITE,
            one,
        ),
        ("Gaussian.log_prob", gaussian_pixels, exact.gaussian_pixels, GREY, pixels),
    ):
        yield Case(name, of_torch(function), truth, makes, dtype, sizes)
    for name, function, which, truth, makes, sizes in (
        ("models.kl_standard_normal by mu", models.kl_standard_normal, 0, _kl_by_mu, STANDARD, one),
        ("models.kl_standard_normal by log_var", models.kl_standard_normal, 1, _kl_by_log_var, STANDARD, one),
        ("Bernoulli.log_prob by a logit", bernoulli, 1, exact.bernoulli_slope, BLACK_AND_WHITE, one),
        ("Gaussian.log_prob by an output", gaussian_pixels, 1, exact.gaussian_pixels_by_output, GREY, one),
        (
            "Gaussian.log_prob by the log-variance",
            gaussian_pixels,
            2,
            exact.gaussian_pixels_by_log_var,
            GREY,
            pixels,
        ),
    ):
        yield Case(f"gradient of {name}", slope(function, which), truth, makes, dtype, sizes)


def _log_vars(rng: np.random.Generator, n: int, d: int, dtype: np.dtype) -> tuple[Array, ...]:
    small = np.where(rng.random((n, d)) < 0.5, spread(rng, (n, d), -320, 2), 5 * rng.normal(size=(n, d)))
    return as_type(dtype, np.where(rng.random((n, 1)) < 0.1, spread(rng, (n, d), 2, 306), small))


def _near_no_entropy(rng: np.random.Generator, n: int, d: int, dtype: np.dtype) -> tuple[Array, ...]:
    log_var = rng.normal(size=(n, d))
    log_var[:, -1] = -d * (1 + math.log(2 * math.pi)) - log_var[:, :-1].sum(axis=1)
    return as_type(dtype, log_var * (1 + spread(rng, (n, d), -16, -3)))


def _mean_of_bernoulli(x: list, logits: list) -> tuple:
    value, (of_logits,) = exact.mean_of_bernoulli(logits)
    return value, ([mpf(0)], of_logits)


def _kl_by_mu(mu: list, log_var: list) -> tuple:
    return mu[0], ([mpf(1)], [mpf(0)])


def _kl_by_log_var(mu: list, log_var: list) -> tuple:
    return mp.expm1(log_var[0]) / 2, ([mpf(0)], [mp.exp(log_var[0]) / 2])


CASES = {case.key: case for case in _cases()}


# ---- the figures that are kept --------------------------------------------------------------


def kept(path: Path = KEPT) -> dict[str, float]:
    """The worst figure of each function; none if the file is not there."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def keep(found: list[Found], path: Path = KEPT) -> None:
    """Writes the figures that are new or smaller than those kept, and drops those of no function."""
    before, figures = kept(path), {}
    for one in found:
        # Rounded up to a half: another processor's exponential may be another ulp off.
        figure = math.ceil(2 * one.worst + 0.5) / 2 if math.isfinite(one.worst) else math.inf
        figure = min(figure, GOAL) if one.worst <= GOAL else figure
        figures[one.key] = min(before.get(one.key, math.inf), figure)
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def bound(key: str, path: Path = KEPT) -> float:
    """What a function is held to: the figure that is kept, or two bits."""
    return kept(path).get(key, GOAL)


# ---- other claims ---------------------------------------------------------------------------

DIVERGENCES = [key for key in CASES if "gradient" not in key and ("kl_" in key or "gap" in key)]


def negative(key: str, share: float = 1.0) -> tuple[int, int]:
    """Points of a divergence, and those at which it is negative or no number."""
    values = [CASES[key].ours(*arrays) for arrays in batches(CASES[key], share)]
    return sum(map(len, values)), sum(int(np.sum(~(v >= 0))) for v in values)


def not_zero(share: float = 1.0) -> tuple[int, int]:
    """Points at which both Gaussians are the same, and those where a divergence is not exactly 0."""
    tried = failed = 0
    for dtype in (DOUBLE, SINGLE):
        zeros = np.zeros((1, 7), dtype)
        values = [of_torch(models.kl_standard_normal)(zeros, zeros), of_torch(elbo_of)(zeros, zeros)]
        values += [gaussian.kl_standard_normal(zeros, -zeros)]
        if dtype == DOUBLE:
            for key, function in (("kl_diagonal", gaussian.kl_diagonal), ("kl_full", gaussian.kl_full)):
                for *_, mean, width in batches(CASES[f"gaussian.{key}, float64"], share):
                    values.append(function(mean, width, mean, width))
        tried, failed = tried + sum(map(len, values)), failed + sum(int(np.sum(v != 0)) for v in values)
    return tried, failed


GRADIENTS = {  # of these, by all of their arguments
    "models.kl_standard_normal": models.kl_standard_normal,
    "models.elbo, KL term": elbo_of,
    "models.log_weights": log_weights,
    "models.iwae_for_training": bound_for_training,
    "models.reparameterize": reparameterize,
    "Bernoulli.log_prob": bernoulli,
    "Gaussian.log_prob": gaussian_pixels,
}


def without_gradient(name: str, dtype: np.dtype, share: float = 1.0) -> tuple[int, int]:
    """Points at which a function of PyTorch is finite, and those where its gradient is not."""
    tried = failed = 0
    for arrays in batches(CASES[f"{name}, {dtype.name}"], share):
        tensors = [torch.from_numpy(np.ascontiguousarray(a)).requires_grad_() for a in arrays]
        values = GRADIENTS[name](*tensors)
        values.sum().backward()
        finite = torch.isfinite(values.detach())
        slopes = [t.grad for t in tensors if t.grad is not None]
        good = torch.stack([torch.isfinite(g).all(dim=-1) for g in slopes]).all(dim=0)
        tried, failed = tried + int(finite.sum()), failed + int((finite & ~good).sum())
    return tried, failed


def gap_errors(number: int, seed: int = 0) -> list[float]:
    """|importance_gap - KL| in nats for one draw, where the gap is the KL from q to the posterior."""
    rng, out = np.random.default_rng(seed), []
    with mp.workdps(exact.DIGITS):
        for _ in range(number):
            ratio, shift = 5 ** rng.uniform(-1, 1), rng.choice([rng.uniform(-10, 10), spread(rng, (), -9, 0)])
            post_mean, post_std = float(rng.normal()), float(spread(rng, (), -2, 2, False))
            mean, std = float(post_mean + shift * post_std), float(np.clip(ratio, 0.2001, 4.999) * post_std)
            mean = float(np.clip(mean, post_mean - 9.99 * post_std, post_mean + 9.99 * post_std))
            got = importance_gap(mean, std, [1], post_mean, post_std)[0]
            q, p = (([mpf(m)], [2 * mp.log(mpf(s))]) for m, s in ((mean, std), (post_mean, post_std)))
            out.append(float(abs(got - exact.kl_diagonal(*q, *p)[0])))
    return out


# ---- the run --------------------------------------------------------------------------------

NATS = 1e-12  # of importance_gap, an integral: an absolute error


def _measured(arguments: tuple[str, float]) -> Found:
    key, share = arguments
    return measure(key, share, bound(key))


def rows(share: float = 1.0) -> list[Row]:
    """All points of all functions, and the other claims; keeps the figures of a whole run."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.map(_measured, [(key, share) for key in CASES], chunksize=1)
        parts = pool.starmap(gap_errors, [(math.ceil(100 * share), seed) for seed in range(100)], chunksize=1)
    out = [
        Row(
            f"{one.key}: at most {bound(one.key):g} units",
            one.tried,
            "points",
            one.above,
            f"worst {one.worst:.2f}" + (f" at {one.where}" if one.above else ""),
        )
        for one in found
    ]
    if share == 1:
        keep(found)
    gaps = [error for part in parts for error in part]
    out.append(
        Row(
            f"importance_gap of one draw is the KL, within {NATS:g} nats",
            len(gaps),
            "points",
            sum(not e <= NATS for e in gaps),
            f"worst {max(gaps):.1e}",
        )
    )
    signs = [negative(key, share) for key in DIVERGENCES]
    out.append(_row("No KL is negative", signs))
    out.append(_row("The KL of a Gaussian from itself is exactly 0", [not_zero(share)]))
    slopes = [without_gradient(name, dtype, share) for name in GRADIENTS for dtype in (DOUBLE, SINGLE)]
    out.append(_row("Where a value is finite, so is its gradient", slopes))
    return out


def _row(what: str, counts: list[tuple[int, int]]) -> Row:
    return Row(what, sum(tried for tried, _ in counts), "points", sum(failed for _, failed in counts))
