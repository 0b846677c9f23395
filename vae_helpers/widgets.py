"""Sliders wired to pure functions: `explore(plot(draw), numbers(report), mu=slider(…))`.

Each control is handed to the functions that name it among their arguments. A picture is drawn on
one figure that lives as long as the explorer; it is made anew only when an argument of its own
function has changed. While a picture is being drawn, the browser keeps just the newest position of
a slider, so that a fast drag skips steps and never lags behind. Nothing here knows any mathematics.
"""

from __future__ import annotations

import html
import inspect
import io
import math
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from vae_helpers.derivation import Derivation, Row
from vae_helpers.plotting import check_alt

# Widget messages may be handled beside the notebook's own thread, and matplotlib draws one at a time.
_DRAWING = threading.RLock()
_CSS = Path(__file__).parent / "widgets.css"
_open: dict[str, Any] = {}


class Control(ipywidgets.HBox):
    """One control: its slider or list with the readout, the unit, and a button that resets it.

    Attributes:
        input: the ipywidgets control.
        start: the value that the button brings back.
        unit: the unit of the value, for readers.
        at_most: the name of the control whose value this one does not exceed; "" if none.
        high: the upper end that the slider was made with; None if it is no slider over numbers.
    """

    def __init__(self, control: ipywidgets.ValueWidget, unit: str = "", at_most: str = "") -> None:
        self.input, self.start, self.unit, self.at_most = control, control.value, unit, at_most
        self.high = getattr(control, "max", None)
        label = ipywidgets.Label(unit).add_class("vae-unit")
        tooltip = f"bring back the first value of {control.description}"
        self.button = ipywidgets.Button(description="reset", tooltip=tooltip).add_class("vae-reset")
        self.button.on_click(lambda _: self.reset())
        super().__init__([control, label, self.button])
        self.add_class("vae-control")

    def reset(self) -> None:
        """Brings back the first value."""
        self.input.value = self.start

    def limit(self, high: int) -> None:
        """Lets the slider go up to `high` and no further; one that cannot move is greyed out."""
        low, high = self.input.min, min(high, self.high)
        self.input.value = min(self.input.value, max(high, low))
        self.input.max = max(high, low + 1)  # the browser's slider needs two different ends
        self.input.disabled = high <= low


def slider(
    label: str,
    value: float,
    low: float,
    high: float,
    step: float = 0.1,
    unit: str = "",
    at_most: str = "",
) -> Control:
    """A slider over numbers; over whole numbers if all four are `int`.

    Args:
        label: what is being set, such as "mean μ".
        value: where it starts; the stored picture shows this value.
        low: smallest value.
        high: largest value.
        step: distance of two positions; the readout shows as many decimals as it has.
        unit: unit of the value; empty for a pure number.
        at_most: the name of another control of the explorer, over whole numbers, that limits this
            one, as the number of latents limits which of them can be chosen.

    Raises:
        ValueError: the value is not in [low, high], or the step is not above 0.
    """
    if not low <= value <= high or low == high:
        raise ValueError(f"value: expected a number in [low, high] = [{low}, {high}], got {value!r}")
    if not step > 0:
        raise ValueError(f"step: expected a number above 0, got {step!r}")
    options = {"value": value, "min": low, "max": high, "step": step, "description": label}
    if all(isinstance(number, int) for number in (value, low, high, step)):
        return Control(ipywidgets.IntSlider(**options, **_SHAPE), unit, at_most)
    decimals = len(f"{step:.10f}".rstrip("0").partition(".")[2])
    options["readout_format"] = f".{decimals}f"
    return Control(ipywidgets.FloatSlider(**options, **_SHAPE), unit, at_most)


def stops(label: str, value: object, options: Iterable[object], unit: str = "") -> Control:
    """A slider over a few given values, such as the latent dimensions of the shipped models.

    Args:
        label: what is being set.
        value: where it starts.
        options: the values in their order.
        unit: unit of the value.

    Raises:
        ValueError: the value is not one of the options.
    """
    options = _with(value, options)
    return Control(
        ipywidgets.SelectionSlider(options=options, value=value, description=label, **_SHAPE), unit
    )


def choice(label: str, value: object, options: Iterable[object], unit: str = "") -> Control:
    """A list to choose from, for values without an order.

    Args:
        label: what is being set.
        value: what is chosen at the start.
        options: the values, or pairs of a text and a value.
        unit: unit of the value.

    Raises:
        ValueError: the value is not one of the options.
    """
    settings = {"options": _with(value, options), "value": value, "description": label}
    return Control(ipywidgets.Dropdown(**settings, **_SHAPE), unit)


