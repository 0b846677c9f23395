"""`check_elbo`: which mistake is in an ELBO, made of its two parts or of a whole model?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_helpers.checks.engine.calling import Failed, Student
from vae_helpers.checks.engine.fitting import agrees, read, same
from vae_helpers.checks.engine.formula import Formula, name_mistakes, smallest_example
from vae_helpers.checks.engine.measuring import measure
from vae_helpers.checks.engine.report import Finding, Report, report, safely
from vae_helpers.checks.parts.elbo.model import EXERCISE, KL_ADDED, UNKNOWN, WHERE, check_model

Array = NDArray[np.float64]


def check_elbo(fn: Callable[..., Any]) -> Report:
    """Checks a function for the ELBO of each image, and says which mistake is in it.

    Two levels: the two parts are put together, or the whole is computed from a model.

    Args:
        fn: takes log_px_z and kl, both (batch,); or a `VAE` with a Bernoulli likelihood and images x,
            (batch, 784), and draws z itself. Returns the ELBO, (batch,), in nats, not a loss.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Kingma & Welling 2014, eq. 3 and 10.
    """
    student = Student(fn)
    return safely(EXERCISE, lambda: _check(student, fn))


def _check(student: Student, fn: Callable[..., Any]) -> Report:
    if _first_name(fn) in {"model", "vae", "net", "network", "m"}:
        return check_model(fn)
    try:
        return _check_terms(student)
    except Failed as failed:
        if failed.finding.code == "error" and isinstance(failed.__cause__, AttributeError | TypeError):
            of_model = check_model(fn)
            if "error" not in of_model.codes:
                return of_model
        return report(EXERCISE, [failed.finding])


def _first_name(fn: Callable[..., Any]) -> str:
    try:
        return next(iter(inspect.signature(fn).parameters), "")
    except (TypeError, ValueError):
        return ""


# From its two parts


def _draw_parts(rng: np.random.Generator, batch: int, dim: int) -> tuple[Array, Array]:
    return rng.uniform(-9, 2, (batch, dim)), rng.uniform(0.01, 4, (batch, dim))


def _parts_pattern(factors: Mapping[str, float], extras: Mapping[str, float]) -> list[Finding]:
    if not extras and same(factors["log p(x | z)"], 1) and same(factors["KL"], -1):
        return [KL_ADDED]
    if not any(factors.values()) and set(extras) <= {"the product of both", "the ratio of both"}:
        return [
            Finding("term-wrong", "The two parts are multiplied or divided. Logarithms of factors add up.")
        ]
    return []


PARTS = Formula(
    exercise=EXERCISE,
    where=WHERE,
    noun="the ELBO",
    arguments=("log_px_z", "kl"),
    truth=lambda log_px_z, kl: (log_px_z - kl).sum(-1),
    draw=_draw_parts,
    true={"log p(x | z)": 1.0, "KL": -1.0},
    core={"log p(x | z)": lambda a, b: a, "KL": lambda a, b: b},
    extras={
        "1": lambda a, b: np.ones_like(a),
        "|log p(x | z)|": lambda a, b: np.abs(a),
        "log KL": lambda a, b: np.log(b),
        "p(x | z)": lambda a, b: np.exp(a),
        "exp KL": lambda a, b: np.exp(b),
        "exp(-KL)": lambda a, b: np.exp(-b),
        "KL²": lambda a, b: b**2,
        "the product of both": lambda a, b: a * b,
        "the ratio of both": lambda a, b: a / b,
        "log |log p(x | z)|": lambda a, b: np.log(np.abs(a)),
        "√KL": lambda a, b: np.sqrt(b),
    },
    stands_for={
        "log p(x | z)": ("p(x | z)", "log |log p(x | z)|", "the ratio of both", "the product of both"),
        "KL": ("log KL", "exp KL", "exp(-KL)", "KL²", "√KL", "the ratio of both", "the product of both"),
    },
    special={("KL", -1.0): (KL_ADDED,)},
    pattern=_parts_pattern,
    averaged=("shape", ""),
    constant="A constant is added that does not belong here.",
    dims=(1, 1),
    simple=[(-1.0, 0.5), (-2.0, 1.0)],
    half="everything is counted twice",
)


def _check_terms(student: Student) -> Report:
    inner = student.fn
    outer = Student(lambda a, b: inner(a[:, 0], b[:, 0]), student.kinds)
    found = measure(outer, _draw_parts, PARTS.dims)
    if not found.samples:
        return report(EXERCISE, found.findings, where=WHERE)
    findings = list(found.findings)
    if not all(agrees(sample, PARTS.truth) for sample in found.samples):
        reading = read(found, PARTS.core, PARTS.extras)
        findings += name_mistakes(PARTS, reading) if reading is not None else [UNKNOWN]
    seen = smallest_example(outer, PARTS) if findings else ""
    return report(EXERCISE, findings, seen, found.notes, WHERE)
