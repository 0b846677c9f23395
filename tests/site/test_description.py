"""Descriptions of explorers: positions, the texts of their readouts, views, and what is refused."""

import json
import math

import numpy as np
import pytest

from vae_helpers.pictures.derivation import Derivation
from vae_helpers.site import description
from vae_helpers.site.description import control_of, describe, numbers_at, values_at, view_of
from vae_helpers.site.slices import Slicer
from vae_helpers.widgets import choice, explore, numbers, page, pictures, plot, slider, steps, stops

ALT = "A line."


def texts(control):
    return control_of("c", control)["texts"]


# ---- positions and readouts -------------------------------------------------------------------


@pytest.mark.parametrize(
    "control, expected",
    [
        (slider("a", 0.0, -0.2, 0.2, 0.1), ["−0.2", "−0.1", "0.0", "0.1", "0.2"]),
        (slider("a", 0.25, 0.25, 0.4, 0.05), ["0.25", "0.30", "0.35", "0.40"]),
        (slider("a", 0.5, 0.0, 1.0, 0.5), ["0.0", "0.5", "1.0"]),
        (slider("a", 2.0, -4.0, 4.0, 2.0), ["−4", "−2", "0", "2", "4"]),
        (slider("a", 1, -2, 2, 1), ["−2", "−1", "0", "1", "2"]),
        (slider("a", 3, 1, 8, 2), ["1", "3", "5", "7", "8"]),  # the browser reaches the end
        (
            slider("a", 0.0, 0.0, 0.25, 0.1),
            ["0.0", "0.1", "0.2", "0.2"],
        ),  # and shows it so: 0.25 to one decimal
        (stops("a", 10, [1, 10, 1000]), ["1", "10", "1000"]),
        (stops("a", -0.5, [-1, -0.5, 1e-06]), ["−1", "−0.5", "1e-06"]),
        (choice("a", "b-c", ["a", "b-c"]), ["a", "b-c"]),
        (choice("a", 2, [("one", 1), ("-2 or so", 2)]), ["one", "-2 or so"]),
    ],
)
def test_a_control_has_the_texts_of_its_readout(control, expected):
    assert texts(control) == expected


def test_a_hundred_steps_add_up_to_no_long_decimals():
    values = control_of("a", slider("a", 0.3, -5.0, 5.0, 0.1))["values"]
    assert values == [float(f"{k / 10:.1f}") for k in range(-50, 51)]
    assert 0.30000000000000004 not in values and str(values[50]) == "0.0"


def test_a_control_begins_where_its_slider_stands():
    for control, start in [
        (slider("a", 0.3, -1.0, 1.0, 0.1), 13),
        (slider("a", 0.8, 0.25, 1.2, 0.05), 11),
        (slider("a", 7, 1, 9, 1), 6),
        (stops("a", 5, [1, 2, 5]), 2),
        (choice("a", 2, [("one", 1), ("two", 2)]), 1),
    ]:
        assert control_of("a", control)["start"] == start


def test_a_control_that_stands_between_two_positions_is_refused():
    with pytest.raises(
        ValueError, match=r"^mu: expected a start on one of the positions 0.0, 0.2, …, got 0.5"
    ):
        control_of("mu", slider("a", 0.5, 0.0, 1.0, 0.2))


def test_what_a_control_is():
    told = control_of("x", slider("reading x", 1.6, -0.5, 2.5, 0.1, "V"))
    assert {name: told[name] for name in ("name", "label", "unit", "kind", "at_most")} == {
        "name": "x", "label": "reading x", "unit": "V", "kind": "slider", "at_most": "",
    }  # fmt: skip
    assert control_of("d", stops("d", 1, [1, 2]))["kind"] == "slider"
    assert control_of("d", choice("d", 1, [1, 2]))["kind"] == "choice"
    assert control_of("k", slider("k", 1, 1, 9, 1, at_most="d"))["at_most"] == "d"


def test_values_that_json_does_not_know_are_told_by_their_texts():
    told = control_of("f", choice("f", math.cos, [("sine", math.sin), ("cosine", math.cos), ("both", True)]))
    assert told["values"] == ["sine", "cosine", "both"] and told["start"] == 1
    assert json.loads(json.dumps(told)) == told


def test_functions_get_the_values_themselves_and_not_their_texts():
    report = numbers(lambda f, x: {"f": f(x)})
    explorer = explore(
        report, name="n", f=choice("f", math.sin, [("sine", math.sin), ("cosine", math.cos)]),
        x=slider("x", 0.0, 0.0, 1.0, 0.1),
    )  # fmt: skip
    assert values_at(explorer, (1, 3)) == {"f": math.cos, "x": 0.3}
    assert [type(value) for value in values_at(explorer, (0, 0)).values()] == [type(math.sin), float]


