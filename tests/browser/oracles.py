"""What the numbers beside each explorer must be, by formulas that share no code with the course.

An oracle takes the values of the explorer's controls and returns the expected number by the name
under which it is shown: a number, a pair of a number and its tolerance, or a text. The values of a
derivation's lines, if there is one, stand in a list under "lines", and the positions of those that
must be marked as wrong in a set under "broken".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy import integrate, optimize, special, stats
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_helpers.models.likelihoods import binarize
from vae_helpers.shipped.images import load_mnist
from vae_helpers.shipped.pretrained import load_pretrained

ORACLES: dict[str, dict[str, Callable[..., dict[str, Any]]]] = {}


def find(notebook: str, name: str) -> Callable[..., dict[str, Any]]:
    """The oracle of an explorer.

    Raises:
        AssertionError: there is none; an explorer without an oracle is not tested.
    """
    if name.startswith("train_live"):
        return dict  # it shows no numbers of its controls
    known = ORACLES.get(notebook[:2], {}).get(name)
    assert known is not None, f"{notebook}: the explorer {name} has no oracle"
    return known


def oracle(notebook: str, name: str = "") -> Callable:
    """Registers a function as the oracle of the explorer `name`, by default its own name."""

    def register(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        ORACLES.setdefault(notebook, {})[name or function.__name__] = function
        return function

    return register


# ---- 00: the KL of PyTorch, and its two parts from their own integrals -----------------------------


@oracle("00")
def draw_two_gaussians(mu: float, std: float) -> dict[str, Any]:
    q, prior = Normal(torch.tensor(mu).double(), std), Normal(0.0, 1.0)
    parts = {
        "from the mean": kl_divergence(Normal(q.mean, 1.0), prior),
        "from the width": kl_divergence(Normal(torch.zeros_like(q.mean), std), prior),
    }
    return {"KL": float(kl_divergence(q, prior))} | {name: float(part) for name, part in parts.items()}


# ---- 01: the posterior as the product of prior and likelihood, normalised on a grid --------------


@oracle("01")
def draw_posterior(x: float, noise_std: float, prior_std: float) -> dict[str, Any]:
    z = np.linspace(-40, 40, 160_001)
    joint = stats.norm.pdf(z, 0, prior_std) * stats.norm.pdf(x, 0.4 * z + 1.0, noise_std)
    evidence = integrate.simpson(joint, x=z)
    mean = integrate.simpson(z * joint, x=z) / evidence
    variance = integrate.simpson((z - mean) ** 2 * joint, x=z) / evidence
    # the share of the way from the prior's mean to the cause that would explain x without noise
    gain = np.cov(_pairs(noise_std, prior_std))
    trust = 0.4 * gain[0, 1] / gain[1, 1]
    return {"posterior mean": mean, "std": variance**0.5, "trust": trust, "p(x)": evidence}


def _pairs(noise_std: float, prior_std: float) -> np.ndarray:
    """Four equally likely pairs (z, x) with the moments of the joint."""
    z = prior_std * np.array([1, 1, -1, -1])
    return np.stack([z, 0.4 * z + 1.0 + noise_std * np.array([1, -1, 1, -1])])


# ---- 02: every term by quadrature under q, with SciPy's densities ----------------------------------


def _elbo_and_evidence(mean: float, std: float) -> tuple[float, float, float]:
    """ELBO, log p(x) and KL(q, prior)."""
    z, x = np.linspace(-40, 40, 400_001), 2.0
    log_joint = stats.norm.logpdf(z) + stats.norm.logpdf(x, 1.2 * z + 0.5, 0.6)
    log_q = stats.norm.logpdf(z, mean, std)
    elbo = integrate.simpson(np.exp(log_q) * (log_joint - log_q), x=z)
    divergence = integrate.simpson(np.exp(log_q) * (log_q - stats.norm.logpdf(z)), x=z)
    return elbo, np.log(integrate.simpson(np.exp(log_joint), x=z)), divergence


@oracle("02")
def draw_road(mean: float, std: float, road: str) -> dict[str, Any]:
    elbo, evidence, divergence = _elbo_and_evidence(mean, std)
    above = {"a": 4, "b": 1, "c": 3, "d": 4, "e": 5}  # so many lines before the "≥"
    if road == "wrong (KL added)":
        lines, broken = [elbo, elbo + 2 * divergence], {1} if divergence > 1e-9 else set()
    else:
        below = 4 if road == "b" else 2 if road == "c" else 1
        lines, broken = [evidence] * above[road] + [elbo] * below, set()
    shown = {"ELBO": elbo, "gap": evidence - elbo, "sum": evidence}
    return shown | {"lines": lines, "broken": broken}


@oracle("02")
def elbo_and_gap(mean: float, std: float) -> dict[str, Any]:
    return draw_road(mean, std, "e")


# ---- 03: the KL by quadrature of its own integrand ------------------------------------------------


@oracle("03")
def draw_q(mu: float, log_var: float) -> dict[str, Any]:
    q, prior = stats.norm(mu, np.exp(log_var / 2)), stats.norm(0, 1)
    nodes = [mu, mu - 5 * q.std(), mu + 5 * q.std()]
    ends = (mu - 12 * q.std(), mu + 12 * q.std())

    def mean(f: Callable[[float], float]) -> float:
        return integrate.quad(lambda z: q.pdf(z) * f(z), *ends, points=nodes, epsabs=1e-12)[0]

    return {
        "cross-entropy": mean(lambda z: -prior.logpdf(z)),
        "minus entropy": mean(q.logpdf),
        "KL": mean(lambda z: q.logpdf(z) - prior.logpdf(z)),
        "σ": q.std(),
    }


# ---- 04: the same frozen noise, counted with SciPy's own Student intervals -------------------------


@cache
def _log_ratios() -> np.ndarray:
    """log q - log p of each coordinate, (1000 samples, 100 repetitions, 16 coordinates)."""
    z = 0.5 + 0.9 * np.random.default_rng(22).standard_normal((1000, 100, 16))
    return stats.norm.logpdf(z, 0.5, 0.9) - stats.norm.logpdf(z)


@oracle("04")
def draw_error_bars(num_samples: int, dim: int) -> dict[str, Any]:
    ratios = _log_ratios()[:num_samples, :, :dim].sum(axis=-1)
    z = np.linspace(0.5 - 12 * 0.9, 0.5 + 12 * 0.9, 20_001)
    density = stats.norm.pdf(z, 0.5, 0.9)
    ratio = stats.norm.logpdf(z, 0.5, 0.9) - stats.norm.logpdf(z)
    exact = integrate.simpson(density * ratio, x=z)
    variance = integrate.simpson(density * (ratio - exact) ** 2, x=z)
    interval = stats.ttest_1samp(ratios, dim * exact, axis=0).confidence_interval(0.95)
    hold = (interval.low <= dim * exact) & (dim * exact <= interval.high)
    return {
        "exact KL": dim * exact,
        "first estimate": ratios[:, 0].mean(),
        "its standard error": stats.sem(ratios[:, 0]),
        "sd(k₁)/√n": (dim * variance / num_samples) ** 0.5,
        "hold the truth": f"{hold.sum()} of 100",
    }


# ---- 05: both estimators by automatic differentiation, their spread by Gauss-Hermite quadrature ---

_NODES, _WEIGHTS = special.roots_hermitenorm(40)


def _estimates(mu: float, std: float, eps: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """z, the score-function estimate and the reparameterized one for the mean, for each noise value."""
    eps = torch.as_tensor(eps, dtype=torch.float64)
    mean = torch.full_like(eps, mu, requires_grad=True)
    z = mean + std * eps
    path = torch.autograd.grad((z**2).sum(), mean)[0]
    z = z.detach()
    score = z**2 * torch.autograd.grad(Normal(mean, std).log_prob(z).sum(), mean)[0]
    return z, score, path


@oracle("05")
def draw_sample_path(mu: float, std: float, eps: float) -> dict[str, Any]:
    z, score, path = (float(value) for value in _estimates(mu, std, eps))
    weights = _WEIGHTS / _WEIGHTS.sum()
    _, scores, paths = (value.numpy() for value in _estimates(mu, std, _NODES))
    exact, step = weights @ paths, 1e-3
    assert abs(exact - weights @ scores) < 1e-9  # two estimators, one mean
    return {
        "z": z,
        "dz/dμ": (mu + step + std * eps - z) / step,
        "dz/dσ": (mu + (std + step) * eps - z) / step,
        "exact": exact,
        "score estimate": score,
        "path estimate": path,
        "std of score": (weights @ (scores - exact) ** 2) ** 0.5,
        "std of path": (weights @ (paths - exact) ** 2) ** 0.5,
    }


# ---- 06: the tempered posterior of one image on a finer grid than the notebook's -------------------


@cache
def _test_images() -> torch.Tensor:
    """The binarized test images of notebooks 6 and 7."""
    return binarize(load_mnist("test")[0], torch.Generator().manual_seed(0))


@cache
@torch.no_grad()
def _log_joint() -> tuple[np.ndarray, np.ndarray]:
    """log p(z) dz and log p(x given z) of the third test image on a 400 x 400 grid."""
    line = torch.linspace(-5, 5, 400)
    z, x = torch.cartesian_prod(line, line), _test_images()[2]
    model = load_pretrained("digits_2")
    parts = [Bernoulli(logits=model.decoder(part)).log_prob(x).sum(-1) for part in z.split(8000)]
    log_prior = Normal(0.0, 1.0).log_prob(z.double()).sum(-1) + 2 * torch.log(line[1] - line[0])
    return log_prior.numpy(), torch.cat(parts).double().numpy()


@oracle("06")
def draw_rate_distortion(beta: float) -> dict[str, Any]:
    log_prior, log_lik = _log_joint()
    weights = special.softmax(log_prior + log_lik / beta)
    distortion = -(weights @ log_lik)
    rate = special.xlogy(weights, weights).sum() - weights @ log_prior
    evidence = special.logsumexp(log_prior + log_lik)
    grid = 0.02  # nats, for the notebook's coarser grid
    return {
        "rate": (rate, grid),
        "distortion": (distortion, grid),
        "sum": (rate + distortion, grid),
        "−log p(x)": (-evidence, grid),
        "gap": (rate + distortion + evidence, grid),
    }


# ---- 07: each model on the whole test set, with other draws than the notebook's --------------------


@cache
@torch.no_grad()
def _posterior(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of q for each test image, by the encoder's own output."""
    mu, log_var = load_pretrained(name).encoder(_test_images()).chunk(2, dim=-1)
    return mu, torch.exp(log_var / 2)


