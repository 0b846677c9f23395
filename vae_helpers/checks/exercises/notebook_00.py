"""The exercises of notebook 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vae_helpers.checks.engine.exercise import AnyOf, Exercise, Mistake
from vae_helpers.numerics import gaussian
from vae_helpers.numerics._validate import Array

LOG_2 = float(np.log(2))


def _log_ratio_of(mu: float, std: float) -> Callable[[Array], Array]:
    """log q(z) - log p(z) for q = N(mu, std²) and p = N(0, 1), from the definition of both."""
    return lambda z: 0.5 * z**2 - 0.5 * ((z - mu) / std) ** 2 - np.log(std)


def _nats(mu: float, std: float) -> float:
    return gaussian.expectation(_log_ratio_of(mu, std), mu, std)


def _log_square(std: float) -> float:
    return 2 * float(np.log(std))


def _half_of_terms(
    mu: float,
    std: float,
    *,
    var=np.square,
    mean=1,
    one=1,
    log_var=_log_square,
    swap=False,
    half=0.5,
    unit=LOG_2,
) -> float:
    """½ (σ² + μ² - 1 - log σ²), in a unit of so many nats."""
    if swap:  # KL(p, q) has the same terms of μ / σ and 1 / σ
        mu, std = mu / std, 1 / std
    return half * (var(std) + mean * mu**2 - one - log_var(std)) / unit


_WRONG_TERMS = {
    Mistake("std-for-var", var=float): (
        "The first term is the standard deviation itself; the formula has the variance there."
    ),
    Mistake("log-std", log_var=np.log): (
        "The logarithm is that of the standard deviation; the formula has that of the variance."
    ),
    Mistake("std-for-var", var=float, log_var=np.log): (
        "The standard deviation is taken for the variance, everywhere."
    ),
    Mistake("term-wrong", var=np.exp, log_var=float): (
        "The standard deviation is taken for the logarithm of the variance: what does the second argument of "
        "the helper hold?"
    ),
    Mistake("term-wrong", var=lambda std: np.exp(std**2), log_var=np.square): (
        "The variance is taken for its own logarithm: what does the second argument of the helper hold?"
    ),
    Mistake("term-sign", var=lambda std: -(std**2)): (
        "The variance has the wrong sign: your value falls when q becomes ever wider."
    ),
    Mistake("term-sign", log_var=lambda std: -_log_square(std)): (
        "The logarithm has the wrong sign: your value is below zero for a narrow q."
    ),
    Mistake("swapped", var=_log_square, log_var=np.square): (
        "The variance and its logarithm carry each other's signs."
    ),
    Mistake("term-missing", mean=0): ("The mean does not enter: a q that sits far from 0 has no divergence."),
    Mistake("constant", one=0): (
        "A constant is not there. What must the divergence be when q is the standard normal itself?"
    ),
    Mistake("reverse", swap=True): (
        "This is the divergence of the standard normal from q. The order of the two matters."
    ),
}

check_kl_in_bits = Exercise(
    title="The divergence in bits",
    takes="mu and std, two floats with std above zero",
    returns="KL(N(mu, std²), N(0, 1)) in bits, a number",
    source="Kingma & Welling 2014, appendix B",
    where="notebook 0, section 3",
    truth=lambda mu, std: _nats(mu, std) / LOG_2,
    program=_half_of_terms,
    cases=[(0.0, 2.0), (1.0, 1.0), (1.0, 0.5), (-2.0, 1.5), (0.3, 0.8), (0.5, 3.0)],
    mistakes={
        Mistake("scale", unit=1): (
            "This is the divergence in nats. Bits are another unit for the same thing."
        ),
        Mistake("scale", unit=1 / LOG_2): (
            "Nats were turned into bits the wrong way round. Which is the smaller unit?"
        ),
        Mistake("scale", half=1, unit=1): "This is in nats, and the factor ½ is lost.",
        **_WRONG_TERMS,
        **{
            wrong.together_with(unit=1): said + " And your value is still in nats."
            for wrong, said in _WRONG_TERMS.items()
        },
    },
)


def _by_statistics(values: Array, claim: float) -> float:
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return abs(float(np.mean(values)) - claim) / error


def _by_sums(
    values: Array,
    claim: float,
    *,
    ddof=1,
    distance=abs,
    spread=np.sqrt,
    count=np.sqrt,
    over=lambda off, error: off / error,
) -> float:
    """|mean - claim| over the standard error, from sums of squares."""
    n, mean = len(values), float(values.mean())
    variance = ((values - mean) ** 2).sum() / (n - ddof)
    return over(distance(mean - claim), spread(variance) / count(n))


check_standard_errors_away = Exercise(
    title="How many standard errors away",
    takes="values, draws of shape (n,) in NumPy or PyTorch (whichever it can), and claim, a float",
    returns=(
        "the distance of their mean from the claim in standard errors, a number that is never negative and "
        "has no unit; both customs of the standard deviation, to divide by n - 1 or by n, are right"
    ),
    source="notebook 0, section 3, and notebook 4, section 1",
    where="notebook 0, section 3",
    truth=_by_statistics,
    program=_by_sums,
    also_right={"ddof": 0},
    cases=[
        (np.array([1.0, 2.0, 3.0, 4.0]), 4.0),
        (np.array([0.5, -1.5, 0.25, 2.0, -0.75]), -1.0),
        (np.array([10.0, 12.0, 11.0, 9.0, 14.0, 10.0, 13.0, 12.0, 11.0]), 11.0),
        (np.random.default_rng(1).normal(2.0, 3.0, 64), 3.5),
        (np.random.default_rng(2).exponential(0.5, 200), 0.2),
    ],
    mistakes={
        Mistake("sign", distance=AnyOf(float, lambda off: -off)): "It has a sign. A distance has none.",
        Mistake("term-missing", count=lambda n: 1): (
            "You count in standard deviations of one draw. The average of n draws scatters less."
        ),
        Mistake("term-missing", over=lambda off, error: off): (
            "This is the distance in the unit of the values. Is that large or small for an average?"
        ),
        Mistake("term-wrong", count=float): (
            "Your standard error falls too fast. By how much do four times as many draws help?"
        ),
        Mistake("var-for-std", spread=float, count=float): (
            "You divide by the variance of the average. Is its unit that of the distance?"
        ),
        Mistake("var-for-std", spread=float): (
            "The variance of the draws stands where their standard deviation belongs."
        ),
        Mistake("swapped", over=lambda off, error: error / max(off, 1e-300)): (
            "The fraction stands on its head: a claim that is far off gives a small number."
        ),
    },
)


def _draws_by_quadrature(mu: float, std: float, wrong_by: float) -> float:
    ratio, kl = _log_ratio_of(mu, std), _nats(mu, std)
    variance = gaussian.expectation(lambda z: (ratio(z) - kl) ** 2, mu, std)
    return 16 * variance / (wrong_by * kl) ** 2


def _draws_by_formula(
    mu: float,
    std: float,
    wrong_by: float,
    *,
    errors=16,
    variance=lambda linear, square, std: linear + square,
    of_square=2,
    resolved=lambda wrong_by, kl: (wrong_by * kl) ** 2,
) -> float:
    """n = (4 standard deviations of a draw / what is to be resolved)², log q - log p being quadratic in ε."""
    kl = 0.5 * (std**2 + mu**2 - 1) - np.log(std)
    linear, square = (mu * std) ** 2, of_square * (0.5 * (std**2 - 1)) ** 2
    return errors * variance(linear, square, std) / resolved(wrong_by, kl)


check_draws_to_tell_apart = Exercise(
    title="How many draws",
    takes="mu, std and wrong_by, three floats",
    returns=(
        "the number n of draws for which four standard errors of the sampled KL(N(mu, std²), N(0, 1)) are "
        "wrong_by times the divergence; it may be rounded, and 3 % off, so that a standard deviation which "
        "was sampled passes too"
    ),
    source="the 1/√n law of notebook 4, section 3",
    where="notebook 0, section 3",
    truth=_draws_by_quadrature,
    program=_draws_by_formula,
    cases=[(1.0, 0.5, 0.01), (1.0, 1.0, 0.01), (0.0, 2.0, 0.02), (-2.0, 1.5, 0.005), (0.5, 0.8, 0.02)],
    tolerance=0.03,
    mistakes={
        Mistake("std-for-var", then=np.sqrt): (
            "This is the square root of the number. The error falls with the root of n, not with n."
        ),
        Mistake("std-for-var", variance=lambda linear, square, std: np.sqrt(linear + square)): (
            "The standard deviation of one draw stands where its variance belongs."
        ),
        Mistake("term-missing", resolved=lambda wrong_by, kl: wrong_by**2): (
            "You resolve wrong_by nats. What is asked for is that fraction of the divergence."
        ),
        Mistake("scale", errors=1): (
            "So many draws make one standard error as large as the difference. Four should fit into it."
        ),
        Mistake("scale", errors=4): (
            "The factor 4 of the four standard errors enters as it is. How does n depend on the error?"
        ),
        Mistake(
            "term-wrong",
            resolved=AnyOf(lambda wrong_by, kl: wrong_by * kl, lambda wrong_by, kl: wrong_by * kl**2),
        ): "wrong_by enters as it is. Half of it should cost four times as many draws: try it.",
        Mistake("term-scale", of_square=1): "The variance of ε² is taken to be 1, as that of ε is.",
        Mistake("term-missing", variance=lambda linear, square, std: square): (
            "The part of the variance that comes from the mean is not there."
        ),
        Mistake("term-wrong", variance=lambda linear, square, std: std**2): (
            "You took the variance of z. What is averaged is another random number."
        ),
    },
)
