"""Checks of tensors and generators: every message names the argument, what was expected and what came."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from vae_helpers.numerics._validate import told


class NotFiniteError(ValueError):
    """A tensor holds NaN or infinity; of a model's output it says that its weights do."""


_OF_A_MODEL = ("encode", "latent_dim", "data_dim")
_trusted = ContextVar("trusted", default=False)


@contextmanager
def trusted() -> Iterator[None]:
    """Inside, shapes are checked but numbers are not looked at: a training has done so once, before."""
    token = _trusted.set(True)
    try:
        yield
    finally:
        _trusted.reset(token)


def check_model(model: Any, name: str = "model") -> Any:
    """Returns `model` when it has what a VAE has; whoever evaluates code of others makes such an object."""
    if isinstance(model, type) or not all(hasattr(model, name) for name in _OF_A_MODEL):
        raise TypeError(f"{name}: expected a VAE, got {told(model)}")
    return model


def check_tensor(name: str, value: Tensor, size: int | None = None) -> Tensor:
    """Returns `value` when it is a tensor of finite numbers, its last axis of `size` if given."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        got = f"{value.dtype} tensor" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name}: expected a floating-point tensor, got {got}")
    if value.layout is not torch.strided or value.is_nested:
        raise TypeError(f"{name}: expected a dense tensor, got one of {value.layout}")
    if value.numel() == 0 or value.ndim == 0 or (size is not None and value.shape[-1] != size):
        wanted = "(batch, d), not empty" if size is None else f"(batch, {size})"
        raise ValueError(f"{name}: expected shape {wanted}, got {tuple(value.shape)}")
    if value.device.type == "meta":
        raise ValueError(f"{name}: expected numbers, got a tensor on the device meta, which has none")
    if _trusted.get():
        return value
    # A finite sum has finite terms; only where it is not, each has to be looked at.
    if not math.isfinite(value.detach().sum()) and not torch.isfinite(value).all():
        raise NotFiniteError(
            f"{name}: expected finite numbers, got NaN or infinity in shape {tuple(value.shape)}"
        )
    return value


def check_batch(name: str, value: Tensor, size: int) -> Tensor:
    """Returns `value` when it is a tensor of finite numbers, of shape (batch, size)."""
    check_tensor(name, value, size)
    if value.ndim != 2:
        raise ValueError(f"{name}: expected shape (batch, {size}), got {tuple(value.shape)}")
    return value


def check_unit_interval(name: str, value: Tensor) -> Tensor:
    """Returns `value`, known to be finite, when all of it lies in [0, 1]."""
    if _trusted.get():
        return value
    low, high = value.aminmax()
    if low < 0 or high > 1:
        raise ValueError(
            f"{name}: expected values in [0, 1], got {low.item():g} to {high.item():g}; "
            "divide bytes by 255 first"
        )
    return value


def check_images(images: Tensor, data_dim: int | None = None, name: str = "images") -> Tensor:
    """Returns `images` when they are numbers in [0, 1], of shape (batch, data_dim) if given."""
    if data_dim is None:
        check_tensor(name, images)
    else:
        check_batch(name, images, data_dim)
    return check_unit_interval(name, images)


def check_same_shape(mu: Tensor, log_var: Tensor) -> None:
    """Checks that both are finite tensors of one shape."""
    check_tensor("mu", mu)
    check_tensor("log_var", log_var)
    if mu.shape != log_var.shape:
        raise ValueError(f"log_var: expected shape {tuple(mu.shape)} like mu, got {tuple(log_var.shape)}")


def fresh_generator(generator: torch.Generator | None, device: torch.device | str = "cpu") -> torch.Generator:
    """Returns `generator`, or a new one seeded from the operating system's entropy if None.

    Raises:
        TypeError: something other than a generator.
        ValueError: a generator for another kind of device than `device`.
    """
    if generator is None:
        generator = torch.Generator(device)
        generator.seed()
    elif not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator or None, got {type(generator).__name__}")
    elif generator.device.type != torch.device(device).type:
        raise ValueError(f"generator: expected one on {device}, got one on {generator.device}")
    return generator
