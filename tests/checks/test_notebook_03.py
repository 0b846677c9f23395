"""The checks of notebook 3: right answers in several styles, and mistakes written as students write them."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from support import answers

from vae_helpers.checks.exercises.notebook_03 import (
    check_kl_of_equal_correlations,
    check_kl_of_uniform,
    check_prior_of_slip,
    check_split_kl,
)
from vae_helpers.numerics import gaussian

BITS = 1 / math.log(2)  # in a nat


def sign(answer):
    return lambda *arguments: -np.asarray(answer(*arguments))


def times(answer, factor):
    return lambda *arguments: factor * np.asarray(answer(*arguments))


# --- The KL of a uniform density -----------------------------------------------------------------


def uniform_by_quadrature(mu, std):
    q, p = stats.uniform(mu - math.sqrt(3) * std, math.sqrt(12) * std), stats.norm()
    return quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), *q.interval(1))[0]


def uniform_with_torch(mu, std):
    mu, std = torch.tensor(mu), torch.tensor(std)
    return 0.5 * (math.log(2 * math.pi) + std**2 + mu**2) - torch.log(math.sqrt(12) * std)


def uniform_from_the_gaussian(mu, std):
    return gaussian.kl_standard_normal([mu], [2 * math.log(std)]) + 0.5 * math.log(math.pi * math.e / 6)


UNIFORM_RIGHT = [uniform_by_quadrature, uniform_with_torch, uniform_from_the_gaussian]


def gaussian_formula(mu, std):
    return gaussian.kl_standard_normal([mu], [2 * np.log(std)])


def uniform_of_half_width_std(mu, std):
    q = stats.uniform(mu - std, 2 * std)
    return 0.5 * math.log(2 * math.pi) + 0.5 * q.moment(2) - q.entropy()


def uniform_of_width_std(mu, std):
    return 0.5 * math.log(2 * math.pi) + 0.5 * (mu**2 + std**2) - math.log(std)


def uniform_halves_added(mu, std):
    return 0.5 * math.log(2 * math.pi) + 0.5 * (mu**2 + std**2) + 0.5 * math.log(12 * std**2)


def uniform_no_two_pi(mu, std):
    return 0.5 * (mu**2 + std**2) - 0.5 * math.log(12 * std**2)


def uniform_no_mean(mu, std):
    return uniform_by_quadrature(0.0, std)


def uniform_with_std(mu, std):
    return uniform_by_quadrature(mu, std) + 0.5 * (std - std**2)


UNIFORM_WRONG = [
    (gaussian_formula, "term-wrong"),
    (uniform_of_half_width_std, "term-wrong"),
    (uniform_of_width_std, "term-wrong"),
    (uniform_halves_added, "term-sign"),
    (uniform_no_two_pi, "log-two-pi-missing"),
    (uniform_no_mean, "term-missing"),
    (uniform_with_std, "std-for-var"),
    (sign(uniform_by_quadrature), "sign"),
    (times(uniform_by_quadrature, 2), "half"),
    (times(uniform_by_quadrature, BITS), "scale"),
]

# --- The prior behind a slip ---------------------------------------------------------------------


def slip_in_words(factor):
    variance = 0.5 / factor
    return [variance, -0.5 * math.log(variance)]


def slip_where_q_is_the_prior(factor):
    prior = np.array(1 / (2 * factor))
    return np.array([prior, factor * prior - 0.5 * (1 + np.log(prior))])


SLIP_RIGHT = [slip_in_words, slip_where_q_is_the_prior]


def slip_upside_down(factor):
    return 2 * factor, 0.5 * math.log(2 * factor)


def slip_with_std(factor):
    return math.sqrt(0.5 / factor), 0.5 * math.log(2 * factor)


def slip_without_half(factor):
    return 1 / factor, 0.5 * math.log(factor)


def slip_constant_negative(factor):
    return 0.5 / factor, 0.5 * math.log(0.5 / factor)


def slip_constant_log(factor):
    return 0.5 / factor, math.log(2) + math.log(factor)


def slip_no_constant(factor):
    return 0.5 / factor, 0


SLIP_WRONG = [
    (slip_upside_down, "term-wrong"),
    (lambda factor: slip_in_words(factor)[::-1], "swapped"),
    (slip_with_std, "std-for-var"),
    (slip_without_half, "term-scale"),
    (slip_constant_negative, "term-sign"),
    (slip_constant_log, "term-scale"),
    (slip_no_constant, "constant"),
    (lambda factor: 0.5 / factor, "shape"),
]

# --- The KL of equally correlated coordinates ----------------------------------------------------


def correlations_by_determinant(dim, rho):
    matrix = [[1.0 if i == j else rho for j in range(dim)] for i in range(dim)]
    return -0.5 * np.linalg.slogdet(matrix)[1]


def correlations_with_torch(dim, rho):
    cov = torch.full((dim, dim), rho) + (1 - rho) * torch.eye(dim)
    q = torch.distributions.MultivariateNormal(torch.zeros(dim), cov)
    p = torch.distributions.MultivariateNormal(torch.zeros(dim), torch.eye(dim))
    return torch.distributions.kl_divergence(q, p)


CORRELATIONS_RIGHT = [correlations_by_determinant, correlations_with_torch]


def correlations_diagonal(dim, rho):
    return gaussian.kl_standard_normal(np.zeros(dim), np.zeros(dim))


def correlations_pairwise(dim, rho):
    return sum(-0.5 * math.log(1 - rho**2) for i in range(dim) for j in range(i))


def correlations_one_eigenvalue(dim, rho):
    return -0.5 * sum(math.log(1 - rho) for _ in range(dim - 1))


def correlations_too_many(dim, rho):
    return correlations_by_determinant(dim, rho) - 0.5 * math.log(1 - rho)


def correlations_wrong_eigenvalue(dim, rho):
    return -0.5 * math.log(abs((1 + dim * rho) * (1 - rho) ** (dim - 1)))


CORRELATIONS_WRONG = [
    (correlations_diagonal, "term-missing"),
    (correlations_pairwise, "term-wrong"),
    (correlations_one_eigenvalue, "term-missing"),
    (correlations_too_many, "term-scale"),
    (correlations_wrong_eigenvalue, "term-wrong"),
    (times(correlations_by_determinant, 2), "half"),
    (sign(correlations_by_determinant), "sign"),
]


def test_only_correlations_that_exist_are_asked_for():
    for dim, rho in check_kl_of_equal_correlations.cases:
        assert rho < 1 and (dim - 1) * rho > -1


# --- The average KL in two parts -----------------------------------------------------------------

Z = np.linspace(-12, 12, 4001)
DZ = Z[1] - Z[0]


def densities(mus, stds, z):
    q = stats.norm.pdf(z, np.reshape(mus, (-1, 1)), np.reshape(stds, (-1, 1)))
    return q, q.mean(axis=0), stats.norm.pdf(z)


def split_on_a_grid(mus, stds):
    q, bar, p = densities(mus, stds, Z)
    log_bar = np.log(bar + 1e-300)
    first = [np.sum(one * (np.log(one + 1e-300) - log_bar)) * DZ for one in q]
    return sum(first) / len(first), np.sum(bar * (log_bar - np.log(p))) * DZ


def split_by_subtraction(mus, stds):
    """The stretch: one integral, and the identity."""

    def log_bar(z):
        return np.logaddexp.reduce(stats.norm.logpdf(z, mus, stds)) - math.log(len(mus))

    marginal = quad(
        lambda z: math.exp(log_bar(z)) * (log_bar(z) - stats.norm.logpdf(z)), -12, 12, points=mus
    )[0]
    each = 0.5 * np.mean(stds**2 + mus**2 - 1 - 2 * np.log(stds))
    return each - marginal, marginal


def split_with_torch(mus, stds):
    z = torch.linspace(-12, 12, 8001, dtype=torch.float64)[:, None]
    log_q = torch.distributions.Normal(mus, stds).log_prob(z)
    log_bar = torch.logsumexp(log_q, 1) - math.log(len(mus))
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(z[:, 0])
    information = torch.trapezoid((log_q.exp() * (log_q - log_bar[:, None])).mean(1), z[:, 0])
    return torch.stack([information, torch.trapezoid(log_bar.exp() * (log_bar - log_p), z[:, 0])])


SPLIT_RIGHT = [split_on_a_grid, split_by_subtraction, split_with_torch]


def split_exchanged(mus, stds):
    return split_on_a_grid(mus, stds)[::-1]


def split_by_moments(mus, stds):
    mean, var = mus.mean(), (stds**2).mean() + mus.var()
    g = stats.norm(mean, np.sqrt(var))
    first = [
        gaussian.kl_diagonal([m], [2 * np.log(s)], [mean], [np.log(var)])
        for m, s in zip(mus, stds, strict=True)
    ]
    return np.mean(first), g.expect(lambda z: g.logpdf(z) - stats.norm.logpdf(z), lb=-12, ub=12)


def split_not_normalised(mus, stds):
    q, bar, p = densities(mus, stds, Z)
    log_sum = np.log(q.sum(axis=0) + 1e-300)
    first = np.mean([np.sum(one * (np.log(one + 1e-300) - log_sum)) * DZ for one in q])
    return first, np.sum(bar * (log_sum - np.log(p))) * DZ


def split_reversed(mus, stds):
    q, bar, p = densities(mus, stds, Z)
    log_q = stats.norm.logpdf(Z, np.reshape(mus, (-1, 1)), np.reshape(stds, (-1, 1)))
    first = np.mean([np.sum(bar * (np.log(bar + 1e-300) - one)) * DZ for one in log_q])
    return first, split_on_a_grid(mus, stds)[1]


def split_summed(mus, stds):
    first, second = split_on_a_grid(mus, stds)
    return first * mus.size, second


def split_each(mus, stds):
    return split_on_a_grid(mus, stds)[0], gaussian.kl_standard_normal(
        mus[:, None], 2 * np.log(stds[:, None])
    ).mean()


SPLIT_WRONG = [
    (split_exchanged, "swapped"),
    (split_by_moments, "term-wrong"),
    (split_not_normalised, "constant"),
    (lambda *case: (split_not_normalised(*case)[0], split_on_a_grid(*case)[1]), "constant"),
    (lambda *case: (split_on_a_grid(*case)[0], split_not_normalised(*case)[1]), "constant"),
    (split_reversed, "reverse"),
    (split_summed, "term-scale"),
    (split_each, "term-wrong"),
    (sign(split_on_a_grid), "sign"),
    (times(split_on_a_grid, BITS), "scale"),
]


def test_three_decimals_are_enough():
    assert check_split_kl(lambda mus, stds: np.round(split_on_a_grid(mus, stds), 3)).passed


# --- Of each exercise ----------------------------------------------------------------------------

EXERCISES = {
    "check_kl_of_uniform": (check_kl_of_uniform, UNIFORM_RIGHT, UNIFORM_WRONG),
    "check_prior_of_slip": (check_prior_of_slip, SLIP_RIGHT, SLIP_WRONG),
    "check_kl_of_equal_correlations": (
        check_kl_of_equal_correlations,
        CORRELATIONS_RIGHT,
        CORRELATIONS_WRONG,
    ),
    "check_split_kl": (check_split_kl, SPLIT_RIGHT, SPLIT_WRONG),
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


def test_what_the_reports_say():
    assert "At factor = ½ the prior is" in check_prior_of_slip(slip_without_half).message
    assert "in bits" in check_kl_of_uniform(times(uniform_by_quadrature, BITS)).message
    assert check_split_kl(split_summed).message.endswith("See notebook 3, section 1.")
    assert check_split_kl(split_reversed).message.endswith("See notebook 3, section 6.")


def test_two_numbers_that_fit_nothing_are_unknown():
    assert check_prior_of_slip(lambda factor: (factor + 1, 0.3)).codes == {"unknown"}
    assert check_split_kl(lambda mus, stds: (np.sin(mus.sum()), np.cos(stds.sum()))).codes == {"unknown"}


@pytest.mark.parametrize(
    ("check", "oracle"),
    [
        (check_kl_of_uniform, uniform_with_torch),
        (check_prior_of_slip, slip_in_words),
        (check_kl_of_equal_correlations, correlations_by_determinant),
        (check_split_kl, split_by_subtraction),
    ],
    ids=EXERCISES,
)
def test_references_agree_with_another_road(check, oracle):
    for case in check.cases:
        np.testing.assert_allclose(check.truth(*case), np.asarray(oracle(*case), float), rtol=0, atol=1e-6)
