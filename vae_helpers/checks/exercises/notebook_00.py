"""The exercises of notebook 0."""

from __future__ import annotations

import numpy as np

from vae_helpers.checks.engine.exercise import AnyOf, Exercise, Mistake
from vae_helpers.checks.exercises._shared import LOG_2, moments
from vae_helpers.numerics._validate import Array


def _half_of_terms(
    mu: float, std: float, *, half=0.5, var=np.square, mean=1, one=1, two=2, log=np.log, unit=LOG_2
) -> float:
    """½ (σ² + μ² - 1 - 2 log σ), in a unit of so many nats."""
    return half * (var(std) + mean * mu**2 - one - two * log(std)) / unit


_WRONG_TERMS = [
    "The first term is the standard deviation itself; the formula has the variance there.",
    Mistake("std-for-var", var=float),
    "The logarithm is that of the standard deviation; the formula has that of the variance.",
    Mistake("log-std", two=1),
    "The standard deviation is taken for the variance, everywhere.",
    Mistake("std-for-var", var=float, two=1),
    "The standard deviation is taken for the logarithm of the variance: what does the second argument of "
    "the helper hold?",
    Mistake("term-wrong", var=np.exp, two=1, log=float),
    "The variance is taken for its own logarithm: what does the second argument of the helper hold?",
    Mistake("term-wrong", var=lambda std: np.exp(std**2), two=1, log=np.square),
    "The variance has the wrong sign: your value falls when q becomes ever wider.",
    Mistake("term-sign", var=lambda std: -(std**2)),
    "The logarithm has the wrong sign: your value is below zero for a narrow q.",
    Mistake("term-sign", two=-2),
    "The variance and its logarithm carry each other's signs.",
    Mistake("swapped", var=lambda std: 2 * np.log(std), two=1, log=np.square),
    "The mean does not enter: a q that sits far from 0 has no divergence.",
    Mistake("term-missing", mean=0),
    "A constant is not there. What must the divergence be when q is the standard normal itself?",
    Mistake("constant", one=0),
    "This is the divergence of the standard normal from q. The order of the two matters.",
    Mistake("reverse", instead=lambda mu, std, **unit: _half_of_terms(mu / std, 1 / std, **unit)),
]
_IN_NATS = " And your value is still in nats."

check_kl_in_bits = Exercise(
    title="The divergence in bits",
    takes="mu and std, two floats with std above zero",
    returns="KL(N(mu, std²), N(0, 1)) in bits, a number",
    source="Kingma & Welling 2014, appendix B",
    where="notebook 0, section 3",
    truth=lambda mu, std: moments(mu, std)[0] / LOG_2,
    program=_half_of_terms,
    cases=[(0.0, 2.0), (1.5, 1.0), (1.5, 0.5), (-2.0, 1.5), (0.3, 0.8), (0.5, 3.0)],
    mistakes=[
        "This is the divergence in nats. Bits are another unit for the same thing.",
        Mistake("scale", unit=1),
        "Nats were turned into bits the wrong way round. Which is the smaller unit?",
        Mistake("scale", unit=1 / LOG_2),
        "This is in nats, and the factor ½ is lost.",
        Mistake("scale", half=1, unit=1),
        *_WRONG_TERMS,
        *(each + _IN_NATS if isinstance(each, str) else each.together_with(unit=1) for each in _WRONG_TERMS),
    ],
)


