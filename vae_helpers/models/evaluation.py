"""How good is a trained model: exact evidence, importance bounds, gaps, active units (PyTorch)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_helpers.models._bar import bar
from vae_helpers.models._validate import check_batch, check_model, fresh_generator
from vae_helpers.models.objectives import kl_standard_normal, log_weights
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import as_count, as_counts, as_number

_CHUNK = 2**21  # numbers in an array whose gradient is taken: 8 MB, or 16 in double precision
_CACHED = 2**20  # numbers in an array that is gone over several times: 4 MB, which a cache may hold
_ON_A_GPU = 2**26  # the same there: 256 MB, since a call takes as long for few numbers as for many
_MOST_IMAGES = 2000  # that share one pass over the grid


class Quadrature(NamedTuple):
    """log p(x) by quadrature, each of shape (batch,), float64, in nats.

    Attributes:
        log_evidence: log p(x).
        error: an estimate of how far it may be off.
    """

    log_evidence: Tensor
    error: Tensor


class Gaps(NamedTuple):
    """Where the bound loses, in nats, each of shape (batch,).

    Attributes:
        log_evidence: log p(x) by quadrature.
        best_elbo: the ELBO of the best diagonal Gaussian found for this image.
        elbo: the ELBO of the encoder's Gaussian.
        approximation: log_evidence - best_elbo: what no diagonal Gaussian can reach.
        amortization: best_elbo - elbo: what the encoder loses by serving all images at once.
    """

    log_evidence: Tensor
    best_elbo: Tensor
    elbo: Tensor
    approximation: Tensor
    amortization: Tensor


@torch.no_grad()
def quadrature(model: VAE, x: Tensor, num_grid: int = 600, limit: float = 5.0) -> Quadrature:
    """log p(x) = log ∫ p(x given z) p(z) dz for one or two latents, by the trapezoidal rule.

    Images and grid points are taken in chunks, so that memory does not grow with either.

    Args:
        model: a VAE with latent_dim 1 or 2.
        x: images, shape (batch, D).
        num_grid: grid points on each axis, at least 4. A posterior narrower than the step of the
            grid needs more: look at the error.
        limit: the grid spans [-limit, limit] on each axis.

    Returns:
        `Quadrature`: log p(x), and an estimate of its error. This comes from a second size of grid,
        that of every second point, and from the worst of the places where such a grid can lie: for a
        smooth integrand the trapezoidal rule converges geometrically, so that half the step squares
        a small error. Added to it are what the edge of the grid tells of the mass beyond it, and
        rounding. It is meant to be too large rather than too small, and mostly is by far; where the
        likelihood has a kink, which no likelihood of the course has, it may be too small.

    Raises:
        ValueError: more than two latents (use `log_evidence_iwae`), fewer than four grid points, a
            limit that is not above 0, or x of a wrong shape, with NaN or outside [0, 1].

    Source: Trefethen & Weideman 2014, theorem 5.1, for the rate of convergence.
    """
    _check(model, x, max_latents=2)
    num_grid = as_count("num_grid", num_grid, minimum=4)
    limit = as_number("limit", limit, positive=True)
    parts = [_quadrature(model, batch, num_grid, limit) for batch in x.split(_MOST_IMAGES)]
    return Quadrature(*(torch.cat(column) for column in zip(*parts, strict=True)))


def log_evidence_quadrature(model: VAE, x: Tensor, num_grid: int = 600, limit: float = 5.0) -> Tensor:
    """log p(x) of each image for one or two latents, in nats: `quadrature` without its error.

    Args:
        model: a VAE with latent_dim 1 or 2.
        x: images, shape (batch, D).
        num_grid: grid points on each axis, at least 4.
        limit: the grid spans [-limit, limit] on each axis.

    Returns:
        float64 tensor of shape (batch,), in nats.

    Raises:
        ValueError: as `quadrature`.
    """
    return quadrature(model, x, num_grid, limit).log_evidence


@torch.no_grad()
def elbo_quadrature(model: VAE, x: Tensor, num_nodes: int = 10) -> Tensor:
    """The ELBO of each image for one or two latents, by Gauss-Hermite quadrature: no draw, no noise.

    Args:
        model: a VAE with latent_dim 1 or 2.
        x: images, shape (batch, D).
        num_nodes: quadrature nodes on each latent axis.

    Returns:
        float64 tensor of shape (batch,), in nats: never above log p(x), up to the error of the two rules.

    Raises:
        ValueError: more than two latents, num_nodes below 1, or x of a wrong shape, with NaN or outside
            [0, 1].
    """
    _check(model, x, max_latents=2)
    num_nodes = as_count("num_nodes", num_nodes)
    eps, weight = _hermite_nodes(model.latent_dim, num_nodes, x)
    size = max(1, _CHUNK // (len(eps) * model.data_dim))
    parts = [
        _exact_elbo(model, batch, torch.stack(model.encode(batch)), eps, weight) for batch in x.split(size)
    ]
    return torch.cat(parts).double()


@torch.no_grad()
def log_evidence_iwae(
    model: VAE, x: Tensor, num_samples: int = 5000, generator: torch.Generator | None = None
) -> Tensor:
    """The importance-weighted bound with many draws, in chunks: an estimate from below of log p(x).

    Args:
        model: the VAE.
        x: images, shape (batch, D).
        num_samples: draws from q(z given x) for each image.
        generator: where the draws come from; None takes fresh entropy.

    Returns:
        float64 tensor of shape (batch,), in nats. Its expectation is at most log p(x).

    Raises:
        ValueError: num_samples below 1, or x of a wrong shape, with NaN or outside [0, 1].

    Source: Burda, Grosse & Salakhutdinov 2016, eq. 8.
    """
    num_samples = as_count("num_samples", num_samples)
    return importance_bounds(model, x, (num_samples,), generator)[num_samples]


@torch.no_grad()
def importance_bounds(
    model: VAE,
    x: Tensor,
    counts: Sequence[int] = (1, 10, 100, 1000, 5000),
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> dict[int, Tensor]:
    """The importance-weighted bounds IWAE_k of each image for several k, from the same draws.

    The largest k is the number K of draws. For a smaller k they are cut into K // k groups, and the
    bounds of the groups are averaged: the expectation is that of one group, the noise is less.

    Args:
        model: the VAE.
        x: images, shape (batch, D).
        counts: the values of k, each at least 1; k = 1 is an estimate of the ELBO.
        generator: where the draws come from; None takes fresh entropy.
        progress: show a bar over the images.

    Returns:
        k -> float64 tensor of shape (batch,), in nats. Each has an expectation of at most log p(x),
        and it grows with k. `monte_carlo.estimate` gives mean and standard error over images.

    Raises:
        ValueError: no counts or one below 1, or x of a wrong shape, with NaN or outside [0, 1].

    Source: Burda, Grosse & Salakhutdinov 2016, eq. 8 and theorem 1.
    """
    _check(model, x)
    counts = as_counts("counts", counts)
    generator = fresh_generator(generator, x.device)
    total = max(counts)
    parts: dict[int, list[Tensor]] = {count: [] for count in counts}
    room = _room(x)
    for batch in bar(x.split(max(1, room // (100 * model.data_dim))), progress=progress, unit="batch"):
        step = max(1, room // (len(batch) * model.data_dim))
        draws = [min(step, total - start) for start in range(0, total, step)]
        weights = torch.cat([log_weights(model, batch, n, generator).double() for n in draws])
        for count in counts:
            groups = weights[: total // count * count].reshape(total // count, count, -1)
            bound = torch.logsumexp(groups, dim=1) - math.log(count)
            parts[count].append(bound.mean(dim=0))
    return {count: torch.cat(part) for count, part in parts.items()}


@torch.no_grad()
def active_units(model: VAE, x: Tensor, threshold: float = 0.01) -> Tensor:
    """Which latents the encoder uses: the variance over images of mu exceeds the threshold.

    Args:
        model: the VAE.
        x: at least two images, shape (batch, D).
        threshold: variance above which a latent counts as active.

    Returns:
        bool tensor of shape (d,); its sum is the number of active units.

    Raises:
        ValueError: fewer than two images, or x of a wrong shape or with NaN.

    Source: Burda, Grosse & Salakhutdinov 2016, who count the active units of trained models so.
    """
    _check(model, x)
    threshold = as_number("threshold", threshold, minimum=0)
    if len(x) < 2:
        raise ValueError(f"x: expected at least 2 images for a variance, got shape {tuple(x.shape)}")
    return model.encode(x)[0].double().var(dim=0) > threshold


def gaps(model: VAE, x: Tensor, steps: int = 200, num_nodes: int = 10, num_grid: int = 600) -> Gaps:
    """Splits log p(x) - ELBO into what the Gaussian family and what the encoder loses.

    The best Gaussian of each image is sought by Adam from two starts, the encoder's Gaussian and
    a narrow one at the highest point of the posterior, since the ELBO may have several maxima.
    All ELBOs are exact up to Gauss-Hermite quadrature, so that no noise enters.

    Args:
        model: a VAE with latent_dim 1 or 2; its weights are not changed.
        x: images, shape (batch, D); a step costs num_nodes^d decoder calls for each.
        steps: optimisation steps.
        num_nodes: quadrature nodes on each latent axis.
        num_grid: grid points on each axis for log p(x), as of `quadrature`.

    Returns:
        `Gaps`, each entry of shape (batch,), float64.

    Raises:
        ValueError: more than two latents, a count below 1, or x of a wrong shape or with NaN.

    Source: Cremer, Li & Duvenaud 2018, table 1.
    """
    _check(model, x, max_latents=2)
    steps, num_nodes = as_count("steps", steps), as_count("num_nodes", num_nodes)
    num_points = num_nodes**model.latent_dim
    size = max(1, _CHUNK // (2 * num_points * model.data_dim))
    log_evidence = log_evidence_quadrature(model, x, num_grid)  # one pass over the grid for all images
    modes = _posterior_mode(model, x)
    batches = zip(x.split(size), modes.split(size), strict=True)
    parts = [_elbos(model, batch, mode, steps, num_nodes) for batch, mode in batches]
    elbo, best_elbo = (torch.cat(column) for column in zip(*parts, strict=True))
    return Gaps(log_evidence, best_elbo, elbo, log_evidence - best_elbo, best_elbo - elbo)


def _elbos(model: VAE, x: Tensor, mode: Tensor, steps: int, num_nodes: int) -> tuple[Tensor, Tensor]:
    """The ELBOs of the encoder's Gaussians and of the best ones, of so many images as fit into memory."""
    eps, weight = _hermite_nodes(model.latent_dim, num_nodes, x)
    with torch.no_grad():
        encoded = torch.stack(model.encode(x))
        elbo = _exact_elbo(model, x, encoded, eps, weight)
    narrow = torch.stack([mode, torch.full_like(mode, -7.0)])  # a wide start finds its way in too slowly
    twice = torch.cat([x, x])
    q = torch.cat([encoded, narrow], dim=1).requires_grad_()  # (mu and log_var, 2 batch, d)
    # A short memory of squared gradients: the first ones, far from the optimum, may be huge.
    optimizer = torch.optim.Adam([q], lr=0.05, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        (q.grad,) = torch.autograd.grad(-_exact_elbo(model, twice, q, eps, weight).sum(), q)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        reached = _exact_elbo(model, twice, q, eps, weight).reshape(2, -1)
    return elbo.double(), torch.maximum(elbo, reached.amax(dim=0)).double()


def _quadrature(model: VAE, x: Tensor, num_grid: int, limit: float) -> Quadrature:
    """`quadrature` of so many images as share one pass over the grid."""
    d, step = model.latent_dim, 2 * limit / (num_grid - 1)
    # log Σ p(x, z) of each image over the points with even and odd indices, and over the edge.
    sums = torch.full((2**d + 1, len(x)), -math.inf, dtype=torch.float64, device=x.device)
    for z, index in _latent_grid(d, num_grid, limit, x, max(1, _room(x) // max(model.data_dim, len(x)))):
        log_prior = -0.5 * (z.double() ** 2 + math.log(2 * math.pi)).sum(dim=-1)
        log_joint = model.pairwise_log_likelihood(x, z) + log_prior[:, None].to(x.dtype)
        parity = (index % 2 * torch.tensor([2, 1], device=x.device)[-d:]).sum(dim=-1)
        edge = ((index == 0) | (index == num_grid - 1)).any(dim=-1)
        groups = [*(parity == p for p in range(2**d)), edge]
        highest = log_joint.amax(dim=0)
        # In the model's own precision, the sums in double. What is smaller than exp(-80) counts for
        # nothing, and an exponential that underflows takes twenty times as long.
        joint = torch.exp((log_joint - highest).clamp(min=-80))
        in_groups = torch.stack([joint[group].sum(dim=0, dtype=torch.float64) for group in groups])
        sums = torch.logaddexp(sums, in_groups.log() + highest)
    log_evidence = torch.logsumexp(sums[:-1], dim=0) + d * math.log(step)
    # The points of one parity are a grid with twice the step. A narrow mode with a share w of the mass
    # that is off by a factor 1 + δ there shifts the sum by w δ, and on the finer grid by w δ² or less.
    # The 10 allows for w = 0.1.
    coarse = sums[:-1] + d * math.log(2 * step)
    apart = (coarse - log_evidence).abs().amax(dim=0)
    # Beyond the edge the prior falls at least like exp(-limit · distance).
    beyond = torch.exp(sums[-1] + (d - 1) * math.log(step) - math.log(limit) - log_evidence)
    rounding = torch.finfo(x.dtype).eps * model.data_dim
    return Quadrature(log_evidence, torch.minimum(apart, 10 * apart**2) + beyond + rounding)


@torch.no_grad()
def _posterior_mode(model: VAE, x: Tensor, num_grid: int = 101, limit: float = 5.0) -> Tensor:
    """The point of a grid with the highest p(x, z) for each image, shape (batch, d)."""
    mode, highest = x.new_zeros(len(x), model.latent_dim), x.new_full((len(x),), -math.inf)
    size = max(1, _room(x) // max(model.data_dim, len(x)))
    for z, _ in _latent_grid(model.latent_dim, num_grid, limit, x, size):
        log_joint = model.pairwise_log_likelihood(x, z) - 0.5 * (z**2).sum(dim=-1, keepdim=True)
        here, at = log_joint.max(dim=0)
        mode = torch.where((here > highest)[:, None], z[at], mode)
        highest = torch.maximum(highest, here)
    return mode


def _latent_grid(
    latent_dim: int, num_grid: int, limit: float, like: Tensor, size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The points of a regular grid over [-limit, limit]^d and their indices, (size, d) at a time."""
    axis = torch.linspace(-limit, limit, num_grid, dtype=like.dtype, device=like.device)
    for start in range(0, num_grid**latent_dim, size):
        number = torch.arange(start, min(start + size, num_grid**latent_dim), device=like.device)
        places = [number // num_grid**k % num_grid for k in reversed(range(latent_dim))]
        index = torch.stack(places, dim=-1)
        yield axis[index], index


def _exact_elbo(model: VAE, x: Tensor, q: Tensor, eps: Tensor, weight: Tensor) -> Tensor:
    mu, log_var = q
    z = mu + torch.exp(0.5 * log_var) * eps  # (nodes, batch, d)
    return weight @ model.log_likelihood(x, z) - kl_standard_normal(mu, log_var)


def _hermite_nodes(latent_dim: int, num_nodes: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes (n, 1, d) and weights (n,) that integrate polynomials against N(0, I) exactly."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(num_nodes)
    weights = weights / weights.sum()
    grids = np.meshgrid(*[nodes] * latent_dim, indexing="ij")
    product = np.prod(np.meshgrid(*[weights] * latent_dim, indexing="ij"), axis=0)
    eps = np.stack(grids, axis=-1).reshape(-1, 1, latent_dim)
    return torch.from_numpy(eps).to(like), torch.from_numpy(product.reshape(-1)).to(like)


def _room(x: Tensor) -> int:
    """How many numbers an array may have that is gone over several times, on the device of x."""
    return _CACHED if x.device.type == "cpu" else _ON_A_GPU


def _check(model: VAE, x: Tensor, max_latents: int | None = None) -> None:
    check_model(model)
    if max_latents is not None and model.latent_dim > max_latents:
        raise ValueError(
            f"model: expected at most {max_latents} latents for quadrature, got "
            f"{model.latent_dim}; use log_evidence_iwae instead"
        )
    wanted = f"x: expected shape (batch, {model.data_dim})"
    if isinstance(x, Tensor) and x.ndim > 2:
        raise ValueError(f"{wanted}, got {tuple(x.shape)}; flatten the images by x.reshape(len(x), -1)")
    if isinstance(x, Tensor) and x.ndim == 2 and x.shape[1] != model.data_dim:
        raise ValueError(
            f"{wanted}, got {tuple(x.shape)}; this model knows images of {model.data_dim} pixels: resize "
            "them, or train a VAE with another data_dim"
        )
    if isinstance(x, Tensor) and x.ndim == 2 and len(x) == 0:
        raise ValueError(f"{wanted}, got {tuple(x.shape)}; give at least one image")
    check_batch("x", x, model.data_dim)
    model.observation.check("x", x)
