"""`check_bernoulli`: which mistake is in a Bernoulli log-likelihood of binary pixels?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
from scipy import special

from vae_helpers.checks.engine.formula import Formula, Pattern, Term, check_formula, perhaps, present
from vae_helpers.checks.engine.report import Report, said
from vae_helpers.numerics._validate import Array


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
    return _draw(rng, batch, dim)[0], rng.uniform(0.05, 0.95, (batch, dim))


def _truth(x: Array, x_logits: Array) -> Array:
    """By the logistic distribution of SciPy, exact for all logits."""
    logistic = scipy.stats.logistic
    return np.where(x == 1, logistic.logcdf(x_logits), logistic.logsf(x_logits)).sum(axis=-1)


NORMALISER_TURNED = said("term-sign: The sign of the normalising part, the one without x, is turned round.")
NORMALISER_MISSING = said("term-missing: The normalising part, the one without x, is not there.")
TARGETS_MISSING = said("term-missing: The part with x is not there: every image gets the same value.")
SIGMOID_TWICE = said("""probabilities-not-logits: A sigmoid is taken twice: what your function hands on as
    logits are probabilities already. Logits may be any number; probabilities lie between 0 and 1.""")
LOGARITHM_OF_LOGITS = said("""probabilities-not-logits: A logarithm is taken of the logits, as if they were
    probabilities. Logits may be any number; probabilities lie between 0 and 1.""")
FLIPPED = said("targets-flipped: White pixels are judged as black ones: x and 1 - x have changed places.")
PROBABILITIES = said("not-log: Probabilities are added up where their logarithms are asked for.")
EXCHANGED = said("""swapped: In the cross-entropy x and the prediction have changed places: the first
    argument of PyTorch's functions is the prediction.""")
SQUARED_ERROR = said("""squared-error: This is a squared distance. Which distribution of a binary pixel has it
    as its logarithm?""")
SOFTMAX = said("""term-wrong: A softmax over the pixels stands where a sigmoid of each belongs: its
    probabilities add up to 1, as if exactly one pixel were white.""")
CONSTANT = said("constant: The value is off by a constant for each pixel.")
GROWS = said("sign: It also grows with the distance, where a log-likelihood falls.")


SQUARES = ("(x - p)²", "(x - a)²")
BERNOULLI = Formula(
    exercise="The Bernoulli log-likelihood",
    where="notebook 6, section 3",
    noun="the log-likelihood",
    arguments=("x", "x_logits"),
    truth=_truth,
    draw=_draw,
    core={
        "x log p": Term(1.0, lambda x, a: x * special.log_expit(a), "the white pixels' half"),
        "(1 - x) log(1 - p)": Term(
            1.0, lambda x, a: (1 - x) * special.log_expit(-a), "the black pixels' half"
        ),
    },
    stand_ins={
        "x log p": "x log(1 - p), x a, x p, x log a, p log p, x",
        "(1 - x) log(1 - p)": "(1 - x) log p, log(1 + exp a), log(1 + exp p), (1 - x) log(1 - a), a, p, 1, "
        "(1 - p) log(1 - p)",
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
        "log(1 + exp x)": lambda x, a: np.logaddexp(0, x),
        "p log p": lambda x, a: special.expit(a) * special.log_expit(a),
        "(1 - p) log(1 - p)": lambda x, a: special.expit(-a) * special.log_expit(-a),
        "|x - a|": lambda x, a: np.abs(x - a),
        "the probability": lambda x, a: np.exp(np.where(x == 1, special.log_expit(a), special.log_expit(-a))),
    },
    whole={
        "x log softmax a": lambda x, a: (x * special.log_softmax(a, axis=-1)).sum(-1),
        "(1 - x) log(1 - softmax a)": lambda x, a: ((1 - x) * np.log1p(-special.softmax(a, axis=-1))).sum(-1),
    },
    patterns=[
        Pattern({"x p": 1, "log(1 + exp p)": -1}, [SIGMOID_TWICE]),
        Pattern({"x log softmax a": 1, "(1 - x) log(1 - softmax a)": 1}, [SOFTMAX]),
        Pattern({"x log softmax a": 1}, [SOFTMAX]),
        Pattern({"x log a": 1, "(1 - x) log(1 - a)": 1}, [LOGARITHM_OF_LOGITS]),
        Pattern({"x log(1 - p)": 1, "(1 - x) log p": 1}, [FLIPPED]),
        Pattern({"x a": 1, "log(1 + exp x)": -1}, [EXCHANGED]),
        Pattern({"|x - p|": -100}, [EXCHANGED]),  # PyTorch cuts the logarithms of 0 off at -100
        Pattern({"the probability": present}, [PROBABILITIES]),
        # With x a = x log p - x log(1 - p) and log(1 + exp a) = -x log(1 - p) - (1 - x) log(1 - p).
        Pattern({"x a": 1, "log(1 + exp a)": 1}, [NORMALISER_TURNED]),
        Pattern({"x log p": 1, "(1 - x) log(1 - p)": -1, "x log(1 - p)": -2}, [NORMALISER_TURNED]),
        Pattern({"x a": 1}, [NORMALISER_MISSING]),
        Pattern({"x a": 1, "1": present}, [NORMALISER_MISSING, CONSTANT]),
        Pattern({"x log p": 1, "x log(1 - p)": -1}, [NORMALISER_MISSING]),
        Pattern({"log(1 + exp a)": -1}, [TARGETS_MISSING]),
        # A squared distance has no right factor; what is minus it falls with the distance, as it should.
        *(Pattern({square: lambda c: c < 0, "1": perhaps}, [SQUARED_ERROR]) for square in SQUARES),
        *(Pattern({square: lambda c: c > 0, "1": perhaps}, [SQUARED_ERROR, GROWS]) for square in SQUARES),
    ],
    averaged=said("""mean-pixels: With more pixels your values do not grow as they should: a mean over the
        pixels stands where a sum belongs. The log-probabilities of independent pixels add up."""),
    constant=CONSTANT.text,
    letters={"a": "x_logits"},
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
    half="everything is counted twice",
    is_log=True,
)