def _errors_by_sums(
    values: Array, claim: float, *, ddof=1, distance=abs, spread=np.sqrt, count=np.sqrt, over=np.divide
) -> float:
    """|mean - claim| over the standard error, from sums of squares."""
    n, mean = len(values), sum(values) / len(values)
    variance = sum((values - mean) ** 2) / (n - ddof)
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
    truth=lambda values, claim: abs(values.mean() - claim) / values.std(ddof=1) * len(values) ** 0.5,
    program=_errors_by_sums,
    also_right={"ddof": 0},
    cases=[
        (np.array([1.0, 2.0, 3.0, 4.0]), 4.0),
        (np.array([0.5, -1.5, 0.25, 2.0, -0.75]), -1.0),
        (np.array([10.0, 12.0, 11.0, 9.0, 14.0, 10.0, 13.0, 12.0, 11.0]), 11.0),
        (np.random.default_rng(1).normal(2.0, 3.0, 64), 3.5),
        (np.random.default_rng(2).exponential(0.5, 200), 0.2),
    ],
    mistakes=[
        "It has a sign. A distance has none.",
        Mistake("sign", distance=AnyOf(float, lambda off: -off)),
        "You count in standard deviations of one draw. The average of n draws scatters less.",
        Mistake("term-missing", count=lambda n: 1),
        "This is the distance in the unit of the values. Is that large or small for an average?",
        Mistake("term-missing", over=lambda off, error: off),
        "Your standard error falls too fast. By how much do four times as many draws help?",
        Mistake("term-wrong", count=float),
        "You divide by the variance of the average. Is its unit that of the distance?",
        Mistake("var-for-std", spread=float, count=float),
        "The variance of the draws stands where their standard deviation belongs.",
        Mistake("var-for-std", spread=float),
        "The fraction stands on its head: a claim that is far off gives a small number.",
        Mistake("swapped", over=lambda off, error: error / max(off, 1e-300)),
    ],
)


def _draws_by_formula(
    mu: float, std: float, wrong_by: float, *, errors=16, mean=float, square=2, power=1, fraction=2, nats=2
) -> float:
    """n = (4 standard deviations of a draw / what is to be resolved)², log q - log p being quadratic in ε."""
    kl = 0.5 * (std**2 + mu**2 - 1) - np.log(std)
    variance = (mean(mu) * std) ** 2 + square * (0.5 * (std**2 - 1)) ** 2
    return errors * variance**power / (wrong_by**fraction * kl**nats)


check_draws_to_tell_apart = Exercise(
    title="How many draws",
    takes="mu, std and wrong_by, three floats",
    returns=(
        "the number n of draws for which four standard errors of the sampled KL(N(mu, std²), N(0, 1)) are "
        "wrong_by times that; it may be rounded and 3 % off, so that a sampled standard deviation passes too"
    ),
    source="the 1/√n law of notebook 4, section 3",
    where="notebook 0, section 3",
    truth=lambda mu, std, wrong_by: 16 * moments(mu, std)[1] / (wrong_by * moments(mu, std)[0]) ** 2,
    program=_draws_by_formula,
    cases=[(1.5, 0.5, 0.01), (1.5, 1.0, 0.01), (0.0, 2.0, 0.02), (-2.0, 1.5, 0.005), (0.5, 0.8, 0.02)],
    tolerance=0.03,
    mistakes=[
        "This is the square root of the number. The error falls with the root of n, not with n.",
        Mistake("std-for-var", then=np.sqrt),
        "The standard deviation of one draw stands where its variance belongs.",
        Mistake("std-for-var", power=0.5),
        "You resolve wrong_by nats. What is asked for is that fraction of the divergence.",
        Mistake("term-missing", nats=0),
        "So many draws make one standard error as large as the difference. Four should fit into it.",
        Mistake("scale", errors=1),
        "The factor 4 of the four standard errors enters as it is. How does n depend on the error?",
        Mistake("scale", errors=4),
        "wrong_by enters as it is. Half of it should cost four times as many draws: try it.",
        Mistake("term-wrong", fraction=1, nats=AnyOf(1, 2)),
        "The variance of ε² is taken to be 1, as that of ε is.",
        Mistake("term-scale", square=1),
        "The part of the variance that comes from the mean is not there.",
        Mistake("term-missing", mean=lambda mu: 0),
        "You took the variance of z. What is averaged is another random number.",
        Mistake("term-wrong", mean=lambda mu: 1, square=0),
    ],
)
