"""Draws course_map.png: notebooks 00 to 07 and 10 as a path through three worlds whose answers are known."""

from __future__ import annotations

from pathlib import Path

from _draw import DASHED, INK, MUTED, LineStyle, arrow, box, circle, save, write
from matplotlib.axes import Axes

from vae_helpers.plotting import ROLES

SIZE = (13.3, 7.6)
TRUTH = str(ROLES["evidence"]["color"])
LEFT, MIDDLE, RIGHT = 1.75, 5.55, 11.05  # edges of the worlds; they are GAP apart at MIDDLE
GAP = 0.2
TOP, BOTTOM = 6.35, 2.3  # heights of the two rows of the path
START, FIRST, STEP, TURN, END = 0.85, 3.6, 1.63, 11.45, 12.25  # across: 00, 01, steps, far turn, 10
STATIONS = {  # notebook: its title, what is checked there, what it is checked against
    "01": ("Bayes’ rule", "evidence\nby sampling", "its closed\nform"),
    "02": ("ELBO", "five\nderivations", "$\\log\\,p(x)$\nminus gap"),
    "03": ("Gaussian KL", "KL by\nformula", "SymPy and\nquadrature"),
    "04": ("Monte Carlo", "KL by\nsampling", "KL by\nformula"),
    "05": ("Reparame-\nterization", "gradients\nby sampling", "the exact\ngradient"),
}


def draw(ax: Axes) -> None:
    """Draws the three worlds, the path through them, and what is held against what."""
    _draw_world(ax, LEFT, RIGHT, 4.15, 7.4, "World 1: linear-Gaussian")
    _draw_world(ax, LEFT, MIDDLE - GAP / 2, 0.2, 3.3, "World 2: digits, 2-D latent")
    _draw_world(ax, MIDDLE + GAP / 2, RIGHT, 0.2, 3.3, "World 3: digits, any latent dimension")
    _draw_path(ax)
    _draw_checks(ax)
    _draw_key(ax)


def _draw_world(ax: Axes, left: float, right: float, low: float, high: float, title: str) -> None:
    center, size = ((left + right) / 2, (low + high) / 2), (right - left, high - low)
    box(ax, center, size, MUTED, share=0.06, radius=0.2, linewidth=1.5)
    write(ax, left + 0.2, high - 0.3, title, 14, ha="left", weight="bold")


def _draw_path(ax: Axes) -> None:
    between, (two, many, last) = (4.15 + 3.3) / 2, _stops_below()
    there = [(START, TOP), (TURN, TOP), (TURN, between), (START, between), (START, BOTTOM)]
    arrow(ax, there, linewidth=5, radius=0.3, head=0)
    arrow(ax, [(START, BOTTOM), (END, BOTTOM)], linewidth=5, head=0)
    _draw_station(ax, START, TOP, "00", "Start here")
    for column, (number, (title, _, _)) in enumerate(STATIONS.items()):
        _draw_station(ax, FIRST + column * STEP, TOP, number, title)
    _draw_station(ax, START, BOTTOM, "06", "PyTorch\nVAE")
    for x in (two, many):
        circle(ax, (x, BOTTOM), 0.14)
    _draw_station(ax, last, BOTTOM, "07", "Latent dimension")
    _draw_station(ax, END, BOTTOM, "10", "Spot the mistake")


def _stops_below() -> tuple[float, float, float]:
    """Where the path stops: notebook 06 in World 2 and in World 3, and notebook 07."""
    aside = 0.35  # for the names of the rows
    return (LEFT + MIDDLE) / 2 + aside, MIDDLE + 2.15, RIGHT - 1.2


def _draw_station(ax: Axes, x: float, y: float, number: str, title: str) -> None:
    circle(ax, (x, y), 0.32, INK)
    write(ax, x, y, number, 15, weight="bold", color="white", zorder=4)
    for line, words in enumerate(title.split("\n")):
        write(ax, x, y - 0.58 - 0.22 * line, words, 13, va="baseline")


def _draw_checks(ax: Axes) -> None:
    _draw_rows(ax, LEFT, 5.2, 4.6)
    for column, (_, checked, answer) in enumerate(STATIONS.values()):
        _draw_check(ax, FIRST + column * STEP, 5.2, 4.6, 1.42, checked, answer)
    two, many, last = _stops_below()
    for left in (LEFT, MIDDLE + GAP / 2):
        _draw_rows(ax, left, 1.3, 0.65)
    _draw_check(ax, two, 1.3, 0.65, 2.6, "ELBO", "$\\log\\,p(x)$ by quadrature\nover the latent plane")
    tighter = "tighter, importance-\nweighted bounds"
    _draw_check(ax, many, 1.3, 0.65, 1.9, "ELBO", tighter, DASHED)
    _draw_check(ax, last, 1.3, 0.65, 1.9, "one latent more", "the padded model,\nimage by image")
    _draw_check(ax, END, 1.3, 0.65, 1.5, "wrong losses", "line checks,\nexact values")


def _draw_rows(ax: Axes, left: float, checked: float, against: float) -> None:
    write(ax, left + 0.2, checked, "checked", ha="left", color=MUTED)
    write(ax, left + 0.2, against, "against", ha="left", color=MUTED)


def _draw_check(
    ax: Axes,
    x: float,
    high: float,
    low: float,
    width: float,
    checked: str,
    answer: str,
    linestyle: LineStyle = "-",
) -> None:
    """Draws what is checked, and below it in a box the answer: dashed if it is only a bound."""
    write(ax, x, high, checked)
    box(ax, (x, low), (width, 0.58), TRUTH, linestyle=linestyle)
    write(ax, x, low, answer)


def _draw_key(ax: Axes) -> None:
    box(ax, (START, 0.9), (1.3, 0.34), TRUTH)
    write(ax, START, 0.9, "exact answer")
    box(ax, (START, 0.42), (1.3, 0.34), TRUTH, linestyle=DASHED)
    write(ax, START, 0.42, "only a bound")


def main(folder: Path = Path(__file__).parent) -> None:
    """Writes the picture into a folder."""
    save(draw, SIZE, folder / "course_map.png")


if __name__ == "__main__":
    main()
