"""The checks of notebook 5's exercises: right answers in several styles, and students' mistakes."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from vae_helpers.checks.exercises import notebook_05
from vae_helpers.checks.exercises.notebook_05 import (
    check_best_baseline,
    check_path_gradient,
    check_score_estimate,
    check_slopes_at_a_jump,
)

CHECKS = [check_best_baseline, check_score_estimate, check_slopes_at_a_jump, check_path_gradient]
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
LOGIT, STEP = 0.4, 1e-4


def times(answer, factor):
    return lambda *arguments: factor * np.asarray(answer(*arguments))


# --- The best baseline ----------------------------------------------------------------------------


def variance_with(c, A, B, C, std):
    grads = (A + B * NODES + C * NODES**2 - c) * NODES / std
    return WEIGHTS @ grads**2 - (WEIGHTS @ grads) ** 2


def baseline_by_search(A, B, C, std):
    found = minimize_scalar(lambda c: variance_with(c, A, B, C, std), bracket=(A - 1, A + 1), tol=1e-12)
    return found.x, found.fun


def baseline_by_formula(A, B, C, std):
    return np.array([A + 3 * C, 2 * B * B / std**2 + 6 * C * C / std**2])


RIGHT_BASELINES = [(check_best_baseline, baseline_by_search), (check_best_baseline, baseline_by_formula)]


def baseline_of_mean(A, B, C, std):
    return A + C, variance_with(A + C, A, B, C, std)


def baseline_at_mean(A, B, C, std):
    return A, variance_with(A, A, B, C, std)


def baseline_sign(A, B, C, std):
    return A - 3 * C, variance_with(A - 3 * C, A, B, C, std)


def baseline_mean_square(A, B, C, std):
    c, variance = baseline_by_formula(A, B, C, std)
    return c, variance + (B / std) ** 2


def baseline_no_std(A, B, C, std):
    return A + 3 * C, variance_with(A + 3 * C, A, B, C, 1.0)


def baseline_one_std(A, B, C, std):
    return A + 3 * C, variance_with(A + 3 * C, A, B, C, math.sqrt(std))


def baseline_old_variance(A, B, C, std):
    return A + 3 * C, (2 * B**2 + 15 * C**2) / std**2


def baseline_variance_at(c):
    return lambda A, B, C, std: (A + 3 * C, variance_with(c(A, C), A, B, C, std))


def baseline_not_yet(A, B, C, std):
    return -3 * C, baseline_by_formula(A, B, C, std)[1]


def baseline_with_root(A, B, C, std):
    c, variance = baseline_by_formula(A, B, C, std)
    return c, math.sqrt(variance)


def baseline_exchanged(A, B, C, std):
    return baseline_by_formula(A, B, C, std)[::-1]


WRONG_BASELINES = [
    (check_best_baseline, baseline_of_mean, "term-scale"),
    (check_best_baseline, baseline_at_mean, "term-missing"),
    (check_best_baseline, baseline_sign, "term-sign"),
    (check_best_baseline, baseline_mean_square, "term-missing"),
    (check_best_baseline, baseline_no_std, "term-missing"),
    (check_best_baseline, baseline_one_std, "std-for-var"),
    (check_best_baseline, baseline_old_variance, "term-wrong"),
    (check_best_baseline, baseline_variance_at(lambda A, C: 0.0), "term-wrong"),
    (check_best_baseline, baseline_variance_at(lambda A, C: A + C), "term-wrong"),
    (check_best_baseline, baseline_exchanged, "swapped"),
    (check_best_baseline, baseline_not_yet, "term-missing"),
    (check_best_baseline, baseline_with_root, "std-for-var"),
    (check_best_baseline, lambda A, B, C, std: A + 3 * C, "shape"),
    (check_best_baseline, times(baseline_by_formula, -1), "sign"),
]


# --- The score function of a discrete latent ------------------------------------------------------


def score_with_branches(z, f_z, a):
    pi = 1 / (1 + math.exp(-a))
    return f_z * (1 - pi) if z == 1 else -f_z * pi


def score_with_autograd(z, f_z, a):
    logit = torch.tensor(a, requires_grad=True)
    log_q = torch.distributions.Bernoulli(logits=logit).log_prob(torch.tensor(float(z)))
    return f_z * torch.autograd.grad(log_q, logit)[0]


RIGHT_SCORES = [(check_score_estimate, score_with_branches), (check_score_estimate, score_with_autograd)]


def score_by_probability(z, f_z, a):
    pi = 1 / (1 + math.exp(-a))
    return f_z / pi if z else -f_z / (1 - pi)


def score_of_logit(z, f_z, a):
    return f_z * (z - a)


def score_only_ones(z, f_z, a):
    return f_z * z / (1 + math.exp(a))


def score_flipped(z, f_z, a):
    return f_z * (z - 1 / (1 + math.exp(a)))


def score_without_f(z, f_z, a):
    return z - 1 / (1 + math.exp(-a))


def score_of_z_alone(z, f_z, a):
    return f_z * z


def score_for_both_draws(z, f_z, a):
    return f_z / (1 + math.exp(-a)) / (1 + math.exp(a))


def score_of_density(z, f_z, a):
    pi = torch.tensor(a, requires_grad=True)
    density = torch.sigmoid(pi) if z else 1 - torch.sigmoid(pi)
    return f_z * torch.autograd.grad(density, pi)[0]


def score_of_log_q(z, f_z, a):
    return f_z * stats.bernoulli(1 / (1 + math.exp(-a))).logpmf(z)


WRONG_SCORES = [
    (check_score_estimate, score_by_probability, "term-wrong"),
    (check_score_estimate, score_of_logit, "probabilities-not-logits"),
    (check_score_estimate, score_only_ones, "term-missing"),
    (check_score_estimate, score_flipped, "term-sign"),
    (check_score_estimate, score_without_f, "term-missing"),
    (check_score_estimate, score_of_density, "term-wrong"),
    (check_score_estimate, score_of_log_q, "term-wrong"),
    (check_score_estimate, score_of_z_alone, "term-missing"),
    (check_score_estimate, score_for_both_draws, "term-missing"),
    (check_score_estimate, lambda z, f_z, a: 0.0, "not-differentiable"),
    (check_score_estimate, times(score_with_branches, -1), "sign"),
    (check_score_estimate, times(score_with_branches, 2), "half"),
]


def test_the_score_estimate_is_unbiased():
    f = {0: -3.0, 1: -1.2}

    def mean(a):
        return (f[0] + f[1] * math.exp(a)) / (1 + math.exp(a))

    q = {0: 1 / (1 + math.exp(LOGIT)), 1: 1 / (1 + math.exp(-LOGIT))}
    by_score = sum(q[z] * check_score_estimate.truth(z, f[z], LOGIT) for z in (0, 1))
    assert abs(by_score - (mean(LOGIT + STEP) - mean(LOGIT - STEP)) / (2 * STEP)) < 1e-7


# --- A jump in f ----------------------------------------------------------------------------------


def slopes_with_scipy(mu, std, c, h):
    return 2 * mu, 2 * mu + h * stats.norm.pdf(c, mu, std)


def slopes_with_torch(mu, std, c, h):
    """The slope of E[f] by the gradient of the distribution function."""
    mean = torch.tensor(mu, dtype=torch.float64, requires_grad=True)
    above = 1 - torch.distributions.Normal(mean, std).cdf(torch.tensor(c, dtype=torch.float64))
    return np.array([2 * mu, torch.autograd.grad(mean**2 + std**2 + h * above, mean)[0].item()])


def slopes_by_score(mu, std, c, h):
    """The slope of E[f] by the score function, integrated on either side of the jump."""

    def part(low, high, jump):
        def integrand(z):
            return stats.norm.pdf(z, mu, std) * (z**2 + jump) * (z - mu) / std**2

        return quad(integrand, low, high, epsabs=1e-12)[0]

    return 2 * mu, part(mu - 12 * std, c, 0.0) + part(c, mu + 12 * std, h)


RIGHT_SLOPES = [
    (check_slopes_at_a_jump, slopes_with_scipy),
    (check_slopes_at_a_jump, slopes_with_torch),
    (check_slopes_at_a_jump, slopes_by_score),
]


def slopes_taken_for_equal(mu, std, c, h):
    exact = slopes_with_scipy(mu, std, c, h)[1]
    return exact, exact


def slopes_without_the_jump(mu, std, c, h):
    return 2 * mu, 2 * mu


def slopes_exchanged(*case):
    return slopes_with_scipy(*case)[::-1]


def slopes_with_a_sign(mu, std, c, h):
    return 2 * mu, 2 * mu - h * stats.norm.pdf(c, mu, std)


def slopes_with_the_probability(mu, std, c, h):
    return 2 * mu, 2 * mu + h * stats.norm.sf(c, mu, std)


def slopes_without_the_inner_derivative(mu, std, c, h):
    return 2 * mu, 2 * mu + h * stats.norm.pdf((c - mu) / std)


def slopes_with_the_variance(mu, std, c, h):
    return 2 * mu, 2 * mu + h * stats.norm.pdf(c, mu, std**2)


def slopes_without_the_mean(mu, std, c, h):
    return 2 * mu, 2 * mu + h * stats.norm.pdf(c, scale=std)


def slopes_with_the_standard_normal(mu, std, c, h):
    return 2 * mu, 2 * mu + h * stats.norm.pdf(c)


def slopes_without_the_height(mu, std, c, h):
    return 2 * mu, 2 * mu + stats.norm.pdf(c, mu, std)


def slopes_of_the_jump_alone(mu, std, c, h):
    return 0.0, h * stats.norm.pdf(c, mu, std)


def slopes_without_the_two(mu, std, c, h):
    return mu, mu + h * stats.norm.pdf(c, mu, std)


WRONG_SLOPES = [
    (check_slopes_at_a_jump, slopes_taken_for_equal, "term-wrong"),
    (check_slopes_at_a_jump, slopes_without_the_jump, "term-missing"),
    (check_slopes_at_a_jump, slopes_exchanged, "swapped"),
    (check_slopes_at_a_jump, slopes_with_a_sign, "term-sign"),
    (check_slopes_at_a_jump, slopes_with_the_probability, "term-wrong"),
    (check_slopes_at_a_jump, slopes_without_the_inner_derivative, "term-missing"),
    (check_slopes_at_a_jump, slopes_with_the_variance, "var-for-std"),
    (check_slopes_at_a_jump, slopes_without_the_mean, "term-missing"),
    (check_slopes_at_a_jump, slopes_with_the_standard_normal, "term-wrong"),
    (check_slopes_at_a_jump, slopes_without_the_height, "term-missing"),
    (check_slopes_at_a_jump, slopes_of_the_jump_alone, "term-missing"),
    (check_slopes_at_a_jump, slopes_without_the_two, "term-scale"),
    (check_slopes_at_a_jump, times(slopes_with_scipy, -1), "sign"),
    (check_slopes_at_a_jump, times(slopes_with_scipy, 2), "half"),
    (check_slopes_at_a_jump, lambda mu, std, c, h: 2 * mu, "shape"),
]


# --- A full covariance ----------------------------------------------------------------------------


def path_by_loops(x, W, b, s, m, L, eps):
    d = len(m)
    z = [m[i] + sum(L[i][j] * eps[j] for j in range(i + 1)) for i in range(d)]
    out = np.zeros((d, d))
    for n in range(len(x)):
        residual = x[n] - b - sum(W[n][i] * z[i] for i in range(d))
        for i in range(d):
            for j in range(i + 1):
                out[i, j] += residual * W[n][i] * eps[j] / s**2
    return out


def path_with_autograd(x, W, b, s, m, L, eps):
    L = L.clone().requires_grad_()
    z = m + torch.tril(L) @ eps
    torch.distributions.Normal(W @ z + b, s).log_prob(x).sum().backward()
    return L.grad


def path_with_in_place_autograd(x, W, b, s, m, L, eps):
    L.requires_grad_()
    f = -((x - W @ (m + L @ eps) - b) ** 2).sum() / (2 * s**2)
    (grad,) = torch.autograd.grad(f, L)
    return grad.tril()


RIGHT_PATHS = [
    (check_path_gradient, path_by_loops),
    (check_path_gradient, path_with_autograd),
    (check_path_gradient, path_with_in_place_autograd),
]


def outer(x, W, b, s, m, L, eps, z=None):
    z = m + L @ eps if z is None else z
    return np.einsum("i,j->ij", W.T @ (x - W @ z - b) / s**2, eps)


def path_whole_matrix(*case):
    return outer(*case)


def path_with_autograd_of_all(x, W, b, s, m, L, eps):
    L = torch.tensor(np.asarray(L), requires_grad=True)
    x, W, m, eps = (torch.tensor(np.asarray(t)) for t in (x, W, m, eps))
    torch.distributions.Normal(W @ (m + L @ eps) + b, s).log_prob(x).sum().backward()
    return L.grad


def path_transposed(*case):
    return np.tril(outer(*case).T)


def path_diagonal(*case):
    return np.diag(np.diag(outer(*case)))


def path_at_mean(*case):
    return np.tril(outer(*case, z=case[4]))


def path_whole_and_transposed(*case):
    return outer(*case).T


def path_without_last_noise(x, W, b, s, m, L, eps):
    return np.tril(outer(x, W, b, s, m, L, np.ones_like(eps), z=m + L @ eps))


def path_by_the_transpose(x, W, b, s, m, L, eps):
    return np.tril(outer(x, W, b, s, m, L, eps, z=m + L.T @ eps))


def path_without_bias(x, W, b, s, m, L, eps):
    return path_by_loops(x, W, 0, s, m, L, eps)


def path_one_s(*case):
    return path_by_loops(*case) * case[3]


def path_no_s(*case):
    return path_by_loops(*case) * case[3] ** 2


WRONG_PATHS = [
    (check_path_gradient, path_whole_matrix, "term-wrong"),
    (check_path_gradient, path_with_autograd_of_all, "term-wrong"),
    (check_path_gradient, path_transposed, "swapped"),
    (check_path_gradient, path_diagonal, "term-missing"),
    (check_path_gradient, path_at_mean, "noise-missing"),
    (check_path_gradient, path_without_bias, "term-missing"),
    (check_path_gradient, path_one_s, "std-for-var"),
    (check_path_gradient, path_no_s, "term-missing"),
    (check_path_gradient, path_whole_and_transposed, "swapped"),
    (check_path_gradient, path_without_last_noise, "noise-missing"),
    (check_path_gradient, path_by_the_transpose, "swapped"),
    (check_path_gradient, times(path_by_loops, -1), "sign"),
    (check_path_gradient, times(path_by_loops, 2), "half"),
    (check_path_gradient, lambda *case: outer(*case)[0], "shape"),
]


# --- All of them ----------------------------------------------------------------------------------


def name_of(value):
    """An exercise's own, for a test's id; None leaves the id of anything else as it is."""
    return next((name for name, each in vars(notebook_05).items() if each is value), None)


@pytest.mark.parametrize(
    ("check", "answer"), [*RIGHT_BASELINES, *RIGHT_SCORES, *RIGHT_SLOPES, *RIGHT_PATHS], ids=name_of
)
def test_right_answers_pass(check, answer):
    found = check(answer)
    assert found.passed, found


@pytest.mark.parametrize(
    ("check", "answer", "code"), [*WRONG_BASELINES, *WRONG_SCORES, *WRONG_SLOPES, *WRONG_PATHS], ids=name_of
)
def test_mistakes_are_named(check, answer, code):
    found = check(answer)
    assert found.codes == {code}, found
    assert found.message


def test_two_numbers_that_fit_nothing_are_unknown():
    assert check_best_baseline(lambda A, B, C, std: (A * B, C + std)).codes == {"unknown"}
    assert check_slopes_at_a_jump(lambda mu, std, c, h: (c, 1 + h)).codes == {"unknown"}
    assert check_path_gradient(lambda *case: np.cos(case[5])).codes == {"unknown"}


def test_no_constant_passes():
    for check in CHECKS:
        for value in (0.0, 1.0, (0.0, 0.0)):
            assert not check(lambda *arguments, v=value: v).passed


def test_references_agree_with_another_road():
    oracles = [baseline_by_search, score_with_autograd, slopes_by_score, path_by_loops]
    for check, oracle in zip(CHECKS, oracles, strict=True):
        for case in check.cases:
            np.testing.assert_allclose(
                check.truth(*case), np.asarray(oracle(*case), float), rtol=1e-6, atol=2e-6
            )
