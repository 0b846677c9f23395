"""Explorers without a browser: what is drawn, when, and that nothing is left behind."""

import base64
import gc
import html
import io
import math
import re
import threading

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vae_helpers.pictures.derivation import Derivation
from vae_helpers.widgets import choice, explore, numbers, pictures, plot, slider, stage, steps, stops

ALT = "A line that turns."
GRID = np.linspace(-3, 3, 61)


def draw_line(ax, slope):
    ax.plot(GRID, slope * GRID, label="line")
    ax.set(xlim=(-3, 3), ylim=(-9, 9), title=f"slope {slope:.1f}", xlabel="x")
    ax.legend(loc="upper left")


def report_line(slope, at=1.0):
    return {"height": slope * at}


def a_slider(value=1.0, **options):
    return slider("slope", value, -3.0, 3.0, 0.1, **options)


def line_explorer(*more, **controls):
    return explore(plot(draw_line, alt=ALT), *more, **{"slope": a_slider()} | controls)


def pixels(png):
    return plt.imread(io.BytesIO(png))


def drawn_plainly(*draws, size=(8.8, 4.0), **arguments):
    """The picture that matplotlib gives when the functions are called on a fresh figure."""
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    ax = figure.subplots()
    for draw in draws:
        draw(ax, **arguments)
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return pixels(file.getvalue())[..., :3]


# --- controls ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step, readout",
    [(0.1, ".1f"), (0.05, ".2f"), (0.125, ".3f"), (2.0, ".0f"), (0.001, ".3f"), (1e-6, ".6f")],
)
def test_readout_has_the_decimals_of_the_step(step, readout):
    control = slider("mean μ", 0.0, -6.0, 6.0, step, "V")
    assert isinstance(control.input, ipywidgets.FloatSlider)
    assert control.input.readout_format == readout
    assert control.input.readout and control.input.description == "mean μ"
    assert [child.value for child in control.children if isinstance(child, ipywidgets.Label)] == ["V"]


def test_four_whole_numbers_give_a_slider_of_whole_numbers():
    control = slider("latents", 3, 1, 50, 1)
    assert isinstance(control.input, ipywidgets.IntSlider) and control.input.readout_format == "d"
    for mixed in (slider("n", 3.0, 1, 50, 1), slider("n", 3, 1, 50, 1.0)):
        assert isinstance(mixed.input, ipywidgets.FloatSlider)


@pytest.mark.parametrize(
    "make, other",
    [
        (lambda: slider("s", 1.0, 0.0, 2.0), 1.7),
        (lambda: slider("n", 3, 1, 9, 1), 7),
        (lambda: stops("d", 5, [1, 2, 5, 10]), 10),
        (lambda: choice("kind", "b", ["a", "b"]), "a"),
        (lambda: choice("kind", 2, [("one", 1), ("two", 2)]), 1),
    ],
)
def test_reset_brings_back_the_first_value(make, other):
    control = make()
    start = control.input.value
    control.input.value = other
    assert control.input.value != start
    control.button.click()
    assert control.input.value == start == control.start
    assert control.button.description == "reset" and control.input.description in control.button.tooltip


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: slider("s", 3.0, 0.0, 2.0),
            r"value: expected a number in \[low, high\] = \[0.0, 2.0\], got 3.0",
        ),
        (lambda: slider("s", math.nan, 0.0, 2.0), "value: .*got nan"),
        (lambda: slider("s", 1.0, 2.0, 0.0), "value: expected"),
        (lambda: slider("s", 1.0, 1.0, 1.0), "value: expected"),
        (lambda: slider("s", 1.0, 0.0, 2.0, 0.0), "step: expected a number above 0, got 0"),
        (lambda: slider("s", 1.0, 0.0, 2.0, math.nan), "step: expected"),
        (lambda: stops("d", 4, [1, 2, 5]), r"value: expected one of \[1, 2, 5\], got 4"),
        (
            lambda: choice("kind", "c", [("A", "a"), ("B", "b")]),
            r"value: expected one of \['a', 'b'\], got 'c'",
        ),
    ],
)
def test_controls_that_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


# --- wiring -----------------------------------------------------------------------------


