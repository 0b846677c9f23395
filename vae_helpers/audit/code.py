"""What is tested of somebody's code: whether its results can be relied on, and the number that it logs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from vae_helpers.audit.calls import SIZES, Call, listen, value_of
from vae_helpers.audit.draws import DRAWS, judge_draws
from vae_helpers.audit.gradient import GRADIENT, judge_gradient
from vae_helpers.audit.naming import BATCH as BATCHES
from vae_helpers.audit.naming import OF_THE_LOSS, judge_loss
from vae_helpers.audit.reading import LossReading, draw_of, read_loss
from vae_helpers.audit.recording import Recorder, entry_of
from vae_helpers.audit.report import Check, Figure
from vae_helpers.audit.subject import ENCODER_GIVES, Subject
from vae_helpers.audit.terms import pixel_terms, table_of
from vae_helpers.checks.engine.calling import protected

REPEATED, ONE_BY_ONE = "the same result each time", "each image's result is its own"
DRAWN, NUMBER = "z is drawn from q", "on average it is -ELBO"
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
        if masks and all(mask.numel() == len(x) * subject.data_dim for mask in masks):
            code, why = "unknown", "it draws pixels: give their probabilities"
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
    batches = x.tensor_split(max(1, len(x) // BATCH))  # of nearly the same size
    share = np.array([len(batch) / len(x) for batch in batches])
    values = np.zeros((len(batches), repeats))
    for i, batch in enumerate(batches):
        for k in range(repeats):
            with protected(7919 * i + k + 1):
                values[i, k] = float(value_of(loss, batch))
    variance = values.var(axis=1, ddof=1) / repeats
    return Logged(float(share @ values.mean(1)), math.sqrt(share**2 @ variance), len(batches) * (repeats - 1))


def judge_number(
    subject: Subject,
    loss: Callable[[Tensor], Any],
    x: Tensor,
    generator: torch.Generator,
) -> tuple[OfCode, list[Call]]:
    """What the loss is made of, and how it draws z; and its calls where it cannot be read."""
    with torch.no_grad():
        found = read_loss(subject, loss, x, generator)
    if not isinstance(found, LossReading):
        untested = [Check(point, "untested", "", UNREAD) for point in (*OF_THE_LOSS, DRAWN, GRADIENT)]
        return OfCode(untested, []), found
    notes = [COPIES] if found.copies else []
    checks = judge_loss(subject, found)
    if not found.likelihood:
        no_z = "there is no z in the number"
        return OfCode(
            [*checks, *(Check(point, "untested", "", no_z) for point in (DRAWN, GRADIENT))], notes
        ), []
    entry = _entry(subject, generator)
    more = _more(subject, loss, x, found, entry)
    if not any(check.name == BATCHES and check.verdict == "wrong" for check in checks) and (
        apart := _in_large(subject, loss, x, found, entry)
    ):
        checks = [apart if check.name == BATCHES else check for check in checks]
    drawn = judge_draws(found.calls, found.z, more, subject.encoder_gives)
    if drawn.code:
        checks.append(Check(DRAWN, "wrong", drawn.code, drawn.text))
        checks.append(Check(GRADIENT, "untested", "", "z is not drawn from q"))
        notes += [
            f'if encode gives {kind}, neither is wrong: encoder_gives="{kind}".'
            for kind in ENCODER_GIVES
            if f"were {kind};" in drawn.text and any(name.endswith(f" by {kind}") for name in found.names)
        ]
    else:
        checks.append(Check(DRAWN, "right", "", _seen(drawn.count)))
        checks.append(_gradient(subject, loss, x, found, entry))
    return OfCode(checks, notes), []


UNREAD = "the number could not be read as a sum of terms: it holds others, or its draws were not seen"
COPIES = "the number mixes the order of a batch, or chooses among it: it was read with copies of one image."


def _more(
    subject: Subject, loss: Callable[[Tensor], Any], x: Tensor, found: LossReading, entry: Any
) -> list[Call]:
    """Calls with larger batches, for the distribution of the draws."""
    more: list[Call] = []
    with torch.no_grad():
        while sum(c.mu.numel() for c in (*found.calls, *more)) < DRAWS and len(more) < 40:
            more.append(listen(subject, loss, _batch(x, BATCH, found.copies), 5000 + len(more), entry))
    return more


def _batch(x: Tensor, size: int, copies: bool) -> Tensor:
    """So many images, again from the first where there are too few; or copies of one."""
    return x[torch.arange(size, device=x.device) % (1 if copies else len(x))]


def _in_large(
    subject: Subject, loss: Callable[[Tensor], Any], x: Tensor, found: LossReading, entry: Any
) -> Check | None:
    """Whether a larger batch's number is what the small ones let expect; None where it is."""
    size = BATCH
    with torch.no_grad():
        call = listen(subject, loss, _batch(x, size, found.copies), 77, entry)
        z = draw_of(call, found)
        if call.rows % size:
            text = f"of {size} images only {call.rows % size} are decoded"
            return Check(BATCHES, "wrong", "batch-weight", text)
        if z is None:
            return None
        row = table_of(subject, [call], [z], pixel_terms(subject))[0]
    (small, large), (of_small, of_large) = tuple(found.fits), tuple(found.fits.values())
    expected = 0.0
    for name, value in of_small.coefficients.items():
        other, power = of_large.coefficients[name], 0.0
        if abs(value) > 10 * of_small.errors[name] and value * other > 0:
            power = math.log(other / value) / math.log(large / small)
            power = round(power) if abs(power - round(power)) < 0.1 else power
        expected += value * (size / small) ** power * row[name]
    if abs(call.value - expected) <= 1e-4 * abs(expected):
        return None
    text = (
        f"for {size} images it is {call.value:.6g}, as of smaller batches {expected:.6g}: not all are equal"
    )
    return Check(BATCHES, "wrong", "batch-weight", text)


