"""Sums of terms read off values: their coefficients, what is averaged, and what is no sum."""

import math

import numpy as np
import pytest

from vae_helpers.checks.engine import fitting
from vae_helpers.checks.engine.fitting import (
    Reading,
    agrees,
    in_words,
    names_of,
    overall_factor,
    read,
    same,
    simple,
)
from vae_helpers.checks.engine.measuring import Measurement, Sample

CORE = {"a": lambda a, b: a, "b²": lambda a, b: b**2}
EXTRAS = {"1": lambda a, b: np.ones_like(a), "eᵃ": lambda a, b: np.exp(a), "ab": lambda a, b: a * b}


def sample(function, dim=3, rows=40, errors=0.0, group=1):
    """A function's values at random rows: of shape (rows, group, dim) in, the mean over each group out."""
    rng = np.random.default_rng(dim)
    a, b = rng.uniform(-2, 2, (2, rows, group, dim))
    return Sample((a, b), function(a, b).mean(axis=1), errors)


def both(function, **options):
    return Measurement([sample(function, 3, **options), sample(function, 5, **options)])


def summed(function):
    return lambda a, b: function(a, b).sum(axis=-1)


def right(a, b):
    return (2 * a - 0.5 * b**2).sum(axis=-1)


# ---- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize(
    "function, coefficients, averaged, grown",
    [
        (right, {"a": 2, "b²": -0.5}, (), ()),
        (lambda a, b: right(a, b) / a.shape[-1], {"a": 2, "b²": -0.5}, ("a", "b²"), ()),
        (lambda a, b: (2 * a).sum(-1) - 0.5 * (b**2).mean(-1), {"a": 2, "b²": -0.5}, ("b²",), ()),
        (lambda a, b: right(a, b) + 1.5, {"a": 2, "b²": -0.5, "1": 1.5}, ("1",), ()),
        (lambda a, b: right(a, b) + 1.5 * a.shape[-1], {"a": 2, "b²": -0.5, "1": 1.5}, (), ()),
        (lambda a, b: (2 * a).sum(-1) - a.shape[-1] * (b**2).sum(-1), {"a": 2, "b²": -3}, (), ("b²",)),
        (summed(lambda a, b: 2 * a), {"a": 2}, (), ()),
        (summed(lambda a, b: np.exp(a)), {"eᵃ": 1}, (), ()),
        (summed(lambda a, b: 2 * a + np.exp(a) - a * b), {"a": 2, "eᵃ": 1, "ab": -1}, (), ()),
    ],
)
def test_a_sum_of_terms_is_read(function, coefficients, averaged, grown, group):
    reading = read(both(function, group=group), CORE, EXTRAS)
    assert reading.coefficients == pytest.approx(coefficients, rel=1e-9)
    assert (reading.averaged, reading.grown) == (frozenset(averaged), frozenset(grown))
    assert reading.exact


@pytest.mark.parametrize(
    "function",
    [
        summed(lambda a, b: np.sin(3 * a)),
        summed(lambda a, b: a + np.exp(a) + a * b + 1),  # three terms more than the right ones
        lambda a, b: right(a, b) * a.shape[-1] ** 2,  # differs between the sizes by no factor that is known
        lambda a, b: right(a, b) * np.nan,
    ],
)
def test_what_is_no_sum_of_few_terms_is_not_read(function):
    assert read(both(function), CORE, EXTRAS) is None


def test_how_many_other_terms_are_tried_may_be_said():
    function = summed(lambda a, b: a + np.exp(a) + a * b + 1)
    assert read(both(function), CORE, EXTRAS, max_extras=3).coefficients == pytest.approx(
        {"a": 1, "eᵃ": 1, "ab": 1, "1": 1}
    )
    assert read(both(summed(lambda a, b: a + np.exp(a))), CORE, EXTRAS, max_extras=0) is None


def test_terms_of_a_whole_row():
    whole = {"max": lambda a, b: a.max(axis=-1)}
    reading = read(both(lambda a, b: right(a, b) + 3 * a.max(axis=-1)), CORE, EXTRAS, whole)
    assert reading.coefficients == pytest.approx({"a": 2, "b²": -0.5, "max": 3})
    assert not reading.averaged and not reading.grown


