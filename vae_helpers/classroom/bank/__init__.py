"""The bank of questions: `question` draws, `moodle` and `practice` write, a file for each notebook asks."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vae_helpers.classroom.bank.question import Question

NOTEBOOKS = tuple(f"{number:02d}" for number in range(1, 10))


def load(notebooks: Iterable[str] = NOTEBOOKS) -> dict[str, tuple[Question, ...]]:
    """The questions of some notebooks, by the notebook's two digits.

    Raises:
        ValueError: a notebook that no question is about.
    """
    wanted = list(notebooks)
    if strange := [name for name in wanted if name not in NOTEBOOKS]:
        raise ValueError(f"notebook: expected one of {', '.join(NOTEBOOKS)}, got {strange[0]!r}")
    return {
        name: import_module(f"vae_helpers.classroom.bank.notebook_{name}").QUESTIONS
        for name in NOTEBOOKS
        if name in wanted
    }
