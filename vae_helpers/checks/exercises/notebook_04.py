"""The exercises of notebook 4 (Monte Carlo)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from typing import Any

import numpy as np
from scipy import stats

from vae_helpers.checks.engine.exercise import Answer, AnyOf, Case, Exercise, Extremes, Mistake
from vae_helpers.checks.engine.report import Finding, Report, report
from vae_helpers.checks.exercises._shared import moments
from vae_helpers.numerics import gaussian
from vae_helpers.numerics._validate import Array


def _variance(
    mu: Array, std: Array, *, var=np.square, linear=lambda mu, var: mu**2 * var, quadratic=0.5, total=np.sum
) -> float:
    """Of log q - log p, which is μ σ ε + ½ (σ² - 1) ε² and a constant; ε² has the variance 2."""
    return total(linear(mu, var(std)) + quadratic * (var(std) - 1) ** 2)


def _sd(mu: Array, std: Array) -> float:
    return np.sqrt(_variance(mu, std))


def _kl(mu: Array, std: Array) -> float:
    return float(gaussian.kl_standard_normal(mu, 2 * np.log(std)))


_ONE = np.array([1.0]), np.array([0.5])
_TWO = np.array([1.0, -0.5]), np.array([0.5, 1.2])
_THREE = np.array([0.0, 2.0, -1.0]), np.array([0.8, 1.5, 0.3])
_FOUR = np.array([0.3, -0.7, 1.1, 0.0]), np.array([1.4, 0.9, 1.0, 0.6])


def _draws(mu: Array, std: Array, error: float, *, variance=_variance, power=2, rounded=np.ceil) -> float:
    """sd / √n = error, solved for n."""
    return rounded(variance(mu, std) / error**power)


_ROUNDED_UP = Exercise(
    title="Draws for a given standard error",
    takes="mu and std, both (d,), and the standard error wanted of the Monte Carlo KL to N(0, I), in nats",
    returns="the number of draws that it needs, a whole number, rounded up",
    source="Owen 2013, chapter 2",
    where="notebook 4, section 3",
    truth=lambda mu, std, error: np.ceil(moments(mu, std)[1] / error**2),
    program=_draws,
    cases=[(*_ONE, 0.27), (*_TWO, 0.3)],  # 7.29 and 10.98 before they are rounded
    mistakes=[
        "Nobody can make a fraction of a draw: the number is to be rounded up.",
        Mistake("term-missing", rounded=float),
        "With one draw less than is needed the standard error is still too large: how is the number "
        "to be rounded?",
        Mistake("term-wrong", rounded=AnyOf(np.floor, np.round)),
    ],
)

_TOO_LARGE = "The term with (σ² - 1)² is too large: mind its ½ when it is squared, and the variance of ε²."

check_draws_needed = replace(
    _ROUNDED_UP,
    cases=[(*_ONE, 0.01), (*_TWO, 0.01), (*_TWO, 0.003), (*_THREE, 0.02), (*_FOUR, 0.005)],
    tolerance=1e-3,  # rounded or not: all these numbers are above 5,000
    mistakes=[
        "n is too small: the standard error falls with the square root of n. Solve for n once more.",
        Mistake("std-for-var", variance=_sd, power=1, rounded=AnyOf(float, np.ceil, np.floor)),
        Mistake("term-wrong", power=1, rounded=AnyOf(float, np.ceil, np.floor)),
        "The standard deviation of a draw stands where its variance belongs.",
        Mistake("std-for-var", variance=_sd),
        "This uses the divergence itself. What decides is how much single draws of the log-ratio spread.",
        Mistake("term-wrong", variance=_kl),
        "You take error for a fraction of the divergence. It is a number of nats.",
        Mistake(
            "term-wrong",
            variance=lambda mu, std: _variance(mu, std) / _kl(mu, std) ** 2,
            then=AnyOf(float, lambda n: 16 * n),  # notebook 0 asked for four standard errors
        ),
        "The means have no part in your variance.",
        Mistake("term-missing", variance=partial(_variance, linear=lambda mu, var: 0)),
        "Only the term that is linear in the noise is in your variance; its square is random, too.",
        Mistake("term-missing", variance=partial(_variance, quadratic=0)),
        _TOO_LARGE,
        Mistake("term-scale", variance=partial(_variance, quadratic=1)),
        "The term with (σ² - 1)² is too small: what is the variance of ε²?",
        Mistake("term-scale", variance=partial(_variance, quadratic=0.25)),
        "σ stands where σ² belongs.",
        Mistake("std-for-var", variance=partial(_variance, var=np.positive)),
        "With more latents your number does not grow as it should. The variances of independent "
        "coordinates add up.",
        Mistake("mean-latent", variance=partial(_variance, total=np.mean)),
    ],
    further=_ROUNDED_UP,
)


def _from_moments(mu: Array, std: Array, n: int, repetitions: int) -> float:
    """Mean and variance of the wrong average, beside the right mean."""
    mean, variance = moments(mu, std)
    wrong_mean, wrong_variance = (n + 1) * mean / n, (n + 1) * variance / n**2
    return (wrong_mean - mean) / np.sqrt(wrong_variance / repetitions)


def _bias_over_error(
    *case: Any, bias=lambda kl, n: kl / n, spread=np.sqrt, terms=1, divisor=0, of_runs=np.sqrt
) -> float:
    """How far one run of n + 1 terms is off on average, over the spread of the mean of all runs."""
    mu, std, n, repetitions = case
    error = spread(_variance(mu, std)) * np.sqrt(n + terms) / (n + divisor) / of_runs(repetitions)
    return bias(_kl(mu, std), n) / error


check_expected_z_score = Exercise(
    title="One term too many",
    takes="mu and std, both (d,), and the integers n and repetitions",
    returns="the z-score at which an average with one term too many is seen: one number, in standard errors",
    source="Owen 2013, chapter 2",
    where="notebook 4, sections 1 and 3",
    truth=_from_moments,
    program=_bias_over_error,
    cases=[(*_ONE, 1, 1), (*_TWO, 10, 5000), (*_TWO, 4, 100), (*_THREE, 50, 2000), (*_FOUR, 7, 300)],
    mistakes=[
        "This is the z-score of a single run. What does the mean of many repetitions do to the error bar?",
        Mistake("term-missing", of_runs=lambda repetitions: 1),
        "The error bar shrinks too fast with the repetitions: variances fall like 1/n, standard "
        "deviations do not.",
        Mistake("std-for-var", of_runs=float),
        "The bias is right, the spread is that of the right average: how many terms does the wrong one have?",
        Mistake("term-wrong", terms=0),
        "The spread is divided by the wrong number: the notes sum n + 1 terms, and divide by n.",
        Mistake("term-wrong", divisor=1),
        "The bias is too large: one extra term among n does not double the average.",
        Mistake("term-wrong", bias=lambda kl, n: kl),
        "This measures the whole average in standard errors. How far is it from the truth?",
        Mistake("term-wrong", bias=lambda kl, n: (n + 1) / n * kl),
        "The variance of a draw stands where its standard deviation belongs.",
        Mistake("var-for-std", spread=float),
    ],
)


def _by_squares(
    value: float, mu_q: Array, log_var_q: Array, mu_p: Array, log_var_p: Array, eps: Array
) -> float:
    """Without a density: of log q only ε is left, and 2π cancels."""
    square = (mu_q + np.exp(log_var_q / 2) * eps - mu_p) ** 2 / np.exp(log_var_p)
    log_ratio = 0.5 * (square - eps**2 + log_var_p - log_var_q).sum(axis=-1)
    return float((log_ratio.mean() - value) / log_ratio.std(ddof=1) * np.sqrt(len(eps)))


def _std(log_var: Array) -> Array:
    return np.exp(log_var / 2)


def _by_draws(*case: Any, roles="qqp", spread=_std, std=_std, total=np.sum, error=stats.sem) -> float:
    """The roles: z is drawn from the first, and the log-ratio is that of the second to the third."""
    value, mu_q, log_var_q, mu_p, log_var_p, eps = case
    densities = {"q": (mu_q, log_var_q), "p": (mu_p, log_var_p)}
    (mu, log_var), *over = (densities[role] for role in roles)
    z = mu + spread(log_var) * eps
    above, below = (stats.norm.logpdf(z, mean, std(v)) for mean, v in over)
    w = total(above - below, axis=-1)
    return float((w.mean() - value) / error(w))


def _z_case(value: float, dim: int, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    means_and_log_vars = [np.round(rng.uniform(-1, 1, dim), 1) for _ in range(4)]
    return value, *means_and_log_vars, rng.standard_normal((1000, dim))


def _positive(case: Case) -> Case:
    value, mu_q, log_var_q, mu_p, log_var_p, eps = case
    return value, mu_q, np.abs(log_var_q) + 0.2, mu_p, np.abs(log_var_p) + 0.5, eps


def _without_noise(case: Case) -> Case:
    """There is no spread to divide by, unless the function draws noise of its own; the claim is far off."""
    return case[0] - 6, *_positive(case)[1:-1], np.zeros_like(case[-1])


_FRESH_NOISE = (
    "The noise eps that is given has no part in your value: your function draws its own, so nobody can "
    "repeat the result. The draws of z are to be made of eps."
)
_LOG_VAR_AS_STD = "log_var itself is taken for σ: it is a logarithm, and may be negative."
_NEVER_NEGATIVE = [
    _LOG_VAR_AS_STD,
    Mistake("log-std", std=np.positive, spread=np.positive),
    "log_var is taken for the variance itself.",
    Mistake("log-std", std=np.sqrt, spread=np.sqrt),
]


class _AskedAgain(Exercise):
    """An answer that fits nothing may draw noise of its own, or take log_var for what is never negative."""

    def __call__(self, fn: Answer) -> Report:
        found = super().__call__(fn)
        if found.codes == {"unknown"}:

            @wraps(self.truth)  # with the names of its arguments
            def anew(*case: Any) -> float:
                return self.truth(*case[:-1], np.random.default_rng(0).standard_normal(case[-1].shape))

            if self._asked_again(fn, _without_noise, mistakes=[], truth=anew, tolerance=0.2, where="").passed:
                finding = Finding("noise-missing", _FRESH_NOISE, self.where)
                return report(self.title, [finding], found.message.splitlines()[0])
        if found.codes in ({"unknown"}, {"error"}):
            again = self._asked_again(fn, _positive, mistakes=_NEVER_NEGATIVE)
            return again if again.codes == {"log-std"} else found
        return found

    def _asked_again(self, fn: Answer, other: Callable[[Case], Case], **changed: Any) -> Report:
        # The parent's call, or else it would ask for ever.
        return Exercise.__call__(replace(self, cases=[other(case) for case in self.cases], **changed), fn)


check_z_score = _AskedAgain(
    title="Your own Monte Carlo check",
    takes="the claimed value (nats), mu_q, log_var_q, mu_p, log_var_p, each (d,), and noise eps, (n, d)",
    returns="(estimate of KL(q, p) - value) / standard error of two diagonal Gaussians, one number",
    source="Owen 2013, chapter 2",
    where="notebook 4, sections 1 and 2",
    truth=_by_squares,
    program=_by_draws,
    cases=[_z_case(0.0, 1, 1), _z_case(1.0, 1, 2), _z_case(0.5, 2, 3), _z_case(2.0, 3, 4)],
    tolerance=2e-3,  # n or n - 1 in the standard error
    mistakes=[
        "You check the divergence with q and p exchanged. Which of the two are the draws from?",
        Mistake("reverse", roles="ppq"),
        "The average runs over draws from p. Which distribution does the definition average over?",
        Mistake("reverse", roles="pqp"),
        "Your estimate has the opposite sign: look at the order inside the log-ratio.",
        Mistake("term-sign", roles="qpq"),
        "Your value says how far, and not in which direction: the z-score has a sign.",
        Mistake("sign", then=abs),
        "This is the difference in nats. Is that much for so many draws? The difference alone does not tell.",
        Mistake("term-missing", error=lambda w: 1),
        "You measure in standard deviations of a single draw. How far does the *average* of the draws "
        "spread?",
        Mistake("term-missing", error=lambda w: w.std(ddof=1)),
        "The variance of the average stands where its standard deviation belongs.",
        Mistake("var-for-std", error=lambda w: w.var(ddof=1) / len(w)),
        "The variance of a draw stands where its standard deviation belongs.",
        Mistake("var-for-std", error=lambda w: w.var(ddof=1) / np.sqrt(len(w))),
        "The error bar shrinks too fast with the number of draws: it falls with the square root.",
        Mistake("std-for-var", error=lambda w: w.std(ddof=1) / len(w)),
        "The draws are spread by σ² instead of σ: what does log_var hold?",
        Mistake("var-for-std", spread=np.exp),
        _LOG_VAR_AS_STD,
        Mistake("log-std", spread=np.positive),
        "log_var is read as log σ.",
        Mistake("log-std", std=np.exp, spread=np.exp),
        "Your log-ratio averages over the coordinates. Log-densities of independent coordinates add up.",
        Mistake("mean-latent", total=np.mean),
    ],
)


def _by_expm1(mu: float, log_var: float, *, read=lambda log_var: log_var, variance=_variance) -> float:
    """With exp(v) - 1 - v from expm1: half of the digits survive, which is enough."""
    v = read(log_var)
    return variance(mu, np.exp(v / 2)) / (0.5 * (mu**2 + (np.expm1(v) - v)))


check_variance_over_kl = Exercise(
    title="Spread against divergence",
    takes="the numbers mu and log_var, of q = N(mu, exp(log_var)), also where q is nearly p = N(0, 1)",
    returns="Var[log q - log p] / KL(q, p), one number (nats) to four digits",
    source="Higham 2002, chapter 1 (on the digits that cancel)",
    where="notebook 4, section 3",
    truth=lambda mu, log_var: moments(mu, np.exp(log_var / 2))[1] / _kl(mu, np.exp(log_var / 2)),
    program=_by_expm1,
    cases=[(1.0, 0.0), (0.0, 1.0), (1.0, -1.4), (0.5, 0.4), (-2.0, 0.7)],
    extremes=Extremes(
        cases=[(1e-6, 0.0), (0.0, 1e-8), (0.0, -3e-9), (4e-9, 3e-9)],
        cause="Your function is right where q differs from p, and loses its digits where the two are nearly "
        "equal. Which subtraction takes a number from another that is almost the same?",
        where="notebook 3, Deeper",
    ),
    mistakes=[
        "Your fraction is upside down.",
        Mistake("swapped", then=lambda ratio: 1 / ratio),
        "The standard deviation of the log-ratio stands where its variance belongs.",
        Mistake("std-for-var", variance=_sd),
        "log_var is read as log σ.",
        Mistake("log-std", read=lambda log_std: 2 * log_std),
        "σ stands where σ² belongs.",
        Mistake("std-for-var", variance=partial(_variance, var=np.positive)),
        _TOO_LARGE,
        Mistake("term-scale", variance=partial(_variance, quadratic=1)),
        "The linear term's variance lacks a factor: the slope of the log-ratio along ε is not μ alone.",
        Mistake("term-missing", variance=partial(_variance, linear=lambda mu, var: mu**2)),
        "The mean has no part in your variance.",
        Mistake("term-missing", variance=partial(_variance, linear=lambda mu, var: 0)),
    ],
)


def _by_what_is_left(
    mu: Array, std: Array, *, antithetic=(0, 1), independent=(0.5, 0.5), total=np.sum
) -> tuple[float, float]:
    """Parts of the linear and the quadratic term's variance: in the mean over ε and -ε the first cancels."""
    terms = total(mu**2 * std**2), total(0.5 * (std**2 - 1) ** 2)
    return np.dot(antithetic, terms), np.dot(independent, terms)


