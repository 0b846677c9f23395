"""Monte Carlo estimates against SciPy's statistics and the exact KL; every seed is fixed."""

import tracemalloc
from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats
from support.draws import assert_near

from vae_helpers.numerics import gaussian, monte_carlo
from vae_helpers.numerics.monte_carlo import estimate, kl_standard_normal_mc

# --- estimate ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2,), (3,), (50,), (2, 4), (40, 3, 2)])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_estimate_matches_scipy(shape, level):
    values = np.random.default_rng(0).normal(3, 2, size=shape)
    got = estimate(values, level)
    error = stats.sem(values, axis=0)
    low, high = stats.t.interval(level, shape[0] - 1, loc=values.mean(axis=0), scale=error)
    assert (got.count, got.level) == (shape[0], level)
    for result, expected in zip(
        (got.mean, got.standard_error, *got.interval), (values.mean(axis=0), error, low, high), strict=True
    ):
        assert np.shape(result) == shape[1:]
        np.testing.assert_allclose(result, expected, rtol=1e-12)


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e-30, 1e200, 1e307])
def test_draws_of_any_size_have_an_error_of_that_size(size):
    """Such are likelihoods of images; their squares are no floats."""
    got = estimate(np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0]]) * size)
    np.testing.assert_allclose(got.mean, [3 * size, 0], rtol=1e-3)
    np.testing.assert_allclose(got.standard_error, [2 * size / np.sqrt(3), 0], rtol=1e-3)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-5, -7.7])
@pytest.mark.parametrize("count", [3, 7, 1000])
def test_equal_draws_have_no_error(value, count):
    got = estimate(np.full((count, 2), value))
    assert (got.mean == value).all() and (got.standard_error == 0).all()


def test_a_long_mean_keeps_its_digits_along_any_axis():
    values = np.random.default_rng(2).normal(size=(100_000, 2)) + 1e3
    truth = [float(sum(map(Fraction, column)) / len(column)) for column in values.T.tolist()]
    np.testing.assert_allclose(estimate(values).mean, truth, rtol=2.3e-16)


def test_level_is_95_percent_unless_asked():
    values = np.random.default_rng(1).normal(size=20)
    assert estimate(values).level == 0.95
    np.testing.assert_array_equal(estimate(values).interval, estimate(values, 0.95).interval)


def test_two_draws_by_hand():
    # s = 2/√2 and √n = √2, so that the standard error is 1; t has one degree of freedom.
    got = estimate([1, 3])
    assert (got.mean, got.standard_error) == (2, pytest.approx(1, rel=1e-15))
    assert got.interval[1] == pytest.approx(2 + np.tan(0.475 * np.pi), rel=1e-12)


def test_constant_draws_have_no_error():
    got = estimate(np.full(5, 0.25))
    assert (got.standard_error, got.interval) == (0, (0.25, 0.25))


@pytest.mark.parametrize("convert", [np.float32, np.int32, torch.tensor])
def test_estimate_accepts_other_types_and_leaves_them_alone(convert):
    values = convert(np.array([1, 2, 4]))
    got = estimate(values)
    assert got.mean.dtype == np.float64
    assert got.mean == pytest.approx(7 / 3, rel=1e-15)
    assert values.tolist() == [1, 2, 4]


def test_estimate_is_frozen_and_shows_itself():
    got = estimate([1.0, 3.0])
    assert repr(got) == "2.0000 ± 1.0000 (2 draws)"
    assert repr(estimate(np.ones((4, 3)))) == "Estimate of shape (3,) (4 draws)"
    with pytest.raises(FrozenInstanceError):
        got.mean = 0.0


@pytest.mark.parametrize("count", [3, 30])
def test_intervals_of_normal_draws_cover_in_95_percent_of_repetitions(count):
    # With three draws, a normal quantile in the place of Student's would cover 81 % only.
    draws = np.random.default_rng(2).normal(1.5, 2, size=(count, 2000))
    low, high = estimate(draws).interval
    covered = ((low <= 1.5) & (1.5 <= high)).mean()
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)  # sees a coverage that is off by 2 %


@pytest.mark.parametrize("false_alarm, miss", [(0.05, 0.05), (0.001, 0.2)])
def test_what_an_estimate_sees_has_the_power_of_the_noncentral_t(false_alarm, miss):
    count = 400
    got = estimate(np.random.default_rng(1).normal(3, 2, size=(count, 4)))
    away = got.sees(false_alarm, miss) / got.standard_error
    room = stats.t(count - 1).isf(false_alarm / 2)
    missed = stats.nct(count - 1, away).cdf(room) - stats.nct(count - 1, away).cdf(-room)
    np.testing.assert_allclose(missed, miss, rtol=0.02)
    assert np.array_equal(estimate([1.0, 1.0]).sees(), 0)


