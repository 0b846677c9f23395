"""The exercises of notebook 5, beside `check_reparameterize`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from vae_helpers.checks.engine.exercise import AnyOf, Exercise, Mistake
from vae_helpers.numerics import gaussian
from vae_helpers.numerics._validate import Array


def _mean(f: Callable[[Array], Array]) -> float:
    return gaussian.expectation(f, 0.0, 1.0)


def _baseline_by_quadrature(A: float, B: float, C: float, std: float) -> tuple[float, float]:
    """The variance is a parabola in c, with its lowest point at E[f s²] / E[s²] for the score s = ε / σ."""

    def f(e: Array) -> Array:
        return A + B * e + C * e**2

    best = _mean(lambda e: f(e) * (e / std) ** 2) / _mean(lambda e: (e / std) ** 2)
    mean = _mean(lambda e: (f(e) - best) * e / std)
    return best, _mean(lambda e: ((f(e) - best) * e / std - mean) ** 2)


def _baseline_by_formula(
    A: float, B: float, C: float, std: float, *, c=(1, 3), at=None, squared_mean=1, over=np.square
) -> tuple[float, float]:
    """((A - c)² + 6 (A - c) C + 15 C² + 3 B² - B²) / σ², of which B² is the mean's, is lowest at A + 3 C.

    c, and another one `at` which the variance is taken, are written as multiples of A and C.
    """
    level = A - np.dot(at or c, (A, C))
    variance = level**2 + 6 * level * C + 15 * C**2 + (3 - squared_mean) * B**2
    return np.dot(c, (A, C)), variance / over(std)


check_best_baseline = Exercise(
    title="The best baseline",
    takes="the numbers A, B, C and std, where f(μ + σε) = A + Bε + Cε²",
    returns="(c, variance): the c for which (f(z) - c) ε / σ has the smallest variance, and that variance",
    source="Mohamed et al. 2020, section 7.4 (control variates)",
    where="notebook 5, section 4",
    truth=_baseline_by_quadrature,
    program=_baseline_by_formula,
    cases=[
        (0.0, 0.0, 1.0, 1.0),
        (1.0, 2.0, -1.0, 0.5),
        (-1.611, 1.68, -0.72, 0.6),
        (-100.0, 3.0, 0.5, 2.0),
        (2.0, -1.0, 0.0, 0.3),
    ],
    mistakes=[
        "The mean of f is the natural baseline, not the best one: it leaves a larger variance. Minimise "
        "over c.",
        Mistake("term-scale", c=(1, 1), at=AnyOf(None, (1, 3))),
        "Your c is f at the mean. It removes the level there, but f is not flat around it.",
        Mistake("term-missing", c=(1, 0)),
        "One sign got lost when you solved for c: it is A - c that has to be minus something.",
        Mistake("term-sign", c=(1, -3), at=AnyOf(None, (1, 3))),
        "This is A - c, not yet c.",
        Mistake("term-missing", c=(0, -3), at=(1, 3)),
        "The second number is the mean square; for the variance the squared mean is missing.",
        Mistake("term-missing", squared_mean=0),
        "c is right, but the second number is not the variance at this c: what becomes of all the terms "
        "with A - c there?",
        Mistake("term-wrong", at=AnyOf((1, 0), (0, 0), (1, 1))),
        "The score is ε/σ. Where is σ in your variance?",
        Mistake("term-missing", over=np.ones_like),
        "σ stands where σ² belongs: a variance scales with the square.",
        Mistake("std-for-var", over=float),
        "The second number is a standard deviation; the variance is asked for.",
        Mistake("std-for-var", then=lambda pair: (pair[0], np.sqrt(pair[1]))),
        "The numbers have changed places.",
        Mistake("swapped", then=lambda pair: pair[::-1]),
    ],
)


def _score_by_differences(z: float, f_z: float, a: float) -> float:
    """f(z) times the derivative of log q(z), taken numerically."""

    def log_q(a: float) -> float:
        return -np.logaddexp(0.0, -a if z else a)

    h = 1e-4
    return f_z * (log_q(a + h) - log_q(a - h)) / (2 * h)


def _score_by_formula(
    z: float, f_z: float, a: float, *, pi=special.expit, score=lambda z, pi: z - pi, weight=float
) -> float:
    """The derivative of z log π + (1 - z) log(1 - π) by the logit is z - π."""
    return weight(f_z) * score(z, pi(a))


check_score_estimate = Exercise(
    title="The score function of a discrete latent",
    takes="the draw z (0 or 1), f_z, the value of f at z, and the logit a of q(z = 1)",
    returns="the score-function estimate of ∂E[f(z)]/∂a from this one draw, one number",
    source="Williams 1992, section 4 (Bernoulli units)",
    where="notebook 5, section 2",
    truth=_score_by_differences,
    program=_score_by_formula,
    cases=[(1, 1.0, 0.0), (0, 1.0, 0.0), (1, -1.2, 0.4), (0, -3.0, 0.4), (1, 2.5, -1.5), (0, 0.7, 2.0)],
    mistakes=[
        "This is the derivative by the probability. The parameter is the logit: one factor of the chain "
        "rule is missing.",
        Mistake("term-wrong", score=lambda z, pi: z / pi - (1 - z) / (1 - pi)),
        "a is taken for a probability. It is a logit, and may be any real number.",
        Mistake("probabilities-not-logits", pi=float),
        "A draw of 0 tells something, too: log q(0) depends on a.",
        Mistake("term-missing", score=lambda z, pi: z * (1 - pi)),
        "The score is not z alone. Its mean under q has to be 0.",
        Mistake("term-missing", score=lambda z, pi: z),
        "π and 1 - π have changed places: a large logit makes z = 1 likely.",
        Mistake("term-sign", pi=lambda a: special.expit(-a)),
        "This is f times the derivative of q(z). The score is the derivative of log q(z).",
        Mistake("term-wrong", score=lambda z, pi: (2 * z - 1) * pi * (1 - pi)),
        "This is the same for both draws: the score depends on the z that was drawn.",
        Mistake("term-missing", score=lambda z, pi: pi * (1 - pi)),
        "0 is what you get by moving the derivative inside: a draw of 0 or 1 has no slope. The score "
        "function goes another way.",
        Mistake("not-differentiable", score=lambda z, pi: 0.0),
        "This is the score alone: the value of f has no part in it.",
        Mistake("term-missing", weight=np.ones_like),
        "f is multiplied by log q(z) itself instead of by its derivative.",
        Mistake("term-wrong", score=lambda z, pi: np.log(pi if z else 1 - pi)),
    ],
)


def _slopes_by_differences(mu: float, std: float, t: float, h: float) -> tuple[float, float]:
    """The path's slopes by quadrature, and E[f(z)] = μ² + σ² + h P(z > t) by central differences."""

    def mean_of_f(mu: float) -> float:
        return mu**2 + std**2 + h * special.ndtr((mu - t) / std)

    step = 1e-4 * std
    exact = (mean_of_f(mu + step) - mean_of_f(mu - step)) / (2 * step)
    return _mean(lambda e: 2 * (mu + std * e)), exact


