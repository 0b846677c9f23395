"""What the still pictures share: a page measured in inches, colours, boxes, arrows, keys and saving.

One data unit is one inch, so a picture is laid out like a sheet of paper with its origin at the
bottom left. Only matplotlib's own fonts are used, whatever the reader's settings are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path as Outline

from vae_helpers.models.storage import whole_file
from vae_helpers.pictures.plotting import ROLES

Point = tuple[float, float]
LineStyle = str | tuple[float, tuple[float, ...]]

INK = "#222222"
MUTED = "#595959"
DASHED: LineStyle = (0, (4, 2))
MIN_SIZE = 12  # points; smaller type is lost when projected
STYLE = {"font.family": "DejaVu Sans", "font.size": MIN_SIZE, "mathtext.fontset": "dejavusans"}
DPI = 200
HEAD = 0.17  # length of an arrow's head
KEY = 0.68  # length of an arrow that a key explains


def color_of(role: str) -> str:
    """The colour that a role has in the whole series."""
    return str(ROLES[role]["color"])


def tint(color: str, share: float = 0.2) -> tuple[float, float, float]:
    """Mixes a colour into white: `share` of the colour, the rest white."""
    red, green, blue = (1 - share * (1 - value) for value in to_rgb(color))
    return red, green, blue


def write(ax: Axes, x: float, y: float, words: str, size: float = MIN_SIZE, **style: object) -> None:
    """Writes words centred on (x, y), unless `style` (keywords of `Axes.text`) says otherwise."""
    ax.text(x, y, words, **{"fontsize": size, "color": INK, "ha": "center", "va": "center", **style})


def circle(ax: Axes, center: Point, radius: float, fill: object = "white") -> None:
    """Draws a circle in ink."""
    ax.add_patch(Circle(center, radius, facecolor=fill, edgecolor=INK, linewidth=2, zorder=3))


def box(
    ax: Axes,
    center: Point,
    size: Point,
    color: str = INK,
    *,
    share: float = 0.2,
    radius: float = 0.1,
    linestyle: LineStyle = "-",
    linewidth: float = 2,
) -> None:
    """Draws a box with round corners: its edge in `color`, its inside in a tint of it."""
    (x, y), (width, height) = center, size
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle=f"round,pad=0,rounding_size={radius}",
            facecolor=tint(color, share),
            edgecolor=color,
            linestyle=linestyle,
            linewidth=linewidth,
            zorder=1,
        )
    )


def funnel(ax: Axes, center: Point, width: float, left: float, right: float, color: str) -> None:
    """Draws a network as a trapezium: `left` and `right` are its heights at its two ends."""
    x, y = center
    x0, x1 = x - width / 2, x + width / 2
    corners = [(x0, y - left / 2), (x0, y + left / 2), (x1, y + right / 2), (x1, y - right / 2)]
    ax.add_patch(
        Polygon(corners, facecolor=tint(color), edgecolor=color, linewidth=2, joinstyle="round", zorder=1)
    )


def arrow(
    ax: Axes,
    points: Sequence[Point],
    color: str = INK,
    *,
    linestyle: LineStyle = "-",
    linewidth: float = 2.2,
    radius: float = 0.15,
    head: float = HEAD,
) -> None:
    """Draws a line through `points` with a head at its end; dashes never cut the head.

    Args:
        ax: the axes to draw on.
        points: start, corners, end.
        color: of line and head.
        linestyle: of the line.
        linewidth: in points.
        radius: how far from a corner the line begins to turn; a large one with three points
            makes one curve of the whole line.
        head: length of the head; 0 leaves it away.
    """
    path = np.array(points, dtype=float)
    tip = path[-1].copy()
    direction = (path[-1] - path[-2]) / np.linalg.norm(path[-1] - path[-2])
    path[-1] = tip - 0.8 * head * direction
    ax.add_patch(
        PathPatch(
            _rounded(path, radius),
            fill=False,
            edgecolor=color,
            linestyle=linestyle,
            linewidth=linewidth,
            capstyle="butt",
            zorder=2,
        )
    )
    if head:
        side = 0.4 * head * np.array([-direction[1], direction[0]])
        back = tip - head * direction
        ax.add_patch(Polygon([tip, back + side, back - side], facecolor=color, linewidth=0, zorder=2))


def key(
    ax: Axes,
    left: float,
    y: float,
    words: str,
    color: str = INK,
    *,
    gap: float = 0.17,
    size: float = 13,
    linestyle: LineStyle = "-",
    back: bool = False,
) -> None:
    """Explains an arrow: the arrow itself, to the left if it leads `back`, and words behind it."""
    ends = [(left, y), (left + KEY, y)]
    arrow(ax, ends[::-1] if back else ends, color, linestyle=linestyle)
    write(ax, left + KEY + gap, y, words, size, ha="left")


def render(draw: Callable[[Axes], None], size: Point) -> Figure:
    """Draws on a new white page of `size` inches, untouched by the reader's settings."""
    with _own_settings():
        fig = Figure(figsize=size, dpi=DPI, facecolor="white")
        FigureCanvasAgg(fig)
        ax = fig.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, size[0]), ylim=(0, size[1]))
        ax.set_axis_off()
        draw(ax)
        fig.canvas.draw()
    return fig


def save(draw: Callable[[Axes], None], size: Point, path: Path) -> None:
    """Renders and writes a PNG, whole or not at all."""
    fig = render(draw, size)
    with whole_file(path) as temporary, _own_settings():
        fig.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def script(file: str, draw: Callable[[Axes], None], size: Point) -> Callable[..., None]:
    """The `main` of a script, which writes its picture under its own name, by default beside it.

    Args:
        file: the script.
        draw: draws the picture.
        size: of the page, in inches.
    """
    path = Path(file).with_suffix(".png")

    def main(folder: Path = path.parent) -> None:
        save(draw, size, folder / path.name)

    return main


@contextmanager
def _own_settings() -> Iterator[None]:
    """Within it, matplotlib has its defaults and `STYLE`; afterwards, what it had before."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def _rounded(points: np.ndarray, radius: float) -> Outline:
    """The line through points, with each corner replaced by a quadratic curve."""
    vertices, codes = [points[0]], [Outline.MOVETO]
    for i in range(1, len(points) - 1):
        for j in (i - 1, i + 1):
            leg = points[j] - points[i]
            length = np.linalg.norm(leg)
            room = length if j in (0, len(points) - 1) else length / 2
            near = points[i] + leg / length * min(radius, room)
            vertices += [near] if j < i else [points[i], near]
            codes += [Outline.LINETO] if j < i else [Outline.CURVE3, Outline.CURVE3]
    return Outline([*vertices, points[-1]], [*codes, Outline.LINETO])
