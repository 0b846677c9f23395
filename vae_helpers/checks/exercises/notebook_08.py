"""The checks of notebook 8's exercises."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special, stats

from vae_helpers.checks.engine.exercise import Extremes, Mistake, Task, check_task
from vae_helpers.checks.engine.report import Report
from vae_helpers.checks.parts.elbo.probe_models import on_copies, small_vae
from vae_helpers.models.vae import VAE
from vae_helpers.numerics import gaussian

Array = NDArray[np.float64]


def check_grouped_bound(fn: Callable[..., Any]) -> Report:
    """Checks a function for the importance-weighted bound with k draws from a table of more of them.

    Args:
        fn: takes log_w, log-weights of shape (K, batch), and k, a number of draws that divides K; the
            first k rows are the first group, and so on. Returns the average of the groups' bounds, in
            nats, shape (batch,).

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Burda, Grosse & Salakhutdinov 2016, eq. 8.
    """
    return check_task(fn, GROUPED_BOUND)


def check_effective_draws(fn: Callable[..., Any]) -> Report:
    """Checks a function for the effective number of draws.

    Args:
        fn: takes log_w, log-weights of shape (k, batch); returns (Σ w)² / Σ w² of each image, shape
            (batch,).

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Owen 2013, chapter 9 (the effective sample size of importance sampling).
    """
    return check_task(fn, EFFECTIVE_DRAWS)


def check_evidence_and_doubt(fn: Callable[..., Any]) -> Report:
    """Checks a function for log p(x) on a square grid and the difference that every second point makes.

    Args:
        fn: takes log_joint, log p(x, z) on a square grid of points, shape (n, n) with n odd, in nats,
            and step, the distance of neighbours, a number. Returns log p(x) by the sum over all points,
            and the absolute difference in nats to that by every second point of each axis, the first
            one included: two numbers.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Trefethen & Weideman 2014, section 5 (the trapezoidal rule over the real line).
    """
    return check_task(fn, EVIDENCE_AND_DOUBT)


def check_approximation_gap(fn: Callable[..., Any]) -> Report:
    """Checks a function for the approximation gap of a Gaussian posterior with correlated latents.

    Args:
        fn: takes cov, the covariance matrix of the posterior, shape (d, d); returns the smallest
            KL(q, posterior) of all Gaussians q with a diagonal covariance, in nats, a number.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Bishop 2006, section 10.1.2 (a factorized approximation of a Gaussian).
    """
    return check_task(fn, APPROXIMATION_GAP)


def check_safe_bound(fn: Callable[..., Any]) -> Report:
    """Checks a function for the importance-weighted bound by draws of q and of the prior together.

    Args:
        fn: takes a Bernoulli VAE; x of shape (batch, D); eps, standard normal noise of shape
            (n, batch, d), for draws from q; fresh, m draws from the prior for each image, shape
            (m, batch, d). Returns the bound by all n + m draws, each weighted by p(x, z) over the
            density of the mixture from which n + m draws contain n of q, in nats, shape (batch,).

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Owen 2013, chapter 9 (mixture importance sampling).
    """
    return check_task(on_copies(fn), _safe_bound_task())


def _groups(log_w: Array, k: float) -> list[Array]:
    """The rows in groups of k, one after another."""
    return [log_w[start : start + int(k)] for start in range(0, len(log_w), int(k))]


def _bound(log_w: Array) -> Array:
    return special.logsumexp(log_w, axis=0, b=1 / len(log_w))


def _grouped_bound(log_w: Array, k: float) -> Array:
    return np.mean([_bound(group) for group in _groups(log_w, k)], axis=0)


def _log_weights(seed: int, shape: tuple[int, int], level: float = -4.0) -> Array:
    return np.round(level + 1.5 * np.random.default_rng(seed).standard_normal(shape), 2)


GROUPED_BOUND = Task(
    exercise="The bound from groups of draws",
    answer=_grouped_bound,
    cases=[
        (np.log([[1.0], [3.0]]), 2),
        (np.log([[1.0], [3.0], [2.0], [6.0]]), 2),
        (_log_weights(1, (6, 2)), 3),
        (_log_weights(2, (12, 3)), 2),
        (_log_weights(3, (8, 2)), 1),
        (_log_weights(4, (20, 4)), 10),
    ],
    names=("log_w", "k"),
    mistakes=[
        Mistake(
            "term-missing",
            lambda log_w, k: _grouped_bound(log_w, k) + np.log(k),
            "The weights of a group are added up, but not averaged.",
        ),
        Mistake(
            "term-wrong",
            lambda log_w, k: _grouped_bound(log_w, k) + np.log(k) - np.log(len(log_w)),
            "Each group's sum is divided by the number of all draws. How many are in one group?",
        ),
        Mistake(
            "term-wrong",
            lambda log_w, k: log_w.mean(axis=0),
            "The logarithms are averaged: that is the bound with one draw, the ELBO, for every k.",
        ),
        Mistake(
            "term-wrong",
            lambda log_w, k: _bound(log_w),
            "This is the bound with all draws in one group: k is not used.",
        ),
        Mistake(
            "term-missing",
            lambda log_w, k: _bound(log_w[: int(k)]),
            "This is the bound of the first group. The others know something, too.",
        ),
        Mistake(
            "swapped",
            lambda log_w, k: _grouped_bound(log_w, len(log_w) // int(k)),
            "You make k groups. Asked for are groups of k draws.",
        ),
        Mistake(
            "term-wrong",
            lambda log_w, k: np.mean(
                [_bound(log_w[start :: len(log_w) // int(k)]) for start in range(len(log_w) // int(k))],
                axis=0,
            ),
            "A group takes its draws from all over the table. That is as good a bound, but not the one asked "
            "for: the first k rows are the first group.",
        ),
        Mistake(
            "term-scale",
            lambda log_w, k: np.sum([_bound(group) for group in _groups(log_w, k)], axis=0),
            "The bounds of the groups are added up. One more group should only make their average surer.",
        ),
    ],
    extremes=Extremes(
        cases=[
            (np.array([[-900.0], [-901.0]]), 2),
            (np.array([[-130.0, 800.0], [-131.0, 790.0], [-950.0, 1.0], [-940.0, 2.0]]), 2),
            (np.array([[-2000.0], [-3000.0], [-2500.0]]), 1),
        ],
        cause="Right for moderate weights. An image of 784 pixels has weights such as e^-900, which no "
        "computer holds.",
    ),
    where="notebook 8, section 3",
)


def _effective(log_w: Array) -> Array:
    """By the normalised weights: one over the sum of their squares."""
    return 1 / (special.softmax(log_w, axis=0) ** 2).sum(axis=0)


def _by_logs(log_w: Array) -> Array:
    return log_w.sum(axis=0) ** 2 / (log_w**2).sum(axis=0)


EFFECTIVE_DRAWS = Task(
    exercise="The effective number of draws",
    answer=_effective,
    cases=[
        (np.log([[1.0], [3.0]]),),
        (_log_weights(5, (3, 2)),),
        (_log_weights(6, (7, 3), 1.0),),
        (_log_weights(7, (20, 4), -2.0),),
    ],
    names=("log_w",),
    mistakes=[
        Mistake(
            "swapped",
            lambda log_w: 1 / _effective(log_w),
            "The fraction is upside down: for equal weights all draws count.",
        ),
        Mistake(
            "term-scale",
            lambda log_w: _effective(log_w) / len(log_w),
            "This is the share of the draws that count. Asked for is their number.",
        ),
        Mistake("not-log", _by_logs, "The logarithms are taken for the weights."),
        Mistake(
            "term-wrong",
            lambda log_w: np.exp(special.logsumexp(log_w, axis=0) - special.logsumexp(2 * log_w, axis=0)),
            "The sum in the numerator is not squared: your number changes when all weights are doubled.",
        ),
        Mistake(
            "term-wrong",
            lambda log_w: 1 / special.softmax(log_w, axis=0).max(axis=0),
            "This is the sum over the largest weight. It asks less than the sum of squares.",
        ),
        Mistake(
            "term-wrong",
            lambda log_w: np.exp(special.entr(special.softmax(log_w, axis=0)).sum(axis=0)),
            "This is the exponential of the entropy of the normalised weights: another count, not this one.",
        ),
        Mistake(
            "term-wrong",
            lambda log_w: special.logsumexp(log_w, axis=0) * 2 - special.logsumexp(2 * log_w, axis=0),
            "This is the logarithm of the number.",
        ),
    ],
    extremes=Extremes(
        cases=[
            (np.array([[-900.0], [-901.0]]),),
            (np.array([[-800.0, 700.0], [-803.0, 699.0], [-801.0, 698.0]]),),
            (np.array([[-1500.0], [-1500.0], [-1500.0], [-9000.0]]),),
        ],
        cause="Right for moderate weights. Weights of images are smaller than any number that a computer "
        "holds; but only their ratios matter.",
    ),
    where="notebook 8, section 3",
)


def _log_sum(log_joint: Array, step: float) -> float:
    """The sum over all points, row after row."""
    return float(special.logsumexp([special.logsumexp(row) for row in log_joint]) + np.log(step**2))


def _evidence(
    log_joint: Array,
    step: float,
    total: Callable[[Array, float], float] = _log_sum,
    coarser: float = 2.0,
    rows: int = 2,
) -> tuple[float, float]:
    """Both numbers, with each step open to a mistake."""
    fine = total(log_joint, step)
    return fine, abs(total(log_joint[::rows, ::2], coarser * step) - fine)


def _grid(seed: int, size: int, step: float, level: float = -3.0) -> tuple[Array, float]:
    """A correlated Gaussian, about as wide as the step."""
    rng = np.random.default_rng(seed)
    z = step * (np.arange(size) - size // 2) - rng.uniform(-step, step)
    a, b, c = rng.uniform(0.3, 0.6, 3) / step**2
    return np.round(level - a * z[:, None] ** 2 - b * z**2 - 0.8 * c * z[:, None] * z, 3), step


EVIDENCE_AND_DOUBT = Task(
    exercise="The evidence and its doubt",
    answer=_evidence,
    cases=[
        (np.log([[1.0, 2.0, 1.0], [2.0, 5.0, 2.0], [1.0, 2.0, 1.0]]), 0.5),
        _grid(1, 5, 0.5),
        _grid(2, 7, 0.2),
        _grid(3, 9, 1.3, 2.0),
    ],
    names=("log_joint", "step"),
    mistakes=[
        Mistake(
            "term-missing",
            lambda log_joint, step: _evidence(log_joint, step, lambda j, h: float(special.logsumexp(j))),
            "The step is missing: a sum is no integral before it is multiplied by the area of a cell.",
        ),
        Mistake(
            "term-scale",
            lambda log_joint, step: _evidence(
                log_joint, step, lambda j, h: float(special.logsumexp(j) + np.log(h))
            ),
            "A cell of the plane has two sides.",
        ),
        Mistake(
            "term-sign",
            lambda log_joint, step: _evidence(
                log_joint, step, lambda j, h: float(special.logsumexp(j) - 2 * np.log(h))
            ),
            "You divide by the area of a cell.",
        ),
        Mistake(
            "term-wrong",
            functools.partial(_evidence, coarser=1.0),
            "The coarse sum has fewer points, and each stands for a larger cell.",
        ),
        Mistake(
            "term-wrong",
            functools.partial(_evidence, coarser=np.sqrt(2)),
            "The coarse grid has twice the step on both axes: what is the area of its cells?",
        ),
        Mistake(
            "term-wrong",
            functools.partial(_evidence, coarser=np.sqrt(2), rows=1),
            "Every second point is left out on one axis only.",
        ),
        Mistake(
            "term-wrong",
            lambda log_joint, step: _evidence(
                log_joint, step, lambda j, h: float(special.logsumexp(j) - np.log(j.size))
            ),
            "You average over the points. The integral is their sum times the area of a cell.",
        ),
        Mistake(
            "sign",
            lambda log_joint, step: (_log_sum(log_joint, step), -_evidence(log_joint, step)[1]),
            "The doubt is a distance, and not negative.",
        ),
        Mistake(
            "term-wrong",
            lambda log_joint, step: (
                _log_sum(log_joint, step),
                abs(np.expm1(_log_sum(log_joint[::2, ::2], 2 * step) - _log_sum(log_joint, step))),
            ),
            "Your second number is the relative error of p(x); asked for is a difference of logarithms.",
        ),
        Mistake(
            "term-wrong",
            lambda log_joint, step: (
                _log_sum(log_joint, step),
                _log_sum(log_joint[::2, ::2], 2 * step),
            ),
            "Your second number is the coarse value itself; asked for is how far it is from the fine one.",
        ),
    ],
    extremes=Extremes(
        cases=[_grid(4, 5, 0.5, -900.0), _grid(5, 7, 0.3, -2000.0), _grid(6, 5, 0.5, 800.0)],
        cause="Right for likely images. For an image of 784 pixels p(x, z) is smaller than any number that a "
        "computer holds.",
    ),
    where="notebook 8, section 2",
)


def _best_diagonal(cov: Array) -> float:
    """The KL between two Gaussians with full covariances, q having the precision's diagonal."""
    variances = 1 / np.diag(np.linalg.inv(cov))
    return _kl_from(variances, cov)


