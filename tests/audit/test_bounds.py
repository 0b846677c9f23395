"""Annealed bounds and amortization gaps against the linear world, where all is known, and quadrature."""

import math

import numpy as np
import pytest
import torch
from support.draws import assert_mean, assert_near, rooms
from support.worlds import (
    approximate_posterior,
    as_numpy,
    generator,
    linear_world,
    log_joint,
    small_vae,
    small_x,
)

from vae_helpers.audit import bounds
from vae_helpers.audit.bounds import amortization, annealed_bound, bracket
from vae_helpers.models import binarize, quadrature
from vae_helpers.shipped import load_pretrained

MANY = 1500  # runs for one image
# Encoders that are off: how many of their standard deviations mu is shifted by, what is added to log_var.
WRONG = pytest.mark.parametrize("shift, wider", [(0.0, -1.2), (0.0, 1.0), (1.0, 0.0), (-0.8, -0.8)])


def a_world(shift=0.0, wider=0.0, latent_dim=3, data_dim=4, **options):
    """A linear world whose encoder is that of `linear_world`, and off by this."""
    world, model, x = linear_world(latent_dim, data_dim, **options)
    with torch.no_grad():
        std = torch.exp(0.5 * model.encoder.bias[latent_dim:])
        model.encoder.bias[:latent_dim] += shift * std
        model.encoder.bias[latent_dim:] += wider
    return world, model, x


def one_image(world, x, num=MANY, seed=5):
    """The first image many times, with as many draws from its posterior, and its log p(x)."""
    mean, cov = world.posterior(x[0].numpy())
    z = np.random.default_rng(seed).multivariate_normal(mean, cov, size=num)
    return x[:1].expand(num, -1), torch.from_numpy(z), world.log_evidence(x[0].numpy()).item()


def mean_and_error(values):
    return values.mean().item(), values.std().item() / math.sqrt(len(values))


# --- The bounds ---------------------------------------------------------------------------------------


@WRONG
def test_bounds_hold_in_the_linear_world(shift, wider):
    """And more: E[V] = p(x) forwards, and E[1 / V] = 1 / p(x) with one chain backwards."""
    world, model, x = a_world(shift, wider)
    rows, z, truth = one_image(world, x)
    found = bracket(model, rows, z, num_chains=4, num_steps=30, generator=generator())
    low, low_error = mean_and_error(found.lower)
    high, high_error = mean_and_error(found.upper)
    room = rooms(len(rows))[0]
    assert low < truth + room * low_error and truth - room * high_error < high
    for off in (found.lower - truth, truth - found.upper):
        assert_mean(torch.exp(off), 1, sees=0.12)


def test_a_bracket_shrinks_with_more_steps():
    world, model, x = a_world(1.0, -0.8)
    rows, z, truth = one_image(world, x, 400)
    widths = []
    for num_steps in (1, 4, 16, 64):
        found = bracket(model, rows, z, 2, num_steps, generator=generator())
        widths.append((found.upper - found.lower).mean().item())
    assert all(after < 0.7 * before for before, after in zip(widths[:-1], widths[1:], strict=True))
    assert widths[0] > 1 and widths[-1] < 0.3
    assert found.lower.mean() == pytest.approx(truth, abs=0.2)


def test_one_temperature_gives_importance_weighted_bounds():
    _, model, x = a_world()
    z = torch.randn(5, 3, generator=generator(1), dtype=torch.float64)
    found = bracket(model, x, z, num_chains=4, num_steps=1, generator=generator())
    q = approximate_posterior(model, x)
    draws = q.mean + q.stddev * torch.randn(4, 5, 3, generator=generator(), dtype=torch.float64)
    log_weights = log_weight(model, q, x, draws)
    torch.testing.assert_close(found.lower, torch.logsumexp(log_weights, 0) - math.log(4))
    with_z = torch.cat([log_weight(model, q, x, z[None]), log_weights[1:]])
    torch.testing.assert_close(found.upper, torch.logsumexp(with_z, 0) - math.log(4))


def log_weight(model, q, x, z):
    return (log_joint(model, x, z) - q.log_prob(z).sum(dim=-1)).detach()


