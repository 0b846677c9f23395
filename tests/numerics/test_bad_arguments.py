"""What the checks of arguments know: each was once taken, or refused without a name."""

import math

import numpy as np
import pytest

from vae_helpers.numerics import LinearGaussian, gaussian, importance_gap, kl_standard_normal_mc
from vae_helpers.numerics._validate import as_array, as_count, as_flag, as_path, as_text, told


class Unreadable:
    def __array__(self, *args, **kwargs):
        raise AttributeError("no array")


class Mute:
    def __repr__(self):
        raise RuntimeError


def rng():
    return np.random.default_rng(0)


WORLD = LinearGaussian(np.eye(2), 0.0, 1.0)
ENDLESS = 10**5000  # Python refuses to write it out
REFUSED = {
    "x: expected numbers, got .* masked": lambda: as_array("x", np.ma.masked_array([1.0, 2.0], [0, 1])),
    "x: expected finite numbers, got inf": lambda: as_array("x", np.longdouble("1e4000")),
    "x: expected an array of real numbers, got Unreadable": lambda: as_array("x", Unreadable()),
    "n: expected at most 2,147,483,647, got int": lambda: as_count("n", ENDLESS),
    "n: expected at least 1, got int": lambda: as_count("n", -ENDLESS),
    "n: expected at most 2,147,483,647, got 2147483648": lambda: as_count("n", 2**31),
    "f: expected True or False, got 'no'": lambda: as_flag("f", "no"),
    "t: expected a text that can be written": lambda: as_text("t", "\ud800"),
    "p: expected a path of this machine": lambda: as_path("p", "~nobody-of-this-name/file"),
    "p: expected a path without the character 0": lambda: as_path("p", "a\0b"),
    "p: expected a path, got None": lambda: as_path("p", None),
    "f: expected a function, got None": lambda: gaussian.expectation(None, 0, 1),
    "f: expected finite numbers": lambda: gaussian.expectation(lambda z: z * math.nan, 0, 1),
    "f: expected an array of real numbers": lambda: gaussian.expectation(lambda z: "words", 0, 1),
    "std: expected finite numbers within 12 std": lambda: gaussian.expectation(np.square, 1e308, 1e308),
    "counts: expected numbers of draws, got None": lambda: importance_gap(0, 1, None),
    "counts: expected at least one": lambda: importance_gap(0, 1, []),
    "noise_std: expected a number from 1e-75": lambda: LinearGaussian(1.0, 0.0, 5e-324),
    "noise_std: .* weights of at most": lambda: LinearGaussian(1e80, 0.0, 1.0),
    "bias: expected numbers of at most 1e\\+150": lambda: LinearGaussian(1.0, 1e200, 1.0),
    "x: expected numbers of at most 1e\\+150": lambda: WORLD.log_evidence([1e300, 0.0]),
    "log_var: expected numbers of at most 300": lambda: WORLD.gap([0.0, 0.0], [0.0, 0.0], 1e4),
    "mu, log_var: expected means within": lambda: kl_standard_normal_mc([0.0], [1e4], 3, rng()),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused(message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        REFUSED[message]()


def test_what_is_taken():
    assert as_array("x", np.ma.masked_array([1.0, 2.0])).tolist() == [1, 2]
    assert as_count("n", np.int8(3)) == 3 and as_count("n", 2**40, maximum=2**63 - 1) == 2**40
    assert as_flag("f", np.bool_(True)) is True


def test_a_value_is_told_in_a_line():
    assert told(Mute()) == "Mute" and told(ENDLESS) == "int"
    assert told(np.zeros((2, 2))) == "array([[0., 0.], [0., 0.]])"
    assert len(told("x" * 1000)) == 80


@pytest.mark.filterwarnings("error")
def test_means_that_are_far_apart_have_an_infinite_divergence_and_no_warning():
    assert gaussian.kl_full([1e300], [[1.0]], [0.0], [[1.0]]) == math.inf
