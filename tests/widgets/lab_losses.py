"""The Lab's losses once more, in PyTorch and as their authors would write them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def bernoulli(x, a):
    return -F.binary_cross_entropy_with_logits(a, x, reduction="none").sum(dim=-1)


def mean_over_pixels(x, a):
    return -F.binary_cross_entropy_with_logits(a, x, reduction="none").mean(dim=-1)


def squared(x, a):
    return -(x - torch.sigmoid(a)).square().sum(dim=-1)


def kl(mu, log_var):
    return 0.5 * (log_var.exp() + mu**2 - 1 - log_var).sum(dim=-1)


def half_dropped(mu, log_var):
    return -(1 + log_var - mu.pow(2) - log_var.exp()).sum(dim=-1)


def std_for_var(mu, log_var):
    return 0.5 * ((0.5 * log_var).exp() + mu**2 - 1 - log_var).sum(dim=-1)


def log_std(mu, log_var):
    std = (0.5 * log_var).exp()
    return 0.5 * (std**2 + mu**2 - 1 - std.log()).sum(dim=-1)


def mean_over_latents(mu, log_var):
    return 0.5 * (log_var.exp() + mu**2 - 1 - log_var).mean(dim=-1)


def draw(mu, log_var, eps):
    return mu + (0.5 * log_var).exp() * eps


def draw_by_variance(mu, log_var, eps):
    return mu + log_var.exp() * eps


def no_draw(mu, log_var, eps):
    return mu


def draw_uniform(mu, log_var, eps):
    return mu + (0.5 * log_var).exp() * torch.special.ndtr(eps)  # what torch.rand_like would give


RIGHT = {"log_lik": bernoulli, "kl": kl, "sample": draw, "sign": -1.0}
PARTS: dict[str, dict[str, object]] = {
    "right": {},
    "half": {"kl": half_dropped},
    "added": {"sign": 1.0},
    "pixels": {"log_lik": mean_over_pixels},
    "std": {"kl": std_for_var},
    "log": {"kl": log_std},
    "latents": {"kl": mean_over_latents},
    "variance": {"sample": draw_by_variance},
    "mean": {"sample": no_draw},
    "uniform": {"sample": draw_uniform},
    "squared": {"log_lik": squared},
    "grey": {},  # the formula is right, the pixels are not
}


def objective(name: str, beta: float = 1.0) -> Callable[..., Tensor]:
    """The objective of a loss, as a function of a model, images and, where it is given, the noise."""
    parts = RIGHT | PARTS[name]

    def value(model, x, eps=None):
        mu, log_var = model.encode(x)
        eps = torch.randn_like(mu) if eps is None else eps
        z = parts["sample"](mu, log_var, eps)
        return parts["log_lik"](x, model.decode(z)) + parts["sign"] * beta * parts["kl"](mu, log_var)

    return value
