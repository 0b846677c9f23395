"""Images on disk: MNIST, an excerpt of Fashion-MNIST, and a reader's own in MNIST's file format."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_helpers.numerics._validate import as_path, told
from vae_helpers.shipped import idx

MNIST_PATH = Path(__file__).parent / "mnist" / "mnist.npz"
MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"
# A folder for `load_idx`: the first 1,000 test images of Fashion-MNIST, and no training images.
FASHION = Path(__file__).parent / "fashion"
_SPLITS = ("train", "test")


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
    """Loads images in MNIST's own file format: Fashion-MNIST, KMNIST, EMNIST, QMNIST, or your own.

    Of the files, names and content are taken in the forms in which they go around: `train-images-idx3-ubyte`
    and `train-labels-idx1-ubyte` (`t10k-…` or `test-…` for the test split), also with dots, after the name of
    a data set (`emnist-letters-train-…`) or in folders of their own names, packed by gzip, xz or bzip2 or
    not, whatever the ending says. Archives (zip, tar) are not opened. Pixels are bytes, black and white where
    they are but 0 and 1, or floats from 0 to 1. Files named EMNIST hold their images transposed: they are
    turned, while the labels stay (letters from 1). Of QMNIST's labels the class is taken.

    Args:
        folder: where the files of one data set lie. `FASHION` has a test split.
        split: "train" or "test".

    Returns:
        Images, float32 in [0, 1] of shape (n, height * width), and labels, int64 of shape (n,).

    Raises:
        TypeError: a folder that is no path.
        ValueError: an unknown split, several data sets, or a file that is not in this format; the message
            says which, what it is and what to do.
        FileNotFoundError: a file is missing; the message names it.
        PermissionError: a file that may not be read.
    """
    _check_split(split)
    return _to_tensors(*idx.load(as_path("folder", folder), split))


def _check_split(split: str) -> None:
    if not isinstance(split, str) or split not in _SPLITS:
        raise ValueError(f"split: expected 'train' or 'test', got {told(split)}")


def _to_tensors(images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    flat = torch.from_numpy(images.reshape(len(images), -1))
    flat = flat.float().div_(255) if flat.dtype == torch.uint8 else flat.float()
    return flat, torch.from_numpy(labels).long()
