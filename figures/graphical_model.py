"""Draws graphical_model.png: the VAE as a graphical model, after Kingma & Welling 2014, figure 1.

The paper writes the prior as p_θ(z); ours is N(0, I) without parameters: no arrow from θ to z.
"""

from __future__ import annotations

from _draw import DASHED, INK, MUTED, arrow, box, circle, color_of, key, script, tint, write
from matplotlib.axes import Axes

SIZE = (9.8, 4.6)
Q = color_of("q")
OBSERVED = tint(INK, 0.22)
RADIUS = 0.42


def draw(ax: Axes) -> None:
    """Draws nodes and plate on the left, and what the signs mean on the right."""
    _draw_model(ax)
    _draw_key(ax)


def _draw_model(ax: Axes) -> None:
    phi, z, x, theta = (0.6, 3.4), (2.6, 3.4), (2.6, 1.5), (4.6, 1.5)
    box(ax, (2.6, 2.3), (2.3, 3.7), MUTED, share=0.04, radius=0.15, linewidth=1.8)
    write(ax, 3.55, 0.72, "$N$", 20)
    circle(ax, z, RADIUS)
    circle(ax, x, RADIUS, OBSERVED)
    for name, (across, up) in {r"$\phi$": phi, "$z$": z, "$x$": x, r"$\theta$": theta}.items():
        write(ax, across, up, name, 24, zorder=4)
    write(ax, phi[0], phi[1] - 0.52, "encoder\nweights", 13, color=MUTED)
    write(ax, theta[0], theta[1] - 0.52, "decoder\nweights", 13, color=MUTED)
    edge = RADIUS + 0.05
    arrow(ax, [(z[0], z[1] - edge), (x[0], x[1] + edge)])
    arrow(ax, [(theta[0] - 0.25, theta[1]), (x[0] + edge, x[1])])
    arrow(ax, [(phi[0] + 0.25, phi[1]), (z[0] - edge, z[1])], Q, linestyle=DASHED)
    low, high = (x[0] - 0.35, x[1] + 0.34), (z[0] - 0.35, z[1] - 0.34)
    arrow(ax, [low, (1.6, 2.45), high], Q, linestyle=DASHED, radius=9)


def _draw_key(ax: Axes) -> None:
    left, words = 5.55, 6.43
    key(ax, left, 3.95, "solid: generative model", gap=0.2, size=14)
    write(ax, words, 3.58, r"$p(z)\;p_\theta(x\,|\,z)$", 16, ha="left")
    key(ax, left, 2.95, "dashed: approximate posterior", Q, gap=0.2, size=14, linestyle=DASHED)
    write(ax, words, 2.58, r"$q_\phi(z\,|\,x)$", 16, ha="left")
    circle(ax, (left + 0.15, 1.98), 0.15, OBSERVED)
    circle(ax, (left + 0.53, 1.98), 0.15)
    write(ax, words, 1.98, "shaded: observed, white: latent", 14, ha="left")
    box(ax, (left + 0.34, 1.45), (0.68, 0.34), MUTED, share=0.04, radius=0.06, linewidth=1.8)
    write(ax, left + 0.52, 1.42, "$N$", 12)
    write(ax, words, 1.45, "plate: once for each of $N$ images", 14, ha="left")
    write(ax, left, 0.8, "The prior $p(z)=\\mathcal{N}(0, I)$ has no parameters,", 13, ha="left")
    write(ax, left, 0.52, r"so no arrow leads from $\theta$ to $z$.", 13, ha="left")


main = script(__file__, draw, SIZE)

if __name__ == "__main__":
    main()
