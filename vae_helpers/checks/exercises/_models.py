"""What the exercises with a VAE share: its answers in float64."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor

from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import Array


@functools.cache
def _in_float64(model: VAE) -> VAE:
    return copy.deepcopy(model).double().requires_grad_(False)


def in_torch(model: VAE, *arrays: Any) -> tuple[Any, ...]:
    """The model in float64, and the arrays as tensors, in float64, too, but for indices."""
    tensors = map(torch.as_tensor, arrays)
    return _in_float64(model), *(t.double() if t.is_floating_point() else t for t in tensors)


def encoded(model: VAE, x: Array) -> tuple[Array, Array]:
    """The means and standard deviations of q, in NumPy."""
    mu, log_var = (part.numpy() for part in _in_float64(model).encode(torch.from_numpy(x)))
    return mu, np.exp(log_var / 2)


def log_likelihood(model: VAE, x: Array, z: Array) -> Array:
    """By SciPy: the logistic distribution's tails are the probabilities of the pixels."""
    a = _in_float64(model).decode(torch.from_numpy(z)).numpy()
    return np.where(x == 1, scipy.stats.logistic.logcdf(a), scipy.stats.logistic.logsf(a)).sum(axis=-1)


def log_mean(log_w: Tensor) -> Tensor:
    """The logarithm of the average of weights, draw by draw."""
    return torch.logsumexp(log_w, dim=0) - np.log(len(log_w))