def test_functions_get_the_controls_that_they_name():
    seen = []

    def draw_two(ax, b, a):
        seen.append(("draw", a, b))

    def report_one(a, unused=7):
        seen.append(("report", a, unused))
        return {"a": a}

    explorer = explore(
        plot(draw_two, alt=ALT),
        numbers(report_one),
        a=slider("a", 1.0, 0.0, 2.0),
        b=stops("b", "x", ["x", "y"]),
    )
    assert seen == [("draw", 1.0, "x"), ("report", 1.0, 7)]
    assert explorer.values == {"a": 1.0, "b": "x"}


def test_only_views_whose_arguments_changed_are_made_anew():
    calls = []

    def draw_a(ax, a):
        calls.append("draw_a")

    def report_b(b):
        calls.append("report_b")
        return {"b": b}

    def report_both(a, b):
        calls.append("report_both")
        return {"a": a + b}

    views = plot(draw_a, alt=ALT), numbers(report_b), numbers(report_both)
    explorer = explore(*views, a=slider("a", 0.0, 0.0, 2.0), b=slider("b", 0.0, 0.0, 2.0))
    for name, value, expected in [
        ("a", 1.0, ["draw_a", "report_both"]),
        ("b", 1.0, ["report_b", "report_both"]),
        ("b", 1.0, []),
    ]:
        calls.clear()
        explorer.controls[name].input.value = value
        assert calls == expected
    assert [views[1].text, views[2].text] == ["b 1.000 nats", "a 2.000 nats"]


def test_one_figure_for_good_and_none_of_pyplot(monkeypatch):
    seen = []

    def draw_spying(ax, slope):
        seen.append((ax, ax.figure))
        draw_line(ax, slope)

    explorer = explore(plot(draw_spying, alt=ALT), slope=a_slider())
    for value in np.linspace(-3, 3, 20):
        explorer.controls["slope"].input.value = value
    assert len(seen) == 21 and len(set(seen)) == 1
    assert plt.get_fignums() == []


@pytest.mark.parametrize("slope", [-3.0, 0.4, 3.0])
def test_the_picture_is_the_one_of_the_function(slope):
    explorer = line_explorer()
    explorer.controls["slope"].input.value = slope
    (view,) = explorer.views
    assert view.widget.children[0].value == view.png
    shown, expected = pixels(view.png), drawn_plainly(draw_line, slope=slope)
    # Where the axes stand was decided at the first position, so text may lie a pixel elsewhere.
    assert shown.shape == expected.shape
    assert (np.abs(shown - expected) > 0.1).mean() < 0.002
    wrong = drawn_plainly(draw_line, slope=slope - 1)
    assert (np.abs(shown - wrong) > 0.1).mean() > 0.004


def test_moving_back_gives_the_same_picture_byte_by_byte():
    explorer = line_explorer()
    (view,) = explorer.views
    first = view.png
    explorer.controls["slope"].input.value = 2.0
    assert view.png != first
    explorer.controls["slope"].reset()
    assert view.png == first


def test_the_axes_do_not_jump_when_labels_grow():
    def draw_labels(ax, lines):
        ax.set_ylabel("label\n" * lines)

    view = plot(draw_labels, alt=ALT, size=(3, 2))
    view.update({"lines": 1})
    before = view._axes[0].get_position().bounds
    view.update({"lines": 3})
    assert view._axes[0].get_position().bounds == before


def test_axes_side_by_side_each_with_its_function():
    def draw_left(ax, a):
        ax.set_title(f"left {a}")

    def draw_right(ax):
        ax.set_title("right")

    view = plot(draw_left, draw_right, alt=ALT, size=(6, 3), widths=[2, 1])
    view.update({"a": 4})
    left, right = view._axes
    assert (left.get_title(), right.get_title()) == ("left 4", "right")
    assert left.get_position().width == pytest.approx(2 * right.get_position().width, rel=0.05)
    assert pixels(view.png).shape == (300, 600, 3)


def test_at_most_limits_one_slider_by_another():
    calls = []

    def report(latents, index):
        assert 1 <= index <= latents
        calls.append((latents, index))
        return {"index": index}

    explorer = explore(
        numbers(report),
        latents=stops("latents", 5, [1, 2, 5, 50]),
        index=slider("index", 3, 1, 50, 1, at_most="latents"),
    )
    latents, index = (explorer.controls[name] for name in ("latents", "index"))
    assert (index.input.min, index.input.max, index.input.value) == (1, 5, 3)
    latents.input.value = 2
    assert (index.input.max, index.input.value) == (2, 2)
    assert calls == [(5, 3), (2, 2)]  # both moves in one drawing
    latents.input.value = 1
    assert index.input.disabled and index.input.value == 1
    index.reset()  # its first value is out of reach now
    assert index.input.value == 1 and not explorer.error
    latents.input.value = 50
    assert not index.input.disabled and index.input.max == 50
    index.input.value = 50
    assert calls[-1] == (50, 50)
    assert all(index <= latents for latents, index in calls)


