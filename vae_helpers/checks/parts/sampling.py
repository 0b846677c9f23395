"""Draws with noise of their own: their distribution, and the gradients that pass them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from vae_helpers.checks.engine.calling import Failed, Student, convert
from vae_helpers.checks.engine.report import Finding

Array = NDArray[np.float64]
SHARED = Finding(
    "noise-shared",
    "The same noise is used more than once: each row and each latent needs a draw of its own, or the draws "
    "of a batch are no independent sample.",
)
MISSING = Finding("noise-missing", "There is no noise: this is the mean of q, not a draw from it.")
VARIANCE = Finding("var-for-std", "The noise is multiplied by σ²: the draws have the variance σ⁴.")
STD_MISSING = Finding(
    "std-missing", "The noise is not scaled: whatever log_var says, the draws have the variance 1."
)
SWAPPED = Finding("swapped", "Mean and standard deviation have changed places.", "notebook 5, section 3")
READ_AS_STD = "log_var itself multiplies the noise: it is a logarithm, and may be negative."


def parameters_of(fn: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """The function's positional parameters; None where Python cannot tell."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return None
    return [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def wrong_shape(z: Array, mu: Array) -> Finding:
    """The finding for draws of a shape that is not that of mu."""
    return Finding("shape", f"For mu of shape {mu.shape} your function returns the shape {z.shape}.")


def own_noise(student: Student) -> tuple[list[Finding], str, list[str]]:
    """Tests the distribution of many draws: 6,000 rows, 4 latents of which two have equal parameters."""
    count, levels = 6000, np.array([-2.0, -1.0, 0.5, 1.0, 2.0])
    index = np.arange(count)
    v = np.stack([levels[(index + shift) % 5] for shift in (0, 0, 1, 3)], axis=1)
    mu = np.stack([np.array([-3.0, 0.5, 2.0])[(index // 5 + shift) % 3] for shift in (0, 0, 1, 2)], axis=1)
    own = student.fn
    student.fn = _with_generator(student)
    z = student(mu, v)
    if z.shape[1:] == mu.shape and z.ndim == 3:
        z = z[0]
    if z.shape != mu.shape:
        return [wrong_shape(z, mu)], "", []
    if not np.isfinite(z).all():
        return [Finding("unknown", "Some of your draws are infinite or NaN (not a number).")], "", []
    again = student(mu, v).reshape(-1, 4)[:count]
    fixed = np.array_equal(again, z)
    findings, notes = _distribution(z, mu, v, levels, fixed), []
    if not findings and fixed and student.fn is own:
        notes.append("each call draws the same noise again; training needs fresh noise at each step.")
    return [*findings, *gradients(student, False, findings)], "", notes


def _with_generator(student: Student) -> Callable[..., Any]:
    """The function of mu and log_var alone, with a generator where it wants one."""
    parameters, fn = parameters_of(student.fn), student.fn
    if parameters is None or len(parameters) < 3 or parameters[2].default is not inspect.Parameter.empty:
        return fn

    def with_generator(mu: Any, log_var: Any) -> Any:
        if isinstance(mu, np.ndarray):
            return fn(mu, log_var, np.random.default_rng(0))
        import torch

        return fn(mu, log_var, torch.Generator().manual_seed(0))

    return with_generator


def _distribution(z: Array, mu: Array, v: Array, levels: Array, fixed: bool) -> list[Finding]:
    rest = z - mu
    slope = float(np.sum((z - z.mean()) * (mu - mu.mean())) / np.sum((mu - mu.mean()) ** 2))
    if np.abs(rest).max() < 1e-5:
        return [MISSING]
    if abs(slope) < 0.2:
        means = [z[v == level].mean() for level in levels]
        if np.allclose(means, np.exp(levels / 2), rtol=0.2):
            return [SWAPPED]
        missing = Finding("term-missing", "Your draws do not follow mu: it is not in them.")
        return [missing, *_distribution(z + mu, mu, v, levels, fixed)]
    groups = [rest[v == level] for level in levels]
    spread = np.array([group.std() for group in groups])
    by_row = all(rest[v[:, 2] == level, 2].std() < 1e-5 * (1 + abs(rest[:, 2]).max()) for level in levels)
    if by_row and fixed:
        return [MISSING]
    if by_row:  # one draw for all rows: its size at each log_var shows what it is multiplied by
        size = np.log([np.abs(rest[v[:, 2] == level, 2]).mean() + 1e-300 for level in levels])
        return [SHARED, *_of_exponent(levels, size, np.exp(size))]
    if np.allclose(z[:, 0], z[:, 1], rtol=1e-5, atol=1e-6):
        return [SHARED, *_of_exponent(levels, np.log(spread), spread)]
    findings = []
    centre = np.array([group.mean() for group in groups])
    noise = np.concatenate([(g - c) / s for g, c, s in zip(groups, centre, spread, strict=True)])
    # The kurtosis sees tails that are cut off; both have some eight standard errors of room.
    normal = stats.kstest(noise, "norm").pvalue > 1e-7 and abs(stats.kurtosis(noise)) < 0.25
    factor = float(np.exp(np.polyfit(levels, np.log(spread), 1)[1]))
    if not normal:
        text = "The noise is not standard normal: its histogram has another shape"
        off = np.abs(centre).max() > 0.2 * spread.max()
        findings.append(Finding("noise-not-normal", text + (", and its mean is not 0." if off else ".")))
    elif np.any(np.abs(centre) > 7 * spread / np.sqrt([len(g) for g in groups])):
        findings.append(
            Finding("term-wrong", "The draws have another mean than mu: something else is added.")
        )
    findings += _of_exponent(levels, np.log(spread), spread)
    if normal and not any(f.code == "term-wrong" for f in findings) and abs(factor - 1) > 0.06:
        findings.append(
            Finding(
                "term-scale",
                f"The noise has {factor:.2g} times the size that it should have.",
            )
        )
    if not findings:
        own = (rest / np.exp(v / 2)).round(6)
        if max(len(np.unique(column)) for column in own.T) < 0.9 * len(own):  # some rows, not all
            return [SHARED]
    return findings


def _of_exponent(levels: Array, log_size: Array, size: Array) -> list[Finding]:
    """What multiplies the noise, from its size at each log_var: exp(k log_var), with k = ½ for σ."""
    exponent, offset = np.polyfit(levels, log_size, 1)
    clean = np.abs(log_size - (exponent * levels + offset)).max() < 0.1
    if clean and abs(exponent - 0.5) < 0.05:
        return []
    if clean and abs(exponent - 1) < 0.05:
        return [VARIANCE]
    if clean and abs(exponent) < 0.05:
        return [STD_MISSING]
    if np.ptp(size / np.abs(levels)) < 0.1 * size.max():
        return [Finding("term-wrong", READ_AS_STD)]
    return [Finding("term-wrong", "Another function of log_var stands where σ belongs.")]


def gradients(student: Student, with_eps: bool, others: list[Finding]) -> list[Finding]:
    """Whether gradients reach both arguments, for a function that knows PyTorch.

    An argument that is not in the value at all has been named among the others already.
    """
    known = {finding.code for finding in others}
    rng = np.random.default_rng(5)
    arrays = [rng.uniform(-1, 1, (6, 3)) for _ in range(2)] + [rng.standard_normal((6, 3))] * with_eps
    kind = student.kind if student.kind and student.kind.startswith("torch") else "torch float64"
    tensors = [convert(array, kind) for array in arrays]
    import torch

    for tensor in tensors[:2]:
        tensor.requires_grad_()
    # A copy each: a function that changes its arguments would be stopped at a leaf.
    with torch.enable_grad():
        copies = [tensors[0] * 1, tensors[1] * 1, *tensors[2:]]
        try:
            z = student.raw(*copies)
        except Failed:
            return []  # a NumPy function, for which gradients have no meaning
        if not isinstance(z, torch.Tensor):
            return [_not_differentiable("mu and log_var")] if student.kind != "numpy" else []
        reached = [False, False]
        if z.requires_grad:
            try:
                found = torch.autograd.grad(z.sum(), tensors[:2], allow_unused=True)
            except RuntimeError:  # something that the gradient needs was changed in place
                return [] if others else [_not_differentiable("mu and log_var")]
            reached = [g is not None and bool((g != 0).any()) for g in found]
    excused = ["term-missing" in known, bool(known & {"noise-missing", "std-missing"})]
    names = [n for n, ok, no in zip(("mu", "log_var"), reached, excused, strict=True) if not (ok or no)]
    return [_not_differentiable(" and ".join(names))] if names else []


def _not_differentiable(names: str) -> Finding:
    return Finding(
        "not-differentiable",
        f"No gradient reaches {names}: somewhere the result is cut off from its arguments, so an encoder "
        "could not learn from it.",
    )