def test_a_limited_slider_keeps_all_of_its_positions():
    explorer = explore(
        numbers(lambda d, k: {"k": k}),
        name="n",
        d=stops("d", 2, [2, 5]),
        k=slider("k", 4, 1, 6, 1, at_most="d"),
    )
    told = control_of("k", explorer.controls["k"])
    assert told["values"] == [1, 2, 3, 4, 5, 6] and told["start"] == 1  # where its limit has put it


# ---- views ------------------------------------------------------------------------------------


def draw(ax, a):
    ax.plot([0, a], [0, 1])


def views_of(*views, a=1.0):
    explorer = explore(*views, a=slider("a", a, 0.0, 2.0, 0.5))
    return [view_of(view, explorer.values) for view in explorer.views]


def test_pictures_have_their_size_title_and_text():
    grey = pictures(lambda a: np.full((1, 2, 3, 5), a / 2), alt="Squares.", title="some <squares>", scale=4)
    drawn, few = views_of(plot(draw, alt=ALT, size=(4.4, 2.2)), grey)
    assert drawn == {
        "kind": "picture", "alt": ALT, "title": "", "pixels": False, "width": 440, "height": 220,
    }  # fmt: skip
    assert few == {
        "kind": "picture", "alt": "Squares.", "title": "some <squares>", "pixels": True,
        "width": 4 * 2 * 6, "height": 4 * 4,
    }  # fmt: skip


def report(a):
    return {"−ELBO < 0": -a, "of": "1 of 2 & more", "x": (a, "V"), "plain": (-1e-9, "")}


def test_numbers_are_told_as_they_are_shown():
    view = numbers(report, digits=2)
    assert views_of(view) == [{"kind": "numbers", "unit": "nats", "digits": 2}]
    assert numbers_at(view) == [
        ["−ELBO < 0", "−1.00 nats"], ["of", "1 of 2 & more"], ["x", "1.00 V"], ["plain", "0.00"],
    ]  # fmt: skip
    assert view.text == ", ".join(" ".join(pair) for pair in numbers_at(view))


def derive(a):
    road = Derivation("A road", unit="nats").line("a", a, reason="given")
    return road.line(r"\tfrac{a}{1}", a, "=", "<divided>").line("a - 1", lambda: a - 1.0, "≤", "wrong")


def test_lines_of_a_derivation_are_told_as_they_are_shown():
    view = steps(derive)
    assert views_of(view, a=0.5) == [
        {
            "kind": "steps",
            "title": "A road (nats)",
            "rows": [
                {"relation": "", "latex": "a", "reason": "given"},
                {"relation": "=", "latex": r"\tfrac{a}{1}", "reason": "<divided>"},
                {"relation": "≤", "latex": "a - 1", "reason": "wrong"},
            ],
        }
    ]
    shown = [line.children[2].value for line in view.widget.children[1:]]
    told = description.steps_at(view, {"a": 0.5})[2]
    assert shown == [f"<b>{text}</b> {'✓' if holds else '✗ does not hold'}" for text, holds in told]
    assert told == [["0.500000", True], ["0.500000", True], ["−0.500000", False]]


# ---- constants --------------------------------------------------------------------------------

COMPUTED = """
w, noise = 0.5, [9.0]
def draw_it(ax, a, noise=(1.0, 2.5)): ax.plot([0, a])
def report(a): return {"a": a}
explore(numbers(report), plot(draw_it, alt="A line."), name="it", a=slider("a", 1.0, 0.0, 2.0, 0.5))
"""


def described(path):
    (found,) = Slicer(path).run(also=description.constants(path.stem))
    return describe(found)


def test_constants_are_defaults_of_the_picture_or_variables_of_the_notebook(notebook, monkeypatch):
    monkeypatch.setitem(description.COMPUTED, "90_made.it", ("noise", "w"))
    told = described(notebook(COMPUTED))
    assert told["kind"] == "computed" and told["parameters"] == {"noise": [1.0, 2.5], "w": 0.5}


@pytest.mark.parametrize(
    "value, shown", [("'a'", "'a'"), ("float('inf')", "inf"), ("[1, [2]]", r"\[1, \[2\]\]")]
)
def test_a_constant_that_is_no_number_is_refused(notebook, monkeypatch, value, shown):
    monkeypatch.setitem(description.COMPUTED, "90_made.it", ("noise",))
    path = notebook(COMPUTED.replace("(1.0, 2.5)", value))
    with pytest.raises(ValueError, match=f"^90_made.it: expected numbers in noise, got {shown}"):
        described(path)


def test_a_constant_that_is_not_there_is_refused(notebook, monkeypatch):
    monkeypatch.setitem(description.COMPUTED, "90_made.it", ("gone",))
    with pytest.raises(ValueError, match="^90_made.it: expected numbers in gone, got None"):
        described(notebook(COMPUTED))


def test_a_look_that_is_no_pattern_is_refused(monkeypatch):
    monkeypatch.setitem(page.ROLES, "odd", {"color": "#000000", "linestyle": "dotty"})
    with pytest.raises(ValueError, match="^linestyle: expected one of -, --, .*, got 'dotty'"):
        page.look()