def test_values_of_float32_are_read_to_their_own_precision():
    reading = read(both(lambda a, b: right(a, b).astype(np.float32).astype(float)), CORE, EXTRAS)
    assert reading.coefficients == pytest.approx({"a": 2, "b²": -0.5}, rel=1e-4)
    assert not reading.exact


def test_noisy_values_are_read_as_far_as_their_errors_say():
    noise = 0.01

    def noisy(a, b):
        return right(a, b) + noise * np.random.default_rng(0).standard_normal(a.shape[:-1])

    reading = read(both(noisy, errors=np.full(40, noise)), CORE, EXTRAS)
    assert reading.coefficients == pytest.approx({"a": 2, "b²": -0.5}, rel=0.05)
    assert reading.exact
    assert read(both(noisy), CORE, EXTRAS) is None


def test_what_a_tiny_number_for_safety_leaves_is_dropped():
    def safe(a, b):
        return (2 * a - 0.5 * b**2 + 1e-8 * np.exp(a)).sum(axis=-1)

    assert read(both(safe), CORE, EXTRAS).coefficients == pytest.approx({"a": 2, "b²": -0.5})
    more = read(both(lambda a, b: (2 * a - 0.5 * b**2 + 1e-2 * np.exp(a)).sum(axis=-1)), CORE, EXTRAS)
    assert more.coefficients == pytest.approx({"a": 2, "b²": -0.5, "eᵃ": 1e-2}, rel=1e-5)


def test_a_reading_has_values():
    rows = np.array([[1.0, 2.0, 4.0]]), np.array([[0.5, 1.0, 2.0]])
    terms = {**CORE, **EXTRAS}
    assert Reading({"a": 2.0, "b²": -1.0}, frozenset()).at(terms, *rows) == 2 * 7 - 5.25
    assert Reading({"a": 2.0, "b²": -1.0}, frozenset({"a"})).at(terms, *rows) == pytest.approx(14 / 3 - 5.25)
    with np.errstate(all="raise"):
        assert Reading({"eᵃ": 1.0}, frozenset()).at(terms, np.array([[1e4]]), rows[1][:, :1]) == math.inf


# ---- agreement ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "off, tolerance, holds",
    [
        (lambda v: 0.9e-4 * (1 + np.abs(v)), 1e-4, True),
        (lambda v: 1.1e-4 * (1 + np.abs(v)), 1e-4, False),
        (lambda v: -1.1e-4 * (1 + np.abs(v)), 1e-4, False),
        (lambda v: 0.02 * (1 + np.abs(v)), 0.03, True),
        (lambda v: np.where(np.arange(len(v)) == 3, np.nan, 0), 1e-4, False),
        (lambda v: np.where(np.arange(len(v)) == 3, 1.0, 0), 1e-4, False),
    ],
)
def test_agreement_up_to_rounding(off, tolerance, holds):
    measured = sample(right)
    measured.values = measured.values + off(measured.values)
    assert agrees(measured, right, tolerance) is holds
    if tolerance == 1e-4:
        assert agrees(measured, right) is holds


@pytest.mark.parametrize(
    "single, all_, holds",  # in standard errors: of one row, and of every row
    [(5.5, 0.0, True), (6.5, 0.0, False), (0.0, 0.7, True), (0.0, 0.9, False), (0.0, -0.9, False)],
)
def test_agreement_up_to_noise(single, all_, holds):
    error = 10.0  # beside it rounding is nothing
    measured = sample(right, errors=np.full(40, error))
    measured.values = measured.values + error * all_
    measured.values[3] += error * single
    assert agrees(measured, right) is holds  # the mean of 40 rows may be off by 5/√40 = 0.79


