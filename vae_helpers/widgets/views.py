"""What an explorer shows: pictures, numbers and derivations, each made by a pure function."""

from __future__ import annotations

import html
import inspect
import io
import math
import threading
from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from vae_helpers.numerics._validate import as_count, as_function, as_number, as_text, told
from vae_helpers.pictures.derivation import Derivation, Row
from vae_helpers.pictures.plotting import as_png, check_alt
from vae_helpers.widgets.stage import close

# Widget messages may be handled beside the notebook's own thread, and matplotlib draws one at a time.
_DRAWING = threading.RLock()
_DPI = 100  # so that a figure of 8.8 inches has 880 pixels
_STACK_WIDTH, _TITLE_HEIGHT = 8.8, 0.35  # inches: of pictures one above the other, and of a title


class View:
    """What follows the controls: a widget, made by pure functions that take some of their values.

    Attributes:
        png, alt, title: its picture, what it shows and what stands above it; empty if it has none.
        text: its numbers with their names; empty if it has none.
    """

    functions: tuple[Callable[..., Any], ...]
    widget: ipywidgets.Widget
    update: Callable[[dict[str, Any]], None]  # shows what the functions return for the controls' values
    png, alt, title, text = b"", "", "", ""

    def takes(self, values: dict[str, Any]) -> dict[str, Any]:
        """Those of the values that one of the functions has an argument for."""
        return {name: value for f in self.functions for name, value in _arguments_of(f, values).items()}


class Picture(View):
    """A view that is an image, with a title above it if there is one."""

    def __init__(self, alt: str, title: str = "", width: str | None = None) -> None:
        self.alt, self.title = check_alt(alt), title
        self._image = ipywidgets.Image(format="png", layout={"width": width, "max_width": "100%"})
        self._image.add_class("vae-picture")
        heading = [ipywidgets.HTML(html.escape(title)).add_class("vae-title")] if title else []
        self.widget = ipywidgets.VBox([*heading, self._image]).add_class("vae-view")

    def _show(self, pixels: np.ndarray) -> None:
        """Sends pixels to the page; little compression, much speed."""
        self.png = self._image.value = as_png(Image.fromarray(pixels), compress_level=1)


class Plot(Picture):
    """One matplotlib figure for good, each of its axes drawn by a pure function; see `plot`."""

    def __init__(self, draws: tuple, under: tuple, alt: str, size: Any, widths: Any) -> None:
        super().__init__(alt, width=f"{round(_DPI * size[0])}px")
        self.functions, self._under = draws, under
        self._figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
        self._canvas = FigureCanvasAgg(self._figure)
        self._kept: Any = None  # the pixels of what is under the moving parts
        self._axes = self._figure.subplots(1, len(draws), squeeze=False, width_ratios=widths)[0]

    def lay_out_anew(self) -> None:
        """Lets the next drawing decide again where the axes stand."""
        self._figure.set_layout_engine("constrained")

    def update(self, values: dict[str, Any]) -> None:
        """Draws all axes anew on the same figure."""
        with _DRAWING:
            (self._draw_over if self._under else self._draw_all)(values)
            self._show(np.asarray(self._canvas.buffer_rgba())[..., :3])

    def _draw_all(self, values: dict[str, Any]) -> None:
        for ax, draw in zip(self._axes, self.functions, strict=True):
            ax.clear()
            call(draw, values, ax)
        if len(self._figure.axes) > len(self._axes):
            raise ValueError("draws: expected no axes besides the given ones, got twins or a colour bar")
        self._lay_out()

    def _draw_over(self, values: dict[str, Any]) -> None:
        if self._kept is None:
            for ax, draw_under in zip(self._axes, self._under, strict=True):
                draw_under(ax)
                ax.set_autoscale_on(False)
            self._lay_out()
            self._kept = self._canvas.copy_from_bbox(self._figure.bbox)
        self._canvas.restore_region(self._kept)
        for ax, draw in zip(self._axes, self.functions, strict=True):
            _draw_and_remove(ax, draw, values)

    def _lay_out(self) -> None:
        self._canvas.draw()
        # From now on the axes stay where they are: looking for their place each time would cost half
        # the time of a drawing, and they would jump under the reader's hand.
        self._figure.set_layout_engine("none")


