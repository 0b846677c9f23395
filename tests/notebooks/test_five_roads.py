"""The picture of the five roads says what their line-checked derivations say."""

import importlib.util
import sys

import matplotlib as mpl
import pytest
from support.cells import PATHS, ROOT, needed_for

mpl.use("Agg")


@pytest.fixture(scope="module")
def derivations():
    """The roads of notebook 2 at a guess, by their letters."""
    (path,) = (p for p in PATHS if p.stem.startswith("02"))
    space = {}
    for _, source in needed_for(path, "drive"):
        exec(compile(source, path.stem, "exec"), space)
    return {name: road(0.3, 0.8) for name, road in space["ROADS"].items() if len(name) == 1}


@pytest.fixture
def pictured(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "figures")
    monkeypatch.delitem(sys.modules, "_draw", raising=False)
    spec = importlib.util.spec_from_file_location("five_roads", ROOT / "figures" / "five_roads.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(words):
    """Words without the marks of a formula."""
    return words.replace("$", "").replace("\\,", " ").replace("\\int", "∫").replace("\\log", "log")


def test_each_road_is_both_pictured_and_derived(derivations, pictured):
    assert list(derivations) == list(pictured.ROADS) == list("abcde")


@pytest.mark.parametrize("letter", "abcde")
def test_reasons_stand_in_the_same_order_on_the_same_side_of_the_gap(letter, derivations, pictured):
    road, lines = pictured.ROADS[letter], derivations[letter].lines[1:]
    (at,) = (number for number, line in enumerate(lines) if line.relation == "≥")
    reasons = [line.reason.split() for line in lines]
    assert [plain(words).split() for words in [*road.above, road.step, *road.below]] == reasons
    assert at == len(road.above)


@pytest.mark.parametrize("letter", "abcde")
def test_the_last_line_has_the_form_that_its_box_shows(letter, derivations, pictured):
    second = pictured.ROADS[letter].form == pictured.SECOND_FORM
    assert second == ("KL" in derivations[letter].lines[-1].latex)
