"""Questions to notebook 5 (reparameterization)."""

from __future__ import annotations

import numpy as np

from vae_helpers.classroom.bank.notebook_01 import WORLD, world
from vae_helpers.classroom.bank.notebook_02 import elbo, kl
from vae_helpers.classroom.bank.question import Question, Slip, Statement, Values, between, pick
from vae_helpers.numerics import gaussian

_STEP = 1e-4  # of a slope by differences; what is differentiated is a quadratic or nearly one
_SCORE_OR_PATH = r"Let $z \sim \mathcal{N}(<mu>, <std>^2)$ and $f(z) = z^2$."


def _q(rng: np.random.Generator) -> Values:
    return {
        "mu": pick(rng, -1, 1) * between(rng, 0.6, 2.2, 0.4),
        "std": pick(rng, 0.4, 0.5, 0.6, 0.8, 1.2, 1.5),
    }


def _drawn(rng: np.random.Generator) -> Values:
    log_var = pick(rng, -3.0, -2.4, -1.8, -1.2, -0.8, 0.6, 1.0, 1.4)
    return {
        "mu": between(rng, -1.5, 1.5, 0.25),
        "log_var": log_var,
        "eps": pick(rng, -1, 1) * between(rng, 0.4, 2.2, 0.2),
    }


def _std(log_var: float) -> float:
    """The standard deviation, from the entropy of the density."""
    return float(np.exp(gaussian.entropy(log_var) - 0.5 * (1 + gaussian.LOG_2PI)))


def _is(number: float, log_var: float, what: str) -> bool:
    """Whether a number is what is asked for, a part of the density with this log-variance."""
    std = _std(log_var)
    return bool(np.isclose(number, std**2 if "variance" in what else std))


def _score(z, mu: float, std: float):
    """The derivative of log N(z; mu, std²) by mu, by differences; the log-density is a quadratic in mu."""
    z = np.asarray(z, dtype=float)[..., None]
    high, low = (gaussian.log_prob(z, mu + step, 2 * np.log(std)) for step in (0.5, -0.5))
    return high - low


def _variance(f, mu: float, std: float) -> float:
    mean = gaussian.expectation(f, mu, std)
    return gaussian.expectation(lambda z: (f(z) - mean) ** 2, mu, std)


def _of_score(mu: float, std: float) -> float:
    return _variance(lambda z: z**2 * _score(z, mu, std), mu, std)


def _of_path(mu: float, std: float) -> float:
    return _variance(lambda z: 2 * z, mu, std)


def _slope(f, at: float) -> float:
    return (f(at + _STEP) - f(at - _STEP)) / (2 * _STEP)


def _guess(rng: np.random.Generator) -> Values:
    return world(rng) | {
        "mu": pick(rng, -1, 1) * between(rng, 0.3, 1.2, 0.3),
        "std": between(rng, 0.3, 0.9, 0.1),
    }


def _mixed(w: float, b: float, s: float, x: float, mu: float, std: float) -> float:
    """The number that a missing ½ makes: draws from N(mu, std⁴), the KL of N(mu, std²)."""
    reconstruction = elbo(w, b, s, x, mu, std**2) + kl(mu, std**2)
    return reconstruction - kl(mu, std)


