"""How a number draws z: the ways to draw that are known, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from vae_helpers.audit.calls import Call
from vae_helpers.audit.subject import ENCODER_GIVES
from vae_helpers.audit.terms import read_as
from vae_helpers.numerics._validate import Array

DRAWS = 4000  # of single latents that the distribution of the noise is judged by, at least
BY_CHANCE = 1e-7  # how improbable a right sample may look
FORMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "": lambda mu, std, r: mu + std * r,
    "drawn": lambda mu, std, r: r,
    "var-for-std": lambda mu, std, r: mu + std**2 * r,
    "std-missing": lambda mu, std, r: mu + r,
    "root": lambda mu, std, r: mu + std.sqrt() * r,
    "log": lambda mu, std, r: mu + 2 * std.log() * r,
    "noise": lambda mu, std, r: std * r,
}


def noise_of(call: Call) -> Tensor | None:
    """The last noise that may have become a z, as it broadcasts to (K, batch, d)."""
    batch, d = call.mu.shape
    for noise in reversed(call.noises):
        values = noise.values.to(call.mu)
        if values.numel() and values.numel() % (batch * d) == 0:
            return values.reshape(-1, batch, d)
        for shape in ((1, batch, 1), (1, 1, d), (1, 1, 1)):
            if values.numel() == math.prod(shape):
                return values.reshape(shape).expand(1, batch, d)
    return None


def made(call: Call, form: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor | None:
    """What a form makes of the last noise that may have become a z; None where there is none."""
    noise = noise_of(call)
    return None if noise is None else form(call.mu, call.std, noise)


class Drawn(NamedTuple):
    """How z is drawn: the code of the mistake, empty for none; what is said of it; draws seen."""

    code: str
    text: str
    count: int


MEAN_DECODED = (
    "the mean of q is decoded, not a draw from it: the number is no estimate of the expectation and no bound "
    "on log p(x)"
)


SHARED_ROWS = "all images of a batch share their noise"
SHARED_LATENTS = "all latents of an image share one number as their noise"
FIXED = "each call draws the same noise: its generator is started anew each time"
NOT_NORMAL = "(z - mu) / σ is not standard normal"


WORDS = {
    "var-for-std": ("var-for-std", "z is drawn with σ² in place of σ"),
    "std-missing": ("std-missing", "z is drawn with a standard deviation of 1, whatever q's is"),
    "root": ("term-wrong", "z is drawn with √σ in place of σ"),
    "log": ("term-wrong", "log σ² itself is used as the standard deviation of z"),
    "noise": ("term-wrong", "the mean of q is not in z"),
}


def judge_draws(calls: list[Call], drawn: list[Tensor], more: list[Call], encoder_gives: str) -> Drawn:
    """Whether z is drawn from q, by each draw that was seen.

    Args:
        calls: calls of the number.
        drawn: the z of each.
        more: calls of larger batches, for the distribution's sake.
        encoder_gives: what the second of the encoder's results is.
    """
    pairs = [(call, z) for call, z in zip(calls, drawn, strict=True)]
    pairs += [(call, call.decoded[0]) for call in more if call.decoded]
    eps = [(z - call.mu) / call.std for call, z in pairs]
    count = sum(e.numel() for e in eps)
    size = max(z.abs().max().item() for _, z in pairs) + 1
    if all((z - call.mu).abs().max() < 1e-4 * size for call, z in pairs):
        return Drawn("noise-missing", MEAN_DECODED, count)
    if all(_same(e - e[:, :1]) for e in eps):
        return Drawn("noise-shared", SHARED_ROWS, count)
    if eps[0].shape[-1] > 1 and all(_same(e - e[..., :1]) for e in eps):
        return Drawn("noise-shared", SHARED_LATENTS, count)
    if eps[0].shape == eps[1].shape and _same(eps[0] - eps[1]):
        return Drawn("noise-shared", FIXED, count)
    known = [(call, z, noise) for call, z in pairs if (noise := noise_of(call)) is not None]
    if len(known) == len(pairs) and all(r.shape == z.shape for _, z, r in known):
        if found := _by_known_noise(known, encoder_gives):
            return Drawn(*found, count)
    pooled = torch.cat([e.flatten() for e in eps]).cpu().numpy()
    if stats.kstest(pooled, "norm").pvalue > BY_CHANCE and _variance_fits(pooled):
        return Drawn("", "", count)
    latents = torch.cat([z.flatten() for _, z in pairs]).cpu().numpy()
    if stats.kstest(latents, "norm").pvalue > 1e-3:
        return Drawn("term-wrong", "z is drawn from the prior instead of q", count)
    scaled = pooled / pooled.std()
    if abs(pooled.mean()) < 0.05 and stats.kstest(scaled, "norm").pvalue > 1e-3:
        return Drawn("term-scale", f"the noise of z has {pooled.std():.3g} times the size of σ", count)
    return Drawn("noise-not-normal", NOT_NORMAL, count)


def _by_known_noise(known: list[tuple[Call, Tensor, Tensor]], encoder_gives: str) -> tuple[str, str] | None:
    """The code and the words for z that are a wrong function of mu, σ and noise; None where they are none."""
    for kind in ENCODER_GIVES:
        readings = [read_as(call, encoder_gives).get(kind) for call, _, _ in known]
        if all(v is not None for v in readings) and all(
            _close(call.mu + torch.exp(0.5 * v) * r, z)
            for v, (call, z, r) in zip(readings, known, strict=True)
        ):
            code = "var-for-std" if {kind, encoder_gives} == {"log_var", "log_std"} else "term-wrong"
            code = "var-for-std" if {kind, encoder_gives} == {"std", "var"} else code
            words = f"z is drawn as if what encode gives second were {kind}; it is {encoder_gives}"
            if (kind, encoder_gives) in (("log_std", "log_var"), ("std", "var")):
                words = f"{words}: σ² stands in place of σ"
            return code, words
    for code, form in FORMS.items():
        if code and code != "drawn" and all(_close(form(c.mu, c.std, r), z) for c, z, r in known):
            return WORDS[code]
    scale = torch.cat([((z - c.mu) / c.std / r)[r.abs() > 0.1].flatten() for c, z, r in known])
    if len(scale) and (scale - scale.mean()).abs().max() < 1e-2 * scale.mean().abs():
        if not math.isclose(scale.mean(), 1, rel_tol=5e-3):
            return "term-scale", f"the noise of z has {scale.mean().item():.3g} times the size of σ"
    return None


def _same(difference: Tensor) -> bool:
    return bool(difference.abs().max() < 1e-4)


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() < 1e-4 * (1 + b.abs().max()))


def _variance_fits(values: Array) -> bool:
    """Whether the mean square of a sample is that of standard normal numbers."""
    return abs(np.mean(values**2) - 1) < stats.norm.isf(BY_CHANCE) * math.sqrt(2 / len(values))
