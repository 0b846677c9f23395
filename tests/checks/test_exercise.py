"""The check of a single exercise: its verdict, its codes, and the case that it shows."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch

from vae_helpers.checks.engine.exercise import AnyOf, Exercise, Extremes, Mistake, _on_copies

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


# ---- word by word ---------------------------------------------------------------------------


def test_a_mistake_with_further_steps_keeps_the_rest():
    first = Mistake("half", where="here", then=float, instead=abs, a=1)
    both = first.together_with(b=2)
    assert vars(both) == {
        "code": "half", "where": "here", "then": float, "instead": abs, "steps": {"a": 1, "b": 2}
    }  # fmt: skip
    assert first.steps == {"a": 1}
    assert vars(Mistake("half")) == {"code": "half", "where": "", "then": None, "instead": None, "steps": {}}


def test_the_ways_of_a_mistake_are_all_combinations():
    def program(x, *, add=0, times=1):
        return times * (x + add)

    ways = Mistake("half", add=AnyOf(1, 2), times=3).variants(program)
    assert [way(1) for way in ways] == [6, 9]
    ways = Mistake("half", then=AnyOf(lambda y: -y, lambda y: y**2), add=1).variants(program)
    assert [way(1) for way in ways] == [-2, 4]
    ways = Mistake("half", instead=AnyOf(lambda x: 10 * x, lambda x: 20 * x)).variants(program)
    assert [way(1) for way in ways] == [10, 20]


@pytest.mark.parametrize(
    "mistakes, message",
    [
        (["Why?", Mistake("nonsense")], "mistakes: expected a key of CODES, got 'nonsense' in 'A task'"),
        (
            ["Why?", Mistake("half", third=1, also=2)],
            "mistakes: expected steps of the program, first, second, got also, third in 'A task'",
        ),
        (
            [Mistake("half", second=1)],
            "mistakes: expected sentences, each before its mistakes, got {} in 'A task'",
        ),
        (["Why?"], "mistakes: expected sentences, each before its mistakes, got 'Why?' in 'A task'"),
        (
            ["Why?", "Still?", Mistake("half", second=1)],
            "mistakes: expected sentences, each before its mistakes, got 'Why?' in 'A task'",
        ),
        (
            ["", Mistake("half", second=1)],
            "mistakes: expected sentences, each before its mistakes, got {} in 'A task'",
        ),
    ],
)
def test_mistakes_that_are_no_mistakes_are_named(mistakes, message):
    def program(a, b, *, second=1, first=1):
        return 0.5 * (first * a + second * b)

    with pytest.raises(ValueError) as caught:
        replace(MEAN, program=program, mistakes=mistakes)
    assert str(caught.value) == message.format(repr(mistakes[-1]))


def test_a_program_of_its_own_may_have_other_steps():
    other = replace(MEAN, mistakes=["Why?", Mistake("scale", instead=lambda a, b, *, k: k * a * b, k=3)])
    report = other(lambda a, b: 3 * a * b)
    assert report.codes == {"scale"} and "Why?" in report.message


def test_help_word_by_word():
    assert replace(MEAN, where="").__doc__ == (
        "Checks an answer to the exercise “A task”.\n\nArgs:\n    fn: takes a and b; returns their mean.\n\n"
        "Returns:\n    A `Report`; its codes are explained in `vae_helpers.checks.CODES`.\n\n"
        "Raises:\n    TypeError: fn is not a function.\n\nSource: nobody."
    )
    assert MEAN.names == ("a", "b")
    assert [said for _, said, _ in MEAN.slips()] == ["Where is b?"]
    with pytest.raises(TypeError, match="^fn: expected a function, got int$"):
        MEAN(3)


EXAMPLE = "For a = 1, b = 2 your function gives {}; expected 1.5."


@pytest.mark.parametrize(
    "fn, message",
    [
        (lambda a, b: (a + b) / 2, ""),
        (lambda a, b: None, "The function returns nothing so far. Write your answer and run the cell again."),
        (lambda a, b: a / 2, EXAMPLE.format("0.5") + "\nWhere is b? See notebook 1, section 1."),
        (
            lambda a, b: a + b,
            EXAMPLE.format("3")
            + "\nYour value is exactly twice the right one: a factor ½ is lost. See notebook 1, section 1.",
        ),
        (
            lambda a, b: [a, b],
            "For a = 1, b = 2:\nYour function returns numbers of shape (2,); expected: one number. See "
            "notebook 1, section 1.",
        ),
        (
            lambda a, b: 1 / 0,
            "For a = 1, b = 2:\nYour function stops with ZeroDivisionError: division by zero",
        ),
    ],
)
def test_reports_word_by_word(fn, message):
    report = MEAN(fn)
    assert (report.exercise, report.message) == ("A task", message)


def test_a_mistake_may_have_its_own_place_and_an_exercise_none():
    here = replace(MEAN, mistakes=["Why?", Mistake("half", where="notebook 7, section 2", second=0)])
    assert here(lambda a, b: a / 2).message.endswith("Why? See notebook 7, section 2.")
    nowhere = replace(MEAN, where="")
    assert nowhere(lambda a, b: a / 2).message.endswith("\nWhere is b?")
    assert nowhere(lambda a, b: [a, b]).message.endswith("See notebook 0, section 4.")


def test_the_better_of_two_conventions_is_reported():
    either = replace(MEAN, also_right={"second": 3})
    assert either(lambda a, b: a + 3 * b).codes == {"half"}  # of the first it is unknown
    assert either(lambda a, b: a + b).codes == {"half"}
    assert either(lambda a, b: (a + 3 * b) / 2).message == ""
    assert either.also_right == {"second": 3}


LARGE = Extremes([(1e200, 1e200), (1.7e308, 1.7e308)], "It overflows.", where="notebook 5, section 5")


@pytest.mark.parametrize(
    "fn, passed, message",
    [
        (lambda a, b: a / 2 + b / 2, True, ""),
        (
            lambda a, b: (a + b) / 2,
            False,
            "For a = 1.7e+308, b = 1.7e+308 your function gives inf; expected 1.7e+308.\n"
            "It overflows. See notebook 5, section 5.",
        ),
        (lambda a, b: a / 2, False, EXAMPLE.format("0.5") + "\nWhere is b? See notebook 1, section 1."),
        (
            lambda a, b: a / 2 + b / 2 if a < 1e100 else 1 / 0,
            False,
            "For a = 1e+200, b = 1e+200: Your function stops with ZeroDivisionError: division by zero\n"
            "It overflows. See notebook 5, section 5.",
        ),
    ],
)
def test_extremes(fn, passed, message):
    sturdy = replace(MEAN, truth=lambda a, b: a / 2 + b / 2, extremes=LARGE)
    with np.errstate(all="raise"):
        report = sturdy(fn)
    assert (report.passed, report.exercise, report.message) == (passed, "A task", message)
    assert report.codes == (
        {"unstable"} if "overflows" in message else {"term-missing"} if message else set()
    )


def test_extremes_have_a_tolerance_and_may_have_no_place():
    coarse = replace(MEAN, extremes=Extremes([(10.0, 10.0)], "It is far.", tolerance=0.1))
    assert coarse(lambda a, b: (a + b) / 2 * (1.09 if a > 5 else 1)).passed
    report = coarse(lambda a, b: (a + b) / 2 * (1.2 if a > 5 else 1))
    assert report.message.endswith("It is far. See notebook 1, section 1.")


def test_a_change_of_an_argument_is_noted():
    def changing(a):
        a += 1
        return a - 1

    cases = [(np.ones(2),), (np.arange(2.0),)]
    same = replace(MEAN, truth=lambda a: 1 * a, program=lambda a: a, cases=cases, mistakes=[])
    report = same(changing)
    assert report.passed
    assert report.message == (
        "Note: your function changes its arguments in place; its caller may still need them."
    )


def test_tensors_of_floats_are_made_anew_and_those_of_indices_are_copied():
    floats, indices = torch.ones(2), torch.tensor([0, 1])
    nested = [[1.0], [2.0]]
    seen = []
    _on_copies(lambda *arguments: seen.extend(arguments))(floats, indices, nested, np.ones(2))
    assert seen[0] is floats
    assert seen[1] is not indices and torch.equal(seen[1], indices)
    assert seen[2] == nested and seen[2][0] is not nested[0]


def test_numbers_may_come_as_a_tuple():
    pair = replace(
        MEAN, truth=lambda a, b: (a, b), program=lambda a, b, *, second=1: (a, second * b), mistakes=[]
    )
    assert pair(lambda a, b: (np.array([a]), torch.tensor(b))).passed
