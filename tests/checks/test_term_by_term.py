"""What is said of a sum of terms, word by word, on a formula that is made up: 2 a - b² + 3."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from vae_helpers.checks.engine import formula as engine
from vae_helpers.checks.engine.calling import Student
from vae_helpers.checks.engine.fitting import Reading
from vae_helpers.checks.engine.formula import (
    NEARLY,
    Formula,
    Pattern,
    Term,
    check_formula,
    name_mistakes,
    perhaps,
    present,
    smallest_example,
)
from vae_helpers.checks.engine.measuring import Measurement, Sample, uniform
from vae_helpers.checks.engine.report import Finding, said

AVERAGED = Finding("mean-latent", "It is averaged.", "notebook 6, section 3")
SWAPPED = Finding("swapped", "a and b have changed places.")
MISSING = Finding("half", "Where is b²?")
TURNED = Finding("sign", "b² is turned.")
HALVED = Finding("scale", "Half of b².")
STAND_IN = Finding("std-for-var", "b stands for b².")
ALSO = Finding("log-std", "And more.")
TOY = Formula(
    exercise="A sum",
    where="notebook 3, section 3",
    noun="the sum",
    arguments=("mu", "log_var"),
    truth=lambda a, b: (2 * a - np.square(b) + 3).sum(axis=-1),
    draw=uniform((-2, 2), (-2, 2)),
    core={
        "the a": Term(2.0, lambda a, b: a),
        "b²": Term(
            -1.0,
            lambda a, b: b**2,
            written="the square of b",
            missing=MISSING,
            turned=TURNED,
            scaled={0.5: HALVED},
            replaced={"b": [STAND_IN, ALSO]},
        ),
        "1": Term(3.0, lambda a, b: np.ones_like(a)),
    },
    stand_ins={"b²": "b, b⁴", "the a": "eᵃ"},
    extras={
        "b": lambda a, b: b,
        "b⁴": lambda a, b: b**4,
        "eᵃ": lambda a, b: np.exp(a),
        "ab": lambda a, b: a * b,
    },
    patterns=[Pattern({"ab": -4.0, "the a": present, "1": perhaps}, [SWAPPED])],
    averaged=AVERAGED,
    letters={"a": "alpha"},
    dims=(3, 5),
    simple=[(0.0, 0.0), (1.0, 0.0), (1.0, 2.0)],
    stable_where="notebook 5, section 5",
)
RIGHT = {"the a": 2.0, "b²": -1.0, "1": 3.0}


def named(coefficients, averaged=(), grown=(), **options):
    return name_mistakes(TOY, Reading(coefficients, frozenset(averaged), frozenset(grown)), **options)


def constant(text="A constant is added that does not belong here."):
    return Finding("constant", text)


# ---- coefficients ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, findings",
    [
        ({}, []),
        ({"the a": 2.003}, []),
        ({"the a": -2.0}, [said("term-sign: The sign of the alpha is turned round.")]),
        (
            {"the a": 1.0},
            [said("term-scale: The alpha has 1/2 times the coefficient that it should have, compared "
                  "with the "
                  "other terms.")],
        ),
        (
            {"the a": -6.0},
            [
                said("term-sign: The sign of the alpha is turned round."),
                said("term-scale: The alpha has 3 times the coefficient that it should have, compared with "
                     "the other terms."),
            ],
        ),
        ({"the a": 0}, [said("term-missing: The alpha is not in your value at all.")]),
        ({"b²": 0}, [MISSING]),
        ({"b²": 1.0}, [TURNED]),
        ({"b²": -0.5}, [HALVED]),
        ({"b²": 0.5}, [TURNED, HALVED]),
        (
            {"b²": -3.0},
            [said("term-scale: The square of b has 3 times the coefficient that it should have, "
                  "compared with "
                  "the other terms.")],
        ),
        ({"b²": 0, "b": -1.0}, [STAND_IN, ALSO]),
        ({"b²": 0, "b": -2.0}, [STAND_IN._replace(text="b stands for b². Its factor is 2."), ALSO]),
        (
            {"b²": 0, "b⁴": 1.0},
            [said("term-wrong: Your value contains b⁴, in the place of another term.")],
        ),
        (
            {"the a": 0, "eᵃ": 2.0},
            [said("term-wrong: Your value contains eᵃ, in the place of another term.")],
        ),
        # Both may have replaced b²: the likelier one is named, the other does not belong here.
        (
            {"b²": 0, "b⁴": -1.0, "b": -1.0},
            [STAND_IN, ALSO, said("term-wrong: A term with b⁴ does not belong here.")],
        ),
        ({"ab": 1.0}, [said("term-wrong: A term with ab does not belong here.")]),
        ({"ab": 1.0, "b": 0.7}, [said("term-wrong: A term with ab and b does not belong here.")]),
        ({"1": 0}, [constant()]),
        ({"1": 5.0}, [constant()]),
        ({"1": -3.0}, [constant(), said("term-sign: The sign of 1 is turned round.")]),
        ({"1": -5.0}, [constant()]),
        ({"ab": -4.0, "b²": 0}, [SWAPPED]),
        ({"ab": -4.0, "b²": 0, "1": 0, "the a": 0.3}, [SWAPPED]),
    ],
)  # fmt: skip
def test_coefficients_in_words(changes, findings):
    coefficients = {name: value for name, value in (RIGHT | changes).items() if value}
    assert named(coefficients) == findings


@pytest.mark.parametrize(
    "factor, findings",
    [
        (-1, [Finding("sign", "Your value has the opposite sign: this is minus the sum.")]),
        (2, [Finding("half", "Your value is exactly twice the sum: a factor ½ is lost.")]),
        (
            -2,
            [
                Finding("sign", "Your value has the opposite sign: this is minus the sum."),
                Finding("half", "Your value is exactly twice the sum: a factor ½ is lost."),
            ],
        ),
        (0.5, [Finding("scale", "Your value is 1/2 times the sum.")]),
        (1 / np.log(2), [Finding("scale", "Your value is 1.44 times the sum. In nats, not bits?")]),
        (
            -3,
            [
                Finding("sign", "Your value has the opposite sign: this is minus the sum."),
                Finding("scale", "Your value is 3 times the sum."),
            ],
        ),
    ],
)
def test_factors_before_everything(factor, findings):
    assert named({name: factor * value for name, value in RIGHT.items()}) == findings


def test_a_factor_before_most():
    half = "Most of your value is twice the sum: a factor ½ is lost."
    assert named({"the a": 4.0, "1": 6.0}) == [Finding("half", half), MISSING]
    sign = Finding("sign", "Most of your value has the opposite sign: this is minus the sum.")
    assert named({"the a": -2.0, "1": -3.0}) == [sign, MISSING]


def test_a_pattern_with_a_factor_before_it():
    sign = Finding("sign", "Most of your value has the opposite sign: this is minus the sum.")
    assert named({"the a": -2.0, "ab": 4.0, "1": -3.0}) == [sign, SWAPPED]
    scale = Finding("scale", "Most of your value is 3 times the sum.")
    assert named({"the a": 6.0, "ab": -12.0}) == [scale, SWAPPED]


def test_nothing_but_zero():
    assert named({}) == [said("unknown: Your function gives 0, whatever its arguments are.")]


def test_nothing_of_the_right_answer():
    wrong = said("term-wrong: A term with ab does not belong here.")
    assert named({"ab": 1.0}) == [MISSING, constant(), wrong]


def test_what_is_averaged():
    assert named(RIGHT, ["the a", "b²", "1"]) == [AVERAGED]
    assert named(RIGHT, ["the a", "b²"]) == [AVERAGED]
    text = "It is averaged. It concerns the alpha."
    assert named(RIGHT, ["the a"]) == [Finding("mean-latent", text, "notebook 6, section 3")]


def test_a_constant_that_is_added_once():
    once = said("constant: The constant is added once; each of the latents has its own.")
    assert named(RIGHT, ["1"]) == [once]
    assert named(RIGHT | {"1": 1.0}, ["1"]) == [once]


def test_noisy_coefficients_are_rounded_to_quarters():
    near = {"the a": 2.1, "b²": -1.05, "1": 2.8, "ab": 0.1}
    assert named(near, noisy=True) == []
    assert named(near) != []
    assert named(near | {"the a": 0.1}, noisy=True) == [
        said("term-missing: The alpha is not in your value at all.")
    ]
    assert named({"ab": 0.1}, noisy=True) == [
        said("unknown: Your function gives 0, whatever its arguments are.")
    ]


def test_what_grows_with_the_event_says_little_of_the_factor():
    assert named(RIGHT | {"the a": 6.0, "b²": -3.0}, grown=["the a", "b²"])[0].code == "term-scale"


@pytest.mark.parametrize(
    "relative, fits",
    [
        ({"ab": -4.0, "the a": 0.3}, True),
        ({"ab": -4.0, "the a": 0.3, "1": 7.0}, True),
        ({"ab": -4.0}, False),
        ({"ab": -4.1, "the a": 0.3}, False),
        ({"ab": -4.0, "the a": 0.3, "b": 1.0}, False),
        ({"the a": 0.3}, False),
    ],
)
def test_patterns(relative, fits):
    assert TOY.patterns[0].fits(relative) is fits
    assert TOY.pattern(relative) == ([SWAPPED] if fits else [])


def test_a_formula_knows_its_terms():
    assert TOY.true == RIGHT
    assert list(TOY.terms) == ["the a", "b²", "1", "b", "b⁴", "eᵃ", "ab"]
    assert TOY.relative({"the a": 1.0, "b²": -3.0, "ab": 5.0}) == {"the a": 0.5, "b²": 3.0, "ab": 5.0}
    assert TOY.factors({"the a": 0.5, "ab": 5.0}) == {"the a": 0.5, "b²": 0.0, "1": 0.0}
    assert TOY.replaced_by("b²", ["b⁴", "ab", "b"]) == ["b", "b⁴"]
    assert TOY.replaced_by("1", ["b"]) == []
    assert TOY.write(["the a", "b²", "ab"]) == "the alpha, the square of b and ab"
    assert TOY.core["b²"](1.0, 3.0) == 9.0


# ---- whole reports --------------------------------------------------------------------------


def checked(fn, **changes):
    return check_formula(fn, replace(TOY, **changes))


def summed(fn):
    return lambda a, b: fn(a, b).sum(axis=-1)


def test_the_right_sum_passes():
    report = checked(TOY.truth)
    assert report.passed and report.message == "" and report.exercise == "A sum"


@pytest.mark.parametrize(
    "fn, message",
    [
        (
            lambda a, b: 2 * TOY.truth(a, b),
            "For mu = [[0]] and log_var = [[0]] your function gives 6; the sum is 3.\n"
            "Your value is exactly twice the sum: a factor ½ is lost. See notebook 3, section 3.",
        ),
        (
            summed(lambda a, b: 2 * a + 3),
            "For mu = [[1]] and log_var = [[2]] your function gives 5; the sum is 1.\n"
            "Where is b²? See notebook 3, section 3.",
        ),
        (
            summed(lambda a, b: np.sin(9 * a)),
            "For mu = [[0]] and log_var = [[0]] your function gives 0; the sum is 3.\n"
            "This fits no mistake that is known here. Work the example out by hand, term by term. See "
            "notebook "
            "3, section 3.",
        ),
        (
            lambda a, b: TOY.truth(a[..., :-1], b[..., :-1]),
            "For mu = [[0]] and log_var = [[0]] your function gives 0; the sum is 3.\n"
            "Of each row the last of the latents is not counted: the sum goes over all of them. See "
            "notebook 3, "
            "section 3.",
        ),
        (
            lambda a, b: TOY.truth(a[..., 1:], b[..., 1:]),
            "For mu = [[0]] and log_var = [[0]] your function gives 0; the sum is 3.\n"
            "Of each row the first of the latents is not counted: the sum goes over all of them. See "
            "notebook "
            "3, section 3.",
        ),
        (
            lambda a, b: TOY.truth(a[..., :1], b[..., :1]),
            "For mu = [[0, 0]] and log_var = [[0, 0]] your function gives 3; the sum is 6.\n"
            "Of each row only the first of the latents is counted: the sum goes over all of them. See "
            "notebook "
            "3, section 3.",
        ),
        (
            lambda a, b: TOY.truth(a[..., -1:], b[..., -1:]),
            "For mu = [[0, 0]] and log_var = [[0, 0]] your function gives 3; the sum is 6.\n"
            "Of each row only the last of the latents is counted: the sum goes over all of them. See "
            "notebook "
            "3, section 3.",
        ),
        (
            lambda a, b: TOY.truth(a, b) * (1 + 0.01 * np.sin(50 * a[..., 0])),
            "For mu = [[1]] and log_var = [[0]] your function gives 4.987; the sum is 5.\n"
            + NEARLY.text
            + " See notebook 3, section 3.",
        ),
        (lambda a, b: None, "The function returns nothing so far. Write your answer and run the cell again."),
        (
            lambda a, b: np.ones((2, 7)),
            "For 48 rows with 3 latents your result has the shape (2, 7); expected one number a row, "
            "shape (48,). "
            "See notebook 0, section 4.",
        ),
    ],
)
def test_reports_word_by_word(fn, message):
    assert checked(fn).message == message


def test_a_term_that_is_added_for_safety_is_told():
    report = checked(summed(lambda a, b: 2 * a - b**2 + 3 + 1e-3 * np.exp(a)), safety=frozenset({"eᵃ"}))
    assert report.codes == {"unstable"} and NEARLY.text in report.message
    report = checked(summed(lambda a, b: 2 * a - b**2 + 3 + 0.5 * np.exp(a)), safety=frozenset({"eᵃ"}))
    assert report.codes == {"term-wrong"}


def test_a_density_instead_of_its_logarithm():
    report = checked(lambda a, b: np.exp(TOY.truth(a, b)), is_log=True)
    assert report.codes == {"not-log"}
    assert "Your values are probabilities (densities): their logarithm is asked for." in report.message
    assert checked(lambda a, b: np.exp(2 * TOY.truth(a, b)), is_log=True).codes == {"not-log", "half"}
    assert checked(lambda a, b: np.exp(TOY.truth(a, b))).codes == {"unknown"}


def test_other_arguments_may_spare_a_function():
    def fn(a, b):
        if (a < 0).any():
            raise ValueError("a is negative")
        return summed(lambda a, b: 2 * a + 3)(a, b)

    assert checked(fn).codes == {"error"}
    harmless = [uniform((-3, -1), (-2, 2)), uniform((0.5, 2), (-2, 2))]
    assert checked(fn, harmless=harmless).codes == {"half"}
    assert checked(fn, harmless=harmless).message == "Where is b²? See notebook 3, section 3."


def overflowing(a, b):
    return np.where(np.abs(a) > 50, np.inf, 2 * a - b**2 + 3).sum(axis=-1)


def test_extreme_rows_are_tried():
    report = checked(overflowing, extreme=[((1.0, 60.0), (0.0, 1.0))])
    assert report.codes == {"unstable"}
    assert report.message == (
        "For mu = [1, 60] and log_var = [0, 1] your function gives inf where, by its values at moderate "
        "arguments, 127 "
        "is to be expected. Something overflows or is rounded away before a logarithm is taken, or a small "
        "number added for safety, or a clip, wins. See notebook 5, section 5."
    )
    beyond = checked(overflowing, beyond=[((1.0, 60.0), (0.0, 1.0))])
    assert beyond.passed and beyond.message.startswith(
        "Note: for mu = [1, 60] and log_var = [0, 1] your function gives"
    )
    assert checked(overflowing, extreme=[((1.0, 40.0), (0.0, 1.0))]).passed


def test_single_precision_is_tried_too():
    def fn(a, b):
        return ((2 * a + 1e8) - 1e8 - b**2 + 3).sum(dim=-1) if isinstance(a, torch.Tensor) else a.nothing

    report = checked(fn, extreme=[((1.0, 1.0), (0.0, 1.0))])
    assert report.codes == {"unstable"}
    assert report.message.endswith(
        "wins. (In single precision, that of networks; in double it is right.) See notebook 5, section 5."
    )


def test_what_fails_at_extremes_gives_nan():
    def fn(a, b):
        if (np.abs(a) > 50).any():
            raise OverflowError
        return TOY.truth(a, b)

    assert "your function gives nan where" in checked(fn, extreme=[((60.0,), (0.0,))]).message


def test_an_example_of_one_number():
    one = replace(TOY, dims=(1, 1), answer="it is")
    student = Student(lambda a, b: 2 * TOY.truth(a, b))
    assert smallest_example(student, one) == "For mu = [0] and log_var = [0] your function gives 6; it is 3."
    assert smallest_example(Student(TOY.truth), TOY) == ""
    assert smallest_example(Student(lambda a, b: None), TOY) == ""
    assert smallest_example(Student(lambda a, b: TOY.truth(a, b) + 0.4), TOY, noise=0.1) == ""
    assert smallest_example(Student(lambda a, b: TOY.truth(a, b) + 0.6), TOY, noise=0.1) == (
        "For mu = [[0]] and log_var = [[0]] your function gives 3.6; the sum is 3."
    )


def test_a_random_sum_that_can_be_read_exactly():
    def fn(a, b):
        return 2 * TOY.truth(a, b) + 0.01 * np.random.default_rng(0).standard_normal(len(a))

    asked = []

    def read_random(student, reduced):
        asked.append(reduced)
        return Reading({name: 2 * value for name, value in RIGHT.items()}, frozenset())

    report = checked(fn, read_random=read_random)
    assert asked == [False] and report.codes == {"half"}
    assert re.match(r"For mu = \[\[0\]\] and log_var = \[\[0\]\] your function gives [56]", report.message)
    assert report.message.endswith(
        "Note: your function is random; it was judged by its average over many calls."
    )
    right = checked(
        lambda a, b: fn(a, b) / 2, read_random=lambda student, reduced: Reading(RIGHT, frozenset())
    )
    assert right.passed
    assert checked(fn).codes == {"half"}  # by the average
    assert checked(lambda a, b: fn(a, b) / 2).passed


def test_only_functions_are_checked():
    with pytest.raises(TypeError, match="^fn: expected a function, got int$"):
        checked(3)


def test_what_is_left_out_has_no_finding_where_all_is_counted():
    rows = tuple(np.random.default_rng(0).uniform(-2, 2, (2, 9, 1, 3)))
    sample = Sample(rows, TOY.truth(*rows)[:, 0])
    assert engine._left_out(TOY, Measurement([sample])) == []
