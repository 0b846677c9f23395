"""Gaussian densities, entropies and KL divergences in closed form (NumPy, float64).

Every function sums over the last axis (the event: the coordinates of one x or one z), keeps
the axes before it (sample, batch), and returns nats. Leading axes broadcast; a scalar stands
for the same number in every coordinate. Results are always float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import ArrayLike

from vae_helpers.numerics._validate import Array, as_array, as_function, as_number, as_vectors

LOG_2PI = 1.8378770664093456  # rounded correctly, where np.log(2 * np.pi) is one bit lower


def log_prob(x: ArrayLike, mu: ArrayLike, log_var: ArrayLike) -> Array:
    """Log-density of the diagonal Gaussian N(mu, diag(exp(log_var))) at x.

    log N(x; mu, σ²) = -½ Σ_i [log 2π + log σ_i² + (x_i - mu_i)² / σ_i²]

    Args:
        x: points, shape (..., d).
        mu: means, shape (..., d) or scalar.
        log_var: log-variances log σ² (not σ), shape (..., d) or scalar.

    Returns:
        Array of shape (...), in nats.

    Raises:
        ValueError: shapes that do not go together, an empty array, NaN or infinity.
        TypeError: something other than real numbers.

    Source: Kingma & Welling 2014, appendix C.2 (the multivariate Gaussian).
    """
    x, mu, log_var = as_vectors(x=x, mu=mu, log_var=log_var)
    with np.errstate(over="ignore"):
        return -0.5 * (LOG_2PI + log_var + _over_std(x - mu, log_var) ** 2).sum(axis=-1)


def entropy(log_var: ArrayLike) -> Array:
    """Differential entropy H(q) = -E_q[log q] of N(mu, diag(exp(log_var))).

    H = ½ Σ_i (1 + log 2π + log σ_i²); the mean does not enter.

    Args:
        log_var: log-variances, shape (..., d).

    Returns:
        Array of shape (...), in nats; negative when the density is narrow.

    Raises:
        ValueError: an empty array, NaN or infinity.

    Source: Kingma & Welling 2014, appendix B (the second integral, with the sign turned).
    """
    (log_var,) = as_vectors(log_var=log_var)
    return 0.5 * (1 + LOG_2PI + log_var).sum(axis=-1)


def kl_standard_normal(mu: ArrayLike, log_var: ArrayLike) -> Array:
    """KL(N(mu, diag(exp(log_var))), N(0, I)), the second term of the ELBO.

    KL = ½ Σ_i (σ_i² + mu_i² - 1 - log σ_i²), evaluated so that no digits cancel where the
    divergence is nearly zero.

    Args:
        mu: means, shape (..., d).
        log_var: log-variances, shape (..., d) or scalar.

    Returns:
        Array of shape (...), in nats, never negative.

    Raises:
        ValueError: shapes that do not go together, an empty array, NaN or infinity.

    Source: Kingma & Welling 2014, appendix B (there with the opposite sign, as -KL).
    """
    mu, log_var = as_vectors(mu=mu, log_var=log_var)
    with np.errstate(over="ignore"):
        return 0.5 * (mu**2 + _expm1_minus(log_var)).sum(axis=-1)


def kl_diagonal(mu_q: ArrayLike, log_var_q: ArrayLike, mu_p: ArrayLike, log_var_p: ArrayLike) -> Array:
    """KL(q, p) between two diagonal Gaussians; the order of the arguments matters.

    KL = ½ Σ_i [σ_q²/σ_p² - 1 - log(σ_q²/σ_p²) + (mu_q - mu_p)²/σ_p²]

    Args:
        mu_q: means of q, shape (..., d).
        log_var_q: log-variances of q, shape (..., d) or scalar.
        mu_p: means of p, shape (..., d) or scalar.
        log_var_p: log-variances of p, shape (..., d) or scalar.

    Returns:
        Array of shape (...), in nats, never negative.

    Raises:
        ValueError: shapes that do not go together, an empty array, NaN or infinity.

    Source: the general case of Kingma & Welling 2014, appendix B.
    """
    mu_q, log_var_q, mu_p, log_var_p = as_vectors(
        mu_q=mu_q, log_var_q=log_var_q, mu_p=mu_p, log_var_p=log_var_p
    )
    with np.errstate(over="ignore"):
        shift = _over_std(mu_q - mu_p, log_var_p) ** 2
        return 0.5 * (shift + _expm1_minus(log_var_q - log_var_p)).sum(axis=-1)


def kl_full(mu_q: ArrayLike, cov_q: ArrayLike, mu_p: ArrayLike, cov_p: ArrayLike) -> Array:
    """KL(q, p) between two Gaussians with full covariance matrices.

    KL = ½ [tr(Σ_p⁻¹Σ_q) - d + (mu_q - mu_p)ᵀΣ_p⁻¹(mu_q - mu_p) + log det Σ_p - log det Σ_q]

    Args:
        mu_q: mean of q, shape (..., d).
        cov_q: covariance of q, shape (..., d, d), symmetric positive definite.
        mu_p: mean of p, shape (..., d).
        cov_p: covariance of p, shape (..., d, d), symmetric positive definite.

    Returns:
        Array of shape (...), in nats, never negative.

    Raises:
        ValueError: shapes that do not go together, an empty array, NaN or infinity, or a
            covariance that is not symmetric positive definite.
    """
    mu_q, mu_p = as_vectors(mu_q=mu_q, mu_p=mu_p)
    batch, dim = np.broadcast_shapes(mu_q.shape, mu_p.shape)[:-1], mu_q.shape[-1]
    cov_q, chol_q = _covariance("cov_q", cov_q, batch, dim)
    cov_p, chol_p = _covariance("cov_p", cov_p, np.broadcast_shapes(batch, cov_q.shape[:-2]), dim)
    shift = _solve_lower(chol_p, (mu_q - mu_p)[..., None])[..., 0]
    # Whitened by p, q has the covariance I + E.
    half = _solve_lower(chol_p, cov_q - cov_p)
    whitened = _solve_lower(chol_p, np.swapaxes(half, -1, -2))
    diagonal_q, diagonal_p = (np.diagonal(c, axis1=-2, axis2=-1) for c in (chol_q, chol_p))
    log_det = 2 * np.log(diagonal_q / diagonal_p).sum(axis=-1)
    with np.errstate(over="ignore"):
        return 0.5 * ((shift**2).sum(axis=-1) + _spread(whitened, log_det))


def expectation(f: Callable[[Array], Array], mu: float, std: float) -> float:
    """E[f(z)] under the 1-D Gaussian N(mu, std²), by the trapezoidal rule.

    For smooth f this rule gains digits with every extra point, because all derivatives of
    the integrand vanish at both ends: 1,201 points reach the rounding error of float64.

    Args:
        f: a smooth function of the whole grid at once: z of shape (1201,) to values of
            the same shape.
        mu: mean of the Gaussian.
        std: standard deviation, above zero.

    Returns:
        The integral of N(z; mu, std²) f(z) over mu ± 12 std; what lies beyond has a weight
        of 4e-33.

    Raises:
        ValueError: std is not above zero, an argument is not one finite number, or f returns
            another shape than that of its argument, NaN or infinity.
        TypeError: f is no function, or returns something other than real numbers.
    """
    mu, std = as_number("mu", mu), as_number("std", std, positive=True)
    u = np.arange(-600, 601) / 50
    weight = np.exp(-0.5 * u**2) * (1 / math.sqrt(2 * math.pi) / 50)  # 1 / 50 is no difference of two u
    with np.errstate(over="ignore"):
        z = mu + std * u
    if not np.isfinite(z).all():
        raise ValueError(f"std: expected finite numbers within 12 std of mu = {mu:g}, got {std:g}")
    with np.errstate(over="ignore"):
        values = as_array("f", as_function("f", f)(z))
    if values.shape not in [(), u.shape]:
        raise ValueError(f"f: expected values of shape {u.shape}, got {values.shape}")
    return float(np.sum(weight * values))


def _expm1_minus(x: Array) -> Array:
    """exp(x) - 1 - x without cancellation near 0 (Kummer: ½x² ₁F₁(1; 3; x))."""
    x = np.asarray(x)
    difference = np.asarray(np.expm1(x) - x)
    near = np.abs(x) < 0.5  # Kummer's function takes long, so only where it is needed
    difference[near] = 0.5 * x[near] ** 2 * scipy.special.hyp1f1(1, 3, x[near])
    return difference


def _over_std(shift: Array, log_var: Array) -> Array:
    """shift / σ, in two steps: 1 / σ may be too large for a float where the ratio is not."""
    root = np.exp(np.minimum(-0.25 * log_var, 700.0))  # of 1 / σ; beyond, the ratio is infinite or 0
    return shift * root * root


def _spread(e: Array, log_det: Array) -> Array:
    """tr E - log det(I + E) for symmetric E, by its eigenvalues where the two would cancel."""
    values = np.linalg.eigvalsh(e)
    near = np.abs(values) < 0.5
    small = _expm1_minus(np.log1p(np.where(near, values, 0.0))).sum(axis=-1)
    return np.where(near.all(axis=-1), small, np.trace(e, axis1=-2, axis2=-1) - log_det)


def _solve_lower(chol: Array, b: Array) -> Array:
    """chol⁻¹ b, row after row; a general solver would exchange rows, which costs digits."""
    x = np.empty(np.broadcast_shapes(chol.shape[:-2], b.shape[:-2]) + b.shape[-2:])
    for i in range(chol.shape[-1]):
        known = (chol[..., i : i + 1, :i] @ x[..., :i, :])[..., 0, :]
        x[..., i, :] = (b[..., i, :] - known) / chol[..., i, i, None]
    return x


def _covariance(name: str, value: ArrayLike, batch: tuple[int, ...], dim: int) -> tuple[Array, Array]:
    """Returns the covariance, whose leading axes go with `batch`, and its Cholesky factor."""
    cov = as_array(name, value)
    if cov.ndim < 2 or cov.shape[-2:] != (dim, dim):
        raise ValueError(
            f"{name}: expected shape (..., {dim}, {dim}) for means of size {dim}, got {cov.shape}"
        )
    try:
        np.broadcast_shapes(cov.shape[:-2], batch)
    except ValueError:
        raise ValueError(f"{name}: expected shape {(*batch, dim, dim)}, got {cov.shape}") from None
    # Matrix by matrix: beside a large one, the asymmetry of a small one would go unseen.
    asymmetry = np.abs(cov - np.swapaxes(cov, -1, -2)).max(axis=(-2, -1))
    if (asymmetry > 1e-10 * np.abs(cov).max(axis=(-2, -1))).any():
        raise ValueError(f"{name}: expected a symmetric matrix, got one that differs from its transpose")
    try:
        return cov, np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        raise ValueError(f"{name}: expected a positive definite matrix, got one that is not") from None