def _kl_from(variances: Array, cov: Array) -> float:
    zero = np.zeros(len(cov))
    return float(gaussian.kl_full(zero, np.diag(variances), zero, cov))


def _first_pair(cov: Array) -> float:
    return float(-0.5 * np.log1p(-(cov[0, 1] ** 2) / (cov[0, 0] * cov[1, 1])))


def _covariance(seed: int, size: int, scale: float = 1.0) -> Array:
    mixing = np.random.default_rng(seed).normal(0, 1, (size, size + 1))
    return np.round(scale * (mixing @ mixing.T / size + 0.2 * np.eye(size)), 3)


APPROXIMATION_GAP = Task(
    exercise="The gap of the family",
    answer=_best_diagonal,
    cases=[
        (np.array([[1.0, 0.6], [0.6, 1.0]]),),
        (np.array([[0.5, -0.3], [-0.3, 2.0]]),),
        (_covariance(1, 3),),
        (_covariance(2, 4, 0.1),),
        (np.diag([0.2, 3.0, 1.0]),),
    ],
    names=("cov",),
    mistakes=[
        Mistake(
            "term-wrong",
            lambda cov: _kl_from(np.diag(cov), cov),
            "Your q has the posterior's own variances. That is too wide across the ridge: which widths does "
            "KL(q, posterior) like best?",
        ),
        Mistake(
            "reverse",
            lambda cov: float(0.5 * (np.log(np.diag(cov)).sum() - np.linalg.slogdet(cov)[1])),
            "This is the smallest KL(posterior, q), the divergence the other way round. For two latents the "
            "two happen to agree, for more they do not.",
        ),
        Mistake(
            "reverse",
            lambda cov: float(
                gaussian.kl_full(
                    np.zeros(len(cov)), cov, np.zeros(len(cov)), np.diag(1 / np.diag(np.linalg.inv(cov)))
                )
            ),
            "Your q is the right one, but the divergence is taken the other way round.",
        ),
        Mistake(
            "term-missing",
            _first_pair,
            "This sees the correlation of the first two latents only.",
        ),
        Mistake(
            "term-wrong",
            lambda cov: _kl_from(np.linalg.eigvalsh(cov), cov),
            "Your q has the variances along the ridge and across it, but its axes are those of the "
            "coordinates.",
        ),
        Mistake(
            "term-wrong",
            lambda cov: _kl_from(np.ones(len(cov)), cov),
            "Your q is the prior. The best one may have any variances.",
        ),
        Mistake(
            "term-missing",
            lambda cov: float(-0.5 * np.linalg.slogdet(cov)[1]),
            "This lacks the variances of q: for a posterior without correlation the gap is 0.",
        ),
    ],
    where="notebook 8, section 5",
)