def test_a_limit_never_lifts_the_slider_own_end():
    control = slider("index", 1, 1, 4, 1, at_most="d")
    explorer = explore(
        numbers(lambda d, index: {"i": index}), name="n", d=stops("d", 2, [2, 9]), index=control
    )
    explorer.controls["d"].input.value = 9
    assert control.input.max == 4


def test_a_slider_is_limited_at_the_start_too():
    control = slider("index", 9, 1, 50, 1, at_most="d")
    explore(numbers(lambda d, index: {"i": index}), name="n", d=stops("d", 2, [2, 5]), index=control)
    assert (control.input.max, control.input.value) == (2, 2)


# --- errors -----------------------------------------------------------------------------


def test_an_error_is_shown_escaped_and_the_last_picture_stays():
    def draw_fragile(ax, slope):
        draw_line(ax, slope)
        if slope > 2:
            raise ValueError("slope <b>too</b> steep & more")

    def report_fragile(slope):
        return {"root": math.sqrt(slope)}

    explorer = explore(plot(draw_fragile, alt=ALT), numbers(report_fragile), slope=a_slider())
    view, text = explorer.views
    message, first = explorer.children[1], view.png
    assert explorer.error == message.value == ""
    move = explorer.controls["slope"].input
    move.value = 2.5
    assert explorer.error == "ValueError: slope <b>too</b> steep & more"
    assert html.escape(explorer.error) in message.value and "<b>" not in message.value
    assert view.png == view.widget.children[0].value == first
    assert text.text == f"root {math.sqrt(2.5):.3f} nats"  # the other views go on
    move.value = -1.0
    assert "math domain error" in message.value or "nonnegative" in message.value
    assert text.text == f"root {math.sqrt(2.5):.3f} nats" and view.png != first
    move.value = 1.0
    assert explorer.error == message.value == "" and view.png == first


def test_a_view_that_failed_is_made_anew_when_another_control_moves():
    broken = [True]

    def report_a(a):
        if a > 1 and broken:
            raise RuntimeError("not now")
        return {"a": a}

    def report_b(b):
        return {"b": b}

    explorer = explore(
        numbers(report_a), numbers(report_b), a=slider("a", 1.0, 0.0, 2.0), b=slider("b", 1.0, 0.0, 2.0)
    )
    explorer.controls["a"].input.value = 2.0
    assert explorer.error == "RuntimeError: not now"
    broken.clear()
    explorer.controls["b"].input.value = 0.5
    assert explorer.error == "" and explorer.views[0].text == "a 2.000 nats"


def test_an_error_at_the_start_is_raised_in_the_cell():
    def draw_broken(ax, slope):
        raise RuntimeError("broken from the start")

    with pytest.raises(RuntimeError, match="broken from the start"):
        explore(plot(draw_broken, alt=ALT), slope=a_slider())


