"""What is tested of somebody's code: whether its results can be relied on, and the number that it logs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from vae_helpers.audit.loss import (
    DRAWS,
    SIZES,
    Call,
    LossReading,
    judge_draws,
    listen,
    read_loss,
    value_of,
)
from vae_helpers.audit.naming import OF_THE_LOSS, judge_gradient, judge_loss
from vae_helpers.audit.recording import Recorder, entry_of
from vae_helpers.audit.report import Check, Figure
from vae_helpers.audit.subject import Subject
from vae_helpers.checks.engine.calling import protected
from vae_helpers.models.objectives import kl_standard_normal

REPEATED, ONE_BY_ONE = "the same result each time", "each image by itself"
DRAWN, GRADIENT, NUMBER = (
    "z is drawn from q",
    "a gradient reaches the encoder through z",
    "the number is -ELBO",
)
ROUNDING = 1e-3  # what other orders of summation may do to a result of float32, in units of its spread
REPEATS, FREEDOM = 6, 60  # of the logged number, at least; differences that its noise is judged by, about
BATCH = 100  # images in a batch of it
BY_CHANCE = 1e-6  # how improbable the difference of a right number from -ELBO may look


class OfCode(NamedTuple):
    """What was found of the code.

    Attributes:
        checks: the points that were tested.
        notes: remarks that accuse nobody.
    """

    checks: list[Check]
    notes: list[str]


# ---- encoder and decoder --------------------------------------------------------------------


@torch.no_grad()
def judge_modes(subject: Subject, x: Tensor) -> list[Check]:
    """Whether encoder and decoder give the same each time, and each image its own, in their present mode.

    Args:
        subject: the model.
        x: images, (batch, D), at least 2.
    """
    x = x[:12]
    runs, masks = [], []
    for seed in (1, 2):
        with protected(seed), Recorder() as recorder:
            mu, log_var = subject.encode(x)
            output = _output(subject, torch.zeros_like(mu))
        runs.append((mu, log_var, output))
        masks += recorder.masks
    changed = [
        name for name, a, b in zip(("encode", "encode", "decode"), *runs, strict=True) if not _alike(a, b)
    ]
    if changed:
        code = "dropout-on" if masks or _has(subject, torch.nn.modules.dropout._DropoutNd) else "unknown"
        why = "dropout is on: model.eval()" if code == "dropout-on" else "it draws noise of its own"
        text = f"{changed[0]} gives another result for the same input each time; {why}"
        return [
            Check(REPEATED, "wrong", code, text),
            Check(ONE_BY_ONE, "untested", "", "results change by themselves"),
        ]
    return [Check(REPEATED, "right"), _one_by_one(subject, x, runs[0])]


def _one_by_one(subject: Subject, x: Tensor, whole: tuple[Tensor, Tensor, Any]) -> Check:
    half = max(2, len(x) // 2)
    with protected(1):
        mu, log_var = subject.encode(x[:half])
        output = _output(subject, torch.zeros_like(mu))
    names = ("encode", "encode", "decode")
    pairs = zip(names, (mu, log_var, output), whole, strict=True)
    changed = [name for name, a, b in pairs if not _alike(a, b[:half])]
    if subject.likelihood != "own" and not changed:
        z = torch.linspace(-1, 1, len(x), dtype=x.dtype, device=x.device)[:, None].expand(
            -1, subject.latent_dim
        )
        with protected(1):
            few, many = subject.decode(z[:half]), subject.decode(z)
        changed = [] if _alike(few, many[:half]) else ["decode"]
    if not changed:
        return Check(ONE_BY_ONE, "right")
    why = "batch norm is on: model.eval()"
    text = f"what {changed[0]} gives for an image depends on the others of its batch; {why}"
    return Check(ONE_BY_ONE, "wrong", "batch-statistics", text)


def _output(subject: Subject, z: Tensor) -> Tensor:
    output = subject.decode(z)
    return output if isinstance(output, Tensor) else torch.zeros(1)


def _has(subject: Subject, kind: type) -> bool:
    return any(isinstance(m, kind) and m.training for module in subject.modules for m in module.modules())


def _alike(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= ROUNDING * (1e-2 + a.std(unbiased=False) if a.numel() > 1 else 1e-2))


# ---- the number -------------------------------------------------------------------------------


def repeats_of(num_images: int) -> int:
    """How often each batch is taken, so that the noise is known well, too."""
    return REPEATS + FREEDOM // max(1, num_images // BATCH)


class Logged(NamedTuple):
    """The number that is logged, averaged over images and repetitions, and its standard error."""

    value: float
    error: float
    freedom: int  # how many differences tell the error


def average(loss: Callable[[Tensor], Any], x: Tensor) -> Logged:
    """The number over all images, by batches, each of them several times: their spread tells the noise."""
    repeats = repeats_of(len(x))
    batches = x.split(BATCH if len(x) >= 2 * BATCH else max(2, len(x)))
    if len(batches) > 1 and len(batches[-1]) < len(batches[0]):
        batches = batches[:-1]  # for a number that depends on the batch's size
    values = np.zeros((len(batches), repeats))
    for i, batch in enumerate(batches):
        for k in range(repeats):
            with protected(7919 * i + k + 1):
                values[i, k] = float(value_of(loss, batch))
    variance = values.var(axis=1, ddof=1).mean()
    return Logged(values.mean(), math.sqrt(variance / values.size), len(batches) * (repeats - 1))


def judge_number(
    subject: Subject,
    loss: Callable[[Tensor], Any],
    x: Tensor,
    generator: torch.Generator,
) -> list[Check]:
    """What the loss is made of, and how it draws z."""
    with torch.no_grad():
        found = read_loss(subject, loss, x, generator)
    is_read = isinstance(found, LossReading)
    checks = (
        judge_loss(subject, found) if is_read else [Check(p, "untested", "", UNREAD) for p in OF_THE_LOSS]
    )
    if is_read and not found.likelihood:
        return [*checks, Check(DRAWN, "untested", "", "there is no z in the number")]
    if not is_read:
        checks += _compare_draws(subject, found)
        if not all(call.decoded for call in found):
            return [*checks, Check(DRAWN, "untested", "", UNREAD)]
        found = LossReading("", {}, [call.decoded[0] for call in found], found)
    entry, more = _entry(subject, generator), []
    with torch.no_grad():
        while sum(c.mu.numel() for c in (*found.calls, *more)) < DRAWS and len(more) < 40:
            more.append(listen(subject, loss, x[:BATCH], 5000 + len(more), entry))
    drawn = judge_draws(found, more)
    if drawn.code:
        checks.append(Check(DRAWN, "wrong", drawn.code, drawn.text))
    else:
        checks.append(Check(DRAWN, "right", "", _seen(drawn.count)))
        checks += _gradient(subject, loss, x, found, entry) if is_read else []
    return checks


def _compare_draws(subject: Subject, calls: list[Call]) -> list[Check]:
    """Whether a number that cannot be read is -ELBO on average: beside that of the same z, call by call."""
    plain = [call for number, call in enumerate(calls) if number % 2 == 0 and call.decoded]
    apart = []
    for call in plain:
        z = call.decoded[0]
        with torch.no_grad():
            of_z = [subject.log_likelihood(call.x, draw.to(call.x.dtype)).double() for draw in z]
        divergence = kl_standard_normal(call.mu, call.log_var)
        apart.append(call.value - (divergence - torch.stack(of_z).mean(0)).mean().item())
    if len(apart) < 10:
        return []
    apart = np.array(apart)
    error = apart.std(ddof=1) / math.sqrt(len(apart))
    if abs(apart.mean()) <= stats.t.isf(BY_CHANCE / 2, len(apart) - 1) * error + 1e-3:
        return []
    text = f"for the same draws of z it is {apart.mean():+.4g} ± {error:.2g} away from it: {UNREAD}"
    return [Check(NUMBER, "wrong", "unknown", text)]


UNREAD = "the number is no sum of terms that are known here"


def _entry(subject: Subject, generator: torch.Generator) -> Any:
    with protected(0), torch.no_grad():
        return entry_of(
            subject.decode, subject.modules, subject.randn(2, subject.latent_dim, generator=generator)
        )


def _gradient(
    subject: Subject, loss: Callable[[Tensor], Any], x: Tensor, found: LossReading, entry: Any
) -> list[Check]:
    size = min(SIZES)
    batch = x[:size] if len(x) >= size else x[torch.arange(size) % len(x)]
    batch = batch.clone().requires_grad_(not subject.is_numpy)
    try:
        with torch.enable_grad():
            call = listen(subject, loss, batch, 1, entry)
            check = judge_gradient(subject, found, call)
    except (ValueError, RuntimeError):  # not every loss stands images that carry a gradient
        return []
    return [check] if check else []


def _seen(count: int) -> str:
    size = (stats.norm.isf(1e-7) + stats.norm.isf(1e-3)) / math.sqrt(2 * count)
    return f"by {count:,} draws: a σ that is off by {100 * size:.1g} % would have shown"


def compare_numbers(logged: Logged, negative_elbo: Figure, is_read: bool) -> Check:
    """Whether the logged number is minus the ELBO, on average.

    Args:
        logged: the number.
        negative_elbo: what it should be.
        is_read: its terms are known, and tell what is wrong.
    """
    apart = logged.value - negative_elbo.value
    error = math.hypot(logged.error, negative_elbo.error or 0.0)
    limit = stats.t.isf(BY_CHANCE / 2, max(logged.freedom, 1)) * error + 2e-5 * abs(negative_elbo.value)
    truth = f"{negative_elbo.value:.4f} ± {negative_elbo.error:.2g}"
    text = f"you log {logged.value:.4f} ± {logged.error:.2g}; it is {truth}"
    if abs(apart) <= limit:
        return Check(NUMBER, "right", "", text)
    code = "" if is_read else "unknown"
    return Check(NUMBER, "wrong", code, text)
