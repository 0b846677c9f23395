"""Images on disk: MNIST, an excerpt of Fashion-MNIST, and a reader's own in MNIST's file format."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_helpers.models.storage import as_path

MNIST_PATH = Path(__file__).parent / "mnist" / "mnist.npz"
MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"
# A folder for `load_idx`: the first 1,000 test images of Fashion-MNIST, and no training images.
FASHION = Path(__file__).parent / "fashion"
_IDX_PREFIX = {"train": "train", "test": "t10k"}


def load_mnist(split: str = "train") -> tuple[Tensor, Tensor]:
    """Loads MNIST from the archive inside the package; the network is never used.

    Args:
        split: "train" (60,000 images) or "test" (10,000 images).

    Returns:
        Images, float32 in [0, 1] of shape (n, 784), and labels, int64 of shape (n,).

    Raises:
        ValueError: an unknown split, or an archive that is not the one that was shipped.
        FileNotFoundError: the archive is missing.
    """
    _check_split(split)
    if not MNIST_PATH.exists():
        raise FileNotFoundError(f"{MNIST_PATH}: missing; restore it with 'git checkout -- {MNIST_PATH.name}'")
    content = MNIST_PATH.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != MNIST_SHA256:
        raise ValueError(
            f"{MNIST_PATH}: expected SHA-256 {MNIST_SHA256}, got {digest}; the file was changed or cut "
            f"short: restore it with 'git checkout -- {MNIST_PATH.name}' in its folder"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return _to_tensors(archive[f"x_{split}"], archive[f"y_{split}"])


def load_idx(folder: str | Path, split: str = "train") -> tuple[Tensor, Tensor]:
    """Loads images in MNIST's own file format: Fashion-MNIST, KMNIST, or your own.

    Args:
        folder: where the files lie: `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or
            `t10k-…` for the test split, gzipped (`.gz`) or not. `FASHION` has a test split.
        split: "train" or "test".

    Returns:
        Images, float32 in [0, 1] of shape (n, height * width), and labels, int64 of shape (n,).

    Raises:
        ValueError: an unknown split, or a file that is not in this format.
        FileNotFoundError: a file is missing; the message lists the names that were tried.
    """
    _check_split(split)
    prefix = _IDX_PREFIX[split]
    folder = as_path("folder", folder)
    images = _read_idx(folder, f"{prefix}-images-idx3-ubyte", num_axes=3)
    labels = _read_idx(folder, f"{prefix}-labels-idx1-ubyte", num_axes=1)
    if len(images) != len(labels):
        raise ValueError(f"{folder}: expected as many labels as images, got {labels.shape}, {images.shape}")
    return _to_tensors(images, labels)


def _check_split(split: str) -> None:
    if not isinstance(split, str) or split not in _IDX_PREFIX:
        raise ValueError(f"split: expected 'train' or 'test', got {split!r}")


def _to_tensors(images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
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
