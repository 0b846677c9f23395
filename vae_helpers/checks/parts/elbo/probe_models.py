"""Small models that student's functions are probed with, and how they are handed over."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_helpers.checks.engine.calling import Student
from vae_helpers.numerics._validate import Array

if TYPE_CHECKING:
    from vae_helpers.models.vae import VAE

PIXELS = 784


def draw_images(rng: np.random.Generator, batch: int, dim: int) -> tuple[Array]:
    """Black images with a few white pixels: their log-likelihoods differ, and are not large."""
    density = rng.uniform(0.005, 0.06, (batch, 1))
    return ((rng.uniform(size=(batch, dim)) < density).astype(float),)


@lru_cache(maxsize=8)
def probe_model(latents: int, unit: bool = False, slope: float = 0.0) -> VAE:
    """A small VAE with an encoder of some width.

    Args:
        latents: latent dimension.
        unit: put the logits between 0 and 1, where they could be probabilities.
        slope: how much the logits depend on the first latent; 0 for a decoder that ignores z.
    """
    import torch

    from vae_helpers.models.vae import VAE

    generator = torch.Generator().manual_seed(latents)
    model = VAE(latents, 8, num_hidden=1, activation="tanh", generator=generator)
    with torch.no_grad():
        model.encoder[0].weight.mul_(8)
        model.encoder[2].weight.mul_(3.5)
        model.decoder[2].weight.zero_()
        if slope:  # one hidden unit that is nearly linear in the first latent
            model.decoder[0].weight.zero_()
            model.decoder[0].weight[0, 0] = 0.5
            model.decoder[0].bias.zero_()
            model.decoder[2].weight[::16, 0] = slope * torch.linspace(-1, 1, 49)
        logits = torch.linspace(0.2, 0.8, PIXELS) if unit else torch.linspace(-4.5, -2.5, PIXELS)
        model.decoder[2].bias.copy_(logits)
    return model.eval()


def encode(model: VAE, x: Array) -> tuple[Array, Array]:
    """The means and log-variances of q for images x, as float64 arrays."""
    import torch

    with torch.no_grad():
        mu, log_var = model.encode(torch.tensor(x, dtype=torch.float32))
    return mu.double().numpy(), log_var.double().numpy()


def guarded(fn: Callable[..., Any], latents: int, **options: Any) -> Student:
    """The function of images alone, with a model of its own in the precision of the images."""
    import torch

    model = probe_model(latents, **options)
    models = {dtype: copy.deepcopy(model).to(dtype) for dtype in (torch.float64, torch.float32)}
    return Student(lambda x: fn(models[x.dtype], x), ("torch float64", "torch float32"))


def small_vae(latent_dim: int, data_dim: int, seed: int) -> VAE:
    """An untrained Bernoulli VAE whose weights are large enough that every z matters."""
    import torch

    from vae_helpers.models.vae import VAE

    g = torch.Generator().manual_seed(seed)
    model = VAE(latent_dim, hidden_dim=16, num_hidden=1, data_dim=data_dim, generator=g)
    with torch.no_grad():
        for layer in (model.encoder[0], model.decoder[0], model.decoder[-1]):
            layer.weight.mul_(3)
    return model.eval()
