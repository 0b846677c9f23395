"""Questions to notebook 4 (Monte Carlo)."""

from __future__ import annotations

import numpy as np

from vae_helpers.checks.exercises._shared import moments
from vae_helpers.classroom.bank.notebook_01 import WORLD, posterior, world
from vae_helpers.classroom.bank.notebook_02 import elbo, kl
from vae_helpers.classroom.bank.question import Question, Slip, Statement, Values, between, pick, some
from vae_helpers.numerics import LinearGaussian, estimate, gaussian


def _draws(sd: float, n: int) -> np.ndarray:
    """n numbers with the mean 0 and this standard deviation (n - 1 in the denominator)."""
    values = np.linspace(-1.0, 1.0, n)
    return sd * values / values.std(ddof=1)


def _error(sd: float, n: int) -> float:
    """The standard error of n draws with this spread."""
    return float(estimate(_draws(sd, n)).standard_error)


def _some_draws(rng: np.random.Generator) -> Values:
    return {"sd": between(rng, 0.4, 6.0, 0.2), "n": pick(rng, 25, 64, 100, 400, 900, 1600, 2500)}


def _finer(times: int, n: int, new: float) -> Values:
    return {"n": n, "times": times, "old": round(times * new, 6), "new": new}


def _q(rng: np.random.Generator) -> Values:
    return {
        "mu": pick(rng, -1, 1) * between(rng, 0.4, 1.6, 0.2),
        "std": pick(rng, 0.4, 0.5, 0.6, 0.8, 1.2, 1.4),
    }


def _one_draw(rng: np.random.Generator) -> Values:
    guess = {"mu": between(rng, -0.9, 1.2, 0.3), "std": between(rng, 0.3, 0.9, 0.1)}
    return world(rng) | guess | {"eps": pick(rng, -1, 1) * between(rng, 0.4, 1.6, 0.2)}


def _log_likelihood(w: float, b: float, s: float, x: float, z: float) -> float:
    return float(LinearGaussian(w, b, s).log_likelihood([x], [z]))


def _spreads(w: float, b: float, s: float, x: float, mu: float, std: float) -> tuple[float, float]:
    """The spread of the one-draw ELBO: with all three terms sampled, and with the KL in closed form."""
    model = LinearGaussian(w, b, s)

    def closed(z: np.ndarray) -> np.ndarray:
        return model.log_likelihood([x], z[:, None])

    def sampled(z: np.ndarray) -> np.ndarray:
        return (
            closed(z)
            + gaussian.log_prob(z[:, None], 0, 0)
            - gaussian.log_prob(z[:, None], mu, 2 * np.log(std))
        )

    return tuple(_sd(f, mu, std) for f in (sampled, closed))


def _sd(f, mu: float, std: float) -> float:
    mean = gaussian.expectation(f, mu, std)
    return float(np.sqrt(gaussian.expectation(lambda z: (f(z) - mean) ** 2, mu, std)))


def _at_or_beside(rng: np.random.Generator) -> Values:
    """A world whose posterior has short numbers, and a q: that posterior, the prior, or something else."""
    w, s, mean, std = pick(
        rng, (1.2, 0.9, 0.8, 0.6), (0.8, 0.6, 0.64, 0.6), (1.5, 2.0, 0.36, 0.8), (0.6, 0.8, 0.36, 0.8)
    )
    b = between(rng, 0.2, 0.8, 0.2)
    x = round(b + mean * (w**2 + s**2) / w, 3)
    exact = posterior(w, b, s, x)
    kinds = [exact, (0.0, 1.0), (exact[0], pick(rng, 0.1, 0.15)), (exact[0], round(exact[1] + 0.1, 2))]
    mu, width = (round(value, 6) for value in pick(rng, *kinds))
    return {"w": w, "b": b, "s": s, "x": x, "mu": mu, "std": width}


