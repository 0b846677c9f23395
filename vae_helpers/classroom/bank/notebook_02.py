"""Questions to notebook 2 (the ELBO)."""

from __future__ import annotations

import numpy as np

from vae_helpers.classroom.bank.notebook_01 import WORLD, log_normal, posterior, world
from vae_helpers.classroom.bank.question import Question, Slip, Statement, Values, between, pick, some
from vae_helpers.numerics import LinearGaussian, estimate, gaussian

_GUESS = WORLD + r" one sees $x = <x>$ and guesses $q = \mathcal{N}(<mu>, <std>^2)$."


def _guess(rng: np.random.Generator) -> Values:
    return world(rng) | {"mu": between(rng, -0.9, 1.2, 0.3), "std": between(rng, 0.3, 0.9, 0.1)}


def elbo(w: float, b: float, s: float, x: float, mu: float, std: float) -> float:
    """The ELBO of q = N(mu, std²), exactly."""
    return float(LinearGaussian(w, b, s).elbo(x, mu, 2 * np.log(std)))


def gap(w: float, b: float, s: float, x: float, mu: float, std: float) -> float:
    """What the ELBO lies below log p(x)."""
    return float(LinearGaussian(w, b, s).gap(x, mu, 2 * np.log(std)))


def kl(mu: float, std: float) -> float:
    """KL(N(mu, std²), N(0, 1))."""
    return float(gaussian.kl_standard_normal(mu, 2 * np.log(std)))


def _against(mu: float, std: float, mean: float, other: float) -> float:
    """KL(N(mu, std²), N(mean, other²))."""
    return float(gaussian.kl_diagonal(mu, 2 * np.log(std), mean, 2 * np.log(other)))


def _reconstruction(w: float, b: float, s: float, x: float, mu: float, std: float) -> float:
    return elbo(w, b, s, x, mu, std) + kl(mu, std)


def _two_widths(rng: np.random.Generator) -> Values:
    one, other = some(rng, 2, 0.3, 1.8, 0.1)
    return world(rng) | {"mu": between(rng, -0.9, 1.2, 0.3), "one": one, "other": other}


def _likes_one(w, b, s, x, mu, one, other):  # of reconstruction and divergence
    better = _reconstruction(w, b, s, x, mu, one) > _reconstruction(w, b, s, x, mu, other)
    return better, kl(mu, one) < kl(mu, other)


def _a_step(rng: np.random.Generator) -> Values:
    return _guess(rng) | {"mu2": between(rng, -0.9, 1.2, 0.3), "std2": between(rng, 0.3, 0.9, 0.1)}


def _risen(w, b, s, x, mu, std, mu2, std2):
    return elbo(w, b, s, x, mu2, std2) - elbo(w, b, s, x, mu, std)


