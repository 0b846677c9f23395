"""A whole model's ELBO with the same noise at each call: its terms, and the z that it draws, exactly.

Two decoders that differ in one pixel show, by the difference of the values, which z was decoded.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_helpers.checks.engine.calling import Failed, Student
from vae_helpers.checks.engine.fitting import Reading
from vae_helpers.checks.engine.report import Finding
from vae_helpers.checks.engine.same_noise import SEED, Values, read_terms, repeated
from vae_helpers.checks.parts import sampling
from vae_helpers.checks.parts.elbo.likelihoods import LIKELIHOODS
from vae_helpers.checks.parts.elbo.probe_models import PIXELS
from vae_helpers.numerics._validate import Array

if TYPE_CHECKING:
    from vae_helpers.models.vae import VAE

WIDTH = 64  # hidden units; one for each code
READER = PIXELS - 1  # the pixel whose logit may depend on z
STEEP, HIGH = 0.1, 3.0  # this logit is HIGH tanh(STEEP z)
LINE = np.linspace(-60, 60, 120_001)  # of z, for turning a value back into it
_nodes, _weights = np.polynomial.hermite_e.hermegauss(40)
NODES, WEIGHTS = _nodes, _weights / _weights.sum()
ROWS = 2400
DRAWS = 4 * ROWS  # of four latents
PATIENCE = 0.3  # seconds that a call with so many rows may take


def coded_model(mu: Array, log_var: Array, latent: int | None = None) -> VAE:
    """A VAE whose q is given for each of some codes, and whose decoder reads one latent at most.

    Args:
        mu, log_var: shape (codes, d); an image whose white pixel k is the only one of the first `codes` has
            the k-th row.
        latent: the latent on which the logit of `READER` depends; None for a decoder that ignores z.
    """
    import torch

    from vae_helpers.models.vae import VAE

    codes, d = mu.shape
    model = VAE(d, WIDTH, num_hidden=1, activation="tanh", generator=torch.Generator().manual_seed(0))
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        of_codes = torch.arange(codes)
        model.encoder[0].weight[of_codes, of_codes] = 30.0  # tanh makes 1 of it, to the last digit
        model.encoder[2].weight[:d, :codes] = torch.from_numpy(mu.T.copy())
        model.encoder[2].weight[d:, :codes] = torch.from_numpy(log_var.T.copy())
        model.decoder[2].bias.copy_(torch.linspace(-4.5, -2.5, PIXELS))
        model.decoder[2].bias[READER] = 0.0
        if latent is not None:
            model.decoder[0].weight[0, latent] = STEEP
            model.decoder[2].weight[READER, 0] = HIGH
    return model.eval()


def coded_images(codes: Array, num_white: Array | int = 0) -> Array:
    """Images with the white pixels of these codes, that of `READER`, and so many of the others."""
    images = np.zeros((len(codes), PIXELS))
    images[np.arange(len(codes)), codes] = images[:, READER] = 1
    place = np.arange(PIXELS)
    others = (place >= WIDTH) & (place < WIDTH + np.reshape(num_white, (-1, 1)))
    return np.where(others, 1.0, images)


def guarded(fn: Callable[..., Any], model: VAE, seed: int = SEED) -> Student:
    """The function of images alone, whose noise is the same at each call."""
    import torch

    models = {dtype: copy.deepcopy(model).to(dtype) for dtype in (torch.float64, torch.float32)}
    return Student(lambda x: fn(models[x.dtype], x), ("torch float64", "torch float32"), seed=seed)


# ---- the terms ------------------------------------------------------------------------------


def terms_of_model(fn: Callable[..., Any], reduced: bool) -> Reading | None:
    """The terms of a random function of a model and images whose decoder ignores z.

    Args:
        fn: the function.
        reduced: it sums or averages over the batch.

    Returns:
        None where its noise is not the same again, or where its value is no sum of known terms.
    """

    def values_of(mu: Array, v: Array, many: bool) -> Values | None:
        model, codes = coded_model(mu, v), np.arange(len(mu))
        x = coded_images(codes, num_white=codes * 7 % 40)
        values = repeated(lambda seed: guarded(fn, model, seed), [(image,) for image in x], reduced, many)
        logits = model.decoder[2].bias.detach().numpy()
        beside = {name: row.of_pixel(x, logits).sum(-1) for name, row in LIKELIHOODS.items()}
        return None if values is None else Values(values, beside)

    return read_terms(values_of)


# ---- the draws ------------------------------------------------------------------------------


def wrong_draws(
    fn: Callable[..., Any], of_pixel: Callable[[Array, Array], Array], factor: float, num_rows: int = ROWS
) -> tuple[list[Finding] | None, bool]:
    """What is wrong with the z that a function decodes, by many rows and four latents; more, where these
    leave it open.

    Args:
        fn: takes a model and images, and gives one number for each.
        of_pixel: what it makes of a pixel and its logit.
        factor: what multiplies that.
        num_rows: how many rows; if they leave it open, four times as many decide.

    Returns:
        None where its noise is not the same again, or where it takes too long; and whether the values may
        as well be averages over several right draws, which only their mean can tell.
    """
    table = of_pixel(np.ones(()), HIGH * np.tanh(STEEP * LINE))
    order = 1 if table[-1] > table[0] else -1
    if not (order * np.diff(table) > 0).all():
        return None, False  # z cannot be told from the value
    mu, v = sampling.arguments(num_rows)
    images = coded_images(np.arange(num_rows) % sampling.PERIOD)
    models = [coded_model(mu[: sampling.PERIOD], v[: sampling.PERIOD], n) for n in (None, 0, 1, 2, 3)]
    try:
        students = [guarded(fn, model) for model in models]
        for _ in range(2):  # the first call may have to prepare
            students[0](images[:60])
        if num_rows == ROWS and students[0].seconds * ROWS / 60 > PATIENCE:
            return None, False
        blind, *values = (student(images) for student in students)
        again, other = students[0](images), guarded(fn, models[1], SEED + 1)(images)
    except (Failed, ValueError):
        return None, False
    if blind.shape != (num_rows,) or not np.array_equal(again, blind):
        return None, False
    read = (np.stack(values, axis=1) - blind[:, None]) / factor + of_pixel(np.ones(()), np.zeros(()))
    z = np.interp(read, table[::order], LINE[::order])
    findings = sampling.distribution(z, mu, v, fixed=np.array_equal(other, values[0]))
    if not findings and num_rows == ROWS and sampling.is_open(z, mu, v):
        return wrong_draws(fn, of_pixel, factor, sampling.MORE * ROWS)
    return findings, bool(findings) and _is_average(read, table, mu, v)


def _is_average(read: Array, table: Array, mu: Array, v: Array) -> bool:
    """Whether the values of the pixel that was read may be averages over several right draws."""
    ratios = []
    for m, level in {*zip(mu.flat, v.flat, strict=True)}:
        group = read[(mu == m) & (v == level)]
        at_nodes = np.interp(m + np.exp(level / 2) * NODES, LINE, table)
        mean = WEIGHTS @ at_nodes
        ratios.append(group.var() / (WEIGHTS @ (at_nodes - mean) ** 2))
        if abs(group.mean() - mean) > 5.5 * group.std() / np.sqrt(len(group)) + 1e-6:
            return False
    return max(ratios) < 0.75
