"""Random functions that are called with the same noise again: each weight, and each way to draw, is seen."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Independent, Laplace, Normal

from vae_helpers.checks import check_elbo, check_kl, check_reparameterize
from vae_helpers.checks.engine.calling import Student
from vae_helpers.checks.engine.same_noise import terms_of
from vae_helpers.checks.parts import sampling
from vae_helpers.checks.parts.kl import KL

LOG_2PI = math.log(2 * math.pi)


def log_lik(model, x, z):
    logits = model.decode(z)
    return -F.binary_cross_entropy_with_logits(logits, x.expand(logits.shape), reduction="none").sum(-1)


def kl(mu, log_var):
    return 0.5 * (log_var.exp() + mu**2 - 1 - log_var).sum(-1)


def drawn(draw):
    """A model's ELBO with the KL in closed form, for this way to draw z."""

    def elbo(model, x):
        mu, log_var = model.encode(x)
        return log_lik(model, x, draw(mu, log_var)) - kl(mu, log_var)

    return elbo


def by_one_draw(
    of_noise=1.0, of_log_var=1.0, of_two_pi=1.0, prior=(0.0, 1.0), scale=1.0, size=1.0, reduce=None
):
    """A model's log p(x|z) + log p(z) - log q(z), with something in it."""

    def elbo(model, x):
        mu, log_var = model.encode(x)
        eps = torch.randn_like(mu)
        z = mu + size * torch.exp(0.5 * log_var) * eps
        log_q = -0.5 * (of_noise * eps**2 + of_log_var * log_var + of_two_pi * LOG_2PI)
        of_latents = scale * (Normal(*prior).log_prob(z) - log_q)
        return (reduce or torch.sum)(torch.stack([log_lik(model, x, z), of_latents.sum(-1)]), 0)

    return elbo


def noisy_kl(prior=(0.0, 1.0), of_log_var=1.0, reduce=lambda value: value.sum(-1)):
    def divergence(mu, log_var):
        std = torch.exp(0.5 * log_var)
        z = mu + std * torch.randn_like(mu)
        log_q = Normal(mu, std).log_prob(z) + 0.5 * (1 - of_log_var) * log_var
        return reduce(log_q - Normal(*prior).log_prob(z))

    return divergence


# ---- the terms ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "slip, code",
    [
        ({"of_log_var": 0.5}, "log-std"),
        ({"of_log_var": 1.5}, "term-scale"),
        ({"of_log_var": 0.95}, "term-scale"),
        ({"of_log_var": 1.05}, "term-scale"),
        ({"of_noise": 0.95}, "constant"),
        ({"of_two_pi": 0.95}, "constant"),
        ({"prior": (0.1, 1.0)}, "term-wrong"),
        ({"prior": (0.0, 1.05)}, "term-scale"),
        ({"scale": 0.95}, "term-scale"),
        ({"scale": 2.0}, "half"),
        ({"scale": -1.0}, "kl-added"),
        ({"scale": 0.0}, "term-missing"),
        ({"size": 0.9}, "term-scale"),
    ],
    ids=str,
)
def test_each_weight_of_an_elbo_by_one_draw_is_seen(slip, code):
    report = check_elbo(by_one_draw(**slip))
    assert code in report.codes, report.message


def test_an_elbo_by_one_draw_is_right():
    report = check_elbo(by_one_draw())
    assert report.passed, report.message


@pytest.mark.parametrize(
    "slip, reduce, codes",
    [
        ({}, lambda parts, _: -parts.sum(0).mean(), {"batch-reduced", "sign"}),
        ({"scale": 0.2}, lambda parts, _: -parts.sum(0).mean(), {"batch-reduced", "sign", "term-scale"}),
        ({"of_log_var": 0.5}, lambda parts, _: parts.sum(0).mean(), {"batch-reduced", "log-std"}),
        ({}, lambda parts, _: parts.sum(), {"batch-reduced"}),
        ({}, lambda parts, _: parts[0].mean() / 784 + parts[1].mean(), {"batch-reduced", "mean-pixels"}),
    ],
)
def test_mistakes_are_seen_behind_a_mean_over_the_batch(slip, reduce, codes):
    report = check_elbo(by_one_draw(**slip, reduce=reduce))
    assert report.codes == codes, report.message


