"""`check_kl`: which mistake is in a KL divergence to the standard normal?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_helpers.checks.engine.formula import Formula, check_formula
from vae_helpers.checks.engine.report import Finding, Report
from vae_helpers.numerics.gaussian import kl_standard_normal

Array = NDArray[np.float64]


def check_kl(fn: Callable[..., Any]) -> Report:
    """Checks a function for KL(N(mu, diag(exp(log_var))), N(0, I)), and says which mistake is in it.

    The values at random points are fitted by a sum of terms (Σμ², Σσ, Σσ², Σlog σ², …), and the mistake is
    read off the coefficients.

    Args:
        fn: takes mu and log_var, both (batch, d), as NumPy arrays or PyTorch tensors (whichever it
            can), and returns (batch,), in nats.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Kingma & Welling 2014, appendix B.
    """
    return check_formula(fn, KL)


def draw(rng: np.random.Generator, batch: int, dim: int) -> tuple[Array, Array]:
    """Moderate means and log-variances, each (batch, dim)."""
    return rng.uniform(-2.5, 2.5, (batch, dim)), rng.uniform(-2.5, 2.5, (batch, dim))


def _draw_positive(rng: np.random.Generator, batch: int, dim: int) -> tuple[Array, Array]:
    """Log-variances that survive a logarithm."""
    return rng.uniform(0.3, 2.5, (batch, dim)), rng.uniform(0.2, 2.5, (batch, dim))


def _pattern(factors: Mapping[str, float], extras: Mapping[str, float]) -> list[Finding]:
    """Mistakes that touch several terms at once."""

    def core(one: float, mu2: float, var: float, log_var: float) -> bool:
        wanted = {"1": one, "μ²": mu2, "σ²": var, "log σ²": log_var}
        return all(abs(factors[name] - value) < 4e-3 for name, value in wanted.items())

    def others(**wanted: float) -> bool:
        names = {"inverse": "1/σ²", "ratio": "μ²/σ²", "fourth": "σ⁴", "log": "log(log σ²)"}
        return set(extras) == {names[n] for n in wanted} and all(
            abs(extras[names[n]] - value) < 2e-3 for n, value in wanted.items()
        )

    if core(1, 1, -1, -1) and not extras:
        return [Finding("swapped", "σ² and log σ² carry each other's signs: they have changed places.")]
    if core(1, 0, 0, -1) and others(inverse=0.5, ratio=0.5):
        return [
            Finding(
                "reverse",
                "This is the divergence of the standard normal from q: the two distributions have changed "
                "places.",
            )
        ]
    if core(1, 1, 0, 2) and others(fourth=0.5):
        return [
            Finding(
                "log-std",
                "log_var is read as log σ: your σ is the square of the one that is meant. What does a "
                "distribution object want, a variance or a standard deviation?",
            )
        ]
    if core(1, 1, 0, -1) and others(log=-0.5):
        return [
            Finding(
                "term-wrong",
                "log_var is taken for the variance: it stands where σ² belongs, and a logarithm is taken "
                "of it, which fails where it is negative.",
            )
        ]
    return []


KL = Formula(
    exercise="The KL to the standard normal",
    where="notebook 3, section 3",
    noun="the divergence",
    arguments=("mu", "log_var"),
    truth=kl_standard_normal,
    draw=draw,
    true={"1": -0.5, "μ²": 0.5, "σ²": 0.5, "log σ²": -0.5},
    core={
        "1": lambda mu, v: np.ones_like(mu),
        "μ²": lambda mu, v: mu**2,
        "σ²": lambda mu, v: np.exp(v),
        "log σ²": lambda mu, v: v,
    },
    extras={
        "σ": lambda mu, v: np.exp(v / 2),
        "μ": lambda mu, v: mu,
        "|μ|": lambda mu, v: np.abs(mu),
        "σ⁴": lambda mu, v: np.exp(2 * v),
        "1/σ²": lambda mu, v: np.exp(-v),
        "μ²/σ²": lambda mu, v: mu**2 * np.exp(-v),
        "1/σ": lambda mu, v: np.exp(-v / 2),
        "(log σ²)²": lambda mu, v: v**2,
        "exp (log σ²)²": lambda mu, v: np.exp(v**2),
        "|log σ²|": lambda mu, v: np.abs(v),
        "√σ": lambda mu, v: np.exp(v / 4),
        "μ²σ²": lambda mu, v: mu**2 * np.exp(v),
        "μ log σ²": lambda mu, v: mu * v,
        "μσ": lambda mu, v: mu * np.exp(v / 2),
        "μσ²": lambda mu, v: mu * np.exp(v),
        "μ²/σ": lambda mu, v: mu**2 * np.exp(-v / 2),
        "μ³": lambda mu, v: mu**3,
        "μ⁴": lambda mu, v: mu**4,
        "exp μ": lambda mu, v: np.exp(mu),
        "exp 2μ": lambda mu, v: np.exp(2 * mu),
        "σ² log σ²": lambda mu, v: np.exp(v) * v,
        "σ log σ²": lambda mu, v: np.exp(v / 2) * v,
        "log(1 + σ²)": lambda mu, v: np.log1p(np.exp(v)),
        "log(log σ²)": lambda mu, v: np.log(v),
        "log|log σ²|": lambda mu, v: np.log(np.abs(v)),
        "√log σ²": lambda mu, v: np.sqrt(v),
        "log |μ|": lambda mu, v: np.log(np.abs(mu)),
        "1/σ⁴": lambda mu, v: np.exp(-2 * v),
        "μ²/σ⁴": lambda mu, v: mu**2 * np.exp(-2 * v),
    },
    whole={
        "(Σμ)²": lambda mu, v: mu.sum(-1) ** 2,
        "‖μ‖": lambda mu, v: np.sqrt((mu**2).sum(-1)),
        "log Σσ²": lambda mu, v: np.log(np.exp(v).sum(-1)),
        "(Σσ)²": lambda mu, v: np.exp(v / 2).sum(-1) ** 2,
        "√Σσ²": lambda mu, v: np.sqrt(np.exp(v).sum(-1)),
        "the product of all σ²": lambda mu, v: np.exp(v.sum(-1)),
        "the product of all σ": lambda mu, v: np.exp(v.sum(-1) / 2),
        "log Σ log σ²": lambda mu, v: np.log(v.sum(-1)),
    },
    stands_for={
        "μ²": (
            "μ",
            "|μ|",
            "(Σμ)²",
            "‖μ‖",
            "μ²/σ²",
            "μ²σ²",
            "μσ",
            "μσ²",
            "μ²/σ",
            "μ³",
            "μ⁴",
            "exp μ",
            "exp 2μ",
            "μ log σ²",
            "log |μ|",
            "μ²/σ⁴",
        ),
        "σ²": (
            "σ",
            "σ⁴",
            "√σ",
            "1/σ²",
            "1/σ",
            "(Σσ)²",
            "√Σσ²",
            "the product of all σ²",
            "the product of all σ",
            "(log σ²)²",
            "exp (log σ²)²",
            "|log σ²|",
            "√log σ²",
            "σ² log σ²",
            "log(1 + σ²)",
            "1/σ⁴",
            "σ log σ²",
            "exp 2μ",
            "exp μ",
        ),
        "log σ²": (
            "log Σσ²",
            "log(log σ²)",
            "log|log σ²|",
            "log Σ log σ²",
            "(log σ²)²",
            "|log σ²|",
            "log(1 + σ²)",
            "σ",
            "σ⁴",
            "1/σ²",
            "1/σ",
            "√log σ²",
            "log |μ|",
            "σ log σ²",
        ),
    },
    special={
        ("log σ²", 0.5): (
            Finding("log-std", "The logarithm counts half: log σ stands where log σ² belongs."),
        ),
        ("σ²", "σ"): (Finding("std-for-var", "σ stands where σ² belongs."),),
    },
    pattern=_pattern,
    averaged=(
        "mean-latent",
        "With more latents your values do not grow as they should: a mean over the latents stands where a "
        "sum belongs. The divergences of independent latents add up.",
    ),
    constant=(
        "The value is off by a constant for each latent. At q = p (mu = 0, log_var = 0) a divergence is 0."
    ),
    simple=[(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, -1.0), (2.0, 1.0)],
    extreme=[
        ((0.5, -1.0, 2.0), (30.0, 30.0, 30.0)),
        ((0.5, -1.0, 2.0), (-30.0, -30.0, -30.0)),
        ((0.5, -1.0, 2.0), (-30.0, 0.5, 30.0)),
    ],
    stable_where="notebook 5, section 6",
    harmless=[_draw_positive],
    shown={"1": "the constant"},
)
