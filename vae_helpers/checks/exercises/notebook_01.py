"""Checks of the exercises of notebook 1; the first of them uses `check_log_prob`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from vae_helpers.checks.engine.exercise import Extremes, Mistake, Task, check_task
from vae_helpers.checks.engine.report import Report
from vae_helpers.numerics import gaussian
from vae_helpers.numerics.linear_gaussian import LinearGaussian

Array = NDArray[np.float64]
WEIGHT, BIAS = 0.4, 1.0  # the gauges of the notebook


# --- Exercise 2 ----------------------------------------------------------------------------------


def check_after_two_gauges(fn: Callable[..., Any]) -> Report:
    """Checks a function for the posterior of the tank's z after readings of two gauges.

    Args:
        fn: takes the readings x_1 and x_2 and the noises s_1 and s_2 (standard deviations), four floats
            in volts, and returns the mean and the standard deviation of p(z given x_1, x_2); both
            gauges have weight 0.4 and bias 1.0, and z ~ N(0, 1).

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Bishop 2006, eqs. 2.116 and 2.117.
    """
    return check_task(fn, TWO_GAUGES)


def _posterior_on_a_grid(x_1: float, x_2: float, s_1: float, s_2: float) -> tuple[float, float]:
    """Prior times both likelihoods, normalised by a sum over a fine grid."""
    z = np.linspace(-12, 12, 6001)
    log_joint = -0.5 * z**2
    for x, s in [(x_1, s_1), (x_2, s_2)]:
        log_joint -= 0.5 * ((x - WEIGHT * z - BIAS) / s) ** 2
    chance = np.exp(log_joint - log_joint.max())
    chance /= chance.sum()
    mean = float(chance @ z)
    return mean, float(np.sqrt(chance @ (z - mean) ** 2))


def _combine(prior: float, *sources: tuple[float, float]) -> tuple[float, float]:
    """Mean and standard deviation when precisions add; sources are (precision, best guess alone)."""
    precision = prior + sum(p for p, _ in sources)
    return sum(p * guess for p, guess in sources) / precision, float(precision**-0.5)


def _gauge(x: float, s: float) -> tuple[float, float]:
    return (WEIGHT / s) ** 2, (x - BIAS) / WEIGHT


def _both(prior: float) -> Callable[..., tuple[float, float]]:
    return lambda x_1, x_2, s_1, s_2: _combine(prior, _gauge(x_1, s_1), _gauge(x_2, s_2))


def _with_variance(x_1: float, x_2: float, s_1: float, s_2: float) -> tuple[float, float]:
    mean, std = _both(1.0)(x_1, x_2, s_1, s_2)
    return mean, std**2


def _precisions_with_std(x_1: float, x_2: float, s_1: float, s_2: float) -> tuple[float, float]:
    (_, first), (_, second) = _gauge(x_1, s_1), _gauge(x_2, s_2)
    return _combine(1.0, (WEIGHT**2 / s_1, first), (WEIGHT**2 / s_2, second))


def _other_gauge(square: float, slope: float) -> Callable[..., tuple[float, float]]:
    """With something else for w² in the precisions, and for w where the readings enter."""

    def both(x_1: float, x_2: float, s_1: float, s_2: float) -> tuple[float, float]:
        gauges = [(square / s**2, slope * (x - BIAS) / square) for x, s in ((x_1, s_1), (x_2, s_2))]
        return _combine(1.0, *gauges)

    return both


def _with_precision(x_1: float, x_2: float, s_1: float, s_2: float) -> tuple[float, float]:
    mean, std = _both(1.0)(x_1, x_2, s_1, s_2)
    return mean, std**-2


def _mean_reading(x_1: float, x_2: float, s_1: float, s_2: float) -> tuple[float, float]:
    return _combine(1.0, _gauge((x_1 + x_2) / 2, np.hypot(s_1, s_2) / 2))


def _mean_posterior(x_1: float, x_2: float, s_1: float, s_2: float) -> tuple[float, float]:
    (m_1, std_1), (m_2, std_2) = _combine(1.0, _gauge(x_1, s_1)), _combine(1.0, _gauge(x_2, s_2))
    return (m_1 + m_2) / 2, (std_1 + std_2) / 2


def _without_bias(x_1: float, x_2: float, s_1: float, s_2: float) -> tuple[float, float]:
    return _both(1.0)(x_1 + BIAS, x_2 + BIAS, s_1, s_2)


TWO_GAUGES = Task(
    exercise="Two gauges",
    answer=_posterior_on_a_grid,
    cases=[
        (1.6, 0.8, 0.3, 0.3),
        (1.2, 1.0, 0.3, 0.6),
        (0.5, 1.5, 0.2, 0.4),
        (1.8, 1.2, 0.5, 0.25),
        (-0.2, 0.4, 1.0, 0.7),
    ],
    names=("x_1", "x_2", "s_1", "s_2"),
    mistakes=[
        Mistake(
            "var-for-std",
            _with_variance,
            "The second number is the variance; the standard deviation is asked for.",
        ),
        Mistake(
            "var-for-std",
            _with_precision,
            "The second number is the precision, the inverse of the variance; asked for is the standard "
            "deviation.",
        ),
        Mistake(
            "swapped",
            lambda x_1, x_2, s_1, s_2: _both(1.0)(x_1, x_2, s_2, s_1),
            "The two noises have changed places: each reading is weighed by the noise of the other gauge.",
        ),
        Mistake(
            "swapped",
            lambda *case: _both(1.0)(*case)[::-1],
            "The two numbers have changed places: the mean comes first.",
        ),
        Mistake(
            "term-scale",
            _both(2.0),
            "The prior counts twice: it is in the posterior of each gauge, and these two were multiplied.",
        ),
        Mistake(
            "term-missing",
            _both(0.0),
            "The prior does not enter. What was known about z before any gauge was read?",
        ),
        Mistake(
            "term-missing",
            lambda x_1, x_2, s_1, s_2: _combine(1.0, _gauge(x_1, s_1)),
            "The second reading does not enter.",
        ),
        Mistake(
            "term-missing",
            lambda x_1, x_2, s_1, s_2: _combine(1.0, _gauge(x_2, s_2)),
            "The first reading does not enter: the second step began from the old prior again.",
        ),
        Mistake(
            "term-missing",
            _without_bias,
            "The bias does not enter: when both gauges show 1 V, as on an ordinary day, your mean is not 0.",
        ),
        Mistake(
            "std-for-var",
            _precisions_with_std,
            "The precisions are formed with s where s² belongs.",
        ),
        Mistake(
            "term-wrong",
            _other_gauge(WEIGHT, WEIGHT),
            "The weight is not squared in the precisions. In what unit is z, and in what unit is the noise "
            "of the readings?",
        ),
        Mistake(
            "term-missing",
            _other_gauge(1.0, 1.0),
            "The weight of the gauges does not enter. A gauge that hardly moves with z tells little.",
        ),
        Mistake(
            "term-missing",
            _other_gauge(WEIGHT**2, 1.0),
            "The standard deviation is right. In the mean a weight is missing: in what unit is z, in what "
            "unit are the readings?",
        ),
        Mistake(
            "term-wrong",
            _mean_reading,
            "Both readings count the same, although one gauge is better than the other.",
        ),
        Mistake(
            "term-wrong",
            _mean_posterior,
            "Two posteriors were averaged. Two gauges together know more than either; an average does not.",
        ),
    ],
    where="notebook 1, section 2",
)


# --- Exercise 3 ----------------------------------------------------------------------------------


def check_mean_log_likelihood(fn: Callable[..., Any]) -> Report:
    """Checks a function for the mean of log p(x given z) over the prior, in the 1-D world.

    Args:
        fn: takes x, weight, bias and noise_std, four floats, and returns E[log N(x; weight z + bias,
            noise_std²)] for z ~ N(0, 1), a number in nats.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: the expectation of a quadratic function under a Gaussian, notebook 2, section 1.
    """
    return check_task(fn, MEAN_LOG_LIKELIHOOD)


def _by_quadrature(x: float, weight: float, bias: float, noise_std: float) -> float:
    world = LinearGaussian(weight, bias, noise_std)
    return gaussian.expectation(lambda z: world.log_likelihood(x, z[:, None]), 0.0, 1.0)


def _terms(
    x: float,
    weight: float,
    bias: float,
    noise_std: float,
    two_pi: float = 1.0,
    log_s: float = 1.0,
    square: float = 1.0,
    spread: float = 1.0,
    power: int = 2,
) -> float:
    """The answer's four terms, each with a factor (1 is right), and the power of s in the fractions."""
    quadratic = (square * (x - bias) ** 2 + spread * weight**2) / noise_std**power
    return -0.5 * two_pi * gaussian.LOG_2PI - log_s * float(np.log(noise_std)) - 0.5 * quadratic


