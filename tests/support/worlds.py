"""Small models and worlds that several tests look at, and what is known of them by other programs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Distribution, Normal

from vae_helpers.models.likelihoods import LIKELIHOODS
from vae_helpers.models.vae import VAE

EACH_LIKELIHOOD = pytest.mark.parametrize("likelihood", list(LIKELIHOODS))
# p(x given z) by torch.distributions, one distribution for each pixel. A likelihood that is not here
# fails every test of `EACH_LIKELIHOOD`.
ORACLES = {
    "bernoulli": lambda model, output: Bernoulli(logits=output),
    "gaussian": lambda model, output: Normal(output, torch.exp(0.5 * model.x_log_var)),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distribution(model: VAE, z: torch.Tensor) -> Distribution:
    """p(x given z) by the oracle; KeyError for a likelihood without one."""
    return ORACLES[model.likelihood](model, model.decoder(z))


def small_vae(
    likelihood: str = "bernoulli", latent_dim: int = 2, data_dim: int = 6, scale: float = 1.0, seed: int = 0
) -> VAE:
    """A VAE of a few units in float32; with scale 3 q and the likelihood depend much on their inputs."""
    model = VAE(latent_dim, 8, likelihood, num_hidden=1, data_dim=data_dim, generator=generator(seed))
    with torch.no_grad():
        for layer in (*model.encoder, *model.decoder):
            if isinstance(layer, nn.Linear):
                layer.weight *= scale
    return model


def small_images(num: int = 40, data_dim: int = 6, seed: int = 1) -> torch.Tensor:
    """Grey values."""
    return torch.rand(num, data_dim, generator=generator(seed))


def small_x(batch: int = 4, data_dim: int = 6) -> torch.Tensor:
    """Zeros and ones, float64."""
    return torch.randint(0, 2, (batch, data_dim), generator=generator(1)).double()