@cache
@torch.no_grad()
def _distortion(name: str) -> tuple[float, float]:
    """Distortion over 10,000 images, two draws each, and its standard error."""
    model, x, (mu, std) = load_pretrained(name), _test_images(), _posterior(name)
    generator, costs = torch.Generator().manual_seed(12345), []
    for _ in range(2):
        logits = model.decoder(mu + std * torch.randn(mu.shape, generator=generator))
        costs.append(-Bernoulli(logits=logits).log_prob(x).sum(-1).double())
    costs = torch.stack(costs)
    error = (costs.var(dim=0) / len(costs)).mean().sqrt() / len(x) ** 0.5
    return costs.mean().item(), error.item()


@oracle("07")
def dashboard(latent_dim: int, latent: int, first: int, second: int) -> dict[str, Any]:
    name = f"latent_{latent_dim}"
    mu, std = _posterior(name)
    rates = kl_divergence(Normal(mu, std), Normal(0.0, 1.0)).double().mean(dim=0)
    rate, (distortion, error) = rates.sum().item(), _distortion(name)
    noise = 4 * 2**0.5 * error  # both sides draw
    digits = load_mnist("test")[1]
    ends = [mu[(digits == digit).nonzero()[0].item()].double() for digit in (first, second)]
    return {
        "log-likelihood": (-distortion, noise),
        "KL": (rate, 1e-4),
        "−ELBO": (distortion + rate, noise),
        "active units": f"{int((mu.double().var(dim=0) > 0.01).sum())} of {latent_dim}",
        "KL of this latent": (rates.sort(descending=True).values[latent - 1].item(), 1e-4),
        "squared length halfway": (float(((ends[0] + ends[1]) / 2).square().sum()), 1e-4),
    }


