"""Draws cost_growth.png: what training and evaluation cost as they grow, out of the stored benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

from _draw import color_of, script
from matplotlib.axes import Axes

RESULTS = Path(__file__).parents[1] / "tests" / "benchmarks" / "results.json"
SIZE = (10.6, 5.4)
LINES = {  # a part of the group "growth": label, colour, marker
    "Seconds of an epoch against the batch size": ("an epoch, batch size", "prior", "o"),
    "Seconds of an epoch against the latent dimension": ("an epoch, latent dimension", "q", "s"),
    "Seconds of an epoch against the draws for each image": ("an epoch, draws an image", "posterior", "^"),
    "Seconds of importance bounds against the latent dimension": (
        "bounds, latent dimension",
        "likelihood",
        "D",
    ),
    "Seconds of importance bounds against the draws": ("bounds, draws an image", "evidence", "v"),
}


def draw(ax: Axes) -> None:
    """Draws seconds against sizes, both in decades; the label says with which power they grow."""
    figures = json.loads(RESULTS.read_text(encoding="utf-8"))["growth"]["figures"]
    plot = ax.inset_axes((0.09, 0.12, 0.58, 0.84))
    for part, (label, role, marker) in LINES.items():
        *rows, exponent = figures[part]
        sizes = [int(row["what"].replace(",", "")) for row in rows]
        told = f"{label}:\npower {exponent['median']:.2f}".replace("-", "−")
        plot.plot(sizes, [row["median"] for row in rows], marker=marker, color=color_of(role), label=told)
    plot.set(xscale="log", yscale="log", xlabel="batch size, latents or draws", ylabel="seconds")
    plot.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, labelspacing=0.9)


main = script(__file__, draw, SIZE)

if __name__ == "__main__":
    main()
