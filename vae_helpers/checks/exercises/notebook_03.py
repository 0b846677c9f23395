"""The exercises of notebook 3 (the Gaussian KL); its first one is checked by `check_kl`."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from vae_helpers.checks.engine.exercise import AnyOf, Exercise, Mistake
from vae_helpers.checks.exercises._shared import LOG_2, kl_of_covariances, mean_and_std
from vae_helpers.numerics import gaussian
from vae_helpers.numerics._validate import Array
from vae_helpers.numerics.gaussian import LOG_2PI


def _uniform_by_quadrature(mu: float, std: float) -> float:
    width = std / stats.uniform.std()
    q, p = stats.uniform(mu - width / 2, width), stats.norm()
    return quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), *q.support())[0]


def _by_halves(
    mu: float, std: float, *, var=np.square, mean=1, half=0.5, log_2pi=LOG_2PI, twelve=12, entropy=1
) -> float:
    """Cross-entropy, which needs two moments alone, minus entropy, the logarithm of the width √12 σ."""
    second_moment = var(std) + mean * mu**2
    return 0.5 * log_2pi + half * second_moment - entropy * np.log(np.sqrt(twelve) * std)


check_kl_of_uniform = Exercise(
    title="The KL of a uniform density",
    takes="the numbers mu and std",
    returns="KL(uniform with this mean and std, N(0, 1)), one number, in nats",
    source="Cover & Thomas 2006, chapter 8 (the divergence of densities)",
    where="notebook 3, sections 2 and 3",
    truth=_uniform_by_quadrature,
    program=_by_halves,
    cases=[(0.0, 1.0), (1.0, 0.5), (-2.0, 0.1), (0.5, 2.0), (-1.0, 1.7)],
    mistakes=[
        "This is the divergence in bits; nats are asked for.",
        Mistake("scale", then=lambda nats: nats / LOG_2),
        "This is the divergence of the Gaussian with the same mean and std. One of the two halves "
        "cares for the shape of q.",
        Mistake("term-wrong", twelve=2 * np.pi * np.e),
        "The width does not belong to this std. What is the variance of a uniform density of width L?",
        Mistake("term-wrong", twelve=AnyOf(1, 4, 3, 144, 24)),
        *(  # and the second moment from the same width
            Mistake("term-wrong", twelve=square, var=lambda std, w=square: w * std**2 / 12)
            for square in (1, 4, 3, 48)
        ),
        "The two halves are added. Which of them counts with a minus sign?",
        Mistake("term-sign", entropy=-1),
        "The constant of the prior's log-density is not there. For two Gaussians it cancels; here only "
        "one half has it.",
        Mistake("log-two-pi-missing", log_2pi=0),
        "σ stands where a second moment belongs.",
        Mistake("std-for-var", var=float),
        "The mean has no part in your value, but the prior is surprised by a q that stands far from 0.",
        Mistake("term-missing", mean=0),
        "This is the cross-entropy alone.",
        Mistake("term-missing", entropy=0),
        "The second moment counts twice as much as it should: look at the exponent of the prior's density.",
        Mistake("half", half=1),
    ],
)


def _by_search(factor: float) -> tuple[float, float]:
    """A KL plus a constant is lowest where q is the prior, and there it is the constant; both have mean 0."""
    lowest = minimize_scalar(lambda v: factor * np.exp(v) - 0.5 * (1 + v), bracket=(-1.0, 1.0), tol=1e-10)
    return float(np.exp(lowest.x)), float(lowest.fun)


def _by_comparison(factor: float, *, variance=lambda c: 1 / (2 * c), half=0.5, more=0) -> tuple[float, float]:
    """The term with σ² gives the prior's variance v; then -½ log v is what the KL does not have."""
    prior = variance(factor)
    return prior, more - half * np.log(prior)


