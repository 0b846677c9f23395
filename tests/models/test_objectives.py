"""ELBO and IWAE against torch.distributions, brute-force loops, quadrature and the linear world."""

import math

import mpmath
import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from vae_helpers.models.objectives import elbo, iwae, iwae_for_training, kl_standard_normal, log_weights
from vae_helpers.models.vae import VAE, reparameterize
from vae_helpers.numerics.linear_gaussian import LinearGaussian

BOTH = pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small_vae(likelihood="bernoulli", latent_dim=2, data_dim=6):
    """A float64 VAE whose weights are tripled, so that q and the likelihood depend on their inputs.

    The Gaussian noise is wide enough for coarse quadratures to be exact.
    """
    model = VAE(latent_dim, 8, likelihood, num_hidden=1, data_dim=data_dim, generator=generator(3)).double()
    with torch.no_grad():
        for layer in (*model.encoder, *model.decoder):
            if isinstance(layer, nn.Linear):
                layer.weight *= 3
        if likelihood == "gaussian":
            model.x_log_var.fill_(-0.5)
    return model


def small_x(batch=4, data_dim=6):
    return torch.randint(0, 2, (batch, data_dim), generator=generator(1)).double()


def linear_world(latent_dim, data_dim, noise_std=0.7, exact_posterior=False, orthogonal=False):
    """A linear-Gaussian world and the same world as a VAE, with data from it (float64).

    The encoder is linear: with `exact_posterior` the posterior's mean and the best diagonal
    variances (which are the posterior's own when the columns of W are orthogonal).
    """
    rng = np.random.default_rng(7)
    weight = rng.normal(size=(data_dim, latent_dim)) * 0.8
    if orthogonal:
        weight = np.linalg.qr(weight)[0] * np.linspace(1.5, 0.5, latent_dim)
    world = LinearGaussian(weight, rng.normal(size=data_dim), noise_std)
    model = VAE(latent_dim, 1, "gaussian", num_hidden=1, data_dim=data_dim)
    model.encoder, model.decoder = nn.Linear(data_dim, 2 * latent_dim), nn.Linear(latent_dim, data_dim)
    model.double()
    precision = np.eye(latent_dim) + weight.T @ weight / noise_std**2
    to_mean = np.linalg.solve(precision, weight.T) / noise_std**2
    log_var = -np.log(np.diag(precision))
    if not exact_posterior:
        to_mean, log_var = 0.8 * to_mean + 0.05, log_var + 0.4
    with torch.no_grad():
        model.decoder.weight.copy_(torch.from_numpy(world.weight))
        model.decoder.bias.copy_(torch.tensor(world.bias))
        model.x_log_var.fill_(2 * math.log(noise_std))
        model.encoder.weight.copy_(torch.from_numpy(np.vstack([to_mean, np.zeros_like(to_mean)])))
        model.encoder.bias.copy_(torch.from_numpy(np.concatenate([-to_mean @ world.bias, log_var])))
    return world, model, torch.from_numpy(world.sample(5, rng)[1])


def as_numpy(*tensors):
    return [t.detach().numpy() for t in tensors]


def log_joint(model, x, z):
    """log p(x given z) for one latent and each row of x, and log p(z), by torch.distributions."""
    output = model.decoder(z)
    if model.likelihood == "bernoulli":
        p = Bernoulli(logits=output)
    else:
        p = Normal(output, torch.exp(0.5 * model.x_log_var))
    return p.log_prob(x).sum(-1), Normal(0.0, 1.0).log_prob(z).sum(-1)


def line_integral(model, x):
    """The exact ELBO and log p(x) of one image x (D,) with one latent, by a fine grid on [-12, 12]."""
    with torch.no_grad():
        z = torch.linspace(-12, 12, 4001, dtype=torch.float64)
        log_likelihood, log_prior = log_joint(model, x, z[:, None])
        mu, log_var = model.encoder(x).tolist()
        q = Normal(mu, math.exp(0.5 * log_var))
        integrand = q.log_prob(z).exp() * (log_likelihood + log_prior - q.log_prob(z))
        evidence = torch.trapezoid((log_likelihood + log_prior).exp(), z)
    return torch.trapezoid(integrand, z).item(), evidence.log().item()


