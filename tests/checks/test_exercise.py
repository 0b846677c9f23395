"""The check of a single exercise: its verdict, its codes, and the case that it shows."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch

from vae_helpers.checks.engine.exercise import AnyOf, Exercise, Mistake

WORDS = {"takes": "a and b", "returns": "their mean", "source": "nobody"}
MEAN = Exercise(
    title="A task",
    **WORDS,
    truth=lambda a, b: np.mean([a, b]),
    program=lambda a, b, *, second=1: 0.5 * (a + second * b),
    cases=[(1.0, 2.0), (2.0, 6.0), (0.5, -3.0)],
    mistakes=["Where is b?", Mistake("term-missing", second=0)],
    where="notebook 1, section 1",
)


@pytest.mark.parametrize(
    "fn, codes",
    [
        (lambda a, b: 0.5 * a + 0.5 * b, set()),
        (lambda a, b: np.array([(a + b) / 2]), set()),
        (lambda a, b: torch.tensor((a + b) / 2), set()),
        (lambda a, b: a / 2, {"term-missing"}),
        (lambda a, b: a + b, {"half"}),
        (lambda a, b: -(a + b) / 2, {"sign"}),
        (lambda a, b: (a + b) / 6, {"scale"}),
        (lambda a, b: (a + b) / 2 + 1, {"constant"}),
        (lambda a, b: np.exp((a + b) / 2), {"not-log"}),
        (lambda a, b: a * b, {"unknown"}),
        (lambda a, b: np.nan, {"unknown"}),
        (lambda a, b: [a, b], {"shape"}),
        (lambda a, b: "x", {"error"}),
        (lambda a: a, {"error"}),
        (lambda a, b: None, {"not-attempted"}),
    ],
)
def test_tasks(fn, codes):
    report = MEAN(fn)
    assert report.codes == codes
    if codes - {"not-attempted"}:
        assert "a = 1, b = 2" in report.message


def test_infinite_references_are_close_to_nothing():
    large = Exercise(
        title="Large",
        **WORDS,
        where="",
        truth=lambda a: a,
        program=float,
        cases=[(1000.0,), (5000.0,), (90000.0,)],
        mistakes=[],
    )
    assert large(lambda a: a + 7.0 * np.sqrt(a)).codes == {"unknown"}


def test_an_answer_in_bits_is_recognised():
    assert "bits" in MEAN(lambda a, b: (a + b) / np.log(4)).message


def test_help_says_what_a_function_takes_and_returns():
    assert "fn: takes a and b; returns their mean." in inspect.getdoc(MEAN)
    assert repr(MEAN) == "the check of “A task”: call it with your function"


def test_whoever_passes_is_asked_further():
    further = replace(
        MEAN, title="And twice", truth=lambda a, b: a + b, program=lambda a, b: b + a, mistakes=[]
    )
    both = replace(MEAN, further=further)
    assert both(lambda a, b: a / 2).exercise == "A task"
    assert both(lambda a, b: (a + b) / 2).exercise == "And twice"


def test_another_convention_is_right_too():
    either = replace(MEAN, also_right={"second": 3})
    assert either(lambda a, b: (a + b) / 2).passed and either(lambda a, b: (a + 3 * b) / 2).passed
    assert either(lambda a, b: a / 2).codes == {"term-missing"}
    assert not MEAN(lambda a, b: (a + 3 * b) / 2).passed


def test_what_is_no_array_is_handed_over_as_a_copy():
    def emptied(numbers):
        return sum(numbers.pop() for _ in range(2))

    total = replace(
        MEAN, truth=lambda numbers: sum(numbers), program=sum, cases=[([1, 2],), ([3, 5],)], mistakes=[]
    )
    assert total(emptied).passed and total(emptied).passed


def test_several_ways_get_one_sentence():
    lost = replace(MEAN, mistakes=["One is not there.", Mistake("term-missing", second=AnyOf(0, 0.5))])
    for share in (0, 0.5):
        report = lost(lambda a, b, share=share: (a + share * b) / 2)
        assert report.codes == {"term-missing"} and "One is not there." in report.message