check_prior_of_slip = Exercise(
    title="The prior behind a slip",
    takes="the number c > 0",
    returns="(variance of the prior, constant in nats): c (σ² + μ²) - ½ (1 + log σ²) is a KL to it plus this",
    source="the general case of Kingma & Welling 2014, appendix B",
    where="notebook 3, section 4",
    truth=_by_search,
    program=_by_comparison,
    cases=[(1.0,), (0.5,), (2.0,), (0.25,), (3.0,)],
    mistakes=[
        "Your variance is upside down: a larger factor punishes wide q harder. Does the prior "
        "that does so have a larger or a smaller variance?",
        Mistake("term-wrong", variance=lambda c: 2 * c, half=AnyOf(-0.5, 0.5)),
        "The two numbers have changed places: the variance comes first.",
        Mistake("swapped", then=np.flip),
        "The first number is the prior's standard deviation; its variance is asked for.",
        Mistake("std-for-var", then=lambda pair: (np.sqrt(pair[0]), pair[1])),
        "The variance is off by a factor 2. At factor = ½ the prior is the standard normal itself: try it.",
        Mistake("term-scale", variance=lambda c: 1 / c, more=AnyOf(0, 0.5 * LOG_2)),
        "The constant has the wrong sign: it is the slip minus the divergence, not the other way round.",
        Mistake("term-sign", half=-0.5),
        "The constant is twice what it should be: the logarithm of a variance comes with a ½ in the "
        "divergence.",
        Mistake("term-scale", half=1),
        "The prior is right, the constant is not. What is the slip where q equals that prior?",
        Mistake("constant", half=0),
        Mistake("constant", more=AnyOf(-0.5, 0.5, -0.5 * LOG_2)),
    ],
)


def _by_eigenvalues(
    dim: int, rho: float, *, together=lambda d, rho: 1 + (d - 1) * rho, others=lambda d: d - 1, half=0.5
) -> float:
    """-½ log det R: one eigenvalue along (1, …, 1), and another in the directions orthogonal to it."""
    return -half * (np.log(together(dim, rho)) + others(dim) * np.log(1 - rho))


check_kl_of_equal_correlations = Exercise(
    title="The KL of equally correlated coordinates",
    takes="the dimension d (an integer) and the correlation, which is above -1/(d - 1) and below 1",
    returns="KL(N(0, R), N(0, I)), where R has this correlation everywhere: one number, in nats",
    source="Cover & Thomas 2006, chapter 8 (the entropy of a multivariate Gaussian)",
    where="notebook 3, Deeper",
    truth=lambda dim, rho: kl_of_covariances(rho + (1 - rho) * np.eye(dim), np.eye(dim)),
    program=_by_eigenvalues,
    cases=[(2, 0.6), (3, -0.3), (5, 0.5), (1, 0.5), (10, 0.9)],
    mistakes=[
        "This is what the diagonal formula says: each coordinate alone looks like the prior. What "
        "does the full formula see beyond the variances?",
        Mistake("term-missing", half=0),
        "You add up what each pair misses by itself. With three coordinates and more the pairs are not "
        "independent of each other.",
        Mistake("term-wrong", instead=lambda d, rho: -0.25 * d * (d - 1) * np.log(1 - rho**2)),
        "This is right for two coordinates, whatever their number.",
        Mistake("term-wrong", instead=lambda d, rho: -0.5 * np.log(1 - rho**2)),
        "One eigenvalue of the matrix is not in your determinant: the one of the direction in which all "
        "coordinates move together.",
        Mistake("term-missing", together=lambda d, rho: 1),
        "You count one eigenvalue too many: a matrix has as many as it has rows.",
        Mistake("term-scale", others=lambda d: d),
        "One of the eigenvalues comes more than once. How many directions are orthogonal to (1, …, 1)?",
        Mistake("term-scale", others=lambda d: 1),
        "One eigenvalue is wrong: multiply the matrix by the vector (1, …, 1) and look at one entry.",
        Mistake("term-wrong", together=lambda d, rho: abs(1 + d * rho)),
        "Your value is exactly twice the right one: a factor ½ is lost.",
        Mistake("half", half=1),
    ],
)


def _by_the_identity(mus: Array, stds: Array) -> tuple[float, float]:
    """The first part as an average under each q_n; the second is what is left of the average KL."""

    def log_ratio(z: Array, mu: float, std: float) -> Array:
        return np.log(stats.norm.pdf(z, mu, std) / stats.norm.pdf(z[:, None], mus, stds).mean(axis=-1))

    qs = list(zip(mus, stds, strict=True))
    information = np.mean([gaussian.expectation(partial(log_ratio, mu=m, std=s), m, s) for m, s in qs])
    each = gaussian.kl_standard_normal(mus[:, None], 2 * np.log(stds[:, None])).mean()
    return float(information), float(each - information)


