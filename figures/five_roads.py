"""Draws five_roads.png: five derivations of the ELBO side by side, and where each spends its "≥".

Each dot is a line of the derivation in notebook 2, and the words are its reason for the next line.
"""

from __future__ import annotations

from typing import NamedTuple

from _draw import INK, arrow, box, color_of, script, tint, write
from matplotlib.axes import Axes

SIZE = (10.6, 6.6)
EVIDENCE, ELBO = color_of("evidence"), color_of("elbo")
MARGIN, COLUMN = 1.3, 1.84  # inches: for the words on the left, and of one road
START, UPPER, LOWER = 5.6, 3.34, 2.5  # heights: of log p(x), and of the edges of the gap
TOP, STEP = 5.37, 0.47  # of the way, and between two lines
END, END_SIZE = 0.54, (1.66, 0.72)
FIRST_FORM = r"$\mathbb{E}_q[\log\,p(x,z)$" + "\n" + r"$-\,\log\,q(z)]$"
SECOND_FORM = r"$\mathbb{E}_q[\log\,p(x|z)]$" + "\n" + r"$-\,\mathrm{KL}(q\,\Vert\,p(z))$"


class Road(NamedTuple):
    """Its name, the reasons above and below its "≥", what it gives up there, and the form it ends in."""

    name: str
    above: list[str]
    step: str
    below: list[str]
    form: str


ROADS = {
    "a": Road("average\nBayes' rule", ["Bayes' rule", "add zero", "split"], "drop a KL", [], SECOND_FORM),
    "b": Road(
        "start from\nthe distance",
        [],
        "subtract a KL",
        ["write it out", "Bayes' rule", "$\\log\\,p(x)$ cancels"],
        FIRST_FORM,
    ),
    "c": Road("move the\nlog inside", ["sum rule", "times $q/q$"], "Jensen", ["split"], SECOND_FORM),
    "d": Road(
        "multiply\nby one",
        ["times $\\int q\\,dz$", "Bayes' rule", "$q/q$, split"],
        "drop a KL",
        [],
        FIRST_FORM,
    ),
    "e": Road(
        "average\na constant",
        ["average over $q$", "Bayes' rule", "times $q/q$", "split"],
        "drop a KL",
        [],
        FIRST_FORM,
    ),
}


def draw(ax: Axes) -> None:
    """Draws the two levels, log p(x) and the ELBO, and the roads from one to the other."""
    for low, high, color in [(UPPER, START + 0.05, EVIDENCE), (0.06, LOWER, ELBO)]:
        ax.fill_between([0.08, SIZE[0] - 0.08], low, high, color=tint(color, 0.16), linewidth=0)
    middle = (MARGIN + SIZE[0]) / 2 - 0.08
    box(ax, (middle, START), (SIZE[0] - MARGIN - 0.05, 0.46), EVIDENCE, share=0.35)
    write(ax, middle, START, r"$\log\,p(x)$", 15)
    write(ax, 0.2, (UPPER + TOP) / 2, "each line\nequals\n$\\log\\,p(x)$", 13, ha="left")
    write(ax, 0.2, (UPPER + LOWER) / 2, "the gap", 13, ha="left", weight="bold")
    write(ax, 0.2, LOWER / 2, "each line\nequals\nthe ELBO", 13, ha="left")
    for number, (letter, road) in enumerate(ROADS.items()):
        _draw_road(ax, MARGIN + 0.1 + number * COLUMN, letter, road)


def _draw_road(ax: Axes, left: float, letter: str, road: Road) -> None:
    """Draws one road at the left edge of its column, its words to the right of the way."""
    way, words = left + 0.13, left + 0.32
    write(ax, left, 6.2, letter, 22, ha="left", weight="bold")
    write(ax, words, 6.2, road.name, 13, ha="left")
    upper = [TOP - 0.02 - STEP * n for n in range(len(road.above) + 1)]
    lower = [LOWER - 0.25 - STEP * n for n in range(len(road.below))]
    end = END + END_SIZE[1] / 2
    ax.plot([way, way], [TOP, upper[-1]], color=EVIDENCE, linewidth=2.2, zorder=2)
    arrow(ax, [(way, upper[-1]), (way, lower[0] if lower else end)], INK, linewidth=3)
    if lower:
        arrow(ax, [(way, lower[0]), (way, end)], ELBO)
    for heights, color in [(upper[1:] if road.above else [], EVIDENCE), (lower, ELBO)]:
        ax.plot([way] * len(heights), heights, "o", color=color, markersize=9, zorder=4)
    for height, reason in zip(upper, road.above, strict=False):
        write(ax, words, height - STEP / 2, reason, 13, ha="left")
    for height, reason in zip(lower, road.below, strict=True):
        write(ax, words, height - STEP / 2, reason, 13, ha="left")
    write(ax, words, (UPPER + LOWER) / 2 + 0.17, "≥", 18, ha="left", weight="bold")
    write(ax, words, (UPPER + LOWER) / 2 - 0.17, road.step, 13, ha="left", weight="bold")
    box(ax, (left + END_SIZE[0] / 2, END), END_SIZE, ELBO, share=0.35)
    write(ax, left + END_SIZE[0] / 2, END, road.form, 12)


main = script(__file__, draw, SIZE)

if __name__ == "__main__":
    main()
