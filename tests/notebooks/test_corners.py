"""Every slider of every notebook in every corner of what it allows, without a browser.

Of each notebook, those cells are run in this process that its sliders rest on.
"""

import contextlib
import io
import itertools
import math
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import matplotlib as mpl

mpl.use("Agg")

import IPython.display
import ipywidgets
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from support.cells import PATHS, ROOT, needed_for
from support.contrast import ENOUGH, contrast

from vae_helpers.pictures import plotting
from vae_helpers.pictures.derivation import Derivation
from vae_helpers.widgets import numbers, plot, slider, stage, steps
from vae_helpers.widgets.explorer import Explorer
from vae_helpers.widgets.views import Numbers, Plot, Steps, View, call

EDGE = 1.5  # pixels that a text may stand out, for antialiasing
OVERLAP = 0.2  # share of the smaller one by which the boxes of two texts may overlap
SMALLEST = 11  # points of a text
BLANK = 1e-3  # standard deviation of the pixels of a picture that shows nothing
BETWEEN = 20  # places besides the corners


class Drawn(NamedTuple):
    """A text as it was drawn: it may be gone from its figure a moment later."""

    figure: Figure
    words: str
    size: float
    color: tuple[float, float, float]
    box: Bbox
    clip: Bbox | None


class Texts:
    """Records each text that matplotlib draws, and where."""

    def __init__(self, patch):
        self.seen = []
        draw = Text.draw

        def recording(text, renderer, *args, **kwargs):
            if text.get_visible() and text.get_text().strip():
                clip = text.axes.bbox.frozen() if text.axes is not None and text.get_clip_on() else None
                box = text.get_window_extent(renderer).frozen()
                words, size, color = text.get_text(), text.get_fontsize(), on_white(text)
                drawn = Drawn(text.get_figure(root=True), words, size, color, box, clip)
                self.seen.append(drawn)
            return draw(text, renderer, *args, **kwargs)

        patch.setattr(Text, "draw", recording)

    def take(self):
        taken, self.seen = self.seen, []
        return taken


def on_white(text):
    """The colour of a text on white paper, see-through ones mixed with it."""
    red, green, blue, alpha = mpl.colors.to_rgba(text.get_color(), text.get_alpha())
    return tuple(1 - alpha * (1 - part) for part in (red, green, blue))


def inside(box, outer):
    return all(
        (
            box.x0 >= outer.x0 - EDGE,
            box.y0 >= outer.y0 - EDGE,
            box.x1 <= outer.x1 + EDGE,
            box.y1 <= outer.y1 + EDGE,
        )
    )


