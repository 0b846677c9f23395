"""What an explorer shows: pictures, numbers and derivations, each made by a pure function."""

from __future__ import annotations

import html
import inspect
import io
import math
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from vae_helpers.pictures.derivation import Derivation, Row
from vae_helpers.pictures.plotting import check_alt

# Widget messages may be handled beside the notebook's own thread, and matplotlib draws one at a time.
_DRAWING = threading.RLock()


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
        self.widget = ipywidgets.VBox([self._image]).add_class("vae-view")
        self.png = b""

    def update(self, values: dict[str, Any]) -> None:
        """Draws all axes anew on the same figure."""
        calls = [
            (ax, draw, arguments(draw, values)) for ax, draw in zip(self._axes, self.functions, strict=True)
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
        self.widget = ipywidgets.VBox([heading, self._image]).add_class("vae-view")
        self.title, self.png = title, b""

    def update(self, values: dict[str, Any]) -> None:
        """Makes the images anew."""
        (make,) = self.functions
        pixels = made = np.asarray(make(**arguments(make, values)))
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
        shown = {name: self._format(v) for name, v in report(**arguments(report, values)).items()}
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
        derivation = derive(**arguments(derive, values))
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


def arguments(function: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values that the function has an argument for."""
    return {name: values[name] for name in inspect.signature(function).parameters if name in values}


def stack(views: list[Any]) -> bytes:
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


def _png(pixels: np.ndarray) -> bytes:
    """uint8 of shape (height, width) or (height, width, 3) as PNG; little compression, much speed."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", compress_level=1)
    return file.getvalue()
