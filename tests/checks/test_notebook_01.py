"""The checks of notebook 1: right answers pass in any style, and each mistake is told by its name."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from support.draws import assert_mean
from torch.distributions import Normal

from vae_helpers.checks.exercises.notebook_01 import (
    check_after_two_gauges,
    check_log_of_mean,
    check_mean_log_likelihood,
    check_relative_second_moment,
)

WEIGHT, BIAS = 0.4, 1.0  # the gauges of the notebook

# --- Two gauges ----------------------------------------------------------------------------------


def by_conditioning(x_1, x_2, s_1, s_2):
    """From the covariance of (z, x_1, x_2), by the formula for conditional Gaussians."""
    cov = np.full((2, 2), WEIGHT**2) + np.diag([s_1**2, s_2**2])
    gain = np.linalg.solve(cov, [WEIGHT, WEIGHT])
    return gain @ [x_1 - BIAS, x_2 - BIAS], np.sqrt(1 - gain @ [WEIGHT, WEIGHT])


def by_precisions_in_torch(x_1, x_2, s_1, s_2):
    x, s = torch.tensor([x_1, x_2]), torch.tensor([s_1, s_2])
    var = 1 / (1 + (WEIGHT / s).square().sum())
    return torch.stack([var * (WEIGHT * (x - BIAS) / s**2).sum(), var.sqrt()])


def one_after_the_other(x_1, x_2, s_1, s_2):
    mean, var = [0.0], [1.0]
    for x, s in ((x_2, s_2), (x_1, s_1)):
        gain = WEIGHT * var[0] / (WEIGHT**2 * var[0] + s * s)  # as in a Kalman filter
        mean = [mean[0] + gain * (x - BIAS - WEIGHT * mean[0])]
        var = [(1 - WEIGHT * gain) * var[0]]
    return [mean, [var[0] ** 0.5]]


@pytest.mark.parametrize("answer", [by_conditioning, by_precisions_in_torch, one_after_the_other])
def test_two_gauges_in_any_style(answer):
    report = check_after_two_gauges(answer)
    assert report.passed, report


def test_two_gauges_reference():
    for case in check_after_two_gauges.cases:
        assert check_after_two_gauges.truth(*case) == pytest.approx(by_conditioning(*case), abs=1e-9)


def posterior(x, s, mean=0.0, var=1.0, bias=BIAS):
    new = 1 / (1 / var + WEIGHT**2 / s**2)
    return new * (mean / var + WEIGHT * (x - bias) / s**2), new


def forgot_to_take_the_root(x_1, x_2, s_1, s_2):
    return posterior(x_2, s_2, *posterior(x_1, s_1))


def prior_twice(x_1, x_2, s_1, s_2):
    (m_1, v_1), (m_2, v_2) = posterior(x_1, s_1), posterior(x_2, s_2)
    var = 1 / (1 / v_1 + 1 / v_2)
    return var * (m_1 / v_1 + m_2 / v_2), var**0.5


def no_prior(x_1, x_2, s_1, s_2):
    mean, var = posterior(x_2, s_2, *posterior(x_1, s_1, var=1e12))
    return mean, math.sqrt(var)


def first_only(x_1, x_2, s_1, s_2):
    mean, var = posterior(x_1, s_1)
    return mean, math.sqrt(var)


def began_again(x_1, x_2, s_1, s_2):
    mean, var = posterior(x_1, s_1)
    mean, var = posterior(x_2, s_2)
    return mean, math.sqrt(var)


def no_bias(x_1, x_2, s_1, s_2):
    mean, var = posterior(x_1, s_1, bias=0)
    mean, var = posterior(x_2, s_2, mean, var, bias=0)
    return mean, math.sqrt(var)


def noise_not_squared(x_1, x_2, s_1, s_2):
    return by_conditioning(x_1, x_2, s_1**0.5, s_2**0.5)


def of_the_mean_reading(x_1, x_2, s_1, s_2):
    mean, var = posterior((x_1 + x_2) / 2, math.sqrt((s_1**2 + s_2**2) / 4))
    return mean, math.sqrt(var)


def mean_of_both(x_1, x_2, s_1, s_2):
    return np.mean([first_only(x_1, x_2, s_1, s_2), began_again(x_1, x_2, s_1, s_2)], axis=0)


def weight_not_squared(x_1, x_2, s_1, s_2):
    precision = 1 + WEIGHT / s_1**2 + WEIGHT / s_2**2
    return WEIGHT * ((x_1 - BIAS) / s_1**2 + (x_2 - BIAS) / s_2**2) / precision, precision**-0.5


def weight_nowhere(x_1, x_2, s_1, s_2):
    precision = 1 + s_1**-2 + s_2**-2
    return ((x_1 - BIAS) / s_1**2 + (x_2 - BIAS) / s_2**2) / precision, precision**-0.5


def weight_only_in_the_width(x_1, x_2, s_1, s_2):
    mean, std = by_conditioning(x_1, x_2, s_1, s_2)
    return mean / WEIGHT, std


GAUGES_WRONG = [
    (forgot_to_take_the_root, "var-for-std"),
    (prior_twice, "term-scale"),
    (no_prior, "term-missing"),
    (first_only, "term-missing"),
    (began_again, "term-missing"),
    (no_bias, "term-missing"),
    (noise_not_squared, "std-for-var"),
    (of_the_mean_reading, "term-wrong"),
    (mean_of_both, "term-wrong"),
    (lambda *a: -np.asarray(by_conditioning(*a)), "sign"),
    (lambda *a: 2 * np.asarray(by_conditioning(*a)), "half"),
    (lambda *a: by_conditioning(*a)[0], "shape"),
    (lambda *a: by_conditioning(*a)[::-1], "swapped"),
    (lambda *a: (by_conditioning(*a)[0], by_conditioning(*a)[1] ** -2), "var-for-std"),
    (weight_not_squared, "term-wrong"),
    (weight_nowhere, "term-missing"),
    (weight_only_in_the_width, "term-missing"),
    (lambda x_1, x_2, s_1, s_2: by_conditioning(x_2, x_1, s_1, s_2), "swapped"),
    (lambda *a: by_conditioning(*a) + np.array([0, 0.1]), "unknown"),
]


@pytest.mark.parametrize("answer, code", GAUGES_WRONG)
def test_two_gauges_mistakes(answer, code):
    assert check_after_two_gauges(answer).codes == {code}


# --- The mean of the log-likelihood --------------------------------------------------------------


def in_closed_form(x, weight, bias, noise_std):
    return stats.norm.logpdf(x, bias, noise_std) - weight**2 / 2 / noise_std**2


def in_torch(x, weight, bias, noise_std):
    expected = Normal(torch.tensor(bias, dtype=torch.float64), noise_std).log_prob(torch.tensor(x))
    return (expected - 0.5 * (weight / noise_std) ** 2).reshape(1)


def by_gauss_hermite(x, weight, bias, noise_std):
    z, chance = np.polynomial.hermite_e.hermegauss(5)
    return chance @ stats.norm.logpdf(x, weight * z + bias, noise_std) / math.sqrt(2 * math.pi)


@pytest.mark.parametrize("answer", [in_closed_form, in_torch, by_gauss_hermite])
def test_mean_log_likelihood_in_any_style(answer):
    report = check_mean_log_likelihood(answer)
    assert report.passed, report


def test_mean_log_likelihood_reference():
    for case in check_mean_log_likelihood.cases:
        assert check_mean_log_likelihood.truth(*case) == pytest.approx(in_closed_form(*case), abs=1e-9)


def parts(x, w, b, s):
    return 0.5 * math.log(2 * math.pi), math.log(s), (x - b) ** 2 / (2 * s * s), w * w / (2 * s * s)


LOG_LIKELIHOOD_WRONG = {
    "log of the mean": (lambda x, w, b, s: stats.norm.logpdf(x, b, math.hypot(w, s)), "swapped"),
    "at z = 0": (lambda x, w, b, s: stats.norm.logpdf(x, b, s), "term-missing"),
    "scatter added": (lambda *a: parts(*a)[3] - sum(parts(*a)[:3]), "term-sign"),
    "scatter doubled": (lambda *a: -sum(parts(*a)) - parts(*a)[3], "term-scale"),
    "no 2 pi": (lambda *a: -sum(parts(*a)[1:]), "log-two-pi-missing"),
    "no log s": (lambda *a: -parts(*a)[0] - sum(parts(*a)[2:]), "log-sigma-missing"),
    "half log s": (lambda *a: -sum(parts(*a)) + 0.5 * parts(*a)[1], "log-std"),
    "log s twice": (lambda *a: -sum(parts(*a)) - parts(*a)[1], "term-scale"),
    "s for s²": (
        lambda x, w, b, s: -0.5 * math.log(2 * math.pi * s**2) - ((x - b) ** 2 + w**2) / (2 * s),
        "std-for-var",
    ),
    "no bias": (lambda x, w, b, s: in_closed_form(x, w, 0.0, s), "term-missing"),
    "w not squared": (lambda x, w, b, s: stats.norm.logpdf(x, b, s) - w / (2 * s * s), "term-wrong"),
    "s is the variance": (lambda x, w, b, s: in_closed_form(x, w, b, s**0.5), "std-for-var"),
    "sign": (lambda *a: sum(parts(*a)), "sign"),
    "half": (lambda *a: -2 * sum(parts(*a)), "half"),
    "density": (lambda *a: math.exp(-sum(parts(*a))), "not-log"),
    "bits": (lambda *a: -sum(parts(*a)) / math.log(2), "scale"),
    "z has mean 1": (lambda x, w, b, s: stats.norm.logpdf(x, w + b, s) - w**2 / s**2 / 2, "unknown"),
}


@pytest.mark.parametrize("answer, code", LOG_LIKELIHOOD_WRONG.values(), ids=LOG_LIKELIHOOD_WRONG.keys())
def test_mean_log_likelihood_mistakes(answer, code):
    assert check_mean_log_likelihood(answer).codes == {code}


# --- The log of the mean -------------------------------------------------------------------------


def by_scipy(log_likelihoods):
    return special.logsumexp(log_likelihoods, b=1 / len(log_likelihoods))


def by_torch(log_likelihoods):
    return torch.logsumexp(log_likelihoods, dim=0) - math.log(log_likelihoods.shape[0])


def by_logaddexp(log_likelihoods):
    return [np.logaddexp.reduce(log_likelihoods) - np.log(np.size(log_likelihoods))]


def by_loops(log_likelihoods):
    largest = max(log_likelihoods)
    total = sum(math.exp(value - largest) for value in log_likelihoods)
    return float(largest) + math.log(total / len(log_likelihoods))


@pytest.mark.parametrize("answer", [by_scipy, by_torch, by_logaddexp, by_loops])
def test_log_of_mean_in_any_style(answer):
    report = check_log_of_mean(answer)
    assert report.passed, report


def test_log_of_mean_reference():
    assert check_log_of_mean.truth(np.log([1.0, 2.0, 6.0])) == pytest.approx(math.log(3))
    assert check_log_of_mean.truth(np.log([1.0, 2.0, 6.0]) - 5000) == pytest.approx(math.log(3) - 5000)


def shifted(log_likelihoods, by):
    return by + np.log(np.mean(np.exp(log_likelihoods - by)))


def test_log_of_mean_shifted_by_the_largest():
    assert check_log_of_mean(lambda v: shifted(v, np.max(v))).passed
    message = check_log_of_mean(lambda v: shifted(v, np.mean(v))).message
    assert "[-30000.,  -1000., -29000.]" in message and "inf" in message


LOG_OF_MEAN_WRONG = {
    "mean of the log": (lambda v: sum(v) / len(v), "swapped"),
    "log of the sum": (lambda v: special.logsumexp(v), "term-missing"),
    "plus log n": (lambda v: special.logsumexp(v) + math.log(len(v)), "term-sign"),
    "divided outside": (lambda v: special.logsumexp(v) / len(v), "term-wrong"),
    "not given back": (lambda v: by_loops(v) - max(v), "term-missing"),
    "the best": (lambda v: sorted(v)[-1], "term-wrong"),
    "no log": (lambda v: np.exp(v).mean(), "not-log"),
    "sign": (lambda v: -by_loops(v), "sign"),
    "half": (lambda v: 2 * by_loops(v), "half"),
    "underflow": (lambda v: np.log(np.mean(np.exp(v))), "unstable"),
    "underflow raises": (lambda v: math.log(sum(math.exp(u) for u in v) / len(v)), "unstable"),
    "underflow in torch": (lambda v: v.exp().mean().log().item(), "unstable"),
    "with a floor": (lambda v: np.log(np.mean(np.exp(v)) + 1e-100), "unstable"),
    "by the mean": (
        lambda v: v.mean() + np.log(np.mean(np.exp(np.clip(v - v.mean(), -700, 100)))),
        "unstable",
    ),
    "shifted by the least": (lambda v: shifted(v, np.min(v)), "unstable"),
    "shifted by the mean": (lambda v: shifted(v, np.mean(v)), "unstable"),
    "shifted by the median": (lambda v: shifted(v, np.median(v)), "unstable"),
    "shifted by the first": (lambda v: shifted(v, v[0]), "unstable"),
    "shifted by the last": (lambda v: shifted(v, v[-1]), "unstable"),
    "shifted by a constant": (lambda v: shifted(v, -100.0), "unstable"),
    "in 80 bits": (lambda v: np.log(np.mean(np.exp(v.astype(np.longdouble)))), "unstable"),
    "in 80 bits, shifted": (lambda v: shifted(v.astype(np.longdouble), np.mean(v)), "unstable"),
    "the best, far off": (lambda v: by_scipy(v) if v[0] > -100 else max(v), "unstable"),
    "median": (lambda v: np.median(v) + 1, "unknown"),
}


@pytest.mark.parametrize("answer, code", LOG_OF_MEAN_WRONG.values(), ids=LOG_OF_MEAN_WRONG.keys())
def test_log_of_mean_mistakes(answer, code):
    report = check_log_of_mean(answer)
    assert report.codes == {code}, report


def test_what_was_seen_stands_in_the_report():
    report = check_log_of_mean(lambda v: np.log(np.mean(np.exp(v))))
    assert "log_likelihoods = [-2000., -2001.]" in report.message and "-inf" in report.message
    report = check_log_of_mean(lambda v: math.log(sum(math.exp(u) for u in v) / len(v)))
    assert "[-2000., -2001.]" in report.message and "ValueError" in report.message


# --- An encoder that is too wide -----------------------------------------------------------------


def with_powers(width, num_latents):
    return width ** (2 * num_latents) * (2 * width**2 - 1) ** (-num_latents / 2)


def with_logs_in_torch(width, num_latents):
    c2 = torch.tensor(width, dtype=torch.float64) ** 2
    return torch.exp(num_latents * (c2.log() - 0.5 * (2 * c2 - 1).log()))


def with_integrals(width, num_latents):
    def integrand(u):
        return math.exp(2 * stats.norm.logpdf(u) - stats.norm.logpdf(u, 0, width))

    moment = 1.0
    for _ in range(num_latents):
        moment *= integrate.quad(integrand, -np.inf, np.inf)[0]
    return np.array([moment])


@pytest.mark.parametrize("answer", [with_powers, with_logs_in_torch, with_integrals])
def test_second_moment_in_any_style(answer):
    report = check_relative_second_moment(answer)
    assert report.passed, report


def test_second_moment_reference():
    for case in check_relative_second_moment.cases:
        assert check_relative_second_moment.truth(*case) == pytest.approx(with_powers(*case), rel=1e-9)


def test_second_moment_by_sampling():
    """The ratio itself, for the reading of section 5: mean 1, and the second moment that is asked for."""
    eps = np.random.default_rng(0).standard_normal((400_000, 2))
    ratio = np.exp((stats.norm.logpdf(1.2 * eps) - stats.norm.logpdf(1.2 * eps, scale=1.2)).sum(axis=1))
    assert_mean(ratio, 1, sees=0.01)
    assert_mean(ratio**2, check_relative_second_moment.truth(1.2, 2), sees=0.02)


SECOND_MOMENT_WRONG = {
    "one latent": (lambda c, d: c**2 / math.sqrt(2 * c**2 - 1), "term-missing"),
    "times d": (lambda c, d: d * c**2 / math.sqrt(2 * c**2 - 1), "term-wrong"),
    "variance": (lambda c, d: with_powers(c, d) - 1, "constant"),
    "c as variance": (lambda c, d: (c / math.sqrt(2 * c - 1)) ** d, "std-for-var"),
    "over the posterior": (lambda c, d: (c**2 / math.sqrt(3 - 2 / c**2)) ** d, "term-wrong"),
    "no constants": (lambda c, d: (2 * c**2 - 1) ** (-d / 2), "term-missing"),
    "one c only": (lambda c, d: (c / math.sqrt(2 * c**2 - 1)) ** d, "term-missing"),
    "half": (lambda c, d: 2 * with_powers(c, d), "half"),
    "log": (lambda c, d: math.log(with_powers(c, d)), "not-log"),
    "root": (lambda c, d: math.sqrt(with_powers(c, d)), "std-for-var"),
    "root of d": (lambda c, d: with_powers(c, d**0.5), "unknown"),
}


@pytest.mark.parametrize("answer, code", SECOND_MOMENT_WRONG.values(), ids=SECOND_MOMENT_WRONG.keys())
def test_second_moment_mistakes(answer, code):
    assert check_relative_second_moment(answer).codes == {code}
