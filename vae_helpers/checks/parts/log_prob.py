"""`check_log_prob`: which mistake is in a Gaussian log-density?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vae_helpers.checks.engine.formula import Formula, Pattern, Term, check_formula, perhaps, present
from vae_helpers.checks.engine.report import Report, said
from vae_helpers.checks.parts.kl import KL, LOG_STD
from vae_helpers.numerics import gaussian
from vae_helpers.numerics._validate import Array


def check_log_prob(fn: Callable[..., Any]) -> Report:
    """Checks a function for log N(x; mu, diag(exp(log_var))), and says which mistake is in it.

    Args:
        fn: takes x, mu and log_var, all (batch, d), as NumPy arrays or PyTorch tensors (whichever it
            can), and returns (batch,), in nats: the log-density, summed over the last axis.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Bishop 2006, eq. 2.43.
    """
    return check_formula(fn, LOG_PROB)


def _draw(rng: np.random.Generator, batch: int, dim: int) -> tuple[Array, Array, Array]:
    mu, log_var = rng.uniform(-2, 2, (batch, dim)), rng.uniform(-2, 2, (batch, dim))
    return mu + np.exp(log_var / 2) * rng.uniform(-2.5, 2.5, (batch, dim)), mu, log_var


def _draw_positive(rng: np.random.Generator, batch: int, dim: int) -> tuple[Array, Array, Array]:
    x, mu, log_var = _draw(rng, batch, dim)
    return x, mu, np.abs(log_var) + 0.2


def _square(x: Array, mu: Array, v: Array) -> Array:
    return (x - mu) ** 2 * np.exp(-v)


TWO_PI_MISSING = said("""log-two-pi-missing: A constant for each dimension is not there. Without it the
    density does not integrate to 1, and nats cannot be compared between models.""")
OTHER_CONSTANT = said("""constant: The constant of each dimension is another one. What does a density
    integrate to?""")
SIGMA_MISSING = said("""log-sigma-missing: The term with log σ² is not there: without it a wide density costs
    nothing, and σ grows without limit when it is learned.""")
WIDE = said("""var-for-std: σ² stands where σ belongs: your density is as wide as the variance says. What does
    a distribution object want, a variance or a standard deviation?""")
LOG_OF_SQUARE = said("""log-of-square: A logarithm is taken of the squared distance; the exponential has
    cancelled it.""")
DENSITIES = said("not-log: Densities are added up where their logarithms are asked for.")
AS_VARIANCE = said("term-wrong: log_var is used as if it were σ²: it is its logarithm, and may be negative.")
LOG_OF_SUM = said("log-of-square: A logarithm is taken of the squared distance.")
DIVIDED_TOO_EARLY = said("var-for-std: The distance is divided by σ² before it is squared, where σ belongs.")
OTHER_DISTANCES = {
    "(x - μ)²/σ⁴": [DIVIDED_TOO_EARLY],
    "(x - μ)²/σ": [said("std-for-var: The squared distance is divided by σ instead of σ².")],
    "log Σ(x - μ)²/σ²": [LOG_OF_SUM],
    "log Σ(x - μ)²": [LOG_OF_SUM],
}
LOG_TWO = np.log(2) / gaussian.LOG_2PI  # as a share of the constant
OF_LOG_VAR = ("σ", "σ²", "1/σ", "1/σ²", "(log σ²)²", "log(log σ²)", "log|log σ²|")
LOG_PROB = Formula(
    exercise="The Gaussian log-density",
    where="notebook 1, section 1",
    noun="the log-density",
    arguments=("x", "mu", "log_var"),
    truth=gaussian.log_prob,
    draw=_draw,
    core={
        "1": Term(-0.5 * gaussian.LOG_2PI, lambda x, mu, v: np.ones_like(x), "the constant", TWO_PI_MISSING),
        "log σ²": Term(-0.5, lambda x, mu, v: v, missing=SIGMA_MISSING, scaled={0.5: LOG_STD}),
        "(x - μ)²/σ²": Term(-0.5, _square, "the squared distance", replaced=OTHER_DISTANCES),
    },
    stand_ins={
        "log σ²": "log Σσ², σ, σ², 1/σ, 1/σ², (log σ²)², log(log σ²), log|log σ²|",
        "(x - μ)²/σ²": "(x - μ)²/σ, (x - μ)²/σ⁴, log Σ(x - μ)²/σ², log Σ(x - μ)², log |x - μ|, (x - μ)², "
        "|x - μ|/σ, |x - μ|/σ², |x - μ|, (x - μ)/σ, (x - μ)/σ², x - μ, (x - μ)²σ², (x - μ)²σ, (x - μ)²/√σ, "
        "(x - μ)²/log σ², (x - μ)²/(log σ²)², (x - μ)⁴/σ⁴, (x - μ)⁴/σ², (x - μ)⁴, (x - μ)³/σ³, "
        "(x + μ)²/σ², x²/σ², μ²/σ², ‖x - μ‖, x², xμ/σ²",
    },
    extras={
        "(x - μ)²/σ": lambda x, mu, v: (x - mu) ** 2 * np.exp(-v / 2),
        "(x - μ)²/σ⁴": lambda x, mu, v: (x - mu) ** 2 * np.exp(-2 * v),
        "(x - μ)²": lambda x, mu, v: (x - mu) ** 2,
        "log |x - μ|": lambda x, mu, v: np.log(np.abs(x - mu)),
        "|x - μ|/σ": lambda x, mu, v: np.abs(x - mu) * np.exp(-v / 2),
        "|x - μ|/σ²": lambda x, mu, v: np.abs(x - mu) * np.exp(-v),
        "|x - μ|": lambda x, mu, v: np.abs(x - mu),
        "(x - μ)/σ": lambda x, mu, v: (x - mu) * np.exp(-v / 2),
        "(x - μ)/σ²": lambda x, mu, v: (x - mu) * np.exp(-v),
        "x - μ": lambda x, mu, v: x - mu,
        "(x - μ)²σ²": lambda x, mu, v: (x - mu) ** 2 * np.exp(v),
        "(x - μ)²σ": lambda x, mu, v: (x - mu) ** 2 * np.exp(v / 2),
        "(x - μ)²/√σ": lambda x, mu, v: (x - mu) ** 2 * np.exp(-v / 4),
        "(x - μ)²/log σ²": lambda x, mu, v: (x - mu) ** 2 / v,
        "(x - μ)²/(log σ²)²": lambda x, mu, v: ((x - mu) / v) ** 2,
        "(x - μ)⁴/σ⁴": lambda x, mu, v: _square(x, mu, v) ** 2,
        "(x - μ)⁴/σ²": lambda x, mu, v: (x - mu) ** 4 * np.exp(-v),
        "(x - μ)⁴": lambda x, mu, v: (x - mu) ** 4,
        "(x - μ)³/σ³": lambda x, mu, v: (x - mu) ** 3 * np.exp(-1.5 * v),
        "(x + μ)²/σ²": lambda x, mu, v: (x + mu) ** 2 * np.exp(-v),
        "x²/σ²": lambda x, mu, v: x**2 * np.exp(-v),
        "μ²/σ²": lambda x, mu, v: mu**2 * np.exp(-v),
        "x²": lambda x, mu, v: x**2,
        "μ²": lambda x, mu, v: mu**2,
        "xμ/σ²": lambda x, mu, v: x * mu * np.exp(-v),
        **{name: lambda x, mu, v, term=KL.terms[name]: term(mu, v) for name in OF_LOG_VAR},
        "the density": lambda x, mu, v: np.exp(-0.5 * (gaussian.LOG_2PI + v + _square(x, mu, v))),
    },
    whole={
        "log Σ(x - μ)²": lambda x, mu, v: np.log(((x - mu) ** 2).sum(-1)),
        "log Σ(x - μ)²/σ²": lambda x, mu, v: np.log(_square(x, mu, v).sum(-1)),
        "‖x - μ‖": lambda x, mu, v: np.sqrt(((x - mu) ** 2).sum(-1)),
        "log Σσ²": lambda x, mu, v: np.log(np.exp(v).sum(-1)),
    },
    patterns=[
        Pattern({"the density": present}, [DENSITIES]),
        Pattern({"1": 1, "log σ²": 2, "(x - μ)²/σ⁴": -0.5}, [WIDE]),
        Pattern({"log σ²": 2, "(x - μ)²/σ⁴": -0.5}, [WIDE, TWO_PI_MISSING]),
        Pattern({"1": present, "log σ²": 2, "(x - μ)²/σ⁴": -0.5}, [WIDE, OTHER_CONSTANT]),
        Pattern({"1": perhaps, "log(log σ²)": present, "(x - μ)²/log σ²": present}, [AS_VARIANCE]),
        # log((x - μ)²/2σ²) brings -log σ² and -log 2 along: are the density's own constants there, too?
        *(
            Pattern({"log |x - μ|": power, "log σ²": log_var, "1": one}, [LOG_OF_SQUARE, *sigma, *two_pi])
            for power in (-1.0, -2.0)
            for log_var, sigma in ((power, [SIGMA_MISSING]), (perhaps, []))
            for one, two_pi in ((0.0, [TWO_PI_MISSING]), (power * LOG_TWO, [TWO_PI_MISSING]), (perhaps, []))
        ),
    ],
    averaged=said("""mean-pixels: With more dimensions your values do not grow as they should: a mean over the
        last axis stands where a sum belongs. The log-densities of independent coordinates add up."""),
    constant="The constant of each dimension is another one. What must a density integrate to?",
    axis="dimensions",
    simple=[(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (2.0, 1.0, -1.0)],
    extreme=[
        ((0.5, -1.0, 2.0), (0.0, 0.5, 1.0), (12.0, 12.0, 12.0)),
        ((0.5, -1.0, 2.0), (0.0, 0.5, 1.0), (-12.0, -12.0, -12.0)),
        ((0.5, -1.0, 2.0), (0.5, -1.0, 2.0), (-12.0, -12.0, -12.0)),
    ],
    harmless=[_draw_positive],
    is_log=True,
)
