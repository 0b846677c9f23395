"""Broken programs in small: how decorators go, what is counted, and that its list is of this code."""

import ast
import json
import re

import pytest

from trust import mutants
from trust.ledger import ROOT
from trust.mutants import GROUPS, Mutant, counted, survivors, undecorated

CODE = """
import contextlib
import functools


class A:
    @property
    def x(self):
        return 3

    @staticmethod
    def s():
        return 4


@contextlib.contextmanager
def manager(value):
    yield value


@functools.lru_cache(maxsize=2)
def plain(value):
    return value


@lru_cache(maxsize=2)
def dropped(value):
    return [value]
"""


def test_functions_without_decorators_do_the_same():
    code = undecorated(CODE)
    names = {}
    exec("from functools import lru_cache\n" + code, names)
    assert names["A"]().x == 3 and names["A"].s() == 4
    with names["manager"](5) as value:
        assert value == 5
    assert names["plain"](6) == 6
    assert names["dropped"](7) is not names["dropped"](7)
    assert [line for line in code.splitlines() if "@" in line] == ["    @staticmethod"]


def test_a_row_counts_what_was_tried_and_what_was_not_noticed():
    codes = [1] * 6 + [0, 33, 36, None]
    here = [Mutant("a.py", "f", f"line {n}", "x", code) for n, code in enumerate(codes)]
    (row,) = counted(here)
    assert (row.tried, row.failed) == (9, 2)
    assert row.found == (
        "77.8 % noticed; 1 by tests that did not end; 1 more not tried; 2 without a known reason"
    )


def test_a_change_is_read_off_what_mutmut_writes(tmp_path):
    path = tmp_path / "mutants" / "a.py"
    path.parent.mkdir()
    path.write_text(
        "def x_f__mutmut_orig(a=1):\n    return a\n\n\ndef x_f__mutmut_1(a=2):\n    return a\n\n\n"
        "class A:\n    def xǁAǁg__mutmut_orig(self):\n        return 1\n\n"
        "    def xǁAǁg__mutmut_1(self):\n        return 2\n"
    )
    keys = {"a.x_f__mutmut_1": 0, "a.xǁAǁg__mutmut_1": 1}
    path.with_name("a.py.meta").write_text(json.dumps({"exit_code_by_key": keys}))
    assert mutants.tried(tmp_path) == [
        Mutant("a.py", "f", "def (a=1):", "def (a=2):", 0),
        Mutant("a.py", "A.g", "return 1", "return 2", 1),
    ]


@pytest.mark.parametrize("only", GROUPS)
def test_the_files_that_are_changed_and_their_tests_exist(only):
    assert list(ROOT.glob(only))
    assert all((ROOT / test).exists() for test in GROUPS[only])


def test_what_is_not_noticed_is_of_this_code_and_has_a_reason():
    code = {}
    for entry in survivors():
        module = entry["module"]
        if module not in code:
            text = undecorated((ROOT / module).read_text(encoding="utf-8"))
            ast.parse(text)
            code[module] = re.sub(r"\s+", "", text)
        line = entry["line"].replace("def (", "(")  # the name is not part of it
        assert re.sub(r"\s+", "", line) in code[module], entry
        assert entry["line"] != entry["becomes"] and len(entry["why"]) > 10, entry