@pytest.mark.parametrize("name", ["false_alarm", "miss"])
@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5])
def test_what_is_no_probability_is_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected a number between 0 and 1, got {value}"):
        estimate([1.0, 2.0]).sees(**{name: value})


@pytest.mark.parametrize(
    ("values", "level", "error", "message"),
    [
        ([1.0], 0.95, ValueError, r"values: expected at least 2 draws .* got shape \(1,\)"),
        (np.ones((1, 5)), 0.95, ValueError, r"values: expected at least 2 draws .* got shape \(1, 5\)"),
        (1.0, 0.95, ValueError, r"values: expected at least 2 draws .* got shape \(\)"),
        ([], 0.95, ValueError, "values: .* empty array"),
        ([1.0, np.nan], 0.95, ValueError, "values: expected finite numbers, got nan"),
        ([1.0, np.inf], 0.95, ValueError, "values: expected finite numbers, got inf"),
        (["1", "2"], 0.95, TypeError, "values: expected an array of real numbers"),
        (None, 0.95, TypeError, "values: expected an array of real numbers"),
        ([1j, 2.0], 0.95, TypeError, "values: expected an array of real numbers"),
        ([1.0, 2.0], 0.0, ValueError, "level: expected a number between 0 and 1, got 0"),
        ([1.0, 2.0], 1.0, ValueError, "level: expected a number between 0 and 1, got 1"),
        ([1.0, 2.0], 95, ValueError, "level: expected a number between 0 and 1, got 95"),
        ([1.0, 2.0], np.nan, ValueError, "level: expected finite numbers, got nan"),
        ([1.0, 2.0], "0.95", TypeError, "level: expected a number, got '0.95'"),
        ([1.0, 2.0], True, TypeError, "level: expected a number, got True"),
    ],
)
def test_estimate_refuses_what_has_no_standard_error(values, level, error, message):
    with pytest.raises(error, match=f"^{message}"):
        estimate(values, level)


# --- the KL by Monte Carlo --------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("mu", "log_var"),
    [
        (np.array([0.5, -1.0]), np.array([-2.0, 0.3])),
        (np.zeros(20), np.full(20, 1.0)),
        (np.linspace(-2, 2, 6).reshape(3, 2), np.linspace(-3, 1, 6).reshape(3, 2)),
        (np.array(1.5), -1.0),
    ],
    ids=["2 latents", "20 latents", "batch", "scalar"],
)
def test_kl_is_the_mean_of_its_draws(mu, log_var, seed):
    got = kl_standard_normal_mc(mu, log_var, 20_000, np.random.default_rng(seed))
    exact = gaussian.kl_standard_normal(mu, log_var)
    assert got.count == 20_000
    assert got.mean.shape == exact.shape
    assert_near(got.mean, got.standard_error, exact, 0.4, got.count)


def test_standard_error_is_the_exact_one_within_three_percent():
    # log q/p = ½(z² - ε² - log σ²) with z = μ + σε has the variance ½(σ² - 1)² + μ²σ².
    mu, log_var, num = 0.8, -1.3, 100_000
    variance = 0.5 * (np.exp(log_var) - 1) ** 2 + mu**2 * np.exp(log_var)
    got = kl_standard_normal_mc(mu, log_var, num, np.random.default_rng(0))
    assert got.standard_error == pytest.approx(np.sqrt(variance / num), rel=0.03)


def test_intervals_cover_the_kl_in_95_percent_of_repetitions():
    mu, log_var = np.tile([0.7, -0.4], (2000, 1)), np.array([-1.0, 0.5])
    low, high = kl_standard_normal_mc(mu, log_var, 400, np.random.default_rng(1)).interval
    exact = gaussian.kl_standard_normal(mu[0], log_var)
    covered = ((low <= exact) & (exact <= high)).mean()
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)  # sees a coverage that is off by 2 %


def test_two_draws_are_enough_and_one_is_not():
    assert kl_standard_normal_mc(0.0, 1.0, 2, np.random.default_rng(0)).count == 2
    with pytest.raises(ValueError, match="^num_samples: expected at least 2, got 1$"):
        kl_standard_normal_mc(0.0, 1.0, 1, np.random.default_rng(0))