# ---- factors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "factors, scale",
    [
        ({"a": 2.0, "b": 2.0, "c": 1.0}, 2.0),
        ({"a": -1.0, "b": -1.0, "c": -1.0}, -1.0),
        ({"a": 0.3, "b": 0.3, "c": 1.0}, 0.3),
        ({"a": 3.0, "b": 4.0, "c": 5.0}, 3.0),
        ({"a": 3.0, "b": 4.0, "c": 5.0, "d": 6.0}, 1.0),
        ({"a": 0.0, "b": 0.0, "c": 0.0}, 1.0),
        ({"a": 2.0, "b": 1.0}, 1.0),
        ({"a": 2.0, "b": 0.0, "c": 0.0}, 2.0),
        ({"a": 2.0, "b": 0.0, "c": 0.0, "d": 0.0}, 1.0),
    ],
)
def test_the_factor_of_most_terms(factors, scale):
    assert overall_factor(factors) == scale


def test_a_term_may_count_less():
    factors = {"a": 2.0, "b": 2.0, "c": 1.0}
    assert overall_factor(factors, {"a": 0.4, "b": 0.4}) == 1.0
    assert overall_factor(factors, {"c": 0.1}) == 2.0


@pytest.mark.parametrize("value", [1, -1, 0.5, 2, -3, 1 / 3, 5 / 12, 40, 1 / 784, -1 / 1999, 1 / 13, 0.0])
def test_factors_that_people_write(value):
    assert simple(value)


@pytest.mark.parametrize("value", [0.437, 1.45, 41.0, 0.0731, 1 / 2010, 1 / 150.4])
def test_factors_that_nobody_writes(value):
    assert not simple(value)


@pytest.mark.parametrize(
    "a, b, holds",
    [(1, 1.0019, True), (1, 1.0021, False), (-1, 1, False), (0, 0, True), (0, 1e-9, True), (0, 1e-8, False),
     (100, 100.19, True), (-100, -100.21, False)],
)  # fmt: skip
def test_coefficients_that_are_the_same(a, b, holds):
    assert same(a, b) is same(b, a) is holds


@pytest.mark.parametrize(
    "value, words",
    [(2.0, "2"), (-0.5, "-1/2"), (1 / 784, "1/784"), (1 / 3, "1/3"), (0.3335, "1/3"), (0.334, "0.334"),
     (20 / 21, "20/21"), (21 / 22, "0.955"), (-21 / 22, "-0.955"), (784.0, "784"), (1 / 1001, "0.000999"),
     (0.0, "0"), (1.4427, "1.44"), (1e-5, "1e-05")],
)  # fmt: skip
def test_factors_in_words(value, words):
    assert in_words(value) == words


