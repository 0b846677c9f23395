"""What an entry of the gallery is, and the two decorators that add one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

CHECKS = ("kl", "log_prob", "bernoulli", "reparameterize", "elbo")
ENTRIES: list[Entry] = []


class Entry(NamedTuple):
    """One function that a student might hand in.

    Attributes:
        name: unique within its check.
        check: which checker it is for.
        fn: the function.
        expected: sets of codes, any of which is a true diagnosis; the empty set means "right".
        source: a public repository with issue or file where this form stands, or "variant".
    """

    name: str
    check: str
    fn: Callable
    expected: tuple[frozenset[str], ...]
    source: str

    @property
    def kind(self) -> str:
        """Right, wrong, or debatable (where calling it right can be defended as well)."""
        if frozenset() not in self.expected:
            return "wrong"
        return "right" if len(self.expected) == 1 else "debatable"


def right(check: str, *, name: str = "", source: str = "variant") -> Callable[[Callable], Callable]:
    """Adds a right function."""
    return wrong(check, "", name=name, source=source)


def wrong(check: str, *codes: str, name: str = "", source: str = "variant") -> Callable[[Callable], Callable]:
    """Adds a function with its codes, separated by spaces; further strings are further true diagnoses."""

    def add(fn: Callable) -> Callable:
        sets = tuple(frozenset(each.split()) for each in codes)
        entry = Entry(name or fn.__name__, check, fn, sets, source)
        assert check in CHECKS and codes and entry.name != "<lambda>"
        assert all((each.check, each.name) != (check, entry.name) for each in ENTRIES), entry.name
        ENTRIES.append(entry)
        return fn

    return add