def test_draws_at_the_prior_all_give_zero():
    got = kl_standard_normal_mc(np.zeros(3), 0.0, 10, np.random.default_rng(0))
    assert (got.mean, got.standard_error) == (0, 0)


@pytest.mark.parametrize(
    ("mu", "log_var", "shape"),
    [((2,), (2,), ()), ((5, 2), (2,), (5,)), ((2,), (5, 2), (5,)), ((4, 1, 3), (6, 3), (4, 6))],
)
def test_leading_axes_broadcast(mu, log_var, shape):
    rng = np.random.default_rng(3)
    got = kl_standard_normal_mc(rng.normal(size=mu), rng.normal(size=log_var), 5, rng)
    assert {np.shape(a) for a in (got.mean, got.standard_error, *got.interval)} == {shape}


@pytest.mark.parametrize("chunk", [1, 7, 60, 599, 600, 601])
def test_chunked_draws_are_the_unchunked_ones(monkeypatch, chunk):
    rng = np.random.default_rng(4)
    mu, log_var = rng.normal(size=(2, 3, 2))
    whole = kl_standard_normal_mc(mu, log_var, 100, np.random.default_rng(5))
    monkeypatch.setattr(monte_carlo, "_CHUNK", chunk)
    parts = kl_standard_normal_mc(mu, log_var, 100, np.random.default_rng(5))
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(parts.standard_error, whole.standard_error, rtol=1e-13)


def test_memory_does_not_grow_with_the_draws():
    num, dim = 2**15, 512
    tracemalloc.start()
    try:
        kl_standard_normal_mc(np.zeros(dim), 0.5, num, np.random.default_rng(0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # All draws at once would be 134 MB, several times over; a chunk is 8 MB.
    assert peak < num * dim * 8 / 2


def test_same_seed_same_numbers_and_no_global_state():
    state = np.random.get_state()  # noqa: NPY002
    first, second, other = (
        kl_standard_normal_mc([0.5], [-1.0], 50, np.random.default_rng(seed)).mean for seed in (7, 7, 8)
    )
    assert first == second != other
    assert all(np.array_equal(a, b) for a, b in zip(state, np.random.get_state(), strict=True))  # noqa: NPY002


def test_inputs_of_other_types_are_left_alone():
    mu, log_var = np.ones(2, dtype=np.float32), torch.zeros(2)
    got = kl_standard_normal_mc(mu, log_var, np.int64(10), np.random.default_rng(0))
    expected = kl_standard_normal_mc([1, 1], 0, 10, np.random.default_rng(0))
    assert got.mean == expected.mean
    assert mu.tolist() == [1, 1] and log_var.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"num_samples": 0}, ValueError, "num_samples: expected at least 2, got 0"),
        ({"num_samples": -3}, ValueError, "num_samples: expected at least 2, got -3"),
        ({"num_samples": True}, TypeError, "num_samples: expected a whole number, got True"),
        ({"num_samples": 100.0}, TypeError, "num_samples: expected a whole number, got 100.0"),
        ({"num_samples": "10"}, TypeError, "num_samples: expected a whole number, got '10'"),
        ({"num_samples": None}, TypeError, "num_samples: expected a whole number, got None"),
        ({"rng": 0}, TypeError, r"rng: expected numpy.random.default_rng\(seed\), got int"),
        ({"rng": np.random.RandomState(0)}, TypeError, "rng: expected .*, got RandomState"),
        ({"rng": None}, TypeError, "rng: expected .*, got NoneType"),
        ({"rng": np.random}, TypeError, "rng: expected .*, got module"),
        (
            {"log_var": np.zeros((64, 3))},
            ValueError,
            r"log_var: expected shape \(64, 2\) like mu, got \(64, 3\)",
        ),
        (
            {"log_var": np.zeros((64, 1))},
            ValueError,
            r"log_var: expected shape \(64, 2\) like mu, got \(64, 1\)",
        ),
        ({"mu": [np.nan, 0.0]}, ValueError, "mu: expected finite numbers, got nan"),
        ({"log_var": None}, TypeError, "log_var: expected an array of real numbers, got NoneType"),
    ],
)
def test_kl_refuses_what_describes_no_gaussian_and_no_draws(change, error, message):
    good = {"mu": np.zeros((64, 2)), "log_var": 0.0, "num_samples": 10, "rng": np.random.default_rng(0)}
    with pytest.raises(error, match=f"^{message}"):
        kl_standard_normal_mc(**(good | change))