@pytest.mark.parametrize(
    "items, words", [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_in_words(items, words):
    assert names_of(iter(items)) == words


# ---- least squares --------------------------------------------------------------------------


def test_no_terms_give_zero_alone():
    assert fitting._fit({}, np.zeros(3), 1.0) == ({}, 0.0)
    assert fitting._fit({}, np.array([0, 0, 1e-6]), 1.0) is None


def test_a_fit_has_its_largest_error():
    columns = {"x": np.array([1.0, 1, 1, 1])}
    values = np.array([1.0, 1, 1, 5])
    coefficients, error = fitting._fit(columns, values, 3.0)
    assert coefficients == {"x": pytest.approx(2.0)} and error == pytest.approx(3.0)
    assert fitting._fit(columns, values, 2.9) is None
    assert fitting._fit(columns, values * np.nan, np.inf) is None
    assert fitting._fit({"x": np.array([np.inf, 1, 1, 1])}, values, np.inf) is None


def test_columns_of_any_size_and_of_zeros_are_fitted():
    t = np.linspace(0, 1, 9)
    columns = {"small": 1e-12 * t**2, "large": 1e12 * t, "none": 0 * t}
    coefficients, _ = fitting._fit(columns, 3e-12 * t**2 - 2e12 * t, 1.0)
    assert coefficients["large"] == pytest.approx(-2) and coefficients["none"] == 0
    coefficients, _ = fitting._fit(columns, 3 * 1e-12 * t**2, 1e-13)
    assert coefficients == pytest.approx({"small": 3, "large": 0, "none": 0}, abs=1e-9)


# ---- thresholds -----------------------------------------------------------------------------


def test_exact_values_agree_without_any_tolerance():
    assert agrees(sample(right), right, tolerance=0.0)


@pytest.mark.parametrize(
    "larger, noise, averaged, grown",
    [
        (1.001, 0.0, set(), set()),
        (1.15, 0.1, set(), set()),
        (0.6 * 1.001, 0.0, {"a"}, set()),
        (5 / 3 * 1.001, 0.0, set(), {"a"}),
        (1.15, 0.0, None, None),
        (1.3, 0.1, None, None),
        (0.6 * 1.01, 0.0, None, None),
        (5 / 3 * 1.01, 0.0, None, None),
        (-1.0, 0.1, None, None),
        (0.2, 0.0, None, None),
    ],
)
def test_coefficients_at_two_sizes(larger, noise, averaged, grown):
    reading = fitting._compare({"a": 1.0}, {"a": larger}, (3, 5), (), noise)
    if averaged is None:
        assert reading is None
    else:
        assert (reading.averaged, reading.grown) == (averaged, grown)
        assert reading.coefficients == {"a": 3.0 if averaged else 1.0}
    whole = fitting._compare({"a": 1.0}, {"a": larger}, (3, 5), {"a"}, noise)
    assert whole == Reading({"a": 1.0}, frozenset())


@pytest.mark.parametrize("size, kept", [(5e-4, False), (2e-3, True)])
def test_traces_are_small_beside_the_values(size, kept):
    measured = sample(right)
    measured.values = 100 * measured.values / np.abs(measured.values).max()  # so 1e-3 is the limit
    value = size / np.abs(measured.column(EXTRAS["ab"])).max()
    reading = Reading({"a": 1e-9, "ab": value}, frozenset({"ab"}), frozenset({"ab"}))
    found = fitting._without_traces(reading, {**CORE, **EXTRAS}, CORE, measured)
    assert set(found.coefficients) == ({"a", "ab"} if kept else {"a"})
    assert found.averaged == found.grown == ({"ab"} if kept else set())


def test_what_noise_alone_brings_in_is_not_read():
    def noisy(a, b):
        return 2 * a.sum(-1) + 0.05 * np.random.default_rng(a.shape[-1]).standard_normal(a.shape[:-1])

    reading = read(both(noisy, errors=np.full(40, 0.05)), CORE, EXTRAS)
    assert set(reading.coefficients) == {"a"}
    assert reading.coefficients["a"] == pytest.approx(2, rel=0.05)


def test_of_two_terms_that_fit_the_first_is_read():
    twins = {"ab": lambda a, b: a * b, "ba": lambda a, b: b * a}
    assert set(read(both(summed(lambda a, b: a + a * b)), CORE, twins).coefficients) == {"a", "ab"}


def test_what_rounding_and_noise_may_do():
    measured = sample(right)
    measured.values = np.zeros(40)
    assert fitting._slack(measured, 1e-3, 0.5) == (1e-6, 1e-6 + 2.5)
    measured.values[3] = -2.0
    assert fitting._slack(measured, 1e-3, 0.0) == (2e-3, 2e-3)


@pytest.mark.parametrize("usual", [1.0, -1.0, 2.0, -2.0])
def test_of_two_factors_the_usual_one_is_preferred(usual):
    assert overall_factor({"a": 5.0, "b": 5.0, "c": usual, "d": usual}) == usual


def test_nearly_half_of_the_terms_are_enough():
    assert overall_factor({"a": 2.0, "b": 3.0}, {"a": 0.4, "b": 0.1}) == 2.0
    assert overall_factor({"a": 2.0, "b": 3.0}, {"a": 0.39, "b": 0.1}) == 1.0


def test_factors_at_the_limits_of_what_people_write():
    assert simple(1 / 2000)
    assert not simple(1 / 2000.9) and not simple(5 / 13)
    assert same(1, 1.002002) and same(1.002002, 1)
    assert in_words(1234.0) == "1234"