# ---- 08: log p(x) from its own density, the bound by another quadrature in other variables ----------


@oracle("08")
def exact_bound(mean: float, std: float, k: int) -> dict[str, Any]:
    log_px, variance = stats.norm.logpdf(2.0, 0.5, np.hypot(1.2, 0.6)), 1 / (1 + (1.2 / 0.6) ** 2)
    z, dz = _panels(mean - 45 * std, mean + 45 * std, 250)
    log_q = stats.norm.logpdf(z, mean, std)
    log_joint = stats.norm.logpdf(z) + stats.norm.logpdf(2.0, 1.2 * z + 0.5, 0.6)
    elbo = (np.exp(log_q) * dz) @ (log_joint - log_q)
    # E[log S] = ∫ (exp(-t) - E[exp(-t S)]) dt/t for S > 0, here the mean of k weights over p(x).
    t, dt = _panels(-55.0, 320.0, 300)
    with np.errstate(over="ignore"):
        scaled = np.exp(t[:, None] - np.log(k) + log_joint - log_q - log_px)
    lost = special.expm1(-scaled) @ (np.exp(log_q) * dz)
    with np.errstate(divide="ignore"):
        bound = log_px + dt @ (np.exp(-np.exp(t)) - np.exp(k * np.log1p(np.maximum(lost, -1))))
    assert k > 1 or abs(bound - elbo) < 1e-8
    shown: Any = "infinite"
    if 2 * std**2 > variance:
        exponent = 2 * (log_joint - log_px) - log_q
        spread = np.exp(special.logsumexp(exponent, b=dz)) - 1
        shown = (spread, 1e-6 * spread) if spread < 1e6 else "above a million"
    numbers = {"log p(x)": log_px, "bound": bound, "missing": log_px - bound, "ELBO": elbo}
    return numbers | {"variance": shown}