def _safe_bound(
    model: VAE,
    x: Array,
    eps: Array,
    fresh: Array,
    *,
    share: Callable[[int, int], float] = lambda n, m: n / (n + m),
    density: str = "mixture",
    power: float = 0.5,
    reduce: Callable[..., Any] = lambda log_w: special.logsumexp(log_w, axis=0) - np.log(len(log_w)),
    with_prior: bool = True,
    pixels: Callable[..., Any] = np.sum,
) -> Array:
    """In float64, with SciPy's logistic and normal distributions; each step open to a mistake."""
    exact = copy.deepcopy(model).double()
    with torch.no_grad():
        mu, log_var = (part.numpy() for part in exact.encode(torch.from_numpy(x)))
        z = np.concatenate([mu + np.exp(power * log_var) * eps, fresh])
        a = exact.decode(torch.from_numpy(z)).numpy()
    log_px = pixels(np.where(x == 1, stats.logistic.logcdf(a), stats.logistic.logsf(a)), axis=-1)
    log_p = stats.norm.logpdf(z).sum(axis=-1)
    log_q = stats.norm.logpdf(z, mu, np.exp(log_var / 2)).sum(axis=-1)
    n, m = len(eps), len(fresh)
    part = share(n, m)
    below = {
        "mixture": np.logaddexp(np.log(part) + log_q, np.log1p(-part) + log_p),
        "own": np.concatenate([log_q[:n], log_p[n:]]),
        "q": log_q,
        "prior": log_p,
        "sum": np.logaddexp(log_q, log_p),
        "logs": part * log_q + (1 - part) * log_p,
    }[density]
    return reduce(log_px + (log_p if with_prior else 0.0) - below)