def _terms_with(**factors: Any) -> Callable[..., float]:
    return lambda x, weight, bias, noise_std: _terms(x, weight, bias, noise_std, **factors)


MEAN_LOG_LIKELIHOOD = Task(
    exercise="The mean of the log-likelihood",
    answer=_by_quadrature,
    cases=[
        (1.0, 1.0, 0.0, 1.0),
        (1.6, 0.4, 1.0, 0.3),
        (2.0, 1.2, 0.5, 0.6),
        (-0.5, -0.8, 0.3, 1.5),
        (0.7, 2.0, -1.0, 2.5),
    ],
    names=("x", "weight", "bias", "noise_std"),
    mistakes=[
        Mistake(
            "swapped",
            lambda x, weight, bias, noise_std: LinearGaussian(weight, bias, noise_std).log_evidence(x),
            "This is log p(x), the logarithm of the mean. Here the mean of the logarithm is asked for.",
            "notebook 1, section 5",
        ),
        Mistake(
            "term-missing",
            _terms_with(spread=0),
            "This is the log-likelihood at the mean cause, z = 0. The others do not explain x equally well.",
        ),
        Mistake(
            "term-sign",
            _terms_with(spread=-1),
            "The scatter of the causes raises your value. Does it make x easier to explain?",
        ),
        Mistake(
            "term-scale",
            _terms_with(spread=2),
            "The scatter of the causes counts twice: a factor ½ is lost.",
        ),
        Mistake(
            "term-missing",
            lambda x, weight, bias, noise_std: _terms(x, weight, 0.0, noise_std),
            "The bias does not enter.",
        ),
        Mistake(
            "term-wrong",
            lambda x, weight, bias, noise_std: _terms(
                x, abs(weight) ** 0.5, bias, noise_std, spread=np.sign(weight)
            ),
            "The weight is not squared. What is the variance of w z?",
        ),
        Mistake("log-two-pi-missing", _terms_with(two_pi=0), "The constant with 2π is not there."),
        Mistake("log-sigma-missing", _terms_with(log_s=0), "The logarithm of the noise is not there."),
        Mistake(
            "log-std",
            _terms_with(log_s=0.5),
            "The logarithm of the noise counts half. Is it the logarithm of s or of s²?",
        ),
        Mistake(
            "term-scale",
            _terms_with(log_s=2),
            "The logarithm of the noise counts twice. Is it the logarithm of s or of s²?",
        ),
        Mistake("std-for-var", _terms_with(power=1), "The squares are divided by s where s² belongs."),
        Mistake(
            "std-for-var",
            _terms_with(power=1, log_s=0.5),
            "s is taken for the variance, in the logarithm and in the fractions.",
        ),
    ],
    where="notebook 1, section 1",
)