QUESTIONS = (
    Question(
        "05-draw",
        section=2,
        level=1,
        text="An encoder returns `mu` $= <mu>$ and `log_var` $= <log_var>$, and the noise is $\\varepsilon "
        "= <eps>$. What is the draw $z$?",
        draw=_drawn,
        answer=lambda mu, log_var, eps: mu + _std(log_var) * eps,
        typed=True,
        unit="",
        slips=[
            Slip(
                "var-for-std",
                "$e^{\\mathtt{log\\_var}}$ is $\\sigma^2$. The noise is multiplied by $\\sigma$: a ½ is "
                "missing.",
                lambda mu, log_var, eps: mu + np.exp(log_var) * eps,
            ),
            Slip("std-missing", "The noise is not multiplied by $\\sigma$.", lambda mu, eps: mu + eps),
            Slip("noise-missing", "This is the mean, and not a draw.", lambda mu: mu),
            Slip(
                "swapped",
                "`log_var` itself stands in the place of $\\sigma$.",
                lambda mu, log_var, eps: mu + log_var * eps,
            ),
        ],
        steps={"std": _std},
        solution=r"$\sigma = e^{<log_var>/2} = <std>$, so $z = <mu> + <std> \cdot <(eps)> = <answer>$.",
    ),
    Question(
        "05-read-log-var",
        section=5,
        level=1,
        text="An encoder returns `log_var` $= <log_var>$. Which expression is <what>?",
        draw=lambda rng: {
            "log_var": pick(rng, -4.0, -3.2, -2.6, -2.0, -1.4, -0.9, 0.5, 0.9, 1.4),
            "what": pick(rng, r"$\sigma$, the factor of the noise", r"$\sigma^2$, the variance of $q$"),
        },
        statements=[
            Statement(
                "`exp(log_var)`",
                lambda log_var, what: _is(np.exp(log_var), log_var, what),
                "var-for-std",
                "That is the variance of $q$, $\\sigma^2$.",
            ),
            Statement(
                "`exp(0.5 * log_var)`",
                lambda log_var, what: _is(np.exp(0.5 * log_var), log_var, what),
                "std-for-var",
                "That is the standard deviation of $q$, $\\sigma$, by which the noise is multiplied.",
            ),
            Statement(
                "`0.5 * log_var`",
                lambda log_var, what: _is(0.5 * log_var, log_var, what),
                "log-std",
                "That is $\\log\\sigma$. A standard deviation or a variance may not be negative, and this "
                "may.",
            ),
            Statement(
                "`0.5 * exp(log_var)`",
                lambda log_var, what: _is(0.5 * np.exp(log_var), log_var, what),
                "scale",
                "Half of the variance stands in no formula of a draw. In the exponent the ½ takes a root.",
            ),
        ],
        steps={"std": _std, "var": lambda log_var: _std(log_var) ** 2},
        solution=r"`log_var` is $\log\sigma^2$, so that $\sigma^2 = e^{<log_var>} = <var>$ and $\sigma = "
        r"e^{<log_var>/2} = <std>$. The expression is <answer>.",
    ),
    Question(
        "05-slope-by-log-var",
        section=5,
        level=2,
        text=_SCORE_OR_PATH
        + r" How large is the slope of $\mathbb{E}[f(z)]$ by $\ell = \log\sigma^2$ there?",
        draw=_q,
        answer=lambda mu, std: _slope(
            lambda ell: gaussian.expectation(np.square, mu, np.exp(0.5 * ell)), 2 * np.log(std)
        ),
        unit="",
        slips=[
            Slip(
                "term-wrong",
                "This is the slope by $\\sigma$. The chain rule multiplies it by $d\\sigma/d\\ell = "
                "\\sigma/2$.",
                lambda std: 2 * std,
            ),
            Slip("scale", "A ½ too many: $d\\sigma^2/d\\ell = \\sigma^2$.", lambda std: 0.5 * std**2),
            Slip(
                "std-for-var",
                "$\\mathbb{E}[z^2] = \\mu^2 + e^\\ell$, and the derivative of $e^\\ell$ is $e^\\ell = "
                "\\sigma^2$.",
                lambda std: std,
            ),
            Slip("swapped", "This is the slope by $\\mu$.", lambda mu: 2 * mu),
        ],
        solution=r"$\mathbb{E}[z^2] = \mu^2 + e^\ell$, so the slope is $e^\ell = <std>^2 = <answer>$.",
    ),
    Question(
        "05-score-of-one-draw",
        section=2,
        level=2,
        text=_SCORE_OR_PATH
        + r" The noise is $\varepsilon = <eps>$. What is the score-function estimate (without a baseline) "
        r"of the slope of $\mathbb{E}[f(z)]$ by $\mu$ from this draw?",
        draw=lambda rng: _q(rng) | {"eps": pick(rng, -1, 1) * between(rng, 0.5, 2.0, 0.25)},
        answer=lambda mu, std, eps: (mu + std * eps) ** 2 * _score(mu + std * eps, mu, std),
        typed=True,
        unit="",
        slips=[
            Slip(
                "other-estimator",
                "This is the path estimate, $f'(z)$. The score function multiplies values of $f$.",
                lambda mu, std, eps: 2 * (mu + std * eps),
            ),
            Slip(
                "std-for-var",
                "The score is $(z - \\mu)/\\sigma^2$: you have divided by $\\sigma$ once.",
                lambda mu, std, eps: (mu + std * eps) ** 2 * eps,
            ),
            Slip(
                "term-missing",
                "This is the score alone. It is multiplied by $f(z)$.",
                lambda std, eps: eps / std,
            ),
            Slip(
                "noise-missing",
                "$f$ is evaluated at the draw, and not at the mean.",
                lambda mu, std, eps: mu**2 * eps / std,
            ),
        ],
        steps={"z": lambda mu, std, eps: mu + std * eps},
        solution=r"$z = <z>$, and $z^2 \cdot (z - \mu)/\sigma^2 = <(z)>^2 \cdot <(eps)> / <std> = <answer>$.",
    ),
    Question(
        "05-path-variance",
        section=4,
        level=2,
        text=_SCORE_OR_PATH
        + r" How large is the variance of the path estimate of the slope of $\mathbb{E}[f(z)]$ by $\mu$, "
        r"from one draw?",
        draw=_q,
        answer=_of_path,
        unit="",
        slips=[
            Slip(
                "std-for-var",
                "This is its standard deviation; the variance is asked for.",
                lambda std: 2 * std,
            ),
            Slip(
                "scale",
                "The path estimate is $2z$, and the factor is squared in a variance.",
                lambda std: 2 * std**2,
            ),
            Slip(
                "term-wrong",
                "This is the mean square. Subtract the square of the mean.",
                lambda mu, std: 4 * (mu**2 + std**2),
            ),
            Slip(
                "other-estimator",
                "This is the variance of the score-function estimate, which is larger.",
                _of_score,
            ),
        ],
        solution=r"The path estimate is $2z = 2\mu + 2\sigma\varepsilon$, with the variance $4 \cdot "
        r"<std>^2 = <answer>$.",
    ),
    Question(
        "05-score-costs",
        section=4,
        level=3,
        text=_SCORE_OR_PATH
        + r" How many times as many draws does the score function (without a baseline) need as the path, "
        r"for the same accuracy of the slope by $\mu$?",
        draw=_q,
        answer=lambda mu, std: _of_score(mu, std) / _of_path(mu, std),
        unit="times",
        digits=1,
        slips=[
            Slip(
                "linear-in-n",
                "This is the ratio of the standard deviations. Draws go with the variances.",
                lambda mu, std: np.sqrt(_of_score(mu, std) / _of_path(mu, std)),
            ),
            Slip(
                "term-missing",
                "You have taken the mean square of the score-function estimate for its variance: subtract "
                "the square of its mean, $(2\\mu)^2$.",
                lambda mu, std: (_of_score(mu, std) + 4 * mu**2) / _of_path(mu, std),
            ),
            Slip(
                "scale",
                "For a ratio of variances one needs that many times the draws, and not its square.",
                lambda mu, std: (_of_score(mu, std) / _of_path(mu, std)) ** 2,
            ),
        ],
        steps={"score": _of_score, "path": _of_path},
        solution="The variances are $<score>$ and $<path>$, and the standard error squared is variance "
        "over $n$: $<answer>$ times.",
    ),
    Question(
        "05-cut-path",
        section=3,
        level=3,
        text=WORLD
        + r" one sees $x = <x>$, and $q = \mathcal{N}(<mu>, <std>^2)$. A program draws $z$ by `sample()` "
        r"instead of `rsample()`; the KL is in closed form. Which slope of the ELBO by $\mu$ does "
        r"autograd return?",
        draw=_guess,
        answer=lambda mu, std: -_slope(lambda at: kl(at, std), mu),
        unit="nats per unit",
        digits=2,
        slips=[
            Slip(
                "not-differentiable",
                "This is the exact slope. `sample()` cuts the path from the likelihood to $\\mu$.",
                lambda w, b, s, x, mu, std: _slope(lambda at: elbo(w, b, s, x, at, std), mu),
            ),
            Slip("term-sign", "The KL is subtracted in the ELBO, and so is its slope.", lambda mu: mu),
            Slip(
                "swapped",
                "The likelihood's part is what is cut. What comes through is the KL's part.",
                lambda w, b, s, x, mu, std: _slope(lambda at: elbo(w, b, s, x, at, std) + kl(at, std), mu),
            ),
            Slip(
                "term-missing", "The KL has a path to $\\mu$ of its own, so something is left.", lambda: 0.0
            ),
        ],
        solution=r"What is left is the slope of $-\mathrm{KL}$, which is $-\mu = <answer>$: $q$ is drawn "
        r"to the prior and never hears of $x$.",
    ),
    Question(
        "05-missing-half",
        section=5,
        level=3,
        text=WORLD
        + r" one sees $x = <x>$, and $q = \mathcal{N}(<mu>, <std>^2)$. A program multiplies the noise by "
        r"$\sigma^2$ instead of $\sigma$; its KL is right. By how much does the mean of what it returns "
        r"exceed the ELBO of $q$?",
        draw=_guess,
        answer=lambda w, b, s, x, mu, std: _mixed(w, b, s, x, mu, std) - elbo(w, b, s, x, mu, std),
        slips=[
            Slip(
                "half",
                "A factor ½ is lost: the expected squared error is divided by $2 s^2$.",
                lambda w, s, std: w**2 * (std**2 - std**4) / s**2,
            ),
            Slip(
                "sign",
                "With $\\sigma < 1$ the program spreads $z$ too little, so its reconstruction is better "
                "and not worse.",
                lambda w, s, std: -(w**2) * (std**2 - std**4) / (2 * s**2),
            ),
            Slip(
                "std-for-var",
                "The noise has the variance $\\sigma^4$ instead of $\\sigma^2$. You have compared "
                "$\\sigma$ with $\\sigma^2$.",
                lambda w, s, std: w**2 * (std - std**2) / (2 * s**2),
            ),
            Slip(
                "noise-missing",
                "Decoding the mean would flatter by this much. The program still draws, with too little "
                "noise.",
                lambda w, s, std: w**2 * std**2 / (2 * s**2),
            ),
        ],
        solution=r"$\frac{w^2}{2 s^2}(\sigma^2 - \sigma^4) = \frac{<w>^2}{2 \cdot <s>^2}(<std>^2 - "
        r"<std>^4) = <answer>$ nats.",
    ),
)