_SHAPE: dict[str, Any] = {
    "style": {"description_width": "9em"},
    "layout": {"width": "620px", "max_width": "100%"},
}


@runtime_checkable
class View(Protocol):
    """What an explorer shows: a widget, and how to bring it up to date."""

    widget: ipywidgets.Widget
    functions: tuple[Callable[..., Any], ...]

    def update(self, values: dict[str, Any]) -> None:
        """Shows the functions' answer for these values of the controls."""


class plot:
    """A matplotlib picture: one figure for good, each of its axes drawn by a pure function.

    Args:
        draws: functions `draw(ax, …)`; each gets axes of its own, side by side, and adds none.
        alt: what the picture shows, in one sentence, for those who do not see it.
        size: width and height of the figure in inches (of 100 pixels).
        widths: relative widths of the axes.
        under: functions `draw(ax)`, one for each of the axes, for what never changes and takes
            long, such as contours: drawn once. What `draws` then adds must leave the limits, the
            labels and the title as they are; its default colours begin anew.

    Raises:
        ValueError: an empty text, no function, or not one of `under` for each of `draws`.
    """

    def __init__(
        self,
        *draws: Callable[..., None],
        alt: str,
        size: tuple[float, float] = (8.8, 4.0),
        widths: Iterable[float] | None = None,
        under: Iterable[Callable[[Axes], None]] = (),
    ) -> None:
        self.functions, self.alt, self._under = draws, check_alt(alt), tuple(under)
        if not draws:
            raise ValueError("draws: expected at least one function, got none")
        if self._under and len(self._under) != len(draws):
            raise ValueError(f"under: expected {len(draws)} as of draws, got {len(self._under)}")
        self._figure = Figure(figsize=size, dpi=100, layout="constrained")
        self._canvas = FigureCanvasAgg(self._figure)
        self._kept: Any = None  # the pixels of what is under the moving parts
        ratios = None if widths is None else list(widths)
        self._axes = self._figure.subplots(1, len(draws), squeeze=False, width_ratios=ratios)[0]
        width = f"{round(100 * size[0])}px"
        self._image = ipywidgets.Image(format="png", layout={"width": width, "max_width": "100%"})
        self._image.add_class("vae-picture")
        self.widget = ipywidgets.VBox([self._image, _spoken(alt)])
        self.png = b""

    def update(self, values: dict[str, Any]) -> None:
        """Draws all axes anew on the same figure."""
        calls = [
            (ax, draw, _arguments(draw, values)) for ax, draw in zip(self._axes, self.functions, strict=True)
        ]
        with _DRAWING:
            (self._draw_over if self._under else self._draw_all)(calls)
            self.png = _png(np.asarray(self._canvas.buffer_rgba())[..., :3])
        self._image.value = self.png

    def _draw_all(self, calls: list[tuple[Axes, Callable[..., None], dict[str, Any]]]) -> None:
        for ax, draw, arguments in calls:
            ax.clear()
            draw(ax, **arguments)
        if len(self._figure.axes) > len(self._axes):
            raise ValueError("draws: expected no axes besides the given ones, got twins or a colour bar")
        self._canvas.draw()
        # Where everything stands is found once: searching anew would cost half the time of a
        # drawing, and the axes would jump under the reader's hand.
        self._figure.set_layout_engine("none")

    def _draw_over(self, calls: list[tuple[Axes, Callable[..., None], dict[str, Any]]]) -> None:
        if self._kept is None:
            for ax, under in zip(self._axes, self._under, strict=True):
                under(ax)
                ax.set_autoscale_on(False)
            self._canvas.draw()
            self._figure.set_layout_engine("none")
            self._kept = self._canvas.copy_from_bbox(self._figure.bbox)
        self._canvas.restore_region(self._kept)
        for ax, draw, arguments in calls:
            before, containers = set(ax.get_children()), len(ax.containers)
            ax.set_prop_cycle(None)  # or every drawing would have colours of its own
            try:
                draw(ax, **arguments)
                new = [artist for artist in ax.get_children() if artist not in before]
                for artist in sorted(new, key=lambda a: a.zorder):  # equal ones in the order of adding
                    ax.draw_artist(artist)
            finally:
                for artist in set(ax.get_children()) - before:
                    artist.remove()
                del ax.containers[containers:]  # bars and error bars leave a list of their parts


