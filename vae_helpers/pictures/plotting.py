"""Style and drawing: pure `draw_*(ax, …)` functions that return nothing and keep no state."""

from __future__ import annotations

import base64
import html
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike
from PIL import Image

from vae_helpers.numerics._validate import (
    Array,
    as_array,
    as_count,
    as_number,
    as_path,
    as_text,
    one_of,
    told,
)

COURSE = Path(__file__).parents[2]  # where it lies on this machine, whatever the working directory is
# One look for each role in the whole series: a colour that colour-blind readers can tell
# apart (Okabe & Ito) and a line style of its own, so that colour never stands alone.
ROLES: dict[str, dict[str, object]] = {
    "prior": {"color": "#0072B2", "linestyle": "--"},
    "likelihood": {"color": "#E69F00", "linestyle": "-."},
    "posterior": {"color": "#000000", "linestyle": "-"},
    "evidence": {"color": "#009E73", "linestyle": (0, (10, 3))},
    "q": {"color": "#D55E00", "linestyle": (0, (1.5, 0.7))},
    "elbo": {"color": "#CC79A7", "linestyle": (0, (3, 1, 1, 1, 1, 1))},
    "gap": {"color": "#999999", "linestyle": (0, (1, 3))},
}
# One colour for each of ten classes, all dark enough for text on white.
CLASS_COLORS = ("#1f77b4", "#b35900", "#1a7f1a", "#c41e1e", "#7a4bb0")
CLASS_COLORS += ("#8c564b", "#b5338a", "#555555", "#757500", "#007d8a")

QUICK = {"compress_level": 1}  # for a PNG that is read again at once


def use_style() -> None:
    """Sets the course's figure style: white paper, large type, no top and right spines, safe colours.

    All else is Matplotlib's own default, so that a style which an editor or a settings file has
    chosen (`dark_background` would draw the black posterior on black) changes nothing. Each notebook begins
    so; where its asserts are off, a warning says that they are.
    """
    if not __debug__:
        message = "Python runs with -O or PYTHONOPTIMIZE: the asserts of the notebooks check nothing"
        warnings.warn(message, stacklevel=2)
    colors = [role["color"] for role in ROLES.values()]
    plt.style.use("default")
    mpl.rcParams.update(
        {
            "figure.figsize": (7, 3.6),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 12,
            "axes.titlesize": 13,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": mpl.cycler(color=colors),
            "lines.linewidth": 2.2,
            "legend.frameon": False,
            "legend.handlelength": 2.8,  # room for the longest dash and its gap
            "image.cmap": "gray_r",
        }
    )


def show(fig: Figure, alt: str) -> None:
    """Displays a figure once, with the text that a screen reader speaks in its place.

    The picture itself is stored, so that it is there with any Matplotlib backend.

    Args:
        fig: the figure; it is closed, so that no cell leaks one.
        alt: what the picture shows, in one sentence.

    Raises:
        ValueError: the text is empty.
        TypeError: something that is not a figure.
    """
    check_alt(alt)
    if not isinstance(fig, Figure):
        raise TypeError(f"fig: expected a matplotlib Figure, got {type(fig).__name__}")
    file = io.BytesIO()
    look = {"dpi": fig.dpi, "bbox_inches": "tight", "facecolor": fig.get_facecolor()}
    fig.savefig(file, format="png", pil_kwargs=QUICK, **look)
    plt.close(fig)
    _display(file.getvalue(), alt)


def show_picture(path: str | Path, alt: str) -> None:
    """Displays a stored PNG inside the notebook, which then needs no file beside it.

    Args:
        path: the picture, relative to the course's folder, such as "figures/manifold.png".
        alt: what the picture shows, in one sentence.

    Raises:
        ValueError: the text is empty.
        FileNotFoundError: there is no such picture.
    """
    check_alt(alt)
    _display(course_file(path).read_bytes(), alt, width=800)


def _display(png: bytes, alt: str, width: int | None = None) -> None:
    data, metadata = picture_bundle(png, alt, width)
    display(data, metadata=metadata, raw=True)


