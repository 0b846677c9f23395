"""Checks of the exercises of notebook 5 (reparameterization); the first one is `check_reparameterize`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_helpers.checks.engine.exercise import Mistake, Task, check_task
from vae_helpers.checks.engine.report import Report
from vae_helpers.numerics import gaussian

Array = NDArray[np.float64]


def check_best_baseline(fn: Callable[..., Any]) -> Report:
    """Checks the constant c that gives (f(z) - c) ε / σ the smallest variance, and that variance.

    Args:
        fn: takes the numbers A, B, C and std, where f(μ + σε) = A + Bε + Cε²; returns (c, variance).

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Mohamed et al. 2020, section 7.4 (control variates).
    """
    return check_task(fn, BASELINE)


def check_score_estimate(fn: Callable[..., Any]) -> Report:
    """Checks the score-function estimate of ∂E[f(z)]/∂a for one draw of z in {0, 1}.

    Args:
        fn: takes the draw z (0 or 1), f_z, the value of f at z, and the logit a of q(z = 1); returns one
            number.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Williams 1992, section 4 (Bernoulli units).
    """
    return check_task(fn, SCORE)


def check_variances_of_sine(fn: Callable[..., Any]) -> Report:
    """Checks the variances of both gradient estimates for f(z) = sin(kz), z ~ N(0, 1).

    Args:
        fn: takes the number k, and returns (variance of the score-function estimate, variance of the
            reparameterized estimate) of the derivative by the mean.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Mohamed et al. 2020, section 3 (where the pathwise estimate has the larger variance).
    """
    return check_task(fn, SINE)


def check_path_gradient(fn: Callable[..., Any]) -> Report:
    """Checks the reparameterized gradient of log N(x; W z + b, s² I) by L, for one z = m + L ε.

    Args:
        fn: takes x (D,), W (D, d), the numbers b and s, m (d,), L (d, d), lower triangular, and
            eps (d,); returns (d, d), zero above the diagonal.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Rezende et al. 2014, section 3 (Gaussian gradient identities).
    """
    return check_task(fn, FULL)


def _best_baseline(A: float, B: float, C: float, std: float) -> tuple[float, float]:
    """By quadrature: the variance is a parabola in c, with its lowest point at E[f s²] / E[s²]."""

    def expectation(g: Callable[[Array], Array]) -> float:
        return gaussian.expectation(g, 0.0, 1.0)

    def f(e: Array) -> Array:
        return A + B * e + C * e**2

    best = expectation(lambda e: f(e) * (e / std) ** 2) / expectation(lambda e: (e / std) ** 2)
    mean = expectation(lambda e: (f(e) - best) * e / std)
    return best, expectation(lambda e: ((f(e) - best) * e / std - mean) ** 2)


def _variance(A: float, B: float, C: float, std: float, c: float) -> float:
    level = A - c
    return (level**2 + 6 * level * C + 2 * B**2 + 15 * C**2) / std**2


def _baseline(c: Callable[[float, float, float], float]) -> Callable[..., tuple[float, float]]:
    return lambda A, B, C, std: (c(A, B, C), _variance(A, B, C, std, c(A, B, C)))


def _lowest(A: float, B: float, C: float, std: float) -> float:
    return (2 * B**2 + 6 * C**2) / std**2


_MEAN = (
    "The mean of f is the natural baseline, not the best one: it leaves a larger variance. Minimise over c."
)

BASELINE = Task(
    exercise="The best baseline",
    answer=_best_baseline,
    cases=[
        (0.0, 0.0, 1.0, 1.0),
        (1.0, 2.0, -1.0, 0.5),
        (-1.611, 1.68, -0.72, 0.6),
        (-100.0, 3.0, 0.5, 2.0),
        (2.0, -1.0, 0.0, 0.3),
    ],
    names=("A", "B", "C", "std"),
    where="notebook 5, section 4",
    mistakes=[
        Mistake("term-scale", _baseline(lambda A, B, C: A + C), _MEAN),
        Mistake("term-scale", lambda A, B, C, std: (A + C, _lowest(A, B, C, std)), _MEAN),
        Mistake(
            "term-missing",
            _baseline(lambda A, B, C: A),
            "Your c is f at the mean. It removes the level there, but f is not flat around it.",
        ),
        Mistake(
            "term-sign",
            _baseline(lambda A, B, C: A - 3 * C),
            "One sign got lost when you solved for c: it is A - c that has to be minus something.",
        ),
        Mistake(
            "term-sign",
            lambda A, B, C, std: (A - 3 * C, _lowest(A, B, C, std)),
            "One sign got lost when you solved for c: it is A - c that has to be minus something.",
        ),
        Mistake(
            "term-missing",
            lambda A, B, C, std: (-3 * C, _lowest(A, B, C, std)),
            "This is A - c, not yet c.",
        ),
        Mistake(
            "term-missing",
            lambda A, B, C, std: (A + 3 * C, (3 * B**2 + 6 * C**2) / std**2),
            "The second number is the mean square; for the variance the squared mean is missing.",
        ),
        *(
            Mistake(
                "term-wrong",
                lambda A, B, C, std, v=variance: (A + 3 * C, v(A, B, C, std)),
                "c is right, but the second number is not the variance at this c: what becomes of all the "
                "terms with A - c there?",
            )
            for variance in (
                lambda A, B, C, std: _variance(A, B, C, std, A),
                lambda A, B, C, std: _variance(A, B, C, std, 0.0),
                lambda A, B, C, std: _variance(A, B, C, std, A + C),
            )
        ),
        Mistake(
            "term-missing",
            lambda A, B, C, std: (A + 3 * C, 2 * B**2 + 6 * C**2),
            "The score is ε/σ. Where is σ in your variance?",
        ),
        Mistake(
            "std-for-var",
            lambda A, B, C, std: (A + 3 * C, (2 * B**2 + 6 * C**2) / std),
            "σ stands where σ² belongs: a variance scales with the square.",
        ),
        Mistake(
            "std-for-var",
            lambda A, B, C, std: (A + 3 * C, np.sqrt(2 * B**2 + 6 * C**2) / std),
            "The second number is a standard deviation; the variance is asked for.",
        ),
        Mistake(
            "swapped",
            lambda A, B, C, std: _best_baseline(A, B, C, std)[::-1],
            "The numbers have changed places.",
        ),
    ],
)


def _sigmoid(a: float) -> float:
    return 1 / (1 + np.exp(-a))


def _log_q(z: float, a: float) -> float:
    return -np.logaddexp(0.0, -a if z else a)


def _score_estimate(z: float, f_z: float, a: float, h: float = 1e-4) -> float:
    """f(z) times the derivative of log q(z), taken numerically."""
    return f_z * (_log_q(z, a + h) - _log_q(z, a - h)) / (2 * h)


SCORE = Task(
    exercise="The score function of a discrete latent",
    answer=_score_estimate,
    cases=[(1, 1.0, 0.0), (0, 1.0, 0.0), (1, -1.2, 0.4), (0, -3.0, 0.4), (1, 2.5, -1.5), (0, 0.7, 2.0)],
    names=("z", "f_z", "a"),
    where="notebook 5, section 2",
    mistakes=[
        Mistake(
            "term-wrong",
            lambda z, f, a: f * (z / _sigmoid(a) - (1 - z) / (1 - _sigmoid(a))),
            "This is the derivative by the probability. The parameter is the logit: one factor of the "
            "chain rule is missing.",
        ),
        Mistake(
            "probabilities-not-logits",
            lambda z, f, a: f * (z - a),
            "a is taken for a probability. It is a logit, and may be any real number.",
        ),
        Mistake(
            "term-missing",
            lambda z, f, a: z * f * (1 - _sigmoid(a)),
            "A draw of 0 tells something, too: log q(0) depends on a.",
        ),
        Mistake(
            "term-missing",
            lambda z, f, a: f * z,
            "The score is not z alone. Its mean under q has to be 0.",
        ),
        Mistake(
            "term-sign",
            lambda z, f, a: f * (z - _sigmoid(-a)),
            "π and 1 - π have changed places: a large logit makes z = 1 likely.",
        ),
        Mistake(
            "term-wrong",
            lambda z, f, a: f * _sigmoid(a) * (1 - _sigmoid(a)) * (1 if z else -1),
            "This is f times the derivative of q(z). The score is the derivative of log q(z).",
        ),
        Mistake(
            "term-missing",
            lambda z, f, a: f * _sigmoid(a) * (1 - _sigmoid(a)),
            "This is the same for both draws: the score depends on the z that was drawn.",
        ),
        Mistake(
            "not-differentiable",
            lambda z, f, a: 0.0,
            "0 is what you get by moving the derivative inside: a draw of 0 or 1 has no slope. The score "
            "function goes another way.",
        ),
        Mistake(
            "term-missing",
            lambda z, f, a: z - _sigmoid(a),
            "This is the score alone: the value of f has no part in it.",
        ),
        Mistake(
            "term-wrong",
            lambda z, f, a: f * _log_q(z, a),
            "f is multiplied by log q(z) itself instead of by its derivative.",
        ),
    ],
)


def _sine(k: float) -> tuple[float, float, float]:
    """Both second moments and the gradient, by quadrature."""
    return (
        gaussian.expectation(lambda z: (np.sin(k * z) * z) ** 2, 0.0, 1.0),
        gaussian.expectation(lambda z: (k * np.cos(k * z)) ** 2, 0.0, 1.0),
        gaussian.expectation(lambda z: np.sin(k * z) * z, 0.0, 1.0),
    )


def _sines(change: Callable[..., tuple[float, float]]) -> Callable[[float], tuple[float, float]]:
    return lambda k: change(*_sine(k), k)


SINE = Task(
    exercise="Two variances for a sine",
    answer=_sines(lambda score, path, slope, k: (score - slope**2, path - slope**2)),
    cases=[(1.0,), (0.2,), (5.0,), (0.6,), (2.0,)],
    names=("k",),
    where="notebook 5, section 4",
    mistakes=[
        Mistake(
            "swapped",
            _sines(lambda score, path, slope, k: (path - slope**2, score - slope**2)),
            "The two numbers have changed places.",
        ),
        Mistake(
            "term-missing",
            _sines(lambda score, path, slope, k: (score, path)),
            "These are mean squares. A variance has the squared mean taken off.",
        ),
        Mistake(
            "std-for-var",
            _sines(lambda score, path, slope, k: (np.sqrt(score - slope**2), np.sqrt(path - slope**2))),
            "These are standard deviations; variances are asked for.",
        ),
        *(
            Mistake(
                "term-missing",
                _sines(
                    lambda score, path, slope, k, j=power: (score - slope**2, path / k**2 - slope**2 / k**j)
                ),
                "The inner derivative of sin(kz) is missing in the reparameterized estimate.",
            )
            for power in (0, 2)
        ),
        Mistake(
            "term-scale",
            _sines(lambda score, path, slope, k: (score - slope**2, path / k - slope**2)),
            "The inner derivative of sin(kz) has to be squared with the rest.",
        ),
        Mistake(
            "std-for-var",
            _sines(lambda score, path, slope, k: (score - slope, path - slope)),
            "The mean is taken off as it is: it has to be squared.",
        ),
        Mistake(
            "term-wrong",
            _sines(lambda score, path, slope, k: (0.5 * (1 - np.exp(-2 * k**2)), path - slope**2)),
            "The first number is the variance of f alone: the score multiplies it inside the expectation.",
        ),
        Mistake(
            "term-missing",
            _sines(lambda score, path, slope, k: (score - slope**2, path)),
            "The second number is a mean square. A variance has the squared mean taken off.",
        ),
        Mistake(
            "term-missing",
            _sines(lambda score, path, slope, k: (score, path - slope**2)),
            "The first number is a mean square. A variance has the squared mean taken off.",
        ),
    ],
)


def _by_differences(x: Array, W: Array, b: float, s: float, m: Array, L: Array, eps: Array) -> Array:
    """Central differences, which are exact for a quadratic, in every free entry of L."""

    def log_p(L: Array) -> float:
        residual = x - W @ (m + L @ eps) - b
        return float(-0.5 * residual @ residual / s**2)

    slopes = np.zeros_like(L)
    for i, j in zip(*np.tril_indices(len(L)), strict=True):
        step = np.zeros_like(L)
        step[i, j] = 0.5
        slopes[i, j] = log_p(L + step) - log_p(L - step)
    return slopes


def _slope_by_z(x: Array, W: Array, b: float, s: float, z: Array) -> Array:
    return W.T @ (x - W @ z - b) / s**2


def _outer(change: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    return lambda x, W, b, s, m, L, eps: change(_slope_by_z(x, W, b, s, m + L @ eps), eps)


def _full_case(observed: int, latent: int, seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    triangle = np.tril(np.round(rng.uniform(-0.8, 0.8, (latent, latent)), 1), -1) + np.diag(
        np.round(rng.uniform(0.4, 1.2, latent), 1)
    )
    x, weight, mean, eps = (
        np.round(rng.uniform(-2, 2, shape), 1) for shape in (observed, (observed, latent), latent, latent)
    )
    return x, weight, [0.2, -0.4, 1.0][seed % 3], [0.7, 1.3, 0.5][seed % 3], mean, triangle, eps


FULL = Task(
    exercise="A full covariance",
    answer=_by_differences,
    cases=[_full_case(1, 1, 1), _full_case(2, 2, 2), _full_case(3, 2, 3), _full_case(4, 3, 4)],
    names=("x", "W", "b", "s", "m", "L", "eps"),
    where="notebook 5, section 3",
    mistakes=[
        Mistake(
            "term-wrong",
            _outer(np.outer),
            "The entries above the diagonal of L are no parameters: they are 0 and stay 0.",
        ),
        Mistake(
            "swapped",
            _outer(lambda slope, eps: np.tril(np.outer(eps, slope))),
            "Rows and columns have changed places: which entries of z and of ε does L with the indices i, "
            "j connect?",
        ),
        Mistake(
            "swapped",
            _outer(lambda slope, eps: np.outer(eps, slope)),
            "Rows and columns have changed places, and the entries above the diagonal of L are no "
            "parameters.",
        ),
        Mistake(
            "term-missing",
            _outer(lambda slope, eps: np.diag(slope * eps)),
            "Only the diagonal is there: each z depends on all ε up to its own index.",
        ),
        Mistake(
            "noise-missing",
            lambda x, W, b, s, m, L, eps: np.tril(np.outer(_slope_by_z(x, W, b, s, m), eps)),
            "The slope of log p is taken at the mean, not at the z that was drawn.",
        ),
        Mistake(
            "noise-missing",
            _outer(lambda slope, eps: np.tril(np.outer(slope, np.ones_like(eps)))),
            "The noise has no part in the last step: what is the derivative of z by an entry of L?",
        ),
        Mistake(
            "term-missing",
            lambda x, W, b, s, m, L, eps: _by_differences(x, W, 0.0, s, m, L, eps),
            "The decoder's bias b has no part in your residual.",
        ),
        Mistake(
            "std-for-var",
            lambda x, W, b, s, m, L, eps: s * _by_differences(x, W, b, s, m, L, eps),
            "s stands where s² belongs.",
        ),
        Mistake(
            "term-missing",
            lambda x, W, b, s, m, L, eps: s**2 * _by_differences(x, W, b, s, m, L, eps),
            "The variance of the observation noise has no part in your gradient.",
        ),
        Mistake(
            "swapped",
            lambda x, W, b, s, m, L, eps: np.tril(np.outer(_slope_by_z(x, W, b, s, m + L.T @ eps), eps)),
            "z is made with the transpose of L.",
        ),
    ],
)