@BOTH
@pytest.mark.parametrize("num_samples", [1, 3])
def test_elbo_parts_are_those_of_torch_distributions(likelihood, num_samples):
    model, x = small_vae(likelihood), small_x()
    result = elbo(model, x, num_samples=num_samples, generator=generator())
    mu, log_var = model.encoder(x).chunk(2, dim=-1)
    std = log_var.exp().sqrt()
    z = mu + std * torch.randn(num_samples, 4, 2, generator=generator(), dtype=torch.float64)
    expected = log_joint(model, x, z)[0].mean(dim=0)
    kl = kl_divergence(Normal(mu, std), Normal(0.0, 1.0)).sum(dim=-1)
    assert all(part.shape == (4,) for part in result)
    torch.testing.assert_close(result.log_likelihood, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(result.kl, kl, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(result.elbo, expected - kl, rtol=1e-12, atol=1e-12)


def test_kl_at_extremes_is_that_of_torch_distributions():
    mu, log_var = torch.cartesian_prod(*[torch.tensor([-60.0, -5, 0, 0.5, 20], dtype=torch.float64)] * 2).T
    expected = kl_divergence(Normal(mu, torch.exp(0.5 * log_var)), Normal(0.0, 1.0))
    torch.testing.assert_close(
        kl_standard_normal(mu[:, None], log_var[:, None]), expected, rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("log_var", [1e-2, -1e-2, 1e-3, -1e-3])
def test_kl_keeps_its_digits_near_zero_in_float32(log_var):
    exact = torch.tensor([[log_var]])
    with mpmath.workdps(40):
        v = mpmath.mpf(exact.item())
        expected = float((mpmath.exp(v) - 1 - v) / 2)
    # exp(v) - 1 - v in float32 has an absolute error of 6e-8: 10% and more here.
    assert kl_standard_normal(torch.zeros(1, 1), exact).item() == pytest.approx(expected, rel=2e-3)


def test_kl_refuses_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match=r"log_var: expected shape \(4, 2\) like mu, got \(4, 1\)"):
        kl_standard_normal(torch.zeros(4, 2), torch.zeros(4, 1))


@BOTH
def test_twice_the_pixels_are_twice_the_log_likelihood(likelihood):
    model, x = small_vae(likelihood), small_x()
    double = small_vae(likelihood, data_dim=12)
    double.load_state_dict(model.state_dict() | double_pixels(model))
    once = elbo(model, x, generator=generator())
    twice = elbo(double, torch.cat([x, x], dim=1), generator=generator())
    torch.testing.assert_close(twice.log_likelihood, 2 * once.log_likelihood, rtol=1e-12, atol=0)
    torch.testing.assert_close(twice.kl, once.kl, rtol=1e-12, atol=0)


def double_pixels(model):
    """Weights that give every pixel twice and read only the first copy."""
    read, write, bias = model.encoder[0].weight, model.decoder[-1].weight, model.decoder[-1].bias
    return {
        "encoder.0.weight": torch.cat([read, torch.zeros_like(read)], dim=1),
        "decoder.2.weight": torch.cat([write, write]),
        "decoder.2.bias": torch.cat([bias, bias]),
    }


def test_twice_the_latents_are_twice_the_kl():
    mu, log_var = torch.randn(2, 4, 3, generator=generator(), dtype=torch.float64)
    once = kl_standard_normal(mu, log_var)
    assert once.shape == (4,)
    torch.testing.assert_close(kl_standard_normal(mu.repeat(1, 2), log_var.repeat(1, 2)), 2 * once)


@pytest.mark.parametrize("beta", [0, 0.5, 4.0])
def test_beta_weighs_the_kl_alone(beta):
    model, x = small_vae(), small_x()
    plain, weighted = elbo(model, x, generator=generator()), elbo(model, x, beta, generator=generator())
    assert torch.equal(weighted.log_likelihood, plain.log_likelihood)
    assert torch.equal(weighted.kl, plain.kl)
    torch.testing.assert_close(weighted.elbo, plain.elbo + (1 - beta) * plain.kl)


@BOTH
@pytest.mark.parametrize(
    "objective",
    [
        lambda model, x: elbo(model, x, beta=0.7, num_samples=3, generator=generator()).elbo.mean(),
        lambda model, x: iwae(model, x, 4, generator()).mean(),
    ],
    ids=["elbo", "iwae"],
)
def test_gradient_is_that_of_finite_differences(likelihood, objective):
    model, x = small_vae(likelihood), small_x()
    theta = parameters_to_vector(model.parameters()).detach()
    objective(model, x).backward()
    gradient = parameters_to_vector([p.grad for p in model.parameters()])

    def value(step):
        vector_to_parameters(theta + step, model.parameters())
        return objective(model, x).item()

    for seed in range(3):
        direction = torch.randn(len(theta), generator=generator(seed), dtype=torch.float64)
        slope = (value(1e-5 * direction) - value(-1e-5 * direction)) / 2e-5
        assert gradient.dot(direction).item() == pytest.approx(slope, rel=1e-6, abs=1e-7)


@BOTH
@pytest.mark.parametrize("k", [1, 2, 7])
def test_iwae_is_a_brute_force_loop(likelihood, k):
    model, x = small_vae(likelihood), small_x()
    result = iwae(model, x, k, generator())
    mu, log_var = model.encoder(x).chunk(2, dim=-1)
    eps = torch.randn(k, 4, 2, generator=generator(), dtype=torch.float64)
    for j in range(4):
        q, prior, weights = Normal(mu[j], log_var[j].exp().sqrt()), Normal(0.0, 1.0), []
        for i in range(k):
            z = q.loc + q.scale * eps[i, j]
            weights.append(
                torch.exp(log_joint(model, x[j], z)[0] + prior.log_prob(z).sum() - q.log_prob(z).sum()).item()
            )
        assert result[j].item() == pytest.approx(math.log(sum(weights) / k), rel=1e-12)


def test_iwae_with_one_draw_is_the_elbo_with_a_sampled_kl():
    model, x = small_vae(), small_x()
    result = iwae(model, x, 1, generator())
    mu, log_var = model.encoder(x).chunk(2, dim=-1)
    q = Normal(mu, log_var.exp().sqrt())
    z = q.loc + q.scale * torch.randn(1, 4, 2, generator=generator(), dtype=torch.float64)
    sampled_kl = (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(dim=-1)[0]
    expected = elbo(model, x, generator=generator()).log_likelihood - sampled_kl
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)


def test_iwae_survives_weights_that_underflow():
    model, x = small_vae(data_dim=6), small_x()
    model.decoder[-1].bias.data.fill_(-5000.0)
    value = iwae(model, torch.ones_like(x), 3, generator())
    torch.testing.assert_close(value, torch.full_like(value, -30_000.0), rtol=1e-2, atol=0)


@BOTH
def test_bounds_are_ordered_and_agree_with_quadrature(likelihood):
    model, n = small_vae(likelihood, latent_dim=1), 20_000
    x = small_x()[0]
    rows = x.expand(n, -1)
    exact_elbo, log_evidence = line_integral(model, x)
    with torch.no_grad():
        bounds = [elbo(model, rows, generator=generator(1)).elbo]
        bounds += [iwae(model, rows, k, generator(k)) for k in (1, 5, 50)]
    means = [b.mean().item() for b in bounds]
    errors = [b.std().item() / math.sqrt(n) for b in bounds]
    # Both one-sample forms have the exact ELBO as their mean; 5 standard errors.
    assert means[0] == pytest.approx(exact_elbo, abs=5 * errors[0])
    assert means[1] == pytest.approx(exact_elbo, abs=5 * errors[1])
    # Strictly ordered: each step is larger than 5 standard errors.
    ladder, spread = [exact_elbo, *means[2:], log_evidence], [0, *errors[2:], 0]
    for i in range(3):
        assert ladder[i + 1] - ladder[i] > 5 * math.hypot(spread[i], spread[i + 1])


@pytest.mark.parametrize("d, size", [(1, 1), (1, 4), (3, 5)])
def test_elbo_in_the_linear_world(d, size):
    world, model, data = linear_world(d, size)
    n = 20_000
    for x in data[:2]:
        with torch.no_grad():
            mu, log_var = model.encode(x[None])
            sampled = elbo(model, x.expand(n, -1), generator=generator()).elbo
        error = sampled.std().item() / math.sqrt(n)
        assert sampled.mean().item() == pytest.approx(
            world.elbo(*as_numpy(x, mu[0], log_var[0])), abs=5 * error
        )


@pytest.mark.parametrize("d, size", [(1, 1), (1, 4), (3, 5)])
@pytest.mark.parametrize("k", [1, 2, 30])
def test_with_the_true_posterior_every_weight_is_the_evidence(d, size, k):
    world, model, x = linear_world(d, size, exact_posterior=True, orthogonal=True)
    expected = np.broadcast_to(world.log_evidence(x.numpy()), (k, 5))
    weights, bound = log_weights(model, x, k, generator()), iwae(model, x, k, generator())
    np.testing.assert_allclose(weights.detach(), expected, rtol=1e-10)
    np.testing.assert_allclose(bound.detach(), expected[0], rtol=1e-10)


def test_randomness_comes_from_the_generator_alone():
    model, x = small_vae(), small_x()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    for draw in (lambda g=None: elbo(model, x, generator=g).elbo, lambda g=None: iwae(model, x, 2, g)):
        assert torch.equal(draw(generator(1)), draw(generator(1)))
        assert not torch.equal(draw(), draw())
    assert torch.equal(torch.get_rng_state(), state)


@BOTH
@pytest.mark.parametrize("k", [1, 2, 7])
def test_the_bound_for_training_has_the_value_of_the_bound(likelihood, k):
    model, x = small_vae(likelihood), small_x()
    expected = iwae(model, x, k, generator(5))
    torch.testing.assert_close(iwae_for_training(model, x, k, generator(5)), expected, rtol=1e-12, atol=0)


def _gradients(objective, k, repetitions, **world):
    """Gradients of the bound of one image, (repetitions, weights), encoder's and decoder's apart."""
    _, model, x = linear_world(2, 3, **world)
    parts = [list(model.encoder.parameters()), list(model.decoder.parameters())]
    found = [], []
    g = generator(6)
    for _ in range(repetitions):
        bound = objective(model, x[:1].expand(200, -1), k, g).mean()
        for part, rows in zip(parts, found, strict=True):
            rows.append(parameters_to_vector(torch.autograd.grad(bound, part, retain_graph=True)))
    return [torch.stack(rows) for rows in found]


@pytest.mark.parametrize("k", [1, 3])
def test_the_gradient_for_training_has_the_expectation_of_the_gradient(k):
    for plain, better in zip(*(_gradients(f, k, 150) for f in (iwae, iwae_for_training)), strict=True):
        error = (plain.var(dim=0) / 150 + better.var(dim=0) / 150).sqrt()
        assert ((plain.mean(dim=0) - better.mean(dim=0)).abs() <= 4.5 * error + 1e-12).all()


def test_the_gradient_for_training_vanishes_at_the_true_posterior():
    world = {"exact_posterior": True, "orthogonal": True}
    plain, better = (_gradients(f, 3, 2, **world)[0] for f in (iwae, iwae_for_training))
    assert better.abs().max() < 1e-10 < 1e-3 < plain.abs().max()


def test_the_gradient_for_training_does_not_drown_in_noise_with_more_draws():
    def relative_noise(objective, k):
        encoder = _gradients(objective, k, 60)[0]
        return (encoder.std(dim=0) / encoder.mean(dim=0).abs()).median().item()

    assert relative_noise(iwae, 64) > 1.5 * relative_noise(iwae, 1)
    assert relative_noise(iwae_for_training, 64) < relative_noise(iwae, 64) / 3


OBJECTIVES = pytest.mark.parametrize(
    "objective",
    [
        lambda model, x, n=2: elbo(model, x, num_samples=n),
        lambda model, x, n=2: iwae(model, x, n),
        lambda model, x, n=2: log_weights(model, x, n),
        lambda model, x, n=2: iwae_for_training(model, x, n),
    ],
    ids=["elbo", "iwae", "log_weights", "iwae_for_training"],
)


@OBJECTIVES
@pytest.mark.parametrize(
    "x, error, message",
    [
        (torch.full((4, 6), math.nan), ValueError, r"x: expected finite numbers, .*shape \(4, 6\)"),
        (torch.full((4, 6), math.inf), ValueError, r"x: expected finite numbers, .*shape \(4, 6\)"),
        (torch.zeros(4, 5), ValueError, r"x: expected shape \(batch, 6\), got \(4, 5\)"),
        (torch.zeros(0, 6), ValueError, r"x: expected shape \(batch, 6\), got \(0, 6\)"),
        (
            torch.zeros(4, 6, dtype=torch.uint8),
            TypeError,
            "x: expected a floating-point tensor, got torch.uint8",
        ),
        (np.zeros((4, 6)), TypeError, "x: expected a floating-point tensor, got ndarray"),
    ],
)
def test_objectives_refuse_images(objective, x, error, message):
    with pytest.raises(error, match=message):
        objective(small_vae(), x)


@OBJECTIVES
@pytest.mark.parametrize(
    "count, error", [(0, ValueError), (-2, ValueError), (True, TypeError), (2.0, TypeError)]
)
def test_objectives_refuse_counts(objective, count, error):
    with pytest.raises(error, match="num_samples: expected"):
        objective(small_vae(), small_x(), count)


@pytest.mark.parametrize("beta", [-0.1, math.nan, math.inf])
def test_elbo_refuses_betas(beta):
    with pytest.raises(ValueError, match=f"beta: expected a finite number of at least 0, got {beta}"):
        elbo(small_vae(), small_x(), beta)


@pytest.mark.parametrize("sign", [1, -1])
def test_kl_keeps_its_digits_near_zero(sign):
    # float64 against 50 digits: both sides of the switch at 0.1, and down to where only v²/4 is left.
    values = [sign * float(v) for v in (40, 3, 0.5, 0.11, 0.1, 0.0999, 1e-2, 1e-4, 1e-6, 1e-9, 1e-12)]
    with mpmath.workdps(50):
        exact = [(mpmath.expm1(v) - mpmath.mpf(v)) / 2 for v in values]
        exact = [float(v) for v in exact]
    log_var = torch.tensor(values, dtype=torch.float64)[:, None]
    kl = kl_standard_normal(torch.zeros_like(log_var), log_var)
    np.testing.assert_allclose(kl, exact, rtol=1e-14)


def test_kl_has_the_right_gradient_on_both_sides_of_the_series():
    log_var = torch.tensor([[-3.0, -0.1, -0.05, 0.0, 0.05, 0.0999, 0.1001, 2.0]], dtype=torch.float64)
    log_var.requires_grad_()
    kl_standard_normal(torch.zeros_like(log_var), log_var).sum().backward()
    expected = 0.5 * torch.expm1(log_var.detach())
    torch.testing.assert_close(log_var.grad, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("function", [kl_standard_normal, reparameterize])
@pytest.mark.parametrize(
    ("mu", "log_var", "message"),
    [
        (torch.full((3, 2), math.nan), torch.zeros(3, 2), "mu: expected finite numbers"),
        (torch.zeros(3, 2), torch.full((3, 2), math.inf), "log_var: expected finite numbers"),
        (torch.zeros(0, 2), torch.zeros(0, 2), "mu: expected shape .* not empty"),
        (torch.zeros(3, 2), torch.zeros(3, 1), r"log_var: expected shape \(3, 2\) like mu, got \(3, 1\)"),
    ],
)
def test_what_describes_no_gaussian_is_refused(function, mu, log_var, message):
    with pytest.raises(ValueError, match=message):
        function(mu, log_var)
