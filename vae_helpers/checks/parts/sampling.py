"""Draws with noise of their own: their distribution, and the gradients that pass them."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import scipy

from vae_helpers.checks.engine.arguments import parameters_of
from vae_helpers.checks.engine.calling import Failed, Student, convert
from vae_helpers.checks.engine.report import Finding, said
from vae_helpers.checks.engine.settings import has_torch
from vae_helpers.numerics._validate import Array

SHARED = said("""noise-shared: The same noise is used more than once: each row and each latent needs a draw of
    its own, or the draws of a batch are no independent sample.""")
MISSING = said("noise-missing: There is no noise: this is the mean of q, not a draw from it.")
VARIANCE = said("var-for-std: The noise is multiplied by σ²: the draws have the variance σ⁴.")
STD_MISSING = said("""std-missing: The noise is not scaled: whatever log_var says, the draws have the variance
    1.""")
SWAPPED = Finding("swapped", "Mean and standard deviation have changed places.", "notebook 5, section 2")
READ_AS_STD = said("term-wrong: log_var itself multiplies the noise: it is a logarithm, and may be negative.")
OTHER_SCALE = said("term-wrong: Another function of log_var stands where σ belongs.")
OTHER_MEAN = said("term-wrong: The draws have another mean than mu: something else is added.")
MU_MISSING = said("term-missing: Your draws do not follow mu: it is not in them.")
NOT_FINITE = said("unknown: Some of your draws are infinite or NaN (not a number).")
SAME_EACH_TIME = "each call draws the same noise again; training needs fresh noise at each step."
# What multiplies the noise, as the k of exp(k log_var).
EXPONENTS = {0.5: [], 1.0: [VARIANCE], 0.0: [STD_MISSING]}
LEVELS = np.array([-2.0, -1.0, 0.5, 1.0, 2.0])  # of log_var
MEANS = np.array([-3.0, 0.5, 2.0])  # of mu
PERIOD = len(LEVELS) * len(MEANS)
ROWS = 6000
MORE = 4  # times as many, where these leave it open
PATIENCE = 0.7  # seconds for the draws, so that more of them may be had
DOUBT = 2.6  # standard errors that a size may be off before more are drawn
ROOM = 6.0  # standard errors that a size may be off: a false alarm below one in ten million


def wrong_shape(z: Array, mu: Array) -> Finding:
    """The finding for draws of a shape that is not that of mu."""
    return Finding("shape", f"For mu of shape {mu.shape} your function returns the shape {z.shape}.")


def with_generator(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of mu and log_var alone: the same one, or one with a generator where it wants one.

    Each call hands over another one, in an order that is always the same: noise that stays is no noise then.
    """
    parameters = parameters_of(fn)
    if parameters is None or len(parameters) < 3 or parameters[2].default is not inspect.Parameter.empty:
        return fn

    seeds = itertools.count()

    def handed(mu: Any, log_var: Any) -> Any:
        if isinstance(mu, np.ndarray):
            return fn(mu, log_var, np.random.default_rng(next(seeds)))
        import torch

        return fn(mu, log_var, torch.Generator().manual_seed(next(seeds)))

    return handed


def own_noise(student: Student) -> tuple[list[Finding], list[str]]:
    """Tests the distribution of many draws of four latents, of which two have equal parameters.

    Where these are neither surely right nor surely wrong, four times as many decide.

    Args:
        student: a function of mu and log_var.

    Returns:
        The mistakes, and remarks that accuse nobody.
    """
    for rows in (ROWS, MORE * ROWS):
        mu, v = arguments(rows)
        z = student(mu, v)
        if z.shape[1:] == mu.shape and z.ndim == 3:
            z = z[0]
        if z.shape != mu.shape:
            return [wrong_shape(z, mu)], []
        if not np.isfinite(z).all():
            return [NOT_FINITE], []
        fixed = np.array_equal(student(mu, v).reshape(-1, 4)[:rows], z)
        findings = distribution(z, mu, v, fixed)
        if findings or student.seconds > PATIENCE or not is_open(z, mu, v):
            break
    notes = [SAME_EACH_TIME] if fixed and not findings else []
    if not findings:
        notes.append(seen_by(z.size))
    return [*findings, *gradients(student, False, findings)], notes


def seen_by(draws: int) -> str:
    """What a verdict of right says of a sample, as far as so many draws can tell."""
    part = 100 * smallest_scale(draws)
    return f"judged by {draws:,} draws, which would show a σ that is off by {part:.0f} % or more."


