"""Questions to notebook 7 (the latent dimension)."""

from __future__ import annotations

import inspect

import numpy as np

from vae_helpers.checks.exercises._shared import LOG_2
from vae_helpers.checks.exercises.notebook_07 import check_cost_of_precision, check_spoilt
from vae_helpers.classroom.bank.notebook_06 import figures
from vae_helpers.classroom.bank.question import Question, Slip, Statement, Values, between, pick
from vae_helpers.models.evaluation import active_units
from vae_helpers.numerics import gaussian

_LATENTS = (1, 2, 3, 5, 10, 20, 50)
_THRESHOLD = float(inspect.signature(active_units).parameters["threshold"].default)


def _figure(name: str, latents: int, seed: int) -> float:
    """A figure of a model that ships, by one of its three seeds."""
    return float(figures(f"latent_{latents}")[name][seed])


def _two_models(rng: np.random.Generator) -> Values:
    found = _any_two_models(rng) | {"seed": pick(rng, 0, 1, 2)}
    worse, better = (-_figure("elbo", found[name], found["seed"]) for name in ("low", "high"))
    return found | {"worse": worse, "better": better}


def _rate(latents: int, seed: int) -> Values:
    return {"latents": latents, "rate": _figure("kl", latents, seed)}


def _way(a: float, d: int) -> Values:
    return {"a": a, "rest": round(1 - a, 1), "d": d}


def _gain(low: int, high: int, seed: int) -> float:
    return _figure("elbo", high, seed) - _figure("elbo", low, seed)


def _any_two_models(rng: np.random.Generator) -> Values:
    low, high = sorted(int(place) for place in rng.choice(len(_LATENTS), size=2, replace=False))
    return {"low": _LATENTS[low], "high": _LATENTS[high]}


def _overlap(name: str, low: int, high: int) -> int:
    """1 where the three seeds of the larger model lie above those of the smaller, -1 below, 0 in between."""
    small, large = (figures(f"latent_{latents}")[name] for latents in (low, high))
    return int(large.min() > small.max()) - int(large.max() < small.min())


def _moving(rng: np.random.Generator) -> Values:
    """Variances of means, some of them of dead latents, and the KLs of the same latents."""
    alive, dead, between_both = int(rng.integers(2, 5)), int(rng.integers(1, 4)), int(rng.integers(1, 3))
    variances = [between(rng, 0.3, 0.98, 0.02) for _ in range(alive)]
    variances += [between(rng, 0.02, 0.09, 0.01) for _ in range(between_both)]
    variances += [between(rng, 0.0001, 0.0009, 0.0001) for _ in range(dead)]
    order = rng.permutation(len(variances))
    return {"variances": tuple(variances[place] for place in order), "d": len(variances)}


def _active(variances: tuple[float, ...], threshold: float = _THRESHOLD) -> int:
    return int((np.array(variances) > threshold).sum())


def _blend(a: float, d: int) -> float:
    """E[|a z₁ + (1 - a) z₂|²] of independent draws of the prior with d latents."""
    std = np.sqrt(a**2 + (1 - a) ** 2)
    return d * gaussian.expectation(np.square, 0.0, std)


def _constant_mean(mu: float) -> float:
    return float(gaussian.kl_standard_normal(mu, 0.0))


