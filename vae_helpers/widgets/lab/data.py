"""The Lab's images: MNIST at 14 × 14 in four levels of grey, of which the upper bit is black and white."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_helpers.numerics._validate import as_count
from vae_helpers.shipped.images import load_mnist

SIDE = 14  # pixels; half of MNIST's
NUM_TRAIN, NUM_TEST = 5000, 500


def make_data(num_train: int = NUM_TRAIN, num_test: int = NUM_TEST) -> dict[str, Any]:
    """What the page trains on and tests with: the first images of MNIST's two splits.

    Each pixel is the mean of 2 × 2 pixels of MNIST, rounded to 0, 1/3, 2/3 or 1. It is written as two bits:
    the upper one says whether the mean is at least one half, and is the black-and-white image.

    Args:
        num_train: number of training images.
        num_test: number of test images.

    Returns:
        What can be written as JSON: "side", and for "train" and "test" each a dictionary of "count", "upper"
        and "lower" (the bits of all images, packed as by `numpy.packbits`, in base64) and "labels" (one
        digit an image, as a string).

    Raises:
        ValueError: a number that is no whole number from 1 to the size of the split.
    """
    sizes = {"train": as_count("num_train", num_train), "test": as_count("num_test", num_test)}
    return {"side": SIDE} | {split: _pack(split, size) for split, size in sizes.items()}


def levels(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Images of 28 × 28 pixels in [0, 1], shape (n, 784), as levels 0 to 3 of 14 × 14, shape (n, 196)."""
    means = images.reshape(-1, SIDE, 2, SIDE, 2).astype(np.float64).mean(axis=(2, 4))
    return np.floor(3 * means + 0.5).astype(np.uint8).reshape(-1, SIDE**2)


def _pack(split: str, size: int) -> dict[str, Any]:
    images, labels = load_mnist(split)
    if size > len(images):
        raise ValueError(f"num_{split}: expected at most {len(images)} images, got {size}")
    grey = levels(images[:size].numpy())
    bits = {"upper": grey >> 1, "lower": grey & 1}
    packed = {name: base64.b64encode(np.packbits(plane).tobytes()).decode() for name, plane in bits.items()}
    return {"count": size, "labels": "".join(map(str, labels[:size].tolist())), **packed}
