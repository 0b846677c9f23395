"""Edges: whole messages, mixed batches, numbers near a threshold, and which draws a seed gives."""

import re

import numpy as np
import pytest
from scipy import stats

from vae_helpers.numerics import gaussian, monte_carlo
from vae_helpers.numerics._validate import as_number, as_vectors
from vae_helpers.numerics.importance import importance_gap
from vae_helpers.numerics.linear_gaussian import LinearGaussian

WORLD = LinearGaussian([[1.0, 0.5], [-0.3, 2.0], [0.7, 0.1]], [0.1, -0.2, 0.3], 0.6)


def says(error, text):
    """That an error has this message, from its first letter to its last."""
    return pytest.raises(error, match=f"^{re.escape(text)}$")


# ---- which draws ----------------------------------------------------------------------------


def test_a_seed_gives_the_latents_and_then_the_noise_of_a_world():
    z, x = WORLD.sample(7, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    first, second = rng.standard_normal((7, 2)), rng.standard_normal((7, 3))
    assert np.array_equal(z, first)
    assert np.allclose((x - np.einsum("nd,Dd->nD", z, WORLD.weight) - WORLD.bias) / 0.6, second, rtol=1e-12)


def test_a_seed_gives_the_draws_of_an_estimated_kl():
    mu, std = np.array([0.3, -1.0]), np.array([0.5, 2.0])
    found = monte_carlo.kl_standard_normal_mc(mu, 2 * np.log(std), 50, np.random.default_rng(4))
    z = mu + std * np.random.default_rng(4).standard_normal((50, 2))
    ratios = (stats.norm.logpdf(z, mu, std) - stats.norm.logpdf(z)).sum(axis=1)
    assert found.mean == pytest.approx(ratios.mean(), rel=1e-12)
    assert found.standard_error == pytest.approx(ratios.std(ddof=1) / np.sqrt(50), rel=1e-12)


class _Counting(np.random.Generator):
    """A generator that remembers how many numbers each call asked for."""

    def __init__(self, seed):
        super().__init__(np.random.PCG64(seed))
        self.asked = []

    def standard_normal(self, size):
        self.asked.append(int(np.prod(size)))
        return super().standard_normal(size)


def test_all_draws_are_made_and_never_more_than_a_chunk_at_once():
    dim = monte_carlo._CHUNK // 2 + 1  # two rows would be more than a chunk
    rng = _Counting(0)
    monte_carlo.kl_standard_normal_mc(np.zeros(dim), 0.0, 3, rng)
    assert rng.asked == [dim] * 3


# ---- thresholds, batches --------------------------------------------------------------------


def test_a_small_divergence_keeps_its_digits_beside_a_large_one():
    near, far = np.diag([1 + 1e-8, 1.0]), np.diag([5.0, 7.0])
    both = gaussian.kl_full(np.zeros(2), np.stack([near, far]), np.zeros(2), np.eye(2))
    e = near[0, 0] - 1  # as it is rounded; ½ (e - log(1 + e)) = e²/4 - e³/6 …
    assert both[0] == pytest.approx(e**2 / 4 - e**3 / 6, rel=1e-9, abs=0)
    assert both[1] == pytest.approx(0.5 * (5 + 7 - 2 - np.log(35)), rel=1e-12)


def test_asymmetry_is_judged_by_the_size_of_each_matrix():
    def pair(scale, apart):
        return scale * np.array([[2.0, 0.5], [0.5 + apart, 1.0]])

    means = np.zeros(2)
    for fine in (pair(1e6, 1e-12), pair(1e-6, 1e-12), np.stack([pair(1e12, 1e-12), pair(1.0, 0.0)])):
        gaussian.kl_full(means, fine, means, np.eye(2))
    for scale in (1e6, 1.0, 1e-6):
        with says(ValueError, "cov_q: expected a symmetric matrix, got one that differs from its transpose"):
            gaussian.kl_full(means, pair(scale, 1e-6), means, np.eye(2))


def test_a_covariance_goes_with_the_means_of_both():
    with says(ValueError, "cov_q: expected shape (4, 3, 3), got (5, 3, 3)"):
        gaussian.kl_full(np.zeros(3), np.tile(np.eye(3), (5, 1, 1)), np.zeros((4, 3)), np.eye(3))


def test_an_integrand_is_given_the_grid_that_is_promised():
    seen = []
    gaussian.expectation(lambda z: seen.append(z) or z, 1.0, 0.5)
    assert seen[0].shape == (1201,)
    assert seen[0][[0, 600, -1]] == pytest.approx([1 - 12 * 0.5, 1.0, 1 + 12 * 0.5], abs=1e-14)


@pytest.mark.parametrize("x", [-1e9, -1e4])
def test_where_the_exponential_vanishes_a_divergence_is_exact(x):
    assert gaussian.kl_standard_normal(0.0, x) == 0.5 * (-x - 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: gaussian.log_prob(1e200, 0.0, -700.0),
        lambda: gaussian.kl_standard_normal(1e200, 0.0),
        lambda: gaussian.kl_diagonal(1e200, 0.0, 0.0, -700.0),
    ],
)
def test_what_is_infinite_is_so_without_a_complaint(call):
    with np.errstate(over="raise"):
        assert np.isinf(call())