def line_plot():
    return plot(draw_line, alt=ALT)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: explore(slope=a_slider()), TypeError, "explore: expected at least one view and one control"),
        (lambda: explore(line_plot()), TypeError, "explore: expected at least one view and one control"),
        (lambda: explore(draw_line, slope=a_slider()), TypeError, "views: expected plot.*, got function"),
        (lambda: explore(line_plot(), slope=1.0), TypeError, r"slope: expected slider\(…\).*, got float"),
        (lambda: explore(line_plot(), slope=a_slider().input), TypeError, "slope: .*, got FloatSlider"),
        (lambda: line_explorer(b=a_slider(), a=a_slider()), TypeError, "a, b: no function has an argument"),
        (lambda: explore(line_plot(), numbers(report_line), at=a_slider()), TypeError, ".*'slope'"),
        (lambda: line_explorer(name="two words"), ValueError, "name: expected letters.*, got 'two words'"),
        (lambda: explore(numbers(lambda a: {}), a=a_slider()), ValueError, "name: .*, got '<lambda>'"),
        (lambda: line_explorer(slope=a_slider(at_most="d")), ValueError, "slope: at_most: .*, got 'd'"),
        (
            lambda: line_explorer(slope=a_slider(at_most="slope")),
            ValueError,
            "slope: at_most: .*, got 'slope'",
        ),
        (lambda: plot(draw_line, alt=" "), ValueError, "alt: expected a sentence"),
        (lambda: plot(alt=ALT), ValueError, "draws: expected at least one function"),
        (lambda: plot(draw_line, alt=ALT, under=[draw_line] * 2), ValueError, "under: expected 1 .*, got 2"),
        (lambda: pictures(lambda: 0, alt=""), ValueError, "alt: expected a sentence"),
    ],
)
def test_what_explore_refuses(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()


@pytest.mark.parametrize(
    "add", [lambda ax: ax.twinx(), lambda ax: ax.figure.colorbar(ax.imshow([[0]]), ax=ax)]
)
def test_a_draw_function_that_adds_axes_is_refused(add):
    # They would stay for good, one more with each move.
    with pytest.raises(ValueError, match="^draws: expected no axes besides the given ones"):
        plot(lambda ax: (add(ax), None)[1], alt=ALT).update({})


# --- nothing is left behind -------------------------------------------------------------


def test_a_cell_run_again_leaves_no_widget_behind():
    def report_rest(kind, stop):
        return {"sum": kind + stop}

    def again():
        return explore(
            plot(draw_line, alt=ALT),
            numbers(report_rest),
            steps(lambda slope: Derivation("T").line("a", slope).line("b", slope)),
            pictures(lambda slope: np.full((1, 2, 3, 3), abs(slope) / 3), alt="Grey squares."),
            slope=a_slider(),
            kind=choice("kind", 1, [1, 2]),
            stop=stops("stop", 1, [1, 2]),
        )

    before = len(_instances)
    first = again()
    count = len(_instances)
    assert count - before > 30
    for _ in range(20):
        last = again()
        assert len(_instances) == count
    assert first.comm is None and last.comm is not None
    last.controls["slope"].input.value = 2.0
    assert last.views[1].text == "sum 2.000 nats" and last.views[0].png != first.views[0].png
    stage.ON_STAGE.pop("draw_line").close_all()
    assert len(_instances) == before


def test_explorers_of_other_names_live_side_by_side():
    one, two = line_explorer(name="one"), line_explorer(name="two")
    assert one.comm is not None and two.comm is not None
    assert "vae-explorer-one" in one._dom_classes and "vae-explorer-two" in two._dom_classes


def test_300_moves_leave_neither_artists_nor_objects_nor_widgets():
    views = plot(draw_line, alt=ALT, size=(2.5, 1.6)), numbers(report_line)
    explorer = explore(*views, slope=a_slider())
    (ax,) = views[0]._axes
    move = explorer.controls["slope"].input

    def count():
        gc.collect()
        return len(ax.get_children()), len(ax.figure.get_children()), len(_instances), len(gc.get_objects())

    def drag(num_moves):
        for value in np.linspace(-3, 3, num_moves):
            move.value = value
        move.value = 1.0

    drag(20)
    *before, objects = count()
    drag(280)
    *after, more_objects = count()
    assert after == before
    assert more_objects - objects < 300  # less than one for each move


# --- what never changes, under what moves ------------------------------------------------


def draw_ground(ax):
    ax.contourf(GRID, GRID, np.add.outer(GRID**2, GRID**2), cmap="gray")
    ax.set(xlim=(-3, 3), ylim=(-3, 3), title="ground", xlabel="x", ylabel="y")


def draw_moving(ax, a):
    ax.plot([-2, a], [0, a], color="red", linewidth=3)
    ax.plot([-2, a], [1, -a], color="blue", linewidth=9)  # crosses the first: the order matters
    ax.plot([a, a], [-2, 2])  # in the default colour
    ax.bar([0, 1], [a, 1], width=0.3)
    ax.text(a, -2, "here", zorder=1)
    ax.fill_between([-2, -1], [0, 1], alpha=0.5)


def layered():
    return plot(draw_moving, alt=ALT, under=[draw_ground])


@pytest.mark.parametrize("a", [-1.5, 0.0, 1.8])
def test_two_layers_look_like_one(a):
    def draw_at_once(ax):
        draw_ground(ax)
        ax.set_prop_cycle(None)
        draw_moving(ax, a)

    view = layered()
    view.update({"a": 1.0})
    view.update({"a": a})
    shown, expected = pixels(view.png), drawn_plainly(draw_at_once)
    assert (np.abs(shown - expected) > 0.2).mean() < 1e-3


def test_what_is_added_later_lies_above_unless_its_order_says_otherwise():
    def draw_three(ax):
        ax.axvspan(0, 1, color="red")
        ax.axvspan(0, 1, color="blue")
        ax.axvspan(0, 1, color="lime", zorder=0.5)

    view = plot(draw_three, alt=ALT, size=(2, 2), under=[lambda ax: ax.set(xlim=(0, 1), ylim=(0, 1))])
    view.update({})
    assert pixels(view.png)[100, 120].tolist() == [0, 0, 1]


def test_layers_leave_no_residue():
    view = layered()
    (ax,) = view._axes
    view.update({"a": 0.5})
    first, state = view.png, (len(ax.get_children()), len(ax.containers), ax.get_xlim(), ax.get_ylim())
    for a in np.linspace(-2, 2, 30):
        view.update({"a": a})
    assert view.png != first
    view.update({"a": 0.5})
    assert view.png == first
    assert (len(ax.get_children()), len(ax.containers), ax.get_xlim(), ax.get_ylim()) == state
    again = layered()
    again.update({"a": 0.5})
    assert again.png == first  # whatever the addresses of the artists are


def test_the_lower_layer_is_drawn_once():
    calls = []

    def draw_counting(ax):
        calls.append(ax)
        draw_ground(ax)

    view = plot(draw_moving, alt=ALT, under=[draw_counting])
    for a in (0.0, 1.0, 2.0):
        view.update({"a": a})
    assert len(calls) == 1


def test_layers_recover_from_an_error():
    def draw_fragile(ax, a):
        draw_moving(ax, a)
        if a > 1:
            raise RuntimeError("too far")

    explorer = explore(plot(draw_fragile, alt=ALT, under=[draw_ground]), a=slider("a", 0.5, -2.0, 2.0))
    (view,) = explorer.views
    first, children = view.png, len(view._axes[0].get_children())
    explorer.controls["a"].input.value = 2.0
    assert explorer.error == "RuntimeError: too far" and view.png == first
    assert len(view._axes[0].get_children()) == children
    explorer.controls["a"].reset()
    assert not explorer.error and view.png == first


# --- pictures ----------------------------------------------------------------------------


def sheet(made, scale=1, **options):
    view = pictures(lambda: made, alt="Squares.", scale=scale, **options)
    view.update({})
    return np.rint(255 * pixels(view.png)).astype(int), view


def test_pictures_are_laid_out_pixel_by_pixel():
    ink = np.array([[[[0.0, 1.0], [0.5, 0.0]], [[1.0, 1.0], [0.0, 0.2]]]])  # 1 row, 2 columns, 2 x 2
    once, view = sheet(ink)
    paper = 255
    expected = [[255, 0, paper, 0, 0, paper], [128, 255, paper, 255, 204, paper], [paper] * 6]
    assert once.tolist() == expected
    assert view._image.layout.width == "6px"
    twice, view = sheet(ink, scale=2)
    np.testing.assert_array_equal(twice, np.kron(expected, np.ones((2, 2), int)))
    assert view._image.layout.width == "12px" and view._image.value == view.png
    flat, _ = sheet(ink.reshape(1, 2, 4))
    assert flat.tolist() == expected


def test_pictures_stand_in_rows_and_columns():
    ink = np.arange(6).reshape(2, 3, 1, 1) / 255
    shown, _ = sheet(ink)
    assert shown.shape == (4, 6)
    np.testing.assert_array_equal(shown[::2, ::2], 255 - np.arange(6).reshape(2, 3))


def test_pictures_clip():
    shown, _ = sheet(np.array([-1.0, 2.0, 1e9, np.inf]).reshape(1, 4, 1, 1))
    assert shown[0, ::2].tolist() == [255, 0, 0, 0]


@pytest.mark.parametrize(
    "made, message",
    [
        (np.zeros((2, 3)), r"shape \(rows, columns, height, width\), .*got \(2, 3\)"),
        (np.zeros((2, 3, 30)), r"shape .*for squares, got \(2, 3, 30\)"),
        (np.zeros((2, 3, 0)), r"shape .*got \(2, 3, 0\)"),
        (np.zeros((0, 3, 2, 2)), r"shape .*got \(0, 3, 2, 2\)"),
        (np.zeros((1, 2, 3, 4, 5)), r"shape .*got \(1, 2, 3, 4, 5\)"),
        (np.full((1, 1, 2, 2), np.nan), r"numbers in \[0, 1\], got NaN in shape \(1, 1, 2, 2\)"),
    ],
)
def test_pictures_of_wrong_shape_are_refused(made, message):
    def make_digits():
        return made

    with pytest.raises(ValueError, match=f"^make_digits: expected {message}"):
        pictures(make_digits, alt="Squares.").update({})


def test_title_of_pictures_is_escaped():
    _, view = sheet(np.zeros((1, 1, 2, 2)), title="d < 3 & more")
    heading, _ = view.widget.children
    assert heading.value == "d &lt; 3 &amp; more"


# --- numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, options, shown",
    [
        (1.23456, {}, "1.235 nats"),
        (-1.5, {}, "−1.500 nats"),
        (-0.0001, {}, "0.000 nats"),
        (-0.0, {"digits": 0}, "0 nats"),
        (7, {"unit": ""}, "7.000"),
        ((1.6, "V"), {}, "1.600 V"),
        ((-2.0, "log-odds"), {"digits": 1}, "−2.0 log-odds"),
        ((0.5, ""), {}, "0.500"),
        (np.float32(2.5), {"unit": "bits", "digits": 2}, "2.50 bits"),
        (math.inf, {}, "inf nats"),
        ("p < q & r", {}, "p < q & r"),
    ],
)
def test_numbers_are_formatted(value, options, shown):
    view = numbers(lambda: {"KL": value}, **options)
    view.update({})
    assert view.text == f"KL {shown}"
    assert f"KL <b>{html.escape(shown)}</b>" in view.widget.value