_Z = np.linspace(-16.0, 16.0, 20_001)


def _kl(log_a: Array, log_b: Array) -> float:
    """KL(a, b) of log-densities on the grid; of several densities the average."""
    return float(np.trapezoid(np.exp(log_a) * (log_a - log_b), _Z).mean())


def _on_a_grid(
    mus: Array, stds: Array, *, mixture=np.positive, parts=lambda q, bar, p, log_n: (_kl(q, bar), _kl(bar, p))
) -> tuple[float, float]:
    """By the definitions of the two divergences; q, bar and p are log-densities."""
    log_q, log_n = stats.norm.logpdf(_Z, mus[:, None], stds[:, None]), np.log(len(mus))
    return parts(log_q, mixture(logsumexp(log_q, axis=0) - log_n), stats.norm.logpdf(_Z), log_n)


_ORDER = "notebook 3, section 6"

check_split_kl = Exercise(
    title="The average KL in two parts",
    takes="mus and stds, both (N,), of N Gaussians q_n on the line",
    returns="(mean over n of KL(q_n, q̄), KL(q̄, N(0, 1))), nats to three decimals; q̄ is their equal mixture",
    source="Hoffman & Johnson 2016, ELBO surgery",
    where="notebook 3, section 1",
    truth=_by_the_identity,
    program=_on_a_grid,
    cases=[
        (np.array([-1.2, 1.2]), np.array([0.5, 0.5])),
        (np.array([0.7]), np.array([0.6])),
        (np.array([0.0, 1.0]), np.array([1.0, 0.5])),
        (np.array([-2.0, 0.3, 1.5]), np.array([0.4, 1.3, 0.8])),
    ],
    tolerance=1e-3,
    mistakes=[
        "The two numbers have changed places.",
        Mistake("swapped", then=np.flip),
        "You take the Gaussian with the mixture's mean and variance for the mixture. An average of "
        "densities is not the density of averages.",
        Mistake("term-wrong", mixture=lambda bar: stats.norm.logpdf(_Z, *mean_and_std(_Z, bar))),
        # The 1/N of the mixture may be lost in a logarithm alone, or in the whole second number.
        "Your mixture does not integrate to 1, so it is no density.",
        Mistake("constant", parts=lambda q, bar, p, log_n: (_kl(q, bar + log_n), _kl(bar, p - log_n))),
        Mistake("constant", parts=lambda q, bar, p, log_n: (_kl(q, bar + log_n), _kl(bar, p))),
        Mistake("constant", parts=lambda q, bar, p, log_n: (_kl(q, bar), _kl(bar, p - log_n))),
        Mistake("constant", parts=lambda q, bar, p, log_n: (_kl(q, bar + log_n), _kl(bar + log_n, p))),
        "In the first number the two distributions have changed places: which one is averaged over?",
        Mistake("reverse", parts=lambda q, bar, p, log_n: (_kl(bar, q), _kl(bar, p)), where=_ORDER),
        "In the second number the two distributions have changed places: which one is averaged over?",
        Mistake("reverse", parts=lambda q, bar, p, log_n: (_kl(q, bar), _kl(p, bar)), where=_ORDER),
        "In both numbers the two distributions have changed places: which one is averaged over?",
        Mistake("reverse", parts=lambda q, bar, p, log_n: (_kl(bar, q), _kl(p, bar)), where=_ORDER),
        "The first number is a sum over the images, where their average is asked for.",
        Mistake("term-scale", parts=lambda q, bar, p, log_n: (len(q) * _kl(q, bar), _kl(bar, p))),
        "The second number compares each q_n with the prior. It should compare all of them together with it.",
        Mistake("term-wrong", parts=lambda q, bar, p, log_n: (_kl(q, bar), _kl(q, p))),
        "The first number compares each q_n with the prior. What should it be compared with?",
        Mistake("term-wrong", parts=lambda q, bar, p, log_n: (_kl(q, p), _kl(bar, p))),
    ],
)