class pictures:
    """Images made by a pure function, without matplotlib, which is several times as fast.

    Args:
        make: function of some of the controls that returns values in [0, 1] of shape
            (rows, columns, height, width) or (rows, columns, height * width) for squares;
            0 is shown white, and what lies outside [0, 1] like the nearer end.
        alt: what the picture shows, in one sentence.
        title: a line above the picture.
        scale: screen pixels for one pixel.
    """

    def __init__(self, make: Callable[..., ArrayLike], *, alt: str, title: str = "", scale: int = 2) -> None:
        self.functions, self.alt, self._scale = (make,), check_alt(alt), scale
        self._image = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        self._image.add_class("vae-picture").add_class("vae-pixels")
        heading = ipywidgets.HTML(html.escape(title)).add_class("vae-title")
        self.widget = ipywidgets.VBox([heading, self._image, _spoken(alt)])
        self.title, self.png = title, b""

    def update(self, values: dict[str, Any]) -> None:
        """Makes the images anew."""
        (make,) = self.functions
        pixels = made = np.asarray(make(**_arguments(make, values)))
        side = math.isqrt(made.shape[-1]) if made.ndim == 3 else 0
        if side and side**2 == made.shape[-1]:
            pixels = made.reshape(*made.shape[:2], side, side)
        name = getattr(make, "__name__", "make")
        if pixels.ndim != 4 or pixels.size == 0:
            raise ValueError(
                f"{name}: expected shape (rows, columns, height, width), or (rows, columns, "
                f"height * width) for squares, got {made.shape}"
            )
        if np.isnan(pixels).any():
            raise ValueError(f"{name}: expected numbers in [0, 1], got NaN in shape {made.shape}")
        rows, columns, height, width = pixels.shape
        grey = np.rint(255 * (1 - np.clip(pixels, 0, 1))).astype(np.uint8)
        sheet = np.full((rows, height + 1, columns, width + 1), 255, np.uint8)  # a line of paper between
        sheet[:, :height, :, :width] = grey.swapaxes(1, 2)
        sheet = sheet.reshape(rows * (height + 1), columns * (width + 1))
        self._image.layout.width = f"{self._scale * sheet.shape[1]}px"
        self.png = _png(sheet.repeat(self._scale, axis=0).repeat(self._scale, axis=1))
        self._image.value = self.png


class numbers:
    """Numbers beside the picture, each with its name.

    Args:
        report: function of some of the controls that returns a dict from names to numbers, pairs
            of a number and its unit, or texts, such as {"ELBO": -3.2, "reading": (1.6, "V")}.
        unit: unit of the numbers that come without one.
        digits: decimals shown.
    """

    def __init__(
        self,
        report: Callable[..., dict[str, float | str | tuple[float, str]]],
        unit: str = "nats",
        digits: int = 3,
    ) -> None:
        self.functions, self._unit, self._digits = (report,), unit, digits
        self.widget = ipywidgets.HTML().add_class("vae-numbers")
        self.text = ""

    def update(self, values: dict[str, Any]) -> None:
        """Asks for the numbers anew."""
        (report,) = self.functions
        shown = {name: self._format(v) for name, v in report(**_arguments(report, values)).items()}
        self.text = ", ".join(f"{name} {value}" for name, value in shown.items())
        self.widget.value = "".join(
            f'<span class="vae-number" data-name="{html.escape(name)}">{html.escape(name)} '
            f"<b>{html.escape(value)}</b></span> "
            for name, value in shown.items()
        )

    def _format(self, value: float | str | tuple[float, str]) -> str:
        if isinstance(value, str):
            return value
        number, unit = value if isinstance(value, tuple) else (value, self._unit)
        rounded = round(float(number), self._digits) + 0.0  # no minus before a zero
        text = f"{rounded:.{self._digits}f}".replace("-", "−")
        return f"{text} {unit}".strip()