# --- Exercise 4 ----------------------------------------------------------------------------------


def check_log_of_mean(fn: Callable[..., Any]) -> Report:
    """Checks a function for the log of the mean likelihood, given log-likelihoods.

    Args:
        fn: takes log_likelihoods, shape (n,), in nats, as a NumPy array or a PyTorch tensor (whichever
            it can), and returns log((1/n) Σ exp(log_likelihoods)), a number in nats, at any level:
            also where exp gives zero or infinity.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Bishop 2006, eq. 11.2 (the average), in logarithms.
    """
    return check_task(fn, LOG_OF_MEAN)


LOG_OF_MEAN = Task(
    exercise="The log of the mean",
    answer=lambda log_likelihoods: float(logsumexp(log_likelihoods) - np.log(len(log_likelihoods))),
    cases=[
        (np.array([-1.0, -3.0]),),
        (np.array([0.0, -1.0, -4.0]),),
        (np.array([-2.0, -2.0, -2.0, -2.0]),),
        (np.array([1.5, -0.5, 0.25, -6.0, -1.0]),),
        (-20 + 3 * np.random.default_rng(3).standard_normal(40),),
    ],
    names=("log_likelihoods",),
    mistakes=[
        Mistake(
            "swapped",
            lambda log_likelihoods: np.mean(log_likelihoods),
            "This is the mean of the logarithms. Mean and logarithm have changed places: p(x) is a mean of "
            "likelihoods.",
        ),
        Mistake(
            "term-missing",
            lambda log_likelihoods: np.log(np.sum(np.exp(log_likelihoods))),
            "This is the logarithm of the sum. A mean does not grow with the number of draws.",
        ),
        Mistake(
            "term-sign",
            lambda log_likelihoods: np.log(np.sum(np.exp(log_likelihoods))) + np.log(len(log_likelihoods)),
            "The number of draws enters with the wrong sign.",
        ),
        Mistake(
            "term-wrong",
            lambda log_likelihoods: np.log(np.sum(np.exp(log_likelihoods))) / len(log_likelihoods),
            "It is the logarithm that is divided by n, not the sum inside it.",
        ),
        Mistake(
            "term-missing",
            lambda log_likelihoods: np.log(np.mean(np.exp(log_likelihoods - np.max(log_likelihoods)))),
            "Something was subtracted from the exponents and not given back.",
        ),
        Mistake(
            "term-wrong",
            lambda log_likelihoods: np.max(log_likelihoods),
            "This is the best of the draws alone. The others count too.",
        ),
        Mistake(
            "not-log",
            lambda log_likelihoods: np.mean(np.exp(log_likelihoods)),
            "This is the mean likelihood itself; its logarithm is asked for.",
        ),
    ],
    extremes=Extremes(
        cases=[
            (np.array([-2000.0, -2001.0]),),
            (np.array([-2000.0, -1000.0]),),
            (np.array([-20_000.0, -20_001.0]),),  # beyond what np.longdouble reaches, too
            (np.array([-30_000.0, -1000.0, -29_000.0]),),  # least, mean and median are far from the largest
            (np.array([-1000.0, -800.0, -803.0, -1200.0]),),
            (np.array([1500.0, 1499.0, 1490.0]),),
        ],
        cause="At moderate values your function is right. Here an exponential leaves the range of "
        "floating-point numbers, although the answer itself is an ordinary number. If you subtract something "
        "first: does it keep every exponential in range, however far apart the log-likelihoods are?",
        tolerance=1e-5,
    ),
    where="notebook 1, section 5",
)


