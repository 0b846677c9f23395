"""The checks of notebook 8: right answers in several styles, and mistakes written as students write them."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from vae_helpers.checks.exercises.notebook_08 import (
    check_approximation_gap,
    check_effective_draws,
    check_evidence_and_doubt,
    check_grouped_bound,
    check_safe_bound,
)

# --- The bound from groups of draws ------------------------------------------------------------


def grouped(w, k):
    groups = w.reshape(len(w) // k, k, -1)
    return (torch.logsumexp(groups, dim=1) - math.log(k)).mean(dim=0)


def grouped_by_loop(w, k):
    found = []
    for column in np.asarray(w).T:
        bounds = []
        for start in range(0, len(column), k):
            group = column[start : start + k]
            top = group.max()
            bounds.append(top + math.log(sum(math.exp(v - top) for v in group) / k))
        found.append(sum(bounds) / len(bounds))
    return found


def grouped_by_numpy(w, k):
    return np.mean([np.logaddexp.reduce(part, axis=0) for part in np.split(w, len(w) // k)], axis=0) - np.log(
        k
    )


@pytest.mark.parametrize(
    "fn", [grouped, grouped_by_loop, grouped_by_numpy, lambda w, k: grouped(w, k).reshape(1, -1)]
)
def test_right_groups_pass(fn):
    assert check_grouped_bound(fn).passed


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda w, k: torch.logsumexp(w.reshape(-1, k, w.shape[1]), dim=1).mean(dim=0), "term-missing"),
        (lambda w, k: grouped(w, k) + math.log(k) - math.log(len(w)), "term-wrong"),
        (lambda w, k: w.mean(dim=0), "term-wrong"),
        (lambda w, k: torch.logsumexp(w, dim=0) - math.log(len(w)), "term-wrong"),
        (lambda w, k: torch.logsumexp(w[:k], dim=0) - math.log(k), "term-missing"),
        (lambda w, k: grouped(w, len(w) // k), "swapped"),
        (
            lambda w, k: (torch.logsumexp(w.reshape(k, -1, w.shape[1]), dim=0) - math.log(k)).mean(dim=0),
            "term-wrong",
        ),
        (lambda w, k: grouped(w, k) * (len(w) // k), "term-scale"),
        (lambda w, k: -grouped(w, k), "sign"),
        (lambda w, k: grouped(w, k) / math.log(2), "scale"),
        (lambda w, k: w.reshape(-1, k, w.shape[1]).exp().mean(dim=1).log().mean(dim=0), "unstable"),
        (lambda w, k: grouped(w, k).exp(), "not-log"),
        (lambda w, k: grouped(w, k).mean(), "shape"),
        (lambda w, k: torch.logsumexp(w.reshape(-1, k, w.shape[1]), dim=1) - math.log(k), "shape"),
        (lambda w, k: w.max(dim=0).values, "unknown"),
    ],
)
def test_wrong_groups_are_named(fn, code):
    assert check_grouped_bound(fn).codes == {code}


def test_the_bound_is_that_of_exact_arithmetic():
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(40):
        for log_w, k in [*check_grouped_bound.cases, *check_grouped_bound.extremes.cases]:
            groups = np.asarray(log_w).reshape(len(log_w) // k, k, -1)
            exact = [
                sum(mpmath.log(sum(mpmath.exp(v) for v in g[:, i].tolist()) / k) for g in groups)
                / len(groups)
                for i in range(log_w.shape[1])
            ]
            assert np.allclose(check_grouped_bound.truth(log_w, k), np.array(exact, dtype=float), rtol=1e-12)


# --- The effective number of draws --------------------------------------------------------------


def effective(w):
    return np.exp(2 * np.logaddexp.reduce(w, axis=0) - np.logaddexp.reduce(2 * w, axis=0))


def effective_shifted(w):
    v = torch.exp(w - w.max(dim=0).values)
    return v.sum(dim=0) ** 2 / (v**2).sum(dim=0)


@pytest.mark.parametrize(
    "fn", [effective, effective_shifted, lambda w: 1 / (torch.softmax(w, dim=0) ** 2).sum(dim=0)]
)
def test_right_counts_pass(fn):
    assert check_effective_draws(fn).passed


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda w: (torch.softmax(w, dim=0) ** 2).sum(dim=0), "swapped"),
        (lambda w: effective_shifted(w) / len(w), "term-scale"),
        (lambda w: w.sum(dim=0) ** 2 / (w**2).sum(dim=0), "not-log"),
        (lambda w: w.exp().sum(dim=0) / (w.exp() ** 2).sum(dim=0), "term-wrong"),
        (lambda w: 1 / torch.softmax(w, dim=0).max(dim=0).values, "term-wrong"),
        (lambda w: torch.exp(torch.distributions.Categorical(logits=w.T).entropy()), "term-wrong"),
        (lambda w: np.log(effective(w)), "term-wrong"),
        (lambda w: w.exp().sum(dim=0) ** 2 / (w.exp() ** 2).sum(dim=0), "unstable"),
        (lambda w: np.sqrt(effective(w)), "std-for-var"),
        (lambda w: effective(w).sum(), "shape"),
        (lambda w: effective(w.T), "shape"),
        (lambda w: np.full(w.shape[1], len(w)), "unknown"),
    ],
)
def test_wrong_counts_are_named(fn, code):
    assert check_effective_draws(fn).codes == {code}


def test_equal_weights_all_count_and_a_heavy_one_counts_alone():
    assert np.allclose(check_effective_draws.truth(np.full((7, 2), -900.0)), 7)
    heavy = np.where(np.arange(9)[:, None] == 4, -10.0, -900.0)
    assert np.allclose(check_effective_draws.truth(heavy), 1)


# --- The evidence on a grid ---------------------------------------------------------------------


def on_grid(j, h):
    fine = torch.logsumexp(j.flatten(), dim=0) + 2 * math.log(h)
    coarse = torch.logsumexp(j[::2, ::2].flatten(), dim=0) + 2 * math.log(2 * h)
    return fine, abs(coarse - fine)


def on_grid_by_numpy(j, h):
    def total(values, step):
        top = values.max()
        return float(top + np.log(step**2 * np.exp(values - top).sum()))

    fine = total(j, h)
    return np.array([fine, abs(fine - total(j[::2, ::2], 2 * h))])


@pytest.mark.parametrize("fn", [on_grid, on_grid_by_numpy, lambda j, h: torch.stack(on_grid(j, h))])
def test_right_evidence_passes(fn):
    assert check_evidence_and_doubt(fn).passed


def with_total(total, coarser=2.0, rows=2):
    def answer(j, h):
        fine = total(j, h)
        return fine, abs(total(j[::rows, ::2], coarser * h) - fine)

    return answer


def log_total(j, h):
    return torch.logsumexp(j.flatten(), dim=0) + 2 * math.log(h)


@pytest.mark.parametrize(
    "fn, code",
    [
        (with_total(lambda j, h: torch.logsumexp(j.flatten(), dim=0)), "term-missing"),
        (with_total(lambda j, h: torch.logsumexp(j.flatten(), dim=0) + math.log(h)), "term-scale"),
        (with_total(lambda j, h: torch.logsumexp(j.flatten(), dim=0) - 2 * math.log(h)), "term-sign"),
        (with_total(log_total, coarser=1.0), "term-wrong"),
        (with_total(log_total, coarser=math.sqrt(2)), "term-wrong"),
        (with_total(log_total, coarser=math.sqrt(2), rows=1), "term-wrong"),
        (with_total(lambda j, h: j.exp().mean().log()), "term-wrong"),
        (lambda j, h: (on_grid(j, h)[0], -on_grid(j, h)[1]), "sign"),
        (lambda j, h: (on_grid(j, h)[0], log_total(j[::2, ::2], 2 * h)), "term-wrong"),
        (with_total(lambda j, h: (h**2 * j.exp().sum()).log()), "unstable"),
        (with_total(lambda j, h: h**2 * j.exp().sum()), "unknown"),
        (lambda j, h: on_grid(j, h)[0], "shape"),
        (lambda j, h: (0.1, 0.2), "unknown"),
    ],
)
def test_wrong_evidence_is_named(fn, code):
    assert check_evidence_and_doubt(fn).codes == {code}


def test_the_relative_error_is_not_the_difference():
    def relative(j, h):
        fine, coarse = log_total(j, h), log_total(j[::2, ::2], 2 * h)
        return fine, abs(coarse.exp() - fine.exp()) / fine.exp()

    assert check_evidence_and_doubt(relative).codes == {"term-wrong"}


@pytest.mark.parametrize("j, h", check_evidence_and_doubt.cases)
def test_the_evidence_is_the_sum_of_cells(j, h):
    fine = math.log(sum(math.exp(value) * h * h for value in j.ravel()))
    coarse = math.log(sum(math.exp(value) * 4 * h * h for row in j[::2] for value in row[::2]))
    assert np.allclose(check_evidence_and_doubt.truth(j, h), (fine, abs(fine - coarse)), rtol=1e-12)


# --- The gap of the family ----------------------------------------------------------------------


def by_precision(cov):
    precision = np.linalg.inv(cov)
    return 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])


def by_torch(cov):
    precision = torch.linalg.inv(cov)
    q = MultivariateNormal(torch.zeros(len(cov)).to(cov), torch.diag(1 / torch.diag(precision)))
    return kl_divergence(q, MultivariateNormal(torch.zeros(len(cov)).to(cov), cov))


def by_search(cov):
    precision = np.linalg.inv(cov)

    def kl(log_var):
        inside = (np.exp(log_var) * np.diag(precision)).sum() - len(cov) - log_var.sum()
        return 0.5 * (inside + np.linalg.slogdet(cov)[1])

    return optimize.minimize(kl, np.log(np.diag(cov)), tol=1e-12).fun


@pytest.mark.parametrize("fn", [by_precision, by_torch, by_search])
def test_right_gaps_pass(fn):
    assert check_approximation_gap(fn).passed


def with_variances(variances):
    def answer(cov):
        zero = torch.zeros(len(cov)).to(cov)
        return kl_divergence(
            MultivariateNormal(zero, torch.diag(variances(cov))), MultivariateNormal(zero, cov)
        )

    return answer


def turned_round(cov):
    zero = torch.zeros(len(cov)).to(cov)
    q = MultivariateNormal(zero, torch.diag(1 / torch.diag(torch.linalg.inv(cov))))
    return kl_divergence(MultivariateNormal(zero, cov), q)


@pytest.mark.parametrize(
    "fn, code",
    [
        (with_variances(torch.diag), "term-wrong"),
        (with_variances(torch.linalg.eigvalsh), "term-wrong"),
        (with_variances(lambda cov: torch.ones(len(cov)).to(cov)), "term-wrong"),
        (lambda cov: 0.5 * (np.log(np.diag(cov)).sum() - np.linalg.slogdet(cov)[1]), "reverse"),
        (turned_round, "reverse"),
        (lambda cov: -0.5 * np.log(1 - cov[0, 1] ** 2 / cov[0, 0] / cov[1, 1]), "term-missing"),
        (lambda cov: -0.5 * np.linalg.slogdet(cov)[1], "term-missing"),
        (lambda cov: 2 * by_precision(cov), "half"),
        (lambda cov: -by_precision(cov), "sign"),
        (lambda cov: by_precision(cov) / np.log(2), "scale"),
        (lambda cov: np.diag(cov), "shape"),
        (lambda cov: 0.0, "unknown"),
    ],
)
def test_wrong_gaps_are_named(fn, code):
    assert check_approximation_gap(fn).codes == {code}


@pytest.mark.parametrize("case", check_approximation_gap.cases)
def test_no_other_widths_are_better(case):
    (cov,) = case
    assert abs(by_search(cov) - check_approximation_gap.truth(cov)) < 1e-6


# --- A bound that looks everywhere --------------------------------------------------------------


def safe(model, x, eps, fresh, *, power=0.5):
    mu, log_var = model.encode(x)
    z = torch.cat([mu + torch.exp(power * log_var) * eps, fresh])
    log_q = Normal(mu, torch.exp(0.5 * log_var)).log_prob(z).sum(dim=-1)
    log_p = Normal(0.0, 1.0).log_prob(z).sum(dim=-1)
    n, m = len(eps), len(fresh)
    log_mix = torch.logaddexp(log_q + math.log(n / (n + m)), log_p + math.log(m / (n + m)))
    return torch.logsumexp(model.log_likelihood(x, z) + log_p - log_mix, dim=0) - math.log(n + m)


def safe_by_mixture(model, x, eps, fresh):
    mu, log_var = model.encode(x)
    n, m = len(eps), len(fresh)
    parts = torch.distributions.Independent(
        Normal(torch.stack([mu, 0 * mu], 1), torch.stack([(log_var / 2).exp(), 1 + 0 * mu], 1)), 1
    )
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.tensor([n, m]) / (n + m)), parts
    )
    weights = []
    for z in [*(mu + torch.sqrt(log_var.exp()) * eps), *fresh]:
        log_px = Bernoulli(logits=model.decode(z)).log_prob(x).sum(dim=-1)
        weights.append(log_px + Normal(0.0, 1.0).log_prob(z).sum(dim=-1) - mixture.log_prob(z))
    return torch.logsumexp(torch.stack(weights), dim=0) - np.log(n + m)


def other_density(density, reduce=None):
    def answer(model, x, eps, fresh):
        mu, log_var = model.encode(x)
        z = torch.cat([mu + torch.exp(0.5 * log_var) * eps, fresh])
        log_q = Normal(mu, torch.exp(0.5 * log_var)).log_prob(z).sum(dim=-1)
        log_p = Normal(0.0, 1.0).log_prob(z).sum(dim=-1)
        log_w = model.log_likelihood(x, z) + log_p - density(log_q, log_p, len(eps), len(fresh))
        return reduce(log_w) if reduce else torch.logsumexp(log_w, dim=0) - math.log(len(z))

    return answer


def mixed(log_q, log_p, n, m):
    return torch.logaddexp(log_q + math.log(n / (n + m)), log_p + math.log(m / (n + m)))


@pytest.mark.parametrize("fn", [safe, safe_by_mixture])
def test_right_bounds_pass(fn):
    assert check_safe_bound(fn).passed


@pytest.mark.parametrize(
    "fn, code",
    [
        (other_density(lambda q, p, n, m: torch.cat([q[:n], p[n:]])), "term-wrong"),
        (other_density(lambda q, p, n, m: q), "term-wrong"),
        (other_density(lambda q, p, n, m: p), "term-wrong"),
        (other_density(lambda q, p, n, m: torch.logaddexp(q, p)), "term-missing"),
        (other_density(lambda q, p, n, m: (n * q + m * p) / (n + m)), "term-wrong"),
        (other_density(lambda q, p, n, m: mixed(q, p, m, n)), "swapped"),
        (other_density(lambda q, p, n, m: torch.logaddexp(q, p) - math.log(2)), "term-wrong"),
        (other_density(mixed, lambda w: w.mean(dim=0)), "term-wrong"),
        (other_density(mixed, lambda w: torch.logsumexp(w, dim=0)), "term-missing"),
        (other_density(lambda q, p, n, m: mixed(q, p, n, m) + p), "term-missing"),
        (lambda model, x, eps, fresh: safe(model, x, eps, fresh, power=1.0), "var-for-std"),
        (lambda model, x, eps, fresh: -safe(model, x, eps, fresh), "sign"),
        (lambda model, x, eps, fresh: 2 * safe(model, x, eps, fresh), "half"),
        (lambda model, x, eps, fresh: safe(model, x, eps, fresh).exp(), "not-log"),
        (lambda model, x, eps, fresh: safe(model, x, eps, fresh).mean(), "batch-reduced"),
        (lambda model, x, eps, fresh: torch.zeros(len(x)), "unknown"),
    ],
)
def test_wrong_bounds_are_named(fn, code):
    found = check_safe_bound(fn)
    assert found.codes == {code} or (code == "batch-reduced" and found.codes <= {"batch-reduced", "shape"})


def only(part):
    def answer(model, x, eps, fresh):
        mu, log_var = model.encode(x)
        if part == "prior":
            return torch.logsumexp(model.log_likelihood(x, fresh), dim=0) - math.log(len(fresh))
        z = mu + torch.exp(0.5 * log_var) * eps
        log_ratio = Normal(0.0, 1.0).log_prob(z) - Normal(mu, torch.exp(0.5 * log_var)).log_prob(z)
        log_w = model.log_likelihood(x, z) + log_ratio.sum(dim=-1)
        return torch.logsumexp(log_w, dim=0) - math.log(len(eps))

    return answer


@pytest.mark.parametrize("part", ["q", "prior"])
def test_draws_that_are_left_out_are_named(part):
    assert check_safe_bound(only(part)).codes == {"term-missing"}


def test_pixels_that_are_averaged_are_named():
    def averaged(model, x, eps, fresh):
        mu, log_var = model.encode(x)
        z = torch.cat([mu + torch.exp(0.5 * log_var) * eps, fresh])
        log_q = Normal(mu, torch.exp(0.5 * log_var)).log_prob(z).sum(dim=-1)
        log_p = Normal(0.0, 1.0).log_prob(z).sum(dim=-1)
        log_px = model.log_likelihood(x, z) / x.shape[1]
        return torch.logsumexp(log_px + log_p - mixed(log_q, log_p, len(eps), len(fresh)), dim=0) - math.log(
            len(z)
        )

    assert check_safe_bound(averaged).codes == {"mean-pixels"}


def test_the_safe_bound_is_unbiased_for_the_evidence():
    """With many draws it comes to the integral over a line."""
    model, x, _, _ = check_safe_bound.cases[0]
    assert model.latent_dim == 1
    z = torch.linspace(-9, 9, 4001)[:, None]
    with torch.no_grad():
        log_joint = model.log_likelihood(torch.tensor(x, dtype=torch.float32), z[:, None]).double()
    log_joint = log_joint + Normal(0.0, 1.0).log_prob(z).double()
    exact = torch.logsumexp(log_joint, dim=0) + math.log(18 / 4000)
    noise = np.random.default_rng(0).standard_normal((2, 20_000, 1, 1))
    found = check_safe_bound.truth(model, x, *noise)
    assert np.allclose(found, exact.numpy(), atol=0.02)
