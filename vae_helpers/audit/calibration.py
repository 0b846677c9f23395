"""Whether q(z given x) is the posterior: ranks of simulated latents, tails of importance weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from vae_helpers.models._validate import check_batch
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import Array, as_array

_FEWEST = 25  # draws whose tail, a fifth, is fitted


class Ranks(NamedTuple):
    """Where simulated latents lie in q(z given x), for each latent: NumPy arrays, float64.

    Attributes:
        u: Φ((z - mu) / std), shape (n, d): uniform on (0, 1) if q is the posterior.
        rms: root mean square of (z - mu) / std, shape (d,): 1 for the posterior, above 1 where q is too
            narrow or in a wrong place, below 1 where it is too wide.
        rms_error: its standard error, shape (d,).
        p_value: of the Kolmogorov-Smirnov test that u is uniform, shape (d,). Several latents are
            several tests: the smallest of d may well be 1 / d.
    """

    u: Array
    rms: Array
    rms_error: Array
    p_value: Array


@torch.no_grad()
def ranks(model: VAE, x: Tensor, z: Tensor) -> Ranks:
    """Simulation-based calibration of the encoder, by pairs (z, x) that were drawn from the model.

    A z from the prior and an x from p(x given z) are a draw from p(x, z): z is one from the posterior. If q
    is the posterior, its distribution function at z is uniform over all pairs, for each latent. (The
    converse does not hold: q = prior passes as well.) Talts et al. count how many draws from q lie below z;
    for a Gaussian q that count, as a share of ever more draws, becomes the distribution function.

    Args:
        model: the VAE.
        x: images drawn from p(x given z), shape (n, D), at least two.
        z: the latents that they were drawn from, themselves drawn from the prior, shape (n, d).

    Returns:
        `Ranks`.

    Raises:
        ValueError: fewer than two pairs, or x or z of a wrong shape or with NaN.

    Source: Talts, Betancourt, Simpson, Vehtari & Gelman 2018, theorem 1.
    """
    check_batch("x", x, model.data_dim)
    check_batch("z", z, model.latent_dim)
    if len(x) < 2 or len(z) != len(x):
        raise ValueError(
            f"z: expected at least two rows, one for each of the {len(x)} images, got shape {tuple(z.shape)}"
        )
    mu, log_var = (part.double() for part in model.encode(x))
    eps = ((z.double() - mu) * torch.exp(-0.5 * log_var)).cpu().numpy()
    squares = eps**2
    rms = np.sqrt(squares.mean(axis=0))
    error = squares.std(axis=0, ddof=1) / math.sqrt(len(eps)) / (2 * rms)
    p_value = np.array([scipy.stats.kstest(column, "norm").pvalue for column in eps.T])
    return Ranks(scipy.special.ndtr(eps), rms, error, p_value)


def pareto_k(log_weights: ArrayLike) -> Array:
    """Pareto k̂ of importance weights: how heavy the tail is that their mean depends on.

    The largest weights are fitted by a generalized Pareto distribution, whose shape is k. Up to k = 0.5 the
    weights have a variance, up to 1 a mean. The mean of S weights can be relied on for k̂ up to
    min(1 - 1 / log10(S), 0.7); beyond, their bound on log p(x) may be far too low, and its standard
    error does not tell. k̂ comes from a sample and has a standard error of about (1 + k) / √M with M
    weights in the tail.

    Args:
        log_weights: log p(x, z) - log q(z given x), at least 25 draws along the first axis, (S, …), such as
            `vae_helpers.models.log_weights` gives.

    Returns:
        k̂, shape (…), float64; -inf where no weight stands out, that is, where all in the tail are equal. It
        does not change when a number is added to all log-weights.

    Raises:
        ValueError: fewer than 25 draws, or NaN.

    Source: Zhang & Stephens 2009 for the estimator; Vehtari, Simpson, Gelman, Yao & Gabry 2024 for the
    limits, the size of the tail, min(S / 5, 3 √S), and a prior for k with the weight of ten draws at 0.5.
    """
    log_weights = as_array("log_weights", log_weights)
    if log_weights.ndim == 0 or len(log_weights) < _FEWEST:
        raise ValueError(
            f"log_weights: expected at least {_FEWEST} draws along the first axis, got shape "
            f"{log_weights.shape}"
        )
    num = len(log_weights)
    size = math.ceil(min(num / 5, 3 * math.sqrt(num)))
    # The tail is in order, and no other draw has to be.
    ordered = np.partition(log_weights.reshape(num, -1), [num - size - 1, num - 1], axis=0)[-size - 1 :]
    cutoff, tail = ordered[0], np.sort(ordered[1:], axis=0)
    # (w - cutoff) / largest, exact where the weights differ little, and never too large.
    excess = -np.exp(tail - tail[-1]) * np.expm1(cutoff - tail)
    excess = np.where(tail > cutoff, np.maximum(excess, 1e-300), 0.0)
    shape = _generalized_pareto_shape(excess)
    shape = (size * shape + 10 * 0.5) / (size + 10)
    return np.where(excess[-1] > 0, shape, -np.inf).reshape(log_weights.shape[1:])


def _generalized_pareto_shape(excess: Array) -> Array:
    """The shape of the generalized Pareto distribution of each column of (n, columns), in order from 0 on.

    The mean of θ = -k / σ over its quasi-posterior on a grid; given θ, the likelihood has its
    maximum at k = mean log(1 - θ x). Zhang and Stephens's k is minus this one.
    """
    num = len(excess)
    num_grid = 30 + math.isqrt(num)
    with np.errstate(divide="ignore", invalid="ignore"):  # of columns without any excess
        quartile = excess[int(num / 4 + 0.5) - 1]
        lowest = np.where(excess > 0, excess, np.inf).min(axis=0)  # where weights are equal
        quartile = np.maximum(quartile, lowest)
        grid = 1 - np.sqrt(num_grid / (np.arange(1, num_grid + 1) - 0.5))[:, None]
        theta = 1 / excess[-1] + grid / (3 * quartile)
        shape = np.array([_shape_given(row, excess) for row in theta])
        profile = num * (np.log(-theta / shape) - shape - 1)
        weight = scipy.special.softmax(profile, axis=0)
        return _shape_given((weight * theta).sum(axis=0), excess)


def _shape_given(theta: Array, excess: Array) -> Array:
    return np.log1p(-theta * excess).mean(axis=0)
