"""The checks of notebook 4: right answers in several styles, and mistakes written as students write them."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from support import answers
from support.draws import assert_mean

from vae_helpers.checks.exercises.notebook_04 import (
    check_draws_needed,
    check_expected_z_score,
    check_pair_variances,
    check_variance_over_kl,
    check_z_score,
)
from vae_helpers.numerics import gaussian, monte_carlo


def one_variance(mu, std):
    return 0.5 * (std**2 - 1) ** 2 + (mu * std) ** 2


def one_kl(mu, std):
    return 0.5 * (std**2 + mu**2 - 1) - math.log(std)


def times(answer, factor):
    return lambda *arguments: factor * np.asarray(answer(*arguments))


# --- Draws for a given standard error ------------------------------------------------------------


def draws_by_loop(mu, std, error):
    total = 0.0
    for m, s in zip(mu.tolist(), std.tolist(), strict=True):
        total += one_variance(m, s)
    return math.ceil(total / error**2)


def draws_not_rounded(mu, std, error):
    return torch.sum(0.5 * (torch.square(std) - 1) ** 2 + (mu * std) ** 2) / error**2


def draws_of_tensors(mu, std, error):
    return draws_not_rounded(torch.tensor(mu), torch.tensor(std), error).item()


DRAWS_RIGHT = [draws_by_loop, lambda *case: math.ceil(draws_of_tensors(*case))]


def draws_one_square_root(mu, std, error):
    return math.sqrt(sum(map(one_variance, mu, std))) / error


def draws_error_not_squared(mu, std, error):
    return sum(map(one_variance, mu, std)) / error


def draws_from_kl(mu, std, error):
    return sum(map(one_kl, mu, std)) / error**2


def draws_of_relative_error(mu, std, error):
    return math.ceil(sum(map(one_variance, mu, std)) / (error * sum(map(one_kl, mu, std))) ** 2)


def draws_without_means(mu, std, error):
    return draws_by_loop(0 * mu, std, error)


def draws_mean_over_latents(mu, std, error):
    return draws_by_loop(mu, std, error) / mu.size


def draws_quadratic_doubled(mu, std, error):
    return (sum(map(one_variance, mu, std)) + 0.5 * np.sum((std**2 - 1) ** 2)) / error**2


DRAWS_WRONG = [
    (draws_one_square_root, "std-for-var"),
    (draws_error_not_squared, "term-wrong"),
    (lambda *case: math.ceil(draws_one_square_root(*case)), "std-for-var"),
    (lambda *case: math.ceil(draws_error_not_squared(*case)), "term-wrong"),
    (lambda *case: int(draws_error_not_squared(*case)), "term-wrong"),
    (draws_not_rounded, "term-missing"),
    (lambda *case: int(draws_of_tensors(*case)), "term-wrong"),
    (lambda *case: round(draws_of_tensors(*case)), "term-wrong"),
    (draws_from_kl, "term-wrong"),
    (draws_of_relative_error, "term-wrong"),
    (times(draws_of_relative_error, 16), "term-wrong"),
    (draws_without_means, "term-missing"),
    (draws_mean_over_latents, "mean-latent"),
    (draws_quadratic_doubled, "term-scale"),
    (times(draws_by_loop, 2), "half"),
    (times(draws_by_loop, 16), "scale"),
]


def test_how_the_number_of_draws_is_rounded_is_shown_at_a_place():
    message = check_draws_needed(lambda *case: int(draws_of_tensors(*case))).message
    assert "error = 0.27 your function gives 7; expected 8." in message


# --- One term too many ---------------------------------------------------------------------------


def z_by_parts(mu, std, n, repetitions):
    bias = gaussian.kl_standard_normal(mu, 2 * np.log(std)) / n
    spread = np.sqrt(sum(map(one_variance, mu, std)) * (n + 1)) / n
    return bias / (spread / np.sqrt(repetitions))


def z_with_torch(mu, std, n, repetitions):
    kl = (0.5 * (std**2 + mu**2 - 1) - torch.log(std)).sum()
    variance = (0.5 * (std**2 - 1) ** 2 + (mu * std) ** 2).sum()
    return kl * torch.sqrt(repetitions / ((n + 1) * variance))


ONE_TOO_MANY_RIGHT = [z_by_parts, z_with_torch]


def z_single(mu, std, n, repetitions):
    return z_by_parts(mu, std, n, 1)


def z_n_terms(mu, std, n, repetitions):
    kl, sd = sum(map(one_kl, mu, std)), math.sqrt(sum(map(one_variance, mu, std)))
    return (kl / n) / (sd / math.sqrt(n)) * math.sqrt(repetitions)


def z_whole_kl(mu, std, n, repetitions):
    return z_by_parts(mu, std, n, repetitions) * n


def z_variance(mu, std, n, repetitions):
    kl, variance = sum(map(one_kl, mu, std)), sum(map(one_variance, mu, std))
    return kl * math.sqrt(repetitions) / (variance * math.sqrt(n + 1))


def z_repetitions(mu, std, n, repetitions):
    return z_by_parts(mu, std, n, repetitions**2)


ONE_TOO_MANY_WRONG = [
    (z_single, "term-missing"),
    (z_n_terms, "term-wrong"),
    (z_whole_kl, "term-wrong"),
    (z_variance, "var-for-std"),
    (z_repetitions, "std-for-var"),
    (times(z_by_parts, -1), "sign"),
]

# --- Your own Monte Carlo check ------------------------------------------------------------------


def check_with_scipy(value, mu_q, log_var_q, mu_p, log_var_p, eps, order=1, ddof=1):
    std_q, std_p = np.exp(0.5 * log_var_q), np.sqrt(np.exp(log_var_p))
    z = mu_q + std_q * eps
    w = (stats.norm(mu_q, std_q).logpdf(z) - stats.norm(mu_p, std_p).logpdf(z)).sum(axis=1)
    return (order * w.mean() - value) / np.sqrt(w.var(ddof=ddof) / len(w))


def check_with_torch(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    q = torch.distributions.Normal(mu_q, torch.exp(0.5 * log_var_q))
    p = torch.distributions.Normal(mu_p, torch.exp(0.5 * log_var_p))
    z = q.loc + q.scale * eps
    w = (q.log_prob(z) - p.log_prob(z)).sum(-1)
    return (w.mean() - value) / (w.std() / math.sqrt(len(w)))


def check_by_loop(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    total = []
    for row in eps:
        z = [m + math.exp(v / 2) * e for m, v, e in zip(mu_q, log_var_q, row, strict=True)]
        total.append(float(gaussian.log_prob(z, mu_q, log_var_q) - gaussian.log_prob(z, mu_p, log_var_p)))
    found = monte_carlo.estimate(total)
    return (found.mean - value) / found.standard_error


Z_SCORE_RIGHT = [
    check_with_scipy,
    lambda *case: check_with_scipy(*case, ddof=0),
    check_with_torch,
    check_by_loop,
]


def check_exchanged(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    return check_with_scipy(value, mu_p, log_var_p, mu_q, log_var_q, eps)


def check_draws_from_p(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    z = mu_p + np.exp(log_var_p / 2) * eps
    w = gaussian.log_prob(z, mu_q, log_var_q) - gaussian.log_prob(z, mu_p, log_var_p)
    return (w.mean() - value) / monte_carlo.estimate(w).standard_error


def check_wrong_order(*case):
    return check_with_scipy(*case, order=-1)


def check_absolute(*case):
    return abs(check_with_scipy(*case))


def check_without_root_n(*case):
    return check_with_scipy(*case) / math.sqrt(len(case[-1]))


def check_with_n(*case):
    return check_with_scipy(*case) * math.sqrt(len(case[-1]))


def check_with_variance_as_std(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    z = mu_q + np.exp(log_var_q) * eps
    w = gaussian.log_prob(z, mu_q, log_var_q) - gaussian.log_prob(z, mu_p, log_var_p)
    return (w.mean() - value) / monte_carlo.estimate(w).standard_error


def check_mean_over_coordinates(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    return check_with_scipy(value * eps.shape[1], mu_q, log_var_q, mu_p, log_var_p, eps)


def check_difference_alone(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    z = mu_q + np.exp(log_var_q / 2) * eps
    return np.mean(gaussian.log_prob(z, mu_q, log_var_q) - gaussian.log_prob(z, mu_p, log_var_p)) - value


def check_draws_by_log_var(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    z = mu_q + log_var_q * eps
    w = gaussian.log_prob(z, mu_q, log_var_q) - gaussian.log_prob(z, mu_p, log_var_p)
    return (w.mean() - value) / monte_carlo.estimate(w).standard_error


def check_log_var_as_std(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    z = mu_q + log_var_q * eps  # logpdf gives NaN for a negative scale
    w = (stats.norm.logpdf(z, mu_q, log_var_q) - stats.norm.logpdf(z, mu_p, log_var_p)).sum(axis=1)
    return (w.mean() - value) / stats.sem(w)


def check_log_var_as_std_in_torch(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    q, p = torch.distributions.Normal(mu_q, log_var_q), torch.distributions.Normal(mu_p, log_var_p)
    z = q.loc + q.scale * eps
    w = (q.log_prob(z) - p.log_prob(z)).sum(1)
    return (w.mean() - value) / (w.std() / len(w) ** 0.5)


def check_log_var_as_variance(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    return check_log_var_as_std(value, mu_q, np.sqrt(log_var_q), mu_p, np.sqrt(log_var_p), eps)


def check_fresh_noise(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    fresh = np.random.default_rng().standard_normal(eps.shape)
    return check_with_scipy(value, mu_q, log_var_q, mu_p, log_var_p, fresh)


def check_same_fresh_noise(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    rng = np.random.default_rng(7)
    return check_with_scipy(value, mu_q, log_var_q, mu_p, log_var_p, rng.normal(size=(1000, mu_q.size)))


def check_fresh_noise_in_torch(value, mu_q, log_var_q, mu_p, log_var_p, eps):
    q = torch.distributions.Normal(mu_q, torch.exp(0.5 * log_var_q))
    p = torch.distributions.Normal(mu_p, torch.exp(0.5 * log_var_p))
    z = q.sample((eps.shape[0],))
    w = (q.log_prob(z) - p.log_prob(z)).sum(-1)
    return (w.mean() - value) / (w.std() / math.sqrt(len(w)))


Z_SCORE_WRONG = [
    (check_exchanged, "reverse"),
    (check_draws_from_p, "reverse"),
    (check_wrong_order, "term-sign"),
    (check_absolute, "sign"),
    (times(check_with_scipy, -1), "sign"),
    (check_without_root_n, "term-missing"),
    (check_with_n, "std-for-var"),
    (check_with_variance_as_std, "var-for-std"),
    (check_mean_over_coordinates, "mean-latent"),
    (check_difference_alone, "term-missing"),
    (check_draws_by_log_var, "log-std"),
    (check_log_var_as_std, "log-std"),
    (check_log_var_as_std_in_torch, "log-std"),
    (check_log_var_as_variance, "log-std"),
    (check_fresh_noise, "noise-missing"),
    (check_same_fresh_noise, "noise-missing"),
    (check_fresh_noise_in_torch, "noise-missing"),
]


def test_noise_that_is_used_wrongly_is_not_called_fresh():
    def half_of_it(value, mu_q, log_var_q, mu_p, log_var_p, eps):
        return check_with_scipy(value, mu_q, log_var_q, mu_p, log_var_p, eps[::2])

    assert check_z_score(half_of_it).codes == {"unknown"}
    assert check_z_score(lambda value, *case: value + 1).codes == {"unknown"}


# --- Spread against divergence -------------------------------------------------------------------


def ratio_with_helper(mu, log_var):
    std = math.exp(log_var / 2)
    return one_variance(mu, std) / gaussian.kl_standard_normal([mu], [log_var]).item()


def ratio_with_expm1(mu, log_var):
    """Loses half of the digits, which is still enough."""
    v = np.float64(log_var)
    return (0.5 * np.expm1(v) ** 2 + mu**2 * np.exp(v)) / (0.5 * (np.expm1(v) - v + mu**2))


def ratio_with_torch(mu, log_var):
    mu, v = torch.tensor(mu, dtype=torch.float64), torch.tensor(log_var, dtype=torch.float64)
    series = sum(v**k / float(math.factorial(k)) for k in range(2, 25))
    return (torch.expm1(v) ** 2 / 2 + mu**2 * v.exp()) / (0.5 * (mu**2 + series))


RATIO_RIGHT = [ratio_with_helper, ratio_with_expm1, ratio_with_torch]


def ratio_naive(mu, log_var):
    var = np.exp(np.float64(log_var))
    return (0.5 * (var - 1) ** 2 + mu**2 * var) / (0.5 * (var + mu**2 - 1 - log_var))


def ratio_naive_in_pure_python(mu, log_var):
    var = math.exp(log_var)
    return (0.5 * (var - 1) ** 2 + mu**2 * var) / (0.5 * (var + mu**2 - 1 - log_var))  # 0 / 0 in one case


def ratio_log_std(mu, log_var):
    return one_variance(mu, math.exp(log_var)) / one_kl(mu, math.exp(log_var))


def ratio_of_std(mu, log_var):
    std = math.exp(log_var / 2)
    return math.sqrt(one_variance(mu, std)) / one_kl(mu, std)


def ratio_upside_down(mu, log_var):
    return 1 / ratio_with_helper(mu, log_var)


def ratio_slope_mu(mu, log_var):
    return (0.5 * math.expm1(log_var) ** 2 + mu**2) / one_kl(mu, math.exp(log_var / 2))


RATIO_WRONG = [
    (ratio_naive, "unstable"),
    (ratio_naive_in_pure_python, "unstable"),
    (ratio_log_std, "log-std"),
    (ratio_of_std, "std-for-var"),
    (ratio_upside_down, "swapped"),
    (ratio_slope_mu, "term-missing"),
    (times(ratio_with_helper, 0.5), "scale"),
    (times(ratio_with_helper, 2), "half"),
]


def test_the_lost_digits_are_shown_at_a_place():
    message = check_variance_over_kl(ratio_naive).message
    assert message.startswith("For mu = ") and "notebook 3, Deeper" in message


# --- Antithetic pairs ----------------------------------------------------------------------------


def pairs_by_loop(mu, std):
    quadratic = sum(0.5 * (s**2 - 1) ** 2 for s in std)
    linear = sum(m**2 * s**2 for m, s in zip(mu, std, strict=True))
    return [quadratic, 0.5 * (quadratic + linear)]


def pairs_with_torch(mu, std):
    quadratic = 0.5 * ((std**2 - 1) ** 2).sum()
    return torch.stack([quadratic, (quadratic + ((mu * std) ** 2).sum()) / 2])


PAIRS_RIGHT = [pairs_by_loop, pairs_with_torch]


def pairs_halved(mu, std):
    one, two = pairs_by_loop(mu, std)
    return one / 2, two


def pairs_single(mu, std):
    one, two = pairs_by_loop(mu, std)
    return one, 2 * two


def pairs_as_independent(mu, std):
    return [pairs_by_loop(mu, std)[1]] * 2


def pairs_linear_kept(mu, std):
    return np.sum((mu * std) ** 2), pairs_by_loop(mu, std)[1]


def pairs_std(mu, std):
    return np.sqrt(pairs_by_loop(mu, std))


def pairs_mean(mu, std):
    return np.array(pairs_by_loop(mu, std)) / mu.size


def pairs_exchanged(mu, std):
    return pairs_by_loop(mu, std)[::-1]


PAIRS_WRONG = [
    (pairs_halved, "term-scale"),
    (pairs_single, "term-scale"),
    (pairs_as_independent, "term-missing"),
    (pairs_linear_kept, "term-wrong"),
    (pairs_std, "std-for-var"),
    (pairs_mean, "mean-latent"),
    (pairs_exchanged, "swapped"),
    (times(pairs_by_loop, -1), "sign"),
]


PAIRS_DRAWN = 200_000


@pytest.mark.parametrize("paired", [True, False])
def test_reference_of_pairs_agrees_with_draws(paired):
    mu, std = check_pair_variances.cases[1]
    eps = np.random.default_rng(0).standard_normal((2, PAIRS_DRAWN, 2))
    eps[1] = -eps[0] if paired else eps[1]
    z = mu + std * eps
    w = (stats.norm.logpdf(z, mu, std) - stats.norm.logpdf(z)).sum(-1).mean(0)
    exact = check_pair_variances.truth(mu, std)[not paired]
    assert_mean((w - w.mean()) ** 2, exact, sees=0.06 * exact)


# --- Of each exercise ----------------------------------------------------------------------------

EXERCISES = {
    "check_draws_needed": (check_draws_needed, DRAWS_RIGHT, DRAWS_WRONG),
    "check_expected_z_score": (check_expected_z_score, ONE_TOO_MANY_RIGHT, ONE_TOO_MANY_WRONG),
    "check_z_score": (check_z_score, Z_SCORE_RIGHT, Z_SCORE_WRONG),
    "check_variance_over_kl": (check_variance_over_kl, RATIO_RIGHT, RATIO_WRONG),
    "check_pair_variances": (check_pair_variances, PAIRS_RIGHT, PAIRS_WRONG),
}


@pytest.mark.parametrize(("check", "answer"), answers.right(EXERCISES))
def test_right_answers_pass(check, answer):
    found = check(answer)
    assert found.passed, found


@pytest.mark.parametrize(("check", "answer", "code"), answers.wrong(EXERCISES))
def test_mistakes_are_named(check, answer, code):
    found = check(answer)
    assert found.codes == {code}, found
    assert found.message


def test_no_constant_passes():
    for check, _, _ in EXERCISES.values():
        for value in (0.0, 2.0, (0.0, 0.0)):
            assert not check(lambda *arguments, v=value: v).passed


def test_references_agree_with_closed_forms():
    oracles = [draws_by_loop, z_by_parts, check_by_loop, ratio_with_torch, pairs_by_loop]
    for (check, _, _), oracle in zip(EXERCISES.values(), oracles, strict=True):
        for case in check.cases:
            np.testing.assert_allclose(
                check.truth(*case), np.asarray(oracle(*case), float), rtol=1e-6, atol=1e-9
            )
    for case in check_variance_over_kl.extremes.cases:
        np.testing.assert_allclose(check_variance_over_kl.truth(*case), ratio_with_torch(*case), rtol=1e-6)
