"""The exact importance-weighted bound against closed forms, sums over pairs, and simulation."""

import numpy as np
import pytest
from scipy import special, stats

from vae_helpers.numerics.importance import importance_gap

# (mean, std, post_mean, post_std): the posterior itself, q wide, narrow, beside, and at the ends of the range
CASES = [
    (0.0, 1.0, 0.0, 1.0),
    (1.0, 0.9, 1.0, 0.45),
    (1.0, 0.13, 1.0, 0.45),
    (1.57, 0.45, 1.0, 0.45),
    (0.3, 0.8, 1.0, 0.447),
    (0.0, 0.2, 0.0, 1.0),
    (0.0, 5.0, 0.0, 1.0),
    (10.0, 5.0, 0.0, 1.0),
    (-2.0, 0.2, 0.0, 1.0),
]


def log_ratio(z, mean, std, post_mean, post_std):
    return stats.norm.logpdf(z, post_mean, post_std) - stats.norm.logpdf(z, mean, std)


@pytest.mark.parametrize("case", CASES)
def test_one_draw_misses_the_kl(case):
    mean, std, post_mean, post_std = case
    square = (std**2 + (mean - post_mean) ** 2) / post_std**2
    kl = 0.5 * (square - 1) - np.log(std / post_std)
    np.testing.assert_allclose(importance_gap(mean, std, [1], post_mean, post_std), [kl], rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_two_draws_by_a_sum_over_pairs(case):
    u = np.linspace(-12, 12, 1201)
    weight = stats.norm.pdf(u) * (u[1] - u[0])
    log_r = log_ratio(case[0] + case[1] * u, *case)
    wanted = weight @ (np.logaddexp(log_r[:, None], log_r) - np.log(2)) @ weight
    mean, std, post_mean, post_std = case
    np.testing.assert_allclose(importance_gap(mean, std, [2], post_mean, post_std), [-wanted], atol=1e-8)


@pytest.mark.parametrize("k", [10, 300])
@pytest.mark.parametrize("case", CASES[1:6])
def test_many_draws_by_simulation(case, k):
    mean, std, post_mean, post_std = case
    z = np.random.default_rng(k).normal(mean, std, size=(k, 400_000 // k))
    found = special.logsumexp(log_ratio(z, *case), axis=0, b=1 / k)
    error = found.std() / np.sqrt(len(found))
    assert error < 0.05
    assert abs(importance_gap(mean, std, [k], post_mean, post_std)[0] + found.mean()) < 4 * error


def test_for_many_draws_it_is_half_the_variance_over_k():
    # E[(posterior / q)²] for q = N(0, s²) and the posterior N(0, 1): s² / √(2 s² - 1).
    s, k = 2.0, 10**6
    variance = s**2 / np.sqrt(2 * s**2 - 1) - 1
    np.testing.assert_allclose(k * importance_gap(0, s, [k]), [variance / 2], rtol=1e-4)


def test_it_falls_with_k_and_is_never_negative():
    found = importance_gap(0.5, 0.6, [1, 2, 3, 10, 100, 5000])
    assert (np.diff(found) < 0).all() and (found > 0).all()


def test_the_posterior_itself_misses_nothing():
    np.testing.assert_allclose(importance_gap(3.0, 0.2, [1, 7, 5000], 3.0, 0.2), 0, atol=1e-11)


def test_units_and_origin_do_not_matter():
    one = importance_gap(1.0, 0.5, [1, 20], 0.4, 0.9)
    other = importance_gap(-7 + 30 * 1.0, 30 * 0.5, [1, 20], -7 + 30 * 0.4, 30 * 0.9)
    np.testing.assert_allclose(one, other, atol=1e-11)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0.0, 0.1, [1]), r"std: expected a fifth to five times that of the posterior, 1, got 0\.1"),
        ((0.0, 5.1, [1]), r"std: expected a fifth to five times .* got 5\.1"),
        ((0.0, 0.0, [1]), r"std: expected a number above 0, got 0"),
        ((0.0, 1.0, [1], 0.0, -1.0), r"post_std: expected a number above 0, got -1"),
        ((11.0, 1.0, [1]), r"mean: expected at most 10 standard deviations of the posterior, 1, .* got 11"),
        ((0.0, 1.0, []), r"counts: expected at least one number of draws, got none"),
        ((0.0, 1.0, [0]), r"counts: expected at least 1, got 0"),
    ],
)
def test_what_it_cannot_do_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        importance_gap(*arguments)
