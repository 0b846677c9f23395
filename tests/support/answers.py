"""Answers to exercises, as the tests of a notebook list them: right ones, and wrong ones with their codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

Answer = Callable[..., Any]
Answers = Mapping[str, tuple[Callable[[Answer], Any], Sequence[Answer], Sequence[tuple[Answer, str]]]]


def right(exercises: Answers) -> list[Any]:
    """Parameters (check, answer) of each right answer."""
    return [
        pytest.param(check, answer, id=f"{name}-{answer.__name__}")
        for name, (check, answers, _) in exercises.items()
        for answer in answers
    ]


def wrong(exercises: Answers) -> list[Any]:
    """Parameters (check, answer, code) of each wrong answer."""
    return [
        pytest.param(check, answer, code, id=f"{name}-{answer.__name__}-{code}")
        for name, (check, _, answers) in exercises.items()
        for answer, code in answers
    ]
