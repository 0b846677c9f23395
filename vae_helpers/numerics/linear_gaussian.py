"""The linear-Gaussian world, in which every quantity of a VAE has a closed form (NumPy).

z ~ N(0, I) with d latents, x given z ~ N(W z + b, s² I) with D observed numbers. This is
probabilistic PCA; evidence and posterior are Gaussian (Bishop 2006, eqs. 12.35 and 12.42).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from vae_helpers.numerics import gaussian
from vae_helpers.numerics._validate import Array, as_array, as_count, as_number, as_rng, as_vectors

# Within these, all that is computed is a number; squares alone may be infinite.
_LARGEST = 1e150  # of x, z and mu
_WIDEST = 1e75  # of noise_std and its inverse, and of a weight in units of noise_std
_HIGHEST = 300.0  # of log_var


class LinearGaussian:
    """The model z ~ N(0, I), x given z ~ N(weight z + bias, noise_std² I).

    Args:
        weight: the matrix W, shape (D, d); a scalar stands for D = d = 1.
        bias: the vector b, shape (D,); a scalar is the same in every coordinate.
        noise_std: the standard deviation s of the observation noise, above zero.

    Raises:
        ValueError: shapes that do not go together, noise_std not above zero, NaN.

    Attributes:
        weight, bias, noise_std: as given, as arrays of shape (D, d), (D,) and a float.
        latent_dim: d.
        data_dim: D.
    """

    def __init__(self, weight: ArrayLike, bias: ArrayLike, noise_std: float) -> None:
        weight, bias = as_array("weight", weight), as_array("bias", bias)
        self.weight = weight.reshape(1, 1) if weight.ndim == 0 else weight
        if self.weight.ndim != 2:
            raise ValueError(f"weight: expected shape (D, d) or a scalar, got {weight.shape}")
        self.data_dim, self.latent_dim = self.weight.shape
        if bias.shape not in [(), (self.data_dim,)]:
            raise ValueError(
                f"bias: expected shape ({self.data_dim},) for a weight of shape {self.weight.shape}, "
                f"got {bias.shape}"
            )
        self.bias = np.broadcast_to(bias, (self.data_dim,))
        self.noise_std = as_number("noise_std", noise_std, positive=True)
        if not max(1 / _WIDEST, np.abs(self.weight).max() / _WIDEST) <= self.noise_std <= _WIDEST:
            raise ValueError(
                f"noise_std: expected a number from {1 / _WIDEST:g} to {_WIDEST:g}, and weights of at most "
                f"{_WIDEST:g} of it, got {self.noise_std:g}"
            )
        _check_size("bias", self.bias)

    def sample(self, num: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draws `num` pairs from p(z) p(x given z): z of shape (num, d), x of shape (num, D)."""
        num, rng = as_count("num", num), as_rng("rng", rng)
        z = rng.standard_normal((num, self.latent_dim))
        x = z @ self.weight.T + self.bias + self.noise_std * rng.standard_normal((num, self.data_dim))
        return z, x

    def log_likelihood(self, x: ArrayLike, z: ArrayLike) -> Array:
        """log p(x given z) in nats, for x of shape (..., D) and z of shape (..., d): shape (...)."""
        x, z = self._data(x), _with_event("z", z, self.latent_dim)
        _same_batch(x=x, z=z)
        return self._log_likelihood(x, z)

    def log_evidence(self, x: ArrayLike) -> Array:
        """log p(x) = log N(x; b, W Wᵀ + s² I) in nats, for x of shape (..., D): shape (...)."""
        x = self._data(x)
        # log p(x, z) - log p(z given x) is the same at each z; at the posterior's mean, an error of z costs
        # nothing, and the squares are those of z and of x given z.
        mean, root = self._posterior(x)
        white = self._white(x, mean)
        # The determinant is that of the posterior's precision, times s² for each number of x: taken together,
        # as the logarithms of the largest roots and of a small s would cancel.
        roots = np.sort(np.abs(np.diagonal(root)))[::-1]
        count = min(self.data_dim, self.latent_dim)
        log_det = np.log(roots[:count] * self.noise_std).sum() + np.log(roots[count:]).sum()
        log_det += (self.data_dim - count) * math.log(self.noise_std)
        squares = (white**2).sum(axis=-1) + (mean**2).sum(axis=-1)
        return -0.5 * (squares + self.data_dim * gaussian.LOG_2PI) - log_det

    def posterior(self, x: ArrayLike) -> tuple[Array, Array]:
        """The exact posterior p(z given x) = N(mean, cov).

        Args:
            x: data, shape (..., D).

        Returns:
            The mean, shape (..., d), and the covariance, shape (d, d), which is the same for
            every x (Bishop 2006, eq. 12.42).
        """
        mean, root = self._posterior(self._data(x))
        inverse = np.linalg.inv(root)
        return mean, inverse @ inverse.T

    def elbo(self, x: ArrayLike, mu: ArrayLike, log_var: ArrayLike) -> Array:
        """The exact ELBO for q(z) = N(mu, diag(exp(log_var))), in nats.

        𝓛 = E_q[log p(x given z)] - KL(q, p(z)); the expected squared error is that at the
        mean plus Σ_i σ_i² ‖w_i‖², w_i being the columns of W.

        Args:
            x: data, shape (..., D).
            mu: means of q, shape (..., d).
            log_var: log-variances of q, shape (..., d) or scalar.

        Returns:
            Array of shape (...); never above `log_evidence(x)`.

        Raises:
            ValueError: shapes that do not go together, an empty array, NaN.

        Source: Kingma & Welling 2014, eq. 3.
        """
        x, mu, log_var = self._data_and_q(x, mu, log_var)
        spread = (np.exp(log_var) * ((self.weight / self.noise_std) ** 2).sum(axis=0)).sum(axis=-1)
        return self._log_likelihood(x, mu) - 0.5 * spread - gaussian.kl_standard_normal(mu, log_var)

    def gap(self, x: ArrayLike, mu: ArrayLike, log_var: ArrayLike) -> Array:
        """KL(q, p(z given x)) in nats: how far the ELBO lies below log p(x).

        Computed from the posterior alone, not as a difference of `log_evidence` and `elbo`.
        Arguments, shapes and errors as in `elbo`.

        Source: Kingma & Welling 2014, eq. 1.
        """
        x, mu, log_var = self._data_and_q(x, mu, log_var)
        mean, root = self._posterior(x)
        apart, weight = mu - mean, self.weight / self.noise_std
        square = (apart**2).sum(axis=-1) + ((apart @ weight.T) ** 2).sum(axis=-1)
        # Whitened by the posterior, q has the eigenvalues of I + E.
        half = weight * np.exp(0.5 * log_var)[..., None, :]
        e = np.expm1(log_var)[..., None] * np.eye(self.latent_dim) + np.swapaxes(half, -1, -2) @ half
        log_det = (2 * np.log(np.abs(np.diagonal(root))) + log_var).sum(axis=-1)
        return 0.5 * (square + gaussian._spread(e, log_det))

    def _log_likelihood(self, x: Array, z: Array) -> Array:
        constant = gaussian.LOG_2PI + 2 * math.log(self.noise_std)
        return -0.5 * (self._white(x, z) ** 2 + constant).sum(axis=-1)

    def _white(self, x: Array, z: Array) -> Array:
        # Divided by s, where exp(-log s) would have an error that grows with log s.
        return (x - (z @ self.weight.T + self.bias)) / self.noise_std

    def _posterior(self, x: Array) -> tuple[Array, Array]:
        """The posterior's mean, and a triangular root R of its precision RᵀR = I + WᵀW / s²."""
        # WᵀW is never formed: its rounding would cost twice as many digits.
        weight = self.weight / self.noise_std
        root = np.linalg.qr(np.concatenate([weight, np.eye(self.latent_dim)]), mode="r")
        inverse = np.linalg.inv(root)
        mean = np.zeros(self.latent_dim)
        for _ in range(2):  # the second time for what the first one missed (Björck 1987)
            mean = mean + (self._white(x, mean) @ weight - mean) @ inverse @ inverse.T
        return mean, root

    def _data(self, x: ArrayLike) -> Array:
        return _with_event("x", x, self.data_dim)

    def _data_and_q(self, x: ArrayLike, mu: ArrayLike, log_var: ArrayLike) -> tuple[Array, ...]:
        x = self._data(x)
        mu, log_var = as_vectors(mu=_with_event("mu", mu, self.latent_dim), log_var=log_var)
        _same_batch(x=x, mu=mu)
        _same_batch(x=x, log_var=log_var)
        if (high := log_var.max()) > _HIGHEST:
            raise ValueError(f"log_var: expected numbers of at most {_HIGHEST:g}, got {high:g}")
        return x, mu, log_var


def _with_event(name: str, value: ArrayLike, size: int) -> Array:
    """Returns `value` with its last axis of `size`; a scalar fills it only where size is 1."""
    array = as_array(name, value)
    array = array.reshape(1) if array.ndim == 0 else array
    if array.shape[-1] != size:
        raise ValueError(f"{name}: expected shape (..., {size}), got {array.shape}")
    return _check_size(name, array)


def _check_size(name: str, array: Array) -> Array:
    if (largest := np.abs(array).max()) > _LARGEST:
        raise ValueError(f"{name}: expected numbers of at most {_LARGEST:g}, got {largest:g}")
    return array


def _same_batch(**pair: Array) -> None:
    (first, one), (name, other) = pair.items()
    try:
        np.broadcast_shapes(one.shape[:-1], other.shape[:-1])
    except ValueError:
        raise ValueError(
            f"{name}: expected a batch like that of {first}, {one.shape}, got {other.shape}"
        ) from None
