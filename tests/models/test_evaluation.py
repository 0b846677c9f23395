"""Evidence, gaps and active units against the linear world, other quadratures and encoders set by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from support.draws import assert_mean
from support.worlds import (
    EACH_LIKELIHOOD,
    all_weights,
    as_numpy,
    generator,
    integrals,
    linear_world,
    log_joint,
    small_vae,
    small_x,
)
from torch import nn

from vae_helpers.models import (
    VAE,
    active_units,
    binarize,
    elbo,
    elbo_quadrature,
    evaluation,
    gaps,
    importance_bounds,
    log_evidence_iwae,
    log_evidence_quadrature,
    quadrature,
)
from vae_helpers.numerics import LinearGaussian
from vae_helpers.shipped import load_mnist, load_pretrained

WORLDS = pytest.mark.parametrize("d, size", [(1, 1), (1, 4), (2, 2), (2, 6)])


# What a likelihood must provide for the two rules below, which are exact for smooth integrands alone.
SMOOTH = "quadrature needs a log_prob that is smooth in the decoder's output"


def a_world(likelihood="bernoulli", latent_dim=2, batch=4):
    """A model and images that its likelihood knows (float64)."""
    model = small_vae(likelihood, latent_dim).double()
    return model, small_x(model, batch)


@pytest.fixture
def largest(monkeypatch):
    """Makes the chunks small and returns a function that watches the largest decoder output."""
    sizes = []

    def watch(model, chunk):
        monkeypatch.setattr(evaluation, "_CHUNK", chunk)
        monkeypatch.setattr(evaluation, "_CACHED", chunk)
        model.decoder.register_forward_hook(lambda module, inputs, output: sizes.append(output.numel()))
        return sizes

    return watch


@WORLDS
def test_quadrature_in_the_linear_world(d, size):
    world, model, x = linear_world(d, size)
    result = log_evidence_quadrature(model, x)
    assert result.dtype == torch.float64 and result.shape == (5,)
    # Limit of the grid: the prior beyond 5 has a weight of 6e-7.
    np.testing.assert_allclose(result, world.log_evidence(x.numpy()), rtol=0, atol=1e-5)


@WORLDS
def test_quadrature_in_float32(d, size):
    world, model, x = linear_world(d, size)
    result = log_evidence_quadrature(model.float(), x.float())
    assert result.dtype == torch.float64
    np.testing.assert_allclose(result, world.log_evidence(x.numpy()), rtol=0, atol=1e-4)


@EACH_LIKELIHOOD
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_quadrature_is_as_near_to_another_rule_as_its_error_says(likelihood, latent_dim):
    model, x = a_world(likelihood, latent_dim)
    value, error = quadrature(model, x)
    off = (value - integrals(model, x)[1]).abs()
    assert (off <= error + 1e-9).all(), f"{likelihood} is off by {off.max():.1e}: {SMOOTH}"


@EACH_LIKELIHOOD
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_quadrature_of_a_smooth_decoder_has_a_small_error(likelihood, latent_dim):
    assert quadrature(*a_world(likelihood, latent_dim)).error.max() < 1e-5, SMOOTH


@EACH_LIKELIHOOD
@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize("num_grid, limit, tolerance", [(240, 5.0, 1e-5), (140, 6.0, 1e-4)])
def test_quadrature_does_not_depend_on_its_grid(likelihood, latent_dim, num_grid, limit, tolerance):
    model, x = a_world(likelihood, latent_dim)
    coarse, other = (log_evidence_quadrature(model, x, *grid) for grid in ((120,), (num_grid, limit)))
    off = (coarse - other).abs().max()
    assert off < tolerance, f"{likelihood} is off by {off:.1e}: {SMOOTH}"


@pytest.mark.parametrize("num_grid", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("std", [0.03, 0.1, 0.4])
def test_the_error_of_quadrature_is_not_smaller_than_it_is(num_grid, std):
    # With so little noise the posterior is about this wide, which coarse grids miss.
    world, model, _ = linear_world(2, 3)
    model.x_log_var.data.fill_(2 * math.log(std))
    world = LinearGaussian(world.weight, world.bias, std)
    x = torch.from_numpy(world.sample(3, np.random.default_rng(8))[1])
    log_evidence, error = quadrature(model, x, num_grid)
    truth = world.log_evidence(x.numpy())
    assert (np.abs(log_evidence.numpy() - truth) <= error.numpy()).all()
    assert error.max() > 1 or num_grid * std > 1.5, "an error that is never large would be no estimate"
    assert error.max() < 1e-3 or num_grid * std < 30


def test_the_error_of_quadrature_on_digits():
    """Against a finer grid, within 1e-5 of one of 1000 points, which is wider too."""
    x = binarize(load_mnist("test")[0][::3000], generator())
    model = load_pretrained("digits_2")
    truth = log_evidence_quadrature(model, x, 650, limit=5.5)
    for num_grid in (60, 150, 300, 500):
        value, error = quadrature(model, x, num_grid)
        assert ((value - truth).abs() <= error + 1e-4).all()
    assert (value - truth).abs().max() < 1e-3 and error.max() < 0.2 and error.median() < 1e-3


def test_the_error_of_quadrature_tells_of_mass_beyond_the_grid():
    world, model, x = linear_world(1, 2)
    value, error = quadrature(model, x, 400, limit=1.0)
    off = (value - torch.from_numpy(world.log_evidence(x.numpy()))).abs()
    assert off.max() > 0.01 and (error > 0.5 * off).all()


def test_quadrature_takes_no_more_memory_for_a_finer_grid(largest):
    model, x = a_world()
    sizes = largest(model, 6 * 4096)
    quadrature(model, x, 500)
    assert max(sizes) <= 6 * 4096 and sum(sizes) == 6 * 500**2


def test_quadrature_of_many_images_is_that_of_each(monkeypatch):
    monkeypatch.setattr(evaluation, "_MOST_IMAGES", 3)
    model, x = a_world(batch=7)
    passes = []
    model.decoder.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
    together = quadrature(model, x, 50)
    assert sum(passes) == 3 * 50**2
    for i, row in enumerate(x):
        alone = quadrature(model, row[None], 50)
        torch.testing.assert_close(together.log_evidence[i], alone.log_evidence[0], rtol=1e-12, atol=0)
        torch.testing.assert_close(together.error[i], alone.error[0], rtol=1e-6, atol=1e-12)


def test_quadrature_of_nothing_beyond_its_limit():
    # A flat likelihood p(x given z) = ½ leaves the prior's weight on [-1, 1], which is erf(1/√2).
    model = VAE(1, 1, num_hidden=1, data_dim=1).double()
    model.decoder[-1].weight.data.zero_()
    model.decoder[-1].bias.data.zero_()
    value = log_evidence_quadrature(model, torch.ones(1, 1, dtype=torch.float64), 4001, limit=1.0)
    assert value.item() == pytest.approx(math.log(0.5 * math.erf(math.sqrt(0.5))), abs=1e-3)


@EACH_LIKELIHOOD
@pytest.mark.parametrize("batch", [3, 40])
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_quadrature_in_chunks_is_that_of_the_whole_grid(likelihood, batch, latent_dim, largest):
    model, x = a_world(likelihood, latent_dim, batch)
    whole = log_evidence_quadrature(model, x, num_grid=41)
    sizes = largest(model, 100)
    torch.testing.assert_close(log_evidence_quadrature(model, x, num_grid=41), whole, rtol=1e-12, atol=0)
    # Neither the outputs nor the points × images are larger than a chunk, and all points were there.
    assert len(sizes) > 1 and max(sizes) // 6 * max(batch, 6) <= 100
    assert sum(sizes) == 41**latent_dim * 6


def test_importance_bound_is_exact_with_the_true_posterior(largest):
    world, model, x = linear_world(3, 5, exact_posterior=True, orthogonal=True)
    expected = world.log_evidence(x.numpy())
    result = log_evidence_iwae(model, x, 37, generator())
    assert result.dtype == torch.float64
    np.testing.assert_allclose(result, expected, rtol=1e-10)
    # All weights are equal: a draw too many or too few would show.
    sizes = largest(model, 1100)
    np.testing.assert_allclose(log_evidence_iwae(model, x, 37, generator()), expected, rtol=1e-10)
    assert max(sizes) <= 1100 and sum(sizes) == 37 * 25


def test_importance_bound_in_the_linear_world():
    world, model, x = linear_world(2, 4)
    rows = x[:1].expand(400, -1)
    bounds = log_evidence_iwae(model, rows, 1000, generator())
    # By the delta method the bound lies below by half the variance of the mean weight, which is
    # also half the variance of the bound.
    expected = world.log_evidence(x[0].numpy()) - 0.5 * bounds.var().item()
    assert_mean(bounds, expected, sees=0.08)


@pytest.mark.parametrize("num_samples", [1, 16, 17, 40])
@pytest.mark.parametrize("chunk, calls", [(2400, 2), (100, 7)])
def test_importance_bound_in_chunks_is_the_bound_of_all_weights(monkeypatch, num_samples, chunk, calls):
    # Seven images of 6 pixels: at 2400 in batches of 4 and 3; at 100 one by one, 16 draws at a time.
    monkeypatch.setattr(evaluation, "_CACHED", chunk)
    table = 3 * torch.randn(num_samples, 7, generator=generator(), dtype=torch.float64)
    done, rounds = dict.fromkeys(range(7), 0), []

    def from_table(model, x, count, generator):
        rows = x[:, 0].int().tolist()
        start = done[rows[0]]
        done.update(dict.fromkeys(rows, start + count))
        rounds.append(count * x.numel())
        return table[start : start + count, rows]

    monkeypatch.setattr(evaluation, "log_weights", from_table)
    x = torch.arange(7.0)[:, None].expand(7, 6)
    result = log_evidence_iwae(small_vae("gaussian"), x, num_samples)
    expected = logsumexp(table.numpy(), axis=0) - math.log(num_samples)
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    assert set(done.values()) == {num_samples} and max(rounds) <= chunk
    assert len(rounds) == calls * (math.ceil(num_samples / 16) if chunk == 100 else 1)


def test_importance_bounds_are_averages_over_groups_of_the_same_draws(monkeypatch):
    table = 3 * torch.randn(20, 7, generator=generator(), dtype=torch.float64)
    monkeypatch.setattr(evaluation, "log_weights", lambda model, x, count, generator: table[:, : len(x)])
    bounds = importance_bounds(small_vae("gaussian"), torch.zeros(7, 6), (1, 3, 20))
    assert list(bounds) == [1, 3, 20]
    np.testing.assert_allclose(bounds[1], table.mean(dim=0), rtol=1e-12)
    groups = [logsumexp(table[3 * i : 3 * i + 3].numpy(), axis=0) - math.log(3) for i in range(6)]
    np.testing.assert_allclose(bounds[3], np.mean(groups, axis=0), rtol=1e-12)
    np.testing.assert_allclose(bounds[20], logsumexp(table.numpy(), axis=0) - math.log(20), rtol=1e-12)


def test_importance_bounds_lie_between_the_elbo_and_the_evidence():
    world, model, x = linear_world(2, 4)
    rows = x[:1].expand(300, -1)  # one image, 300 times
    mu, log_var = (part[:1].detach().numpy() for part in model.encode(rows))
    found = importance_bounds(model, rows, (1, 4, 16, 64), generator())
    means = [found[k].mean().item() for k in found]
    assert_mean(found[1], world.elbo(x[:1].numpy(), mu, log_var).item(), sees=0.5 * found[1].std().item())
    assert all(b > a for a, b in pairwise(means))
    log_evidence = world.log_evidence(x[:1].numpy()).item()
    assert_mean(found[64], log_evidence, sees=0.5 * found[64].std().item(), sided="above")


@pytest.mark.parametrize("counts", [np.array([1, 4]), [np.int64(1), np.int32(4)]], ids=["array", "list"])
def test_counts_of_numpy_are_those_of_python(counts):
    model, x = a_world()
    found, expected = (importance_bounds(model, x, each, generator()) for each in (counts, (1, 4)))
    assert [type(count) for count in found] == [int, int]
    assert all(torch.equal(found[count], expected[count]) for count in (1, 4))


def test_importance_bound_follows_its_generator():
    model, x = a_world()
    torch.manual_seed(6)
    state = torch.get_rng_state()
    first, again = (log_evidence_iwae(model, x, 10, generator(1)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(log_evidence_iwae(model, x, 10), log_evidence_iwae(model, x, 10))
    assert torch.equal(torch.get_rng_state(), state)


@WORLDS
def test_the_elbo_by_quadrature_in_the_linear_world(d, size):
    world, model, x = linear_world(d, size)
    result = elbo_quadrature(model, x)
    assert result.dtype == torch.float64 and result.shape == (len(x),)
    np.testing.assert_allclose(result, world.elbo(*as_numpy(x, *model.encode(x))), rtol=1e-10)


def test_the_elbo_by_quadrature_of_digits_is_that_of_many_draws(largest):
    model = load_pretrained("digits_2")
    x = binarize(load_mnist("test")[0][:5], generator())
    sizes = largest(model, 2**17)
    result = elbo_quadrature(model, x)
    assert max(sizes) <= 2**17 and len(sizes) > 2
    draws = torch.stack([elbo(model, x, generator=generator(seed)).elbo for seed in range(2000)]).double()
    assert_mean(draws, result, sees=0.4)  # nats


@WORLDS
def test_gaps_in_the_linear_world(d, size):
    world, model, x = linear_world(d, size)
    result = gaps(model, x)
    data, mu, log_var = as_numpy(x, *model.encode(x))
    np.testing.assert_allclose(result.log_evidence, world.log_evidence(data), rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.elbo, world.elbo(data, mu, log_var), rtol=1e-10)
    # The best diagonal Gaussian has the posterior's mean and the diagonal of its precision P;
    # its KL from the posterior is ½ (Σ log P_ii - log det P).
    precision = np.eye(d) + world.weight.T @ world.weight / world.noise_std**2
    lost = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    assert (lost > 0.02) == (d == 2), "the test needs a posterior that is correlated in the plane"
    np.testing.assert_allclose(result.approximation, lost, rtol=0, atol=2e-4)
    gap = world.gap(data, mu, log_var)
    np.testing.assert_allclose(result.amortization, gap - lost, rtol=0, atol=2e-4)
    np.testing.assert_allclose(result.approximation + result.amortization, gap, rtol=0, atol=1e-5)
    assert all(entry.dtype == torch.float64 and entry.shape == (5,) for entry in result)


@EACH_LIKELIHOOD
def test_gaps_of_a_curved_decoder_start_from_the_exact_elbo_and_evidence(likelihood):
    model, x = a_world(likelihood, latent_dim=1, batch=2)
    result, (exact_elbo, log_evidence) = gaps(model, x, steps=1, num_nodes=40), integrals(model, x)
    off = (result.elbo - exact_elbo).abs().max(), (result.log_evidence - log_evidence).abs().max()
    assert off[0] < 1e-4 and off[1] < 1e-5, f"{likelihood} is off by {off[0]:.1e} and {off[1]:.1e}: {SMOOTH}"


@EACH_LIKELIHOOD
def test_gaps_of_a_curved_decoder_end_where_another_optimizer_ends(likelihood):
    model, x = a_world(likelihood, latent_dim=1, batch=2)
    result = gaps(model, x, num_nodes=40)
    grid = torch.linspace(-12, 12, 2001, dtype=torch.float64)
    for i, row in enumerate(x):
        with torch.no_grad():
            joint = log_joint(model, row, grid[:, None])

        def loss(q, joint=joint):
            density = torch.distributions.Normal(q[0], math.exp(0.5 * q[1])).log_prob(grid)
            return -torch.trapezoid(density.exp() * (joint - density), grid).item()

        starts = ((0.0, 0.0), (1.0, -1.0), (-1.0, -1.0))
        best = -min(minimize(loss, start, method="Nelder-Mead").fun for start in starts)
        assert result.best_elbo[i].item() == pytest.approx(best, abs=2e-3), SMOOTH
        assert result.elbo[i] < best < result.log_evidence[i]


def test_gaps_find_the_better_of_two_maxima():
    # From the encoder alone, image 6 stops 7.6 nats below what the highest point of its posterior leads to.
    images, _ = load_mnist("test")
    x = binarize(images[:8], generator())[6:7]
    assert gaps(load_pretrained("digits_2"), x).approximation < 0.5


def test_gaps_have_the_evidence_of_the_grid_that_is_asked_for():
    model, x = a_world()
    for num_grid in (5, 20):
        expected = log_evidence_quadrature(model, x, num_grid)
        assert torch.equal(gaps(model, x, steps=1, num_grid=num_grid).log_evidence, expected)


def test_gaps_never_go_below_the_encoder():
    world, model, x = linear_world(2, 4, exact_posterior=True)
    result = gaps(model, x, steps=1)  # one step of Adam leads away from the optimum
    assert (result.amortization >= 0).all()
    np.testing.assert_allclose(result.amortization, 0, rtol=0, atol=1e-9)


def test_evaluation_leaves_weights_gradients_and_random_state():
    model, x = a_world()
    before = all_weights(model)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    results = [*gaps(model, x, steps=3), log_evidence_quadrature(model, x, 20), active_units(model, x)]
    results.append(log_evidence_iwae(model, x, 5))
    assert torch.equal(all_weights(model), before)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(r.requires_grad for r in results) and torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, [True, False, True]),
        ({"threshold": 0.001}, [True] * 3),
        ({"threshold": 0.5}, [False, False, True]),
    ],
)
def test_active_units_of_an_encoder_set_by_hand(options, expected):
    model = VAE(3, 1, "gaussian", num_hidden=1, data_dim=3)
    model.encoder = nn.Linear(3, 6, bias=False)
    # mu = x + 5 through three columns; log_var varies much, and must not matter.
    model.encoder.weight.data.copy_(torch.cat([torch.eye(3), 100 * torch.eye(3).flip(0)]))
    std = torch.tensor([0.2, 0.07, 1.0])  # variances 0.04, 0.0049, 1
    x = 5 + std * torch.randn(4000, 3, generator=generator())
    result = active_units(model, x, **options)
    assert result.dtype == torch.bool and result.tolist() == expected


@pytest.mark.parametrize("call", [quadrature, log_evidence_quadrature, elbo_quadrature, gaps])
def test_three_latents_are_too_many_for_quadrature(call):
    with pytest.raises(ValueError, match="at most 2 latents for quadrature, got 3; use log_evidence_iwae"):
        call(*a_world(latent_dim=3))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda m, x: log_evidence_quadrature(m, x, num_grid=3), ValueError, "num_grid: .*at least 4"),
        (lambda m, x: log_evidence_quadrature(m, x, num_grid=20.0), TypeError, "num_grid: .*whole number"),
        (lambda m, x: log_evidence_quadrature(m, x, limit=0), ValueError, "limit: .*above 0, got 0"),
        (lambda m, x: log_evidence_quadrature(m, x, limit=math.nan), ValueError, "limit: .*got nan"),
        (lambda m, x: elbo_quadrature(m, x, 0), ValueError, "num_nodes: .*at least 1"),
        (lambda m, x: log_evidence_iwae(m, x, 0), ValueError, "num_samples: .*at least 1"),
        (lambda m, x: log_evidence_iwae(m, x, True), TypeError, "num_samples: .*whole number"),
        (lambda m, x: importance_bounds(m, x, ()), ValueError, "counts: .*got none"),
        (lambda m, x: importance_bounds(m, x, [0]), ValueError, "counts: expected at least 1, got 0"),
        (lambda m, x: importance_bounds(m, x, (10, 0)), ValueError, "counts: expected at least 1, got 0"),
        (lambda m, x: importance_bounds(m, x, [2.5]), TypeError, "counts: .*whole number, got 2.5"),
        (lambda m, x: importance_bounds(m, x, [True]), TypeError, "counts: .*whole number, got True"),
        (lambda m, x: gaps(m, x, steps=0), ValueError, "steps: .*at least 1"),
        (lambda m, x: gaps(m, x, num_nodes=0), ValueError, "num_nodes: .*at least 1"),
        (lambda m, x: gaps(m, x, num_grid=3), ValueError, "num_grid: .*at least 4"),
        (lambda m, x: active_units(m, x[:1]), ValueError, r"x: .*at least 2 images .*\(1, 6\)"),
    ],
)
def test_options_that_are_refused(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call(*a_world())


@pytest.mark.parametrize(
    "call",
    [
        quadrature,
        log_evidence_quadrature,
        elbo_quadrature,
        importance_bounds,
        log_evidence_iwae,
        gaps,
        active_units,
    ],
)
@pytest.mark.parametrize(
    "x, message",
    [
        (
            torch.zeros(4, 5),
            r"x: expected shape \(batch, 6\), got \(4, 5\); .* train a VAE with another data_dim",
        ),
        (torch.zeros(6), r"x: expected shape \(batch, 6\), got \(6,\)"),
        (torch.zeros(0, 6), r"x: expected shape \(batch, 6\), got \(0, 6\); give at least one image"),
        (torch.zeros(4, 2, 3), r"x: expected shape \(batch, 6\), got \(4, 2, 3\); flatten the images"),
        (np.zeros((4, 6)), "x: expected a floating-point tensor, got ndarray"),
        (torch.full((4, 6), 200.0), r"x: expected values in \[0, 1\]"),
        (torch.full((4, 6), math.nan), r"x: expected finite numbers, .*shape \(4, 6\)"),
    ],
)
def test_images_that_are_refused(call, x, message):
    with pytest.raises((ValueError, TypeError), match=f"^{message}"):
        call(a_world()[0], x)


def test_one_number_is_no_counts():
    with pytest.raises(TypeError, match="counts: expected numbers of draws, got 5"):
        importance_bounds(small_vae(), torch.zeros(1, 6), counts=5)
