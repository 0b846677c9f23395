"""Likelihoods p(x given z): what a decoder's output says of an image (PyTorch).

A new one is a class with `@register`; `VAE(likelihood="its name")` then trains, samples and is
evaluated with it, and nothing else needs to know.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vae_helpers.models._validate import check_images, check_unit_interval, fresh_generator


class Likelihood(ABC):
    """A density of D pixels, independent given the decoder's output: one number for each, (..., D).

    Attributes:
        name: what `VAE(likelihood=…)` calls it.
        parameters: numbers that are learned and shared by all pixels, and what they start from. The
            model holds each under its name; the two log-densities are given them by these names.
    """

    name: ClassVar[str]
    parameters: ClassVar[Mapping[str, float]] = MappingProxyType({})

    @abstractmethod
    def log_prob(self, x: Tensor, output: Tensor, **parameters: Tensor) -> Tensor:
        """log p(x given z) in nats, summed over pixels: shape (...) of x and output broadcast."""

    @abstractmethod
    def mean(self, output: Tensor) -> Tensor:
        """E[x given z], the pixel means: shape (..., D)."""

    def pairwise_log_prob(self, x: Tensor, output: Tensor, **parameters: Tensor) -> Tensor:
        """log p(x_j given z_i) for all pairs of x (batch, D) and output (num_z, D): (num_z, batch).

        Quadrature needs many of these; a matrix product, where there is one, is much faster.
        """
        return torch.stack([self.log_prob(x, row, **parameters) for row in output])

    def observe(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        """The x whose density this is, for images of grey values in [0, 1]: by default these themselves."""
        return images

    def levels(self, images: Tensor) -> Tensor:
        """What `draw` needs of the images, computed once before a training: by default these themselves."""
        return images

    def draw(self, levels: Tensor, generator: torch.Generator) -> Tensor:
        """`observe` of some rows of `levels`, for training, where it is called at every step."""
        return self.observe(levels, generator)

    def output_of(self, mean: Tensor) -> Tensor:
        """The output whose mean is the mean image (D,), where the decoder starts."""
        return mean

    def check(self, name: str, x: Tensor) -> Tensor:
        """Returns x.

        Raises:
            ValueError: pixels that it does not know; by default it knows all numbers.
        """
        return x


LIKELIHOODS: dict[str, Likelihood] = {}


def register(likelihood: type[Likelihood]) -> type[Likelihood]:
    """Makes a likelihood known to `VAE` by its name; for use as a decorator.

    Raises:
        ValueError: another likelihood has this name.
    """
    if likelihood.name in LIKELIHOODS:
        raise ValueError(f"name: expected one that is not taken, got {likelihood.name!r}")
    LIKELIHOODS[likelihood.name] = likelihood()
    return likelihood


@register
class Bernoulli(Likelihood):
    """Black-and-white pixels, x = 1 with probability σ(x_logits); the output is x_logits.

    Source: Kingma & Welling 2014, appendix C.1.
    """

    name = "bernoulli"

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """x log σ(a) + (1 - x) log(1 - σ(a)) = x a - log(1 + exp(a)), stable for every logit a."""
        return _BernoulliLogProb.apply(x, output)

    def mean(self, output: Tensor) -> Tensor:
        """σ(x_logits)."""
        return torch.sigmoid(output)

    def pairwise_log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """All pairs at once: Σ x a is a matrix product, Σ softplus(a) does not depend on x."""
        return output @ x.T - _softplus(output).sum(dim=-1, keepdim=True)

    def observe(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        """New black-and-white images, each pixel white with its grey value as the probability."""
        return binarize(images, generator)

    def levels(self, images: Tensor) -> Tensor:
        """Grey values in steps of 2⁻¹⁶ and from -2¹⁵ on, so that a draw of 16 bits decides a pixel."""
        return (images * 2**16 - 2**15).round().clamp(max=2**15 - 1).to(torch.int16)

    def draw(self, levels: Tensor, generator: torch.Generator) -> Tensor:
        """New black-and-white images of float32; the random bits take a fraction of the time of `observe`."""
        # The lowest and the highest level stand for black and white, which are sure.
        bits = _bits(levels.shape, generator).clamp_(max=2**15 - 2)
        x = torch.empty(levels.shape, device=levels.device)
        return torch.lt(bits, levels, out=x)  # from bool to float32 is a longer way

    def output_of(self, mean: Tensor) -> Tensor:
        """The logits, of at most ±6.9 for pixels that are always black or white."""
        return torch.logit(mean.clamp(1e-3, 1 - 1e-3))

    def check(self, name: str, x: Tensor) -> Tensor:
        """Returns x, black, white or a probability between; ValueError outside [0, 1]."""
        return check_unit_interval(name, x)


@register
class Gaussian(Likelihood):
    """Grey pixels, x ~ N(x_mean, σ²) with one learned σ for all; the output is x_mean.

    Source: Kingma & Welling 2014, appendix C.2, with one σ.
    """

    name = "gaussian"
    parameters = MappingProxyType({"x_log_var": math.log(0.1)})

    def log_prob(self, x: Tensor, output: Tensor, x_log_var: Tensor) -> Tensor:
        """-½ Σ ((x - x_mean)² / σ² + log σ² + log 2π)."""
        # In two steps and within limits: 1 / σ² may be too large for a float where the square is not.
        root = torch.exp((-0.25 * x_log_var).clamp(max=80 if x.dtype == torch.float32 else 700))
        squared = ((x - output) * root * root) ** 2
        return -0.5 * (squared + x_log_var + math.log(2 * math.pi)).sum(dim=-1)

    def mean(self, output: Tensor) -> Tensor:
        """x_mean."""
        return output

    def pairwise_log_prob(self, x: Tensor, output: Tensor, x_log_var: Tensor) -> Tensor:
        """All pairs at once, from their distances in double precision."""
        squared, log_var = torch.cdist(output.double(), x.double()) ** 2, x_log_var.double()
        constant = x.shape[-1] * (log_var + math.log(2 * math.pi))
        return -0.5 * (squared * torch.exp(-log_var) + constant)


class _BernoulliLogProb(torch.autograd.Function):
    """Value and gradient of Σ x a - log(1 + exp(a)): d/da is x - σ(a), d/dx is a."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, logits: Tensor) -> Tensor:
        ctx.save_for_backward(x, logits)
        # log(1 + exp(a)) = max(a, 0) + log(1 + exp(-|a|)), and nothing cancels in max(a, 0) - x a for an x of
        # 0 or 1: a pixel of which the decoder is sure keeps its digits, however few nats it costs.
        lost = torch.addcmul(F.relu(logits), x, logits, value=-1)
        return lost.add_(_softplus(logits.abs().neg_())).sum(dim=-1).neg_()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, logits = ctx.saved_tensors
        of_x, of_logits = ctx.needs_input_grad
        grad = grad[..., None]
        return (
            (grad * logits).sum_to_size(x.shape) if of_x else None,
            _residual(x, logits, grad).sum_to_size(logits.shape) if of_logits else None,
        )


