"""Draws samples.png: random latent vectors, decoded by the model of notebook 6."""

from __future__ import annotations

from pathlib import Path

import torch
from _draw import save
from matplotlib.axes import Axes

from vae_helpers.plotting import draw_images
from vae_helpers.pretrained import load_pretrained

SIZE = (9.8, 2.0)


def draw(ax: Axes) -> None:
    """Draws three rows of fifteen images, each from one draw of the prior."""
    samples = load_pretrained("digits_20").sample(45, torch.Generator().manual_seed(3))
    draw_images(ax, samples, num_cols=15)


def main(folder: Path = Path(__file__).parent) -> None:
    """Writes the picture into a folder."""
    save(draw, SIZE, folder / "samples.png")


if __name__ == "__main__":
    main()