def _otherwise(**how: Any) -> Callable[..., Array]:
    return functools.partial(_safe_bound, **how)


def _only(part: str) -> Callable[..., Array]:
    def answer(model: VAE, x: Array, eps: Array, fresh: Array) -> Array:
        if part == "q":
            return _safe_bound(model, x, eps, fresh[:0], density="q")
        return _safe_bound(model, x, eps[:0], fresh, density="prior")

    return answer


_MISTAKES_IN_MIXING = [
    Mistake(
        "term-wrong",
        _otherwise(density="own"),
        "Each draw is divided by the density that it was drawn from. That is unbiased, but where q misses a "
        "draw of q may still have a huge weight. All draws together come from the mixture.",
    ),
    Mistake("term-wrong", _otherwise(density="q"), "All draws are divided by q, those of the prior, too."),
    Mistake(
        "term-wrong", _otherwise(density="prior"), "All draws are divided by the prior, those of q, too."
    ),
    Mistake(
        "term-missing",
        _otherwise(density="sum"),
        "The two densities are added without their shares: this mixture integrates to 2.",
    ),
    Mistake(
        "term-wrong",
        _otherwise(density="logs"),
        "The shares multiply logarithms. The density of a mixture is a sum of densities.",
    ),
    Mistake(
        "swapped",
        _otherwise(share=lambda n, m: m / (n + m)),
        "The shares have changed places: n of the n + m draws are those of q.",
    ),
    Mistake(
        "term-wrong",
        _otherwise(share=lambda n, m: 0.5),
        "The mixture is half and half, whatever the numbers of draws are.",
    ),
    Mistake(
        "term-wrong",
        _otherwise(reduce=lambda log_w: log_w.mean(axis=0)),
        "The logarithms of the weights are averaged; the average belongs inside the logarithm.",
    ),
    Mistake(
        "term-missing",
        _otherwise(reduce=lambda log_w: special.logsumexp(log_w, axis=0)),
        "The weights are added up, but not averaged.",
    ),
    Mistake(
        "term-missing",
        _otherwise(with_prior=False),
        "The weight lacks p(z): it is the joint p(x, z) that stands above.",
    ),
    Mistake("term-missing", _only("q"), "The draws of the prior are not used."),
    Mistake("term-missing", _only("prior"), "The draws of q are not used."),
    Mistake(
        "var-for-std", _otherwise(power=1.0), "The noise is scaled by σ², not by σ.", "notebook 5, section 6"
    ),
    Mistake(
        "mean-pixels",
        _otherwise(pixels=np.mean),
        "The log-likelihood is averaged over the pixels.",
        "notebook 6, section 3",
    ),
]


@functools.cache
def _safe_bound_task() -> Task:
    rng = np.random.default_rng(8)

    def case(seed: int, d: int, data_dim: int, batch: int, n: int, m: int) -> tuple[Any, ...]:
        x = rng.integers(0, 2, (batch, data_dim)).astype(float)
        noise = rng.standard_normal((n + m, batch, d))
        return small_vae(d, data_dim, seed), x, noise[:n], noise[n:]

    return Task(
        exercise="A bound that looks everywhere",
        answer=_safe_bound,
        cases=[
            case(1, 1, 4, 1, 2, 1),
            case(2, 2, 6, 2, 3, 2),
            case(3, 2, 8, 3, 2, 6),
            case(4, 3, 12, 5, 8, 4),
        ],
        names=("model", "x", "eps", "fresh"),
        mistakes=_MISTAKES_IN_MIXING,
        where="notebook 8, section 4",
        kinds=("torch float32",),
    )