QUESTIONS = (
    Question(
        "04-standard-error",
        section=1,
        level=1,
        text="$<n>$ independent draws have the standard deviation $<sd>$ nats. How large is the standard "
        "error of their mean?",
        draw=_some_draws,
        answer=_error,
        typed=True,
        slips=[
            Slip(
                "one-draw",
                "This is the spread of one draw. The mean of $<n>$ draws scatters less.",
                lambda sd: sd,
            ),
            Slip("linear-in-n", "The error falls like $1/\\sqrt n$, not like $1/n$.", lambda sd, n: sd / n),
            Slip("no-root", "This is the variance of the mean.", lambda sd, n: sd**2 / n),
        ],
        solution=r"$<sd>/\sqrt{<n>} = <answer>$ nats.",
    ),
    Question(
        "04-error-from-values",
        section=1,
        level=2,
        text="Five independent draws of a log-ratio are $<values>$ nats. What is the standard error of "
        "their mean?",
        draw=lambda rng: {"values": some(rng, 5, -1.5, 4.0, 0.1)},
        answer=lambda values: estimate(values).standard_error,
        slips=[
            Slip(
                "term-wrong",
                "You have divided by $n$ where $n - 1$ belongs: five draws know their own mean too well.",
                lambda values: np.std(values) / np.sqrt(5),
            ),
            Slip(
                "one-draw",
                "This is the spread of one draw. The mean of five scatters less.",
                lambda values: np.std(values, ddof=1),
            ),
            Slip("no-root", "This is the variance of the mean.", lambda values: np.var(values, ddof=1) / 5),
            Slip(
                "linear-in-n",
                "The error falls like $1/\\sqrt n$, not like $1/n$.",
                lambda values: np.std(values, ddof=1) / 5,
            ),
        ],
        steps={"sd": lambda values: np.std(values, ddof=1)},
        solution=r"With $n - 1 = 4$ in the denominator the spread is $<sd>$, and $<sd>/\sqrt 5 = <answer>$ "
        r"nats.",
    ),
    Question(
        "04-how-many-more",
        section=3,
        level=1,
        text="An estimate by $<n>$ draws has the standard error $<old>$ nats. How many draws are needed in "
        "all for $<new>$ nats?",
        draw=lambda rng: _finer(
            pick(rng, 2, 3, 4, 5, 8, 10),
            pick(rng, 100, 200, 500, 1000, 2000),
            pick(rng, 0.01, 0.02, 0.03, 0.05),
        ),
        answer=lambda n, old, new: n * (_error(old, 4) / _error(new, 4)) ** 2,
        unit="draws",
        digits=0,
        slips=[
            Slip(
                "linear-in-n",
                "The error falls like $1/\\sqrt n$: for half the error you need four times the draws.",
                lambda n, times: n * times,
            ),
            Slip(
                "term-wrong",
                "You have taken a root where a square belongs.",
                lambda n, times: n * np.sqrt(times),
            ),
            Slip(
                "scale",
                "That is more than needed: $n$ grows with the second power of the accuracy, not with the "
                "third.",
                lambda n, times: n * times**3,
            ),
        ],
        solution=r"The error is to fall by the factor $<times>$, so $<n> \cdot <times>^2 = <answer>$ draws.",
    ),
    Question(
        "04-draws-for-an-error",
        section=3,
        level=2,
        text=r"Single draws of $\log q(z) - \log p(z)$ have the standard deviation $<sd>$ nats. How many "
        r"draws give the KL with a standard error of $<error>$ nats?",
        draw=lambda rng: {"sd": between(rng, 0.4, 3.0, 0.2), "error": pick(rng, 0.01, 0.02, 0.04, 0.05)},
        answer=lambda sd, error: (_error(sd, 2) / error) ** 2 * 2,
        typed=True,
        unit="draws",
        digits=0,
        relative=0.01,
        slips=[
            Slip(
                "linear-in-n",
                "Solve $\\mathrm{sd}/\\sqrt n = $ error for $n$: the ratio is squared.",
                lambda sd, error: sd / error,
            ),
            Slip(
                "std-for-var",
                "The variance of a draw is divided by the square of the error; your error is not squared.",
                lambda sd, error: sd**2 / error,
            ),
            Slip(
                "scale",
                "One standard error is asked for, not an interval of two to either side.",
                lambda sd, error: (2 * sd / error) ** 2,
            ),
        ],
        solution=r"$(<sd>/<error>)^2 = <answer>$ draws.",
    ),
    Question(
        "04-spread-of-log-ratio",
        section=3,
        level=3,
        text=r"Draw $z$ from $q = \mathcal{N}(<mu>, <std>^2)$. How large is the standard deviation of $k_1 "
        r"= \log q(z) - \log p(z)$ with $p = \mathcal{N}(0, 1)$?",
        draw=_q,
        answer=lambda mu, std: np.sqrt(moments(mu, std)[1]),
        typed=True,
        slips=[
            Slip(
                "no-root", "This is the variance.", lambda mu, std: 0.5 * (std**2 - 1) ** 2 + (mu * std) ** 2
            ),
            Slip(
                "term-missing",
                "The mean has no part in your value. The farther $q$ stands from 0, the steeper the "
                "log-ratio is there.",
                lambda std: np.sqrt(0.5) * abs(std**2 - 1),
            ),
            Slip(
                "stds-added",
                "The two parts are uncorrelated: their variances add, not their standard deviations.",
                lambda mu, std: np.sqrt(0.5) * abs(std**2 - 1) + abs(mu * std),
            ),
            Slip(
                "term-scale",
                "The variance of $\\varepsilon^2$ is 2, and of half of it ½.",
                lambda mu, std: np.sqrt(0.25 * (std**2 - 1) ** 2 + (mu * std) ** 2),
            ),
        ],
        solution=r"The variance is $\tfrac12(<std>^2 - 1)^2 + <(mu)>^2 \cdot <std>^2$, and its root "
        r"$<answer>$ nats.",
    ),
    Question(
        "04-how-many-errors-off",
        section=1,
        level=2,
        text="A formula claims $<claim>$ nats. $<n>$ draws have the mean $<mean>$ nats and the "
        "standard deviation $<sd>$ nats. How many standard errors is the claim off?",
        draw=lambda rng: {
            "claim": between(rng, 0.4, 3.0, 0.1),
            "n": pick(rng, 100, 400, 900, 2500, 10000),
            "mean": between(rng, 0.45, 3.05, 0.1),
            "sd": pick(rng, 0.5, 1.0, 1.2, 1.5, 2.0),
        },
        answer=lambda claim, n, mean, sd: abs(mean - claim) / _error(sd, n),
        unit="",
        digits=1,
        slips=[
            Slip(
                "one-draw",
                "You have measured in standard deviations of one draw. The mean scatters less.",
                lambda claim, mean, sd: abs(mean - claim) / sd,
            ),
            Slip(
                "linear-in-n",
                "The standard error is $\\mathrm{sd}/\\sqrt n$, not $\\mathrm{sd}/n$.",
                lambda claim, n, mean, sd: abs(mean - claim) / sd * n,
            ),
            Slip(
                "var-for-std",
                "The distance is divided by the standard error; you have divided by the variance of a draw "
                "and multiplied by the root of $n$.",
                lambda claim, n, mean, sd: abs(mean - claim) / sd**2 * np.sqrt(n),
            ),
        ],
        steps={"off": lambda claim, mean: abs(mean - claim), "se": lambda sd, n: sd / np.sqrt(n)},
        solution=r"The standard error is $<sd>/\sqrt{<n>} = <se>$, and $<off>/<se> = <answer>$.",
    ),
    Question(
        "04-one-draw-elbo",
        section=5,
        level=2,
        text=WORLD
        + r" one sees $x = <x>$, and $q = \mathcal{N}(<mu>, <std>^2)$. The draw has the noise $\varepsilon "
        r"= <eps>$. How large is the one-draw ELBO with the KL in closed form?",
        draw=_one_draw,
        answer=lambda w, b, s, x, mu, std, eps: _log_likelihood(w, b, s, x, mu + std * eps) - kl(mu, std),
        typed=True,
        slips=[
            Slip(
                "noise-missing",
                "You have decoded the mean of $q$, not the draw $z = \\mu + \\sigma\\varepsilon$.",
                lambda w, b, s, x, mu, std: _log_likelihood(w, b, s, x, mu) - kl(mu, std),
            ),
            Slip(
                "var-for-std",
                "The noise is multiplied by $\\sigma$, and not by $\\sigma^2$.",
                lambda w, b, s, x, mu, std, eps: _log_likelihood(w, b, s, x, mu + std**2 * eps) - kl(mu, std),
            ),
            Slip(
                "kl-added",
                "The KL is subtracted from the log-likelihood.",
                lambda w, b, s, x, mu, std, eps: _log_likelihood(w, b, s, x, mu + std * eps) + kl(mu, std),
            ),
            Slip(
                "term-wrong",
                "This is the exact ELBO. Its estimate from this one draw is asked for.",
                lambda w, b, s, x, mu, std: elbo(w, b, s, x, mu, std),
            ),
        ],
        steps={
            "z": lambda mu, std, eps: mu + std * eps,
            "lik": lambda w, b, s, x, mu, std, eps: _log_likelihood(w, b, s, x, mu + std * eps),
            "rate": kl,
        },
        solution=r"$z = <mu> + <std> \cdot <(eps)> = <z>$, $\log p(x \mid z) = <lik>$, the KL is $<rate>$, "
        r"difference $<answer>$ nats.",
    ),
    Question(
        "04-which-scatters-less",
        section=5,
        level=3,
        text=WORLD
        + r" one sees $x = <x>$, for which the posterior is $\mathcal{N}(<mean>, <width>^2)$. One takes $q "
        r"= \mathcal{N}(<mu>, <std>^2)$. Which one-draw estimate of the ELBO scatters less: with all "
        r"three terms sampled, or with the KL in closed form?",
        draw=_at_or_beside,
        statements=[
            Statement(
                "All three sampled: it has no spread at all.",
                lambda w, b, s, x, mu, std: _spreads(w, b, s, x, mu, std)[0] < 1e-5,
                "term-wrong",
                "Only where $q$ is the posterior is $\\log p(x, z) - \\log q(z)$ the same at every $z$.",
            ),
            Statement(
                "All three sampled, but it has some spread.",
                lambda w, b, s, x, mu, std: (
                    1e-3 < _spreads(w, b, s, x, mu, std)[0] < _spreads(w, b, s, x, mu, std)[1] - 1e-3
                ),
                "other-estimator",
                "Compare $q$ with the posterior and with the prior: how much does $\\log q(z) - \\log "
                "p(z)$ move along with the likelihood?",
            ),
            Statement(
                "The one with the KL in closed form.",
                lambda w, b, s, x, mu, std: (
                    _spreads(w, b, s, x, mu, std)[1] < _spreads(w, b, s, x, mu, std)[0] - 1e-3
                ),
                "other-estimator",
                "A closed form removes noise, but also what may cancel other noise. Near the posterior the "
                "fluctuations cancel.",
            ),
            Statement(
                "Both scatter equally.",
                lambda w, b, s, x, mu, std: abs(np.subtract(*_spreads(w, b, s, x, mu, std))) < 1e-9,
                "term-wrong",
                "They would if $\\log q(z) - \\log p(z)$ were the same at every $z$, that is if $q$ were "
                "the prior.",
            ),
        ],
        steps={
            "mean": lambda w, b, s, x: posterior(w, b, s, x)[0],
            "width": lambda w, b, s, x: posterior(w, b, s, x)[1],
            "one": lambda w, b, s, x, mu, std: abs(round(_spreads(w, b, s, x, mu, std)[0], 9)),
            "two": lambda w, b, s, x, mu, std: abs(round(_spreads(w, b, s, x, mu, std)[1], 9)),
        },
        solution="Their standard deviations are $<one>$ nats (all sampled) and $<two>$ nats (closed form). "
        "So: <answer>",
    ),
)
