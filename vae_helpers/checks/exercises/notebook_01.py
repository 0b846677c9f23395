"""The exercises of notebook 1; the first of them uses `check_log_prob`."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from vae_helpers.checks.engine.exercise import Exercise, Extremes, Mistake
from vae_helpers.checks.exercises._shared import Z, mean_and_std
from vae_helpers.numerics import gaussian
from vae_helpers.numerics._validate import Array
from vae_helpers.numerics.linear_gaussian import LinearGaussian

WEIGHT, BIAS = 0.4, 1.0  # the gauges of the notebook


def _on_a_grid(x_1: float, x_2: float, s_1: float, s_2: float) -> tuple[float, float]:
    """Mean and standard deviation of prior times both likelihoods, normalised by a sum over z."""
    off_1, off_2 = (x_1 - WEIGHT * Z - BIAS) / s_1, (x_2 - WEIGHT * Z - BIAS) / s_2
    return mean_and_std(Z, -0.5 * (Z**2 + off_1**2 + off_2**2))


def _by_precisions(
    *case: float, prior=1, bias=BIAS, counts=(1, 1), noise_var=np.square, square=2, slope=1, power=-0.5
) -> tuple[float, float]:
    """The precisions of the prior and of both readings add; each reading pulls by its own."""
    readings, noises = np.reshape(case, (2, 2))
    by_noise = counts / noise_var(noises)
    precision = prior + WEIGHT**square * by_noise.sum()
    return WEIGHT**slope * (by_noise @ (readings - bias)) / precision, precision**power


def _mean_of_posteriors(*case: float) -> Array:
    return np.mean([_by_precisions(*case, counts=alone) for alone in ((1, 0), (0, 1))], axis=0)


check_after_two_gauges = Exercise(
    title="Two gauges",
    takes=(
        "the readings x_1 and x_2 and the noises s_1 and s_2 (standard deviations), four floats in volts; "
        "both gauges have weight 0.4 and bias 1.0, and z ~ N(0, 1)"
    ),
    returns="the mean and the standard deviation of p(z given x_1, x_2), the posterior of the tank's z",
    source="Bishop 2006, eqs. 2.116 and 2.117",
    where="notebook 1, section 2",
    truth=_on_a_grid,
    program=_by_precisions,
    cases=[
        (1.6, 0.8, 0.3, 0.3),
        (1.2, 1.0, 0.3, 0.6),
        (0.5, 1.5, 0.2, 0.4),
        (1.8, 1.2, 0.5, 0.25),
        (-0.2, 0.4, 1.0, 0.7),
    ],
    mistakes=[
        "The second number is the variance; the standard deviation is asked for.",
        Mistake("var-for-std", power=-1),
        "The second number is the precision, the inverse of the variance; asked for is the standard "
        "deviation.",
        Mistake("var-for-std", power=1),
        "The two noises have changed places: each reading is weighed by the noise of the other gauge.",
        Mistake("swapped", noise_var=lambda s: s[::-1] ** 2),
        "The two numbers have changed places: the mean comes first.",
        Mistake("swapped", then=lambda mean_and_std: mean_and_std[::-1]),
        "The prior counts twice: it is in the posterior of each gauge, and these two were multiplied.",
        Mistake("term-scale", prior=2),
        "The prior does not enter. What was known about z before any gauge was read?",
        Mistake("term-missing", prior=0),
        "The second reading does not enter.",
        Mistake("term-missing", counts=(1, 0)),
        "The first reading does not enter: the second step began from the old prior again.",
        Mistake("term-missing", counts=(0, 1)),
        "The bias does not enter: when both gauges show 1 V, as on an ordinary day, your mean is not 0.",
        Mistake("term-missing", bias=0),
        "The precisions are formed with s where s² belongs.",
        Mistake("std-for-var", noise_var=np.positive),
        "The weight is not squared in the precisions. In what unit is z, and in what unit is the noise "
        "of the readings?",
        Mistake("term-wrong", square=1),
        "The weight of the gauges does not enter. A gauge that hardly moves with z tells little.",
        Mistake("term-missing", square=0, slope=0),
        "The standard deviation is right. In the mean a weight is missing: in what unit is z, in what "
        "unit are the readings?",
        Mistake("term-missing", slope=0),
        "Both readings count the same, although one gauge is better than the other.",
        Mistake("term-wrong", noise_var=lambda s: np.mean(s**2)),
        "Two posteriors were averaged. Two gauges together know more than either; an average does not.",
        Mistake("term-wrong", instead=_mean_of_posteriors),
    ],
)


def _by_quadrature(x: float, weight: float, bias: float, noise_std: float) -> float:
    world = LinearGaussian(weight, bias, noise_std)
    return gaussian.expectation(lambda z: world.log_likelihood(x, z[:, None]), 0.0, 1.0)


def _by_terms(*case: float, log_2pi=gaussian.LOG_2PI, log_s=1, bias=1, scatter=1, square=2, power=2) -> float:
    """-½ log 2π - log s - ½ ((x - b)² + w²) / s²; the part linear in z averages to nothing."""
    x, w, b, s = case
    quadratic = ((x - bias * b) ** 2 + scatter * w**square) / s**power
    return -0.5 * log_2pi - log_s * np.log(s) - 0.5 * quadratic


check_mean_log_likelihood = Exercise(
    title="The mean of the log-likelihood",
    takes="x, weight, bias and noise_std, four floats",
    returns="E[log N(x; weight z + bias, noise_std²)] for z ~ N(0, 1), the prior, a number in nats",
    source="the expectation of a quadratic function under a Gaussian, notebook 2, section 1",
    where="notebook 1, section 1",
    truth=_by_quadrature,
    program=_by_terms,
    cases=[
        (1.0, 1.0, 0.0, 1.0),
        (1.6, 0.4, 1.0, 0.3),
        (2.0, 1.2, 0.5, 0.6),
        (-0.5, -0.8, 0.3, 1.5),
        (0.7, 2.0, -1.0, 2.5),
    ],
    mistakes=[
        "This is log p(x), the logarithm of the mean. Here the mean of the logarithm is asked for.",
        Mistake(
            "swapped",
            instead=lambda x, w, b, s: _by_terms(x, 0, b, np.hypot(s, w)),
            where="notebook 1, section 4",
        ),
        "This is the log-likelihood at the mean cause, z = 0. The others do not explain x equally well.",
        Mistake("term-missing", scatter=0),
        "The scatter of the causes raises your value. Does it make x easier to explain?",
        Mistake("term-sign", scatter=-1),
        "The scatter of the causes counts twice: a factor ½ is lost.",
        Mistake("term-scale", scatter=2),
        "The bias does not enter.",
        Mistake("term-missing", bias=0),
        "The weight is not squared. What is the variance of w z?",
        Mistake("term-wrong", square=1),
        "The constant with 2π is not there.",
        Mistake("log-two-pi-missing", log_2pi=0),
        "The logarithm of the noise is not there.",
        Mistake("log-sigma-missing", log_s=0),
        "The logarithm of the noise counts half. Is it the logarithm of s or of s²?",
        Mistake("log-std", log_s=0.5),
        "The logarithm of the noise counts twice. Is it the logarithm of s or of s²?",
        Mistake("term-scale", log_s=2),
        "The squares are divided by s where s² belongs.",
        Mistake("std-for-var", power=1),
        "s is taken for the variance, in the logarithm and in the fractions.",
        Mistake("std-for-var", power=1, log_s=0.5),
    ],
)


def _shifted_by_the_largest(
    log_likelihoods: Array, *, given_back=1, over=lambda log_sum, n: log_sum - np.log(n)
) -> float:
    """log Σ exp(…) with the largest taken out of the exponents and given back, then divided by n."""
    largest = np.max(log_likelihoods)
    log_sum = given_back * largest + np.log(np.sum(np.exp(log_likelihoods - largest)))
    return over(log_sum, len(log_likelihoods))


check_log_of_mean = Exercise(
    title="The log of the mean",
    takes="log_likelihoods, shape (n,), in nats, in NumPy or PyTorch (whichever it can)",
    returns="log((1/n) Σ exp(log_likelihoods)), a number in nats, also where exp gives zero or infinity",
    source="Bishop 2006, eq. 11.2 (the average), in logarithms",
    where="notebook 1, section 4",
    truth=lambda log_likelihoods: logsumexp(log_likelihoods, b=1 / len(log_likelihoods)),
    program=_shifted_by_the_largest,
    cases=[
        (np.array([-1.0, -3.0]),),
        (np.array([0.0, -1.0, -4.0]),),
        (np.array([-2.0, -2.0, -2.0, -2.0]),),
        (np.array([1.5, -0.5, 0.25, -6.0, -1.0]),),
        (-20 + 3 * np.random.default_rng(3).standard_normal(40),),
    ],
    mistakes=[
        "This is the mean of the logarithms. Mean and logarithm have changed places: p(x) is a mean of "
        "likelihoods.",
        Mistake("swapped", instead=np.mean),
        "This is the logarithm of the sum. A mean does not grow with the number of draws.",
        Mistake("term-missing", over=lambda log_sum, n: log_sum),
        "The number of draws enters with the wrong sign.",
        Mistake("term-sign", over=lambda log_sum, n: log_sum + np.log(n)),
        "It is the logarithm that is divided by n, not the sum inside it.",
        Mistake("term-wrong", over=lambda log_sum, n: log_sum / n),
        "Something was subtracted from the exponents and not given back.",
        Mistake("term-missing", given_back=0),
        "This is the best of the draws alone. The others count too.",
        Mistake("term-wrong", instead=np.max),
        "This is the mean likelihood itself; its logarithm is asked for.",
        Mistake("not-log", then=np.exp),
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
)


def _by_averaging(width: float, num_latents: int) -> float:
    """The mean over q of (posterior / q)² for one latent u, in widths of the posterior; then for all."""

    def log_ratio(u: Array) -> Array:
        return gaussian.log_prob(u, 0, 0) - gaussian.log_prob(u, 0, 2 * np.log(width))

    return gaussian.expectation(lambda u: np.exp(2 * log_ratio(u[:, None])), 0, width) ** num_latents


def _by_exponents(
    width: float, num_latents: int, *, var=np.square, constant=np.sqrt, a=lambda var: 2 - 1 / var, of_all=pow
) -> float:
    """c ∫ exp(-½ a u²) du / √2π = c / √a with a = 2 - 1/c² for one latent, and the product of all."""
    c_squared = var(width)
    return of_all(constant(c_squared) / np.sqrt(a(c_squared)), num_latents)


check_relative_second_moment = Exercise(
    title="An encoder that is too wide",
    takes="width, a float c above 1/√2, and num_latents, an int d",
    returns="E_q[(p(x, z)/q(z))²] / p(x)², a number: q = N(m, c² v I), and the posterior is N(m, v I)",
    source="Bishop 2006, eq. 11.19 (the second moment of what is averaged there)",
    where="notebook 1, section 4",
    truth=_by_averaging,
    program=_by_exponents,
    cases=[(1.0, 3), (1.2, 1), (0.9, 2), (1.5, 4), (2.0, 10), (1.2, 20)],
    mistakes=[
        "The number of latents does not enter: this is the moment for one of them.",
        Mistake("term-missing", of_all=lambda one, num_latents: one),
        "You add up the moments of the latents. What does the density of independent latents do?",
        Mistake("term-wrong", of_all=lambda one, num_latents: num_latents * one),
        "This is the relative variance. It differs from the second moment by the square of the mean.",
        Mistake("constant", then=lambda moment: moment - 1),
        "The variance of your q is c times that of the posterior. Its standard deviation should be.",
        Mistake("std-for-var", var=float),
        "You average the squared ratio over the posterior. From where are the draws?",
        Mistake("term-wrong", constant=float, a=lambda var: 3 - 2 / var),
        "The constants in front of the two Gaussians are not there: at c = 1 all is well, elsewhere "
        "the densities do not integrate to 1.",
        Mistake("term-missing", constant=lambda var: var**-0.5),
        "A constant in front of a Gaussian is not there. How often does q stand in the integral?",
        Mistake("term-missing", constant=lambda var: 1),
    ],
)