QUESTIONS = (
    Question(
        "07-gain-per-latent",
        section=1,
        level=1,
        text="Of the course's own models one with $d = <low>$ has $-$ELBO $<worse>$ nats per test image, "
        "one with $d = <high>$ has $<better>$. By how many nats does the ELBO rise per latent "
        "added?",
        draw=_two_models,
        answer=lambda low, high, seed: _gain(low, high, seed) / (high - low),
        typed=True,
        digits=2,
        slips=[
            Slip(
                "not-divided",
                "This is the whole gain. It is to be divided by the number of latents that were added.",
                _gain,
            ),
            Slip(
                "wrong-dimension",
                "You have divided by all latents of the larger model, and not by those that were added.",
                lambda low, high, seed: _gain(low, high, seed) / high,
            ),
            Slip(
                "sign",
                "A lower $-$ELBO is a better model, so this is a gain and not a loss.",
                lambda low, high, seed: -_gain(low, high, seed) / (high - low),
            ),
        ],
        solution=r"$(<worse> - <better>)/(<high> - <low>) = <answer>$ nats.",
    ),
    Question(
        "07-rate-in-bits",
        section=1,
        level=1,
        text="A model with $d = <latents>$ has the rate $<rate>$ nats per test image. How many bits is that?",
        draw=lambda rng: _rate(pick(rng, *_LATENTS), pick(rng, 0, 1, 2)),
        answer=lambda rate: rate / LOG_2,
        unit="bits",
        digits=2,
        slips=[
            Slip(
                "ratio-upside-down",
                "A bit is $\\log 2 = 0.69$ nats, so there are more bits than nats.",
                lambda rate: rate * LOG_2,
            ),
            Slip("wrong-unit", "These are nats. One bit is $\\log 2$ nats.", lambda rate: rate),
            Slip(
                "mean-latent",
                "This is the share of one latent. The rate is the whole message.",
                lambda rate, latents: rate / latents / LOG_2,
            ),
        ],
        solution=r"$<rate>/\log 2 = <answer>$ bits.",
    ),
    Question(
        "07-idle-latent",
        section=2,
        level=2,
        text=r"A new latent is added to a model. Its decoder weights are 0, and the encoder returns $\mu = "
        r"<mu>$ and $\log\sigma^2 = 0$ for every image. By how much does $-$ELBO rise?",
        draw=lambda rng: {"mu": pick(rng, -1, 1) * between(rng, 0.3, 3.0, 0.1)},
        answer=_constant_mean,
        slips=[
            Slip(
                "term-missing",
                "The decoder does not listen, but the message is paid for: the KL is 0 only where $q$ is "
                "the prior.",
                lambda: 0.0,
            ),
            Slip("half", "The ½ in front of the KL is lost.", lambda mu: mu**2),
            Slip(
                "sign", "The KL is a cost. An idle latent cannot improve the bound.", lambda mu: -(mu**2) / 2
            ),
            Slip("term-wrong", "The KL grows with the square of the mean.", lambda mu: abs(mu) / 2),
        ],
        solution=r"The log-likelihood stays. The KL of the new latent is $\tfrac12(1 + <(mu)>^2 - 1 - 0) = "
        r"<answer>$ nats.",
    ),
    Question(
        "07-active-units",
        section=3,
        level=1,
        text="Over the images of a test set the means $\\mu_j$ of $<d>$ latents have the variances "
        "$<variances>$. How many latents are active units?",
        draw=_moving,
        answer=_active,
        unit="",
        digits=0,
        slips=[
            Slip(
                "all-counted", "All latents are counted. Those whose mean hardly moves are dead.", lambda d: d
            ),
            Slip("swapped", "These are the dead ones.", lambda variances, d: d - _active(variances)),
            Slip(
                "term-scale",
                "The threshold is 0.01. You have taken 0.1.",
                lambda variances: _active(variances, 0.1),
            ),
        ],
        solution="A latent is active if the variance of its mean exceeds 0.01, and of these $<answer>$ do.",
    ),
    Question(
        "07-cost-of-precision",
        section=3,
        level=3,
        text=r"A latent has $\sigma = <std>$ in $q$ for every image, and its draws over all images "
        r"together have the mean square 1, as the prior has. How large is its KL to the prior on "
        r"average?",
        draw=lambda rng: {"std": between(rng, 0.02, 0.9, 0.02)},
        answer=lambda std: check_cost_of_precision.truth(std),
        typed=True,
        slips=[
            Slip(
                "half",
                "Twice too large: the logarithm in the KL is that of $\\sigma^2$, with a ½ in front.",
                lambda std: -2 * np.log(std),
            ),
            Slip("wrong-unit", "This is in bits.", lambda std: -np.log2(std)),
            Slip(
                "term-missing",
                "This is the KL of a latent whose mean never moves. Here $\\mu^2$ is $1 - \\sigma^2$ on "
                "average.",
                lambda std: 0.5 * (std**2 - 1 - np.log(std**2)),
            ),
            Slip(
                "term-wrong",
                "It is the draws that have the mean square 1, and not the means.",
                lambda std: 0.5 * (std**2 - np.log(std**2)),
            ),
        ],
        solution=r"$\sigma^2 + \mu^2 - 1$ averages to 0, so $-\tfrac12\log <std>^2 = <answer>$ nats are "
        r"left (exercise 1 of the notebook).",
    ),
    Question(
        "07-between-two-draws",
        section=4,
        level=2,
        text=r"$z_1$ and $z_2$ are independent draws of the prior with $<d>$ latents. What is the squared "
        r"length of $<a> z_1 + <rest> z_2$ on average?",
        draw=lambda rng: _way(between(rng, 0.1, 0.6, 0.1), pick(rng, 2, 5, 10, 20, 50)),
        answer=_blend,
        unit="",
        digits=2,
        slips=[
            Slip(
                "stds-added",
                "This is the squared length of a draw: you have added the weights and not their squares. A "
                "point on the way is shorter.",
                lambda d: d,
            ),
            Slip(
                "std-for-var",
                "You have added up standard deviations of coordinates. The mean square of a coordinate is "
                "its variance.",
                lambda a, d: d * np.sqrt(a**2 + (1 - a) ** 2),
            ),
            Slip(
                "term-missing", "Both draws count, each with its own weight squared.", lambda a, d: d * a**2
            ),
            Slip(
                "term-wrong",
                "The square of the length is asked for, and you have taken its root.",
                lambda a, d: np.sqrt(d * (a**2 + (1 - a) ** 2)),
            ),
        ],
        solution=r"In each coordinate the variances add, $<a>^2 + <rest>^2$, and $<d>$ of them make "
        r"$<answer>$. A draw of the prior has $<d>$.",
    ),
    Question(
        "07-spoilt",
        section=4,
        level=2,
        text="A model gives an image the log-probability $<log_p>$ nats. It is spoilt: a share $<junk>$ of "
        "its draws now comes from junk, which gives this image practically no probability. By how "
        "much does the log-probability of the image fall?",
        draw=lambda rng: {"log_p": -between(rng, 70, 130, 1), "junk": between(rng, 0.05, 0.95, 0.05)},
        answer=lambda log_p, junk: (
            log_p - check_spoilt.truth(np.array([log_p]), np.array([-1e4]), np.array(junk))[0]
        ),
        typed=True,
        slips=[
            Slip(
                "swapped",
                "The model's share is $1 - <junk>$; the junk has the other.",
                lambda junk: -np.log(junk),
            ),
            Slip(
                "density-of-averages",
                "You have averaged logarithms. It is probabilities that are mixed.",
                lambda log_p, junk: -junk * log_p,
            ),
            Slip(
                "not-log",
                "This is the share by which the probability falls. The fall of its logarithm is asked for.",
                lambda junk: junk,
            ),
        ],
        steps={"left": lambda junk: 1 - junk},
        solution=r"The probability is multiplied by $<left>$, so its logarithm falls by $-\log <left> = "
        r"<answer>$ nats, however large it was.",
    ),
    Question(
        "07-more-latents",
        section=1,
        level=2,
        text="Of the course's models, each trained from three seeds, compare those with $<low>$ latents "
        "and those with $<high>$. What do the results on test images say?",
        draw=_any_two_models,
        statements=[
            Statement(
                "Each of the three with $<high>$ is better than each with $<low>$.",
                lambda low, high: _overlap("elbo", low, high) == 1,
                "more-is-better",
                "From some dimension on, more latents change less than another seed does. Look at all "
                "three runs.",
            ),
            Statement(
                "Each of the three with $<high>$ is worse than each with $<low>$.",
                lambda low, high: _overlap("elbo", low, high) == -1,
                "too-large",
                "A lower $-$ELBO is better. The best model cannot get worse with another latent, and a "
                "trained one gives superfluous latents up.",
            ),
            Statement(
                "The runs of the two overlap.",
                lambda low, high: _overlap("elbo", low, high) == 0,
                "spread-overrated",
                "Three runs from other seeds differ by about two nats for one latent, and by half a nat "
                "from five on: less than these two models do.",
            ),
            Statement(
                "Each of the three with $<high>$ has a lower rate than each with $<low>$.",
                lambda low, high: _overlap("kl", low, high) == -1,
                "swapped",
                "The rate grows up to 20 latents, more slowly than in proportion to them, and hardly changes "
                "after that. It is the distortion that falls.",
            ),
        ],
        steps={
            "small": lambda low: -figures(f"latent_{low}")["elbo"].round(2),
            "large": lambda high: -figures(f"latent_{high}")["elbo"].round(2),
        },
        solution="$-$ELBO is $<small>$ nats with $<low>$ and $<large>$ nats with $<high>$ latents. So: "
        "<answer>",
    ),
)
