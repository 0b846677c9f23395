"""Somebody's VAE as the course's own evaluation knows one: shapes, scales and names are settled here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_helpers.audit.recording import modules_of
from vae_helpers.models.likelihoods import LIKELIHOODS
from vae_helpers.numerics._validate import as_number, told

ENCODER_GIVES = {
    "log_var": lambda second: second,
    "log_std": lambda second: 2 * second,
    "var": torch.log,
    "std": lambda second: 2 * torch.log(second),
}
SECOND = {  # what the encoder gave, from log σ²
    "log_var": lambda log_var: log_var,
    "log_std": lambda log_var: 0.5 * log_var,
    "var": torch.exp,
    "std": lambda log_var: torch.exp(0.5 * log_var),
}
DECODER_GIVES = {"bernoulli": ("logits", "probabilities"), "gaussian": ("means",)}
LOWEST = -100.0  # where `binary_cross_entropy` of PyTorch cuts a logarithm off
Images = Tensor | np.ndarray


class Subject:
    """An encoder and a decoder with the interface of `vae_helpers.models.VAE` for flat images.

    Attributes:
        latent_dim: number d of latents.
        data_dim: number D of pixels.
        likelihood: "bernoulli", "gaussian" or "own".
        decoder_gives: "logits", "probabilities", "means", or "parameters" of an own likelihood.
        x_std: σ of a Gaussian likelihood.
        modules: the modules that encode and decode use, as far as they can be found.
        differentiable: whether a gradient reaches z through the decoder.
    """

    def __init__(
        self,
        encode: Callable[[Any], Any],
        decode: Callable[[Any], Any],
        images: Images,
        likelihood: str | Callable[[Tensor], Distribution] = "bernoulli",
        encoder_gives: str = "log_var",
        decoder_gives: str | None = None,
        x_std: float = 1.0,
    ) -> None:
        if isinstance(likelihood, type):
            raise TypeError(
                "likelihood: expected a function from the decoder's output to a distribution, got the class "
                f"{likelihood.__name__}: likelihood=lambda output: {likelihood.__name__}(…)"
            )
        for name, function in (("encode", encode), ("decode", decode)):
            if not callable(function):
                raise TypeError(f"{name}: expected a function, got {type(function).__name__}")
        if not isinstance(encoder_gives, str) or encoder_gives not in ENCODER_GIVES:
            known = tuple(ENCODER_GIVES)
            raise ValueError(f"encoder_gives: expected one of {known}, got {told(encoder_gives)}")
        self.encode_raw, self.decode_raw = encode, decode
        self.encoder_gives = encoder_gives
        self._distribution = None if isinstance(likelihood, str) else likelihood
        self.likelihood = likelihood if isinstance(likelihood, str) else "own"
        self.decoder_gives = self._decoder_gives(likelihood, decoder_gives)
        self._is_told = decoder_gives is not None
        self.x_std = as_number("x_std", x_std, positive=True)
        self.modules = modules_of(encode, decode)
        self.is_numpy = isinstance(images, np.ndarray)
        x = as_images(images)
        self.image_shape, self.data_dim = tuple(x.shape[1:]), x[0].numel()
        self.dtype, self.device = x.dtype, x.device
        self._check_device()
        self._check_scale(x)
        two = x[:2].reshape(2, -1)
        self.has_mean = self.has_sample = True
        mu, _ = self.encode(two)
        self.latent_dim = mu.shape[1]
        self._check_output(two, mu)
        z = torch.zeros(2, self.latent_dim, dtype=self.dtype, device=self.device)
        self.differentiable = False
        if not self.is_numpy:
            with torch.enable_grad():
                output = self.log_likelihood(two, z.requires_grad_())
            self.differentiable = output.requires_grad
        self.observation = self  # its `check` is that of a likelihood

    # ---- the interface of `VAE` --------------------------------------------------------------

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The means and log-variances of q(z given x) for images (n, D), each (n, d).

        Raises:
            TypeError: encode does not return two tensors.
            ValueError: … or not of one shape, or with NaN, or it cannot take the images.
        """
        given = self._call("encode", self.encode_raw, self.shaped(x))
        encoder_gives = self.encoder_gives
        if isinstance(given, Distribution):  # it tells its standard deviation itself
            given, encoder_gives = (given.mean, given.stddev), "std"
            self.encoder_gives = encoder_gives
        if not isinstance(given, tuple | list) or len(given) < 2:
            got = f"one of shape {tuple(given.shape)}" if hasattr(given, "shape") else type(given).__name__
            raise TypeError(f"encode: expected two tensors, mu and {self.encoder_gives}, got {got}")
        mu, second = (self._tensor("encode", part) for part in given[:2])
        if mu.shape != second.shape or mu.shape[0] != len(x):
            raise ValueError(
                f"encode: expected mu and {self.encoder_gives} of one shape ({len(x)}, d), got "
                f"{tuple(mu.shape)} and {tuple(second.shape)}"
            )
        self.latent_shape = tuple(mu.shape[1:])
        mu, second = mu.reshape(len(x), -1), second.reshape(len(x), -1)
        if encoder_gives in ("std", "var") and not (second > 0).all():
            low = second.min().item()
            raise ValueError(
                f"encode: expected a {self.encoder_gives} above 0, got {low:.3g}; is it a logarithm?"
            )
        log_var = ENCODER_GIVES[encoder_gives](second)
        self._check_finite("encode", mu, log_var)
        return mu, log_var

    def decode(self, z: Tensor) -> Tensor:
        """The decoder's output for z of shape (..., d), with one number for each pixel: (..., D).

        Raises:
            TypeError: decode does not return a tensor.
            ValueError: it gives another number of pixels, or NaN, or it cannot take z.
        """
        rows = z.reshape(-1, z.shape[-1])
        shaped = rows.reshape(-1, *self.latent_shape)
        output = self._call("decode", self.decode_raw, shaped.numpy() if self.is_numpy else shaped)
        if self._distribution is not None:
            return output
        if isinstance(output, tuple | list) and output:
            output = output[0]
        output = self._tensor("decode", output)
        if output.numel() != len(rows) * self.data_dim:
            raise ValueError(
                f"decode: expected {self.data_dim} numbers for each z, as an image has, got shape "
                f"{tuple(output.shape)} for z of shape {tuple(rows.shape)}"
            )
        self._check_finite("decode", output)
        return output.reshape(*z.shape[:-1], self.data_dim)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x given z) in nats, summed over pixels, for x (..., D) and z (..., d): (...)."""
        return self.log_prob(x, self.decode(z), z.shape[:-1])

    def log_prob(self, x: Tensor, output: Tensor, shape: torch.Size | None = None) -> Tensor:
        """log p(x given z) of the decoder's output, summed over pixels.

        Args:
            x: images, (..., D).
            output: what `decode` gives.
            shape: the leading axes of z, which an own likelihood does not tell.
        """
        if self._distribution is not None:
            return self._own_log_prob(x, output, shape)
        if self.decoder_gives == "logits":
            return LIKELIHOODS["bernoulli"].log_prob(x, output)
        if self.decoder_gives == "probabilities":
            white, black = (torch.log(p).clamp(min=LOWEST) for p in (output, 1 - output))
            return torch.lerp(black, white, x.expand_as(white)).sum(-1)
        constant = 2 * math.log(self.x_std) + math.log(2 * math.pi)
        return -0.5 * (((x - output) / self.x_std) ** 2 + constant).sum(-1)

    def pairwise_log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x_j given z_i) for all pairs of x (batch, D) and z (num_z, d): (num_z, batch)."""
        if self._distribution is not None:
            return torch.stack([self.log_likelihood(x, row.expand(len(x), -1)) for row in z])
        output = self.decode(z)
        if self.decoder_gives == "probabilities":
            white, black = (torch.log(p).clamp(min=LOWEST) for p in (output, 1 - output))
            return (white - black) @ x.T + black.sum(-1, keepdim=True)
        if self.decoder_gives == "logits":
            return LIKELIHOODS["bernoulli"].pairwise_log_prob(x, output)
        return LIKELIHOODS["gaussian"].pairwise_log_prob(
            x, output, x_log_var=torch.tensor(2 * math.log(self.x_std), dtype=x.dtype, device=x.device)
        )

    def check(self, name: str, x: Tensor) -> Tensor:
        """Returns x; what a likelihood of the course does before it is evaluated."""
        return x

    # ---- beyond it -----------------------------------------------------------------------------

    def mean(self, output: Tensor) -> Tensor:
        """E[x given z] of the decoder's output, (..., D)."""
        if self._distribution is not None:
            return self._distribution(output).mean.reshape(-1, self.data_dim)
        return torch.sigmoid(output) if self.decoder_gives == "logits" else output

    @torch.no_grad()
    def simulate(self, num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draws z ~ p(z) and x ~ p(x given z): shapes (num, d) and (num, D)."""
        z = self.randn(num, self.latent_dim, generator=generator)
        output = self.decode(z)
        if self._distribution is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(torch.randint(2**31, (), generator=generator).item())
                x = self._distribution(output).sample()
            return z, x.reshape(num, self.data_dim).to(z)
        if self.likelihood == "gaussian":
            return z, output + self.x_std * self.randn(num, self.data_dim, generator=generator)
        uniform = torch.rand(num, self.data_dim, generator=generator, dtype=self.dtype, device="cpu").to(
            self.device
        )
        return z, (uniform < self.mean(output)).to(self.dtype)

    def randn(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Standard normal numbers, the same on every device."""
        return torch.randn(*shape, generator=generator, dtype=self.dtype, device="cpu").to(self.device)

    def shaped(self, x: Tensor) -> Images:
        """Flat images in the shape, and of the kind, that encode takes."""
        x = x.reshape(len(x), *self.image_shape)
        return x.numpy() if self.is_numpy else x

    # ---- what may go wrong ------------------------------------------------------------------

    def _decoder_gives(self, likelihood: Any, given: str | None) -> str:
        if not isinstance(likelihood, str):
            if not callable(likelihood):
                raise TypeError(
                    "likelihood: expected a name or a function from the decoder's output to a distribution, "
                    f"got {type(likelihood).__name__}"
                )
            return "parameters"
        if likelihood not in DECODER_GIVES:
            raise ValueError(
                f"likelihood: expected one of {tuple(DECODER_GIVES)} or a function from the decoder's output "
                f"to a distribution of torch.distributions, got {told(likelihood)}"
            )
        choices = DECODER_GIVES[likelihood]
        if given is not None and (not isinstance(given, str) or given not in choices):
            raise ValueError(
                f"decoder_gives: expected one of {choices} for a {likelihood} likelihood, got {told(given)}"
            )
        return given or choices[0]

    def _call(self, name: str, function: Callable[[Any], Any], argument: Images) -> Any:
        try:
            return function(argument)
        except Exception as error:  # whatever it is, the reader is told of which function and for what
            what = "images" if name == "encode" else "z"
            first = str(error).splitlines()[0] if str(error) else ""
            kind = "an array" if self.is_numpy else "a tensor"
            raise ValueError(
                f"{name}: expected a function that takes {what} as {kind} of shape {tuple(argument.shape)}, "
                f"got {type(error).__name__}: {first}"
            ) from error

    def _tensor(self, name: str, value: Any) -> Tensor:
        value = _from_numpy(value)
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise TypeError(f"{name}: expected floating-point tensors, got {_told(value)}")
        if value.device != self.device:
            raise ValueError(f"{name}: expected results on {self.device} like the images, got {value.device}")
        return value.to(self.dtype)

    def _check_finite(self, name: str, *tensors: Tensor) -> None:
        for value in tensors:
            if not math.isfinite(value.detach().sum()) and not torch.isfinite(value).all():
                rows = (~torch.isfinite(value.reshape(len(value), -1))).any(dim=1).nonzero()
                first = rows[0].item()
                got = f"NaN or infinity in row {first} of a batch of {len(value)}"
                raise ValueError(f"{name}: expected finite numbers, got {got}")

    def _check_device(self) -> None:
        devices = {p.device for module in self.modules for p in module.parameters()}
        if devices and self.device not in devices:
            there = sorted(map(str, devices))[0]
            raise ValueError(f"images: expected them on {there} like the model's weights, got {self.device}")

    def _check_scale(self, x: Tensor) -> None:
        low, high = (value.item() for value in x.aminmax())
        if self.likelihood == "bernoulli" and (low < -1e-5 or high > 1 + 1e-5):
            hint = "divide bytes by 255" if high > 2 else "undo their normalisation"
            raise ValueError(
                "images: expected pixels from 0 to 1, black, white or a probability, for a bernoulli "
                f"likelihood, got {low:.3g} to {high:.3g}; {hint} first"
            )

    @torch.no_grad()
    def _check_output(self, x: Tensor, mu: Tensor) -> None:
        if self._distribution is not None:
            distribution = self._distribution(self.decode(mu))
            if not isinstance(distribution, Distribution):
                raise TypeError(
                    "likelihood: expected a function that returns a distribution of torch.distributions, got "
                    f"{type(distribution).__name__}"
                )
            self.has_mean = _can(lambda: distribution.mean)
            self.has_sample = _can(distribution.sample)
            self.log_likelihood(x, mu)
            return
        output = self.decode(mu)
        low, high = (value.item() for value in output.aminmax())
        if self.decoder_gives == "logits" and not self._is_told and 0 <= low and high <= 1:
            raise ValueError(
                f"decode: expected logits, got numbers from {low:.3g} to {high:.3g}, as probabilities are; "
                'say which by decoder_gives="probabilities" or "logits"'
            )
        if self.decoder_gives == "probabilities" and (low < 0 or high > 1):
            raise ValueError(
                "decode: expected probabilities from 0 to 1, as decoder_gives says, got numbers from "
                f"{low:.3g} to {high:.3g}; are they logits?"
            )

    def _own_log_prob(self, x: Tensor, output: Any, shape: torch.Size | None) -> Tensor:
        shape = x.shape[:-1] if shape is None else shape
        num = math.prod(shape)
        distribution = self._distribution(output)
        wanted = distribution.batch_shape + distribution.event_shape
        if math.prod(wanted) != num * self.data_dim:
            raise ValueError(
                f"likelihood: expected a distribution of {self.data_dim} pixels for each of {num} z, got one "
                f"of shape {tuple(wanted)}"
            )
        rows = x.expand(*shape, self.data_dim).reshape(wanted)
        try:
            log_prob = distribution.log_prob(rows)
        except ValueError as error:
            first = str(error).splitlines()[0]
            raise ValueError(f"images: expected pixels that the likelihood knows, got {first}") from error
        return log_prob.reshape(num, -1).sum(-1).reshape(shape)


def _can(call: Callable[[], Any]) -> bool:
    """Whether a distribution has something that not all have."""
    try:
        call()
    except NotImplementedError:
        return False
    return True


def _from_numpy(value: Any) -> Any:
    """A NumPy array of float16 to float64 as a tensor, of either byte order; all else as it is."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.dtype.itemsize > 8:
        return value
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))


def _told(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype}"
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def as_images(images: Any, name: str = "images") -> Tensor:
    """Images as a tensor, whatever their shape is after the first axis.

    Raises:
        TypeError: they are no array of floating-point numbers.
        ValueError: fewer than 2 of them, or NaN.
    """
    x = _from_numpy(images)
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"{name}: expected a tensor of floating-point numbers, got {_told(x)}")
    if x.ndim < 2 or len(x) < 2 or x.numel() == 0:
        raise ValueError(f"{name}: expected at least 2, of shape (n, …), got shape {tuple(x.shape)}")
    if x.is_meta:
        raise ValueError(f"{name}: expected images with numbers, got a tensor on the device meta")
    if not torch.isfinite(x).all():
        row = (~torch.isfinite(x.reshape(len(x), -1))).any(dim=1).nonzero()[0].item()
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity in image {row}")
    return x.detach()
