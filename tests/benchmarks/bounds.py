"""Quadrature and importance bounds beside a loop over images and beside their matrix products alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from harness import Row, in_turn, ratio

from vae_helpers.models import VAE, binarize, importance_bounds, iwae, quadrature
from vae_helpers.shipped import load_mnist, load_pretrained

NUM_GRID, NUM_IMAGES, NUM_SAMPLES = 200, 20, 1000


def loop_quadrature(model: VAE, x: torch.Tensor) -> None:
    """The trapezoidal sum of one image after the other, as one writes it down."""
    axis = torch.linspace(-5, 5, NUM_GRID)
    z = torch.cartesian_prod(axis, axis)
    log_prior = -0.5 * (z**2).sum(-1) - math.log(2 * math.pi)
    for image in x:
        torch.logsumexp(model.log_likelihood(image, z) + log_prior, dim=0)


def decoder_products(model: VAE, rows: int, pairs: int = 0) -> Callable[[], None]:
    """The matrix products of decoding so many z, and of all pairs with so many images; to be called."""
    size, layers = min(rows, 2000), model.decoder[::2]
    inputs = [torch.rand(size, layer.in_features) for layer in layers]
    outputs, images = torch.rand(size, model.data_dim), torch.rand(model.data_dim, max(pairs, 1))

    @torch.no_grad()
    def run() -> None:
        for _ in range(math.ceil(rows / size)):
            for x, layer in zip(inputs, layers, strict=True):
                x @ layer.weight.T
            if pairs:
                outputs @ images

    return run


@torch.no_grad()
def measure(rounds: int) -> dict[str, list[Row]]:
    """Both estimates of log p(x), of the shipped models."""
    x = binarize(load_mnist("test")[0][:NUM_IMAGES], torch.Generator().manual_seed(1))
    plane, deep = load_pretrained("digits_2"), load_pretrained("digits_20")
    generator = torch.Generator().manual_seed(2)
    points = NUM_GRID**2

    def loop_bounds() -> None:
        for image in x:
            iwae(deep, image[None], NUM_SAMPLES, generator)

    ours, loop, floor = in_turn(
        {
            "quadrature": lambda: quadrature(plane, x, NUM_GRID) and None,
            "a loop over images": lambda: loop_quadrature(plane, x),
            "its matrix products": decoder_products(plane, points, NUM_IMAGES),
        },
        rounds,
    )
    own, each, least = in_turn(
        {
            "importance_bounds": lambda: importance_bounds(deep, x, (NUM_SAMPLES,), generator) and None,
            "a loop over images": loop_bounds,
            "its matrix products": decoder_products(deep, NUM_IMAGES * NUM_SAMPLES),
        },
        rounds,
    )
    return {
        f"log p(x) of {NUM_IMAGES} images on {NUM_GRID} × {NUM_GRID} points": [
            *(ours, loop, floor),
            ratio("the loop over ours", loop, ours),
            ratio("ours over its products", ours, floor),
        ],
        f"Importance bounds of {NUM_IMAGES} images, {NUM_SAMPLES:,} draws": [
            *(own, each, least),
            ratio("the loop over ours", each, own),
            ratio("ours over its products", own, least),
        ],
    }
