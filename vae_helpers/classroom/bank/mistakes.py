"""The names of mistakes that questions invite: those of the checks, and some that only a question meets."""

from __future__ import annotations

from vae_helpers.checks.engine.codes import CODES

# What the checks of functions have no code for, since nobody writes a function in this way.
NAMES: dict[str, str] = {
    "all-counted": "Everything is counted, also what the condition leaves out.",
    "approximation-for-amortization": "The other of the two gaps is given.",
    "beta-forgotten": "The weight β is left out, or stands as 1.",
    "bias-forgotten": "The bias b is left out.",
    "bound-for-truth": "A bound is taken for the number that it bounds, or that number for the bound.",
    "data-forgotten": "The observation has no part in the answer.",
    "density-of-averages": "An average of functions is taken for the function of the average.",
    "gap-kept": "The gap is taken to stay as it is while the bound moves.",
    "limit-turned": "The larger is taken where the smaller belongs, or the other way round.",
    "linear-in-n": "The error is taken to fall like 1/n instead of 1/√n.",
    "more-is-better": "A larger number is taken for a better model.",
    "no-root": "A variance is given where a standard deviation is asked for.",
    "no-step": "A sum over a grid is taken for an integral, without the size of a cell.",
    "not-divided": "A total is given where a share is asked for.",
    "not-scaled": "A part of the data stands for all of them, without being scaled up.",
    "one-draw": "The spread of one draw is given for the error of an average.",
    "other-bound": "Another bound of the same number is given.",
    "other-estimator": "The number belongs to the other of the two estimators.",
    "precision-for-variance": "A variance and its inverse have changed places.",
    "prior-for-posterior": "The prior stands where the posterior belongs.",
    "prior-forgotten": "The likelihood alone decides; the prior has no part in the answer.",
    "ratio-upside-down": "A ratio stands upside down.",
    "spread-overrated": "The spread between seeds is taken for larger than it is.",
    "stds-added": "Standard deviations are added (or subtracted) where variances are.",
    "too-large": "The opposite of what the numbers say: too much is taken for too little, or the reverse.",
    "wrong-dimension": "The number of latents, pixels or axes enters in the wrong way.",
    "wrong-weight": "The model is judged by another weight than the one that is asked for.",
    "wrong-unit": "Bits stand where nats belong, or the other way round.",
}


def meaning(name: str) -> str:
    """What a name says, in one sentence.

    Raises:
        ValueError: the name is in neither table.
    """
    if name in CODES:
        return CODES[name].meaning
    if name not in NAMES:
        raise ValueError(f"name: expected a key of CODES or of NAMES, got {name!r}")
    return NAMES[name]
