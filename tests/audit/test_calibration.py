"""Ranks in linear worlds, whose posterior is known, and Pareto k̂ of samples whose k is known."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from support.worlds import linear_world, small_vae, small_x

from vae_helpers.audit.calibration import pareto_k, ranks

NUM = 4000


def pairs(shift=0.0, wider=0.0):
    """A model whose q is the posterior but shifted and wider in its first latent, and pairs from it."""
    world, model, _ = linear_world(3, 5, exact_posterior=True, orthogonal=True)
    with torch.no_grad():
        model.encoder.bias[0] += shift * torch.exp(0.5 * model.encoder.bias[3])
        model.encoder.bias[3] += wider
    z, x = (torch.from_numpy(part) for part in world.sample(NUM, np.random.default_rng(1)))
    return model, x, z


# --- Ranks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shift, std, rms",
    [(0.0, 1.0, 1.0), (0.0, 0.5, 2.0), (0.0, 2.0, 0.5), (1.0, 1.0, math.sqrt(2))],
    ids=["posterior", "narrow", "wide", "shifted"],
)
def test_ranks_tell_which_latent_is_off_and_how(shift, std, rms):
    found = ranks(*pairs(shift, 2 * math.log(std)))
    assert found.u.shape == (NUM, 3) and all(part.shape == (3,) for part in found[1:])
    assert (np.abs(found.rms - [rms, 1, 1]) < 5 * found.rms_error).all()
    assert found.rms_error.max() < 0.03  # sees a q that is too wide by a seventh
    assert (found.p_value > 1e-3).tolist() == [rms == 1, True, True]
    assert found.p_value[0] < 1e-30 or rms == 1


def test_ranks_are_those_of_scipy():
    model, x, z = pairs(0.5, 1.0)
    mu, log_var = (part.detach().numpy() for part in model.encode(x))
    found = ranks(model, x, z)
    u = stats.norm(mu, np.exp(log_var / 2)).cdf(z.numpy())
    np.testing.assert_allclose(found.u, u, rtol=1e-12)
    p_value = [stats.kstest(column, "uniform").pvalue for column in u.T]
    np.testing.assert_allclose(found.p_value, p_value, rtol=1e-6)


def test_the_error_of_rms_is_that_of_normal_numbers():
    np.testing.assert_allclose(ranks(*pairs()).rms_error, 1 / math.sqrt(2 * NUM), rtol=0.1)


def test_ranks_in_float32():
    model, x, z = pairs(0.5)
    expected, found = ranks(model, x, z), ranks(model.float(), x.float(), z.float())
    assert found.u.dtype == np.float64
    np.testing.assert_allclose(found.rms, expected.rms, rtol=1e-4)


@pytest.mark.parametrize(
    "x, z, message", [(4, 3, "one for each of the 4 images"), (1, 1, "at least two rows")]
)
def test_bad_pairs(x, z, message):
    model = small_vae()
    with pytest.raises(ValueError, match=message):
        ranks(model, small_x(model, x), torch.zeros(z, 2))


# --- Pareto k̂ -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [-0.3, 0.0, 0.3, 0.5, 0.7, 1.0])
def test_k_of_generalized_pareto_samples(k):
    """The tail of a generalized Pareto distribution has its k; on average over 400 samples."""
    num, columns = 4000, 400
    weights = stats.genpareto(k).rvs((num, columns), random_state=np.random.default_rng(3))
    found = pareto_k(np.log(weights))
    tail = math.ceil(3 * math.sqrt(num))
    expected = (tail * k + 5) / (tail + 10)  # with the prior of ten draws at 0.5
    assert found.mean() == pytest.approx(expected, abs=0.05)
    assert found.std() == pytest.approx((1 + max(k, 0)) / math.sqrt(tail), rel=0.35)


@pytest.mark.parametrize("num, tail", [(100, 20), (1000, 95)])
def test_k_is_near_that_of_maximum_likelihood(num, tail):
    """On the tail that is fitted, of S / 5 draws or 3 √S, after the prior is taken out."""
    log_weights = 1.5 * np.random.default_rng(4).standard_normal((num, 30))
    found = ((tail + 10) * pareto_k(log_weights) - 5) / tail
    weights = np.sort(np.exp(log_weights), axis=0)
    excess = weights[-tail:] - weights[-tail - 1]
    likeliest = np.array([stats.genpareto.fit(column, floc=0)[0] for column in excess.T])
    # Both vary by 0.15 and 0.3 over the samples, the difference much less.
    assert np.corrcoef(found, likeliest)[0, 1] > 0.95
    assert np.abs(found - likeliest).mean() < 0.15


def test_k_of_a_gaussian_that_is_too_narrow():
    """q = N(0, s²) for p = N(0, 1) has weights exp(½ (1/s² - 1) z²), whose tail has k = 1 - s²."""
    z = np.random.default_rng(5).standard_normal((20_000, 50))
    found = [pareto_k(0.5 * (1 - s**2) * z**2).mean() for s in (0.9, 0.7, 0.5, 0.3)]
    # The tail is reached slowly: k̂ of a finite sample is a little too large.
    np.testing.assert_allclose(found, 1 - np.square([0.9, 0.7, 0.5, 0.3]), atol=0.15)
    assert (np.diff(found) > 0.1).all()


def test_k_does_not_depend_on_scale_and_order():
    rng = np.random.default_rng(6)
    log_weights = rng.normal(size=(200, 2, 3))
    found = pareto_k(log_weights)
    assert found.shape == (2, 3)
    np.testing.assert_allclose(pareto_k(log_weights - 5000), found, rtol=1e-8)
    np.testing.assert_array_equal(pareto_k(rng.permutation(log_weights)), found)
    np.testing.assert_allclose(pareto_k(log_weights[:, 1, 2]), found[1, 2], rtol=1e-12)
    small = log_weights.copy()
    small[log_weights < np.median(log_weights, axis=0)] -= 100  # not in the tail
    np.testing.assert_array_equal(pareto_k(small), found)


def test_k_of_a_tensor_of_float32():
    log_weights = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(pareto_k(log_weights), pareto_k(log_weights.double().numpy()))


def test_k_of_extreme_weights(recwarn):
    rng = np.random.default_rng(7)
    assert pareto_k(np.zeros(100)) == -np.inf
    assert (pareto_k(3000 * rng.normal(size=(100, 20))) > 10).all()
    assert np.isfinite(pareto_k(1e-9 * rng.normal(size=(100, 20)))).all()
    ties = np.round(rng.normal(size=(100, 20)), 1)
    assert np.isfinite(pareto_k(ties)).all()
    assert not recwarn.list


@pytest.mark.parametrize(
    "log_weights, message",
    [
        (np.zeros(24), r"at least 25 draws along the first axis, got shape \(24,\)"),
        (np.full(30, np.nan), "expected finite numbers"),
    ],
)
def test_bad_log_weights(log_weights, message):
    with pytest.raises(ValueError, match=message):
        pareto_k(log_weights)