def _density(t: float, mu: float, std: float) -> float:
    return np.exp(-0.5 * ((t - mu) / std) ** 2) / (np.sqrt(2 * np.pi) * std)


def _slopes_by_formula(
    mu: float, std: float, t: float, h: float, *, smooth=2, seen=0, jump=1, height=float, density=_density
) -> tuple[float, float]:
    """2 μ by the path, which does not see the jump, and 2 μ + h N(t; μ, σ²)."""
    missed = height(h) * density(t, mu, std)
    return smooth * mu + seen * missed, smooth * mu + jump * missed


check_slopes_at_a_jump = Exercise(
    title="A jump in f",
    takes="the numbers mu, std, t and h, where f(z) = z², plus h wherever z > t, and z ~ N(mu, std²)",
    returns="(the mean of the reparameterized estimate of ∂E[f(z)]/∂mu, that slope itself)",
    source="Mohamed et al. 2020, section 5.3 (when the pathwise estimate is unbiased)",
    where="notebook 5, section 5",
    truth=_slopes_by_differences,
    program=_slopes_by_formula,
    cases=[
        (0.0, 1.0, 0.0, 1.0),
        (2.0, 1.0, 1.5, 3.0),
        (-1.0, 0.5, -0.6, 2.0),
        (0.5, 2.0, -1.0, -10.0),
        (1.2, 0.7, 2.0, 0.5),
    ],
    mistakes=[
        "Your first number knows of the jump. The path estimate is f'(z) at the drawn points: what is f' "
        "there, on either side of t?",
        Mistake("term-wrong", seen=AnyOf(1, -1)),
        "Your second number is what the path sees. When μ moves, draws cross t, and the mean of f moves with "
        "them.",
        Mistake("term-missing", jump=0),
        "The numbers have changed places.",
        Mistake("swapped", then=lambda pair: pair[::-1]),
        "The jump's part has the wrong sign: when μ rises, more draws lie above t.",
        Mistake("term-sign", jump=-1),
        "P(z > t) is in your slope itself. How fast does this probability change with μ?",
        Mistake("term-wrong", density=lambda t, mu, std: special.ndtr((mu - t) / std)),
        "The inner derivative is missing: (μ - t)/σ changes by 1/σ when μ changes by 1.",
        Mistake("term-missing", density=lambda t, mu, std: std * _density(t, mu, std)),
        "σ² stands where σ belongs.",
        Mistake("var-for-std", density=lambda t, mu, std: _density(t, mu, std**2)),
        "The density is that of q, whose mean is μ.",
        Mistake("term-missing", density=lambda t, mu, std: _density(t, 0.0, std)),
        "The density is that of q, at t. You took the standard normal's.",
        Mistake("term-wrong", density=lambda t, mu, std: _density(t, 0.0, 1.0)),
        "The height of the jump has no part in your answer.",
        Mistake("term-missing", height=np.ones_like),
        "z² has a slope, too: the smooth part is missing.",
        Mistake("term-missing", smooth=0),
        "The derivative of z² is 2z.",
        Mistake("term-scale", smooth=1),
    ],
)