def arguments(rows: int) -> tuple[Array, Array]:
    """mu and log_var of four latents, the first two alike, shape (rows, 4); after `PERIOD` rows again."""
    index = np.arange(rows)
    v = np.stack([LEVELS[(index + shift) % 5] for shift in (0, 0, 1, 3)], axis=1)
    return np.stack([MEANS[(index // 5 + shift) % 3] for shift in (0, 0, 1, 2)], axis=1), v


def distribution(z: Array, mu: Array, v: Array, fixed: bool) -> list[Finding]:
    """What is wrong with draws z for `arguments`; `fixed` ones are the same at each call."""
    if np.abs(z - mu).max() < 1e-5:
        return [MISSING]
    slope = np.sum((z - z.mean()) * (mu - mu.mean())) / np.sum((mu - mu.mean()) ** 2)
    if abs(slope) < 0.2:
        means = [z[v == level].mean() for level in LEVELS]
        if np.allclose(means, np.exp(LEVELS / 2), rtol=0.2):
            return [SWAPPED]
        return [MU_MISSING, *distribution(z + mu, mu, v, fixed)]
    noise = z - mu
    own = (noise / np.exp(v / 2)).round(6)
    in_part = max(len(np.unique(column)) for column in own.T) < 0.9 * len(own)
    return _shared(noise, v, fixed) or _single_draws(noise, v) or [SHARED] * in_part


def is_open(z: Array, mu: Array, v: Array) -> bool:
    """Whether draws that are not wrong for certain look wrong, as one right sample in some hundred does."""
    standard = ((z - mu) / np.exp(v / 2)).reshape(-1)
    off = abs(standard.std() - 1) * np.sqrt(2 * standard.size)
    return off > DOUBT or scipy.stats.kstest(standard, "norm").pvalue < 1e-4


def _shared(noise: Array, v: Array, fixed: bool) -> list[Finding]:
    """Whether all rows, or the two latents with equal parameters, have the same noise."""
    first, twin, third, _ = noise.T
    _, _, v_of_third, _ = v.T
    groups = [third[v_of_third == level] for level in LEVELS]
    if all(group.std() < 1e-5 * (1 + np.abs(third).max()) for group in groups):
        if fixed:
            return [MISSING]
        # One draw for all rows: its size at each log_var shows what it is multiplied by.
        return [SHARED, *_of_size([np.abs(group).mean() + 1e-300 for group in groups])]
    if np.allclose(first, twin, rtol=1e-5, atol=1e-6):
        return [SHARED, *_of_size([noise[v == level].std() for level in LEVELS])]
    return []


def smallest_scale(draws: int) -> float:
    """By how much σ has to be off so that so many draws show it, but for one case in a thousand."""
    return (ROOM + 3.3) / np.sqrt(2 * draws)


def _single_draws(noise: Array, v: Array) -> list[Finding]:
    """What is wrong with the shape, the mean and the size of the noise."""
    groups = [noise[v == level] for level in LEVELS]
    centre, spread = (np.array([part(group) for group in groups]) for part in (np.mean, np.std))
    # Rows with the same parameters, one latent at a time: whatever these do, the size of the noise is one.
    alike = [noise[n::PERIOD] for n in range(PERIOD)]
    standard = np.concatenate([((rows - rows.mean(0)) / rows.std(0)).reshape(-1) for rows in alike])
    # The kurtosis sees tails that are cut off.
    room = 6 * np.sqrt(24 / len(standard))
    normal = scipy.stats.kstest(standard, "norm").pvalue > 1e-7 and abs(scipy.stats.kurtosis(standard)) < room
    findings = []
    if not normal:
        mean = ", and its mean is not 0" if np.abs(centre).max() > 0.2 * spread.max() else ""
        text = f"noise-not-normal: The noise is not standard normal: its histogram has another shape{mean}."
        findings.append(said(text))
    elif np.any(np.abs(centre) > 7 * spread / np.sqrt([len(g) for g in groups])):
        findings.append(OTHER_MEAN)
    findings += _of_size(spread)
    factor = float(np.exp(np.polyfit(LEVELS, np.log(spread), 1)[1]))
    room = ROOM / np.sqrt(2 * noise.size)
    if normal and not any(f.code == "term-wrong" for f in findings) and abs(factor - 1) > room:
        size = f"about {factor:.3g} times the size that it should have."
        findings.append(said(f"term-scale: The noise has {size}"))
    return findings


def _of_size(size: Sequence[float]) -> list[Finding]:
    """What multiplies the noise, from its size at each log_var."""
    size, log_size = np.asarray(size), np.log(size)
    exponent, offset = np.polyfit(LEVELS, log_size, 1)
    if np.abs(log_size - (exponent * LEVELS + offset)).max() < 0.1:
        for power, findings in EXPONENTS.items():
            if abs(exponent - power) < 0.05:
                return findings
    return [READ_AS_STD if np.ptp(size / np.abs(LEVELS)) < 0.1 * size.max() else OTHER_SCALE]


# For each argument the mistakes after which nobody expects its gradient.
EXCUSES = {"mu": {"term-missing"}, "log_var": {"noise-missing", "std-missing"}}


def gradients(student: Student, with_eps: bool, others: list[Finding]) -> list[Finding]:
    """Whether gradients reach both arguments, for a function that knows PyTorch.

    Args:
        student: the function.
        with_eps: whether it is given its noise.
        others: the mistakes that are known already.
    """
    if not has_torch():
        return []
    import torch

    rng = np.random.default_rng(5)
    arrays = [rng.uniform(-1, 1, (6, 3)) for _ in EXCUSES] + [rng.standard_normal((6, 3))] * with_eps
    kind = student.kind if student.kind and student.kind.startswith("torch") else "torch float64"
    mu, log_var, *eps = (convert(array, kind) for array in arrays)
    leaves = mu.requires_grad_(), log_var.requires_grad_()
    with torch.enable_grad():
        try:  # with a copy each: a function that changes its arguments would be stopped at a leaf
            z = student.raw(mu * 1, log_var * 1, *eps)
        except Failed:
            return []  # a NumPy function, for which gradients have no meaning
        if not isinstance(z, torch.Tensor):
            return [] if student.kind == "numpy" else [_not_differentiable(EXCUSES)]
        reached = (None, None)
        if z.requires_grad:
            try:
                reached = torch.autograd.grad(z.sum(), leaves, allow_unused=True)
            except RuntimeError:  # something that the gradient needs was changed in place
                return [] if others else [_not_differentiable(EXCUSES)]
    known = {finding.code for finding in others}
    cut_off = [name for name, given in zip(EXCUSES, reached, strict=True) if given is None or not given.any()]
    names = [name for name in cut_off if not known & EXCUSES[name]]
    return [_not_differentiable(names)] if names else []


def _not_differentiable(names: Iterable[str]) -> Finding:
    return said(f"""not-differentiable: No gradient reaches {" and ".join(names)}: somewhere the result is cut
        off from its arguments, so an encoder could not learn from it.""")