def picture_bundle(
    png: bytes, alt: str, width: int | None = None
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """What an output holds of a picture: its PNG, and the same as HTML with its text.

    JupyterLab and nbconvert show an `image/png` without its text, and prefer HTML where there is both.

    Args:
        png: the picture.
        alt: what it shows, in one sentence.
        width: of the picture in the page, in pixels; its own if None.

    Returns:
        Data and metadata, by their mime types.
    """
    coded = base64.b64encode(few_colors(png)).decode()
    size, attribute = ({}, "") if width is None else ({"width": width}, f' width="{width}"')
    picture = f'<img alt="{html.escape(alt)}"{attribute} src="data:image/png;base64,{coded}">'
    data = {"text/html": picture, "image/png": coded, "text/plain": alt}
    return data, {"image/png": {"alt": alt} | size}


def few_colors(png: bytes) -> bytes:
    """The PNG with a palette of 256 colours, less than half the bytes, since a notebook holds it twice."""
    with Image.open(io.BytesIO(png)) as picture:
        paper = Image.new("RGB", picture.size, "white")
        paper.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
    few = paper.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    return as_png(few, optimize=True)


def as_png(picture: Image.Image, **options: Any) -> bytes:
    """The bytes of a PNG file, written quickly or with Pillow's options."""
    file = io.BytesIO()
    picture.save(file, "png", **QUICK | options)
    return file.getvalue()


def draw_density(ax: Axes, grid: ArrayLike, density: ArrayLike, role: str, label: str = "") -> None:
    """Draws a density over a 1-D grid in the colour and line style of its role.

    Args:
        ax: the axes to draw on.
        grid: points, shape (n,).
        density: the density there (not its log), shape (n,).
        role: a key of `ROLES`.
        label: text for the legend; the role's name if empty.

    Raises:
        ValueError: an unknown role, shapes that differ, NaN.
        TypeError: no axes, or something other than real numbers.
    """
    check_axes(ax)
    grid, density = as_array("grid", grid), as_array("density", density)
    if grid.ndim != 1:
        raise ValueError(f"grid: expected shape (n,), got {grid.shape}")
    if density.shape != grid.shape:
        raise ValueError(f"density: expected shape {grid.shape} like grid, got {density.shape}")
    one_of("role", role, ROLES)
    as_text("label", label)
    ax.plot(grid, density, label=label or role, **ROLES[role])
    ax.fill_between(grid, density, alpha=0.08, color=ROLES[role]["color"])


def draw_images(ax: Axes, images: ArrayLike, num_cols: int = 10, shape: tuple[int, int] = (28, 28)) -> None:
    """Draws images side by side, row after row, as one picture.

    Args:
        ax: the axes to draw on; its ticks are removed.
        images: values in [0, 1], shape (n, pixels).
        num_cols: images in a row.
        shape: height and width of one image.

    Raises:
        ValueError: there is no image, the images do not have height times width pixels, or
            num_cols is below 1.
    """
    check_axes(ax)
    images, num_cols = as_array("images", images), as_count("num_cols", num_cols)
    if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) != 2:
        raise TypeError(f"shape: expected height and width, got {told(shape)}")
    height, width = (as_count("shape", size) for size in shape)
    if images.ndim != 2 or len(images) == 0 or images.shape[1] != height * width:
        raise ValueError(f"images: expected shape (n, {height * width}) for {shape}, got {images.shape}")
    num_rows = -(-len(images) // num_cols)
    canvas = np.zeros((num_rows * num_cols, height, width))
    canvas[: len(images)] = images.reshape(-1, height, width)
    canvas = canvas.reshape(num_rows, num_cols, height, width).swapaxes(1, 2)
    ax.imshow(canvas.reshape(num_rows * height, num_cols * width), vmin=0, vmax=1, cmap="gray_r")
    ax.set_axis_off()


def draw_labelled_points(ax: Axes, points: ArrayLike, labels: ArrayLike, apart: float = 0.26) -> None:
    """Draws each point as its own label in the colour of its class, so that nobody needs the colour.

    Where labels would lie upon one another, a point is a dot of that colour.

    Args:
        ax: the axes to draw on, in whose units all else is.
        points: shape (n, 2).
        labels: a class of 0 to 9 for each, shape (n,).
        apart: how far two labels are from each other, at least.

    Raises:
        ValueError: points of another shape, or not one label of 0 to 9 for each.
    """
    check_axes(ax)
    apart, points = as_number("apart", apart, minimum=0), _as_points(points)
    halo = [withStroke(linewidth=3, foreground="white")]
    for point, label, room in zip(points, as_labels(labels, len(points)), spacing(points), strict=True):
        if room < apart:
            ax.plot(*point, ".", color=CLASS_COLORS[label], markersize=3, alpha=0.5)
        else:
            style = {"color": CLASS_COLORS[label], "fontsize": 11, "path_effects": halo, "clip_on": True}
            ax.text(*point, str(label), ha="center", va="center", **style)


def spacing(points: ArrayLike) -> list[float]:
    """How far each point is from all that come before it in an order that spreads them.

    The next point is always the one that is farthest from those taken. So the points of spacing at
    least r are at least r apart from one another: as many as can be read, at any size.

    Args:
        points: shape (n, 2).

    Raises:
        ValueError: points of another shape.
    """
    points = _as_points(points)
    spaces, far = np.zeros(len(points)), np.full(len(points), 1e3)
    for _ in points:
        taken = far.argmax()
        spaces[taken] = far[taken]
        far = np.minimum(far, np.linalg.norm(points - points[taken], axis=1))
        far[taken] = -1  # its own copies, at distance 0, are still to come
    return spaces.round(3).tolist()


def _as_points(points: ArrayLike) -> Array:
    if getattr(points, "shape", None) == (0, 2):
        return np.zeros((0, 2))
    points = as_array("points", points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points: expected shape (n, 2), got {points.shape}")
    return points


def as_labels(labels: ArrayLike, num: int) -> list[int]:
    """Returns the labels of `num` points as ints, or raises ValueError if there is not one for each."""
    if num:
        as_array("labels", labels)
    array = np.asarray(labels)
    wrong = f"shape {array.shape}" if array.shape != (num,) else sorted(set(array.tolist()) - set(range(10)))
    if wrong:
        raise ValueError(f"labels: expected a class of 0 to 9 for each of {num} points, got {wrong}")
    return [int(label) for label in array]


def course_file(path: str | Path) -> Path:
    """A file of the course by its place in the course's folder, such as "figures/manifold.png".

    Raises:
        FileNotFoundError: there is no such file; the message says where it was looked for.
    """
    file = COURSE / as_path("path", path)
    if not file.is_file():
        raise FileNotFoundError(f"path: expected a file of the course in {COURSE}, got {str(path)!r}")
    return file


def check_axes(ax: Axes) -> Axes:
    """Returns Matplotlib's axes, or raises TypeError for what is none."""
    if not isinstance(ax, Axes):
        raise TypeError(f"ax: expected Matplotlib's axes, got {type(ax).__name__}")
    return ax


def check_alt(alt: str) -> str:
    """Returns the text that stands for a picture, or raises ValueError if there is none."""
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"alt: expected a sentence that says what the picture shows, got {told(alt)}")
    return as_text("alt", alt)