class Pictures(Picture):
    """Images side by side, made by a pure function without matplotlib; see `pictures`."""

    def __init__(self, make: Callable[..., ArrayLike], alt: str, title: str, scale: int) -> None:
        super().__init__(alt, title)
        self._image.add_class("vae-pixels")
        self.functions, self._scale = (make,), scale

    def update(self, values: dict[str, Any]) -> None:
        """Makes the images anew."""
        (make,) = self.functions
        images = _as_images(getattr(make, "__name__", "make"), np.asarray(call(make, values)))
        rows, columns, height, width = images.shape
        grey = np.rint(255 * (1 - np.clip(images, 0, 1))).astype(np.uint8)
        sheet = np.full((rows, height + 1, columns, width + 1), 255, np.uint8)  # a line of paper between
        sheet[:, :height, :, :width] = grey.swapaxes(1, 2)
        sheet = sheet.reshape(rows * (height + 1), columns * (width + 1))
        self._image.layout.width = f"{self._scale * sheet.shape[1]}px"
        self._show(sheet.repeat(self._scale, axis=0).repeat(self._scale, axis=1))


class Numbers(View):
    """Numbers beside the picture, each with its name; see `numbers`."""

    def __init__(self, report: Callable[..., dict[str, Any]], unit: str, digits: int) -> None:
        self.functions, self._unit, self._digits = (report,), unit, digits
        self.widget = ipywidgets.HTML().add_class("vae-numbers")

    def update(self, values: dict[str, Any]) -> None:
        """Asks for the numbers anew."""
        shown = {name: self._format(value) for name, value in call(*self.functions, values).items()}
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
        return f"{decimals(number, self._digits)} {unit}".strip()


class Steps(View):
    """A line-checked derivation whose formulas are set once and whose values move; see `steps`."""

    def __init__(self, derive: Callable[..., Derivation]) -> None:
        self.functions = (derive,)
        self.widget = ipywidgets.VBox().add_class("vae-steps")
        self._formulas: list[Any] = []  # as they are set: the title, and each row without its value
        self._cells: list[ipywidgets.HTML] = []

    def update(self, values: dict[str, Any]) -> None:
        """Evaluates every line anew and shows its value and whether it holds."""
        derivation = call(*self.functions, values)
        rows = derivation.rows()
        title = f"{derivation.title} ({derivation.unit})" if derivation.unit else derivation.title
        formulas = [title, *(row[:3] for row in rows)]
        if formulas != self._formulas:
            self._set(title, rows)
            self._formulas = formulas
        for cell, row in zip(self._cells, rows, strict=True):
            cell.value = f"<b>{decimals(row.value, 6)}</b> {'✓' if row.holds else '✗ does not hold'}"

    def _set(self, title: str, rows: list[Row]) -> None:
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


def plot(
    *draws: Callable[..., None],
    alt: str,
    size: tuple[float, float] = (8.8, 4.0),
    widths: Iterable[float] | None = None,
    under: Iterable[Callable[[Axes], None]] = (),
) -> Plot:
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
    for draw in draws:
        as_function("draws", draw)
    under = _several("under", under)
    for draw in under:
        as_function("under", draw)
    size = [as_number("size", length, positive=True) for length in _several("size", size)]
    if len(size) != 2 or not all(0.1 <= length <= 100 for length in size):
        raise ValueError(f"size: expected width and height from 0.1 to 100 inches, got {told(size)}")
    if widths is not None:
        widths = [as_number("widths", width, positive=True) for width in _several("widths", widths)]
        if len(widths) != len(draws):
            raise ValueError(f"widths: expected {len(draws)} as of draws, got {len(widths)}")
    if not draws:
        raise ValueError("draws: expected at least one function, got none")
    if under and len(under) != len(draws):
        raise ValueError(f"under: expected {len(draws)} as of draws, got {len(under)}")
    return Plot(draws, under, alt, size, widths)


