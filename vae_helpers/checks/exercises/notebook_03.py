"""Checks of the exercises of notebook 3 (the Gaussian KL); the first one is `check_kl`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from vae_helpers.checks.engine.exercise import Mistake, Task, check_task
from vae_helpers.checks.engine.report import Report
from vae_helpers.numerics import gaussian

Array = NDArray[np.float64]


def check_kl_of_uniform(fn: Callable[..., Any]) -> Report:
    """Checks a function for KL(uniform with a given mean and std, N(0, 1)).

    Args:
        fn: takes the numbers mu and std, and returns one number, in nats.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Cover & Thomas 2006, section 8.5 (the divergence of densities) and example 8.1.1.
    """
    return check_task(fn, UNIFORM)


def check_prior_of_slip(fn: Callable[..., Any]) -> Report:
    """Checks which prior is implied by c (σ² + μ²) - ½ (1 + log σ²), and up to which constant.

    Args:
        fn: takes the number c > 0, and returns (variance of the prior, constant in nats).

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: the general case of Kingma & Welling 2014, appendix B.
    """
    return check_task(fn, SLIP)


def check_kl_of_equal_correlations(fn: Callable[..., Any]) -> Report:
    """Checks a function for KL(N(0, R), N(0, I)), where R has the same correlation everywhere.

    Args:
        fn: takes the dimension d (an integer) and the correlation, which is above -1/(d - 1) and below
            1, and returns one number, in nats.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Cover & Thomas 2006, theorem 8.4.1 (the entropy of a multivariate Gaussian).
    """
    return check_task(fn, CORRELATIONS)


def check_split_kl(fn: Callable[..., Any]) -> Report:
    """Checks a function that splits the average KL to the prior into two divergences.

    Args:
        fn: takes mus and stds, both (N,), of N Gaussians q_n on the line, and returns
            (mean over n of KL(q_n, q̄), KL(q̄, N(0, 1))), in nats to three decimals, where q̄ is the
            equal mixture of all q_n.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Hoffman & Johnson 2016, ELBO surgery.
    """
    return check_task(fn, SPLIT)


def _uniform_kl(mu: float, std: float) -> float:
    """By quadrature of u log(u / p)."""
    half = np.sqrt(3) * std

    def integrand(z: float) -> float:
        return (-np.log(2 * half) + 0.5 * gaussian.LOG_2PI + 0.5 * z**2) / (2 * half)

    return quad(integrand, mu - half, mu + half)[0]


def _parts(second_moment: float, entropy: float, log_2pi: float = gaussian.LOG_2PI) -> float:
    return 0.5 * (log_2pi + second_moment) - entropy


_WIDTH = "The width does not belong to this std. What is the variance of a uniform density of width L?"

UNIFORM = Task(
    exercise="The KL of a uniform density",
    answer=_uniform_kl,
    cases=[(0.0, 1.0), (1.0, 0.5), (-2.0, 0.1), (0.5, 2.0), (-1.0, 1.7)],
    names=("mu", "std"),
    where="notebook 3, sections 2 and 3",
    mistakes=[
        Mistake(
            "scale",
            lambda mu, std: _uniform_kl(mu, std) / np.log(2),
            "This is the divergence in bits; nats are asked for.",
        ),
        Mistake(
            "term-wrong",
            lambda mu, std: 0.5 * (std**2 + mu**2 - 1 - 2 * np.log(std)),
            "This is the divergence of the Gaussian with the same mean and std. One of the two halves "
            "cares for the shape of q.",
        ),
        *(
            Mistake("term-wrong", lambda mu, std, w=width: _parts(std**2 + mu**2, np.log(w * std)), _WIDTH)
            for width in (1, 2, np.sqrt(3), 12, np.sqrt(24))
        ),
        *(
            Mistake(
                "term-wrong",
                lambda mu, std, w=width: _parts((w * std) ** 2 / 12 + mu**2, np.log(w * std)),
                _WIDTH,
            )
            for width in (1, 2, np.sqrt(3), 4 * np.sqrt(3))
        ),
        Mistake(
            "term-sign",
            lambda mu, std: _parts(std**2 + mu**2, -np.log(np.sqrt(12) * std)),
            "The two halves are added. Which of them counts with a minus sign?",
        ),
        Mistake(
            "log-two-pi-missing",
            lambda mu, std: _parts(std**2 + mu**2, np.log(np.sqrt(12) * std), 0.0),
            "The constant of the prior's log-density is not there. For two Gaussians it cancels; here "
            "only one half has it.",
        ),
        Mistake(
            "std-for-var",
            lambda mu, std: _parts(std + mu**2, np.log(np.sqrt(12) * std)),
            "σ stands where a second moment belongs.",
        ),
        Mistake(
            "term-missing",
            lambda mu, std: _parts(std**2, np.log(np.sqrt(12) * std)),
            "The mean has no part in your value, but the prior is surprised by a q that stands far from 0.",
        ),
        Mistake(
            "term-missing",
            lambda mu, std: _parts(std**2 + mu**2, 0.0),
            "This is the cross-entropy alone.",
        ),
        Mistake(
            "half",
            lambda mu, std: gaussian.LOG_2PI / 2 + std**2 + mu**2 - np.log(np.sqrt(12) * std),
            "The second moment counts twice as much as it should: look at the exponent of the prior's "
            "density.",
        ),
    ],
)


def _slip(factor: float, log_var: float) -> float:
    """The slip for mu = 0."""
    return factor * np.exp(log_var) - 0.5 * (1 + log_var)


def _prior_of_slip(factor: float) -> tuple[float, float]:
    """By search: a KL plus a constant is lowest where q is the prior, and there it is the constant."""
    lowest = minimize_scalar(lambda v: _slip(factor, v), bracket=(-1.0, 1.0), tol=1e-10)
    return float(np.exp(lowest.x)), float(lowest.fun)


SLIP = Task(
    exercise="The prior behind a slip",
    answer=_prior_of_slip,
    cases=[(1.0,), (0.5,), (2.0,), (0.25,), (3.0,)],
    names=("factor",),
    where="notebook 3, section 4",
    mistakes=[
        *(
            Mistake(
                "term-wrong",
                lambda c, s=sign: (2 * c, s * 0.5 * np.log(2 * c)),
                "Your variance is upside down: a larger factor punishes wide q harder. Does the prior "
                "that does so have a larger or a smaller variance?",
            )
            for sign in (1, -1)
        ),
        Mistake(
            "swapped",
            lambda c: (0.5 * np.log(2 * c), 1 / (2 * c)),
            "The two numbers have changed places: the variance comes first.",
        ),
        Mistake(
            "std-for-var",
            lambda c: (1 / np.sqrt(2 * c), 0.5 * np.log(2 * c)),
            "The first number is the prior's standard deviation; its variance is asked for.",
        ),
        *(
            Mistake(
                "term-scale",
                lambda c, k=constant: (1 / c, k(c)),
                "The variance is off by a factor 2. At factor = ½ the prior is the standard normal itself: "
                "try it.",
            )
            for constant in (lambda c: 0.5 * np.log(c), lambda c: 0.5 * np.log(2 * c))
        ),
        Mistake(
            "term-sign",
            lambda c: (1 / (2 * c), -0.5 * np.log(2 * c)),
            "The constant has the wrong sign: it is the slip minus the divergence, not the other way round.",
        ),
        Mistake(
            "term-scale",
            lambda c: (1 / (2 * c), np.log(2 * c)),
            "The constant is twice what it should be: the logarithm of a variance comes with a ½ in the "
            "divergence.",
        ),
        *(
            Mistake(
                "constant",
                lambda c, k=constant: (1 / (2 * c), k(c)),
                "The prior is right, the constant is not. What is the slip where q equals that prior?",
            )
            for constant in (
                lambda c: 0.0,
                lambda c: 0.5 * np.log(2 * c) - 0.5,
                lambda c: 0.5 * np.log(2 * c) + 0.5,
                lambda c: 0.5 * np.log(c),
            )
        ),
    ],
)


def _full_kl(dim: int, rho: float) -> float:
    """By the formula for full covariances."""
    matrix = np.full((dim, dim), rho) + (1 - rho) * np.eye(dim)
    return float(gaussian.kl_full(np.zeros(dim), matrix, np.zeros(dim), np.eye(dim)))


CORRELATIONS = Task(
    exercise="The KL of equally correlated coordinates",
    answer=_full_kl,
    cases=[(2, 0.6), (3, -0.3), (5, 0.5), (1, 0.5), (10, 0.9)],
    names=("dim", "rho"),
    where="notebook 3, section 4",
    mistakes=[
        Mistake(
            "term-missing",
            lambda d, rho: 0.0,
            "This is what the diagonal formula says: each coordinate alone looks like the prior. What "
            "does the full formula see beyond the variances?",
        ),
        Mistake(
            "term-wrong",
            lambda d, rho: -0.25 * d * (d - 1) * np.log(1 - rho**2),
            "You add up what each pair misses by itself. With three coordinates and more the pairs are not "
            "independent of each other.",
        ),
        Mistake(
            "term-wrong",
            lambda d, rho: -0.5 * np.log(1 - rho**2),
            "This is right for two coordinates, whatever their number.",
        ),
        Mistake(
            "term-missing",
            lambda d, rho: -0.5 * (d - 1) * np.log(1 - rho),
            "One eigenvalue of the matrix is not in your determinant: the one of the direction in which all "
            "coordinates move together.",
        ),
        Mistake(
            "term-scale",
            lambda d, rho: -0.5 * (np.log(1 + (d - 1) * rho) + d * np.log(1 - rho)),
            "You count one eigenvalue too many: a matrix has as many as it has rows.",
        ),
        Mistake(
            "term-scale",
            lambda d, rho: -0.5 * (np.log(1 + (d - 1) * rho) + np.log(1 - rho)),
            "One of the eigenvalues comes more than once. How many directions are orthogonal to (1, …, 1)?",
        ),
        Mistake(
            "term-wrong",
            lambda d, rho: -0.5 * (np.log(np.abs(1 + d * rho)) + (d - 1) * np.log(1 - rho)),
            "One eigenvalue is wrong: multiply the matrix by the vector (1, …, 1) and look at one entry.",
        ),
        Mistake(
            "half",
            lambda d, rho: -(np.log(1 + (d - 1) * rho) + (d - 1) * np.log(1 - rho)),
            "Your value is exactly twice the right one: a factor ½ is lost.",
        ),
    ],
)


def _integral(log_weight: Array, values: Array, z: Array) -> float:
    return float(np.trapezoid(np.exp(log_weight) * values, z))


def _split(mus: Array, stds: Array, average: str = "arithmetic") -> dict[str, Any]:
    """All divergences between q_n, their mixture (or what is taken for it) and the prior, on a grid."""
    z = np.linspace(-16.0, 16.0, 20_001)
    log_q = gaussian.log_prob(
        z[:, None], np.reshape(mus, (-1, 1, 1)), 2 * np.log(np.reshape(stds, (-1, 1, 1)))
    )
    log_bar = logsumexp(log_q, axis=0) - np.log(len(log_q))
    if average == "moments":
        variance = np.mean(np.square(stds) + np.square(mus)) - np.mean(mus) ** 2
        log_bar = gaussian.log_prob(z[:, None], np.mean(mus), np.log(variance))
    log_p = gaussian.log_prob(z[:, None], 0.0, 0.0)
    return {
        "information": float(np.mean([_integral(one, one - log_bar, z) for one in log_q])),
        "reverse information": float(np.mean([_integral(log_bar, log_bar - one, z) for one in log_q])),
        "marginal": _integral(log_bar, log_bar - log_p, z),
        "reverse marginal": _integral(log_p, log_p - log_bar, z),
        "each": float(np.mean([_integral(one, one - log_p, z) for one in log_q])),
        "log n": np.log(len(log_q)),
        "n": len(log_q),
    }


def _pair(first: str, second: str, **options: str) -> Callable[..., tuple[float, float]]:
    return lambda mus, stds: tuple(_split(mus, stds, **options)[name] for name in (first, second))  # type: ignore[return-value]


def _not_normalised(mus: Array, stds: Array) -> tuple[float, float]:
    found = _split(mus, stds)
    return found["information"] - found["log n"], found["marginal"] + found["log n"]


def _not_normalised_twice(mus: Array, stds: Array) -> tuple[float, float]:
    found = _split(mus, stds)
    return found["information"] - found["log n"], found["n"] * (found["marginal"] + found["log n"])


def _summed(mus: Array, stds: Array) -> tuple[float, float]:
    found = _split(mus, stds)
    return found["n"] * found["information"], found["marginal"]


_NORMALISED = "Your mixture does not integrate to 1, so it is no density."

SPLIT = Task(
    exercise="The average KL in two parts",
    answer=_pair("information", "marginal"),
    cases=[
        (np.array([-1.2, 1.2]), np.array([0.5, 0.5])),
        (np.array([0.7]), np.array([0.6])),
        (np.array([0.0, 1.0]), np.array([1.0, 0.5])),
        (np.array([-2.0, 0.3, 1.5]), np.array([0.4, 1.3, 0.8])),
    ],
    names=("mus", "stds"),
    tolerance=1e-3,
    where="notebook 3, section 1",
    mistakes=[
        Mistake("swapped", _pair("marginal", "information"), "The two numbers have changed places."),
        Mistake(
            "term-wrong",
            _pair("information", "marginal", average="moments"),
            "You take the Gaussian with the mixture's mean and variance for the mixture. An average of "
            "densities is not the density of averages.",
        ),
        Mistake("constant", _not_normalised, _NORMALISED),
        Mistake(
            "constant", lambda *case: (_not_normalised(*case)[0], _split(*case)["marginal"]), _NORMALISED
        ),
        Mistake(
            "constant", lambda *case: (_split(*case)["information"], _not_normalised(*case)[1]), _NORMALISED
        ),
        Mistake("constant", _not_normalised_twice, _NORMALISED),
        Mistake(
            "reverse",
            _pair("reverse information", "marginal"),
            "In the first number the two distributions have changed places: which one is averaged over?",
            "notebook 3, section 5",
        ),
        Mistake(
            "reverse",
            _pair("information", "reverse marginal"),
            "In the second number the two distributions have changed places: which one is averaged over?",
            "notebook 3, section 5",
        ),
        Mistake(
            "reverse",
            _pair("reverse information", "reverse marginal"),
            "In both numbers the two distributions have changed places: which one is averaged over?",
            "notebook 3, section 5",
        ),
        Mistake(
            "term-scale",
            _summed,
            "The first number is a sum over the images, where their average is asked for.",
        ),
        Mistake(
            "term-wrong",
            _pair("information", "each"),
            "The second number compares each q_n with the prior. It should compare all of them together "
            "with it.",
        ),
        Mistake(
            "term-wrong",
            _pair("each", "marginal"),
            "The first number compares each q_n with the prior. What should it be compared with?",
        ),
    ],
)
