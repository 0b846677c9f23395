"""The variational autoencoder: a Gaussian encoder and a Bernoulli or Gaussian decoder (PyTorch)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_helpers.models._validate import (
    check_count,
    check_images,
    check_same_shape,
    check_tensor,
    check_unit_interval,
    fresh_generator,
)

LIKELIHOODS = ("bernoulli", "gaussian")
ACTIVATIONS = {"gelu": nn.GELU, "tanh": nn.Tanh, "relu": nn.ReLU}


class VAE(nn.Module):
    """A VAE with prior N(0, I), q(z given x) = N(mu, diag(exp(log_var))), and fully connected nets.

    Args:
        latent_dim: size d of z.
        hidden_dim: units in each hidden layer of encoder and decoder.
        likelihood: "bernoulli" (binary pixels; the decoder gives logits) or "gaussian" (the
            decoder gives means; one standard deviation σ for all pixels is learned).
        num_hidden: hidden layers in each network.
        activation: "gelu", "tanh" or "relu".
        data_dim: number of pixels D.
        generator: where the initial weights come from; None takes fresh entropy.

    Attributes:
        config: the arguments above without the generator, as a dict; `training.save` stores it.
        x_log_var: log σ² of the Gaussian likelihood, a scalar parameter (not there otherwise).

    Raises:
        ValueError: an unknown likelihood or activation, or a size below 1.

    Source: Kingma & Welling 2014, section 3 and appendix C.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden_dim: int = 400,
        likelihood: str = "bernoulli",
        *,
        num_hidden: int = 2,
        activation: str = "gelu",
        data_dim: int = 784,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = {
            "latent_dim": latent_dim,
            "hidden_dim": hidden_dim,
            "num_hidden": num_hidden,
            "data_dim": data_dim,
        }
        for name, size in sizes.items():
            check_count(name, size)
        if likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood: expected one of {LIKELIHOODS}, got {likelihood!r}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation: expected one of {tuple(ACTIVATIONS)}, got {activation!r}")
        self.config = {**sizes, "likelihood": likelihood, "activation": activation}
        self.latent_dim, self.data_dim, self.likelihood = latent_dim, data_dim, likelihood
        hidden = [hidden_dim] * num_hidden
        self.encoder = _mlp([data_dim, *hidden, 2 * latent_dim], ACTIVATIONS[activation])
        self.decoder = _mlp([latent_dim, *hidden, data_dim], ACTIVATIONS[activation])
        if likelihood == "gaussian":
            self.x_log_var = nn.Parameter(torch.tensor(math.log(0.1)))
        self._initialize(fresh_generator(generator))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """q(z given x) for x of shape (..., D): mu and log_var, each of shape (..., d).

        Raises:
            ValueError: a wrong shape or dtype, an empty tensor, NaN.
        """
        self._check("x", x, self.data_dim)
        # Under autocast a layer's output has half precision; what comes of it should not.
        mu, log_var = self.encoder(x).to(x.dtype).chunk(2, dim=-1)
        return mu, log_var

    def decode(self, z: Tensor) -> Tensor:
        """The decoder's output for z of shape (..., d): x_logits or x_mean, shape (..., D).

        Raises:
            ValueError: a wrong shape or dtype, an empty tensor, NaN.
        """
        self._check("z", z, self.latent_dim)
        return self.decoder(z).to(z.dtype)

    def mean(self, z: Tensor) -> Tensor:
        """E[x given z] for z of shape (..., d): pixel means of shape (..., D).

        Raises:
            ValueError: a wrong shape or dtype, an empty tensor, NaN.
        """
        output = self.decode(z)
        return torch.sigmoid(output) if self.likelihood == "bernoulli" else output

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x given z) in nats, summed over pixels.

        Args:
            x: images, shape (..., D); in [0, 1] for a Bernoulli likelihood.
            z: latents, shape (..., d); their leading axes broadcast with those of x.

        Returns:
            Tensor of shape (...).

        Raises:
            ValueError: shapes that do not go together, a wrong dtype, NaN, or pixels that the
                likelihood does not know.
        """
        self._check("x", x, self.data_dim)
        output = self.decode(z)
        try:
            torch.broadcast_shapes(x.shape, output.shape)
        except RuntimeError:
            raise ValueError(
                f"z: expected a batch like that of x, {tuple(x.shape)}, got {tuple(z.shape)}"
            ) from None
        if self.likelihood == "bernoulli":
            check_unit_interval("x", x)
            # x log σ(a) + (1 - x) log(1 - σ(a)) = x a - softplus(a), stable for every logit a; from
            # 40 on softplus is linear to the last bit of float64 (PyTorch cuts it at 20 already).
            return (x * output - F.softplus(output, threshold=40)).sum(dim=-1)
        squared = (x - output) ** 2 * torch.exp(-self.x_log_var)
        return -0.5 * (squared + self.x_log_var + math.log(2 * math.pi)).sum(dim=-1)

    @torch.no_grad()
    def sample(self, num: int, generator: torch.Generator | None = None) -> Tensor:
        """Pixel means of `num` draws z from the prior, shape (num, D).

        Args:
            num: number of images, at least 1.
            generator: where the draws come from; None takes fresh entropy.
        """
        check_count("num", num)
        device = next(self.parameters()).device
        generator = fresh_generator(generator, device)
        return self.mean(torch.randn(num, self.latent_dim, generator=generator, device=device))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Pixel means decoded from the mean of q(z given x), for x (batch, D): shape (batch, D)."""
        return self.mean(self.encode(x)[0])

    @torch.no_grad()
    def set_output_bias(self, images: Tensor) -> None:
        """Starts the decoder at the mean image, which spares the first epochs of training.

        Args:
            images: values in [0, 1], shape (n, D).
        """
        mean = check_images(images, self.data_dim).mean(dim=0)
        if self.likelihood == "bernoulli":
            mean = torch.logit(mean.clamp(1e-3, 1 - 1e-3))
        self.decoder[-1].bias.copy_(mean)

    def _check(self, name: str, value: Tensor, size: int) -> None:
        check_tensor(name, value, size)
        if value.dtype != (dtype := next(self.parameters()).dtype):
            raise ValueError(f"{name}: expected {dtype} like the model's weights, got {value.dtype}")

    @torch.no_grad()
    def _initialize(self, generator: torch.Generator) -> None:
        """PyTorch's own scheme for linear layers (uniform, ±1/√fan_in), from this generator."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                bound = 1 / math.sqrt(layer.in_features)
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)


def reparameterize(
    mu: Tensor, log_var: Tensor, num_samples: int = 1, generator: torch.Generator | None = None
) -> Tensor:
    """Draws z = mu + std · eps with eps ~ N(0, I), differentiable in mu and log_var.

    Args:
        mu: means, shape (batch, d).
        log_var: log-variances, shape (batch, d).
        num_samples: draws for each row.
        generator: where eps comes from; None takes fresh entropy.

    Returns:
        Tensor of shape (num_samples, batch, d).

    Raises:
        ValueError: shapes that differ, or num_samples below 1.

    Source: Kingma & Welling 2014, section 2.4.
    """
    check_count("num_samples", num_samples)
    check_same_shape(mu, log_var)
    eps = torch.randn(
        num_samples,
        *mu.shape,
        generator=fresh_generator(generator, mu.device),
        device=mu.device,
        dtype=mu.dtype,
    )
    return mu + torch.exp(0.5 * log_var) * eps


def _mlp(sizes: list[int], activation: type[nn.Module]) -> nn.Sequential:
    # skip_init, since `_initialize` fills the layers: PyTorch's own filling moves the global state.
    layers: list[nn.Module] = []
    for size_in, size_out in zip(sizes[:-2], sizes[1:-1], strict=True):
        layers += [nn.utils.skip_init(nn.Linear, size_in, size_out), activation()]
    return nn.Sequential(*layers, nn.utils.skip_init(nn.Linear, sizes[-2], sizes[-1]))