def _several(name: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """Returns the values, or raises TypeError for what cannot be gone through."""
    try:
        return tuple(values)
    except TypeError:
        raise TypeError(f"{name}: expected several values, got {told(values)}") from None


def pictures(make: Callable[..., ArrayLike], *, alt: str, title: str = "", scale: int = 2) -> Pictures:
    """Images made by a pure function, without matplotlib, which is several times as fast.

    Args:
        make: function of some of the controls that returns values in [0, 1] of shape
            (rows, columns, height, width) or (rows, columns, height * width) for squares;
            0 is shown white, and what lies outside [0, 1] like the nearer end.
        alt: what the picture shows, in one sentence.
        title: a line above the picture.
        scale: screen pixels for one pixel.
    """
    scale = as_count("scale", scale)
    return Pictures(as_function("make", make), alt, as_text("title", title), scale)


def numbers(
    report: Callable[..., dict[str, float | str | tuple[float, str]]], unit: str = "nats", digits: int = 3
) -> Numbers:
    """Numbers beside the picture, each with its name.

    Args:
        report: function of some of the controls that returns a dict from names to numbers, pairs
            of a number and its unit, or texts, such as {"ELBO": -3.2, "reading": (1.6, "V")}.
        unit: unit of the numbers that come without one.
        digits: decimals shown.
    """
    digits = as_count("digits", digits, minimum=0)
    return Numbers(as_function("report", report), as_text("unit", unit), digits)


def steps(derive: Callable[..., Derivation]) -> Steps:
    """A line-checked derivation: its formulas are set once, its values move.

    Args:
        derive: function of some of the controls that returns a `Derivation`.
    """
    return Steps(as_function("derive", derive))


def call(function: Callable[..., Any], values: dict[str, Any], *first: Any) -> Any:
    """Calls a function with those of the values that it has an argument for, after what comes first."""
    return function(*first, **_arguments_of(function, values))


def _arguments_of(function: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in inspect.signature(function).parameters if name in values}


def decimals(number: float, digits: int) -> str:
    """A number with so many decimals, and a minus sign as it is printed, but none before a zero."""
    return f"{round(float(number), digits) + 0.0:.{digits}f}".replace("-", "−")


def stack(views: Iterable[View]) -> bytes:
    """The pictures of those views that have one, above one another with their titles; b"" if none has."""
    seen = [view for view in views if view.png]
    if len(seen) < 2:
        return seen[0].png if seen else b""
    arrays = [np.asarray(Image.open(io.BytesIO(view.png))) for view in seen]
    wide = _STACK_WIDTH * _DPI
    heights = [len(array) * _STACK_WIDTH / max(array.shape[1], wide) + _TITLE_HEIGHT for array in arrays]
    figure = Figure(figsize=(_STACK_WIDTH, sum(heights)), dpi=_DPI, layout="constrained")
    axes = figure.subplots(len(seen), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, view, array in zip(axes, seen, arrays, strict=True):
        ax.imshow(array, cmap="gray", vmin=0, vmax=255)
        ax.set_title(view.title, loc="left")
        ax.set_axis_off()
    return png_of(figure)


def png_of(figure: Figure) -> bytes:
    """Draws a figure that no canvas has yet."""
    canvas = FigureCanvasAgg(figure)
    with _DRAWING:
        canvas.draw()
    return as_png(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))


def _as_images(name: str, made: np.ndarray) -> np.ndarray:
    """Shape (rows, columns, height, width), also of squares that come as rows of pixels."""
    side = math.isqrt(made.shape[-1]) if made.ndim == 3 else 0
    images = made.reshape(*made.shape[:2], side, side) if side and side**2 == made.shape[-1] else made
    if images.ndim != 4 or images.size == 0:
        raise ValueError(
            f"{name}: expected shape (rows, columns, height, width), or (rows, columns, "
            f"height * width) for squares, got {made.shape}"
        )
    if np.isnan(images).any():
        raise ValueError(f"{name}: expected numbers in [0, 1], got NaN in shape {made.shape}")
    return images


def _draw_and_remove(ax: Axes, draw: Callable[..., None], values: dict[str, Any]) -> None:
    """Draws over what the canvas holds and leaves no artist behind."""
    before, containers = set(ax.get_children()), len(ax.containers)
    ax.set_prop_cycle(None)  # or every drawing would have colours of its own
    try:
        call(draw, values, ax)
        new = [artist for artist in ax.get_children() if artist not in before]
        for artist in sorted(new, key=lambda a: a.zorder):  # equal ones in the order of adding
            ax.draw_artist(artist)
    finally:
        for artist in set(ax.get_children()) - before:
            artist.remove()
        del ax.containers[containers:]  # bars and error bars leave a list of their parts
