"""Checks of the exercises of notebook 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_helpers.checks.engine.exercise import Mistake, Task, check_task
from vae_helpers.checks.engine.report import Report
from vae_helpers.numerics import gaussian

Array = NDArray[np.float64]
LOG_2 = float(np.log(2))


# --- Exercise 1 ----------------------------------------------------------------------------------


def check_kl_in_bits(fn: Callable[..., Any]) -> Report:
    """Checks a function for KL(N(mu, std²), N(0, 1)) in bits.

    Args:
        fn: takes mu and std, two floats with std above zero, and returns the divergence in bits, a
            number.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Kingma & Welling 2014, appendix B.
    """
    return check_task(fn, KL_IN_BITS)


def _log_ratio_of(mu: float, std: float) -> Callable[[Array], Array]:
    """log q(z) - log p(z) for q = N(mu, std²) and p = N(0, 1), from the definition of both."""
    return lambda z: 0.5 * z**2 - 0.5 * ((z - mu) / std) ** 2 - np.log(std)


def _nats(mu: float, std: float) -> float:
    return gaussian.expectation(_log_ratio_of(mu, std), mu, std)


def _half_of(terms: Callable[[float, float], Any], unit: float = 1.0) -> Callable[[float, float], Any]:
    """Half the sum of some terms, in units of so many nats."""
    return lambda mu, std: 0.5 * terms(mu, std) / unit


_STILL_IN_NATS = " And your value is still in nats."
_WRONG_TERMS = [
    (
        "std-for-var",
        lambda mu, std: std + mu**2 - 1 - 2 * np.log(std),
        "The first term is the standard deviation itself; the formula has the variance there.",
    ),
    (
        "log-std",
        lambda mu, std: std**2 + mu**2 - 1 - np.log(std),
        "The logarithm is that of the standard deviation; the formula has that of the variance.",
    ),
    (
        "std-for-var",
        lambda mu, std: std + mu**2 - 1 - np.log(std),
        "The standard deviation is taken for the variance, everywhere.",
    ),
    (
        "term-wrong",
        lambda mu, std: np.exp(std) + mu**2 - 1 - std,
        "The standard deviation is taken for the logarithm of the variance: what does the second argument of "
        "the helper hold?",
    ),
    (
        "term-wrong",
        lambda mu, std: np.exp(std**2) + mu**2 - 1 - std**2,
        "The variance is taken for its own logarithm: what does the second argument of the helper hold?",
    ),
    (
        "term-sign",
        lambda mu, std: mu**2 - std**2 - 1 - 2 * np.log(std),
        "The variance has the wrong sign: your value falls when q becomes ever wider.",
    ),
    (
        "term-sign",
        lambda mu, std: std**2 + mu**2 - 1 + 2 * np.log(std),
        "The logarithm has the wrong sign: your value is below zero for a narrow q.",
    ),
    (
        "swapped",
        lambda mu, std: 2 * np.log(std) + mu**2 - 1 - std**2,
        "The variance and its logarithm carry each other's signs.",
    ),
    (
        "term-missing",
        lambda mu, std: std**2 - 1 - 2 * np.log(std),
        "The mean does not enter: a q that sits far from 0 has no divergence.",
    ),
    (
        "constant",
        lambda mu, std: std**2 + mu**2 - 2 * np.log(std),
        "A constant is not there. What must the divergence be when q is the standard normal itself?",
    ),
    (
        "reverse",
        lambda mu, std: (1 + mu**2) / std**2 - 1 + 2 * np.log(std),
        "This is the divergence of the standard normal from q. The order of the two matters.",
    ),
]

KL_IN_BITS = Task(
    exercise="The divergence in bits",
    answer=lambda mu, std: _nats(mu, std) / LOG_2,
    cases=[(0.0, 2.0), (1.0, 1.0), (1.0, 0.5), (-2.0, 1.5), (0.3, 0.8), (0.5, 3.0)],
    names=("mu", "std"),
    mistakes=[
        Mistake("scale", _nats, "This is the divergence in nats. Bits are another unit for the same thing."),
        Mistake(
            "scale",
            lambda mu, std: _nats(mu, std) * LOG_2,
            "Nats were turned into bits the wrong way round. Which is the smaller unit?",
        ),
        Mistake(
            "scale",
            lambda mu, std: 2 * _nats(mu, std),
            "This is in nats, and the factor ½ is lost.",
        ),
        *(Mistake(code, _half_of(terms, LOG_2), cause) for code, terms, cause in _WRONG_TERMS),
        *(Mistake(code, _half_of(terms), cause + _STILL_IN_NATS) for code, terms, cause in _WRONG_TERMS),
    ],
    where="notebook 0, section 3",
)


# --- Exercise 2 ----------------------------------------------------------------------------------


def check_standard_errors_away(fn: Callable[..., Any]) -> Report:
    """Checks a function for the distance of a sample's mean from a claim, in standard errors.

    Both customs of the sample's standard deviation, to divide by n - 1 or by n, are right.

    Args:
        fn: takes values, draws of shape (n,) as a NumPy array or a PyTorch tensor (whichever it can),
            and claim, a float; returns a number, never negative, without a unit.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: notebook 0, section 3, and notebook 4, section 1.
    """
    reports = [check_task(fn, task) for task in AWAY]
    passed = [report for report in reports if report.passed]
    named = [report for report in reports if "unknown" not in report.codes]
    return [*passed, *named, *reports][0]


def _away_by(ddof: int) -> Task:
    """The exercise for one custom of the standard deviation."""

    def std(values: Array) -> float:
        return float(np.sqrt(((values - values.mean()) ** 2).sum() / (len(values) - ddof)))

    def off(values: Array, claim: float) -> float:
        return abs(float(values.mean()) - claim)

    return Task(
        exercise="How many standard errors away",
        answer=lambda values, claim: off(values, claim) * np.sqrt(len(values)) / std(values),
        cases=[
            (np.array([1.0, 2.0, 3.0, 4.0]), 4.0),
            (np.array([0.5, -1.5, 0.25, 2.0, -0.75]), -1.0),
            (np.array([10.0, 12.0, 11.0, 9.0, 14.0, 10.0, 13.0, 12.0, 11.0]), 11.0),
            (np.random.default_rng(1).normal(2.0, 3.0, 64), 3.5),
            (np.random.default_rng(2).exponential(0.5, 200), 0.2),
        ],
        names=("values", "claim"),
        mistakes=[
            Mistake(
                "sign",
                lambda values, claim: (float(values.mean()) - claim) * np.sqrt(len(values)) / std(values),
                "It has a sign. A distance has none.",
            ),
            Mistake(
                "sign",
                lambda values, claim: (claim - float(values.mean())) * np.sqrt(len(values)) / std(values),
                "It has a sign. A distance has none.",
            ),
            Mistake(
                "term-missing",
                lambda values, claim: off(values, claim) / std(values),
                "You count in standard deviations of one draw. The average of n draws scatters less.",
            ),
            Mistake(
                "term-missing",
                off,
                "This is the distance in the unit of the values. Is that large or small for an average?",
            ),
            Mistake(
                "term-wrong",
                lambda values, claim: off(values, claim) * len(values) / std(values),
                "Your standard error falls too fast. By how much do four times as many draws help?",
            ),
            Mistake(
                "var-for-std",
                lambda values, claim: off(values, claim) * len(values) / std(values) ** 2,
                "You divide by the variance of the average. Is its unit that of the distance?",
            ),
            Mistake(
                "var-for-std",
                lambda values, claim: off(values, claim) * np.sqrt(len(values)) / std(values) ** 2,
                "The variance of the draws stands where their standard deviation belongs.",
            ),
            Mistake(
                "swapped",
                lambda values, claim: std(values) / np.sqrt(len(values)) / max(off(values, claim), 1e-300),
                "The fraction stands on its head: a claim that is far off gives a small number.",
            ),
        ],
        where="notebook 0, section 3",
    )


AWAY = [_away_by(ddof=1), _away_by(ddof=0)]


# --- Exercise 3 ----------------------------------------------------------------------------------


def check_draws_to_tell_apart(fn: Callable[..., Any]) -> Report:
    """Checks a function for the number of draws that tell KL(N(mu, std²), N(0, 1)) from a wrong value.

    Args:
        fn: takes mu, std and wrong_by, three floats, and returns the number n of draws for which four
            standard errors of the sampled divergence are wrong_by times the divergence. It may be
            rounded, and 3 % off, so that a standard deviation which was sampled passes too.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: the 1/√n law of notebook 4, section 3.
    """
    return check_task(fn, DRAWS_TO_TELL_APART)


def _variance(mu: float, std: float) -> float:
    """Of log q - log p, for one draw from q."""
    ratio, kl = _log_ratio_of(mu, std), _nats(mu, std)
    return gaussian.expectation(lambda z: (ratio(z) - kl) ** 2, mu, std)


def _draws(variance: float, resolved: float) -> float:
    return 16 * variance / resolved**2


DRAWS_TO_TELL_APART = Task(
    exercise="How many draws",
    answer=lambda mu, std, wrong_by: _draws(_variance(mu, std), wrong_by * _nats(mu, std)),
    cases=[(1.0, 0.5, 0.01), (1.0, 1.0, 0.01), (0.0, 2.0, 0.02), (-2.0, 1.5, 0.005), (0.5, 0.8, 0.02)],
    names=("mu", "std", "wrong_by"),
    mistakes=[
        Mistake(
            "std-for-var",
            lambda mu, std, wrong_by: _draws(_variance(mu, std), wrong_by * _nats(mu, std)) ** 0.5,
            "This is the square root of the number. The error falls with the root of n, not with n.",
        ),
        Mistake(
            "std-for-var",
            lambda mu, std, wrong_by: _draws(_variance(mu, std) ** 0.5, wrong_by * _nats(mu, std)),
            "The standard deviation of one draw stands where its variance belongs.",
        ),
        Mistake(
            "term-missing",
            lambda mu, std, wrong_by: _draws(_variance(mu, std), wrong_by),
            "You resolve wrong_by nats. What is asked for is that fraction of the divergence.",
        ),
        Mistake(
            "scale",
            lambda mu, std, wrong_by: _draws(_variance(mu, std), wrong_by * _nats(mu, std)) / 16,
            "So many draws make one standard error as large as the difference. Four should fit into it.",
        ),
        Mistake(
            "scale",
            lambda mu, std, wrong_by: _draws(_variance(mu, std), wrong_by * _nats(mu, std)) / 4,
            "The factor 4 of the four standard errors enters as it is. How does n depend on the error?",
        ),
        *(
            Mistake(
                "term-wrong",
                lambda mu, std, wrong_by, k=power: 16 * _variance(mu, std) / wrong_by / _nats(mu, std) ** k,
                "wrong_by enters as it is. Half of it should cost four times as many draws: try it.",
            )
            for power in (1, 2)
        ),
        Mistake(
            "term-scale",
            lambda mu, std, wrong_by: _draws(
                (mu * std) ** 2 + 0.25 * (std**2 - 1) ** 2, wrong_by * _nats(mu, std)
            ),
            "The variance of ε² is taken to be 1, as that of ε is.",
        ),
        Mistake(
            "term-missing",
            lambda mu, std, wrong_by: _draws(0.5 * (std**2 - 1) ** 2, wrong_by * _nats(mu, std)),
            "The part of the variance that comes from the mean is not there.",
        ),
        Mistake(
            "term-wrong",
            lambda mu, std, wrong_by: _draws(std**2, wrong_by * _nats(mu, std)),
            "You took the variance of z. What is averaged is another random number.",
        ),
    ],
    where="notebook 0, section 3",
    tolerance=0.03,
)
