"""Style and drawing: pure `draw_*(ax, …)` functions that return nothing and keep no state."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vae_helpers._validate import as_count

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


def use_style() -> None:
    """Sets the course's figure style: large type, no top and right spines, safe colours."""
    colors = [role["color"] for role in ROLES.values()]
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

    Args:
        fig: the figure; it is closed, so that no cell leaks one.
        alt: what the picture shows, in one sentence.

    Raises:
        ValueError: the text is empty.
    """
    check_alt(alt)
    display(fig, metadata={"image/png": {"alt": alt}})
    plt.close(fig)


def show_picture(path: str | Path, alt: str) -> None:
    """Displays a stored PNG inside the notebook, which then needs no file beside it.

    Args:
        path: the picture, relative to the notebook.
        alt: what the picture shows, in one sentence.

    Raises:
        ValueError: the text is empty.
        FileNotFoundError: there is no such picture.
    """
    check_alt(alt)
    display(Image(filename=str(path), width=800), metadata={"image/png": {"alt": alt, "width": 800}})


def draw_density(ax: Axes, grid: ArrayLike, density: ArrayLike, role: str, label: str = "") -> None:
    """Draws a density over a 1-D grid in the colour and line style of its role.

    Args:
        ax: the axes to draw on.
        grid: points, shape (n,).
        density: the density there (not its log), shape (n,).
        role: a key of `ROLES`.
        label: text for the legend; the role's name if empty.
    """
    if role not in ROLES:
        raise ValueError(f"role: expected one of {', '.join(ROLES)}, got {role!r}")
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
    images, num_cols = np.asarray(images), as_count("num_cols", num_cols)
    height, width = shape
    if images.ndim != 2 or len(images) == 0 or images.shape[1] != height * width:
        raise ValueError(f"images: expected shape (n, {height * width}) for {shape}, got {images.shape}")
    num_rows = -(-len(images) // num_cols)
    canvas = np.zeros((num_rows * num_cols, height, width))
    canvas[: len(images)] = images.reshape(-1, height, width)
    canvas = canvas.reshape(num_rows, num_cols, height, width).swapaxes(1, 2)
    ax.imshow(canvas.reshape(num_rows * height, num_cols * width), vmin=0, vmax=1, cmap="gray_r")
    ax.set_axis_off()


def check_alt(alt: str) -> str:
    """Returns the text that stands for a picture, or raises ValueError if there is none."""
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"alt: expected a sentence that says what the picture shows, got {alt!r}")
    return alt
