"""What a VAE maximises: the ELBO, its β-weighted form and the importance-weighted bound (PyTorch).

All values are nats per image: summed over pixels and latents, one number for each image. Average
over the batch only when you need a loss: `loss = -elbo(model, x).elbo.mean()`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vae_helpers.models._validate import check_model, check_same_shape
from vae_helpers.models.vae import VAE, reparameterize
from vae_helpers.numerics._validate import as_count, as_number


class Elbo(NamedTuple("Elbo", [("elbo", Tensor), ("log_likelihood", Tensor), ("kl", Tensor)])):
    """The ELBO of each image and its two parts, in nats, each of shape (batch,): a tuple of three.

    Attributes:
        elbo: log_likelihood - beta * kl.
        log_likelihood: estimate of E_q[log p(x given z)]; its negative is called distortion.
        kl: KL(q(z given x), p(z)) in closed form; also called rate.
        kl_per_latent: its part of each latent, shape (batch, d); no member of the tuple.
    """

    kl_per_latent: Tensor | None = None

    def __new__(
        cls, elbo: Tensor, log_likelihood: Tensor, kl: Tensor, kl_per_latent: Tensor | None = None
    ) -> Elbo:
        """Puts the parts together."""
        parts = super().__new__(cls, elbo, log_likelihood, kl)
        parts.kl_per_latent = kl_per_latent
        return parts


def elbo(
    model: VAE,
    x: Tensor,
    beta: float = 1.0,
    num_samples: int = 1,
    generator: torch.Generator | None = None,
) -> Elbo:
    """Evidence lower bound of each image: E_q[log p(x given z)] - beta KL(q(z given x), p(z)).

    Args:
        model: the VAE.
        x: images, shape (batch, D); zeros and ones for a Bernoulli likelihood (grey values give
            a number, but not a log-likelihood).
        beta: weight of the KL; only beta = 1 is a bound on log p(x) that is tight for the best q.
        num_samples: draws of z for each image in the first term; the KL is exact.
        generator: where the draws come from; None takes fresh entropy.

    Returns:
        `Elbo`; differentiable by reparameterization.

    Raises:
        ValueError: a wrong shape, NaN, a negative beta, or num_samples below 1.

    Source: Kingma & Welling 2014, eq. 7; Higgins et al. 2017, eq. 4 for beta.
    """
    beta = as_number("beta", beta, minimum=0)
    mu, log_var = check_model(model).encode(x)
    z = reparameterize(mu, log_var, num_samples, generator)  # (num_samples, batch, d)
    log_likelihood = model.log_likelihood(x, z).mean(dim=0)
    kl_per_latent = _kl_per_latent(mu, log_var)
    kl = kl_per_latent.sum(dim=-1)
    return Elbo(log_likelihood - beta * kl, log_likelihood, kl, kl_per_latent)


def iwae(model: VAE, x: Tensor, num_samples: int, generator: torch.Generator | None = None) -> Tensor:
    """Importance-weighted bound of each image: log (1/k) Σ_k p(x, z_k) / q(z_k given x).

    Args:
        model: the VAE.
        x: images, shape (batch, D).
        num_samples: number k of draws from q(z given x); k = 1 is a one-sample ELBO.
        generator: where the draws come from; None takes fresh entropy.

    Returns:
        Tensor of shape (batch,), in nats; its mean grows with k towards log p(x).

    Raises:
        ValueError: a wrong shape, NaN, or num_samples below 1.

    Source: Burda, Grosse & Salakhutdinov 2016, eq. 8.
    """
    as_count("num_samples", num_samples)
    return torch.logsumexp(log_weights(model, x, num_samples, generator), dim=0) - math.log(num_samples)


def iwae_for_training(
    model: VAE, x: Tensor, num_samples: int, generator: torch.Generator | None = None
) -> Tensor:
    """The importance-weighted bound of each image, with a gradient of less variance.

    The value is that of `iwae`, and so is the expectation of the gradient. But the encoder's part
    comes through the draws alone (q's density is held fixed where it is evaluated), and each draw
    counts with the square of its normalised weight: the doubly reparameterized estimator. It goes to
    zero where q is the posterior, and does not drown in noise as num_samples grows. For one draw it
    is the path derivative of the ELBO ("sticking the landing").

    Args:
        model: the VAE.
        x: images, shape (batch, D).
        num_samples: number k of draws from q(z given x).
        generator: where the draws come from; None takes fresh entropy.

    Returns:
        Tensor of shape (batch,), in nats.

    Raises:
        ValueError: a wrong shape, NaN, or num_samples below 1.

    Source: Tucker, Lawson, Gu & Maddison 2019, eq. 8; Roeder, Wu & Duvenaud 2017 for k = 1.
    """
    as_count("num_samples", num_samples)
    mu, log_var = check_model(model).encode(x)
    z, eps = _draws(mu, log_var, num_samples, generator)
    density = log_var.detach()  # of q, held fixed: its gradient comes through z alone, and is eps / σ there
    narrowest = torch.finfo(density.dtype).max / 16  # 1 / σ has to be finite, as it is multiplied by zero
    score = eps * torch.exp(-0.5 * density).clamp(max=narrowest)
    path = ((z - z.detach()) * score).sum(dim=-1)  # zero, with that gradient
    log_weight = _log_weights(model, x, z, eps, density) + path
    share = torch.softmax(log_weight.detach(), dim=0)  # (num_samples, batch)
    if z.requires_grad:
        z.register_hook(lambda gradient: gradient * share[..., None])
    surrogate = (share * log_weight).sum(dim=0)
    value = torch.logsumexp(log_weight.detach(), dim=0) - math.log(num_samples)
    return value + (surrogate - surrogate.detach())


def log_weights(model: VAE, x: Tensor, num_samples: int, generator: torch.Generator | None = None) -> Tensor:
    """log p(x, z) - log q(z given x) for draws z ~ q(z given x), shape (num_samples, batch)."""
    mu, log_var = check_model(model).encode(x)
    return _log_weights(model, x, *_draws(mu, log_var, num_samples, generator), log_var)


def _draws(
    mu: Tensor, log_var: Tensor, num_samples: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """What `reparameterize` draws, z = mu + std · eps, and eps."""
    check_same_shape(mu, log_var)
    zero = torch.zeros_like(mu.detach())
    eps = reparameterize(zero, zero, num_samples, generator)
    return mu + torch.exp(0.5 * log_var) * eps, eps


def _log_weights(model: VAE, x: Tensor, z: Tensor, eps: Tensor, log_var: Tensor) -> Tensor:
    # The factors 2π of prior and q cancel in the ratio. (z - mu) / σ is eps: computed from z, which is
    # rounded, it would be wrong by as many σ as one step of a float holds, thousands for a sharp q.
    log_ratio = 0.5 * (eps**2 + log_var - z**2).sum(dim=-1)
    return model.log_likelihood(x, z) + log_ratio


def kl_standard_normal(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mu, diag(exp(log_var))), N(0, I)) of each row, without cancellation near 0.

    Args:
        mu: means, shape (..., d).
        log_var: log-variances, shape (..., d).

    Returns:
        Tensor of shape (...), in nats, never negative.

    Raises:
        ValueError: shapes that differ, an empty tensor, NaN.

    Source: Kingma & Welling 2014, appendix B.
    """
    return _kl_per_latent(mu, log_var).sum(dim=-1)


def _kl_per_latent(mu: Tensor, log_var: Tensor) -> Tensor:
    check_same_shape(mu, log_var)
    return _KL.apply(mu, log_var)


class _KL(torch.autograd.Function):
    """Value and gradient of ½ (mu² + exp(v) - 1 - v), v = log_var: d/dmu is mu, d/dv is ½ (exp(v) - 1)."""

    @staticmethod
    def forward(ctx: Any, mu: Tensor, log_var: Tensor) -> Tensor:
        ctx.save_for_backward(mu, log_var)
        # exp(v) - 1 - v loses its digits where v is small; there, its Taylor series by Horner's rule.
        near = log_var.abs() < 0.25
        v = torch.where(near, log_var, 0.0)
        one = series = torch.ones_like(v)
        for k in range(14 if v.dtype == torch.float64 else 8, 2, -1):
            series = torch.addcmul(one, v, series, value=1 / k)
        excess = torch.where(near, 0.5 * v**2 * series, torch.expm1(log_var) - log_var)
        return 0.5 * (mu**2 + excess)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_var = ctx.saved_tensors
        return grad * mu, 0.5 * grad * torch.expm1(log_var)
