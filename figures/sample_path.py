"""Draws sample_path.png: the graph of a one-draw ELBO, its path through the sample kept and cut.

Solid arrows carry values, dashed arrows carry gradients back. Both halves have the same values; only the
gradients differ.
"""

from __future__ import annotations

from _draw import DASHED, MUTED, Point, arrow, box, color_of, key, script, write
from matplotlib.axes import Axes

SIZE = (10.4, 5.7)
LIKELIHOOD, Q, LOSS, BACK = map(color_of, ("likelihood", "q", "elbo", "evidence"))
CODE = {"family": "DejaVu Sans Mono"}
HALF = 5.2  # width of one half
PHI, Z, LAST = 0.75, 2.6, 4.4  # middles, left to right, from the left edge of a half
TITLE, NOISE, UPPER, LOWER, BELOW = 4.75, 3.95, 2.6, 1.2, 0.4  # heights
WIDE, HIGH, NARROW = 1.3, 0.7, 0.8  # of a box; that of the parameters is narrow
GAP = 0.03  # from the edge of a box to an arrow
APART = 0.1  # from the middle between a forward and a backward arrow to either


def draw(ax: Axes) -> None:
    """Draws the two halves and the key."""
    _draw_half(ax, 0.0, kept=True)
    _draw_half(ax, HALF, kept=False)
    ax.plot([HALF, HALF], [0.3, 4.9], color="#cccccc", linewidth=1)
    key(ax, 0.35, 5.4, "values, forward")
    key(ax, 3.2, 5.4, "gradients, backward", BACK, linestyle=DASHED, back=True)


def _draw_half(ax: Axes, left: float, kept: bool) -> None:
    phi, z, last = left + PHI, left + Z, left + LAST
    write(ax, left + 0.35, TITLE, "z = q.rsample()" if kept else "z = q.sample()", 14, ha="left", **CODE)
    words = "the path is kept" if kept else "the path is cut"
    write(ax, left + 4.95, TITLE, words, 14, ha="right", weight="bold")
    _draw_boxes(ax, phi, z, last)
    arrow(ax, [(z, NOISE - HIGH / 2 - GAP), (z, UPPER + HIGH / 2 + GAP)])
    _draw_ways(ax, phi, z, last, kept)
    words = r"this is $\nabla\,\mathrm{ELBO}$" if kept else r"only $-\nabla\,\mathrm{KL}$ is left"
    write(ax, phi - NARROW / 2, BELOW, words, 15, ha="left", color=BACK)


def _draw_boxes(ax: Axes, phi: float, z: float, last: float) -> None:
    middle = (UPPER + LOWER) / 2
    box(ax, (phi, middle), (NARROW, UPPER - LOWER + HIGH), Q)
    write(ax, phi, middle, r"$\mu,\ \sigma$", 17)
    box(ax, (z, NOISE), (WIDE, HIGH), MUTED, share=0.06, linestyle=DASHED)
    write(ax, z, NOISE, r"$\varepsilon \sim \mathcal{N}(0, 1)$", 13)
    box(ax, (z, UPPER), (WIDE, HIGH), share=0)
    write(ax, z, UPPER, r"$z = \mu + \sigma\varepsilon$", 14)
    box(ax, (last, UPPER), (WIDE, HIGH), LIKELIHOOD)
    write(ax, last, UPPER, r"$\log p(x\,|\,z)$", 14)
    box(ax, (z, LOWER), (WIDE, HIGH), LOSS)
    write(ax, z, LOWER, r"$\mathrm{KL}(q\;\Vert\;p)$", 14)
    box(ax, (last, LOWER), (WIDE, HIGH), LOSS, share=0.4, linewidth=3)
    write(ax, last, LOWER, "ELBO", 15, weight="bold")


def _draw_ways(ax: Axes, phi: float, z: float, last: float, kept: bool) -> None:
    edge = WIDE / 2 + GAP
    for height, back in ((UPPER, kept), (LOWER, True)):
        _draw_way(ax, (phi + NARROW / 2 + GAP, height), (z - edge, height), back)
        _draw_way(ax, (z + edge, height), (last - edge, height), back)
    _draw_way(ax, (last, UPPER - HIGH / 2 - GAP), (last, LOWER + HIGH / 2 + GAP))
    if not kept:
        _draw_cross(ax, ((phi + NARROW / 2 + z - WIDE / 2) / 2 - 0.06, UPPER))


def _draw_way(ax: Axes, start: Point, end: Point, back: bool = True) -> None:
    """Draws values going from start to end and, if they come `back`, gradients beside them."""
    (x0, y0), (x1, y1) = start, end
    across, up = (APART, 0.0) if x0 == x1 else (0.0, APART)
    if not back:
        across, up = 0.0, 0.0
    arrow(ax, [(x0 - across, y0 + up), (x1 - across, y1 + up)])
    if back:
        arrow(ax, [(x1 + across, y1 - up), (x0 + across, y0 - up)], BACK, linestyle=DASHED)


def _draw_cross(ax: Axes, center: Point, size: float = 0.14) -> None:
    x, y = center
    for way in (-1, 1):
        ax.plot(
            [x - size, x + size], [y - way * size, y + way * size], color="#c41e1e", linewidth=4, zorder=4
        )


main = script(__file__, draw, SIZE)

if __name__ == "__main__":
    main()
