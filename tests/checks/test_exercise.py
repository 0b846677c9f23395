"""The check of a single exercise: its verdict, its codes, and the case that it shows."""

import numpy as np
import pytest
import torch

from vae_helpers.checks.engine.exercise import Mistake, Task, check_task

TASK = Task(
    exercise="A task",
    answer=lambda a, b: (a + b) / 2,
    cases=[(1.0, 2.0), (2.0, 6.0), (0.5, -3.0)],
    names=("a", "b"),
    mistakes=[Mistake("term-missing", lambda a, b: a / 2, "Where is b?")],
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
    report = check_task(fn, TASK)
    assert report.codes == codes
    if codes - {"not-attempted"}:
        assert "a = 1, b = 2" in report.message


def test_infinite_references_are_close_to_nothing():
    task = Task("Large", lambda a: a, [(1000.0,), (5000.0,), (90000.0,)], ("a",))
    assert check_task(lambda a: a + 7.0 * np.sqrt(a), task).codes == {"unknown"}


def test_an_answer_in_bits_is_recognised():
    assert "bits" in check_task(lambda a, b: (a + b) / np.log(4), TASK).message