def test_names_of_numbers_are_escaped_and_found_by_the_page():
    view = numbers(lambda: {'<i>"KL"</i> & co': 1.0, "b": 2.0})
    view.update({})
    name = "&lt;i&gt;&quot;KL&quot;&lt;/i&gt; &amp; co"
    assert re.findall(r'data-name="([^"]*)"', view.widget.value) == [name, "b"]
    assert "<i>" not in view.widget.value
    assert view.text == '<i>"KL"</i> & co 1.000 nats, b 2.000 nats'


# --- steps -------------------------------------------------------------------------------


def derive_kl(mu, wrong=False):
    return (
        Derivation("KL of a < b")
        .line(r"\mathrm{KL}", 0.5 * mu**2, reason="by <definition>")
        .line(r"a < b", 0.5 * mu * mu + 0.1 * wrong, reason="again")
        .line(r"-1", -1.0, "≥")
    )


def test_steps_set_formulas_once_and_move_values():
    view = steps(derive_kl)
    view.update({"mu": 1.0})
    title, *lines = view.widget.children
    cells = [child for line in lines for child in line.children]
    texts = [child.value for child in cells]
    assert title.value == "KL of a &lt; b (nats)"
    assert texts[::3] == [
        r" $\displaystyle \mathrm{KL}$",
        r"= $\displaystyle a &lt; b$",
        r"≥ $\displaystyle -1$",
    ]
    assert texts[1::3] == ["by &lt;definition&gt;", "again", ""]
    assert texts[2::3] == ["<b>0.500000</b> ✓", "<b>0.500000</b> ✓", "<b>−1.000000</b> ✓"]
    view.update({"mu": 2.0, "wrong": True})
    assert view.widget.children == (title, *lines)
    after = [child.value for line in lines for child in line.children]
    assert [after[i] for i in range(9) if i % 3 != 2] == [texts[i] for i in range(9) if i % 3 != 2]
    assert after[2::3] == ["<b>2.000000</b> ✓", "<b>2.100000</b> ✗ does not hold", "<b>−1.000000</b> ✓"]
    view.update({"mu": math.nan})
    assert [line.children[2].value.endswith("✗ does not hold") for line in lines] == [True, True, True]