def test_with_the_exact_posterior_all_weights_are_the_evidence():
    world, model, x = linear_world(3, 5, exact_posterior=True, orthogonal=True)
    found = bracket(model, x, torch.zeros(5, 3).double(), 2, 5, generator=generator())
    for value in (found.lower, found.upper):
        np.testing.assert_allclose(value, world.log_evidence(x.numpy()), rtol=1e-10)
    assert found.lower_error.max() < 1e-9 and found.upper_error.max() < 1e-9


@pytest.mark.parametrize("num_chains, num_steps", [(16, 12), (2, 120)])
def test_standard_errors_are_the_spread_over_runs(num_chains, num_steps):
    world, model, x = a_world(0.5, 0.0)
    rows, z, _ = one_image(world, x)
    found = bracket(model, rows, z, num_chains, num_steps, generator=generator())
    for value, error in ((found.lower, found.lower_error), (found.upper, found.upper_error)):
        rms = error.square().mean().sqrt().item()
        assert rms == pytest.approx(
            value.std().item(), rel=0.2
        )  # sees a chain too few of two, or an error of √2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bounds_of_a_bernoulli_vae_lie_around_quadrature(dtype):
    model = small_vae(data_dim=12).to(dtype)
    with torch.no_grad():
        model.encoder[-1].bias += 0.3  # an encoder that is off
    z = torch.randn(600, 2, generator=generator(), dtype=dtype)
    x = binarize(model.mean(z).detach(), generator(1))
    truth = quadrature(model, x, 200).log_evidence
    found = bracket(model, x, z, num_chains=4, num_steps=60, generator=generator())
    assert all(part.dtype == torch.float64 and part.shape == (600,) for part in found)
    for off in (found.lower - truth, truth - found.upper):
        assert_mean(off, 0, sees=0.12, sided="above")
        assert_mean(torch.exp(off), 1, sees=0.12)
    assert (found.upper - found.lower).mean() < 0.1


def test_forwards_alone_is_the_lower_bound():
    world, model, x = a_world(0.5)
    found = annealed_bound(model, x, 16, 60, generator=generator())
    assert ((found.lower - torch.from_numpy(world.log_evidence(x.numpy()))).abs() < 0.1).all()
    both = bracket(model, x, torch.zeros(5, 3).double(), 16, 60, generator=generator())
    assert torch.equal(found.lower, both.lower) and torch.equal(found.lower_error, both.lower_error)


def test_a_trained_model_with_fifty_latents():
    """One image alone: log p(x) to a few tenths, where the ELBO is three nats below."""
    model = load_pretrained("latent_50")
    z = torch.randn(6, 50, generator=generator())
    x = binarize(model.mean(z).detach(), generator(1))
    found = bracket(model, x, z, num_chains=4, num_steps=80, generator=generator())
    elbo = bounds.amortization(model, x, 1, 40, generator()).elbo
    assert -0.3 < (found.upper - found.lower).mean() < 0.5
    assert 1 < (found.lower - elbo).mean() < 10


# --- The chains ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_a_transition_leaves_its_density_as_it_is(beta):
    world, model, x = a_world(1.0, 0.8)
    path = bounds._Path(model, x[:1], generator())
    # N(eps; 0, I)^(1-β) p(x, mu + std eps)^β is a Gaussian.
    std, mu = path.std[0].numpy(), path.mu[0].numpy()
    mean, cov = world.posterior(x[0].numpy())
    precision = std[:, None] * np.linalg.inv(cov) * std
    mixed = (1 - beta) * np.eye(3) + beta * precision
    center = np.linalg.solve(mixed, beta * precision @ ((mean - mu) / std))
    factor = np.linalg.cholesky(mixed)
    rng, num = np.random.default_rng(2), 20_000
    draws = center + np.linalg.solve(factor.T, rng.standard_normal((3, num))).T
    step = torch.tensor([1.5 / math.sqrt(np.linalg.eigvalsh(mixed)[-1])], dtype=torch.float64)
    state, probability = path.transition(path.at(torch.from_numpy(draws)[:, None]), beta, step, 3)
    after = (state.eps[:, 0].numpy() - center) @ factor  # N(0, I) again
    assert 0.3 < probability.mean() < 0.9, "a test in which nearly all moves are accepted would be none"
    assert (after != (draws - center) @ factor).any(axis=1).mean() > 0.3
    # Five standard errors.
    assert np.abs(after.mean(axis=0)).max() < 5 / math.sqrt(num)
    assert np.abs(after.T @ after / num - np.eye(3)).max() < 5 * math.sqrt(2 / num)
    fresh = path.at(state.eps)
    torch.testing.assert_close(state.log_ratio, fresh.log_ratio)
    torch.testing.assert_close(state.slope, fresh.slope)


