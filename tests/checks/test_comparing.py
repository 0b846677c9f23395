"""An answer's numbers beside the right ones, and the words for them."""

import numpy as np
import pytest
import torch

from vae_helpers.checks.engine import comparing
from vae_helpers.checks.engine.comparing import (
    all_close,
    as_numbers,
    counterexample,
    describe,
    in_shape_of,
    show,
    wrong_shape,
)
from vae_helpers.checks.engine.report import Finding

RIGHT = np.array([1.5, 4.0, 0.5, 3.0])
SIGNED = np.array([1.5, -4.0, 0.5, 3.0])


# ---- values as arrays -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, array",
    [
        (3, np.array(3.0)),
        ([1, 2], np.array([1.0, 2.0])),
        ((1.0, np.array([2.0])), np.array([1.0, 2.0])),
        ((np.ones((1, 2)), np.zeros(2)), np.array([[1.0, 1.0], [0.0, 0.0]])),
        ((np.ones((2, 1)), 7.0), np.array([1.0, 1.0, 7.0])),
        ((np.arange(4.0).reshape(2, 2), np.arange(2.0)), np.array([0.0, 1, 2, 3, 0, 1])),
        ((), np.array([])),
        (torch.tensor([1.0, 2.0]), np.array([1.0, 2.0])),
    ],
)
def test_numbers_of_any_kind_become_one_array(value, array):
    found = as_numbers(value)
    assert found.dtype == np.float64 and found.shape == array.shape
    assert np.array_equal(found, array)


@pytest.mark.parametrize(
    "expected, value, shape",
    [
        ((2, 3), (1, 2, 3), (2, 3)),
        ((2, 1), (2,), (2, 1)),
        ((), (1, 1), ()),
        ((2, 3), (3, 2), (3, 2)),
        ((6,), (2, 3), (2, 3)),
        ((2, 1), (3,), (3,)),
    ],
)
def test_axes_of_size_one_come_and_go(expected, value, shape):
    assert in_shape_of(np.zeros(expected), np.zeros(value)).shape == shape


@pytest.mark.parametrize(
    "given, wanted, tolerance, close",
    [
        (0.0, 0.1, 0.1, True),  # relative to 1 + |value|
        (0.0, 0.1, 0.09, False),
        (9.0, 10.0, 0.1, True),
        (8.0, 10.0, 0.1, False),
        (-9.0, -10.0, 0.1, True),
        (12.0, 10.0, 0.1, False),
        (np.nan, 1.0, 1.0, False),
    ],
)
def test_closeness(given, wanted, tolerance, close):
    assert all_close([np.array([given])], [np.array([wanted])], tolerance) is close
    assert not all_close([np.array([given]), np.array(0.0)], [np.array([wanted]), np.array(9.0)], tolerance)


def test_as_many_values_as_right_ones():
    with pytest.raises(ValueError, match="shorter|longer"):
        all_close([np.array(1.0)], [np.array(1.0), np.array(2.0)], 0.1)


# ---- words ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names, case, words",
    [
        (["mu", "std"], (1, 0.5), "mu = 1, std = 0.5"),
        (["x"], (0.123456789,), "x = 0.123457"),
        (["how"], ("sum",), "how = 'sum'"),
        (["x"], (np.array([1.0, -0.0, 0.12346]),), "x = [1.    , 0.    , 0.1235]"),
        (["x"], (np.zeros((2, 3)),), "x = [[0., 0., 0.], [0., 0., 0.]]"),
        (["x"], (np.zeros(7),), "x of shape (7,)"),
        (["x", "f"], (torch.zeros(2, 2), print), "x of shape (2, 2)"),
        (["f"], (print,), "the first case"),
    ],
)
def test_arguments_in_words(names, case, words):
    assert show(names, case).replace(",  [", ", [") == words


@pytest.mark.parametrize(
    "given, wanted, words",
    [
        ([1.0, 2.5], [1.0, 2.0], "For a = 2 your function gives 2.5; expected 2."),
        ([1.0, 2.0], [1.0, 2.0], ""),
        ([3.0, np.nan], [1.0, 2.0], "For a = 2 your function gives nan; expected 2."),
        ([[1.0, -0.0], [2.0, 0]], [[1.0, 1], [2.0, 0]],
         "For a = 1 your function gives (1, 0); expected (1, 1)."),
        (
            [np.eye(2), np.eye(2)],
            [np.eye(2), 2 * np.eye(2)],
            "For a = 2 your function gives [(1, 0), (0, 1)]; expected [(2, 0), (0, 2)].",
        ),
        ([np.arange(4.0)] * 2, [np.arange(1.0, 5)] * 2,
         "For a = 1 your function gives (0, 1, 2, 3); expected (1, 2, 3, 4)."),
        (
            [np.zeros(5), np.array([0, 0, 0, 1.23456789, 8])],
            [np.zeros(5), np.array([0, 0, 0, 2.0, 9])],
            "For a = 2 entry 3 of your result is 1.2346; expected 2.",
        ),
    ],
)  # fmt: skip
def test_the_first_case_that_differs(given, wanted, words):
    values = [[np.array(value, float) for value in side] for side in (given, wanted)]
    assert counterexample(["a"], [(1,), (2,)], *values, 1e-4) == words