@pytest.mark.parametrize(
    "fn, codes",
    [
        (noisy_kl(), set()),
        (noisy_kl(reduce=lambda value: value.mean(-1)), {"mean-latent"}),
        (noisy_kl(reduce=lambda value: value.mean()), {"mean-latent", "batch-reduced"}),
        (noisy_kl(reduce=lambda value: -value.sum(-1)), {"sign"}),
        (noisy_kl(reduce=lambda value: 0.9 * value.sum(-1)), {"scale"}),
        (noisy_kl(of_log_var=0.5), {"log-std"}),
        (noisy_kl(prior=(0.0, math.exp(0.5))), {"scale", "constant", "term-scale"}),
    ],
)
def test_a_noisy_divergence_is_read_exactly(fn, codes):
    report = check_kl(fn)
    assert report.codes == codes, report.message
    assert "no" not in report.message.split() and "gives 0, whatever" not in report.message


@pytest.mark.parametrize("prior", [(0.0, 1.0), (0.3, 1.0), (0.0, 2.0)], ids=str)
def test_the_coefficients_are_those_of_the_expectation(prior):
    """KL(N(mu, σ²), N(m, s²)) = ½ (σ² + (mu - m)²)/s² - ½ - ½ log σ² + log s, by hand."""
    m, s = prior
    student = Student(noisy_kl(prior))
    student.kind = "torch float64"
    found = terms_of(student, reduced=False).coefficients
    wanted = {"σ²": 0.5 / s**2, "μ²": 0.5 / s**2, "μ": -m / s**2, "log σ²": -0.5}
    wanted["1"] = 0.5 * m**2 / s**2 - 0.5 + math.log(s)
    for name, value in wanted.items():
        assert found.get(name, 0.0) == pytest.approx(value, abs=1e-4), name


def test_an_average_over_several_draws_is_right():
    def several(mu, log_var):
        z = mu + torch.exp(0.5 * log_var) * torch.randn(7, *mu.shape, dtype=mu.dtype)
        log_q = Normal(mu, torch.exp(0.5 * log_var)).log_prob(z)
        return (log_q - Normal(0.0, 1.0).log_prob(z)).sum(-1).mean(0)

    assert check_kl(several).passed


def test_noise_that_is_never_the_same_is_averaged_over():
    rng = np.random.default_rng()

    def own(mu, log_var):
        std = np.exp(0.5 * log_var)
        eps = rng.standard_normal(mu.shape)
        return (0.5 * ((mu + std * eps) ** 2 - eps**2 - log_var)).sum(-1)

    assert terms_of(Student(own), reduced=False) is None
    assert check_kl(own).passed
    assert check_kl(lambda mu, log_var: -own(mu, log_var)).codes == {"sign"}


# ---- the draws ------------------------------------------------------------------------------


def std(log_var):
    return torch.exp(0.5 * log_var)


def of_unit_variance(name, mu):
    if name == "laplace":
        return Laplace(0.0, 0.5**0.5).sample(mu.shape).to(mu)
    if name == "uniform":
        return (torch.rand_like(mu) - 0.5) * 12**0.5
    if name == "triangular":
        return (torch.rand_like(mu) - torch.rand_like(mu)) * 6**0.5
    return torch.randint(0, 2, mu.shape).to(mu) * 2 - 1  # signs


