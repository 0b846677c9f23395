"""The checks of notebook 0: right answers pass in any style, and each mistake is told by its name."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Normal, kl_divergence

from vae_helpers.checks.exercises.notebook_00 import (
    check_draws_to_tell_apart,
    check_kl_in_bits,
    check_standard_errors_away,
)
from vae_helpers.numerics.gaussian import kl_standard_normal

# --- The divergence in bits ----------------------------------------------------------------------


@pytest.mark.parametrize("mu, std", [(0.0, 2.0), (-1.3, 0.4), (2.0, 1.1)])
def test_bits_by_integration(mu, std):
    q, p = stats.norm(mu, std), stats.norm()

    def integrand(z):
        return q.pdf(z) * (q.logpdf(z) - p.logpdf(z)) / math.log(2)

    expected = integrate.quad(integrand, mu - 12 * std, mu + 12 * std, epsabs=1e-10)[0]
    assert check_kl_in_bits.truth(mu, std) == pytest.approx(expected, abs=1e-8)


def in_plain_python(mu, std):
    return (std * std + mu * mu - 1) / 2 / math.log(2) - math.log2(std)


def by_torch(mu, std):
    return kl_divergence(Normal(torch.tensor(mu), torch.tensor(std)), Normal(0.0, 1.0)) / math.log(2)


def by_a_grid(mu, std):
    z = np.linspace(mu - 10 * std, mu + 10 * std, 3001)
    q = stats.norm.pdf(z, mu, std)
    return [np.trapezoid(q * np.log2(q / stats.norm.pdf(z)), z)]


@pytest.mark.parametrize("answer", [in_plain_python, by_torch, by_a_grid])
def test_bits_in_any_style(answer):
    report = check_kl_in_bits(answer)
    assert report.passed, report


BITS_WRONG = {
    "in nats": (lambda m, s: (s**2 + m**2 - 1) / 2 - math.log(s), "scale"),
    "times log 2": (lambda m, s: ((s**2 + m**2 - 1) / 2 - math.log(s)) * math.log(2), "scale"),
    "nats, doubled": (lambda m, s: s**2 + m**2 - 1 - 2 * math.log(s), "scale"),
    "half dropped": (lambda m, s: (s**2 + m**2 - 1 - 2 * math.log(s)) / math.log(2), "half"),
    "sign": (lambda m, s: (1 + 2 * math.log(s) - m**2 - s**2) / (2 * math.log(2)), "sign"),
    "std": (lambda m, s: (s + m**2 - 1 - 2 * math.log(s)) / (2 * math.log(2)), "std-for-var"),
    "log std": (lambda m, s: (s**2 + m**2 - 1 - math.log(s)) / (2 * math.log(2)), "log-std"),
    "turned sign": (lambda m, s: -(1 + 2 * math.log(s) - m**2 + s**2) / (2 * math.log(2)), "term-sign"),
    "turned log": (lambda m, s: (s**2 + m**2 - 1 + math.log(s**2)) / (2 * math.log(2)), "term-sign"),
    "swapped": (lambda m, s: (math.log(s**2) + m**2 - 1 - s**2) / (2 * math.log(2)), "swapped"),
    "no mean": (lambda m, s: (s**2 - 1) / 2 / math.log(2) - math.log2(s), "term-missing"),
    "no constant": (lambda m, s: (s**2 + m**2) / 2 / math.log(2) - math.log2(s), "constant"),
    "std as variance": (lambda m, s: by_torch(m, s**0.5), "std-for-var"),
    "std as log_var": (lambda m, s: kl_standard_normal([m], [s]) / math.log(2), "term-wrong"),
    "variance as log_var": (lambda m, s: kl_standard_normal([m], [s**2]) / math.log(2), "term-wrong"),
    "std as variance, in nats": (lambda m, s: kl_standard_normal([m], [math.log(s)]), "std-for-var"),
    "std as log_var, in nats": (lambda m, s: kl_standard_normal([m], [s]), "term-wrong"),
    "turned log, in nats": (lambda m, s: (s**2 + m**2 - 1) / 2 + math.log(s), "term-sign"),
    "no mean, in nats": (lambda m, s: kl_standard_normal([0.0], [2 * math.log(s)]), "term-missing"),
    "reverse, in nats": (lambda m, s: kl_divergence(Normal(0.0, 1.0), Normal(m, s)), "reverse"),
    "reverse": (lambda m, s: kl_divergence(Normal(0.0, 1.0), Normal(m, s)).item() / math.log(2), "reverse"),
}


@pytest.mark.parametrize("answer, code", BITS_WRONG.values(), ids=BITS_WRONG.keys())
def test_bits_mistakes(answer, code):
    assert check_kl_in_bits(answer).codes == {code}


def test_two_mistakes_of_bits_are_both_told():
    assert "in nats" in check_kl_in_bits(lambda m, s: kl_standard_normal([m], [s])).message
    assert "in nats" not in check_kl_in_bits(lambda m, s: kl_standard_normal([m], [s]) / math.log(2)).message


def test_bits_in_no_known_way():
    report = check_kl_in_bits(lambda mu, std: abs(mu) + abs(math.log(std)))
    assert report.codes == {"unknown"} and "mu = 0, std = 2" in report.message


# --- How many standard errors away ---------------------------------------------------------------


def with_numpy(values, claim):
    return abs(np.mean(values) - claim) / (np.std(values, ddof=1) / np.sqrt(len(values)))


def with_numpys_default(values, claim):
    return np.abs(values.mean() - claim) / values.std() * values.size**0.5


def with_scipy(values, claim):
    return abs(stats.ttest_1samp(values, claim).statistic)


def with_torch(values, claim):
    return (values.mean() - claim).abs() / (values.std() / math.sqrt(values.numel()))


def with_loops(values, claim):
    n = len(values)
    mean = sum(values) / n
    return abs(mean - claim) / math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)


@pytest.mark.parametrize("answer", [with_numpy, with_numpys_default, with_scipy, with_torch, with_loops])
def test_distance_in_any_style(answer):
    report = check_standard_errors_away(answer)
    assert report.passed, report


AWAY_WRONG = {
    "signed": (lambda v, c: (v.mean() - c) / np.std(v) * len(v) ** 0.5, "sign"),
    "signed the other way": (lambda v, c: -stats.ttest_1samp(v, c).statistic, "sign"),
    "one draw": (lambda v, c: abs(v.mean() - c) / np.std(v, ddof=1), "term-missing"),
    "one draw, numpy": (lambda v, c: abs(v.mean() - c) / np.std(v), "term-missing"),
    "no error bar": (lambda v, c: abs(sum(v) / len(v) - c), "term-missing"),
    "n for root n": (lambda v, c: abs(v.mean() - c) / (np.std(v) / len(v)), "term-wrong"),
    "variance": (lambda v, c: abs(v.mean() - c) / (np.var(v, ddof=1) / len(v)), "var-for-std"),
    "variance over root n": (lambda v, c: abs(v.mean() - c) / (np.var(v) / np.sqrt(len(v))), "var-for-std"),
    "negative": (lambda v, c: -with_numpy(v, c), "sign"),
    "twice": (lambda v, c: 2 * with_numpy(v, c), "half"),
    "squared": (lambda v, c: with_numpy(v, c) ** 2, "std-for-var"),
    "three times": (lambda v, c: 3 * with_numpys_default(v, c), "scale"),
}


@pytest.mark.parametrize("answer, code", AWAY_WRONG.values(), ids=AWAY_WRONG.keys())
def test_distance_mistakes(answer, code):
    assert check_standard_errors_away(answer).codes == {code}


def test_fraction_on_its_head():
    def upside_down(values, claim):
        with np.errstate(divide="ignore"):
            return 1 / with_numpy(values, claim)

    assert check_standard_errors_away(upside_down).codes == {"swapped"}


def test_median_is_no_mean():
    def of_the_median(values, claim):
        return abs(np.median(values) - claim) / (values.std() / np.sqrt(len(values)))

    assert check_standard_errors_away(of_the_median).codes == {"unknown"}


# --- How many draws ------------------------------------------------------------------------------


def kl_of(mu, std):
    return (std**2 + mu**2 - 1) / 2 - math.log(std)


def by_formula(mu, std, wrong_by):
    kl = (std**2 + mu**2 - 1 - math.log(std**2)) / 2
    return math.ceil(16 * (mu**2 * std**2 + (std**2 - 1) ** 2 / 2) / (wrong_by * kl) ** 2)


def by_sampling(mu, std, wrong_by):
    q, p = Normal(mu, std), Normal(0.0, 1.0)
    z = q.sample((200_000,))
    return 16 * (q.log_prob(z) - p.log_prob(z)).var() / (wrong_by * kl_divergence(q, p)) ** 2


@pytest.mark.parametrize("answer", [by_formula, by_sampling])
def test_draws_in_any_style(answer):
    report = check_draws_to_tell_apart(answer)
    assert report.passed, report


def test_so_many_draws_resolve_the_difference():
    mu, std, wrong_by = 1.0, 0.5, 0.02
    n = round(check_draws_to_tell_apart.truth(mu, std, wrong_by))
    z = mu + std * np.random.default_rng(0).standard_normal(n)
    ratio = stats.norm.logpdf(z, mu, std) - stats.norm.logpdf(z)
    assert 4 * stats.sem(ratio) == pytest.approx(wrong_by * kl_of(mu, std), rel=0.03)


DRAWS_WRONG = {
    "root": (lambda m, s, f: by_formula(m, s, f) ** 0.5, "std-for-var"),
    "sd for its square": (
        lambda m, s, f: 16 * (m**2 * s**2 + (s**2 - 1) ** 2 / 2) ** 0.5 / (f * kl_of(m, s)) ** 2,
        "std-for-var",
    ),
    "absolute": (lambda m, s, f: (4 / f) ** 2 * (m**2 * s**2 + (s**2 - 1) ** 2 / 2), "term-missing"),
    "one standard error": (lambda m, s, f: by_formula(m, s, f) / 16, "scale"),
    "four not squared": (lambda m, s, f: by_formula(m, s, f) / 4, "scale"),
    "fraction not squared": (lambda m, s, f: by_formula(m, s, f) * f, "term-wrong"),
    "fraction and divergence not squared": (
        lambda m, s, f: math.ceil(by_formula(m, s, f) * f * kl_of(m, s)),
        "term-wrong",
    ),
    "variance of eps²": (
        lambda m, s, f: 16 * (m**2 * s**2 + ((s**2 - 1) / 2) ** 2) / (f * kl_of(m, s)) ** 2,
        "term-scale",
    ),
    "no mean": (lambda m, s, f: 8 * (s**2 - 1) ** 2 / (f * kl_of(m, s)) ** 2, "term-missing"),
    "variance of z": (lambda m, s, f: (4 * s / (f * kl_of(m, s))) ** 2, "term-wrong"),
    "twice": (lambda m, s, f: 2 * by_formula(m, s, f), "half"),
}


@pytest.mark.parametrize("answer, code", DRAWS_WRONG.values(), ids=DRAWS_WRONG.keys())
def test_draws_mistakes(answer, code):
    assert check_draws_to_tell_apart(answer).codes == {code}


def test_draws_in_no_known_way():
    assert check_draws_to_tell_apart(lambda m, s, f: 1000 / f + m).codes == {"unknown"}