def _panels(low: float, high: float, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss and Legendre on equal panels, eight on each."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    edges = np.linspace(low, high, num + 1)
    half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    return (middle + half * nodes).ravel(), (half * weights).ravel()


# ---- 09: directions one by one, each by a search for what is left over; the β family as in 07 -------

_VARIANCES = (6.1, 4.1, 2.6, 1.45, 0.77, 0.41, 0.19, 0.095)


def _direction(variance: float, s2: float, beta: float) -> tuple[float, float]:
    """Distortion and rate of one direction, by a search over the rate for distortion + β rate."""

    def distortion(rate: float) -> float:
        left = variance * np.exp(-2 * rate)
        return left / (2 * s2) - stats.norm.logpdf(0.0, scale=s2**0.5)

    best = optimize.minimize_scalar(
        lambda rate: distortion(rate) + beta * rate,
        bounds=(0.0, 12.0),
        method="bounded",
        options={"xatol": 1e-9},
    )
    rate = best.x if best.fun < distortion(0.0) - 1e-9 else 0.0
    return distortion(rate), rate


@oracle("09")
def draw_water(s2: float, beta: float) -> dict[str, Any]:
    parts = np.array([_direction(variance, s2, beta) for variance in _VARIANCES])
    distortion, rate = parts.sum(axis=0)
    best = sum(sum(_direction(variance, s2, 1.0)) for variance in _VARIANCES)
    return {
        "level": (beta * s2, 1e-9),
        "alive": f"{(parts[:, 1] > 0).sum()} of 8",
        "rate": (rate, 1e-4),
        "distortion": (distortion, 1e-4),
        "−ELBO": (distortion + rate, 1e-4),
        "lowest −ELBO": (best, 1e-4),
    }


@oracle("09")
def beta_board(beta: float) -> dict[str, Any]:
    name = f"beta_{beta:g}"
    mu, std = _posterior(name)
    rate = kl_divergence(Normal(mu, std), Normal(0.0, 1.0)).double().sum(dim=-1).mean().item()
    distortion, error = _distortion(name)
    noise = 4 * 2**0.5 * error  # both sides draw
    return {
        "distortion": (distortion, noise),
        "rate": (rate, 1e-3),  # the shipped figure is rounded
        "−ELBO": (distortion + rate, noise),
        "active units": f"{int((mu.double().var(dim=0) > 0.01).sum())} of 20",
    }


# ---- 10: each wrong objective in words, its best q by search, expectations by quadrature -------------


@oracle("10")
def draw_mistake(mistake: str, s: float, x: float) -> dict[str, Any]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()

    def parts(mu: float, log_var: float) -> tuple[float, float]:
        draws = mu + np.exp(log_var / 2) * nodes
        q = Normal(torch.tensor(mu).double(), torch.tensor(np.exp(log_var / 2)))
        return weights @ stats.norm.logpdf(x, draws, s), float(kl_divergence(q, Normal(0.0, 1.0)))

    def objective(q: tuple[float, float]) -> float:
        likelihood, kl = parts(*q)
        if mistake == "no noise":
            likelihood = stats.norm.logpdf(x, q[0], s)
        kl = {
            "½ dropped": 2 * kl,
            "σ² + μ² twice": kl + (np.exp(q[1]) + q[0] ** 2) / 2,
            "log σ for log σ²": kl + q[1] / 4,
            "mean over 4 latents": kl / 4,
            "mean over 4 pixels": 4 * kl,
        }.get(mistake, kl)
        return likelihood - kl

    best = optimize.minimize(
        lambda q: -objective(q),
        [0.0, 0.0],
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-12, "maxiter": 4000},
    ).x
    likelihood, kl = parts(*best)
    log_evidence = stats.norm.logpdf(x, 0.0, np.hypot(1.0, s))
    pixels = 4 if mistake == "mean over 4 pixels" else 1  # what such a loss reports is per pixel
    return {
        "log p(x)": log_evidence,
        "its own number": objective(best) / pixels,
        "true ELBO": likelihood - kl,
        "gap": log_evidence - (likelihood - kl),
    }