# --- Exercise 5 ----------------------------------------------------------------------------------


def check_relative_second_moment(fn: Callable[..., Any]) -> Report:
    """Checks a function for E_q[(p(x, z)/q(z))²] / p(x)², when q is the posterior at another width.

    Args:
        fn: takes width, a float c above 1/√2, and num_latents, an int d; returns the relative second
            moment of importance sampling from q = N(m, c² v I), the posterior being N(m, v I), a
            number without a unit.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Owen 2013, chapter 9 (the second moment of importance sampling).
    """
    return check_task(fn, SECOND_MOMENT)


def _one_latent(width: float, power: int = 2, under: str = "q") -> float:
    """The mean of (posterior / q) ** power for one latent, by quadrature."""

    def ratio(u: Array) -> Array:
        return width * np.exp(-0.5 * u**2 * (1 - 1 / width**2))

    return gaussian.expectation(lambda u: ratio(u) ** power, 0.0, width if under == "q" else 1.0)


SECOND_MOMENT = Task(
    exercise="An encoder that is too wide",
    answer=lambda width, num_latents: _one_latent(width) ** num_latents,
    cases=[(1.0, 3), (1.2, 1), (0.9, 2), (1.5, 4), (2.0, 10), (1.2, 20)],
    names=("width", "num_latents"),
    mistakes=[
        Mistake(
            "term-missing",
            lambda width, num_latents: _one_latent(width),
            "The number of latents does not enter: this is the moment for one of them.",
        ),
        Mistake(
            "term-wrong",
            lambda width, num_latents: num_latents * _one_latent(width),
            "You add up the moments of the latents. What does the density of independent latents do?",
        ),
        Mistake(
            "constant",
            lambda width, num_latents: _one_latent(width) ** num_latents - 1,
            "This is the relative variance. It differs from the second moment by the square of the mean.",
        ),
        Mistake(
            "std-for-var",
            lambda width, num_latents: _one_latent(width**0.5) ** num_latents,
            "The variance of your q is c times that of the posterior. Its standard deviation should be.",
        ),
        Mistake(
            "term-wrong",
            lambda width, num_latents: _one_latent(width, under="p") ** num_latents,
            "You average the squared ratio over the posterior. From where are the draws?",
        ),
        Mistake(
            "term-missing",
            lambda width, num_latents: (_one_latent(width) / width**2) ** num_latents,
            "The constants in front of the two Gaussians are not there: at c = 1 all is well, elsewhere "
            "the densities do not integrate to 1.",
        ),
        Mistake(
            "term-missing",
            lambda width, num_latents: (_one_latent(width) / width) ** num_latents,
            "A constant in front of a Gaussian is not there. How often does q stand in the integral?",
        ),
    ],
    where="notebook 1, section 5",
)