WRONG_DRAWS = [
    ("term-wrong", lambda m, v: m + torch.exp(0.25 * v) * torch.randn_like(m)),
    *[
        ("term-scale", lambda m, v, k=k: m + k * std(v) * torch.randn_like(m))
        for k in (0.1, 0.5, 0.7, 0.9, 1.1)
    ],
    *[
        ("noise-not-normal", lambda m, v, n=n: m + std(v) * of_unit_variance(n, m))
        for n in ("laplace", "uniform", "triangular", "signs")
    ],
    ("noise-shared", lambda m, v: m + std(v) * torch.randn(len(m), 1).to(m)),
    ("var-for-std", lambda m, v: m + v.exp() * torch.randn_like(m)),
    ("std-missing", lambda m, v: m + torch.randn_like(m)),
    ("noise-missing", lambda m, v: m),
]


@pytest.mark.parametrize("code, draw", WRONG_DRAWS)
def test_every_other_draw_is_seen_alone_and_in_a_model(code, draw):
    for report in (check_reparameterize(draw), check_elbo(drawn(draw))):
        assert report.codes == {code}, report.message


def test_a_false_size_is_told_as_it_is():
    for size in (0.1, 0.5, 0.7, 0.9, 1.3):
        report = check_elbo(drawn(lambda m, v, k=size: m + k * std(v) * torch.randn_like(m)))
        told = float(report.message.split("about ")[1].split()[0])
        assert told == pytest.approx(size, rel=0.04)


def with_distributions(model, x):
    mu, log_var = model.encode(x)
    q = Independent(Normal(mu, std(log_var)), 1)
    z, prior = q.rsample(), Independent(Normal(torch.zeros_like(mu), 1.0), 1)
    return log_lik(model, x, z) + prior.log_prob(z) - q.log_prob(z)


def in_single_precision(model, x):
    mu, log_var = (part.float() for part in model.encode(x))
    z = mu + std(log_var) * torch.randn_like(mu)
    logits = model.decode(z.to(next(model.parameters()).dtype)).float()
    q = Normal(mu, std(log_var))
    of_latents = (Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)).sum(-1)
    return (x.float() * logits - F.softplus(logits)).sum(-1) + of_latents


def with_a_model_that_it_changes(model, x):
    return in_single_precision(model.float(), x.float())


def with_opposite_draws(model, x):
    mu, log_var = model.encode(x)
    step = std(log_var) * torch.randn_like(mu)
    return 0.5 * (log_lik(model, x, mu + step) + log_lik(model, x, mu - step)) - kl(mu, log_var)


def with_numpys_noise(model, x):
    mu, log_var = model.encode(x)
    eps = torch.tensor(np.random.standard_normal(mu.shape)).to(mu)  # noqa: NPY002 - the global state
    return log_lik(model, x, mu + std(log_var) * eps) - kl(mu, log_var)


def with_a_generator_of_its_own(model, x, generator=torch.Generator()):  # noqa: B008
    mu, log_var = model.encode(x)
    eps = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
    z = mu + std(log_var) * eps
    log_q = Normal(mu, std(log_var)).log_prob(z)
    return log_lik(model, x, z) + (Normal(0.0, 1.0).log_prob(z) - log_q).sum(-1)


def with_the_same_seed_each_time(model, x):
    mu, log_var = model.encode(x)
    eps = torch.randn(mu.shape, generator=torch.Generator().manual_seed(0), dtype=mu.dtype)
    return log_lik(model, x, mu + std(log_var) * eps) - kl(mu, log_var)


STYLES = [value for name, value in globals().items() if name.startswith(("with_", "in_single"))]


@pytest.mark.parametrize("elbo", STYLES, ids=lambda fn: fn.__name__)
def test_a_right_elbo_is_right_however_it_draws(elbo):
    report = check_elbo(elbo)
    assert report.passed, report.message


@pytest.mark.parametrize("count", [2, 3, 10])
def test_several_draws_for_an_image_are_right(count):
    def several(model, x):
        mu, log_var = model.encode(x)
        z = mu + std(log_var) * torch.randn(count, *mu.shape, dtype=mu.dtype)
        return log_lik(model, x, z).mean(0) - kl(mu, log_var)

    report = check_elbo(several)
    assert report.passed, report.message