def test_the_slope_is_the_gradient_of_the_log_ratio():
    _, model, x = a_world(0.5, 0.3)
    path = bounds._Path(model, x, generator())
    eps = path.normal(2)
    state, distance = path.at(eps), 1e-6 * path.normal(2)
    there, back = path.at(eps + distance).log_ratio, path.at(eps - distance).log_ratio
    torch.testing.assert_close((there - back) / 2, (state.slope * distance).sum(-1), rtol=1e-4, atol=1e-9)


def test_a_trajectory_that_diverges_stays_where_it_started():
    _, model, x = a_world()
    path = bounds._Path(model, x, generator())
    start = path.at(path.normal(2))
    step = torch.tensor([1e-3, 1e3, 1e150, 1e308, 0.1], dtype=torch.float64)
    state, probability = path.transition(start, 0.5, step, 4)
    stays = (state.eps == start.eps).all(dim=-1).all(dim=0)
    assert stays.tolist() == [False, True, True, True, False]
    assert (probability[:, 1:4] == 0).all() and (probability[:, 0] > 0.99).all()
    assert all(part.isfinite().all() for part in state)


def test_the_pilot_gives_temperatures_from_0_to_1_and_a_step_size_that_is_accepted():
    _, model, x = a_world(0.5, 2.0, 6, 9)
    path = bounds._Path(model, x, generator())
    with bounds.bar(progress=False) as shown:
        betas, sizes = bounds._pilot(path, 50, 30, 3, shown)
    assert betas[0] == 0 and betas[-1] == 1 and sizes.shape == (49, 5)
    assert (np.diff(betas) > 0).all() and len(betas) == 51
    state, accepted = path.at(path.normal(200)), []
    for beta, size in zip(betas[1:-1], sizes, strict=True):
        state, probability = path.transition(state, beta, size, 3)
        accepted.append(probability.mean().item())
    assert 0.5 < np.mean(accepted) < 0.9


def test_chunks_hold_all_images_and_no_more_than_they_may(monkeypatch):
    world, model, x = a_world()
    monkeypatch.setattr(bounds, "_CHUNK", 150)
    sizes = []
    model.decoder.register_forward_hook(lambda module, inputs, output: sizes.append(output.numel()))
    rows = x.repeat(3, 1)
    z = torch.from_numpy(np.stack([world.posterior(row)[0] for row in rows.numpy()]))
    found = bracket(model, rows, z, 8, 30, generator=generator())
    assert max(sizes) <= 150
    truth = torch.from_numpy(world.log_evidence(rows.numpy()))
    assert all((value - truth).abs().max() < 0.5 for value in (found.lower, found.upper))
    assert truth[:5].std() > 1, "images must differ for a test of their order"
    sizes.clear()
    gaps = amortization(model, rows, 20, 8, generator())
    assert max(sizes) <= 150 and gaps.gap.shape == (15,)


