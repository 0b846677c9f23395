"""What an ELBO may hold in the place of log p(x given z): the right term, and what mistakes put there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_expit

from vae_helpers.checks.engine.report import Finding, said
from vae_helpers.checks.parts.bernoulli import EXCHANGED
from vae_helpers.numerics._validate import Array

SQUARED = said("squared-error: A squared distance stands where a log-likelihood belongs.")
CONFUSED = said("""probabilities-not-logits: Logits and probabilities are confused: what does the decoder
    return?""")
FLIPPED = said("targets-flipped: White pixels are judged as black ones.")
HALF_MISSING = said("term-missing: The black pixels' half of the log-likelihood is not there.")
MISSING = said("term-missing: The log-likelihood is not in your value at all.")


class Likelihood(NamedTuple):
    """A term in the place of the log-likelihood."""

    of_pixel: Callable[[Array, Array], Array]  # its part of a single pixel, from x and the logit
    finding: Finding | None  # the mistake; None for the right term
    sign: int = 1  # of its coefficient in a bound; -1 for a distance, whose size has no right value either
    doubtful: bool = False  # logits that are taken for probabilities may look like it where they are none
    averaged: bool = False  # its average over z is compared with those of wrong draws


def _binary(x: Array, log_white: Array, log_black: Array) -> Array:
    return x * log_white + (1 - x) * log_black


RIGHT = "log p(x | z)"
AS_PROBABILITIES = "logits as probabilities"
LIKELIHOODS = {
    RIGHT: Likelihood(lambda x, a: _binary(x, log_expit(a), log_expit(-a)), None, averaged=True),
    "the squared distance": Likelihood(lambda x, a: (x - expit(a)) ** 2, SQUARED, sign=-1, averaged=True),
    "the squared distance of logits": Likelihood(lambda x, a: (x - a) ** 2, SQUARED, sign=-1, averaged=True),
    "probabilities as logits": Likelihood(lambda x, a: x * expit(a) - np.logaddexp(0, expit(a)), CONFUSED),
    AS_PROBABILITIES: Likelihood(
        lambda x, a: _binary(x, np.log(np.clip(a, 1e-9, 1)), np.log(np.clip(1 - a, 1e-9, 1))), CONFUSED
    ),
    "the output judged by x": Likelihood(lambda x, a: x * a - np.logaddexp(0, x), EXCHANGED),
    # PyTorch's `BCELoss` cuts the logarithms of 0 off at -100.
    "the probability judged by x": Likelihood(
        lambda x, a: -100 * (x * expit(-a) + (1 - x) * expit(a)), EXCHANGED
    ),
    "x log p": Likelihood(lambda x, a: x * log_expit(a), HALF_MISSING, doubtful=True),
    "flipped": Likelihood(lambda x, a: _binary(x, log_expit(-a), log_expit(a)), FLIPPED, doubtful=True),
    "the number of white pixels": Likelihood(lambda x, a: x, MISSING, doubtful=True),
}
NONE = Likelihood(lambda x, a: 0 * x, MISSING)