def explain(
    subject: Subject, loss: Callable[[Tensor], Any], calls: list[Call], of_number: Check
) -> list[Check]:
    """Why a number that cannot be read is not -ELBO, as far as that can be told.

    Args:
        subject: the model.
        loss: gives the number.
        calls: what was seen of it.
        of_number: the point that says so.
    """
    first = calls[0]
    if len({call.value for call in calls}) == 1:
        text = f"it is {first.value:.6g} for every batch"
        return [replace(of_number, text=f"{of_number.text}; {text}")]
    again = listen(subject, loss, first.x, 1)
    if _same_draws(again, listen(subject, loss, first.x, 1)) and abs(again.value - first.value) > 1e-6 * abs(
        first.value
    ):
        text = "for the same batch and the same draws it changes: it depends on the calls before"
        return [replace(of_number, text=f"{of_number.text}; {text}")]
    pixels = {len(first.x) * subject.data_dim, subject.data_dim}
    if first.masks and all(mask.numel() in pixels for mask in first.masks):
        text = "zeros and ones are drawn for it, as many as pixels: dropout, or other images"
        return [replace(of_number, text=f"{of_number.text}; {text}")]
    if first.masks:
        text = "zeros and ones are drawn for it, and not for pixels: dropout is on"
        return [replace(of_number, code="dropout-on", text=f"{of_number.text}; {text}")]
    seen = [call for call in calls if call.decoded]
    if len(seen) < len(calls):
        return [of_number]
    if all(len(call.decoded[0]) > 1 for call in seen) and _is_importance_weighted(subject, seen):
        text = f"it is the importance-weighted bound of {len(first.decoded[0])} draws, which is no ELBO"
        return [replace(of_number, code="term-wrong", text=f"{of_number.text}; {text}")]
    drawn = judge_draws(seen, [call.decoded[0] for call in seen], [], subject.encoder_gives)
    if drawn.code:
        return [replace(of_number, code=""), Check(DRAWN, "wrong", drawn.code, drawn.text)]
    return [of_number]


def _same_draws(a: Call, b: Call) -> bool:
    pairs = [*zip(a.noises, b.noises, strict=False)]
    return len(a.noises) == len(b.noises) and all(torch.equal(m.values, n.values) for m, n in pairs)


def _is_importance_weighted(subject: Subject, calls: list[Call]) -> bool:
    """Whether the number is minus the importance-weighted bound of the draws that were seen."""
    for call in calls[:10]:
        z = call.decoded[0]
        with torch.no_grad():
            log_likelihood = torch.stack(
                [subject.log_likelihood(call.x, draw.to(call.x.dtype)) for draw in z]
            )
        eps = (z - call.mu) / call.std
        weights = log_likelihood.double() + 0.5 * (eps**2 - z**2 + call.log_var).sum(-1)
        bound = (torch.logsumexp(weights, 0) - math.log(len(z))).mean().item()
        if abs(call.value + bound) > 1e-4 * abs(bound):
            return False
    return True


def _entry(subject: Subject, generator: torch.Generator) -> Any:
    with protected(0), torch.no_grad():
        return entry_of(
            subject.decode, subject.modules, subject.randn(2, subject.latent_dim, generator=generator)
        )


def _gradient(
    subject: Subject, loss: Callable[[Tensor], Any], x: Tensor, found: LossReading, entry: Any
) -> Check:
    batch = _batch(x, min(SIZES), found.copies).clone().requires_grad_(not subject.is_numpy)
    try:
        with torch.enable_grad():
            return judge_gradient(subject, found, listen(subject, loss, batch, 1, entry))
    except (ValueError, RuntimeError):  # not every loss stands images that carry a gradient
        return Check(GRADIENT, "untested", "", "the number could not be had with a gradient")


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
    text = f"you log {logged.value:.4f} ± {logged.error:.2g}; -ELBO is {truth}"
    if abs(apart) <= limit:
        return Check(NUMBER, "right", "", text)
    code = "" if is_read else "unknown"
    return Check(NUMBER, "wrong", code, f"it is not: {text}")