def _path_by_differences(x: Array, W: Array, b: float, s: float, m: Array, L: Array, eps: Array) -> Array:
    """Central differences, which are exact for a quadratic, in every free entry of L."""

    def log_p(L: Array) -> float:
        return -0.5 * np.sum((x - W @ (m + L @ eps) - b) ** 2) / s**2

    slopes = np.zeros_like(L)
    for entry in zip(*np.tril_indices_from(L), strict=True):
        step = np.zeros_like(L)
        step[entry] = 0.5
        slopes[entry] = log_p(L + step) - log_p(L - step)
    return slopes


def _path_by_chain_rule(
    *case: Any, factor=np.asarray, bias=1, power=2, noise=np.asarray, free=np.tril
) -> Array:
    """The slope of log p at z, times ∂z_i/∂L_ij = ε_j where j ≤ i."""
    x, W, b, s, m, L, eps = case
    z = m + factor(L) @ eps
    slope = W.T @ (x - W @ z - bias * b) / s**power
    return free(np.outer(slope, noise(eps)))


def _full_case(observed: int, latent: int, b: float, s: float, seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)

    def uniform(low: float, high: float, *shape: int) -> Array:
        return np.round(rng.uniform(low, high, shape), 1)

    L = np.tril(uniform(-0.8, 0.8, latent, latent), -1) + np.diag(uniform(0.4, 1.2, latent))
    x, W = uniform(-2, 2, observed), uniform(-2, 2, observed, latent)
    return x, W, b, s, uniform(-2, 2, latent), L, uniform(-2, 2, latent)


check_path_gradient = Exercise(
    title="A full covariance",
    takes="x (D,), W (D, d), the numbers b and s, m (d,), L (d, d), lower triangular, and eps (d,)",
    returns="the reparameterized gradient of log N(x; W z + b, s² I) by L at z = m + L ε, lower triangular",
    source="Rezende et al. 2014, section 3 (Gaussian gradient identities)",
    where="notebook 5, section 2",
    truth=_path_by_differences,
    program=_path_by_chain_rule,
    cases=[
        _full_case(1, 1, -0.4, 1.3, seed=1),
        _full_case(2, 2, 1.0, 0.5, seed=2),
        _full_case(3, 2, 0.2, 0.7, seed=3),
        _full_case(4, 3, -0.4, 1.3, seed=4),
    ],
    mistakes=[
        "The entries above the diagonal of L are no parameters: they are 0 and stay 0.",
        Mistake("term-wrong", free=np.asarray),
        "Rows and columns have changed places: which entries of z and of ε does L with the indices i, j "
        "connect?",
        Mistake("swapped", free=lambda slopes: np.tril(slopes.T)),
        "Rows and columns have changed places, and the entries above the diagonal of L are no parameters.",
        Mistake("swapped", free=np.transpose),
        "Only the diagonal is there: each z depends on all ε up to its own index.",
        Mistake("term-missing", free=lambda slopes: np.diag(np.diag(slopes))),
        "The slope of log p is taken at the mean, not at the z that was drawn.",
        Mistake("noise-missing", factor=np.zeros_like),
        "The noise has no part in the last step: what is the derivative of z by an entry of L?",
        Mistake("noise-missing", noise=np.ones_like),
        "The decoder's bias b has no part in your residual.",
        Mistake("term-missing", bias=0),
        "s stands where s² belongs.",
        Mistake("std-for-var", power=1),
        "The variance of the observation noise has no part in your gradient.",
        Mistake("term-missing", power=0),
        "z is made with the transpose of L.",
        Mistake("swapped", factor=np.transpose),
    ],
)
