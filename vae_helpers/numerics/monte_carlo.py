"""Monte Carlo estimates that carry their own error bar (NumPy, float64)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from vae_helpers.numerics import gaussian
from vae_helpers.numerics._validate import Array, as_array, as_count, as_number, as_rng, as_vectors

_CHUNK = 2**20  # numbers drawn at a time: 8 MB, whatever num_samples is


@dataclass(frozen=True)
class Estimate:
    """The mean of independent draws, and how far from the truth it may be.

    Attributes:
        mean: average over the draws, shape (...).
        standard_error: estimated standard deviation of `mean`, shape (...).
        count: number of draws.
        interval: lower and upper end of the confidence interval, each of shape (...).
        level: the probability with which such intervals hold the truth, 0.95 unless asked.
    """

    mean: Array
    standard_error: Array
    count: int
    interval: tuple[Array, Array]
    level: float = 0.95

    def sees(self, false_alarm: float = 0.05, miss: float = 0.05) -> Array:
        """The smallest deviation from the truth that a test with these draws finds.

        The test refuses a claim that is farther from `mean` than Student's interval of level 1 - false_alarm
        reaches. A claim that is off by the result is missed with the probability `miss`: the distance is
        (t(1 - false_alarm/2) + t(1 - miss)) standard errors, as for normal draws of a known spread; a test
        with few draws misses it a little more often.

        Args:
            false_alarm: probability with which the test refuses a claim that is right.
            miss: probability with which it takes one that is off by the result.

        Returns:
            Array of shape (...), in the units of `mean`.

        Raises:
            ValueError: a probability outside (0, 1).
        """
        false_alarm, miss = _share("false_alarm", false_alarm), _share("miss", miss)
        quantile = scipy.special.stdtrit(self.count - 1, [1 - false_alarm / 2, 1 - miss])
        return quantile.sum() * np.asarray(self.standard_error)

    def __repr__(self) -> str:
        if np.ndim(self.mean) == 0:
            return f"{self.mean:.4f} ± {self.standard_error:.4f} ({self.count} draws)"
        return f"Estimate of shape {np.shape(self.mean)} ({self.count} draws)"


def estimate(values: ArrayLike, level: float = 0.95) -> Estimate:
    """Summarises independent draws along the first axis.

    Args:
        values: draws, shape (num_samples, ...), at least two.
        level: confidence level of the interval, between 0 and 1.

    Returns:
        The mean, its standard error s/√n (s with n - 1 in the denominator), and Student's
        confidence interval with n - 1 degrees of freedom.

    Raises:
        ValueError: fewer than two draws, NaN, or a level outside (0, 1).
    """
    values = as_array("values", values)
    if values.ndim == 0 or len(values) < 2:
        raise ValueError(f"values: expected at least 2 draws along the first axis, got shape {values.shape}")
    level = _share("level", level)
    # In units of a power of two, so that no square is too large for a float, or too small.
    unit = np.ldexp(1.0, np.frexp(np.abs(values).max(axis=0))[1] - 1)
    return _summary(len(values), *_moments(values / unit), level, unit)


def kl_standard_normal_mc(
    mu: ArrayLike, log_var: ArrayLike, num_samples: int, rng: np.random.Generator
) -> Estimate:
    """Estimates KL(N(mu, diag(exp(log_var))), N(0, I)) as the mean of log q(z) - log p(z), z ~ q.

    Args:
        mu: means, shape (..., d).
        log_var: log-variances, shape (..., d) or scalar.
        num_samples: number of draws from q, at least 2.
        rng: the generator that the draws come from.

    Returns:
        An `Estimate` of shape (...), in nats. It is not the truth: single draws may be
        negative, and so may the mean of a few.

    Raises:
        ValueError: as in `gaussian.kl_standard_normal`, or num_samples below 2.
    """
    mu, log_var = as_vectors(mu=mu, log_var=log_var)
    num_samples, rng = as_count("num_samples", num_samples, minimum=2), as_rng("rng", rng)
    # Or squares of log-densities would be infinite.
    if np.abs(mu).max() > 1e70 or log_var.max() > 300 or log_var.min() < -1e70:
        raise ValueError(
            "mu, log_var: expected means within ±1e70 and log-variances from -1e70 to 300, got means up to "
            f"{np.abs(mu).max():g} and log-variances from {log_var.min():g} to {log_var.max():g}"
        )
    shape = np.broadcast_shapes(mu.shape, log_var.shape)
    std = np.exp(0.5 * log_var)
    step = max(1, _CHUNK // int(np.prod(shape)))
    mean = squares = np.zeros(shape[:-1])
    for start in range(0, num_samples, step):
        eps = rng.standard_normal((min(step, num_samples - start), *shape))
        z = mu + std * eps
        log_ratio = gaussian.log_prob(z, mu, log_var) - gaussian.log_prob(z, 0.0, 0.0)
        # The moments of the draws so far and of these make those of both (Chan et al. 1979, eq. 2.1).
        mean_of_these, squares_of_these = _moments(log_ratio)
        apart, count = mean_of_these - mean, start + len(eps)
        mean = mean + apart * (len(eps) / count)
        squares = squares + squares_of_these + apart**2 * (start * len(eps) / count)
    return _summary(num_samples, mean, squares)


def _share(name: str, value: float) -> float:
    value = as_number(name, value)
    if not 0 < value < 1:
        raise ValueError(f"{name}: expected a number between 0 and 1, got {value:g}")
    return value


def _moments(values: Array) -> tuple[Array, Array]:
    """The mean along the first axis, and the sum of the squared distances from it."""
    values = np.ascontiguousarray(np.moveaxis(values, 0, -1))  # NumPy sums the last axis with least error
    mean = values.mean(axis=-1)
    mean = mean + (values - mean[..., None]).mean(axis=-1)
    return mean, ((values - mean[..., None]) ** 2).sum(axis=-1)


def _summary(
    count: int, mean: Array, squares: Array, level: float = 0.95, unit: Array | float = 1.0
) -> Estimate:
    mean, error = mean * unit, np.sqrt(squares / (count - 1) / count) * unit
    half = scipy.special.stdtrit(count - 1, 0.5 + level / 2) * error
    return Estimate(mean, error, count, (mean - half, mean + half), level)