class steps:
    """A line-checked derivation: its formulas are set once, its values move.

    Args:
        derive: function of some of the controls that returns a `Derivation`.
    """

    def __init__(self, derive: Callable[..., Derivation]) -> None:
        self.functions = (derive,)
        self.widget = ipywidgets.VBox().add_class("vae-steps")
        self._shown: list[Any] = []  # the title, and each row without its value
        self._cells: list[ipywidgets.HTML] = []

    def update(self, values: dict[str, Any]) -> None:
        """Evaluates every line anew and shows its value and whether it holds."""
        (derive,) = self.functions
        derivation = derive(**_arguments(derive, values))
        rows = derivation.rows()
        title = f"{derivation.title} ({derivation.unit})" if derivation.unit else derivation.title
        shown = [title, *(row[:3] for row in rows)]
        if shown != self._shown:
            self._lay_out(title, rows)
            self._shown = shown
        for cell, row in zip(self._cells, rows, strict=True):
            cell.value = f"<b>{row.value:.6f}</b> {'✓' if row.holds else '✗ does not hold'}".replace("-", "−")

    def _lay_out(self, title: str, rows: list[Row]) -> None:
        for old in self.widget.children:
            close(old)
        self._cells = [ipywidgets.HTML().add_class("vae-value") for _ in rows]
        lines = []
        for row, cell in zip(rows, self._cells, strict=True):
            formula = ipywidgets.HTMLMath(f"{row.relation} $\\displaystyle {html.escape(row.latex)}$")
            reason = ipywidgets.HTMLMath(html.escape(row.reason))
            line = [formula.add_class("vae-formula"), reason.add_class("vae-reason"), cell]
            lines.append(ipywidgets.HBox(line).add_class("vae-line"))
        self.widget.children = [ipywidgets.HTML(html.escape(title)).add_class("vae-title"), *lines]


class Explorer(ipywidgets.VBox):
    """Controls above, views below, and a place for what a function complains about.

    Attributes:
        controls: the controls by name.
        views: what is shown.
        error: the complaint that is being shown, or "".
    """

    def __init__(self, views: tuple[View, ...], controls: dict[str, Control], name: str) -> None:
        self.controls, self.views, self.error = controls, views, ""
        self._message = ipywidgets.HTML().add_class("vae-error")
        self._used: dict[int, dict[str, Any]] = {}
        self._limiting, self._lock = False, threading.RLock()
        self._limit()
        for control in controls.values():
            control.input.observe(self._changed, "value")
        self._refresh(raising=True)  # a mistake in the cell itself is told in the usual way
        box = ipywidgets.VBox(list(controls.values())).add_class("vae-controls")
        shown = [view.widget for view in views]
        super().__init__([self.style(), box, self._message, *shown])
        self.add_class("vae-explorer").add_class(f"vae-explorer-{name}")

    @staticmethod
    def style() -> ipywidgets.HTML:
        """The style sheet, as a widget that is not seen."""
        css = _CSS.read_text(encoding="utf-8")
        return ipywidgets.HTML(f"<style>{css}</style>", layout={"display": "none"})

    @property
    def values(self) -> dict[str, Any]:
        """The value of each control, by name."""
        return {name: control.input.value for name, control in self.controls.items()}

    def _changed(self, _change: object) -> None:
        with self._lock:  # two sliders may report from two threads
            if not self._limiting:
                self._limit()
                self._refresh()

    def _limit(self) -> None:
        self._limiting = True  # what a limit moves is drawn together with what moved the limit
        try:
            for control in self.controls.values():
                if control.at_most:
                    control.limit(self.values[control.at_most])
        finally:
            self._limiting = False

    def _refresh(self, *, raising: bool = False) -> None:
        values, errors = self.values, []
        for number, view in enumerate(self.views):
            wanted = {key: value for f in view.functions for key, value in _arguments(f, values).items()}
            if self._used.get(number) == wanted:
                continue
            try:
                view.update(values)
                self._used[number] = wanted
            except Exception as error:
                if raising:
                    raise
                self._used.pop(number, None)
                errors.append(f"{type(error).__name__}: {error}")
        self.error = "; ".join(errors)
        self._message.value = f"⚠ Not drawn. {html.escape(self.error)}" if errors else ""

    def close_all(self) -> None:
        """Takes the explorer out of the page and out of memory."""
        close(self)

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        # The widget for a live page, and the same picture for all others: the page takes the
        # first that it can show.
        seen = [view for view in self.views if getattr(view, "png", b"")]
        inputs = [control.input for control in self.controls.values()]
        words = "; ".join(f"{i.description} {getattr(i, 'label', i.value)}" for i in inputs)
        texts = [view.text for view in self.views if isinstance(view, numbers)]
        data = dict(ipywidgets.VBox._repr_mimebundle_(self))
        data["text/plain"] = "; ".join([f"sliders at {words}", *texts])
        if not seen:
            return data, {}
        data["image/png"] = seen[0].png if len(seen) == 1 else _stack(seen)
        return data, {"image/png": {"alt": " ".join(view.alt for view in seen)}}


