"""A reader's own images in MNIST's file format, and black-and-white ones drawn from grey ones (PyTorch)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_helpers.models._validate import check_images, fresh_generator

_IDX_PREFIX = {"train": "train", "test": "t10k"}


def load_idx(folder: str | Path, split: str = "train") -> tuple[Tensor, Tensor]:
    """Loads images in MNIST's own file format: Fashion-MNIST, KMNIST, or your own.

    Args:
        folder: where the files lie: `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or
            `t10k-…` for the test split, gzipped (`.gz`) or not.
        split: "train" or "test".

    Returns:
        Images, float32 in [0, 1] of shape (n, height * width), and labels, int64 of shape (n,).

    Raises:
        ValueError: an unknown split, or a file that is not in this format.
        FileNotFoundError: a file is missing; the message lists the names that were tried.
    """
    check_split(split)
    prefix = _IDX_PREFIX[split]
    images = _read_idx(Path(folder), f"{prefix}-images-idx3-ubyte", num_axes=3)
    labels = _read_idx(Path(folder), f"{prefix}-labels-idx1-ubyte", num_axes=1)
    if len(images) != len(labels):
        raise ValueError(f"{folder}: expected as many labels as images, got {labels.shape}, {images.shape}")
    return to_tensors(images, labels)


def binarize(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draws black-and-white images: each pixel is 1 with a probability equal to its grey value.

    Args:
        images: grey values in [0, 1], any shape.
        generator: where the randomness comes from; None takes fresh entropy, so that every
            call differs (the global state is never touched).

    Returns:
        A float tensor of zeros and ones of the same shape.

    Raises:
        ValueError: values outside [0, 1], NaN, or an empty tensor.
        TypeError: not a floating-point tensor.

    Source: Salakhutdinov & Murray 2008, section 4 (stochastic binarization of MNIST).
    """
    check_images(images)
    # Uniform numbers and a comparison: the same zeros and ones on every machine.
    uniform = torch.rand(
        images.shape, generator=fresh_generator(generator, images.device), device=images.device
    )
    return (uniform < images).to(images.dtype)


def check_split(split: str) -> None:
    """Raises ValueError if `split` is neither "train" nor "test"."""
    if not isinstance(split, str) or split not in _IDX_PREFIX:
        raise ValueError(f"split: expected 'train' or 'test', got {split!r}")


def to_tensors(images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Bytes as flat images in [0, 1], float32, and as labels, int64."""
    flat = torch.from_numpy(images.reshape(len(images), -1))
    return flat.float().div_(255), torch.from_numpy(labels).long()


def _read_idx(folder: Path, name: str, num_axes: int) -> np.ndarray:
    """Reads one IDX file: two zero bytes, type 8 (uint8), number of axes, sizes, data."""
    candidates = [folder / name, folder / f"{name}.gz"]
    path = next((p for p in candidates if p.exists()), None)
    if path is None:
        raise FileNotFoundError(f"folder: expected {name} or {name}.gz in {folder}, found neither")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: expected a gzip file, got one that does not unpack ({error})") from None
    head = 4 + 4 * num_axes
    if len(content) < head or content[:4] != bytes([0, 0, 8, num_axes]):
        raise ValueError(
            f"{path}: expected an IDX file of bytes with {num_axes} axes, got the start {content[:4]!r}"
        )
    sizes = np.frombuffer(content, ">u4", count=num_axes, offset=4).astype(int)
    if len(content) - head != sizes.prod() or sizes.prod() == 0:
        raise ValueError(
            f"{path}: expected {sizes.prod()} bytes of data for sizes {tuple(sizes.tolist())}, "
            f"got {len(content) - head}"
        )
    return np.frombuffer(content, np.uint8, offset=head).reshape(sizes).copy()