def test_steps_whose_formulas_change_are_laid_out_anew_and_leak_nothing():
    view = steps(lambda a: Derivation("T", unit="").line(f"x^{a}", 1.0).line("1", 1.0, reason=f"{a} times"))
    view.update({"a": 0})
    first, count = view.widget.children, len(_instances)
    for a in range(1, 6):
        view.update({"a": a})
        assert view.widget.children[0] is not first[0] and first[0].comm is None
        assert view.widget.children[1].children[0].value == rf" $\displaystyle x^{a}$"
        assert view.widget.children[2].children[1].value == f"{a} times"
        assert len(_instances) == count
    assert view.widget.children[0].value == "T"


# --- the still picture -------------------------------------------------------------------


def bundle(explorer):
    data, metadata = explorer._repr_mimebundle_(include=None, exclude=None)
    return data, metadata


def still(data):
    """The pixels of an output's PNG below the strip that says what it is, 0 to 1."""
    return pixels(base64.b64decode(data["image/png"]))[stage.BADGE_HEIGHT :, :, :3]


def test_output_holds_a_still_picture_and_no_widget():
    explorer = line_explorer(numbers(report_line, unit="V"), at=slider("at", 2.0, 0.0, 9.0, 0.5))
    data, metadata = bundle(explorer)
    assert set(data) == {"text/plain", "text/html", "image/png"}
    assert data["text/plain"] == "sliders at slope 1.0; at 2.0; height 2.000 V"
    assert metadata == {"image/png": {"alt": ALT}}
    assert explorer._stage.view == explorer.model_id and explorer._stage.alts == [ALT]
    assert np.abs(still(data) - pixels(explorer.views[0].png)).mean() < 0.004  # a palette of 256 colours


