"""How good is a trained model: exact evidence, importance bounds, gaps, active units (PyTorch)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vae_helpers._validate_torch import check_batch, check_count, check_unit_interval
from vae_helpers.models import VAE
from vae_helpers.objectives import kl_standard_normal, log_weights

_CHUNK = 2**24  # numbers in the largest array held at a time: 64 MB


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
def log_evidence_quadrature(model: VAE, x: Tensor, num_grid: int = 600, limit: float = 5.0) -> Tensor:
    """log p(x) = log ∫ p(x given z) p(z) dz for one or two latents, by the trapezoidal rule.

    Args:
        model: a VAE with latent_dim 1 or 2.
        x: images, shape (batch, D).
        num_grid: grid points on each axis, at least 2. A posterior narrower than the step of the
            grid needs more: compare two sizes.
        limit: the grid spans [-limit, limit] on each axis.

    Returns:
        float64 tensor of shape (batch,), in nats.

    Raises:
        ValueError: more than two latents (use `log_evidence_iwae`), fewer than two grid
            points, a limit that is not above 0, or x of a wrong shape or with NaN.
    """
    _check(model, x, max_latents=2)
    if check_count("num_grid", num_grid) < 2:
        raise ValueError(f"num_grid: expected at least 2 points on each axis, got {num_grid}")
    if not 0 < limit < math.inf:
        raise ValueError(f"limit: expected a number above 0, got {limit!r}")
    z = _latent_grid(model.latent_dim, num_grid, limit, x)
    log_cell = model.latent_dim * math.log(2 * limit / (num_grid - 1))
    total = torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
    for part in z.split(max(1, _CHUNK // max(model.data_dim, len(x)))):
        log_prior = -0.5 * (part.double() ** 2 + math.log(2 * math.pi)).sum(dim=-1)
        log_joint = _pairwise_log_likelihood(model, x, part).double() + log_prior[:, None]
        total = torch.logaddexp(total, torch.logsumexp(log_joint, dim=0))
    return total + log_cell


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
        ValueError: num_samples below 1, or x of a wrong shape or with NaN.

    Source: Burda, Grosse & Salakhutdinov 2016, eq. 8.
    """
    _check(model, x)
    check_count("num_samples", num_samples)
    bounds = []
    for batch in x.split(max(1, _CHUNK // (100 * model.data_dim))):
        step = max(1, _CHUNK // (len(batch) * model.data_dim))
        counts = [min(step, num_samples - start) for start in range(0, num_samples, step)]
        parts = [log_weights(model, batch, count, generator).double() for count in counts]
        bounds.append(torch.logsumexp(torch.cat(parts), dim=0) - math.log(num_samples))
    return torch.cat(bounds)


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
    if not threshold >= 0:
        raise ValueError(f"threshold: expected a number of at least 0, got {threshold!r}")
    if len(x) < 2:
        raise ValueError(f"x: expected at least 2 images for a variance, got shape {tuple(x.shape)}")
    return model.encode(x)[0].double().var(dim=0) > threshold


def gaps(model: VAE, x: Tensor, steps: int = 200, num_nodes: int = 10) -> Gaps:
    """Splits log p(x) - ELBO into what the Gaussian family and what the encoder loses.

    The best Gaussian of each image is sought by Adam from two starts, the encoder's Gaussian and
    a narrow one at the highest point of the posterior, since the ELBO may have several maxima.
    All ELBOs are exact up to Gauss-Hermite quadrature, so that no noise enters.

    Args:
        model: a VAE with latent_dim 1 or 2; its weights are not changed.
        x: images, shape (batch, D); a step costs num_nodes^d decoder calls for each.
        steps: optimisation steps.
        num_nodes: quadrature nodes on each latent axis.

    Returns:
        `Gaps`, each entry of shape (batch,), float64.

    Raises:
        ValueError: more than two latents, a count below 1, or x of a wrong shape or with NaN.

    Source: Cremer, Li & Duvenaud 2018, table 1.
    """
    _check(model, x, max_latents=2)
    check_count("steps", steps)
    eps, weight = _hermite_nodes(model.latent_dim, check_count("num_nodes", num_nodes), x)
    with torch.no_grad():
        encoded = torch.stack(model.encode(x))
        elbo = _exact_elbo(model, x, encoded, eps, weight)
        mode = _posterior_mode(model, x)
    narrow = torch.stack([mode, torch.full_like(mode, -4.0)])
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
        found = _exact_elbo(model, twice, q, eps, weight).reshape(2, -1)
    best_elbo, elbo = torch.maximum(elbo, found.amax(dim=0)).double(), elbo.double()
    log_evidence = log_evidence_quadrature(model, x)
    return Gaps(log_evidence, best_elbo, elbo, log_evidence - best_elbo, best_elbo - elbo)


def _posterior_mode(model: VAE, x: Tensor, num_grid: int = 101, limit: float = 5.0) -> Tensor:
    """The point of a grid with the highest p(x, z) for each image, shape (batch, d)."""
    z = _latent_grid(model.latent_dim, num_grid, limit, x)
    log_joint = _pairwise_log_likelihood(model, x, z) - 0.5 * (z**2).sum(dim=-1, keepdim=True)
    return z[log_joint.argmax(dim=0)]


def _latent_grid(latent_dim: int, num_grid: int, limit: float, like: Tensor) -> Tensor:
    """All points of a regular grid over [-limit, limit]^d, shape (num_grid^d, d)."""
    axis = torch.linspace(-limit, limit, num_grid, dtype=like.dtype, device=like.device)
    return torch.cartesian_prod(*[axis] * latent_dim).reshape(-1, latent_dim)


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


def _pairwise_log_likelihood(model: VAE, x: Tensor, z: Tensor) -> Tensor:
    """log p(x_j given z_i) for every pair, shape (num_z, batch), by one matrix product."""
    output = model.decode(z)
    if model.likelihood == "bernoulli":
        return output @ x.T - F.softplus(output, threshold=40).sum(dim=-1, keepdim=True)
    squared = torch.cdist(output.double(), x.double()) ** 2
    log_var = model.x_log_var.double()
    return -0.5 * (squared * torch.exp(-log_var) + model.data_dim * (log_var + math.log(2 * math.pi)))


def _check(model: VAE, x: Tensor, max_latents: int | None = None) -> None:
    if max_latents is not None and model.latent_dim > max_latents:
        raise ValueError(
            f"model: expected at most {max_latents} latents for quadrature, got "
            f"{model.latent_dim}; use log_evidence_iwae instead"
        )
    check_batch("x", x, model.data_dim)
    if model.likelihood == "bernoulli":
        check_unit_interval("x", x)
