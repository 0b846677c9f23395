"""The checks of notebook 6: right answers in several styles, and mistakes written as students write them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.draws import assert_mean
from torch.distributions import Normal

from vae_helpers.checks.exercises.notebook_06 import (
    check_best_constant,
    check_hidden_beta,
    check_tighter_bound,
)
from vae_helpers.checks.parts.elbo.probe_models import small_vae
from vae_helpers.models.objectives import kl_standard_normal
from vae_helpers.models.vae import VAE

# --- The β in a loss ------------------------------------------------------------------------------


def beta_by_cases(data_dim, latent_dim, pixels, latents):
    beta = 1
    if pixels == "mean":
        beta *= data_dim
    if latents == "mean":
        beta /= latent_dim
    return beta


def beta_by_counting(data_dim, latent_dim, pixels, latents):
    terms = {"mean": 1, "sum": 0}
    return torch.tensor(float(data_dim)) ** terms[pixels] / latent_dim ** terms[latents]


@pytest.mark.parametrize("fn", [beta_by_cases, beta_by_counting])
def test_right_betas_pass(fn):
    assert check_hidden_beta(fn).passed


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda D, d, p, q: 1 / beta_by_cases(D, d, p, q), "swapped"),
        (lambda D, d, p, q: beta_by_cases(D, d, q, p) if p != q else beta_by_cases(D, d, p, q), "unknown"),
        (lambda D, d, p, q: beta_by_cases(D, d, p, "sum"), "term-missing"),
        (lambda D, d, p, q: beta_by_cases(D, d, "sum", q), "term-missing"),
        (lambda D, d, p, q: D ** (p == "mean") * d ** (q == "mean"), "term-wrong"),
        (lambda D, d, p, q: 1 / (D ** (p == "mean") * d ** (q == "mean")), "term-wrong"),
        (lambda D, d, p, q: D ** (p == "sum") / d ** (q == "sum"), "swapped"),
        (lambda D, d, p, q: d ** (p == "mean") / D ** (q == "mean"), "swapped"),
        (lambda D, d, p, q: -beta_by_cases(D, d, p, q), "sign"),
        (lambda D, d, p, q: 2 * beta_by_cases(D, d, p, q), "half"),
        (lambda D, d, p, q: math.log(beta_by_cases(D, d, p, q)), "not-log"),
        (lambda D, d, p, q: D / d, "unknown"),
        (lambda D, d, p, q: 1.0, "unknown"),
    ],
)
def test_wrong_betas_are_named(fn, code):
    assert check_hidden_beta(fn).codes == {code}


@pytest.mark.parametrize("case", check_hidden_beta.cases)
def test_the_beta_gives_the_loss_up_to_a_factor(case):
    data_dim, latent_dim, pixels, latents = case
    rng = np.random.default_rng(0)
    factors = []
    for _ in range(3):
        nll, kl = rng.random((5, data_dim)), rng.random((5, latent_dim))
        loss = (getattr(nll, pixels)(axis=1) + getattr(kl, latents)(axis=1)).mean()
        proper = (nll.sum(axis=1) + check_hidden_beta.truth(*case) * kl.sum(axis=1)).mean()
        factors.append(loss / proper)
    assert np.ptp(factors) < 1e-12


# --- The best decoder that ignores z --------------------------------------------------------------


def constant_by_numpy(images):
    images = np.asarray(images, dtype=float)
    cost = 0.0
    for mean in images.mean(axis=0):
        for lam in (mean, 1 - mean):
            if lam > 0:
                cost -= lam * math.log(lam)
    return cost


def constant_by_logits(images):
    """Clamped as the package clamps; every image is charged, and the batch averaged."""
    a = torch.logit(images.mean(dim=0).clamp(1e-3, 1 - 1e-3))
    cost = F.binary_cross_entropy_with_logits(a.expand_as(images), images, reduction="none")
    return cost.sum(dim=-1).mean()


def constant_by_entropy(images):
    return torch.distributions.Bernoulli(probs=images.mean(dim=0)).entropy().sum()


@pytest.mark.parametrize("fn", [constant_by_numpy, constant_by_logits, constant_by_entropy])
def test_right_constants_pass(fn):
    assert check_best_constant(fn).passed


def bce(lam, images):
    return F.binary_cross_entropy(lam.expand_as(images), images, reduction="none")


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda x: F.binary_cross_entropy(x.mean(0).expand_as(x), x), "mean-pixels"),
        (lambda x: bce(x.mean(0), x).sum(), "batch-reduced"),
        (lambda x: -torch.xlogy(x.mean(0), x.mean(0)).sum(), "term-missing"),
        (lambda x: -torch.xlogy(1 - x.mean(0), 1 - x.mean(0)).sum(), "term-missing"),
        (lambda x: bce(x, x).sum(-1).mean(), "term-wrong"),
        (lambda x: bce(torch.full_like(x, 0.5), x).sum(-1).mean(), "term-wrong"),
        (lambda x: bce(x.mean(), x).sum(-1).mean(), "term-wrong"),
        (
            lambda x: (
                F.binary_cross_entropy_with_logits(x.mean(0).expand_as(x), x, reduction="none").sum(-1).mean()
            ),
            "probabilities-not-logits",
        ),
        (lambda x: -bce(x.mean(0), x).sum(-1).mean(), "sign"),
        (lambda x: bce(x.mean(0), x).sum(-1).mean() / math.log(2), "scale"),
        (lambda x: torch.exp(-bce(x.mean(0), x).sum(-1).mean()), "unknown"),
        (lambda x: bce(x.mean(0), x).sum(-1), "shape"),
        (lambda x: -((m := x.mean(0)) * m.log() + (1 - m) * (1 - m).log()).sum(), "unstable"),
        (lambda x: x.var(0).sum(), "unknown"),
    ],
)
def test_wrong_constants_are_named(fn, code):
    assert check_best_constant(fn).codes == {code}


def test_an_exception_for_blank_pixels_is_a_weakness():
    def by_loops(images):
        means = images.mean(0)
        return -sum(float(m) * math.log(m) + (1 - float(m)) * math.log(1 - m) for m in means)

    report = check_best_constant(by_loops)
    assert report.codes == {"unstable"} and "ValueError" in report.message


@pytest.mark.parametrize("case", check_best_constant.cases)
def test_no_other_constant_is_cheaper(case):
    images, best = torch.tensor(case[0]), check_best_constant.truth(*case)
    a = torch.zeros(images.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([a], max_iter=200, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        cost = F.binary_cross_entropy_with_logits(a.expand_as(images), images, reduction="none")
        cost = cost.sum(dim=-1).mean()
        cost.backward()
        return cost

    optimizer.step(loss)
    assert abs(loss().item() - best) < 1e-6


# --- The bound by many draws ----------------------------------------------------------------------


def draws(model, x, eps, power=0.5):
    mu, log_var = model.encode(x)
    return mu, log_var, mu + torch.exp(power * log_var) * eps


def bound_by_distributions(model, x, eps):
    mu, log_var, z = draws(model, x, eps)
    q = Normal(mu, torch.exp(0.5 * log_var))
    ratio = model.log_likelihood(x, z) + (Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)).sum(-1)
    return torch.logsumexp(ratio, dim=0) - math.log(len(eps))


def bound_by_noise(model, x, eps):
    """log q by the noise itself, the 2π cancelled; one draw after another."""
    mu, log_var, z = draws(model, x, eps)
    x_logits = model.decode(z)
    total = None
    for k in range(eps.shape[0]):
        log_px = (x * x_logits[k] - F.softplus(x_logits[k])).sum(-1)
        ratio = log_px - 0.5 * (z[k] ** 2).sum(-1) + 0.5 * (eps[k] ** 2 + log_var).sum(-1)
        total = ratio if total is None else torch.logaddexp(total, ratio)
    return (total - np.log(eps.shape[0])).tolist()


def bound_by_shifting(model, x, eps):
    """The largest ratio is taken out by hand; the model is used without gradients."""
    with torch.no_grad():
        mu, log_var, z = draws(model, x, eps)
        q = torch.distributions.Independent(Normal(mu, log_var.exp().sqrt()), 1)
        p = torch.distributions.MultivariateNormal(torch.zeros(z.shape[-1]), torch.eye(z.shape[-1]))
        ratio = model.log_likelihood(x, z) + p.log_prob(z) - q.log_prob(z)
        top = ratio.max(dim=0).values
        return (top + (ratio - top).exp().mean(dim=0).log()).numpy()


@pytest.mark.parametrize("fn", [bound_by_distributions, bound_by_noise, bound_by_shifting])
def test_right_bounds_pass(fn):
    assert check_tighter_bound(fn).passed


def ratio_of(model, x, eps, *, prior=1, q=-1, power=0.5):
    mu, log_var, z = draws(model, x, eps, power)
    log_q = Normal(mu, torch.exp(0.5 * log_var)).log_prob(z).sum(-1)
    return model.log_likelihood(x, z) + prior * Normal(0.0, 1.0).log_prob(z).sum(-1) + q * log_q


def log_mean(ratio):
    return torch.logsumexp(ratio, 0) - math.log(len(ratio))


def likelihood_minus_kl(model, x, eps):
    mu, log_var, z = draws(model, x, eps)
    return model.log_likelihood(x, z) - kl_standard_normal(mu, log_var)


def mean_of_pixels(model, x, eps):
    _, _, z = draws(model, x, eps)
    log_px = model.log_likelihood(x, z)
    return log_mean(ratio_of(model, x, eps) - log_px + log_px / x.shape[-1])


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda m, x, e: ratio_of(m, x, e).mean(0), "term-wrong"),
        (lambda m, x, e: likelihood_minus_kl(m, x, e).mean(0), "term-wrong"),
        (lambda m, x, e: log_mean(likelihood_minus_kl(m, x, e)), "term-wrong"),
        (lambda m, x, e: torch.logsumexp(ratio_of(m, x, e), 0), "term-missing"),
        (lambda m, x, e: log_mean(m.log_likelihood(x, draws(m, x, e)[2])), "term-missing"),
        (lambda m, x, e: log_mean(ratio_of(m, x, e, prior=0)), "term-missing"),
        (lambda m, x, e: log_mean(ratio_of(m, x, e, q=0)), "term-missing"),
        (lambda m, x, e: log_mean(ratio_of(m, x, e, q=1)), "term-sign"),
        (lambda m, x, e: log_mean(ratio_of(m, x, e, prior=-1, q=1)), "term-sign"),
        (lambda m, x, e: log_mean(ratio_of(m, x, e, power=1.0)), "var-for-std"),
        (mean_of_pixels, "mean-pixels"),
        (lambda m, x, e: log_mean(ratio_of(m, x, 0 * e)), "noise-missing"),
        (lambda m, x, e: log_mean(ratio_of(m, x, e)).exp(), "not-log"),
        (lambda m, x, e: -log_mean(ratio_of(m, x, e)), "sign"),
        (lambda m, x, e: 2 * log_mean(ratio_of(m, x, e)), "half"),
        (lambda m, x, e: log_mean(ratio_of(m, x, e)) / math.log(2), "scale"),
        (lambda m, x, e: log_mean(ratio_of(m, x, e)) + 0.5, "constant"),
        (lambda m, x, e: log_mean(ratio_of(m, x, e)).mean(), "batch-reduced"),
        (lambda m, x, e: ratio_of(m, x, e), "shape"),
        (lambda m, x, e: ratio_of(m, x, e).exp().mean(0).log(), "unstable"),
        (lambda m, x, e: ratio_of(m, x, e).max(0).values, "unknown"),
    ],
)
def test_wrong_bounds_are_named(fn, code):
    assert check_tighter_bound(fn).codes == {code}


SLIPS = check_tighter_bound.slips()


@pytest.mark.parametrize("mistake, said, answer", SLIPS, ids=[mistake.code for mistake, _, _ in SLIPS])
def test_a_slip_of_the_bound_is_told_in_its_own_words(mistake, said, answer):
    """The test for every exercise leaves out those that hand over tensors alone."""
    report = check_tighter_bound(answer)
    assert report.codes == {mistake.code} and said in " ".join(report.message.split())


def test_a_bound_that_harms_the_model_does_not_harm_the_next_check():
    def harmful(model, x, eps):
        with torch.no_grad():
            for weights in model.parameters():
                weights.zero_()
        return x.sum(dim=-1)

    assert not check_tighter_bound(harmful).passed
    report = check_tighter_bound(eps_in_place)
    assert report.passed and "changes its arguments" in report.message
    assert check_tighter_bound(bound_by_distributions).passed


def eps_in_place(model, x, eps):
    value = bound_by_distributions(model, x, eps)
    eps.zero_()
    return value


def test_the_reference_tends_to_the_evidence():
    """Against the trapezoidal rule over z for one latent, by many draws."""
    model = small_vae(1, 5, seed=9)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (3, 5)).astype(float)
    z = np.linspace(-9, 9, 4001)
    with torch.no_grad():
        z_in = torch.tensor(z, dtype=torch.float32)[:, None, None]
        log_px = model.log_likelihood(torch.tensor(x, dtype=torch.float32), z_in).double().numpy()
    density = np.exp(log_px - 0.5 * z[:, None] ** 2) / math.sqrt(2 * math.pi)
    exact = np.log(np.trapezoid(density, z, axis=0))
    bounds = [check_tighter_bound.truth(model, x, rng.standard_normal((5000, 3, 1))) for _ in range(10)]
    # By the delta method a bound of 5,000 draws is below by half its own variance.
    assert_mean(np.add(bounds, np.var(bounds, axis=0, ddof=1) / 2), exact, sees=0.3)


def test_the_small_models_listen_to_their_latents():
    """A model that ignored z would let mistakes through."""
    for model, x, eps in check_tighter_bound.cases:
        assert isinstance(model, VAE)
        with torch.no_grad():
            a = model.decode(torch.tensor(eps[:, 0], dtype=torch.float32))
            b = model.decode(torch.tensor(-eps[:, 0], dtype=torch.float32))
        assert (a - b).abs().max() > 0.5 and len(x) == eps.shape[1]