QUESTIONS = (
    Question(
        "02-gap",
        section=4,
        level=2,
        text=_GUESS
        + r" The posterior is $\mathcal{N}(<mean>, <width>^2)$. How far does the ELBO lie below $\log p(x)$?",
        draw=_guess,
        answer=gap,
        typed=True,
        digits=2,
        relative=0.01,
        slips=[
            Slip(
                "reverse",
                "This is $\\mathrm{KL}(p(z \\mid x) \\,\\|\\, q)$. In the gap $q$ comes first: the average "
                "is over $q$.",
                lambda w, b, s, x, mu, std: _against(*posterior(w, b, s, x), mu, std),
            ),
            Slip(
                "prior-for-posterior",
                "This is the divergence from the prior, a part of the ELBO. The gap is the divergence from "
                "the posterior.",
                lambda mu, std: kl(mu, std),
            ),
            Slip(
                "half",
                "The ½ in front of the KL is lost.",
                lambda w, b, s, x, mu, std: 2 * gap(w, b, s, x, mu, std),
            ),
        ],
        steps={
            "mean": lambda w, b, s, x: posterior(w, b, s, x)[0],
            "width": lambda w, b, s, x: posterior(w, b, s, x)[1],
        },
        solution=r"It is $\mathrm{KL}(q \,\|\, p(z \mid x)) = \tfrac12\big(\tfrac{<std>^2 + (<mu> - "
        r"<(mean)>)^2}{<width>^2} - 1 - \log\tfrac{<std>^2}{<width>^2}\big) = <answer>$ nats.",
    ),
    Question(
        "02-evidence-from-parts",
        section=4,
        level=1,
        text="For one image and one $q$, the ELBO is $<bound>$ nats, $\\mathrm{KL}(q \\,\\|\\, p(z))$ is "
        "$<rate>$ nats and $\\mathrm{KL}(q \\,\\|\\, p(z \\mid x))$ is $<left>$ nats. How large is "
        "$\\log p(x)$?",
        draw=_guess,
        answer=lambda w, b, s, x: LinearGaussian(w, b, s).log_evidence(x),
        digits=2,
        slips=[
            Slip(
                "term-sign",
                "The ELBO is a *lower* bound: $\\log p(x)$ lies above it by the gap.".replace("*", ""),
                lambda w, b, s, x, mu, std: elbo(w, b, s, x, mu, std) - gap(w, b, s, x, mu, std),
            ),
            Slip(
                "prior-for-posterior",
                "The divergence from the prior is already inside the ELBO; what is missing to $\\log p(x)$ "
                "is the other one.",
                lambda w, b, s, x, mu, std: elbo(w, b, s, x, mu, std) + kl(mu, std),
            ),
            Slip(
                "kl-added",
                "You have added both divergences. Only the one from the posterior is the gap.",
                lambda w, b, s, x, mu, std: (
                    elbo(w, b, s, x, mu, std) + kl(mu, std) + gap(w, b, s, x, mu, std)
                ),
            ),
        ],
        steps={"bound": elbo, "rate": kl, "left": gap},
        solution=r"$\log p(x) = \mathcal{L} + \mathrm{KL}(q \,\|\, p(z \mid x)) = <bound> + <left> = "
        r"<answer>$ nats.",
    ),
    Question(
        "02-elbo-by-hand",
        section=5,
        level=3,
        text=_GUESS + " How large is the ELBO?",
        draw=_guess,
        answer=elbo,
        typed=True,
        slips=[
            Slip(
                "kl-added",
                "The divergence is subtracted: it is what leaving the prior costs.",
                lambda w, b, s, x, mu, std: elbo(w, b, s, x, mu, std) + 2 * kl(mu, std),
            ),
            Slip(
                "noise-missing",
                "You decode the mean of $q$ alone. The average over $q$ also pays $w^2\\sigma^2/(2 s^2)$ "
                "for its spread.",
                lambda w, b, s, x, mu, std: log_normal(x, w * mu + b, s) - kl(mu, std),
            ),
            Slip(
                "term-missing",
                "This is the reconstruction alone; the divergence from the prior is not yet subtracted.",
                _reconstruction,
            ),
            Slip(
                "bound-for-truth",
                "This is $\\log p(x)$. The ELBO of this $q$ lies below it.",
                lambda w, b, s, x: LinearGaussian(w, b, s).log_evidence(x),
            ),
        ],
        steps={"rec": _reconstruction, "rate": kl},
        solution=r"Reconstruction $-\tfrac12\log(2\pi \cdot <s>^2) - \frac{(<x> - <w> \cdot <(mu)> - "
        r"<b>)^2 + <w>^2 \cdot <std>^2}{2 \cdot <s>^2} = <rec>$, divergence $<rate>$, difference "
        r"$<answer>$ nats.",
    ),
    Question(
        "02-trade",
        section=4,
        level=1,
        text="With the model fixed, $q$ is changed, and the ELBO goes from $<before>$ to $<after>$ nats. "
        "Before, the gap was $<left>$ nats. How large is it now?",
        draw=_a_step,
        answer=lambda w, b, s, x, mu2, std2: gap(w, b, s, x, mu2, std2),
        digits=2,
        slips=[
            Slip(
                "term-sign",
                "ELBO and gap add up to $\\log p(x)$, which $q$ cannot move. What the one gains the other "
                "loses.",
                lambda w, b, s, x, mu, std, mu2, std2: (
                    gap(w, b, s, x, mu, std) + _risen(w, b, s, x, mu, std, mu2, std2)
                ),
            ),
            Slip("gap-kept", "The gap does not stay: $\\log p(x)$ does.", gap),
            Slip(
                "term-missing",
                "This is by how much the gap has changed, and not what is left of it.",
                lambda w, b, s, x, mu, std, mu2, std2: abs(_risen(w, b, s, x, mu, std, mu2, std2)),
            ),
        ],
        steps={
            "before": elbo,
            "after": lambda w, b, s, x, mu2, std2: elbo(w, b, s, x, mu2, std2),
            "left": gap,
        },
        solution="$\\log p(x)$ stays, so the gap is $<left> - (<after> - <(before)>) = <answer>$ nats.",
    ),
    Question(
        "02-jensen",
        section=3,
        level=1,
        text="A ratio $r$ is $<low>$ or $<high>$, each half of the time. How large is $\\log "
        "\\mathbb{E}[r] - \\mathbb{E}[\\log r]$?",
        draw=lambda rng: {"low": between(rng, 0.1, 0.9, 0.1), "high": between(rng, 1.5, 6, 0.5)},
        answer=lambda low, high: np.log(estimate([low, high]).mean) - estimate(np.log([low, high])).mean,
        slips=[
            Slip(
                "sign",
                "The logarithm of the average is the larger of the two, since the logarithm bends downwards.",
                lambda low, high: np.mean(np.log([low, high])) - np.log(np.mean([low, high])),
            ),
            Slip(
                "term-missing",
                "This is $\\log \\mathbb{E}[r]$ alone.",
                lambda low, high: np.log(np.mean([low, high])),
            ),
            Slip(
                "density-of-averages",
                "Average and logarithm may not change places, so the difference is not 0.",
                lambda: 0.0,
            ),
            Slip(
                "not-log",
                "You have compared the average with the geometric mean. The difference of their logarithms "
                "is asked for.",
                lambda low, high: np.mean([low, high]) - np.sqrt(low * high),
            ),
        ],
        steps={
            "outer": lambda low, high: np.log((low + high) / 2),
            "inner": lambda low, high: np.log(low * high) / 2,
        },
        solution="$<outer> - <(inner)> = <answer>$ nats: the step of Jensen's inequality at which "
        "something is lost.",
    ),
    Question(
        "02-mini-batch",
        section=6,
        level=1,
        text="A data set has $N = <n>$ images. A random batch of four of them has the ELBOs $<batch>$ "
        "nats. What is the unbiased estimate of the ELBO of the data set, a sum over its images?",
        draw=lambda rng: {
            "n": pick(rng, 40, 60, 100, 240, 500, 1000),
            "batch": tuple(-v for v in some(rng, 4, 80, 120, 1)),
        },
        answer=lambda n, batch: n * estimate(batch).mean,
        typed=True,
        digits=1,
        trim=True,
        slips=[
            Slip(
                "not-scaled",
                "This is the sum of the batch. It has to stand for all $<n>$ images.",
                lambda batch: sum(batch),
            ),
            Slip(
                "batch-reduced",
                "This is the ELBO per image. The sum over the data set is asked for.",
                lambda batch: np.mean(batch),
            ),
            Slip(
                "scale",
                "The sum of the batch is multiplied by $N/M$, and not by $N$: the batch has $M = 4$ images "
                "already.",
                lambda n, batch: n * sum(batch),
            ),
        ],
        steps={"total": lambda batch: sum(batch)},
        solution=r"$\frac{N}{M}$ times the sum of the batch: $\frac{<n>}{4} \cdot (<total>) = <answer>$ "
        r"nats.",
    ),
    Question(
        "02-who-likes-what",
        section=5,
        level=2,
        text=WORLD
        + r" one sees $x = <x>$. Two guesses have the mean $<mu>$, and $q_A$ has the standard deviation "
        r"$<one>$, $q_B$ $<other>$. The ELBO is reconstruction minus divergence from the prior. Which "
        r"guess does better in which part?",
        draw=_two_widths,
        statements=[
            Statement(
                "$q_A$ in both",
                lambda w, b, s, x, mu, one, other: all(_likes_one(w, b, s, x, mu, one, other)),
                "term-wrong",
                "Ask the two parts separately: reconstruction likes little spread, the divergence a spread "
                "near 1.",
            ),
            Statement(
                "$q_B$ in both",
                lambda w, b, s, x, mu, one, other: not any(_likes_one(w, b, s, x, mu, one, other)),
                "term-wrong",
                "Ask the two parts separately: reconstruction likes little spread, the divergence a spread "
                "near 1.",
            ),
            Statement(
                "$q_A$ in the reconstruction, $q_B$ in the divergence",
                lambda w, b, s, x, mu, one, other: _likes_one(w, b, s, x, mu, one, other) == (True, False),
                "swapped",
                "Spread in $z$ blurs the reconstruction; the divergence is least at the prior's own "
                "spread, 1.",
            ),
            Statement(
                "$q_B$ in the reconstruction, $q_A$ in the divergence",
                lambda w, b, s, x, mu, one, other: _likes_one(w, b, s, x, mu, one, other) == (False, True),
                "swapped",
                "Spread in $z$ blurs the reconstruction; the divergence is least at the prior's own "
                "spread, 1.",
            ),
        ],
        steps={"d1": lambda mu, one: kl(mu, one), "d2": lambda mu, other: kl(mu, other)},
        solution=r"Each spread costs the reconstruction $w^2\sigma^2/(2 s^2)$, so the smaller one does "
        r"better there. The divergences are $<d1>$ for $q_A$ and $<d2>$ for $q_B$. So: <answer>.",
    ),
)