def test_words_of_a_choice_are_those_that_are_shown():
    def report(f):
        return {"f(4)": f(4)}

    explorer = explore(numbers(report, unit=""), f=choice("function", math.sqrt, [("root", math.sqrt)]))
    data, metadata = bundle(explorer)
    assert data["text/plain"] == "sliders at function root; f(4) 2.000"  # and no address
    assert "image/png" not in data and metadata == {}


def test_several_pictures_stand_one_above_the_other():
    def make(slope):
        return np.full((1, 1, 40, 40), abs(slope) / 2)

    explorer = explore(
        plot(draw_line, alt="One."), pictures(make, alt="Two.", title="digits"), slope=a_slider()
    )
    data, metadata = bundle(explorer)
    assert metadata == {"image/png": {"alt": "One. Two."}}
    assert explorer._stage.alts == ["One.", "Two."]
    picture = still(data)
    assert picture.shape[1] == 880 and picture.shape[0] > 400 + 82
    assert (abs(picture[450:] - 0.5) < 0.02).all(axis=-1).sum() > 1000  # the grey square below


# --- threads -----------------------------------------------------------------------------


def in_threads(*functions):
    errors = []

    def guarded(function):
        try:
            function()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors and not any(thread.is_alive() for thread in threads)


def test_two_threads_draw_two_explorers_right():
    one, two = line_explorer(name="one"), line_explorer(name="two")
    expected = {}
    for value in (-2.0, 0.5, 2.5):
        one.controls["slope"].input.value = value
        expected[value] = one.views[0].png
    wrong = []

    def drag(explorer):
        for value in 3 * list(expected):
            explorer.controls["slope"].input.value = value
            if explorer.views[0].png != expected[value]:
                wrong.append(value)

    in_threads(lambda: drag(one), lambda: drag(two))
    assert not wrong


def test_two_threads_draw_one_figure_right():
    def draw_many(ax, n):
        for i in range(n):
            ax.plot([0, 1], [i, n])
        ax.set(xlim=(0, 1), ylim=(0, 9))

    view, right = plot(draw_many, alt=ALT, size=(3, 2)), {}
    for n in (1, 5, 9):
        view.update({"n": n})
        right[n] = view.png
    seen = []

    def drag():
        for n in 8 * list(right):
            view.update({"n": n})
            seen.append(view.png)

    in_threads(drag, drag)
    assert set(seen) <= set(right.values())


def test_the_newest_position_is_drawn_last_whatever_thread_it_comes_from():
    begun, overtaken = threading.Event(), threading.Event()

    def report(a, b):
        if (a, b) == (1, 0):  # slow, so that the other thread could overtake
            begun.set()
            overtaken.wait(0.3)
        if (a, b) == (1, 1):
            overtaken.set()
        return {"ab": 10 * a + b}

    explorer = explore(numbers(report), a=slider("a", 0, 0, 1, 1), b=slider("b", 0, 0, 1, 1))

    def second():
        assert begun.wait(10)
        explorer.controls["b"].input.value = 1

    in_threads(lambda: setattr(explorer.controls["a"].input, "value", 1), second)
    assert explorer.views[0].text == "ab 11.000 nats"