def overlap(one, other):
    """The part of the smaller box that the other one covers."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    smaller = min(one.width * one.height, other.width * other.height)
    return max(width, 0) * max(height, 0) / smaller if smaller else 0.0


# --- where the controls go ------------------------------------------------------------------


def ends(control):
    """The first and the last value of a control."""
    options = getattr(control.input, "_options_values", None)
    return [control.input.min, control.high] if options is None else [options[0], options[-1]]


def anywhere(control, rng):
    if hasattr(control.input, "options"):
        return rng.choice(control.input._options_values)
    low, step = control.input.min, control.input.step
    number = low + step * rng.randrange(round((control.high - low) / step) + 1)
    return number if isinstance(control.input, ipywidgets.IntSlider) else float(f"{number:.10g}")


def move(explorer, values):
    """All controls at once, as after a drag: one drawing, of every view, so that all texts are met."""
    explorer._limiting = True
    for name, value in values.items():
        control = explorer.controls[name]
        if control.at_most:
            control.input.max = control.high
        control.input.value = value
    explorer._limit()
    explorer._shown.clear()
    explorer._refresh()


# --- what may be wrong there: each function yields the faults of one kind ---------------------


class Met(NamedTuple):
    """An explorer at one place of its controls."""

    explorer: Explorer
    texts: dict[View, list[Drawn]]  # of each plot
    where: str


def errors(met: Met) -> Iterator[str]:
    if met.explorer.error:
        yield met.explorer.error


def blank_pictures(met: Met) -> Iterator[str]:
    for view in met.explorer.views:
        if view.png and plt.imread(io.BytesIO(view.png)).std() < BLANK:
            yield "blank"


def numbers_that_are_none(met: Met) -> Iterator[str]:
    for view in met.explorer.views:
        if isinstance(view, Numbers):
            for name, value in call(*view.functions, met.explorer.values).items():
                number = value[0] if isinstance(value, tuple) else value
                if not isinstance(number, str) and not math.isfinite(number):
                    yield f"{name} is {number}"


def wrong_steps(met: Met) -> Iterator[str]:
    may_hold = "wrong" not in met.where  # a road may be called wrong, and then it has to be
    for view in met.explorer.views:
        if isinstance(view, Steps):
            holds = not any("✗" in cell.value for cell in view._cells)
            if holds != may_hold:
                yield f"the lines {'' if holds else 'do not '}hold"


def unreadable_texts(met: Met) -> Iterator[str]:
    for texts in met.texts.values():
        for text in texts:
            yield from cut_off(text)
            yield from too_small(text)
            yield from pale(text)
        for one, other in itertools.combinations(texts, 2):
            yield from over_each_other(one, other)


def cut_off(text: Drawn) -> Iterator[str]:
    if not inside(text.box, text.figure.bbox):
        yield f"{text.words!r} is cut off at the figure's edge"
    if text.clip and overlap(text.box, text.clip) and not inside(text.box, text.clip):
        yield f"{text.words!r} is cut off at the edge of its axes"


def too_small(text: Drawn) -> Iterator[str]:
    if text.size < SMALLEST:
        yield f"{text.words!r} is of size {text.size:g}"


def pale(text: Drawn) -> Iterator[str]:
    if contrast(text.color) < ENOUGH:
        yield f"{text.words!r} is pale, {contrast(text.color):.1f} : 1"


def over_each_other(one: Drawn, other: Drawn) -> Iterator[str]:
    marks = len(one.words) == len(other.words) == 1  # digits that stand for points
    if overlap(one.box, other.box) > OVERLAP and not marks:
        yield f"{one.words!r} and {other.words!r} lie over each other"


FAULTS = {
    "errors": errors,
    "pictures": blank_pictures,
    "numbers": numbers_that_are_none,
    "steps": wrong_steps,
    "texts": unreadable_texts,
}


def idle_controls(names, corners, looks) -> Iterator[str]:
    """Controls that change nothing between any two corners that differ in them alone."""
    for i, name in enumerate(names):
        pairs = itertools.combinations(corners, 2)
        alone = [(a, b) for a, b in pairs if a[:i] == b[:i] and a[i + 1 :] == b[i + 1 :]]
        if all(looks[a] == looks[b] for a, b in alone):
            yield f"{name} changes nothing"


def look(view):
    """What a reader sees of a view."""
    if isinstance(view, Steps):
        return tuple(cell.value for cell in view._cells)
    return view.text if isinstance(view, Numbers) else view.png


def fixed_texts(explorer, texts):
    """The texts of each plot that are drawn once, under what moves."""
    fixed = {}
    for view in explorer.views:
        if isinstance(view, Plot):
            texts.take()
            if view._under:
                view._canvas.draw()
            fixed[view] = texts.take()
    return fixed


def visit(explorer, texts):
    """Goes to all corners and some places between; by kind, each fault and where it was met first."""
    faults, looks, rng = defaultdict(dict), {}, random.Random(0)
    names, controls = list(explorer.controls), explorer.controls.values()
    start, fixed = tuple(explorer.values.values()), fixed_texts(explorer, texts)
    corners = list(itertools.product(*map(ends, controls)))
    between = [tuple(anywhere(control, rng) for control in controls) for _ in range(BETWEEN)]
    for place in [*corners, *between, start]:
        texts.take()
        move(explorer, dict(zip(names, place, strict=True)))
        moving = texts.take()
        drawn = {v: fixed[v] + [text for text in moving if text.figure is v._figure] for v in fixed}
        where = ", ".join(f"{name}={value}" for name, value in explorer.values.items())
        for kind, faults_of in FAULTS.items():
            for fault in faults_of(Met(explorer, drawn, where)):
                faults[kind].setdefault(fault, where)
        looks[place] = tuple(map(look, explorer.views))
    for fault in idle_controls(names, corners, looks):
        faults["controls"][fault] = "any corner"
    return faults


@pytest.fixture(scope="module", params=PATHS, ids=lambda path: path.stem)
def notebook(request):
    """The explorers of a notebook whose cells have been run, and what is wrong with each."""
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        stack.enter_context(mpl.rc_context())
        patch.chdir(ROOT / "notebooks")
        patch.setattr(stage, "ON_STAGE", {})
        for module in (plotting, IPython.display):
            patch.setattr(module, "display", lambda *args, **kwargs: None)
        patch.setattr(plt, "show", lambda: plt.close("all"))
        space = {"__name__": "__main__", "display": lambda *args, **kwargs: None}
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            for number, source in needed_for(request.param, "explore"):
                exec(compile(source, f"{request.param.stem}, code cell {number}", "exec"), space)
        plt.close("all")
        explorers = {name: one for name, one in stage.ON_STAGE.items() if isinstance(one, Explorer)}
        texts = Texts(patch)
        yield {name: (explorer, visit(explorer, texts)) for name, explorer in explorers.items()}
        for one in stage.ON_STAGE.values():
            one.close_all()


def test_there_is_a_slider(notebook):
    assert notebook


@pytest.mark.parametrize("kind", ["errors", "pictures", "numbers", "steps", "controls", "texts"])
def test_every_corner_is_right(notebook, kind):
    lines = [
        f"{name}: {fault} at {where}"
        for name, (_, faults) in notebook.items()
        for fault, where in faults[kind].items()
    ]
    assert not lines, "\n".join([f"{len(lines)} faults", *lines[:20]])


def test_sliders_start_and_end_on_their_steps(notebook):
    # Or one press of a key leaves a value that no other press brings back.
    for explorer, _ in notebook.values():
        for control in explorer.controls.values():
            if hasattr(control.input, "step"):
                for value in (control.start, control.high):
                    count = (value - control.input.min) / control.input.step
                    assert count == pytest.approx(round(count), abs=1e-6), control.input.description


def test_controls_say_what_they_are(notebook):
    for explorer, _ in notebook.values():
        for control in explorer.controls.values():
            assert control.input.description.strip()
        words = [control.input.description for control in explorer.controls.values()]
        assert len(set(words)) == len(words)


# --- the checks themselves -----------------------------------------------------------------


def faulty(fault):
    """An explorer with one fault, in one corner alone where that can be."""

    def draw_faulty(ax, a, b):
        ax.set(xlim=(0, 1), ylim=(0, 1), xticks=[0], yticks=[], title="title")
        ax.plot([0, 1], [0, 1 + (0 if fault == "b" else b)])
        at = {"edge": (1.3, 0.5), "clip": (0.5, -0.03), "over": (0.5, 0.5)}.get(fault, (0.5, 0.9))
        if a == b == 1 and fault in ("edge", "clip", "over", "small", "pale"):
            style = {"fontsize": 10 if fault == "small" else 12, "color": "0.5" if fault == "pale" else "k"}
            ax.text(*at, "some words", clip_on=fault == "clip", **style)
            ax.text(0.55, 0.5, "more words", fontsize=12)
        if a == b == 1 and fault == "error":
            raise RuntimeError("only here")
        ax.plot([0, 1 - 0.1 * a], [1, 0])

    def report_faulty(a):
        return {"x": math.nan if a == 1 and fault == "nan" else 1.0}

    def derive(a):
        wrong = a == 1 and fault == "step"
        return Derivation("T").line("1", 1.0).line("1", 1.0 + wrong)

    views = plot(draw_faulty, alt="Faults.", size=(4, 3)), numbers(report_faulty), steps(derive)
    return Explorer(views, {name: slider(name, 0, 0, 1, 1) for name in "ab"}, "faulty")


@pytest.mark.parametrize(
    "fault, kind, words",
    [
        ("none", None, None),
        ("edge", "texts", "'some words' is cut off at the figure's edge"),
        ("clip", "texts", "'some words' is cut off at the edge of its axes"),
        ("over", "texts", "'some words' and 'more words' lie over each other"),
        ("small", "texts", "'some words' is of size 10"),
        ("pale", "texts", "'some words' is pale, 4.0 : 1"),
        ("error", "errors", "RuntimeError: only here"),
        ("nan", "numbers", "x is nan"),
        ("step", "steps", "the lines do not hold"),
        ("b", "controls", "b changes nothing"),
    ],
)
def test_each_fault_is_found(monkeypatch, fault, kind, words):
    monkeypatch.setattr(stage, "ON_STAGE", {})
    with mpl.rc_context({"font.size": 12}):
        explorer = faulty(fault)
        faults = visit(explorer, Texts(monkeypatch))
    explorer.close_all()
    assert {name: set(each) for name, each in faults.items()} == ({} if kind is None else {kind: {words}})
