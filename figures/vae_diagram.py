"""Draws vae_diagram.png: what a VAE computes from left to right, and where its loss arises.

Solid arrows carry values, dashed arrows carry gradients back. Names and shapes are those of the code.
"""

from __future__ import annotations

from _draw import DASHED, MUTED, Point, arrow, box, color_of, funnel, key, script, write
from matplotlib.axes import Axes

SIZE = (12.9, 6.3)
LIKELIHOOD, Q, LOSS, BACK = map(color_of, ("likelihood", "q", "elbo", "evidence"))
CODE = {"family": "DejaVu Sans Mono"}
NOISE, ROW, TERMS, TARGET = 5.7, 3.75, 1.45, 0.35  # heights: eps, values, loss, way of the target
X, ENCODER, MOMENTS, Z, DECODER, LOGITS = 0.9, 2.85, 4.8, 7.3, 9.85, 11.85  # middles, left to right
LOSS_X = 8.45
MU, LOG_VAR = ROW + 0.45, ROW - 0.45
APART = 0.1  # from the middle between a forward and a backward arrow to either


def draw(ax: Axes) -> None:
    """Draws the values, the terms of the loss under them, and the ways of values and gradients."""
    _draw_values(ax)
    _draw_loss(ax)
    _draw_ways(ax)
    _draw_key(ax)


def _draw_values(ax: Axes) -> None:
    box(ax, (X, ROW), (1.25, 1.0))
    _write_value(ax, X, ROW, "x", "(batch, 784)", 17, up=0.18, down=0.25, **CODE)
    _draw_network(ax, ENCODER, 2.6, 1.7, Q, "encoder", r"$q_\phi(z\,|\,x)$")
    box(ax, (MOMENTS, ROW), (1.25, 1.7), Q)
    ax.plot([MOMENTS - 0.625, MOMENTS + 0.625], [ROW, ROW], color=Q, linewidth=2)
    for name, height in {"mu": MU, "log_var": LOG_VAR}.items():
        _write_value(ax, MOMENTS, height, name, "(batch, d)", **CODE)
    box(ax, (Z, ROW), (2.5, 1.7), share=0)
    write(ax, Z, ROW + 0.45, "z = mu + std * eps", 14, **CODE)
    write(ax, Z, ROW + 0.05, "std = exp(log_var / 2)", 12, **CODE)
    write(ax, Z, ROW - 0.45, "(batch, d)", color=MUTED)
    box(ax, (Z, NOISE), (1.9, 0.76), MUTED, share=0.06, linestyle=DASHED)
    _write_value(ax, Z, NOISE, r"$\mathtt{eps}\;\sim\;\mathcal{N}(0, I)$", "(batch, d)")
    _draw_network(ax, DECODER, 1.7, 2.6, LIKELIHOOD, "decoder", r"$p_\theta(x\,|\,z)$")
    box(ax, (LOGITS, ROW), (1.4, 1.0), LIKELIHOOD)
    _write_value(ax, LOGITS, ROW, "x_logits", "(batch, 784)", up=0.18, down=0.25, **CODE)


def _write_value(
    ax: Axes,
    x: float,
    y: float,
    words: str,
    shape: str,
    size: float = 15,
    up: float = 0.15,
    down: float = 0.2,
    **style: object,
) -> None:
    """Writes what a box holds, and below it the shape."""
    write(ax, x, y + up, words, size, **style)
    write(ax, x, y - down, shape, color=MUTED)


def _draw_network(
    ax: Axes, x: float, left: float, right: float, color: str, name: str, distribution: str
) -> None:
    funnel(ax, (x, ROW), 1.4, left, right, color)
    write(ax, x, ROW + 0.18, name, 15)
    write(ax, x, ROW - 0.2, distribution, 15)


def _draw_loss(ax: Axes) -> None:
    _draw_term(ax, MOMENTS, 2.3, r"$\mathrm{KL}(q_\phi(z\,|\,x)\;\Vert\;p(z))$", "exact: (batch,)")
    _draw_term(ax, LOGITS, 1.7, r"$-\log\,p_\theta(x\,|\,z)$", "one z: (batch,)")
    box(ax, (LOSS_X, TERMS), (2.9, 1.5), LOSS, share=0.4, linewidth=3)
    write(ax, LOSS_X, TERMS + 0.47, "loss = −ELBO", 16, weight="bold")
    write(ax, LOSS_X, TERMS + 0.1, r"$=\,\mathrm{KL}\;-\;\log\,p_\theta(x\,|\,z)$", 15)
    write(ax, LOSS_X, TERMS - 0.27, "one-sample estimate,")
    write(ax, LOSS_X, TERMS - 0.5, "mean over the batch: ()")


def _draw_term(ax: Axes, x: float, width: float, formula: str, shape: str) -> None:
    box(ax, (x, TERMS), (width, 0.9), LOSS)
    _write_value(ax, x, TERMS, formula, shape, 14, up=0.16, down=0.22)


def _draw_ways(ax: Axes) -> None:
    arrow(ax, [(X + 0.67, ROW), (ENCODER - 0.74, ROW)])
    arrow(ax, [(Z, NOISE - 0.43), (Z, ROW + 0.9)])
    arrow(ax, [(X, ROW - 0.55), (X, TARGET), (LOGITS, TARGET), (LOGITS, TERMS - 0.5)])
    for height in (MU, LOG_VAR):
        _both_ways(ax, (ENCODER + 0.75, height), (MOMENTS - 0.67, height))
        _both_ways(ax, (MOMENTS + 0.67, height), (Z - 1.3, height))
    _both_ways(ax, (Z + 1.3, ROW), (DECODER - 0.75, ROW))
    _both_ways(ax, (DECODER + 0.75, ROW), (LOGITS - 0.75, ROW))
    _both_ways(ax, (MOMENTS, ROW - 0.9), (MOMENTS, TERMS + 0.5))
    _both_ways(ax, (LOGITS, ROW - 0.55), (LOGITS, TERMS + 0.5))
    _both_ways(ax, (MOMENTS + 1.2, TERMS), (LOSS_X - 1.5, TERMS))
    _both_ways(ax, (LOGITS - 0.9, TERMS), (LOSS_X + 1.5, TERMS))


def _both_ways(ax: Axes, start: Point, end: Point) -> None:
    """Draws values going from start to end, and beside them gradients coming back."""
    (x0, y0), (x1, y1) = start, end
    across, up = (APART, 0.0) if x0 == x1 else (0.0, APART)
    arrow(ax, [(x0 - across, y0 + up), (x1 - across, y1 + up)])
    arrow(ax, [(x1 + across, y1 - up), (x0 + across, y0 - up)], BACK, linestyle=DASHED)


def _draw_key(ax: Axes) -> None:
    left = X - 0.625
    key(ax, left, 5.9, "values, forward")
    key(ax, left, 5.54, "gradients, backward", BACK, linestyle=DASHED, back=True)
    hint = (
        "Noise enters from outside:\n"
        r"gradients flow through $\mathtt{mu}$ and $\mathtt{log\_var}$,"
        "\n"
        r"not into $\mathtt{eps}$."
    )
    write(ax, Z + 1.15, NOISE, hint, 13, ha="left", linespacing=1.3)
    write(ax, X + 0.2, TARGET + 0.2, r"$\mathtt{x}$ is also the target", 13, ha="left", color=MUTED)


main = script(__file__, draw, SIZE)

if __name__ == "__main__":
    main()
