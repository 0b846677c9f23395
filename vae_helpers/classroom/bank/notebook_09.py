"""Questions to notebook 9 (posterior collapse and β)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from vae_helpers.checks.exercises.notebook_09 import (
    check_counted_rate,
    check_elbo_lost,
    check_num_alive,
)
from vae_helpers.classroom.bank.notebook_01 import WORLD, posterior, world
from vae_helpers.classroom.bank.notebook_02 import elbo, kl
from vae_helpers.classroom.bank.notebook_06 import figures
from vae_helpers.classroom.bank.question import Question, Slip, Statement, Values, between, pick, some
from vae_helpers.numerics import LinearGaussian, gaussian

_BETAS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16)
_LINEAR = "A linear VAE has the decoder $x \\mid z \\sim \\mathcal{N}(W z, s^2 I)$ with $s = <s>$."
_EIGENVALUES = (
    " The covariance of the data has the eigenvalues $<eigenvalues>$, and there are as many latents."
)


def _log_evidence(w: float, data_var: float, s: float) -> float:
    """The mean of log p(x) over data with this variance along one direction."""
    model = LinearGaussian(w, 0.0, s)
    return gaussian.expectation(lambda x: model.log_evidence(x[:, None]), 0.0, float(np.sqrt(data_var)))


def _best_weight(data_var: float, s: float) -> float:
    """The w ≥ 0 with the highest evidence, found by a search."""
    found = minimize_scalar(
        lambda w: -_log_evidence(w, data_var, s),
        bounds=(0.0, 2 * np.sqrt(data_var)),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(found.x)


def _rate(data_var: float, s: float) -> float:
    """The rate of the best model, averaged over the data."""
    w = _best_weight(data_var, s)
    cov = LinearGaussian(w, 0.0, s).posterior(0.0)[1][0, 0]

    def per_x(x: np.ndarray) -> np.ndarray:
        return gaussian.kl_standard_normal(LinearGaussian(w, 0.0, s).posterior(x[:, None])[0], np.log(cov))

    return gaussian.expectation(per_x, 0.0, float(np.sqrt(data_var)))


def _one_direction(rng: np.random.Generator) -> Values:
    s = pick(rng, 0.3, 0.4, 0.5, 0.6, 0.8, 1.2)
    return {"s": s, "data_var": round(s**2 + between(rng, 0.2, 3.0, 0.1), 2)}


def _directions(rng: np.random.Generator) -> Values:
    """Eigenvalues, none of them near a level, the noise and a weight."""
    many = tuple(sorted(some(rng, pick(rng, 5, 6, 7), 0.05, 6.0, 0.05), reverse=True))
    return {
        "eigenvalues": many,
        "s": pick(rng, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.5, 2.0),
        "beta": pick(rng, 0.25, 0.5, 2, 3, 4, 6),
    }


def _alive(eigenvalues: tuple[float, ...], s: float, beta: float) -> int:
    return int(check_num_alive.truth(np.array(eigenvalues), s, beta, len(eigenvalues)))


def _clear(eigenvalues: tuple[float, ...], level: float) -> bool:
    return all(abs(value / level - 1) > 0.05 for value in eigenvalues)


def _distinct_levels(rng: np.random.Generator) -> Values:
    """Directions none of which is near the level, nor near one of those that a mistake makes."""
    while True:
        found = _directions(rng)
        s, beta = found["s"], found["beta"]
        if all(_clear(found["eigenvalues"], level) for level in (beta * s**2, s**2, beta * s)):
            return found


def _alive_with_beta(rng: np.random.Generator) -> Values:
    s, beta = pick(rng, 0.3, 0.4, 0.5, 0.6, 0.8), pick(rng, 0.1, 0.25, 0.5, 2, 3, 4, 5, 6)
    return {"s": s, "beta": beta, "data_var": round(max(1.0, beta) * s**2 + between(rng, 0.3, 2.0, 0.1), 2)}


def _same_level(s: float, other: float) -> float:
    """The β for which `other` has the level at which the noise s leaves a direction: where w = 0 is flat.

    Weight β and noise `other` act like the noise variance β other² (section 2). Which one that is, is found
    where the evidence of data with the variance s² no longer gains by a small weight.
    """
    step = 1e-3

    def gain(level: float) -> float:
        return _log_evidence(step, s**2, np.sqrt(level)) - _log_evidence(0.0, s**2, np.sqrt(level))

    return float(brentq(gain, s**2 / 4, s**2 * 4, xtol=1e-12)) / other**2


def _above(eigenvalues: tuple[float, ...], level: float) -> int:
    return sum(value > level for value in eigenvalues)


def _rates(eigenvalues: tuple[float, ...], level: float) -> float:
    """The rates of all directions that rise above the level, each as in a world of one direction."""
    return sum(_rate(value, float(np.sqrt(level))) for value in eigenvalues if value > level)


def _kls(rng: np.random.Generator) -> Values:
    size = pick(rng, 4, 5, 6)
    small = some(rng, 2, 0.01, 0.2, 0.01)
    large = some(rng, size - 2, 0.3, 2.5, 0.1)
    order = rng.permutation(size)
    return {
        "kls": tuple((small + large)[place] for place in order),
        "free": pick(rng, 0.1, 0.15, 0.2, 0.25),
        "d": size,
    }


def _counted(kls: tuple[float, ...], free: float) -> float:
    return float(check_counted_rate.truth(np.array([kls]), free))


def _posterior_guess(rng: np.random.Generator) -> Values:
    here = world(rng)
    mean, std = posterior(**here)
    return here | {"beta": pick(rng, 0.25, 0.5, 0.75, 1, 1.5, 2, 4), "mu": mean, "std": std}


def _objective(w, b, s, x, mu, std, beta):
    return elbo(w, b, s, x, mu, std) + (1 - beta) * kl(mu, std)


def _above_evidence(w, b, s, x, mu, std, beta):
    return _objective(w, b, s, x, mu, std, beta) - LinearGaussian(w, b, s).log_evidence(x)


def _elbos(beta: float) -> np.ndarray:
    return figures(f"beta_{beta:g}")["elbo"]


def _four_betas(rng: np.random.Generator) -> Values:
    """Four weights with 0.5 or 1 among them: then the best model is that of the weight nearest to 1."""
    while True:
        places = sorted(int(place) for place in rng.choice(len(_BETAS), size=4, replace=False))
        betas = [_BETAS[place] for place in places]
        if 0.5 in betas or 1 in betas:
            return dict(zip(("b1", "b2", "b3", "b4"), betas, strict=True))


def _is_best(mine: float, *all_of_them: float) -> bool:
    """Whether the worst seed of one is ahead of the best seed of every other."""
    return all(_elbos(mine).min() > _elbos(other).max() for other in all_of_them if other != mine)


_NOT_BEST = (
    "Each model is the best by its own weight only. The ELBO counts rate and distortion with weight 1: "
    "which of these models was trained for the nearest weight?"
)


def _beta_option(name: str) -> Statement:
    def holds(b1: float, b2: float, b3: float, b4: float) -> bool:
        return _is_best({"b1": b1, "b2": b2, "b3": b3, "b4": b4}[name], b1, b2, b3, b4)

    return Statement(f"the one with $\\beta = <{name}>$", holds, "wrong-weight", _NOT_BEST)


QUESTIONS = (
    Question(
        "09-best-weight",
        section=1,
        level=1,
        text="Data along one direction have the variance $\\lambda = <data_var>$. The model is $z \\sim "
        "\\mathcal{N}(0, 1)$, $x \\mid z \\sim \\mathcal{N}(w z, s^2)$ with $s = <s>$. Which $w \\ge "
        "0$ gives the data the highest mean log-evidence?",
        draw=_one_direction,
        answer=_best_weight,
        unit="",
        slips=[
            Slip("no-root", "This is $w^2$.", lambda data_var, s: data_var - s**2),
            Slip(
                "stds-added",
                "It is variances that add up, $w^2 + s^2 = \\lambda$, and not standard deviations.",
                lambda data_var, s: np.sqrt(data_var) - s,
            ),
            Slip(
                "term-missing",
                "With this $w$ the model has the variance $\\lambda + s^2$. The noise already explains a "
                "part of the data.",
                lambda data_var: np.sqrt(data_var),
            ),
            Slip(
                "std-for-var",
                "$s^2$ is to be subtracted from $\\lambda$, and not $s$.",
                lambda data_var, s: np.sqrt(data_var - s),
            ),
        ],
        solution=r"The evidence is highest where $w^2 + s^2 = \lambda$: $\sqrt{<data_var> - <s>^2} = "
        r"<answer>$.",
    ),
    Question(
        "09-rate-of-a-latent",
        section=1,
        level=2,
        text="A direction of the data has the variance $\\lambda = <data_var>$, and the decoder's noise is "
        "$s = <s>$. What is the rate of its latent in the best linear model?",
        draw=_one_direction,
        answer=_rate,
        typed=True,
        slips=[
            Slip(
                "half",
                "Twice too large: the rate is ½ of the logarithm of $\\lambda/s^2$.",
                lambda data_var, s: np.log(data_var / s**2),
            ),
            Slip("wrong-unit", "This is in bits.", lambda data_var, s: 0.5 * np.log2(data_var / s**2)),
            Slip(
                "std-for-var",
                "Compare variance with variance: $s^2$, and not $s$.",
                lambda data_var, s: 0.5 * np.log(data_var / s),
            ),
            Slip(
                "term-wrong",
                "That is $\\tfrac12\\log(1 + \\lambda/s^2)$. In the best model the data have the variance "
                "$\\lambda = w^2 + s^2$: the noise is a part of it.",
                lambda data_var, s: 0.5 * np.log(1 + data_var / s**2),
            ),
        ],
        solution=r"$\tfrac12\log\frac{\lambda}{s^2} = \tfrac12\log\frac{<data_var>}{<s>^2} = <answer>$ nats.",
    ),
    Question(
        "09-how-many-alive",
        section=2,
        level=1,
        text=_LINEAR
        + _EIGENVALUES
        + " It is trained with $\\beta = <beta>$. How many latents are alive at the optimum?",
        draw=_distinct_levels,
        answer=_alive,
        unit="",
        digits=0,
        slips=[
            Slip(
                "beta-forgotten",
                "The level is $\\beta s^2$; you have left out β.",
                lambda eigenvalues, s: _above(eigenvalues, s**2),
            ),
            Slip(
                "std-for-var",
                "The level is $\\beta s^2$, and not $\\beta s$.",
                lambda eigenvalues, s, beta: _above(eigenvalues, beta * s),
            ),
            Slip(
                "swapped",
                "These are the dead ones, whose eigenvalues lie below the level.",
                lambda eigenvalues, s, beta: len(eigenvalues) - _above(eigenvalues, beta * s**2),
            ),
        ],
        steps={"level": lambda s, beta: beta * s**2},
        solution=r"The level is $\beta s^2 = <beta> \cdot <s>^2 = <level>$, and $<answer>$ eigenvalues "
        r"exceed it.",
    ),
    Question(
        "09-total-rate",
        section=2,
        level=3,
        text=_LINEAR
        + _EIGENVALUES
        + " It is trained with $\\beta = <beta>$. What is its rate at the optimum?",
        draw=_distinct_levels,
        answer=lambda eigenvalues, s, beta: _rates(eigenvalues, beta * s**2),
        typed=True,
        digits=2,
        relative=0.005,
        slips=[
            Slip(
                "beta-forgotten",
                "The level is $\\beta s^2$; you have left out β.",
                lambda eigenvalues, s: sum(max(0.0, 0.5 * np.log(v / s**2)) for v in eigenvalues),
            ),
            Slip(
                "term-sign",
                "Directions under water say nothing. They have the rate 0, and not a negative one.",
                lambda eigenvalues, s, beta: sum(0.5 * np.log(v / (beta * s**2)) for v in eigenvalues),
            ),
            Slip(
                "half",
                "Each direction has ½ of the logarithm.",
                lambda eigenvalues, s, beta: sum(max(0.0, np.log(v / (beta * s**2))) for v in eigenvalues),
            ),
        ],
        steps={
            "level": lambda s, beta: beta * s**2,
            "each": lambda eigenvalues, s, beta: [
                max(0.0, 0.5 * np.log(v / (beta * s**2))) for v in eigenvalues
            ],
        },
        solution=r"The level is $<level>$. Above it each direction has $\tfrac12\log(\lambda/<level>)$, "
        r"below it 0: $<each>$, together $<answer>$ nats.",
    ),
    Question(
        "09-same-level",
        section=2,
        level=2,
        text="A linear VAE with noise $s = <s>$ and $\\beta = 1$ keeps certain latents alive. With the "
        "noise $s = <other>$ instead, which β keeps the same ones alive, whatever the data?",
        draw=lambda rng: dict(zip(("s", "other"), some(rng, 2, 0.2, 2.0, 0.1), strict=True)),
        answer=_same_level,
        unit="",
        slips=[
            Slip(
                "std-for-var",
                "The level is $\\beta s^2$: variances are compared, not standard deviations.",
                lambda s, other: s / other,
            ),
            Slip(
                "ratio-upside-down",
                "The level is to stay: less noise needs a larger β, more noise a smaller one.",
                lambda s, other: (other / s) ** 2,
            ),
            Slip(
                "term-wrong",
                "You have multiplied by the new $s^2$ where you should divide: $\\beta$ times the new $s^2$ "
                "is the old $s^2$.",
                lambda s, other: (s * other) ** 2,
            ),
        ],
        solution=r"The levels agree if $\beta \cdot <other>^2 = <s>^2$, so $\beta = <answer>$.",
    ),
    Question(
        "09-cost-of-beta",
        section=2,
        level=3,
        text="One direction has the variance $\\lambda = <data_var>$, and $s = <s>$. A linear VAE is "
        "trained with $\\beta = <beta>$, and its latent stays alive. How many nats does its ELBO "
        "(with weight 1) lie below the best ELBO?",
        draw=_alive_with_beta,
        answer=lambda data_var, s, beta: check_elbo_lost.truth(np.array([data_var]), s**2, beta),
        slips=[
            Slip("half", "Both terms have a ½.", lambda beta: beta - 1 - np.log(beta)),
            Slip(
                "term-missing",
                "This is the change of the distortion alone. The rate changes, too.",
                lambda beta: 0.5 * (beta - 1),
            ),
            Slip(
                "sign",
                "The ELBO is highest at $\\beta = 1$. Any other weight loses something.",
                lambda beta: -0.5 * (beta - 1 - np.log(beta)),
            ),
            Slip(
                "wrong-weight",
                "You have judged the model by the weighted objective. The ELBO counts the rate with weight "
                "1.",
                lambda beta: 0.5 * abs(beta - 1 - beta * np.log(beta)),
            ),
        ],
        solution=r"The distortion changes by $\tfrac12(\beta - 1)$, the rate by $-\tfrac12\log\beta$: "
        r"$\tfrac12(<beta> - 1 - \log <beta>) = <answer>$ nats (exercise 4 of the notebook).",
    ),
    Question(
        "09-free-bits",
        section=5,
        level=2,
        text="Averaged over a batch, the latents have the KLs $<kls>$ nats. With free bits of $<free>$ "
        "nats for each latent, which rate enters the loss?",
        draw=_kls,
        answer=_counted,
        typed=True,
        digits=2,
        slips=[
            Slip(
                "limit-turned",
                "For each latent the larger of the two is counted, and not the smaller.",
                lambda kls, free: sum(min(v, free) for v in kls),
            ),
            Slip(
                "term-missing",
                "This is the rate itself. Latents below the limit are counted with the limit.",
                lambda kls: sum(kls),
            ),
            Slip(
                "term-wrong",
                "Free bits are not subtracted: what lies above the limit is counted in full.",
                lambda kls, free: sum(max(v - free, 0.0) for v in kls),
            ),
            Slip(
                "mean-latent",
                "You have averaged over the latents. The rate is a sum.",
                lambda kls, free, d: sum(max(v, free) for v in kls) / d,
            ),
        ],
        solution=r"$\sum_j \max(\mathrm{KL}_j, <free>) = <answer>$ nats.",
    ),
    Question(
        "09-weighted-objective",
        section=2,
        level=2,
        text=WORLD
        + r" one sees $x = <x>$, and $q$ is the exact posterior. Where does the weighted objective lie, "
        r"the expected log-likelihood minus $<beta>$ times the KL to the prior?",
        draw=_posterior_guess,
        statements=[
            Statement(
                r"Above $\log p(x)$.",
                lambda w, b, s, x, mu, std, beta: _above_evidence(w, b, s, x, mu, std, beta) > 1e-9,
                "too-large",
                "With the weight 1 it is the ELBO, here $\\log p(x)$. A weight of $<beta>$ subtracts no "
                "less.",
            ),
            Statement(
                r"At $\log p(x)$.",
                lambda w, b, s, x, mu, std, beta: abs(_above_evidence(w, b, s, x, mu, std, beta)) < 1e-9,
                "beta-forgotten",
                "The ELBO of the posterior is $\\log p(x)$. It counts the KL with the weight 1, and here "
                "the weight is $<beta>$.",
            ),
            Statement(
                r"Below $\log p(x)$.",
                lambda w, b, s, x, mu, std, beta: _above_evidence(w, b, s, x, mu, std, beta) < -1e-9,
                "too-large",
                "With the weight 1 it is the ELBO, here $\\log p(x)$. A weight of $<beta>$ subtracts no "
                "more.",
            ),
        ],
        steps={
            "rate": kl,
            "value": lambda w, b, s, x, mu, std, beta: f"{_objective(w, b, s, x, mu, std, beta):.3f}",
            "truth": lambda w, b, s, x: LinearGaussian(w, b, s).log_evidence(x),
        },
        solution=r"$\log p(x) = <truth>$ nats and the KL is $<rate>$, so the objective is $<truth> + (1 - "
        r"<beta>) \cdot <rate> = <value>$. So: <answer>",
    ),
    Question(
        "09-best-elbo",
        section=4,
        level=1,
        text="Four models of digits differ in nothing but their $\\beta$: $<b1>$, $<b2>$, $<b3>$ and "
        "$<b4>$. All are judged by their ELBO on test images. Which is the best?",
        draw=_four_betas,
        statements=[_beta_option(name) for name in ("b1", "b2", "b3", "b4")],
        steps={"all": lambda b1, b2, b3, b4: [-_elbos(b)[0].round(2) for b in (b1, b2, b3, b4)]},
        solution="$-$ELBO is $<all>$ nats in the order of the question (first seed; the other two seeds "
        "agree). So: <answer>.",
    ),
)
