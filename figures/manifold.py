"""Draws manifold.png: a part of the latent plane, decoded by the 2-D model of notebook 6."""

from __future__ import annotations

import torch
from _draw import script
from matplotlib.axes import Axes
from scipy import stats

from vae_helpers.pictures.plotting import draw_images
from vae_helpers.shipped.pretrained import load_pretrained

NUM_ROWS, NUM_COLS = 8, 22
SIZE = (9.9, 3.6)


def draw(ax: Axes) -> None:
    """Draws decoded images at quantiles of the prior: z1 grows to the right, z2 upwards."""
    across, up = (
        torch.tensor(stats.norm.ppf([(i + 0.5) / num for i in range(num)]), dtype=torch.float32)
        for num in (NUM_COLS, NUM_ROWS)
    )
    z = torch.cartesian_prod(-up, across).flip(-1)
    with torch.no_grad():
        images = load_pretrained("digits_2").mean(z)
    draw_images(ax.inset_axes((0, 0, 1, 1)), images, num_cols=NUM_COLS)


main = script(__file__, draw, SIZE)

if __name__ == "__main__":
    main()
