"""Draws course_map.png: the notebooks as a path through three worlds whose answers are known."""

from __future__ import annotations

from _draw import DASHED, INK, MUTED, LineStyle, Point, arrow, box, circle, color_of, script, write
from matplotlib.axes import Axes

SIZE = (13.3, 7.6)
LEFT, RIGHT = 1.75, 11.05  # edges of the worlds
TOP, BOTTOM = 6.35, 2.3  # heights of the two rows of the path
START, FIRST, STEP, TURN, END = 0.85, 3.6, 1.63, 11.45, 12.25  # across: 00, 01, steps, far turn, 10
STATIONS = {  # notebook: its title, what is checked there, what it is checked against
    "01": ("Bayes’ rule", "evidence\nby sampling", "its closed\nform"),
    "02": ("ELBO", "five\nderivations", "$\\log\\,p(x)$\nminus gap"),
    "03": ("Gaussian KL", "KL by\nformula", "SymPy and\nquadrature"),
    "04": ("Monte Carlo", "KL by\nsampling", "KL by\nformula"),
    "05": ("Reparame-\nterization", "gradients\nby sampling", "the exact\ngradient"),
}
DIGITS = {  # notebook: where it stands, its title
    "06": (3.5, "PyTorch VAE"),
    "07": (5.3, "Latent\ndimension"),
    "08": (7.62, "How tight is\nthe bound?"),
    "09": (10.0, "Collapse and β"),
}


def draw(ax: Axes) -> None:
    """Draws the three worlds, the path through them, and what is held against what."""
    _draw_world(ax, LEFT, RIGHT, 4.15, 7.4, "World 1: linear-Gaussian")
    _draw_world(
        ax, LEFT, RIGHT, 0.2, 3.3, "Worlds 2 and 3: digits, with a 2-D latent or any latent dimension"
    )
    _draw_path(ax)
    _draw_checks(ax)
    _draw_key(ax)


def _draw_world(ax: Axes, left: float, right: float, low: float, high: float, title: str) -> None:
    center, size = ((left + right) / 2, (low + high) / 2), (right - left, high - low)
    box(ax, center, size, MUTED, share=0.06, radius=0.2, linewidth=1.5)
    write(ax, left + 0.2, high - 0.3, title, 14, ha="left", weight="bold")


def _draw_path(ax: Axes) -> None:
    between = (4.15 + 3.3) / 2
    path = [(START, TOP), (TURN, TOP), (TURN, between), (START, between), (START, BOTTOM), (END, BOTTOM)]
    arrow(ax, path, linewidth=5, radius=0.3, head=0)
    _draw_station(ax, START, TOP, "00", "Start here")
    for column, (number, (title, _, _)) in enumerate(STATIONS.items()):
        _draw_station(ax, FIRST + column * STEP, TOP, number, title)
    for number, (x, title) in DIGITS.items():
        _draw_station(ax, x, BOTTOM, number, title)
    _draw_station(ax, END, BOTTOM, "10", "Spot the mistake")


def _draw_station(ax: Axes, x: float, y: float, number: str, title: str) -> None:
    circle(ax, (x, y), 0.32, INK)
    write(ax, x, y, number, 15, weight="bold", color="white", zorder=4)
    for line, words in enumerate(title.split("\n")):
        write(ax, x, y - 0.58 - 0.22 * line, words, 13, va="baseline")


def _draw_checks(ax: Axes) -> None:
    _draw_rows(ax, LEFT, 5.2, 4.6)
    for column, (_, checked, answer) in enumerate(STATIONS.values()):
        _draw_check(ax, FIRST + column * STEP, 5.2, 4.6, 1.42, checked, answer)
    _draw_rows(ax, LEFT, 1.22, 0.6)
    evidence = "$\\log\\,p(x)$ by\nquadrature"
    _draw_check(ax, DIGITS["06"][0], 1.22, 0.6, 1.55, "ELBO", evidence)
    _draw_check(ax, DIGITS["07"][0], 1.22, 0.6, 1.75, "another latent", "the padded\nmodel")
    x = DIGITS["08"][0]
    _draw_check(ax, x - 0.69, 1.22, 0.6, 1.28, "2 latents", evidence)
    _draw_check(ax, x + 0.69, 1.22, 0.6, 1.28, "50 latents", "tighter\nbounds", DASHED)
    _draw_check(ax, DIGITS["09"][0], 1.22, 0.6, 1.7, "surviving latents", "the data’s\neigenvalues")
    _draw_check(ax, END, 1.22, 0.6, 1.5, "wrong losses", "line checks,\nexact values")


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
    """Draws what is checked, and below it the answer: dashed if it is only a bound."""
    write(ax, x, high, checked)
    _draw_answer(ax, (x, low), (width, 0.58), answer, linestyle)


def _draw_answer(ax: Axes, center: Point, size: Point, answer: str, linestyle: LineStyle = "-") -> None:
    box(ax, center, size, color_of("evidence"), linestyle=linestyle)
    write(ax, *center, answer)


def _draw_key(ax: Axes) -> None:
    _draw_answer(ax, (START, 0.9), (1.3, 0.34), "exact answer")
    _draw_answer(ax, (START, 0.42), (1.3, 0.34), "only a bound", DASHED)


main = script(__file__, draw, SIZE)

if __name__ == "__main__":
    main()
