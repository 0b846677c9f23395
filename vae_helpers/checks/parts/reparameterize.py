"""`check_reparameterize`: which mistake is in z = mu + std · eps?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_helpers.checks.engine.calling import Failed, Student
from vae_helpers.checks.engine.fitting import read
from vae_helpers.checks.engine.formula import Formula, name_mistakes
from vae_helpers.checks.engine.measuring import Measurement, Sample
from vae_helpers.checks.engine.report import Finding, Report, report, safely
from vae_helpers.checks.parts.sampling import (
    MISSING,
    READ_AS_STD,
    SHARED,
    STD_MISSING,
    SWAPPED,
    VARIANCE,
    gradients,
    own_noise,
    parameters_of,
    wrong_shape,
)

Array = NDArray[np.float64]
EXERCISE = "The reparameterized sample"
WHERE = "notebook 5, section 3"
NOISE_NAMES = {"eps", "epsilon", "noise", "e", "u", "xi"}
GENERATOR_NAMES = {"generator", "gen", "g", "rng"}


def check_reparameterize(fn: Callable[..., Any]) -> Report:
    """Checks a function for a draw from N(mu, diag(exp(log_var))) that gradients can pass.

    With given noise the values are fitted by a sum of terms; with its own noise the distribution of
    many draws is tested (its mean, its width against log_var, its shape, and whether rows and latents
    have noise of their own). With PyTorch, gradients with respect to both arguments are asked for.

    Args:
        fn: takes mu, log_var and eps, all (batch, d), or only mu and log_var and draws its own noise
            (a third argument named `generator` or `rng` is given one), as NumPy arrays or PyTorch
            tensors (whichever it can); returns z, (batch, d), or (samples, batch, d).

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Kingma & Welling 2014, section 2.4.
    """
    student = Student(fn)
    return safely(EXERCISE, lambda: _check(student, fn))


def _check(student: Student, fn: Callable[..., Any]) -> Report:
    try:
        findings, seen, notes = _given_noise(student) if _takes_noise(fn) else own_noise(student)
    except Failed as failed:
        return report(EXERCISE, [failed.finding])
    if student.changed:
        notes.append("your function changes its arguments in place; its caller may still need them.")
    return report(EXERCISE, findings, seen, notes, WHERE)


def _takes_noise(fn: Callable[..., Any]) -> bool:
    """Whether the third argument is the noise."""
    parameters = parameters_of(fn)
    if parameters is None or len(parameters) < 3:
        return parameters is None or not parameters  # a function of *args is given everything
    third = parameters[2]
    return third.name in NOISE_NAMES or (third.default is third.empty and third.name not in GENERATOR_NAMES)


# With given noise


def _given_noise(student: Student, lowest: float = -2.0) -> tuple[list[Finding], str, list[str]]:
    samples = []
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        mu, eps = rng.uniform(-2, 2, (24, 3)), rng.standard_normal((24, 3))
        v = rng.uniform(lowest, 2, (24, 3))
        z = student(mu, v, eps)
        if not samples and not np.array_equal(z, student(mu, v, eps), equal_nan=True):
            return [_IGNORED], "", []
        if z.shape[1:] == mu.shape and len(z) == 1:
            z = z[0]
        if z.shape != mu.shape:
            return [wrong_shape(z, mu)], "", []
        if not np.isfinite(z).all() and lowest < 0:
            # Perhaps a root of log_var: where it is positive, one sees more.
            findings, _, _ = _given_noise(student, lowest=0.2)
            return findings, _example(student), []
        parts = (eps[:1], eps[:, :1], eps[:1, :1], eps.mean(0), eps.mean(1, keepdims=True), eps.mean())
        rows = (mu, v, eps, *(np.broadcast_to(part, eps.shape) for part in parts))
        samples.append(Sample(tuple(np.array(a).reshape(-1, 1, 1) for a in rows), z.reshape(-1)))
    if all(np.allclose(s.values, s.column(_truth), rtol=1e-4, atol=1e-4) for s in samples):
        return gradients(student, True, []), "", []
    reading = read(Measurement(samples), SAMPLE.core, SAMPLE.extras)
    findings = [_UNKNOWN] if reading is None else name_mistakes(SAMPLE, reading)
    return [*findings, *gradients(student, True, findings)], _example(student), []


_IGNORED = Finding(
    "term-wrong",
    "Your function gives another value at each call: it draws noise of its own, but eps is given.",
)
_UNKNOWN = Finding("unknown", "This fits no mistake that is known here. Try it with one latent, by hand.")


def _truth(mu: Array, v: Array, eps: Array, *_: Array) -> Array:
    return mu + np.sqrt(np.exp(v)) * eps


def _example(student: Student) -> str:
    for mu, v, eps in [(0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 2.0, -1.0)]:
        try:
            z = student(np.array([[mu]]), np.array([[v]]), np.array([[eps]]))
        except Failed:
            return ""
        expected = mu + np.exp(v / 2) * eps
        if z.size == 1 and not abs(z.item() - expected) < 1e-4:
            return (
                f"For mu = [[{mu:g}]], log_var = [[{v:g}]] and eps = [[{eps:g}]] your function gives "
                f"{z.item():.4g}; expected {expected:.4g}."
            )
    return ""


_SCALES: dict[str, tuple[Callable[[Array], Array], tuple[Finding, ...]]] = {
    "σ": (lambda v: np.exp(v / 2), ()),
    "σ²": (np.exp, (VARIANCE,)),
    "1": (np.ones_like, (STD_MISSING,)),
    "log σ²": (lambda v: v, (Finding("term-wrong", READ_AS_STD),)),
    "1/σ": (lambda v: np.exp(-v / 2), (Finding("term-wrong", "The noise is divided by σ."),)),
}
# Noise that rows, latents or both share, for each way to scale it: (name, which kind, which scale).
_SHARED = [(f"{scale} · shared {kind}", kind, scale) for scale in _SCALES for kind in range(6)]


_SUBTRACTED = Finding(
    "sign",
    "The noise is subtracted. For eps drawn inside that would be as good, but here eps is given, and z is "
    "to be the "
    "value that belongs to it.",
)


def _pattern(factors: Mapping[str, float], extras: Mapping[str, float]) -> list[Finding]:
    if not any(factors.values()) and {"σ", "μ ε"} == set(extras):
        return [SWAPPED]
    return []


def _shared_term(kind: int, scale: str) -> Callable[..., Array]:
    return lambda mu, v, e, *shared: _SCALES[scale][0](v) * shared[kind]


SAMPLE = Formula(
    exercise=EXERCISE,
    where=WHERE,
    noun="the sample",
    arguments=("mu", "log_var", "eps"),
    truth=_truth,
    draw=lambda rng, batch, dim: (),
    true={"μ": 1.0, "σ ε": 1.0},
    core={"μ": lambda mu, *_: mu, "σ ε": lambda mu, v, e, *_: np.exp(v / 2) * e},
    extras={
        "σ² ε": lambda mu, v, e, *_: np.exp(v) * e,
        "ε": lambda mu, v, e, *_: e,
        "log σ² · ε": lambda mu, v, e, *_: v * e,
        "√σ ε": lambda mu, v, e, *_: np.exp(v / 4) * e,
        "σ⁴ ε": lambda mu, v, e, *_: np.exp(2 * v) * e,
        "ε/σ": lambda mu, v, e, *_: np.exp(-v / 2) * e,
        "μ ε": lambda mu, v, e, *_: mu * e,
        "μ σ ε": lambda mu, v, e, *_: mu * np.exp(v / 2) * e,
        "σ": lambda mu, v, *_: np.exp(v / 2),
        "σ²": lambda mu, v, *_: np.exp(v),
        "log σ²": lambda mu, v, *_: v,
        "1": lambda mu, *_: np.ones_like(mu),
        "σ ε²": lambda mu, v, e, *_: np.exp(v / 2) * e**2,
        "σ |ε|": lambda mu, v, e, *_: np.exp(v / 2) * np.abs(e),
        "√|log σ²| ε": lambda mu, v, e, *_: np.sqrt(np.abs(v)) * e,
        "log log σ² · ε": lambda mu, v, e, *_: np.log(v) * e,
        "log(1 + σ²) ε": lambda mu, v, e, *_: np.logaddexp(0, v) * e,
        "log(1 + σ) ε": lambda mu, v, e, *_: np.logaddexp(0, v / 2) * e,
        "|log σ²| ε": lambda mu, v, e, *_: np.abs(v) * e,
        "μ σ": lambda mu, v, *_: mu * np.exp(v / 2),
        **{name: _shared_term(kind, scale) for name, kind, scale in _SHARED},
    },
    stands_for={
        "σ ε": (
            *(name for name, _, _ in _SHARED),
            "σ² ε",
            "ε",
            "log σ² · ε",
            "√σ ε",
            "σ⁴ ε",
            "ε/σ",
            "μ σ ε",
            "μ ε",
            "σ ε²",
            "σ |ε|",
            "σ",
            "σ²",
            "√|log σ²| ε",
            "log(1 + σ²) ε",
            "log(1 + σ) ε",
            "|log σ²| ε",
        ),
        "μ": ("μ σ", "σ", "1"),
    },
    special={
        ("σ ε", "σ² ε"): (VARIANCE,),
        ("σ ε", "ε"): (STD_MISSING,),
        ("σ ε", "log σ² · ε"): (Finding("term-wrong", READ_AS_STD),),
        ("σ ε", 0.0): (MISSING,),
        ("σ ε", -1.0): (_SUBTRACTED,),
        **{("σ ε", name): (SHARED, *_SCALES[scale][1]) for name, _, scale in _SHARED},
    },
    pattern=_pattern,
    averaged=("shape", ""),
    constant="A constant is added that does not belong here.",
    shown={"σ ε": "the noise"},
    half="everything is counted twice",
)