@pytest.mark.parametrize("side", range(3))
def test_as_many_cases_as_values(side):
    lists = [[(1,), (2,)], [np.zeros(1)] * 2, [np.zeros(1)] * 2]
    lists[side] = lists[side][:1]
    with pytest.raises(ValueError, match="shorter|longer"):
        counterexample(["a"], *lists, 1e-4)


def test_as_many_names_as_arguments():
    with pytest.raises(ValueError, match="shorter|longer"):
        show(["a"], (1, 2))


@pytest.mark.parametrize(
    "case, value, expected, code, words",
    [
        (
            (np.zeros((4, 2)),),
            np.array(1.0),
            np.zeros(4),
            "batch-reduced",
            "Your function gives a single number for a batch of 4; expected one for each row.",
        ),
        (
            (np.zeros((4, 2)),),
            np.zeros(1),
            np.zeros(4),
            "batch-reduced",
            "Your function gives a single number for a batch of 4; expected one for each row.",
        ),
        ((np.zeros(4),), np.array(1.0), np.zeros(4), "shape",
         "Your function returns one number; expected: numbers of shape (4,)."),
        ((np.zeros((4, 2)),), np.array(1.0), np.zeros(5), "shape",
         "Your function returns one number; expected: numbers of shape (5,)."),
        ((np.zeros((4, 2)),), np.array(1.0), np.zeros((4, 1)), "shape",
         "Your function returns one number; expected: numbers of shape (4, 1)."),
        ((1.0, np.zeros((4, 2))), np.zeros(2), np.zeros(4), "shape",
         "Your function returns numbers of shape (2,); expected: numbers of shape (4,)."),
        ((2,), np.zeros((2, 2)), np.array(0.0), "shape",
         "Your function returns numbers of shape (2, 2); expected: one number."),
    ],
)  # fmt: skip
def test_another_shape_in_words(case, value, expected, code, words):
    assert wrong_shape(case, value, expected) == Finding(code, words)


@pytest.mark.parametrize(
    "values, right, finding",
    [
        (-SIGNED, SIGNED, ("sign", "Your value has the opposite sign.")),
        (2 * SIGNED, SIGNED, ("half", "Your value is exactly twice the right one: a factor ½ is lost.")),
        (np.log(RIGHT), RIGHT, ("not-log", "Your value is the logarithm of the right one.")),
        (np.exp(SIGNED), SIGNED, ("not-log", "The logarithm of your value would be right.")),
        (RIGHT**2, RIGHT, ("std-for-var", "Your value is the square of the right one.")),
        (RIGHT**0.5, RIGHT, ("std-for-var", "Your value is the square root of the right one.")),
        # What can be of numbers above zero alone is not said of others.
        (SIGNED**2, SIGNED, ("unknown", comparing._STRANGE)),
        (SIGNED / 3, SIGNED, ("scale", "Your value is 1/3 times the right one, each time.")),
        (SIGNED / np.log(2), SIGNED,
         ("scale", "Your value is 1.44 times the right one, each time. In bits, where nats are asked for?")),
        (1.03 * SIGNED, SIGNED, ("scale", "Your value is 1.03 times the right one, each time.")),
        (1.01 * SIGNED, SIGNED, ("unknown", comparing._NEARLY)),
        (SIGNED - 0.5, SIGNED, ("constant", "Your value is off by -1/2, each time.")),
        (SIGNED + np.array([0.5, 0.5, 0.5, 0.6]), SIGNED, ("unknown", comparing._STRANGE)),
        (np.array([1.0, 2.0]) + 0.5, np.array([1.0, 2.0]), ("unknown", comparing._STRANGE)),
        (np.full(3, 1.25), np.ones(3), ("scale", "Your value is 5/4 times the right one, each time.")),
        (np.array([5.0]), np.array([3.0]), ("unknown", comparing._STRANGE)),
        (np.zeros(4), SIGNED, ("unknown", comparing._STRANGE)),
        (np.full(3, 3.0), np.zeros(3), ("unknown", comparing._STRANGE)),
        (np.array([1.0, np.inf, 2, 3]), SIGNED, ("unknown", comparing._NOT_FINITE)),
        (np.array([1.0, np.nan, 2, 3]), SIGNED, ("unknown", comparing._NOT_FINITE)),
    ],
)  # fmt: skip
def test_wrong_numbers_in_words(values, right, finding):
    halves = [[side[:1], side[1:]] for side in (values, right)]  # several cases count together
    with np.errstate(all="raise"):
        assert describe(*halves, 1e-4) == Finding(*finding)


def test_what_is_said_allows_for_rounding():
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, 4)
    near, far = 2 * SIGNED * (1 + 4e-4 * np.sign(noise)), 2 * SIGNED * (1 + 2e-3 * np.sign(noise))
    assert describe([near], [SIGNED], 1e-4).code == "half"
    assert describe([far], [SIGNED], 1e-4).code == "unknown"


@pytest.mark.parametrize(
    "value, words",
    [(np.array(2.0), "2"), (np.array([2.0]), "(2)"), (np.array([1.0, -0.0, 1 / 3]), "(1, 0, 0.33333)"),
     (np.array([[1.0], [2.0]]), "[(1), (2)]")],
)  # fmt: skip
def test_values_in_words(value, words):
    assert comparing._values(value) == words
