"""The exercises of notebook 8."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
import torch
from scipy import special
from torch import Tensor
from torch.distributions import Normal

from vae_helpers.checks.engine.exercise import Case, Exercise, Extremes, Mistake
from vae_helpers.checks.exercises._models import encoded, in_torch, log_likelihood, log_mean
from vae_helpers.checks.exercises._shared import kl_of_covariances
from vae_helpers.checks.parts.elbo.probe_models import small_vae
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import Array


def _group_by_group(log_r: Array, k: int) -> Array:
    groups = [log_r[start : start + k] for start in range(0, len(log_r), k)]
    return np.mean([special.logsumexp(group, axis=0, b=1 / k) for group in groups], axis=0)


def _by_an_axis_of_groups(
    log_r: Array,
    k: int,
    *,
    groups=lambda log_r, k: log_r.reshape(-1, k, log_r.shape[1]),
    divisor=lambda groups: groups.shape[1],
    average=np.mean,
) -> Array:
    """With the rows as an array (group, draw, batch)."""
    grouped = groups(log_r, k)
    return average(np.logaddexp.reduce(grouped, axis=1) - np.log(divisor(grouped)), axis=0)


def _log_ratios(seed: int, shape: tuple[int, int], level: float = -4.0) -> Array:
    return np.round(level + 1.5 * np.random.default_rng(seed).standard_normal(shape), 2)


check_grouped_bound = Exercise(
    title="The bound from groups of draws",
    takes="log_r, log-ratios of shape (K, batch), and k, a divisor of K: each k rows in turn are a group",
    returns="the average of the groups' bounds, in nats, shape (batch,)",
    source="Burda, Grosse & Salakhutdinov 2016, eq. 8",
    where="notebook 8, section 3",
    truth=_group_by_group,
    program=_by_an_axis_of_groups,
    cases=[
        (np.log([[1.0], [3.0]]), 2),
        (np.log([[1.0], [3.0], [2.0], [6.0]]), 2),
        (_log_ratios(1, (6, 2)), 3),
        (_log_ratios(2, (12, 3)), 2),
        (_log_ratios(3, (8, 2)), 1),
        (_log_ratios(4, (20, 4)), 10),
    ],
    mistakes=[
        "The ratios of a group are added up, but not averaged.",
        Mistake("term-missing", divisor=lambda groups: 1),
        "Each group's sum is divided by the number of all draws. How many are in one group?",
        Mistake("term-wrong", divisor=lambda groups: groups.shape[0] * groups.shape[1]),
        "The logarithms are averaged: that is the bound with one draw, the ELBO, for every k.",
        Mistake("term-wrong", groups=lambda log_r, k: log_r[:, None]),
        "This is the bound with all draws in one group: k is not used.",
        Mistake("term-wrong", groups=lambda log_r, k: log_r[None]),
        "This is the bound of the first group. The others know something, too.",
        Mistake("term-missing", groups=lambda log_r, k: log_r[None, :k]),
        "You make k groups. Asked for are groups of k draws.",
        Mistake("swapped", groups=lambda log_r, k: log_r.reshape(k, -1, log_r.shape[1])),
        "A group takes its draws from all over the table. That is as good a bound, but not the one asked "
        "for: the first k rows are the first group.",
        Mistake("term-wrong", groups=lambda log_r, k: np.stack(np.split(log_r, k), axis=1)),
        "The bounds of the groups are added up. One more group should only make their average surer.",
        Mistake("term-scale", average=np.sum),
    ],
    extremes=Extremes(
        cases=[
            (np.array([[-900.0], [-901.0]]), 2),
            (np.array([[-130.0, 800.0], [-131.0, 790.0], [-950.0, 1.0], [-940.0, 2.0]]), 2),
            (np.array([[-2000.0], [-3000.0], [-2500.0]]), 1),
        ],
        cause="Right for moderate ratios. An image of 784 pixels has ratios such as e^-900, which no "
        "computer holds.",
    ),
)


def _by_shares(
    log_r: Array, *, normalised=1, weights=np.exp, power=2, below=lambda w: (w**2).sum(axis=0)
) -> Array:
    """(Σ w)² / Σ w²; a common factor cancels, and those that add up to 1 can be held."""
    w = weights(log_r - normalised * special.logsumexp(log_r, axis=0))
    return w.sum(axis=0) ** power / below(w)


check_effective_draws = Exercise(
    title="The effective number of draws",
    takes="log_r, log-ratios of shape (k, batch)",
    returns="(Σ w)² / Σ w² of each image, shape (batch,)",
    source="Owen 2013, chapter 9 (importance sampling diagnostics)",
    where="notebook 8, section 3",
    truth=lambda log_r: np.exp(2 * special.logsumexp(log_r, axis=0) - special.logsumexp(2 * log_r, axis=0)),
    program=_by_shares,
    cases=[
        (np.log([[1.0], [3.0]]),),
        (_log_ratios(5, (3, 2)),),
        (_log_ratios(6, (7, 3), 1.0),),
        (_log_ratios(7, (20, 4), -2.0),),
    ],
    mistakes=[
        "The fraction is upside down: for equal ratios all draws count.",
        Mistake("swapped", then=np.reciprocal),
        "This is the share of the draws that count. Asked for is their number.",
        Mistake("term-scale", below=lambda w: len(w) * (w**2).sum(axis=0)),
        "The logarithms are taken for the ratios.",
        Mistake("not-log", normalised=0, weights=np.positive),
        "The sum in the numerator is not squared: your number changes when all ratios are doubled.",
        Mistake("term-wrong", normalised=0, power=1),
        "This is the sum over the largest ratio. It asks less than the sum of squares.",
        Mistake("term-wrong", below=lambda w: w.max(axis=0)),
        "This is the exponential of the entropy of the normalised ratios: another count, not this one.",
        Mistake("term-wrong", below=lambda w: np.exp(-special.entr(w).sum(axis=0))),
        "This is the logarithm of the number.",
        Mistake("term-wrong", then=np.log),
    ],
    extremes=Extremes(
        cases=[
            (np.array([[-900.0], [-901.0]]),),
            (np.array([[-800.0, 700.0], [-803.0, 699.0], [-801.0, 698.0]]),),
            (np.array([[-1500.0], [-1500.0], [-1500.0], [-9000.0]]),),
        ],
        cause="Right for moderate ratios. Those of images are smaller than any number that a computer "
        "holds; but only their shares of the sum matter.",
    ),
)


def _by_the_peak(log_joint: Array, step: float) -> tuple[float, float]:
    """With the largest of the numbers taken out, the others can be added as they are."""
    p = np.exp(log_joint - log_joint.max())
    second = 1 - np.arange(len(p)) % 2
    fine, coarse = p.sum(), 4 * second @ p @ second
    return float(log_joint.max() + np.log(step**2 * fine)), abs(float(np.log(coarse / fine)))


def _by_two_sums(
    log_joint: Array, step: float, *, sides=2, points=0, coarser=2, rows=2, less_fine=1, doubt=abs
) -> tuple[float, float]:
    """The logarithms of two sums, the area of a cell added to each."""

    def total(values: Array, step: float) -> float:
        return float(special.logsumexp(values) + np.log(step**sides * values.size**points))

    fine, coarse = total(log_joint, step), total(log_joint[::rows, ::2], coarser * step)
    return fine, doubt(coarse - less_fine * fine)


def _grid(seed: int, size: int, step: float, level: float = -3.0) -> tuple[Array, float]:
    """A correlated Gaussian, about as wide as the step."""
    rng = np.random.default_rng(seed)
    z = step * (np.arange(size) - size // 2) - rng.uniform(-step, step)
    a, b, c = rng.uniform(0.3, 0.6, 3) / step**2
    return np.round(level - a * z[:, None] ** 2 - b * z**2 - 0.8 * c * z[:, None] * z, 3), step


check_evidence_and_doubt = Exercise(
    title="The evidence and its doubt",
    takes="log_joint, log p(x, z) in nats on a square grid of shape (n, n), n odd, and step, its spacing",
    returns=(
        "log p(x) by the sum over all points, and the absolute difference in nats to that by every second "
        "point of each axis, the first one included: two numbers"
    ),
    source="Trefethen & Weideman 2014, section 5 (the trapezoidal rule over the real line)",
    where="notebook 8, section 2",
    truth=_by_the_peak,
    program=_by_two_sums,
    cases=[
        (np.log([[1.0, 2.0, 1.0], [2.0, 5.0, 2.0], [1.0, 2.0, 1.0]]), 0.5),
        _grid(1, 5, 0.5),
        _grid(2, 7, 0.2),
        _grid(3, 9, 1.3, 2.0),
    ],
    mistakes=[
        "The step is missing: a sum is no integral before it is multiplied by the area of a cell.",
        Mistake("term-missing", sides=0),
        "A cell of the plane has two sides.",
        Mistake("term-scale", sides=1),
        "You divide by the area of a cell.",
        Mistake("term-sign", sides=-2),
        "The coarse sum has fewer points, and each stands for a larger cell.",
        Mistake("term-wrong", coarser=1),
        "The coarse grid has twice the step on both axes: what is the area of its cells?",
        Mistake("term-wrong", coarser=np.sqrt(2)),
        "Every second point is left out on one axis only.",
        Mistake("term-wrong", coarser=np.sqrt(2), rows=1),
        "You average over the points. The integral is their sum times the area of a cell.",
        Mistake("term-wrong", sides=0, points=-1),
        "The doubt is a distance, and not negative.",
        Mistake("sign", doubt=lambda off: -abs(off)),
        "Your second number is the relative error of p(x); asked for is a difference of logarithms.",
        Mistake("term-wrong", doubt=lambda off: abs(np.expm1(off))),
        "Your second number is the coarse value itself; asked for is how far it is from the fine one.",
        Mistake("term-wrong", less_fine=0, doubt=float),
    ],
    extremes=Extremes(
        cases=[_grid(4, 5, 0.5, -900.0), _grid(5, 7, 0.3, -2000.0), _grid(6, 5, 0.5, 800.0)],
        cause="Right for likely images. For an image of 784 pixels p(x, z) is smaller than any number that a "
        "computer holds.",
    ),
)


def _by_determinants(cov: Array) -> float:
    """A latent's variance when all others are known is det Σ over the determinant of the others' part."""
    others = [np.delete(np.delete(cov, i, axis=0), i, axis=1) for i in range(len(cov))]
    log_variances = np.linalg.slogdet(cov)[1] - np.linalg.slogdet(others)[1]
    return float(0.5 * (np.linalg.slogdet(cov)[1] - log_variances.sum()))


def _of_the_best_variances(
    cov: Array, *, variances=lambda cov: 1 / np.diag(np.linalg.inv(cov)), divergence=kl_of_covariances
) -> float:
    """The derivative of KL(q, posterior) is zero where σ² is one over the diagonal of the precision."""
    return divergence(np.diag(variances(cov)), cov)


def _covariance(seed: int, size: int, scale: float = 1.0) -> Array:
    mixing = np.random.default_rng(seed).normal(0, 1, (size, size + 1))
    return np.round(scale * (mixing @ mixing.T / size + 0.2 * np.eye(size)), 3)


check_approximation_gap = Exercise(
    title="The gap of the family",
    takes="cov, the covariance matrix of the posterior, shape (d, d)",
    returns="the smallest KL(q, posterior) of all Gaussians q with a diagonal covariance, in nats, a number",
    source="Bishop 2006, section 10.1.2 (a factorized approximation of a Gaussian)",
    where="notebook 8, section 4",
    truth=_by_determinants,
    program=_of_the_best_variances,
    cases=[
        (np.array([[1.0, 0.6], [0.6, 1.0]]),),
        (np.array([[0.5, -0.3], [-0.3, 2.0]]),),
        (_covariance(1, 3),),
        (_covariance(2, 4, 0.1),),
        (np.diag([0.2, 3.0, 1.0]),),
    ],
    mistakes=[
        "Your q has the posterior's own variances. That is too wide across the ridge: which widths does "
        "KL(q, posterior) like best?",
        Mistake("term-wrong", variances=np.diag),
        "This is the smallest KL(posterior, q), the divergence the other way round. For two latents the "
        "two happen to agree, for more they do not.",
        Mistake("reverse", variances=np.diag, divergence=lambda q, p: kl_of_covariances(p, q)),
        "Your q is the right one, but the divergence is taken the other way round.",
        Mistake("reverse", divergence=lambda q, p: kl_of_covariances(p, q)),
        "This sees the correlation of the first two latents only.",
        Mistake("term-missing", instead=lambda cov: _of_the_best_variances(cov[:2, :2])),
        "Your q has the variances along the ridge and across it, but its axes are those of the coordinates.",
        Mistake("term-wrong", variances=np.linalg.eigvalsh),
        "Your q is the prior. The best one may have any variances.",
        Mistake("term-wrong", variances=lambda cov: np.ones(len(cov))),
        "This lacks the variances of q: for a posterior without correlation the gap is 0.",
        Mistake("term-missing", divergence=lambda q, p: -0.5 * np.linalg.slogdet(p)[1]),
    ],
)


def _with_scipy(model: VAE, x: Array, eps: Array, fresh: Array) -> Array:
    (mu, std), n, m = encoded(model, x), len(eps), len(fresh)
    z = np.concatenate([mu + std * eps, fresh])
    log_p, log_q = scipy.stats.norm.logpdf(z).sum(axis=-1), scipy.stats.norm.logpdf(z, mu, std).sum(axis=-1)
    log_mix = special.logsumexp([log_q, log_p], axis=0, b=np.reshape([n, m], (2, 1, 1)) / (n + m))
    return special.logsumexp(log_likelihood(model, x, z) + log_p - log_mix, axis=0, b=1 / (n + m))


def _log_mixture(log_q: Tensor, log_p: Tensor, n: int, m: int) -> Tensor:
    return torch.logaddexp(log_q + np.log(n / (n + m)), log_p + np.log(m / (n + m)))


def _with_torch(
    *case: Any, power=0.5, per_pixel=False, prior=1, log_mix=_log_mixture, average=log_mean
) -> Tensor:
    """The logarithm of the average p(x, z) / g(z), g being the mixture of q and the prior."""
    model, x, eps, fresh = in_torch(*case)
    mu, log_var = model.encode(x)
    z = torch.cat([mu + torch.exp(power * log_var) * eps, fresh])
    log_px = model.log_likelihood(x, z) / (x.shape[-1] if per_pixel else 1)
    log_p = Normal(0.0, 1.0).log_prob(z).sum(dim=-1)
    log_q = Normal(mu, torch.exp(log_var / 2)).log_prob(z).sum(dim=-1)
    return average(log_px + prior * log_p - log_mix(log_q, log_p, len(eps), len(fresh)))


_RNG = np.random.default_rng(8)  # draws the cases in the order in which they stand below


def _draws(seed: int, latent_dim: int, data_dim: int, batch: int, n: int, m: int) -> Case:
    x = _RNG.integers(0, 2, (batch, data_dim)).astype(float)
    noise = _RNG.standard_normal((n + m, batch, latent_dim))
    return small_vae(latent_dim, data_dim, seed), x, noise[:n], noise[n:]


check_safe_bound = Exercise(
    title="A bound that looks everywhere",
    takes=(
        "a Bernoulli VAE; x of shape (batch, D); eps, standard normal noise of shape (n, batch, d), for "
        "draws from q; fresh, m draws from the prior for each image, shape (m, batch, d)"
    ),
    returns=(
        "the bound by all n + m draws, the ratio of each being p(x, z) over the density of the mixture from "
        "which n + m draws contain n of q, in nats, shape (batch,)"
    ),
    source="Owen 2013, chapter 9 (mixture importance sampling)",
    where="notebook 8, section 3",
    truth=_with_scipy,
    program=_with_torch,
    cases=[
        _draws(1, 1, 4, 1, 2, 1),
        _draws(2, 2, 6, 2, 3, 2),
        _draws(3, 2, 8, 3, 2, 6),
        _draws(4, 3, 12, 5, 8, 4),
    ],
    kinds=("torch float32",),
    mistakes=[
        "Each draw is divided by the density that it was drawn from. That is unbiased, but where q "
        "misses a draw of q may still have a huge ratio. All draws together come from the mixture.",
        Mistake("term-wrong", log_mix=lambda log_q, log_p, n, m: torch.cat([log_q[:n], log_p[n:]])),
        "All draws are divided by q, those of the prior, too.",
        Mistake("term-wrong", log_mix=lambda log_q, log_p, n, m: log_q),
        "All draws are divided by the prior, those of q, too.",
        Mistake("term-wrong", log_mix=lambda log_q, log_p, n, m: log_p),
        "The two densities are added without their shares: this mixture integrates to 2.",
        Mistake("term-missing", log_mix=lambda log_q, log_p, n, m: torch.logaddexp(log_q, log_p)),
        "The shares multiply logarithms. The density of a mixture is a sum of densities.",
        Mistake("term-wrong", log_mix=lambda log_q, log_p, n, m: (n * log_q + m * log_p) / (n + m)),
        "The shares have changed places: n of the n + m draws are those of q.",
        Mistake("swapped", log_mix=lambda log_q, log_p, n, m: _log_mixture(log_q, log_p, m, n)),
        "The mixture is half and half, whatever the numbers of draws are.",
        Mistake("term-wrong", log_mix=lambda log_q, log_p, n, m: _log_mixture(log_q, log_p, 1, 1)),
        "The logarithms of the ratios are averaged; the average belongs inside the logarithm.",
        Mistake("term-wrong", average=lambda log_r: log_r.mean(dim=0)),
        "The ratios are added up, but not averaged.",
        Mistake("term-missing", average=lambda log_r: torch.logsumexp(log_r, dim=0)),
        "The ratio lacks p(z): it is the joint p(x, z) that stands above.",
        Mistake("term-missing", prior=0),
        "The draws of the prior are not used.",
        Mistake("term-missing", instead=lambda model, x, eps, fresh: _with_torch(model, x, eps, fresh[:0])),
        "The draws of q are not used.",
        Mistake("term-missing", instead=lambda model, x, eps, fresh: _with_torch(model, x, eps[:0], fresh)),
        "The noise is scaled by σ², not by σ.",
        Mistake("var-for-std", power=1, where="notebook 5, section 5"),
        "The log-likelihood is averaged over the pixels.",
        Mistake("mean-pixels", per_pixel=True, where="notebook 6, section 3"),
    ],
)
