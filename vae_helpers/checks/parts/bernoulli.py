"""`check_bernoulli`: which mistake is in a Bernoulli log-likelihood of binary pixels?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from vae_helpers.checks.engine.formula import Formula, check_formula
from vae_helpers.checks.engine.report import Finding, Report

Array = NDArray[np.float64]


def check_bernoulli(fn: Callable[..., Any]) -> Report:
    """Checks a function for log p(x given z) of binary pixels, and says which mistake is in it.

    Args:
        fn: takes x (zeros and ones) and x_logits, both (batch, D), as NumPy arrays or PyTorch tensors
            (whichever it can), and returns (batch,), in nats: the log-likelihood, not a loss.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Kingma & Welling 2014, appendix C.1.
    """
    return check_formula(fn, BERNOULLI)


def _draw(rng: np.random.Generator, batch: int, dim: int) -> tuple[Array, Array]:
    return rng.integers(0, 2, (batch, dim)).astype(float), rng.uniform(-4, 4, (batch, dim))


def _draw_unit(rng: np.random.Generator, batch: int, dim: int) -> tuple[Array, Array]:
    """Logits that could be taken for probabilities."""
    x, _ = _draw(rng, batch, dim)
    return x, rng.uniform(0.05, 0.95, (batch, dim))


def _truth(x: Array, x_logits: Array) -> Array:
    """By the logistic distribution of SciPy, exact for all logits."""
    return np.where(x == 1, stats.logistic.logcdf(x_logits), stats.logistic.logsf(x_logits)).sum(-1)


_NOT_LOGITS = "Logits may be any number; probabilities lie between 0 and 1."


def _pattern(factors: Mapping[str, float], extras: Mapping[str, float]) -> list[Finding]:
    """Mistakes that touch both halves."""

    def only(**wanted: float) -> bool:
        names = {
            "xp": "x p",
            "sp": "log(1 + exp p)",
            "xa": "x log a",
            "ya": "(1 - x) log(1 - a)",
            "xq": "x log(1 - p)",
            "yp": "(1 - x) log p",
            "logit": "x a",
            "soft": "log(1 + exp a)",
        }
        return (
            not any(factors.values())
            and set(extras) == {names[n] for n in wanted}
            and all(abs(extras[names[n]] - value) < 2e-3 for n, value in wanted.items())
        )

    if only(xp=1, sp=-1):
        return [
            Finding(
                "probabilities-not-logits",
                "A sigmoid is taken twice: what your function hands on as logits are probabilities already. "
                + _NOT_LOGITS,
            )
        ]
    if only(xa=1, ya=1):
        return [
            Finding(
                "probabilities-not-logits",
                "A logarithm is taken of the logits, as if they were probabilities. " + _NOT_LOGITS,
            )
        ]
    if only(xq=1, yp=1):
        return [
            Finding(
                "targets-flipped", "White pixels are judged as black ones: x and 1 - x have changed places."
            )
        ]
    if set(extras) == {"the probability"} and not any(factors.values()):
        return [Finding("not-log", "Probabilities are added up where their logarithms are asked for.")]
    both = factors["x log p"], factors["(1 - x) log(1 - p)"]
    mixed = extras.get("x log(1 - p)", 0.0) if set(extras) == {"x log(1 - p)"} else 0.0
    if only(logit=1, soft=1) or np.allclose([*both, mixed], [1, -1, -2], atol=2e-3):  # x a + log(1 + exp a)
        return [Finding("term-sign", "The sign of the normalising part, the one without x, is turned round.")]
    if only(logit=1) or np.allclose([*both, mixed], [1, 0, -1], atol=2e-3):  # x a alone
        return [Finding("term-missing", "The normalising part, the one without x, is not there.")]
    if only(soft=-1):
        return [Finding("term-missing", "The part with x is not there: every image gets the same value.")]
    squares = {"(x - p)²", "(x - a)²"} & set(extras)
    if len(squares) == 1 and set(extras) <= squares | {"1"} and not any(factors.values()):
        (coefficient,) = (extras[name] for name in squares)
        text = "This is a squared distance. Which distribution of a binary pixel has it as its logarithm?"
        sign = Finding("sign", "It also grows with the distance, where a log-likelihood falls.")
        return [Finding("squared-error", text), *([sign] if coefficient > 0 else [])]
    return []


BERNOULLI = Formula(
    exercise="The Bernoulli log-likelihood",
    where="notebook 6, section 1",
    noun="the log-likelihood",
    arguments=("x", "x_logits"),
    truth=_truth,
    draw=_draw,
    true={"x log p": 1.0, "(1 - x) log(1 - p)": 1.0},
    core={
        "x log p": lambda x, a: x * special.log_expit(a),
        "(1 - x) log(1 - p)": lambda x, a: (1 - x) * special.log_expit(-a),
    },
    extras={
        "x log(1 - p)": lambda x, a: x * special.log_expit(-a),
        "(1 - x) log p": lambda x, a: (1 - x) * special.log_expit(a),
        "(x - p)²": lambda x, a: (x - special.expit(a)) ** 2,
        "(x - a)²": lambda x, a: (x - a) ** 2,
        "|x - p|": lambda x, a: np.abs(x - special.expit(a)),
        "x p": lambda x, a: x * special.expit(a),
        "log(1 + exp p)": lambda x, a: np.logaddexp(0, special.expit(a)),
        "x log a": lambda x, a: x * np.log(a),
        "(1 - x) log(1 - a)": lambda x, a: (1 - x) * np.log1p(-a),
        "x a": lambda x, a: x * a,
        "a": lambda x, a: a,
        "log(1 + exp a)": lambda x, a: np.logaddexp(0, a),
        "p": lambda x, a: special.expit(a),
        "1": lambda x, a: np.ones_like(x),
        "x": lambda x, a: x,
        "log a": lambda x, a: np.log(a),
        "p log p": lambda x, a: special.expit(a) * special.log_expit(a),
        "(1 - p) log(1 - p)": lambda x, a: special.expit(-a) * special.log_expit(-a),
        "|x - a|": lambda x, a: np.abs(x - a),
        "the probability": lambda x, a: np.exp(np.where(x == 1, special.log_expit(a), special.log_expit(-a))),
    },
    stands_for={
        "x log p": ("x log(1 - p)", "x a", "x p", "x log a", "p log p", "x"),
        "(1 - x) log(1 - p)": (
            "(1 - x) log p",
            "log(1 + exp a)",
            "log(1 + exp p)",
            "(1 - x) log(1 - a)",
            "a",
            "p",
            "1",
            "(1 - p) log(1 - p)",
        ),
    },
    pattern=_pattern,
    averaged=(
        "mean-pixels",
        "With more pixels your values do not grow as they should: a mean over the pixels stands where a "
        "sum belongs. The log-probabilities of independent pixels add up.",
    ),
    constant="The value is off by a constant for each pixel.",
    axis="pixels",
    dims=(4, 7),
    simple=[(1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, -1.0), (0.0, -2.0)],
    extreme=[
        ((0.0, 1.0, 0.0), (30.0, -30.0, 30.0)),
        ((0.0, 1.0), (100.0, -100.0)),
        ((1.0, 0.0), (100.0, -100.0)),
    ],
    beyond=[((0.0, 1.0), (60.0, -60.0)), ((0.0, 1.0), (1000.0, -1000.0))],
    harmless=[_draw_unit],
    shown={"x log p": "The white pixels' half", "(1 - x) log(1 - p)": "The black pixels' half"},
    half="everything is counted twice",
    is_log=True,
)