def explore(*views: View, name: str = "", **controls: Control) -> Explorer:
    """Shows views that follow controls; as the last expression of a cell it displays itself.

    Args:
        views: `plot`, `pictures`, `numbers` or `steps`, shown in this order.
        name: a name for the explorer; that of its first function if empty. A second explorer of
            the same name takes the place of the first, so that a cell run twice leaks nothing.
        controls: `slider`, `stops` or `choice`; the name is the argument of the functions.

    Returns:
        The `Explorer`, which shows live controls in JupyterLab, and a picture of their first
        position on pages without a kernel.

    Raises:
        TypeError: no view, something that is not a view or a control, a control that no function
            takes, or an argument without default that no control gives.
        ValueError: a name that is not made of letters, digits, "-" and "_", or `at_most` that names
            no other control.
    """
    if not views or not controls:
        raise TypeError("explore: expected at least one view and one control")
    for view in views:
        if not isinstance(view, View):
            got = type(view).__name__
            raise TypeError(f"views: expected plot(…), pictures(…), numbers(…) or steps(…), got {got}")
    check_controls(controls)
    functions = [function for view in views for function in view.functions]
    taken = {key for function in functions for key in _arguments(function, dict.fromkeys(controls))}
    if unused := set(controls) - taken:
        raise TypeError(f"{', '.join(sorted(unused))}: no function has an argument of this name")
    name = name or getattr(functions[0], "__name__", "explorer")
    if not re.fullmatch(r"[\w-]+", name):  # it becomes a class of the page
        raise ValueError(f"name: expected letters, digits, - and _, got {name!r}")
    explorer = Explorer(views, controls, name)
    register(name, explorer)
    return explorer


def check_controls(controls: dict[str, Any]) -> None:
    """Raises TypeError or ValueError, naming it, if one is no control or is limited by none."""
    for key, control in controls.items():
        if not isinstance(control, Control):
            raise TypeError(f"{key}: expected slider(…), stops(…) or choice(…), got {type(control).__name__}")
        if control.at_most and control.at_most not in controls.keys() - {key}:
            raise ValueError(f"{key}: at_most: expected another control's name, got {control.at_most!r}")


def register(name: str, shown: Any) -> None:
    """Closes what was shown under this name before, so that a cell run twice leaks nothing."""
    if name in _open:
        _open.pop(name).close_all()
    _open[name] = shown


def _arguments(function: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values that the function has an argument for."""
    return {name: values[name] for name in inspect.signature(function).parameters if name in values}


def _with(value: object, options: Iterable[object]) -> list[object]:
    options = list(options)
    known = [option[1] if isinstance(option, tuple) else option for option in options]
    if value not in known:
        raise ValueError(f"value: expected one of {known}, got {value!r}")
    return options


def _spoken(alt: str) -> ipywidgets.HTML:
    """The text of a picture for screen readers: the image widget itself has no place for one."""
    return ipywidgets.HTML(html.escape(alt)).add_class("vae-alt")


def _png(pixels: np.ndarray) -> bytes:
    """uint8 of shape (height, width) or (height, width, 3) as PNG; little compression, much speed."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", compress_level=1)
    return file.getvalue()


def _stack(views: list[Any]) -> bytes:
    """The still pictures of several views, one above the other with their titles."""
    arrays = [np.asarray(Image.open(io.BytesIO(view.png))) for view in views]
    heights = [array.shape[0] * 8.8 / max(array.shape[1], 880) + 0.35 for array in arrays]
    figure = Figure(figsize=(8.8, sum(heights)), dpi=100, layout="constrained")
    axes = figure.subplots(len(views), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, view, array in zip(axes, views, arrays, strict=True):
        ax.imshow(array, cmap="gray", vmin=0, vmax=255)
        ax.set_title(getattr(view, "title", ""), loc="left")
        ax.set_axis_off()
    with _DRAWING:
        FigureCanvasAgg(figure).draw()
    return _png(np.asarray(figure.canvas.buffer_rgba())[..., :3])


def close(widget: ipywidgets.Widget) -> None:
    """Closes a widget with all its parts: ipywidgets keeps for good what nobody closes."""
    for child in getattr(widget, "children", ()):
        close(child)
    widget.close()
    for part in (widget.layout, getattr(widget, "style", None)):
        if isinstance(part, ipywidgets.Widget):
            part.close()
