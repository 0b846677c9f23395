"""Checks of the exercises of notebook 4 (Monte Carlo)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from vae_helpers.checks.engine.exercise import Mistake, Task, check_task
from vae_helpers.checks.engine.report import Finding, Report, report
from vae_helpers.numerics import gaussian

Array = NDArray[np.float64]


def check_draws_needed(fn: Callable[..., Any]) -> Report:
    """Checks a function for the number of draws that the Monte Carlo KL to N(0, I) needs.

    Args:
        fn: takes mu and std, both (d,), and the standard error wanted (in nats); returns the number
            of draws, a whole number, rounded up.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Owen 2013, chapter 2.
    """
    found = check_task(fn, DRAWS)
    return check_task(fn, DRAWS_ROUNDED) if found.passed else found


def check_expected_z_score(fn: Callable[..., Any]) -> Report:
    """Checks a function for the z-score at which an average with one term too many is seen.

    Args:
        fn: takes mu and std, both (d,), and the integers n and repetitions; returns one number, a
            count of standard errors.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Owen 2013, chapter 2.
    """
    return check_task(fn, ONE_TOO_MANY)


def check_z_score(fn: Callable[..., Any]) -> Report:
    """Checks a Monte Carlo check of KL(q, p) for two diagonal Gaussians.

    Args:
        fn: takes the claimed value (nats), mu_q, log_var_q, mu_p and log_var_p, each (d,), and noise eps
            of shape (n, d); returns (estimate - value) / standard error, one number.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Owen 2013, chapter 2.
    """
    found = check_task(fn, Z_SCORE)
    if found.codes == {"unknown"} and check_task(fn, Z_SCORE_OF_FRESH_NOISE).passed:
        return report(Z_SCORE.exercise, [FRESH_NOISE], found.message.splitlines()[0])
    if found.codes in ({"unknown"}, {"error"}):  # it may be taken for σ, which is never negative
        positive = check_task(fn, Z_SCORE_POSITIVE)
        found = positive if positive.codes == {"log-std"} else found
    return found


def check_variance_over_kl(fn: Callable[..., Any]) -> Report:
    """Checks a function for Var[log q - log p] / KL(q, p) of q = N(mu, exp(log_var)), p = N(0, 1).

    Args:
        fn: takes the numbers mu and log_var, also where q is nearly p, and returns one number
            (nats) to four digits.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Higham 2002, section 1.14.1 (on the digits that cancel).
    """
    found = check_task(fn, RATIO)
    nearly = check_task(fn, RATIO_NEARLY) if found.passed else found
    if not found.passed or nearly.passed:
        return found
    cause = (
        "Your function is right where q differs from p, and loses its digits where the two are nearly "
        "equal. Which subtraction takes a number from another that is almost the same?"
    )
    seen = nearly.message.splitlines()[0]
    return report(RATIO.exercise, [Finding("unstable", cause, "notebook 3, section 6")], seen)


def check_pair_variances(fn: Callable[..., Any]) -> Report:
    """Checks a function for the variance of the mean of two draws: antithetic, and independent.

    Args:
        fn: takes mu and std, both (d,), and returns (variance with eps and -eps, variance with two
            independent eps) of the mean of two log-ratios, in nats².

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Owen 2013, chapter 8.
    """
    return check_task(fn, PAIRS)


def _log_ratio(mu: float, std: float, eps: Array) -> Array:
    """log q - log p at z = mu + std eps, in one coordinate, by SciPy."""
    z = mu + std * eps
    return stats.norm.logpdf(z, mu, std) - stats.norm.logpdf(z)


def _variance(mu: Array, std: Array, paired: bool = False) -> float:
    """Var of the log-ratio, or of its mean over eps and -eps, by quadrature in each coordinate."""
    total = 0.0
    for m, s in zip(np.ravel(mu), np.ravel(std), strict=True):

        def value(eps: Array, m: float = m, s: float = s) -> Array:
            plain = _log_ratio(m, s, eps)
            return 0.5 * (plain + _log_ratio(m, s, -eps)) if paired else plain

        mean = gaussian.expectation(value, 0.0, 1.0)
        total += gaussian.expectation(lambda eps, f=value, c=mean: (f(eps) - c) ** 2, 0.0, 1.0)
    return total


def _kl(mu: Array, std: Array) -> float:
    return float(gaussian.kl_standard_normal(mu, 2 * np.log(std)))


_ONE = np.array([1.0]), np.array([0.5])
_TWO = np.array([1.0, -0.5]), np.array([0.5, 1.2])
_THREE = np.array([0.0, 2.0, -1.0]), np.array([0.8, 1.5, 0.3])
_FOUR = np.array([0.3, -0.7, 1.1, 0.0]), np.array([1.4, 0.9, 1.0, 0.6])


def _draws(variance: Callable[[Array, Array], float], power: int = 2) -> Callable[..., float]:
    return lambda mu, std, error: variance(mu, std) / error**power


_SQUARED = "n is too small: the standard error falls with the square root of n. Solve for n once more."

DRAWS = Task(
    exercise="Draws for a given standard error",
    answer=lambda mu, std, error: np.ceil(_variance(mu, std) / error**2),
    cases=[(*_ONE, 0.01), (*_TWO, 0.01), (*_TWO, 0.003), (*_THREE, 0.02), (*_FOUR, 0.005)],
    names=("mu", "std", "error"),
    tolerance=1e-3,  # rounded or not: all these numbers are above 5,000
    where="notebook 4, section 3",
    mistakes=[
        *(
            Mistake(code, lambda *case, f=draws, r=rounded: r(f(*case)), _SQUARED)
            for code, draws in (
                ("std-for-var", _draws(lambda m, s: np.sqrt(_variance(m, s)), 1)),
                ("term-wrong", _draws(_variance, 1)),
            )
            for rounded in (float, np.ceil, np.floor)  # these numbers are small enough for it to matter
        ),
        Mistake(
            "std-for-var",
            _draws(lambda m, s: np.sqrt(_variance(m, s))),
            "The standard deviation of a draw stands where its variance belongs.",
        ),
        Mistake(
            "term-wrong",
            _draws(_kl),
            "This uses the divergence itself. What decides is how much single draws of the log-ratio spread.",
        ),
        *(
            Mistake(
                "term-wrong",
                lambda m, s, error, k=factor: k * _draws(_variance)(m, s, error * _kl(m, s)),
                "You take error for a fraction of the divergence. It is a number of nats.",
            )
            for factor in (1, 16)  # notebook 0 asked for four standard errors
        ),
        Mistake(
            "term-missing",
            _draws(lambda m, s: np.sum(0.5 * (s**2 - 1) ** 2)),
            "The means have no part in your variance.",
        ),
        Mistake(
            "term-missing",
            _draws(lambda m, s: np.sum(m**2 * s**2)),
            "Only the term that is linear in the noise is in your variance; its square is random, too.",
        ),
        Mistake(
            "term-scale",
            _draws(lambda m, s: np.sum((s**2 - 1) ** 2 + m**2 * s**2)),
            "The term with (σ² - 1)² is too large: mind its ½ when it is squared, and the variance of ε².",
        ),
        Mistake(
            "term-scale",
            _draws(lambda m, s: np.sum(0.25 * (s**2 - 1) ** 2 + m**2 * s**2)),
            "The term with (σ² - 1)² is too small: what is the variance of ε²?",
        ),
        Mistake(
            "std-for-var",
            _draws(lambda m, s: np.sum(0.5 * (s - 1) ** 2 + m**2 * s)),
            "σ stands where σ² belongs.",
        ),
        Mistake(
            "mean-latent",
            _draws(lambda m, s: _variance(m, s) / len(s)),
            "With more latents your number does not grow as it should. The variances of independent "
            "coordinates add up.",
        ),
    ],
)


DRAWS_ROUNDED = Task(
    exercise=DRAWS.exercise,
    answer=DRAWS.answer,
    cases=[(*_ONE, 0.27), (*_TWO, 0.3)],  # 7.29 and 10.98 before they are rounded
    names=DRAWS.names,
    where=DRAWS.where,
    mistakes=[
        Mistake(
            "term-missing",
            _draws(_variance),
            "Nobody can make a fraction of a draw: the number is to be rounded up.",
        ),
        *(
            Mistake(
                "term-wrong",
                lambda *case, r=rounded: r(_draws(_variance)(*case)),
                "With one draw less than is needed the standard error is still too large: how is the number "
                "to be rounded?",
            )
            for rounded in (np.floor, np.round)
        ),
    ],
)


def _expected_z(mu: Array, std: Array, n: int, repetitions: int) -> float:
    """Bias over standard error, each from the moments of the wrong average."""
    mean, variance = _kl(mu, std), _variance(mu, std)
    wrong_mean, wrong_variance = (n + 1) * mean / n, (n + 1) * variance / n**2
    return (wrong_mean - mean) / np.sqrt(wrong_variance / repetitions)


ONE_TOO_MANY = Task(
    exercise="One term too many",
    answer=_expected_z,
    cases=[(*_ONE, 1, 1), (*_TWO, 10, 5000), (*_TWO, 4, 100), (*_THREE, 50, 2000), (*_FOUR, 7, 300)],
    names=("mu", "std", "n", "repetitions"),
    where="notebook 4, sections 1 and 3",
    mistakes=[
        Mistake(
            "term-missing",
            lambda m, s, n, r: _expected_z(m, s, n, 1),
            "This is the z-score of a single run. What does the mean of many repetitions do to the error "
            "bar?",
        ),
        Mistake(
            "std-for-var",
            lambda m, s, n, r: _expected_z(m, s, n, r) * np.sqrt(r),
            "The error bar shrinks too fast with the repetitions: variances fall like 1/n, standard "
            "deviations do not.",
        ),
        Mistake(
            "term-wrong",
            lambda m, s, n, r: _expected_z(m, s, n, r) * np.sqrt((n + 1) / n),
            "The bias is right, the spread is that of the right average: how many terms does the wrong "
            "one have?",
        ),
        Mistake(
            "term-wrong",
            lambda m, s, n, r: _expected_z(m, s, n, r) * (n + 1) / n,
            "The spread is divided by the wrong number: the notes sum n + 1 terms, and divide by n.",
        ),
        Mistake(
            "term-wrong",
            lambda m, s, n, r: _expected_z(m, s, n, r) * n,
            "The bias is too large: one extra term among n does not double the average.",
        ),
        Mistake(
            "term-wrong",
            lambda m, s, n, r: _expected_z(m, s, n, r) * (n + 1),
            "This measures the whole average in standard errors. How far is it from the truth?",
        ),
        Mistake(
            "var-for-std",
            lambda m, s, n, r: _expected_z(m, s, n, r) / np.sqrt(_variance(m, s)),
            "The variance of a draw stands where its standard deviation belongs.",
        ),
    ],
)


def _z_score(
    value: float,
    q: tuple[Array, Array],
    p: tuple[Array, Array],
    eps: Array,
    ratio: Callable[[Array, Array], Array] = lambda log_q, log_p: (log_q - log_p).sum(-1),
    error: Callable[[Array], float] = lambda w: w.std(ddof=1) / np.sqrt(len(w)),
    draw: Callable[[Array], Array] = lambda log_var: np.exp(log_var / 2),
    by: tuple[Array, Array] | None = None,
) -> float:
    """The z-score, with every step open to a mistake."""
    mu, log_var = by or q
    z = mu + draw(log_var) * eps
    log_q, log_p = (stats.norm.logpdf(z, m, np.exp(v / 2)) for m, v in (q, p))
    w = ratio(log_q, log_p)
    return float((w.mean() - value) / error(w))


def _slip(**changed: Any) -> Callable[..., float]:
    return lambda value, mq, vq, mp, vp, eps: _z_score(value, (mq, vq), (mp, vp), eps, **changed)


_LOG_VAR_AS_STD = "log_var itself is taken for σ: it is a logarithm, and may be negative."


def _exchanged(value: float, mq: Array, vq: Array, mp: Array, vp: Array, eps: Array) -> float:
    return _z_score(value, (mp, vp), (mq, vq), eps)


def _drawn_from_p(value: float, mq: Array, vq: Array, mp: Array, vp: Array, eps: Array) -> float:
    return _z_score(value, (mq, vq), (mp, vp), eps, by=(mp, vp))


def _z_case(value: float, dim: int, seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    means_and_log_vars = [np.round(rng.uniform(-1, 1, dim), 1) for _ in range(4)]
    return value, *means_and_log_vars, rng.standard_normal((1000, dim))


Z_SCORE = Task(
    exercise="Your own Monte Carlo check",
    answer=_slip(),
    cases=[_z_case(0.0, 1, 1), _z_case(1.0, 1, 2), _z_case(0.5, 2, 3), _z_case(2.0, 3, 4)],
    names=("value", "mu_q", "log_var_q", "mu_p", "log_var_p", "eps"),
    tolerance=2e-3,  # n or n - 1 in the standard error
    where="notebook 4, sections 1 and 2",
    mistakes=[
        Mistake(
            "reverse",
            _exchanged,
            "You check the divergence with q and p exchanged. Which of the two are the draws from?",
        ),
        Mistake(
            "reverse",
            _drawn_from_p,
            "The average runs over draws from p. Which distribution does the definition average over?",
        ),
        Mistake(
            "term-sign",
            _slip(ratio=lambda q, p: (p - q).sum(-1)),
            "Your estimate has the opposite sign: look at the order inside the log-ratio.",
        ),
        Mistake(
            "sign",
            lambda *case: abs(_slip()(*case)),
            "Your value says how far, and not in which direction: the z-score has a sign.",
        ),
        Mistake(
            "term-missing",
            _slip(error=lambda w: 1.0),
            "This is the difference in nats. Is that much for so many draws? The difference alone does not "
            "tell.",
        ),
        Mistake(
            "term-missing",
            _slip(error=lambda w: w.std(ddof=1)),
            "You measure in standard deviations of a single draw. How far does the *average* of the draws "
            "spread?",
        ),
        Mistake(
            "var-for-std",
            _slip(error=lambda w: w.var(ddof=1) / len(w)),
            "The variance of the average stands where its standard deviation belongs.",
        ),
        Mistake(
            "var-for-std",
            _slip(error=lambda w: w.var(ddof=1) / np.sqrt(len(w))),
            "The variance of a draw stands where its standard deviation belongs.",
        ),
        Mistake(
            "std-for-var",
            _slip(error=lambda w: w.std(ddof=1) / len(w)),
            "The error bar shrinks too fast with the number of draws: it falls with the square root.",
        ),
        Mistake(
            "var-for-std",
            _slip(draw=np.exp),
            "The draws are spread by σ² instead of σ: what does log_var hold?",
        ),
        Mistake("log-std", _slip(draw=lambda log_var: log_var), _LOG_VAR_AS_STD),
        Mistake(
            "log-std",
            lambda value, mq, vq, mp, vp, eps: _z_score(value, (mq, 2 * vq), (mp, 2 * vp), eps),
            "log_var is read as log σ.",
        ),
        Mistake(
            "mean-latent",
            _slip(ratio=lambda q, p: (q - p).mean(-1)),
            "Your log-ratio averages over the coordinates. Log-densities of independent coordinates add up.",
        ),
    ],
)


def _read_log_var_as(log_var: Callable[[Array], Array]) -> Callable[..., float]:
    """The z-score when something else is taken for log σ²; the argument undoes it."""
    return lambda value, mq, vq, mp, vp, eps: _z_score(value, (mq, log_var(vq)), (mp, log_var(vp)), eps)


def _positive(case: tuple[Any, ...]) -> tuple[Any, ...]:
    value, mu_q, log_var_q, mu_p, log_var_p, eps = case
    return value, mu_q, np.abs(log_var_q) + 0.2, mu_p, np.abs(log_var_p) + 0.5, eps


def _far_claim(case: tuple[Any, ...]) -> tuple[Any, ...]:
    return case[0] - 6, *_positive(case)[1:-1], np.zeros_like(case[-1])


Z_SCORE_POSITIVE = Task(
    exercise=Z_SCORE.exercise,
    answer=_slip(),
    cases=[_positive(case) for case in Z_SCORE.cases],
    names=Z_SCORE.names,
    tolerance=Z_SCORE.tolerance,
    where=Z_SCORE.where,
    mistakes=[
        Mistake("log-std", _read_log_var_as(lambda std: 2 * np.log(std)), _LOG_VAR_AS_STD),
        Mistake("log-std", _read_log_var_as(np.log), "log_var is taken for the variance itself."),
    ],
)

# With eps = 0 there is no spread to divide by, unless the function draws noise of its own.
Z_SCORE_OF_FRESH_NOISE = Task(
    exercise=Z_SCORE.exercise,
    answer=lambda *case: _slip()(*case[:-1], np.random.default_rng(0).standard_normal(case[-1].shape)),
    cases=[_far_claim(case) for case in Z_SCORE.cases],
    names=Z_SCORE.names,
    tolerance=0.2,
)
FRESH_NOISE = Finding(
    "noise-missing",
    "The noise eps that is given has no part in your value: your function draws its own, so nobody can "
    "repeat the result. The draws of z are to be made of eps.",
    Z_SCORE.where,
)


def _ratio(mu: float, log_var: float) -> float:
    """Variance by its closed form (stable), divergence by the package."""
    variance = 0.5 * np.expm1(log_var) ** 2 + mu**2 * np.exp(log_var)
    return float(variance / gaussian.kl_standard_normal([mu], [log_var]))


def _ratio_slip(variance: Callable[[float, float], float]) -> Callable[..., float]:
    return lambda mu, log_var: variance(mu, log_var) / float(gaussian.kl_standard_normal([mu], [log_var]))


RATIO = Task(
    exercise="Spread against divergence",
    answer=lambda mu, log_var: _variance([mu], [np.exp(log_var / 2)]) / _kl([mu], np.exp([log_var / 2])),
    cases=[(1.0, 0.0), (0.0, 1.0), (1.0, -1.4), (0.5, 0.4), (-2.0, 0.7)],
    names=("mu", "log_var"),
    where="notebook 4, section 3",
    mistakes=[
        Mistake(
            "swapped",
            lambda mu, v: 1 / _ratio(mu, v),
            "Your fraction is upside down.",
        ),
        Mistake(
            "std-for-var",
            _ratio_slip(lambda mu, v: np.sqrt(0.5 * np.expm1(v) ** 2 + mu**2 * np.exp(v))),
            "The standard deviation of the log-ratio stands where its variance belongs.",
        ),
        Mistake("log-std", lambda mu, v: _ratio(mu, 2 * v), "log_var is read as log σ."),
        Mistake(
            "std-for-var",
            _ratio_slip(lambda mu, v: 0.5 * np.expm1(v / 2) ** 2 + mu**2 * np.exp(v / 2)),
            "σ stands where σ² belongs.",
        ),
        Mistake(
            "term-scale",
            _ratio_slip(lambda mu, v: np.expm1(v) ** 2 + mu**2 * np.exp(v)),
            "The term with (σ² - 1)² is too large: mind its ½ when it is squared, and the variance of ε².",
        ),
        Mistake(
            "term-missing",
            _ratio_slip(lambda mu, v: 0.5 * np.expm1(v) ** 2 + mu**2),
            "The linear term's variance lacks a factor: the slope of the log-ratio along ε is not μ alone.",
        ),
        Mistake(
            "term-missing",
            _ratio_slip(lambda mu, v: 0.5 * np.expm1(v) ** 2),
            "The mean has no part in your variance.",
        ),
    ],
)

RATIO_NEARLY = Task(
    exercise=RATIO.exercise,
    answer=_ratio,
    cases=[(1e-6, 0.0), (0.0, 1e-8), (0.0, -3e-9), (4e-9, 3e-9)],
    names=RATIO.names,
)


def _pair_variances(mu: Array, std: Array) -> tuple[float, float]:
    return _variance(mu, std, paired=True), _variance(mu, std) / 2


def _wrong_pair(
    change: Callable[[float, float, int], tuple[float, float]],
) -> Callable[..., tuple[float, float]]:
    return lambda mu, std: change(_variance(mu, std, paired=True), _variance(mu, std), len(std))


PAIRS = Task(
    exercise="Antithetic pairs",
    answer=_pair_variances,
    cases=[
        _ONE,
        _TWO,
        (np.array([0.0, 0.0]), np.array([0.5, 1.2])),
        (np.array([1.0]), np.array([1.0])),
        _THREE,
        _FOUR,
    ],
    names=("mu", "std"),
    where="notebook 4, section 3",
    mistakes=[
        Mistake("swapped", _wrong_pair(lambda a, w, d: (w / 2, a)), "The two numbers have changed places."),
        Mistake(
            "term-scale",
            _wrong_pair(lambda a, w, d: (a / 2, w / 2)),
            "You halve the variance of the antithetic pair as if its two draws were independent. What "
            "does the quadratic term do when ε turns into -ε?",
        ),
        Mistake(
            "term-scale",
            _wrong_pair(lambda a, w, d: (a, w)),
            "The second number is the variance of one draw; asked for is that of the mean of two.",
        ),
        Mistake(
            "term-scale",
            _wrong_pair(lambda a, w, d: (4 * a, 2 * w)),
            "These are the variances of the sum of two draws; asked for are those of their mean.",
        ),
        Mistake(
            "term-missing",
            _wrong_pair(lambda a, w, d: (w / 2, w / 2)),
            "You treat the antithetic pair like two independent draws, but its second draw is known from "
            "the first.",
        ),
        Mistake(
            "term-wrong",
            _wrong_pair(lambda a, w, d: (w - a, w / 2)),
            "In the antithetic pair you keep the term that cancels, and drop the one that stays.",
        ),
        Mistake(
            "term-wrong",
            _wrong_pair(lambda a, w, d: (0.0, w / 2)),
            "Not everything cancels in the antithetic pair: is the log-ratio an odd function of ε?",
        ),
        Mistake(
            "std-for-var",
            _wrong_pair(lambda a, w, d: (np.sqrt(a), np.sqrt(w / 2))),
            "These are standard deviations; variances are asked for.",
        ),
        Mistake(
            "mean-latent",
            _wrong_pair(lambda a, w, d: (a / d, w / (2 * d))),
            "With more latents your values do not grow as they should. The variances of independent "
            "coordinates add up.",
        ),
    ],
)
