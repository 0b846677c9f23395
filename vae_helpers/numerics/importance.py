"""What the importance-weighted bound misses where posterior and q are Gaussians on a line (NumPy)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from vae_helpers.numerics._validate import Array, as_counts, as_number

_WIDEST, _FARTHEST = 5.0, 10.0  # how far q may be from the posterior, for which the grids below are made
_REACH = 9.0  # standard deviations beyond which a Gaussian has no mass to 18 digits
_STEP_T = 0.125  # of log τ


def importance_gap(
    mean: float, std: float, counts: Sequence[int], post_mean: float = 0.0, post_std: float = 1.0
) -> Array:
    """log p(x) - L_k for the posterior N(post_mean, post_std²) and q = N(mean, std²), without simulation.

    L_k = E[log (1/k) Σ r(z_i)] is the bound by k draws from q, with the ratio r(z) = p(x, z) / q(z). For
    k = 1 it is the ELBO, and the result is KL(q, posterior). From log S = ∫ (exp(-t) - exp(-t S)) dt / t for
    the average S of the ratios over p(x) comes

        L_k - log p(x) = ∫ (exp(-k τ) - φ(τ)^k) dτ / τ with φ(τ) = E[exp(-τ r / p(x))],

    both integrals on grids, where the plain sum converges faster than any power of the step.

    Args:
        mean: of q.
        std: of q, from a fifth to five times that of the posterior.
        counts: the values of k, each at least 1.
        post_mean: of the posterior, at most ten of its standard deviations from that of q.
        post_std: of the posterior.

    Returns:
        float64 array of shape (len(counts),), in nats, with an error of about 1e-12.

    Raises:
        ValueError: a q outside the range above, a standard deviation that is not positive, no counts or one
            below 1.
    """
    mean, post_mean = as_number("mean", mean), as_number("post_mean", post_mean)
    std, post_std = as_number("std", std, positive=True), as_number("post_std", post_std, positive=True)
    counts = as_counts("counts", counts)
    shift, ratio = (mean - post_mean) / post_std, std / post_std
    if not 1 / _WIDEST <= ratio <= _WIDEST:
        raise ValueError(
            f"std: expected a fifth to five times that of the posterior, {post_std:g}, got {std:g}"
        )
    if abs(shift) > _FARTHEST:
        raise ValueError(
            f"mean: expected at most {_FARTHEST:g} standard deviations of the posterior, {post_std:g}, from "
            f"its mean {post_mean:g}, got {mean:g}"
        )
    log_t, log_phi = _log_phi(shift, ratio)
    with np.errstate(over="ignore"):  # exp(-∞) is the 0 that is wanted
        parts = [np.exp(k * log_phi) - np.exp(-k * np.exp(log_t)) for k in counts]
    return _STEP_T * np.sum(parts, axis=1)


@lru_cache(maxsize=8)  # a slider that moves k alone finds it done
def _log_phi(shift: float, std: float) -> tuple[Array, Array]:
    """log τ and log φ(τ) for the posterior N(0, 1) and q = N(shift, std²)."""
    step = 0.05 * min(std, 1.0)
    ends = [shift - _REACH * std, shift + _REACH * std, -_REACH, _REACH]
    # Multiples of the step: np.arange(start, end, step) is spaced by the rounded difference of two numbers.
    z = step * np.arange(math.floor(min(ends) / step), math.ceil(max(ends) / step))
    in_q, in_posterior = np.abs(z - shift) < _REACH * std, np.abs(z) < _REACH
    z, in_q = z[in_q | in_posterior], in_q[in_q | in_posterior]
    square = ((z - shift) / std) ** 2
    weight = np.exp(-0.5 * square) * step / (std * np.sqrt(2 * np.pi))  # of q
    log_ratio = 0.5 * (square - z**2) + np.log(std)  # log of posterior / q
    log_t = np.arange(-60.0, 10.0 - log_ratio[in_q].min(), _STEP_T)
    log_phi = np.empty_like(log_t)
    with np.errstate(over="ignore", divide="ignore"):
        for part in np.array_split(np.arange(len(log_t)), 1 + len(log_t) * len(z) // 2**22):
            lost = -np.expm1(-np.exp(log_t[part, None] + log_ratio)) @ weight  # keeps small digits
            log_phi[part] = np.log1p(-np.minimum(lost, 1.0))
    return log_t, log_phi
