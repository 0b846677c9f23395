"""Small models, images, files and worlds that several tests look at, and oracles for what they give.

Someone who adds a likelihood adds its row to `ORACLES`, and nothing else here.
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Normal
from torch.nn.utils import parameters_to_vector

from vae_helpers.models.likelihoods import LIKELIHOODS
from vae_helpers.models.vae import VAE
from vae_helpers.numerics.linear_gaussian import LinearGaussian

EACH_LIKELIHOOD = pytest.mark.parametrize("likelihood", list(LIKELIHOODS))
# p(x given z) by torch.distributions, one distribution for each pixel. A likelihood that is not here
# fails every test that asks what it should give.
ORACLES = {
    "bernoulli": lambda model, output: Bernoulli(logits=output),
    "gaussian": lambda model, output: Normal(output, torch.exp(0.5 * model.x_log_var)),
}
PRIOR = Normal(0.0, 1.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- Small models and images --------------------------------------------------------------------------


def small_vae(likelihood: str = "bernoulli", latent_dim: int = 2, seed: int = 3, **options) -> VAE:
    """A VAE of a few units, with six pixels unless the options of `VAE` say otherwise.

    Its weights are doubled, so that q and the likelihood depend much on their inputs, and what the
    likelihood learns is not where it starts.
    """
    options = {"hidden_dim": 8, "num_hidden": 1, "data_dim": 6} | options
    model = VAE(latent_dim, likelihood=likelihood, generator=generator(seed), **options)
    with torch.no_grad():
        for layer in (*model.encoder, *model.decoder):
            if isinstance(layer, nn.Linear):
                layer.weight *= 2
        for name in model.observation.parameters:
            getattr(model, name).add_(0.5)
    return model


def small_images(num: int = 40, data_dim: int = 6, seed: int = 1) -> Tensor:
    """Grey values."""
    return torch.rand(num, data_dim, generator=generator(seed))


def small_x(model: VAE, batch: int = 4) -> Tensor:
    """What the model's likelihood observes of grey images, in the model's precision."""
    dtype = next(model.parameters()).dtype
    return model.observation.observe(small_images(batch, model.data_dim).to(dtype), generator())


def all_weights(model: nn.Module) -> Tensor:
    """A copy of all parameters, one after the other."""
    return parameters_to_vector(model.parameters()).detach().clone()


def as_numpy(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().numpy() for tensor in tensors]


# --- Oracles ------------------------------------------------------------------------------------------


def distribution(model: VAE, z: Tensor) -> Distribution:
    """p(x given z), one distribution for each pixel; KeyError for a likelihood that has no oracle."""
    if model.likelihood not in ORACLES:
        raise KeyError(f"add the distribution of {model.likelihood!r} to ORACLES in {__file__}")
    return ORACLES[model.likelihood](model, model.decoder(z))


def approximate_posterior(model: VAE, x: Tensor) -> Normal:
    """q(z given x), one distribution for each latent."""
    mu, log_var = model.encoder(x).chunk(2, dim=-1)
    return Normal(mu, torch.exp(0.5 * log_var))


def log_joint(model: VAE, x: Tensor, z: Tensor) -> Tensor:
    """log p(x given z) + log p(z), summed over pixels and latents."""
    return distribution(model, z).log_prob(x).sum(dim=-1) + PRIOR.log_prob(z).sum(dim=-1)


@torch.no_grad()
def integrals(model: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """The exact ELBO and log p(x) of each image (batch, D) for one or two latents.

    By Gauss's rule in short panels over [-8, 8]: another than the trapezoids of `quadrature`, and than
    the Gauss-Hermite nodes of `gaps`. The prior beyond has a weight of 1e-15.
    """
    panels, (nodes, weights) = 40, np.polynomial.legendre.leggauss(8)
    width = 16 / panels
    axis = (np.arange(panels)[:, None] + (1 + nodes) / 2).ravel() * width - 8
    weight = np.tile(weights * width / 2, panels)
    z = _product(model.latent_dim, axis)
    log_weight = _product(model.latent_dim, np.log(weight)).sum(dim=-1)[:, None]
    joint = log_joint(model, x, z[:, None])  # (nodes, batch)
    log_q = approximate_posterior(model, x).log_prob(z[:, None]).sum(dim=-1)
    elbo = (torch.exp(log_q + log_weight) * (joint - log_q)).sum(dim=0)
    return elbo, torch.logsumexp(joint + log_weight, dim=0)


def _product(dim: int, axis: np.ndarray) -> Tensor:
    """All points of a plane (or a line) with these coordinates, shape (n, dim)."""
    return torch.from_numpy(np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim))


def linear_world(
    latent_dim: int, data_dim: int, exact_posterior: bool = False, orthogonal: bool = False
) -> tuple[LinearGaussian, VAE, Tensor]:
    """A linear-Gaussian world and the same world as a VAE, with five images from it (float64).

    The encoder is linear: with `exact_posterior` the posterior's mean and the best diagonal
    variances (which are the posterior's own when the columns of W are orthogonal).
    """
    rng, noise_std = np.random.default_rng(7), 0.7
    weight = rng.normal(size=(data_dim, latent_dim)) * 0.8
    if orthogonal:
        weight = np.linalg.qr(weight)[0] * np.linspace(1.5, 0.5, latent_dim)
    world = LinearGaussian(weight, rng.normal(size=data_dim), noise_std)
    model = VAE(latent_dim, 1, "gaussian", num_hidden=1, data_dim=data_dim)
    model.encoder, model.decoder = nn.Linear(data_dim, 2 * latent_dim), nn.Linear(latent_dim, data_dim)
    model.double()
    precision = np.eye(latent_dim) + weight.T @ weight / noise_std**2
    to_mean = np.linalg.solve(precision, weight.T) / noise_std**2
    log_var = -np.log(np.diag(precision))
    if not exact_posterior:
        to_mean, log_var = 0.8 * to_mean + 0.05, log_var + 0.4
    with torch.no_grad():
        model.decoder.weight.copy_(torch.from_numpy(world.weight))
        model.decoder.bias.copy_(torch.tensor(world.bias))
        model.x_log_var.fill_(2 * math.log(noise_std))
        model.encoder.weight.copy_(torch.from_numpy(np.vstack([to_mean, np.zeros_like(to_mean)])))
        model.encoder.bias.copy_(torch.from_numpy(np.concatenate([-to_mean @ world.bias, log_var])))
    return world, model, torch.from_numpy(world.sample(5, rng)[1])


# --- Files in MNIST's format --------------------------------------------------------------------------

IDX_PREFIX = {"train": "train", "test": "t10k"}


def idx(array: np.ndarray) -> bytes:
    """An IDX file: 0, 0, type 8, number of axes, big-endian sizes, data."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(
    folder: Path, split: str, images: np.ndarray | bytes, labels: np.ndarray | bytes, gz: bool = False
) -> None:
    """Writes a pair of files, gzipped or not; bytes stand for a whole file."""
    for name, content in (("images-idx3", images), ("labels-idx1", labels)):
        content = content if isinstance(content, bytes) else idx(content)
        path = folder / f"{IDX_PREFIX[split]}-{name}-ubyte{'.gz' if gz else ''}"
        path.write_bytes(gzip.compress(content) if gz else content)
