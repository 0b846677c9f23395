"""ELBO and IWAE against torch.distributions, brute-force loops, quadrature and the linear world."""

import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch
from support.draws import assert_mean, assert_near, rooms
from support.worlds import (
    EACH_LIKELIHOOD,
    PRIOR,
    all_weights,
    approximate_posterior,
    as_numpy,
    distribution,
    generator,
    integrals,
    linear_world,
    log_joint,
    small_vae,
    small_x,
)
from torch.distributions import Normal, kl_divergence
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from vae_helpers.models import elbo, iwae, iwae_for_training, kl_standard_normal, log_weights, reparameterize


def a_world(likelihood="bernoulli", latent_dim=2, **options):
    """A model and four images that its likelihood knows (float64)."""
    model = small_vae(likelihood, latent_dim, **options).double()
    return model, small_x(model)


def draws(model, x, num_samples, seed=0):
    """q(z given x) and z ~ q, shape (num_samples, batch, d), from the generator's standard normals."""
    q = approximate_posterior(model, x)
    eps = torch.randn(num_samples, *q.loc.shape, generator=generator(seed), dtype=x.dtype)
    return q, q.loc + q.scale * eps


@EACH_LIKELIHOOD
@pytest.mark.parametrize("num_samples", [1, 3])
def test_elbo_parts_are_those_of_torch_distributions(likelihood, num_samples):
    model, x = a_world(likelihood)
    result = elbo(model, x, num_samples=num_samples, generator=generator())
    q, z = draws(model, x, num_samples)
    expected = distribution(model, z).log_prob(x).sum(dim=-1).mean(dim=0)
    kl = kl_divergence(q, PRIOR).sum(dim=-1)
    assert all(part.shape == (4,) for part in result)
    torch.testing.assert_close(result.log_likelihood, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(result.kl, kl, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(result.elbo, expected - kl, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_the_kl_of_each_latent_is_that_of_torch_distributions(latent_dim):
    model, x = a_world(latent_dim=latent_dim)
    found = elbo(model, x).kl_per_latent
    assert found.shape == (4, latent_dim)
    expected = kl_divergence(approximate_posterior(model, x), PRIOR)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_the_kl_is_the_sum_over_latents_without_a_weight(beta):
    model, x = a_world(latent_dim=3)
    result = elbo(model, x, beta)
    assert torch.equal(result.kl, result.kl_per_latent.sum(dim=-1))


def test_an_elbo_is_still_a_tuple_of_three():
    result = elbo(*a_world())
    total, log_likelihood, kl = result
    assert total is result.elbo and log_likelihood is result.log_likelihood and kl is result.kl


def test_kl_at_extremes_is_that_of_torch_distributions():
    mu, log_var = torch.cartesian_prod(*[torch.tensor([-60.0, -5, 0, 0.5, 20], dtype=torch.float64)] * 2).T
    expected = kl_divergence(Normal(mu, torch.exp(0.5 * log_var)), PRIOR)
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


@EACH_LIKELIHOOD
def test_twice_the_pixels_are_twice_the_log_likelihood(likelihood):
    model, x = a_world(likelihood)
    double, _ = a_world(likelihood, data_dim=12)
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
    model, x = a_world()
    plain, weighted = elbo(model, x, generator=generator()), elbo(model, x, beta, generator=generator())
    assert torch.equal(weighted.log_likelihood, plain.log_likelihood)
    assert torch.equal(weighted.kl, plain.kl)
    torch.testing.assert_close(weighted.elbo, plain.elbo + (1 - beta) * plain.kl)


@EACH_LIKELIHOOD
@pytest.mark.parametrize(
    "objective",
    [
        lambda model, x: elbo(model, x, beta=0.7, num_samples=3, generator=generator()).elbo.mean(),
        lambda model, x: iwae(model, x, 4, generator()).mean(),
    ],
    ids=["elbo", "iwae"],
)
def test_gradient_is_that_of_finite_differences(likelihood, objective):
    model, x = a_world(likelihood)
    theta = all_weights(model)
    objective(model, x).backward()
    gradient = parameters_to_vector([p.grad for p in model.parameters()])

    def value(step):
        vector_to_parameters(theta + step, model.parameters())
        return objective(model, x).item()

    for seed in range(3):
        direction = torch.randn(len(theta), generator=generator(seed), dtype=torch.float64)
        slope = (value(1e-5 * direction) - value(-1e-5 * direction)) / 2e-5
        assert gradient.dot(direction).item() == pytest.approx(slope, rel=1e-6, abs=1e-7)


@EACH_LIKELIHOOD
@pytest.mark.parametrize("k", [1, 2, 7])
def test_iwae_is_a_brute_force_loop(likelihood, k):
    model, x = a_world(likelihood)
    result = iwae(model, x, k, generator())
    q, z = draws(model, x, k)
    for j in range(4):
        weights = []
        for i in range(k):
            log_q = Normal(q.loc[j], q.scale[j]).log_prob(z[i, j]).sum()
            weights.append(mpmath.exp((log_joint(model, x[j], z[i, j]) - log_q).item()))
        assert result[j].item() == pytest.approx(float(mpmath.log(sum(weights) / k)), rel=1e-12)


def test_iwae_with_one_draw_is_the_elbo_with_a_sampled_kl():
    model, x = a_world()
    result = iwae(model, x, 1, generator())
    q, z = draws(model, x, 1)
    sampled_kl = (q.log_prob(z) - PRIOR.log_prob(z)).sum(dim=-1)[0]
    expected = elbo(model, x, generator=generator()).log_likelihood - sampled_kl
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)


def test_iwae_survives_weights_that_underflow():
    model, x = a_world()
    model.decoder[-1].bias.data.fill_(-5000.0)
    value = iwae(model, torch.ones_like(x), 3, generator())
    torch.testing.assert_close(value, torch.full_like(value, -30_000.0), rtol=1e-2, atol=0)


@torch.no_grad()
def mean_and_error(bound):
    """The mean of so many bounds of one image, and its standard error."""
    return bound.mean().item(), bound.std().item() / math.sqrt(len(bound))


@EACH_LIKELIHOOD
@pytest.mark.parametrize(
    "bound",
    [
        lambda model, x: elbo(model, x, generator=generator(1)).elbo,
        lambda model, x: iwae(model, x, 1, generator(1)),
    ],
    ids=["elbo", "iwae"],
)
def test_one_draw_has_the_exact_elbo_as_its_mean(likelihood, bound):
    model, x = a_world(likelihood, latent_dim=1)
    exact_elbo = integrals(model, x[:1])[0].item()
    with torch.no_grad():
        sampled = bound(model, x[:1].expand(20_000, -1))
    assert_mean(sampled, exact_elbo, sees=0.06 * sampled.std().item())


@EACH_LIKELIHOOD
def test_bounds_rise_from_the_elbo_to_the_evidence(likelihood):
    model, x = a_world(likelihood, latent_dim=1)
    exact_elbo, log_evidence = (value.item() for value in integrals(model, x[:1]))
    rows = x[:1].expand(20_000, -1)
    few, many = (mean_and_error(iwae(model, rows, k, generator(k))) for k in (5, 50))
    ladder = [(exact_elbo, 0), few, many, (log_evidence, 0)]
    for (low, error_low), (high, error_high) in pairwise(ladder):
        # Each step is larger than the noise: one that is none would pass once in a million runs.
        assert high - low > rooms(len(rows))[0] * math.hypot(error_low, error_high)


@pytest.mark.parametrize("d, size", [(1, 1), (1, 4), (3, 5)])
def test_elbo_in_the_linear_world(d, size):
    world, model, data = linear_world(d, size)
    n = 20_000
    for x in data[:2]:
        with torch.no_grad():
            mu, log_var = model.encode(x[None])
            sampled = elbo(model, x.expand(n, -1), generator=generator()).elbo
        exact = world.elbo(*as_numpy(x, mu[0], log_var[0]))
        assert_mean(sampled, exact, sees=0.06 * sampled.std().item())


@pytest.mark.parametrize("d, size", [(1, 1), (1, 4), (3, 5)])
@pytest.mark.parametrize("k", [1, 2, 30])
def test_with_the_true_posterior_every_weight_is_the_evidence(d, size, k):
    world, model, x = linear_world(d, size, exact_posterior=True, orthogonal=True)
    expected = np.broadcast_to(world.log_evidence(x.numpy()), (k, 5))
    weights, bound = log_weights(model, x, k, generator()), iwae(model, x, k, generator())
    np.testing.assert_allclose(weights.detach(), expected, rtol=1e-10)
    np.testing.assert_allclose(bound.detach(), expected[0], rtol=1e-10)


@pytest.mark.parametrize("objective", [log_weights, iwae_for_training])
def test_weights_of_a_sharp_q_know_which_noise_was_drawn(objective):
    """In float32, z = 3 + 1e-6 eps is rounded to steps of 2.4e-7: z does not tell eps."""
    model = small_vae()
    with torch.no_grad():
        model.encoder[-1].weight.zero_()
        model.encoder[-1].bias.copy_(torch.tensor([3.0, 3.0, *[2 * math.log(1e-6)] * 2]))
        model.decoder[0].weight.zero_()
    x = small_x(model)
    got = objective(model, x, 1, generator=generator()).reshape(-1)
    eps = torch.randn(1, 4, 2, generator=generator())[0].double()
    z = 3 + 1e-6 * eps
    expected = (0.5 * (eps**2 - z**2) + math.log(1e-6)).sum(dim=-1)
    expected += model.log_likelihood(x, z.float()).detach()
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-5)


def test_randomness_comes_from_the_generator_alone():
    model, x = a_world()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    for draw in (lambda g=None: elbo(model, x, generator=g).elbo, lambda g=None: iwae(model, x, 2, g)):
        assert torch.equal(draw(generator(1)), draw(generator(1)))
        assert not torch.equal(draw(), draw())
    assert torch.equal(torch.get_rng_state(), state)


@EACH_LIKELIHOOD
@pytest.mark.parametrize("k", [1, 2, 7])
def test_the_bound_for_training_has_the_value_of_the_bound(likelihood, k):
    model, x = a_world(likelihood)
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
    num = 150
    for plain, better in zip(*(_gradients(f, k, num) for f in (iwae, iwae_for_training)), strict=True):
        error = (plain.var(dim=0) / num + better.var(dim=0) / num).sqrt()
        spread = torch.maximum(plain.std(dim=0), better.std(dim=0))  # of the mean gradient of 200 draws
        assert_near(plain.mean(dim=0), error, better.mean(dim=0), spread, num)


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
        objective(a_world()[0], x)


@OBJECTIVES
@pytest.mark.parametrize(
    "count, error", [(0, ValueError), (-2, ValueError), (True, TypeError), (2.0, TypeError)]
)
def test_objectives_refuse_counts(objective, count, error):
    with pytest.raises(error, match="num_samples: expected"):
        objective(*a_world(), count)


@pytest.mark.parametrize("beta", [-0.1, math.nan, math.inf])
def test_elbo_refuses_betas(beta):
    with pytest.raises(ValueError, match=f"beta: expected a finite number of at least 0, got {beta}"):
        elbo(*a_world(), beta)


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


@pytest.mark.parametrize("objective", [iwae, iwae_for_training, log_weights])
@pytest.mark.parametrize("log_var, message", [
    (torch.full((4, 2), -math.inf), "log_var: expected finite numbers"),
    (torch.zeros(4, 1), r"log_var: expected shape \(4, 2\) like mu, got \(4, 1\)"),
], ids=["infinite", "another shape"])  # fmt: skip
def test_an_encoder_that_gives_no_gaussian_is_told(monkeypatch, objective, log_var, message):
    model, x = a_world()
    monkeypatch.setattr(model, "encode", lambda x: (torch.zeros(4, 2), log_var))
    with pytest.raises(ValueError, match=f"^{message}"):
        objective(model, x, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_very_narrow_q_has_a_finite_bound_for_training(monkeypatch, dtype):
    model, x = a_world()
    model, x = model.to(dtype), x.to(dtype)
    mu = torch.zeros(4, 2, dtype=dtype, requires_grad=True)
    log_var = torch.full((4, 2), -200.0, dtype=dtype, requires_grad=True)
    monkeypatch.setattr(model, "encode", lambda x: (mu, log_var))
    bound = iwae_for_training(model, x, 3, generator())
    torch.testing.assert_close(bound, iwae(model, x, 3, generator()), rtol=1e-5, atol=0)
    assert all(
        torch.isfinite(part).all() for part in (bound, *torch.autograd.grad(bound.sum(), (mu, log_var)))
    )
