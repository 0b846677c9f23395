"""`check_kl`: which mistake is in a KL divergence to the standard normal?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vae_helpers.checks.engine.formula import Formula, Pattern, Term, check_formula
from vae_helpers.checks.engine.measuring import uniform
from vae_helpers.checks.engine.report import Finding, Report, said
from vae_helpers.checks.engine.same_noise import terms_of
from vae_helpers.numerics.gaussian import kl_standard_normal


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


STD_FOR_VAR = said("std-for-var: σ stands where σ² belongs.")
LOG_STD = said("log-std: The logarithm counts half: log σ stands where log σ² belongs.")
SWAPPED = said("swapped: σ² and log σ² carry each other's signs: they have changed places.")
REVERSE = said("""reverse: This is the divergence of the standard normal from q: the two distributions have
    changed places.""")
READ_AS_LOG_STD = said("""log-std: log_var is read as log σ: your σ is the square of the one that is meant.
    What does a distribution object want, a variance or a standard deviation?""")
TAKEN_FOR_VARIANCE = said("""term-wrong: log_var is taken for the variance: it stands where σ² belongs, and a
    logarithm is taken of it, which fails where it is negative.""")

CONSTANT = "The value is off by a constant for each latent. At q = p (mu = 0, log_var = 0) a divergence is 0."

KL = Formula(
    exercise="The KL to the standard normal",
    where="notebook 3, section 3",
    noun="the divergence",
    arguments=("mu", "log_var"),
    truth=kl_standard_normal,
    draw=uniform((-2.5, 2.5), (-2.5, 2.5)),
    core={
        "1": Term(-0.5, lambda mu, v: np.ones_like(mu), written="the constant"),
        "μ²": Term(0.5, lambda mu, v: mu**2),
        "σ²": Term(0.5, lambda mu, v: np.exp(v), replaced={"σ": [STD_FOR_VAR]}),
        "log σ²": Term(-0.5, lambda mu, v: v, scaled={0.5: LOG_STD}),
    },
    stand_ins={
        "μ²": "μ, |μ|, (Σμ)², ‖μ‖, μ²/σ², μ²σ², μσ, μσ², μ²/σ, μ³, μ⁴, exp μ, exp 2μ, μ log σ², log |μ|, "
        "μ²/σ⁴",
        "σ²": "σ, σ⁴, √σ, 1/σ², 1/σ, (Σσ)², √Σσ², the product of all σ², the product of all σ, (log σ²)², "
        "exp (log σ²)², |log σ²|, √log σ², σ² log σ², log(1 + σ²), 1/σ⁴, σ log σ², exp 2μ, exp μ",
        "log σ²": "log Σσ², log(log σ²), log|log σ²|, log Σ log σ², (log σ²)², |log σ²|, log(1 + σ²), σ, σ⁴, "
        "1/σ², 1/σ, √log σ², log |μ|, σ log σ²",
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
    patterns=[
        Pattern({"1": 1, "μ²": 1, "σ²": -1, "log σ²": -1}, [SWAPPED]),
        Pattern({"1": 1, "1/σ²": 0.5, "μ²/σ²": 0.5, "log σ²": -1}, [REVERSE]),
        Pattern({"1": 1, "μ²": 1, "σ⁴": 0.5, "log σ²": 2}, [READ_AS_LOG_STD]),
        Pattern({"μ²": 1, "σ⁴": 0.5, "log σ²": 2}, [READ_AS_LOG_STD, Finding("constant", CONSTANT)]),
        Pattern({"1": 1, "μ²": 1, "log(log σ²)": -0.5, "log σ²": -1}, [TAKEN_FOR_VARIANCE]),
    ],
    averaged=said("""mean-latent: With more latents your values do not grow as they should: a mean over the
        latents stands where a sum belongs. The divergences of independent latents add up."""),
    constant=CONSTANT,
    simple=[(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, -1.0), (2.0, 1.0)],
    extreme=[
        ((0.5, -1.0, 2.0), (30.0, 30.0, 30.0)),
        ((0.5, -1.0, 2.0), (-30.0, -30.0, -30.0)),
        ((0.5, -1.0, 2.0), (-30.0, 0.5, 30.0)),
    ],
    safety=frozenset({"1/σ²", "1/σ", "1/σ⁴", "μ²/σ⁴"}),
    stable_where="notebook 5, section 5",
    read_random=terms_of,
    harmless=[uniform((0.3, 2.5), (0.2, 2.5))],  # log-variances that survive a logarithm
)