def test_the_gap_of_very_many_draws_overflows_without_a_complaint():
    with np.errstate(over="raise"):
        assert np.isfinite(importance_gap(3.0, 0.3, [10**6])).all()


def test_worlds_take_batches_of_several_axes():
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 4, 2))
    mean = np.einsum("abd,Dd->abD", z, WORLD.weight) + WORLD.bias
    assert np.allclose(WORLD.log_likelihood(x, z), stats.norm.logpdf(x, mean, 0.6).sum(axis=-1), rtol=1e-12)


def test_a_scalar_becomes_one_event():
    vectors = as_vectors(a=np.ones((5, 4, 3)), b=2.0)
    assert vectors[1].shape == (3,)
    assert np.array_equal(vectors[1], [2.0] * 3)


def test_what_comes_after_a_scalar_is_looked_at_too():
    with says(ValueError, "mu_p: expected shape (3,) like mu_q, got (4,)"):
        gaussian.kl_diagonal(np.zeros(3), 0.0, np.zeros(4), 0.0)


# ---- messages -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 0.0, np.float32(0), np.zeros(1), np.zeros(())])
def test_the_least_number_is_allowed(value):
    assert as_number("beta", value, minimum=0) == 0.0


@pytest.mark.parametrize(
    "value, got",
    [(-1, "-1"), (-1.5, "-1.5"), (np.array([-2.5]), "-2.5"), (float("inf"), "inf"), (float("nan"), "nan")],
)
def test_too_small_a_number_is_told_the_least_one(value, got):
    with says(ValueError, f"beta: expected a finite number of at least 0, got {got}"):
        as_number("beta", value, minimum=0)


def test_a_number_without_a_least_one_may_be_negative_but_not_infinite():
    assert as_number("mu", -3) == -3.0
    with says(ValueError, "mu: expected finite numbers, got -inf in an array of shape ()"):
        as_number("mu", -np.inf)


@pytest.mark.parametrize("name", ["mean", "post_mean"])
def test_a_gap_names_the_mean_that_is_no_number(name):
    with says(TypeError, f"{name}: expected a number, got 'a'"):
        importance_gap(**{"mean": 0.0, "std": 1.0, "counts": [1], name: "a"})


def test_a_gap_of_no_draws():
    with says(ValueError, "counts: expected at least one number of draws, got none"):
        importance_gap(0.0, 1.0, [])


@pytest.mark.parametrize("name", ["x", "z"])
def test_a_world_names_what_is_no_array(name):
    with says(TypeError, f"{name}: expected an array of real numbers, got str"):
        WORLD.log_likelihood(**{"x": np.zeros(3), "z": np.zeros(2), name: "a"})
