"""Defaults, sizes of chunks, whole messages, and what a GPU is asked for."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from support.worlds import generator, small_vae, small_x
from torch.distributions import Bernoulli, Normal

from vae_helpers.models import evaluation, likelihoods
from vae_helpers.models.evaluation import (
    active_units,
    elbo_quadrature,
    gaps,
    importance_bounds,
    log_evidence_iwae,
)
from vae_helpers.models.likelihoods import LIKELIHOODS, Likelihood

BERNOULLI = LIKELIHOODS["bernoulli"]


def says(error, text):
    return pytest.raises(error, match=f"^{re.escape(text)}$")


# ---- evaluation -----------------------------------------------------------------------------


def test_quadrature_of_the_elbo_takes_ten_nodes_unless_told():
    model = small_vae()
    x = small_x(model)
    found = elbo_quadrature(model, x)
    assert torch.equal(found, elbo_quadrature(model, x, 10))
    assert not torch.equal(found, elbo_quadrature(model, x, 11))


def test_importance_sampling_takes_5000_draws_unless_told():
    model = small_vae()
    x = small_x(model)
    bounds = importance_bounds(model, x, (5000,), generator())
    assert torch.equal(log_evidence_iwae(model, x, generator=generator()), bounds[5000])


def test_gaps_are_sought_in_200_steps_with_ten_nodes_and_600_points_unless_told():
    model = small_vae(latent_dim=1)
    x = small_x(model, 2)
    found = gaps(model, x)
    for same, told in zip(found, gaps(model, x, 200, 10, 600), strict=True):
        assert torch.equal(same, told)


def test_a_model_of_three_latents_is_refused_before_all_else():
    model = small_vae(latent_dim=3)
    with says(
        ValueError,
        "model: expected at most 2 latents for quadrature, got 3; use log_evidence_iwae instead",
    ):
        gaps(model, small_x(model), steps=0)


@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize("room", [1, 200, 2**20])
def test_the_mode_is_the_best_point_of_a_grid(monkeypatch, latent_dim, room):
    if latent_dim == 2 and room == 1:
        pytest.skip("ten thousand chunks")
    model = small_vae(latent_dim=latent_dim).double()
    x = small_x(model, 5)
    axis = torch.linspace(-5, 5, 101, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * latent_dim).reshape(-1, latent_dim)
    with torch.no_grad():
        likelihood = Bernoulli(logits=model.decode(grid)[:, None]).log_prob(x).sum(dim=-1)
        joint = likelihood + Normal(0.0, 1.0).log_prob(grid).sum(dim=-1, keepdim=True)
    seen = []
    ours = model.pairwise_log_likelihood
    monkeypatch.setattr(evaluation, "_CACHED", room)
    monkeypatch.setattr(model, "pairwise_log_likelihood", lambda x, z: (seen.append(len(z)), ours(x, z))[1])
    found = evaluation._posterior_mode(model, x)
    assert torch.allclose(found, grid[joint.argmax(dim=0)], rtol=0, atol=1e-12)
    assert max(seen) <= max(1, room // 6) and sum(seen) == len(grid)


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_nodes_are_in_the_models_precision_and_give_moments(latent_dim):
    eps, weight = evaluation._hermite_nodes(latent_dim, 5, torch.zeros(1, dtype=torch.float32))
    assert eps.dtype == weight.dtype == torch.float32
    assert eps.shape == (5**latent_dim, 1, latent_dim) and weight.shape == (5**latent_dim,)
    for power, moment in [(0, 1), (1, 0), (2, 1), (3, 0), (4, 3)]:
        found = weight @ eps[:, 0, :].prod(dim=-1) ** power
        assert found.item() == pytest.approx(moment**latent_dim, abs=1e-5)


def test_images_are_taken_one_by_one_where_no_more_fit(monkeypatch):
    model = small_vae()
    x = small_x(model)
    whole = elbo_quadrature(model, x)
    bounds = importance_bounds(model, x, (1, 5), generator())
    monkeypatch.setattr(evaluation, "_CHUNK", 1)
    monkeypatch.setattr(evaluation, "_CACHED", 1)
    sizes, draws = [], []
    encode, weights = model.encode, evaluation.log_weights
    monkeypatch.setattr(model, "encode", lambda x: (sizes.append(len(x)), encode(x))[1])
    assert torch.allclose(elbo_quadrature(model, x), whole, rtol=1e-5)
    assert sizes == [1] * len(x)
    monkeypatch.setattr(
        evaluation, "log_weights", lambda m, x, n, g: (draws.append((len(x), n)), weights(m, x, n, g))[1]
    )
    again = importance_bounds(model, x, (1, 5), generator())
    assert draws == [(1, 1)] * 5 * len(x)
    assert {k: v.shape for k, v in again.items()} == {k: v.shape for k, v in bounds.items()}


def test_gaps_take_as_many_images_as_fit(monkeypatch):
    model = small_vae()
    x = small_x(model, 7)
    monkeypatch.setattr(evaluation, "_CHUNK", 2 * 4**2 * model.data_dim * 3)
    sizes, ours = [], evaluation._elbos
    monkeypatch.setattr(
        evaluation, "_elbos", lambda m, x, *others: (sizes.append(len(x)), ours(m, x, *others))[1]
    )
    gaps(model, x, steps=1, num_nodes=4, num_grid=20)
    assert sizes == [3, 3, 1]


def test_a_bar_is_shown_on_request_alone(capsys):
    model = small_vae()
    importance_bounds(model, small_x(model), (1,))
    assert capsys.readouterr().err == ""
    importance_bounds(model, small_x(model), (1,), progress=True)
    err = capsys.readouterr().err
    assert "?batch/s" in err


def test_active_units_of_two_images_and_at_the_threshold():
    model = small_vae()
    x = small_x(model, 2)
    with torch.no_grad():
        variance = model.encode(x)[0].double().numpy().var(axis=0, ddof=1)
    assert active_units(model, x, variance.min()).tolist() == (variance > variance.min()).tolist()
    assert active_units(model, x[[0, 0]], 0).tolist() == [False, False]


def test_active_units_name_the_threshold_and_the_images():
    model = small_vae()
    with says(ValueError, "threshold: expected a finite number of at least 0, got -1"):
        active_units(model, small_x(model), -1)
    with says(ValueError, "x: expected at least 2 images for a variance, got shape (1, 6)"):
        active_units(model, small_x(model, 1))


# ---- likelihoods ----------------------------------------------------------------------------


def test_a_draw_is_an_observation_by_the_same_generator_unless_told():
    class Own(Likelihood):
        log_prob = mean = None

        def observe(self, images, generator):
            return images, generator

    one = generator()
    assert Own().draw("levels", one) == ("levels", one)


def test_levels_are_sixteen_bits():
    levels = BERNOULLI.levels(torch.tensor([0.0, 0.25, 0.5, 1.0]))
    assert levels.dtype == torch.int16 and levels.tolist() == [-(2**15), -(2**14), 0, 2**15 - 1]


def test_white_is_sure_and_the_grey_beside_it_is_not(monkeypatch):
    monkeypatch.setattr(likelihoods, "_bits", lambda shape, g: torch.full(shape, 2**15 - 1).to(torch.int16))
    levels = torch.tensor([2**15 - 1, 2**15 - 2, -(2**15)], dtype=torch.int16)
    x = BERNOULLI.draw(levels, generator())
    assert x.dtype == torch.float32 and x.tolist() == [1, 0, 0]


def test_logits_of_black_and_white_are_finite():
    logits = BERNOULLI.output_of(torch.tensor([0.0, 5e-4, 0.3, 1.0], dtype=torch.float64))
    end = math.log(0.999 / 0.001)
    assert logits.tolist() == pytest.approx([-end, -end, math.log(0.3 / 0.7), end], rel=1e-12)


def test_a_seed_gives_these_bits():
    bits = likelihoods._bits(torch.Size((2, 3)), generator(0))
    # The first words of NumPy's SFC64, whose seed is the first number of 63 bits of PyTorch's generator.
    assert bits.tolist() == [[-29469, 26887, 3332], [-17263, 24482, 28807]]


def test_a_gpu_draws_bits_by_its_own_generator(monkeypatch):
    gpu = SimpleNamespace(device=SimpleNamespace(type="cuda"))
    ours, asked = torch.randint, []

    def randint(low, high, shape, *, dtype, generator, device):
        asked.append((generator, device))
        return ours(low, high, shape, dtype=dtype, generator=torch.Generator().manual_seed(0))

    monkeypatch.setattr(torch, "randint", randint)
    bits = likelihoods._bits(torch.Size((300, 1000)), gpu)
    assert asked == [(gpu, gpu.device)]
    assert bits.dtype == torch.int16 and bits.shape == (300, 1000)
    values = bits.double().numpy().ravel()
    # Uniform on all numbers of 16 bits: a right one is refused once in a million.
    assert stats.kstest((values + 2**15 + 0.5) / 2**16, "uniform").pvalue > 1e-6
    assert values.min() < -(2**15) + 50 and values.max() > 2**15 - 50 and np.unique(values).size > 60_000


def test_the_highest_point_of_the_posterior_is_that_of_all_points_of_the_grid(monkeypatch):
    model = small_vae().double()
    x = small_x(model, 3)
    axis = torch.linspace(-5, 5, 101, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    log_joint = log_prob_of(model, x, points) + Normal(0.0, 1.0).log_prob(points).sum(dim=-1)[:, None]
    expected = points[log_joint.argmax(dim=0)]
    assert len(expected.unique(dim=0)) > 1 and expected.abs().min() > 0
    whole = evaluation._posterior_mode(model, x)
    monkeypatch.setattr(evaluation, "_CACHED", 400)  # many parts
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(evaluation._posterior_mode(model, x), expected, rtol=0, atol=1e-12)


def log_prob_of(model, x, z):
    """log p(x given z) of Bernoulli pixels by torch.distributions, (points, batch)."""
    return Bernoulli(logits=model.decoder(z)[:, None].detach()).log_prob(x).sum(dim=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nodes_and_weights_have_the_precision_of_the_images(dtype):
    eps, weight = evaluation._hermite_nodes(2, 3, torch.zeros(1, dtype=dtype))
    assert eps.dtype == weight.dtype == dtype and eps.shape == (9, 1, 2) and weight.shape == (9,)
    assert weight.sum().item() == pytest.approx(1, rel=1e-6)


def test_gaps_take_as_many_images_at_once_as_their_nodes_leave_room_for(monkeypatch):
    model, sizes = small_vae(), []
    x = small_x(model, 5)
    nodes_of_an_image = 3**2
    monkeypatch.setattr(evaluation, "_CHUNK", 2 * (2 * nodes_of_an_image * model.data_dim))  # two images
    ours = evaluation._elbos

    def counting(model, x, *rest):
        sizes.append(len(x))
        return ours(model, x, *rest)

    monkeypatch.setattr(evaluation, "_elbos", counting)
    gaps(model, x, steps=1, num_nodes=3, num_grid=20)
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize("needed", [(True, True), (True, False), (False, True)])
def test_only_the_gradients_that_are_asked_for_are_computed(needed):
    x, logits = torch.rand(3, 4, generator=generator()), torch.randn(3, 4, generator=generator())
    context = SimpleNamespace(saved_tensors=(x, logits), needs_input_grad=needed)
    found = likelihoods._BernoulliLogProb.backward(context, torch.ones(3))
    assert tuple(part is not None for part in found) == needed