def _residual(x: Tensor, logits: Tensor, grad: Tensor) -> Tensor:
    """(x - σ(logits)) grad, in the memory of σ: new tensors would take longer than the arithmetic."""
    if torch.is_grad_enabled() or logits.shape[:-1] != grad.shape[:-1]:  # a second derivative is wanted, …
        return (x - torch.sigmoid(logits)) * grad  # … or there are more x than logits
    return torch.sigmoid(logits).sub_(x).mul_(-grad)


def _bits(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Uniform whole numbers from -2¹⁵ to 2¹⁵ - 1, as int16."""
    if generator.device.type != "cpu":
        return torch.randint(
            -(2**15), 2**15, shape, dtype=torch.int16, generator=generator, device=generator.device
        )
    # NumPy's fastest generator from a seed of ours; PyTorch's own takes two to four times as long.
    seed = torch.randint(2**63 - 1, (), generator=generator).item()
    words = np.random.SFC64(seed).random_raw((shape.numel() + 3) // 4)
    return torch.from_numpy(words.view(np.int16))[: shape.numel()].view(shape)


def _softplus(logits: Tensor) -> Tensor:
    # From 40 on it is linear to the last bit of float64 (PyTorch cuts it at 20 already).
    return F.softplus(logits, threshold=40)


def binarize(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draws black-and-white images: each pixel is 1 with a probability equal to its grey value.

    Args:
        images: grey values in [0, 1], any shape.
        generator: where the randomness comes from; None takes fresh entropy, so that every
            call differs (the global state is never touched).

    Returns:
        A float tensor of zeros and ones of the same shape.

    Raises:
        ValueError: values outside [0, 1], NaN, or an empty tensor.
        TypeError: not a floating-point tensor.

    Source: Salakhutdinov & Murray 2008, section 4 (stochastic binarization of MNIST).
    """
    check_images(images)
    # Uniform numbers and a comparison: the same zeros and ones on every machine.
    generator = fresh_generator(generator, images.device)
    return (torch.rand(images.shape, generator=generator, device=images.device) < images).to(images.dtype)
