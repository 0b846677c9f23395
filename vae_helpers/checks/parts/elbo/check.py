"""`check_elbo`: which mistake is in an ELBO, made of its two parts or of a whole model?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vae_helpers.checks.engine.arguments import bound, parameters_of, role_of, whichever_order
from vae_helpers.checks.engine.calling import Failed, Student, as_function
from vae_helpers.checks.engine.formula import Formula, Pattern, Term, compare, perhaps
from vae_helpers.checks.engine.measuring import uniform
from vae_helpers.checks.engine.report import Report, safely, said
from vae_helpers.checks.parts.elbo.model import EXERCISE, KL_ADDED, UNKNOWN, WHERE, check_model

MULTIPLIED = said("term-wrong: The two parts are multiplied or divided. Logarithms of factors add up.")


def check_elbo(fn: Callable[..., Any]) -> Report:
    """Checks a function for the ELBO of each image, and says which mistake is in it.

    Two levels: the two parts are put together, or the whole is computed from a model. There, what takes
    its noise from the global generators is called with the same noise again, which shows each term's
    weight to the last digits, and of 9,600 draws of z a σ that is off by 7 % but in one of a thousand
    cases; a right one is accused in less than one of a million. Other noise is averaged over.

    Args:
        fn: takes log_px_z and kl, both (batch,); or a `VAE` with a Bernoulli likelihood and images x,
            (batch, 784), and draws z itself. Returns the ELBO, (batch,), in nats, not a loss.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Kingma & Welling 2014, eq. 3 and 10.
    """
    as_function(fn)
    fn = bound(fn)
    names = [parameter.name for parameter in (parameters_of(fn) or [])[:2]]
    roles = ("model", "x") if any(map(_is_model, names)) else ("log_px_z", "kl")
    return whichever_order(fn, roles, lambda fn: safely(EXERCISE, lambda: _check(fn)))


def _is_model(name: str) -> bool:
    return role_of(name, ("model",)) is not None


def _check(fn: Callable[..., Any]) -> Report:
    parameters = parameters_of(fn)
    if parameters and _is_model(parameters[0].name):
        return check_model(fn)
    try:
        return compare(Student(lambda a, b: fn(a[:, 0], b[:, 0])), PARTS)
    except Failed as failed:
        if not isinstance(failed.__cause__, AttributeError | TypeError):
            raise
        of_model = safely(EXERCISE, lambda: check_model(fn))  # perhaps it takes a model
        if "error" in of_model.codes:
            raise
        return of_model


PARTS = Formula(
    exercise=EXERCISE,
    where=WHERE,
    noun="the ELBO",
    arguments=("log_px_z", "kl"),
    truth=lambda log_px_z, kl: (log_px_z - kl).sum(-1),
    draw=uniform((-9.0, 2.0), (0.01, 40.0)),
    core={
        "log p(x | z)": Term(1.0, lambda a, b: a),
        "KL": Term(-1.0, lambda a, b: b, turned=KL_ADDED),
    },
    stand_ins={
        "log p(x | z)": "p(x | z), log |log p(x | z)|, the ratio of both, the product of both",
        "KL": "log KL, exp KL, exp(-KL), KL², √KL, the ratio of both, the product of both",
    },
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
    patterns=[
        Pattern({"log p(x | z)": 1, "KL": -1}, [KL_ADDED]),
        Pattern({"the product of both": perhaps, "the ratio of both": perhaps}, [MULTIPLIED]),
    ],
    dims=(1, 1),
    simple=[(-1.0, 0.5), (-2.0, 1.0)],
    half="everything is counted twice",
    unknown=UNKNOWN,
)