def test_a_report_says_how_small_a_deviation_it_sees():
    draw = WRONG_DRAWS[3][1]
    assert check_reparameterize(draw).codes == {"term-scale"}
    report = check_reparameterize(lambda m, v: m + std(v) * torch.randn_like(m))
    assert (
        "96,000 draws, which would show a σ that is off by 2 % or more" in report.message
    )  # 24,000 left it open


@pytest.mark.parametrize("size", [0.974, 1.026])
def test_more_is_drawn_where_the_verdict_is_open(size):
    """Half of the samples of 24,000 see a σ that is off by 2.6 %, and nearly all of 96,000."""
    rows = []

    def draw(mu, log_var):
        rows.append(len(mu))
        return mu + size * std(log_var) * torch.randn_like(mu)

    assert check_reparameterize(draw).codes == {"term-scale"}
    assert max(rows) in (sampling.ROWS, sampling.MORE * sampling.ROWS)
    right = check_reparameterize(lambda m, v: m + std(v) * torch.randn_like(m))
    assert right.passed


def test_few_right_samples_leave_the_verdict_open():
    mu, v = sampling.arguments(sampling.ROWS)
    rng = np.random.default_rng(0)
    opened = sum(
        sampling.is_open(mu + np.exp(v / 2) * rng.standard_normal(mu.shape), mu, v) for _ in range(200)
    )
    assert opened <= 6  # one in a hundred
    assert sampling.is_open(mu + 1.02 * np.exp(v / 2) * rng.standard_normal(mu.shape), mu, v)


def test_the_smallest_deviation_is_what_is_said():
    """With the false alarms and misses of the normal approximation to an estimated size."""
    draws = 4 * sampling.ROWS
    error = 1 / math.sqrt(2 * draws)  # relative, of a standard deviation
    assert 2 * Normal(0.0, 1.0).cdf(torch.tensor(-sampling.ROOM)).item() < 1e-6
    missed = Normal(0.0, 1.0).cdf(torch.tensor(sampling.ROOM - sampling.smallest_scale(draws) / error)).item()
    assert missed < 1e-3


# ---- what is told is true -------------------------------------------------------------------


def test_a_squared_distance_sends_its_gradient():
    def elbo(model, x):
        mu, log_var = model.encode(x)
        image = torch.sigmoid(model.decode(mu + std(log_var) * torch.randn_like(mu)))
        return -((image - x) ** 2).sum(-1) - kl(mu, log_var)

    assert check_elbo(elbo).codes == {"squared-error"}


@pytest.mark.parametrize("function", [F.binary_cross_entropy, F.binary_cross_entropy_with_logits])
def test_an_image_that_is_judged_by_its_prediction(function):
    def prediction(logits):
        return logits if function is F.binary_cross_entropy_with_logits else torch.sigmoid(logits)

    def loss(model, x):
        mu, log_var = model.encode(x)
        logits = model.decode(mu + std(log_var) * torch.randn_like(mu))
        return function(x, prediction(logits), reduction="sum") + kl(mu, log_var).sum()

    assert check_elbo(loss).codes == {"swapped", "sign", "batch-reduced"}


@pytest.mark.parametrize("small", [1e-3, 1e-4, 1e-5, 1e-8])
@pytest.mark.parametrize("inside", ["variance", "std"])
def test_a_small_number_inside_a_logarithm_is_told_as_such(small, inside):
    power = {"variance": 1.0, "std": 0.5}[inside]

    def divergence(mu, log_var):
        log = torch.log(torch.exp(power * log_var) + small) / power
        return 0.5 * (log_var.exp() + mu**2 - 1 - log).sum(-1)

    assert check_kl(divergence).codes == {"unstable"}


def test_log_var_that_is_read_as_log_std_without_the_constant():
    codes = check_kl(lambda mu, log_var: 0.5 * (torch.exp(2 * log_var) + mu**2 - 2 * log_var).sum(-1)).codes
    assert codes == {"log-std", "constant"}


def test_all_terms_of_the_divergence_can_be_read():
    assert set(KL.core) == {"1", "μ²", "σ²", "log σ²"}
