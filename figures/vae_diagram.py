"""Draws vae_diagram.png: what a VAE computes from left to right, and where its loss arises.

Solid arrows carry values, dashed arrows carry gradients back. Names and shapes are those of the code.
"""

from __future__ import annotations

from pathlib import Path

from _draw import DASHED, MUTED, Point, arrow, box, funnel, save, write
from matplotlib.axes import Axes

from vae_helpers.pictures.plotting import ROLES

SIZE = (12.9, 6.3)
LIKELIHOOD, Q, LOSS, BACK = (str(ROLES[role]["color"]) for role in ("likelihood", "q", "elbo", "evidence"))
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
    write(ax, X, ROW + 0.18, "x", 17, **CODE)
    write(ax, X, ROW - 0.25, "(batch, 784)", color=MUTED)
    funnel(ax, (ENCODER, ROW), 1.4, 2.6, 1.7, Q)
    write(ax, ENCODER, ROW + 0.18, "encoder", 15)
    write(ax, ENCODER, ROW - 0.2, r"$q_\phi(z\,|\,x)$", 15)
    box(ax, (MOMENTS, ROW), (1.25, 1.7), Q)
    ax.plot([MOMENTS - 0.625, MOMENTS + 0.625], [ROW, ROW], color=Q, linewidth=2)
    for name, height in {"mu": MU, "log_var": LOG_VAR}.items():
        write(ax, MOMENTS, height + 0.15, name, 15, **CODE)
        write(ax, MOMENTS, height - 0.2, "(batch, d)", color=MUTED)
    box(ax, (Z, ROW), (2.5, 1.7), share=0)
    write(ax, Z, ROW + 0.45, "z = mu + std * eps", 14, **CODE)
    write(ax, Z, ROW + 0.05, "std = exp(log_var / 2)", 12, **CODE)
    write(ax, Z, ROW - 0.45, "(batch, d)", color=MUTED)
    box(ax, (Z, NOISE), (1.9, 0.76), MUTED, share=0.06, linestyle=DASHED)
    write(ax, Z, NOISE + 0.15, r"$\mathtt{eps}\;\sim\;\mathcal{N}(0, I)$", 15)
    write(ax, Z, NOISE - 0.2, "(batch, d)", color=MUTED)
    funnel(ax, (DECODER, ROW), 1.4, 1.7, 2.6, LIKELIHOOD)
    write(ax, DECODER, ROW + 0.18, "decoder", 15)
    write(ax, DECODER, ROW - 0.2, r"$p_\theta(x\,|\,z)$", 15)
    box(ax, (LOGITS, ROW), (1.4, 1.0), LIKELIHOOD)
    write(ax, LOGITS, ROW + 0.18, "x_logits", 15, **CODE)
    write(ax, LOGITS, ROW - 0.25, "(batch, 784)", color=MUTED)


def _draw_loss(ax: Axes) -> None:
    box(ax, (MOMENTS, TERMS), (2.3, 0.9), LOSS)
    write(ax, MOMENTS, TERMS + 0.16, r"$\mathrm{KL}(q_\phi(z\,|\,x)\;\Vert\;p(z))$", 14)
    write(ax, MOMENTS, TERMS - 0.22, "exact: (batch,)", color=MUTED)
    box(ax, (LOGITS, TERMS), (1.7, 0.9), LOSS)
    write(ax, LOGITS, TERMS + 0.16, r"$-\log\,p_\theta(x\,|\,z)$", 14)
    write(ax, LOGITS, TERMS - 0.22, "one z: (batch,)", color=MUTED)
    box(ax, (LOSS_X, TERMS), (2.9, 1.5), LOSS, share=0.4, linewidth=3)
    write(ax, LOSS_X, TERMS + 0.47, "loss = −ELBO", 16, weight="bold")
    write(ax, LOSS_X, TERMS + 0.1, r"$=\,\mathrm{KL}\;-\;\log\,p_\theta(x\,|\,z)$", 15)
    write(ax, LOSS_X, TERMS - 0.27, "one-sample estimate,")
    write(ax, LOSS_X, TERMS - 0.5, "mean over the batch: ()")


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
    arrow(ax, [(left, 5.9), (left + 0.68, 5.9)])
    write(ax, left + 0.85, 5.9, "values, forward", 13, ha="left")
    arrow(ax, [(left + 0.68, 5.54), (left, 5.54)], BACK, linestyle=DASHED)
    write(ax, left + 0.85, 5.54, "gradients, backward", 13, ha="left")
    hint = (
        "Noise enters from outside:\n"
        r"gradients flow through $\mathtt{mu}$ and $\mathtt{log\_var}$,"
        "\n"
        r"not into $\mathtt{eps}$."
    )
    write(ax, Z + 1.15, NOISE, hint, 13, ha="left", linespacing=1.3)
    write(ax, X + 0.2, TARGET + 0.2, r"$\mathtt{x}$ is also the target", 13, ha="left", color=MUTED)


def main(folder: Path = Path(__file__).parent) -> None:
    """Writes the picture into a folder."""
    save(draw, SIZE, folder / "vae_diagram.png")


if __name__ == "__main__":
    main()