check_pair_variances = Exercise(
    title="Antithetic pairs",
    takes="mu and std, both (d,)",
    returns="the variance of the mean of two log-ratios in nats²: (with eps and -eps, with independent eps)",
    source="Owen 2013, chapter 8",
    where="notebook 4, section 3",
    truth=lambda mu, std: (moments(mu, std, paired=True)[1], moments(mu, std)[1] / 2),
    program=_by_what_is_left,
    cases=[_ONE, _TWO, (np.zeros(2), np.array([0.5, 1.2])), (np.ones(1), np.ones(1)), _THREE, _FOUR],
    mistakes=[
        "The two numbers have changed places.",
        Mistake("swapped", then=np.flip),
        "You halve the variance of the antithetic pair as if its two draws were independent. What "
        "does the quadratic term do when ε turns into -ε?",
        Mistake("term-scale", antithetic=(0, 0.5)),
        "The second number is the variance of one draw; asked for is that of the mean of two.",
        Mistake("term-scale", independent=(1, 1)),
        "These are the variances of the sum of two draws; asked for are those of their mean.",
        Mistake("term-scale", antithetic=(0, 4), independent=(2, 2)),
        "You treat the antithetic pair like two independent draws, but its second draw is known from "
        "the first.",
        Mistake("term-missing", antithetic=(0.5, 0.5)),
        "In the antithetic pair you keep the term that cancels, and drop the one that stays.",
        Mistake("term-wrong", antithetic=(1, 0)),
        "Not everything cancels in the antithetic pair: is the log-ratio an odd function of ε?",
        Mistake("term-wrong", antithetic=(0, 0)),
        "These are standard deviations; variances are asked for.",
        Mistake("std-for-var", then=np.sqrt),
        "With more latents your values do not grow as they should. The variances of independent "
        "coordinates add up.",
        Mistake("mean-latent", total=np.mean),
    ],
)
