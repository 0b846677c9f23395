"""What the exercises of several notebooks need; no PyTorch."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import ArrayLike
from scipy.special import softmax

from vae_helpers.numerics import gaussian
from vae_helpers.numerics._validate import Array

LOG_2 = float(np.log(2))
Z = np.linspace(-12, 12, 6001)  # where every posterior of notebooks 1 and 2 is

_EPS, _WEIGHTS = hermegauss(9)  # symmetric, and exact for polynomials up to ε¹⁷


def moments(mu: ArrayLike, std: ArrayLike, paired: bool = False) -> tuple[float, float]:
    """Mean and variance of log q - log p, or of its mean over ε and -ε, by Gauss-Hermite quadrature.

    z is drawn from q = N(mu, std²), and p = N(0, 1); of several coordinates it is the sum.
    """
    z = mu + std * _EPS[:, None]
    log_ratio = scipy.stats.norm.logpdf(z, mu, std) - scipy.stats.norm.logpdf(z)
    if paired:
        log_ratio = (log_ratio + log_ratio[::-1]) / 2
    weights = _WEIGHTS / _WEIGHTS.sum()
    mean = weights @ log_ratio
    return float(mean.sum()), float((weights @ (log_ratio - mean) ** 2).sum())


def mean_and_std(z: Array, log_density: Array) -> tuple[float, float]:
    """Of a density on a grid; a constant factor does not matter."""
    chance = softmax(log_density)
    mean = float(chance @ z)
    return mean, float(np.sqrt(chance @ (z - mean) ** 2))


def kl_of_covariances(cov_q: Array, cov_p: Array) -> float:
    """KL(N(0, cov_q), N(0, cov_p))."""
    zero = np.zeros(len(cov_p))
    return float(gaussian.kl_full(zero, cov_q, zero, cov_p))
