"""The checks of notebook 7: right answers in several styles, and mistakes written as students write them."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from vae_helpers.checks.exercises.notebook_07 import (
    check_blend,
    check_cost_of_precision,
    check_permuted,
    check_spoilt,
    check_switched_on,
)
from vae_helpers.models.vae import VAE

# --- The cost of precision ---------------------------------------------------------------------


def cost_by_kl(std):
    log_var = math.log(std**2)
    return 0.5 * (std**2 + (1 - std**2) - 1 - log_var)


@pytest.mark.parametrize(
    "fn", [cost_by_kl, lambda std: -math.log(std), lambda std: -torch.log(std), lambda s: np.log([1 / s])]
)
def test_right_costs_pass(fn):
    assert check_cost_of_precision(fn).passed


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda s: -math.log(s * s), "half"),
        (lambda s: -math.log2(s), "scale"),
        (lambda s: 0.5 * (s**2 - 1 - math.log(s**2)), "term-missing"),
        (lambda s: 0.5 * (s**2 + 1 - 1 - math.log(s**2)), "term-wrong"),
        (lambda s: 0.5 * (s**2 + (1 - s) ** 2 - 1 - math.log(s**2)), "term-wrong"),
        (lambda s: 0.5 * (1 - math.log(s**2)), "constant"),
        (lambda s: math.log(s), "sign"),
        (lambda s: 1 / s, "not-log"),
        (lambda s: 1 - s, "unknown"),
        (lambda s: 0.7, "unknown"),
    ],
)
def test_wrong_costs_are_named(fn, code):
    assert check_cost_of_precision(fn).codes == {code}


@pytest.mark.parametrize("case", check_cost_of_precision.cases)
def test_the_cost_is_that_of_other_images_too(case):
    """By torch.distributions, for normally distributed means."""
    std = float(case[0])
    q = torch.distributions.Normal(
        torch.linspace(-8, 8, 4001, dtype=torch.float64) * math.sqrt(1 - std**2), std
    )
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(torch.zeros(()).double(), 1.0))
    weight = stats.norm.pdf(np.linspace(-8, 8, 4001))
    average = integrate.trapezoid(weight * kl.numpy(), np.linspace(-8, 8, 4001))
    assert abs(average - check_cost_of_precision.truth(*case)) < 1e-9


# --- Another order -----------------------------------------------------------------------------


def permuted(model, order, *, means=True, log_vars=True, inputs=True):
    state = dict(model.state_dict())
    d = len(order)
    rows = torch.arange(2 * d)
    rows = torch.cat([rows[:d][order] if means else rows[:d], rows[d:][order] if log_vars else rows[d:]])
    state["encoder.4.weight"], state["encoder.4.bias"] = (
        state["encoder.4.weight"][rows],
        state["encoder.4.bias"][rows],
    )
    if inputs:
        state["decoder.0.weight"] = state["decoder.0.weight"][:, order]
    other = VAE(d, hidden_dim=360)
    other.load_state_dict(state)
    return other


def permuted_by_matrix(model, order):
    p = torch.eye(len(order))[order]
    other = copy.deepcopy(model)
    with torch.no_grad():
        for layer in [other.encoder[4]]:
            mu, log_var = layer.weight.chunk(2)
            layer.weight.copy_(torch.cat([p @ mu, p @ log_var]))
            layer.bias.copy_(torch.cat([p @ part for part in layer.bias.chunk(2)]))
        other.decoder[0].weight.copy_(other.decoder[0].weight @ p.T)
    return other


class Wrapped:
    """Leaves the weights alone."""

    def __init__(self, model, order):
        self.model, self.order = model, order

    def encode(self, x):
        mu, log_var = self.model.encode(x)
        return mu[..., self.order], log_var[..., self.order]

    def decode(self, z):
        old = torch.empty_like(z)
        old[..., self.order] = z
        return self.model.decode(old)


@pytest.mark.parametrize("fn", [permuted, permuted_by_matrix, Wrapped])
def test_right_orders_pass(fn):
    report = check_permuted(fn)
    assert report.passed and not report.message


def permuted_in_place(model, order):
    model.load_state_dict(permuted(model, order).state_dict())
    return model


def test_a_model_changed_in_place_passes_with_a_note():
    report = check_permuted(permuted_in_place)
    assert report.passed and "changes the model" in report.message
    assert not check_permuted(permuted).message  # and harms nobody


def all_rows_in_one(model, order):
    """Means and log-variances are taken for two neighbours."""
    rows = torch.stack([2 * order, 2 * order + 1], dim=-1).flatten()
    other = permuted(model, order)
    with torch.no_grad():
        other.encoder[4].weight.copy_(model.encoder[4].weight[rows])
        other.encoder[4].bias.copy_(model.encoder[4].bias[rows])
    return other


def without_bias(model, order):
    other = permuted(model, order)
    with torch.no_grad():
        other.encoder[4].bias.copy_(model.encoder[4].bias)
    return other


@pytest.mark.parametrize(
    "fn, codes",
    [
        (lambda m, o: m, {"term-missing"}),
        (lambda m, o: permuted(m, o, log_vars=False), {"term-missing"}),
        (lambda m, o: permuted(m, o, means=False), {"term-missing"}),
        (lambda m, o: permuted(m, o, inputs=False), {"term-missing"}),
        (lambda m, o: permuted(m, o.argsort()), {"swapped"}),
        (
            lambda m, o: permuted(permuted(m, o, inputs=False), o.argsort(), means=False, log_vars=False),
            {"swapped"},
        ),
        (
            lambda m, o: permuted(permuted(m, o, inputs=False, means=False), o.argsort(), log_vars=False),
            {"swapped"},
        ),
        (lambda m, o: permuted(permuted(m, o, inputs=False), o, log_vars=False), {"term-wrong"}),
        (lambda m, o: permuted(m, o.flip(0)), {"term-wrong"}),
        (all_rows_in_one, {"term-wrong"}),
        (without_bias, {"term-wrong"}),
        (
            lambda m, o: VAE(len(o), hidden_dim=360, generator=torch.Generator().manual_seed(0)),
            {"term-wrong"},
        ),
        (lambda m, o: m.encode, {"error"}),
        (lambda m, o: (m, o), {"error"}),
        (lambda m, o: m.state_dict(), {"error"}),
    ],
)
def test_wrong_orders_are_named(fn, codes):
    report = check_permuted(fn)
    if codes == {"term-wrong"}:  # a part may be left over in the old order as well
        assert "term-wrong" in report.codes and report.codes <= {"term-wrong", "term-missing"}
    else:
        assert report.codes == codes


# --- A point between two draws -----------------------------------------------------------------


@pytest.mark.parametrize(
    "fn",
    [
        lambda z1, z2, a: a * z1 + math.sqrt(1 - a * a) * z2,
        lambda z1, z2, a: math.cos(math.acos(a)) * z1 + math.sin(math.acos(a)) * z2,
        lambda z1, z2, a: torch.add(a * z1, torch.sqrt(1 - a**2) * z2),
        lambda z1, z2, a: (np.stack([z1, z2], axis=-1) @ np.array([a, np.sqrt((1 - a) * (1 + a))])).tolist(),
    ],
)
def test_right_blends_pass(fn):
    assert check_blend(fn).passed


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda z1, z2, a: torch.lerp(z2, z1, a), "std-for-var"),
        (lambda z1, z2, a: a * z1 + (1 - a * a) * z2, "var-for-std"),
        (lambda z1, z2, a: a * z1 + math.sqrt(1 - a) * z2, "term-wrong"),
        (lambda z1, z2, a: math.sqrt(a) * z1 + math.sqrt(1 - a) * z2, "term-wrong"),
        (lambda z1, z2, a: (a * z1 + (1 - a) * z2) / math.sqrt(a**2 + (1 - a) ** 2), "term-wrong"),
        (lambda z1, z2, a: math.cos((1 - a) * math.pi / 2) * z1 + math.cos(a * math.pi / 2) * z2, "unknown"),
        (lambda z1, z2, a: math.cos(a * math.pi / 2) * z1 + math.sin(a * math.pi / 2) * z2, "term-wrong"),
        (lambda z1, z2, a: a * z1 + math.sqrt(1 + a * a) * z2, "term-wrong"),
        (lambda z1, z2, a: a * z2 + math.sqrt(1 - a * a) * z1, "swapped"),
        (lambda z1, z2, a: a * z1 + z2, "term-scale"),
        (lambda z1, z2, a: -a * z1 - math.sqrt(1 - a * a) * z2, "sign"),
        (lambda z1, z2, a: 2 * a * z1 + 2 * math.sqrt(1 - a * a) * z2, "half"),
        (lambda z1, z2, a: math.sqrt(1 - a * a), "shape"),
        (lambda z1, z2, a: z1, "unknown"),
    ],
)
def test_wrong_blends_are_named(fn, code):
    assert check_blend(fn).codes == {code}


def test_the_reference_has_the_prior_s_distribution():
    z1, z2 = np.random.default_rng(0).standard_normal((2, 20_000, 3))
    for a in (0.0, 0.28, 0.7, 1.0):
        squared = (check_blend.truth(z1, z2, a) ** 2).sum(axis=-1)
        assert stats.kstest(squared, stats.chi2(3).cdf).pvalue > 0.001


# --- Junk --------------------------------------------------------------------------------------


def spoilt_by_loop(log_p, log_r, junk):
    found = []
    for p, r in zip(log_p, log_r, strict=True):
        u, v = math.log(1 - junk) + float(p), math.log(junk) + float(r)
        top = max(u, v)
        found.append(top + math.log(math.exp(u - top) + math.exp(v - top)))
    return found


@pytest.mark.parametrize(
    "fn",
    [
        spoilt_by_loop,
        lambda p, r, j: np.logaddexp(p + np.log1p(-j), r + np.log(j)),
        lambda p, r, j: torch.logsumexp(torch.stack([p + torch.log(1 - j), r + torch.log(j)]), dim=0),
    ],
)
def test_right_mixtures_pass(fn):
    assert check_spoilt(fn).passed


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda p, r, j: (1 - j) * p + j * r, "term-wrong"),
        (lambda p, r, j: np.logaddexp(p, r), "term-missing"),
        (lambda p, r, j: np.log(1 - j) + p, "term-missing"),
        (lambda p, r, j: np.logaddexp(p + np.log(j), r + np.log(1 - j)), "swapped"),
        (lambda p, r, j: np.logaddexp((1 - j) * p, j * r), "term-wrong"),
        (lambda p, r, j: np.log(1 - j) + p + np.log(j) + r, "term-wrong"),
        (lambda p, r, j: (1 - j) * np.exp(p) + j * np.exp(r), "not-log"),
        (lambda p, r, j: -np.logaddexp(p + np.log1p(-j), r + np.log(j)), "sign"),
        (lambda p, r, j: np.logaddexp(p + np.log1p(-j), r + np.log(j)) / np.log(2), "scale"),
        (lambda p, r, j: np.logaddexp(p + np.log1p(-j), r + np.log(j)).sum(), "shape"),
        (lambda p, r, j: np.log((1 - j) * np.exp(p) + j * np.exp(r)), "unstable"),
        (
            lambda p, r, j: [math.log((1 - j) * math.exp(u) + j * math.exp(r[n])) for n, u in enumerate(p)],
            "unstable",
        ),
        (lambda p, r, j: np.maximum(p, r), "unknown"),
    ],
)
def test_wrong_mixtures_are_named(fn, code):
    assert check_spoilt(fn).codes == {code}


def test_the_mixture_is_that_of_exact_arithmetic():
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(40):
        for log_p, log_r, junk in [*check_spoilt.cases, *check_spoilt.extremes.cases]:
            share = mpmath.mpf(float(junk))
            exact = [
                float(mpmath.log((1 - share) * mpmath.exp(p) + share * mpmath.exp(r)))
                for p, r in zip(log_p.tolist(), log_r.tolist(), strict=True)
            ]
            assert np.allclose(check_spoilt.truth(log_p, log_r, junk), exact, rtol=1e-12)


# --- One latent after another ------------------------------------------------------------------


def by_columns(model, x, order, eps, fresh, *, power=0.5):
    mu, log_var = model.encode(x)
    z = mu + torch.exp(power * log_var) * eps
    found = []
    for k in range(len(order) + 1):
        mixed = fresh.clone()
        mixed[:, order[:k]] = z[:, order[:k]]
        found.append(-model.log_likelihood(x, mixed).mean())
    return torch.stack(found)


def by_masks(model, x, order, eps, fresh):
    with torch.no_grad():
        mu, log_var = model.encode(x)
        z = mu + log_var.exp().sqrt() * eps
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order))
        found = []
        for k in range(len(order) + 1):
            on = (rank < k).float()
            x_logits = model.decode(on * z + (1 - on) * fresh)
            cost = torch.nn.functional.binary_cross_entropy_with_logits(x_logits, x, reduction="sum")
            found.append(cost.item() / len(x))
    return found


def one_by_one(model, x, order, eps, fresh):
    """Overwrites `fresh`, which a check may survive and another caller may not."""
    mu, log_var = model.encode(x)
    z, found = mu + torch.exp(log_var / 2) * eps, []
    found.append(-model.log_likelihood(x, fresh).mean().item())
    for j in order:
        fresh[:, j] = z[:, j].detach()
        found.append(-model.log_likelihood(x, fresh).mean().item())
    return np.array(found)


@pytest.mark.parametrize("fn", [by_columns, by_masks, one_by_one])
def test_right_switching_passes(fn):
    report = check_switched_on(fn)
    assert report.passed
    assert ("changes its arguments" in report.message) == (fn is one_by_one)


def switched_off(model, x, order, eps, fresh):
    return by_columns(model, x, order, eps, fresh).flip(0)


def q_for_prior(model, x, order, eps, fresh):
    """On and off are confused."""
    mu, log_var = model.encode(x)
    z = mu + torch.exp(0.5 * log_var) * eps
    found = []
    for k in range(len(order) + 1):
        mixed = z.clone()
        mixed[:, order[:k]] = fresh[:, order[:k]]
        found.append(-model.log_likelihood(x, mixed).mean())
    return torch.stack(found)


def one_at_a_time(model, x, order, eps, fresh):
    mu, log_var = model.encode(x)
    z = mu + torch.exp(0.5 * log_var) * eps
    found = [-model.log_likelihood(x, fresh).mean()]
    for j in order:
        mixed = fresh.clone()
        mixed[:, j] = z[:, j]
        found.append(-model.log_likelihood(x, mixed).mean())
    return torch.stack(found)


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda m, x, o, e, f: by_columns(m, x, o.flip(0), e, f), "swapped"),
        (q_for_prior, "swapped"),
        (one_at_a_time, "term-missing"),
        (lambda m, x, o, e, f: by_columns(m, x, torch.arange(len(o)), e, f), "term-wrong"),
        (lambda m, x, o, e, f: by_columns(m, x, o.argsort(), e, f), "term-wrong"),
        (lambda m, x, o, e, f: by_columns(m, x, o, e, torch.zeros_like(f)), "noise-missing"),
        (lambda m, x, o, e, f: by_columns(m, x, o, 0 * e, f), "noise-missing"),
        (lambda m, x, o, e, f: by_columns(m, x, o, e, e), "noise-shared"),
        (lambda m, x, o, e, f: by_columns(m, x, o, e, f, power=1.0), "var-for-std"),
        (lambda m, x, o, e, f: by_columns(m, x, o, e, f) / x.shape[1], "mean-pixels"),
        (lambda m, x, o, e, f: by_columns(m, x, o, e, f) * len(x), "batch-reduced"),
        (lambda m, x, o, e, f: -by_columns(m, x, o, e, f), "sign"),
        (lambda m, x, o, e, f: 2 * by_columns(m, x, o, e, f), "half"),
        (lambda m, x, o, e, f: by_columns(m, x, o, e, f)[1:], "shape"),
        (lambda m, x, o, e, f: by_columns(m, x, o, e, f)[-1], "shape"),
        (switched_off, "unknown"),
        (lambda m, x, o, e, f: torch.zeros(len(o) + 1), "unknown"),
    ],
)
def test_wrong_switching_is_named(fn, code):
    assert check_switched_on(fn).codes == {code}


def test_the_first_and_last_values_are_those_of_the_prior_and_of_q():
    """By torch.distributions."""
    for model, x, order, eps, fresh in check_switched_on.cases:
        x, eps, fresh = (torch.tensor(part, dtype=torch.float32) for part in (x, eps, fresh))
        mu, log_var = model.encode(x)
        for place, z in [(0, fresh), (-1, mu + torch.exp(0.5 * log_var) * eps)]:
            p = torch.distributions.Bernoulli(logits=model.decode(z))
            expected = -p.log_prob(x).sum(dim=-1).mean().item()
            given = check_switched_on.truth(
                model, x.double().numpy(), order, eps.double().numpy(), fresh.double().numpy()
            )
            assert abs(given[place] - expected) < 1e-4 * (1 + abs(expected))