def test_the_same_generator_gives_the_same_and_the_global_state_is_left_alone():
    _, model, x = a_world()
    state = torch.get_rng_state()
    for run in (
        lambda seed: annealed_bound(model, x, 2, 5, generator=generator(seed)).lower,
        lambda seed: bracket(model, x, x[:, :3], 2, 5, generator=generator(seed)).upper,
        lambda seed: amortization(model, x, 3, 4, generator(seed)).best_elbo,
    ):
        assert torch.equal(run(0), run(0)) and not torch.equal(run(0), run(1))
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_and_their_gradients_are_left_alone():
    _, model, x = a_world()
    before = [parameter.clone() for parameter in model.parameters()]
    with torch.no_grad():  # gradients of z are taken all the same
        bracket(model, x, x[:, :3], 2, 3, generator=generator())
        amortization(model, x, 3, 4, generator())
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert parameter.grad is None and torch.equal(parameter, old)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_chains": 1}, "num_chains: expected at least 2, got 1"),
        ({"num_steps": 0}, "num_steps: expected at least 1, got 0"),
        ({"num_leapfrog": 0}, "num_leapfrog: expected at least 1, got 0"),
        ({"z": torch.zeros(3, 2)}, r"z: expected a row for each of the 4 images, got shape \(3, 2\)"),
        ({"z": torch.zeros(4, 3)}, r"z: expected shape \(batch, 2\), got \(4, 3\)"),
        ({"x": torch.zeros(4, 7)}, r"x: expected shape \(batch, 6\), got \(4, 7\)"),
        ({"x": 255 * torch.ones(4, 6)}, r"x: expected values in \[0, 1\], got 255 to 255"),
    ],
)
def test_bad_arguments_of_a_bracket(change, message):
    model = small_vae()
    arguments = {"model": model, "x": small_x(model), "z": torch.zeros(4, 2)} | change
    with pytest.raises(ValueError, match=message):
        bracket(**arguments)


# --- Amortization -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift, wider", [(0.0, -1.2), (1.0, 0.5), (-3.0, 1.5)])
def test_the_best_gaussian_in_the_linear_world(shift, wider):
    """It has the posterior's mean, and the diagonal of its precision."""
    world, model, x = a_world(shift, wider)
    mu, log_var = as_numpy(*model.encode(x))
    mean, cov = world.posterior(x.numpy())
    elbo = world.elbo(x.numpy(), mu, log_var)
    best = world.elbo(x.numpy(), mean, -np.log(np.diag(np.linalg.inv(cov))))
    found = amortization(model, x, 200, 400, generator())
    assert all(part.dtype == torch.float64 and part.shape == (5,) for part in found)
    lost = 0.02  # by a search that ends near the maximum
    for value, error, truth in (
        (found.elbo, found.elbo_error, elbo),
        (found.best_elbo, found.best_elbo_error, best),
        (found.gap, found.gap_error, best - elbo),
    ):
        assert_near(value, error, truth, 4.0, 400, sided="above")
        assert_near(-value, error, lost - truth, 4.0, 400, sided="above")
    torch.testing.assert_close(found.gap, found.best_elbo - found.elbo)
    assert (best - elbo).min() > 0.3 and found.best_elbo_error.max() < 0.1


def test_the_gap_of_the_best_encoder_is_not_above_zero():
    """The larger of two noisy estimates would be, by about a standard error."""
    _, model, x = linear_world(3, 4, exact_posterior=True)
    found = amortization(model, x.repeat(200, 1), 20, 4, generator())
    one = found.gap_error[found.gap != 0].mean().item()
    assert_mean(found.gap, 0, sees=0.4 * one, sided="above")
    assert found.gap.mean() > -0.05


def test_a_gaussian_that_is_not_better_is_not_taken(monkeypatch):
    _, model, x = linear_world(3, 4, exact_posterior=True)
    monkeypatch.setattr(bounds, "_search", lambda model, x, encoded, *others: encoded + 1.0)
    found = amortization(model, x, 1, 4, generator())
    assert (found.gap == 0).all() and (found.gap_error == 0).all()
    assert torch.equal(found.elbo, found.best_elbo)


def test_standard_errors_of_elbos_are_their_spread_over_runs():
    _, model, x = a_world(1.0, 0.5)
    found = amortization(model, x[:1].expand(MANY, -1), 1, 20, generator())
    rms = found.elbo_error.square().mean().sqrt().item()
    assert rms == pytest.approx(found.elbo.std().item(), rel=0.1)  # sees pairs that are counted as two


@pytest.mark.parametrize(
    "steps, num_draws, message",
    [
        (0, 4, "steps: expected at least 1, got 0"),
        (1, 2, "num_draws: expected at least 4, got 2"),
        (1, 5, "num_draws: expected an even number, since draws come in pairs, got 5"),
    ],
)
def test_bad_arguments_of_amortization(steps, num_draws, message):
    model = small_vae()
    with pytest.raises(ValueError, match=message):
        amortization(model, small_x(model), steps, num_draws)
