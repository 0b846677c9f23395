"""MNIST, which is shipped with the course."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from torch import Tensor

from vae_helpers.models.data import check_split, to_tensors

MNIST_PATH = Path(__file__).parent / "mnist" / "mnist.npz"
MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"


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
    check_split(split)
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
        return to_tensors(archive[f"x_{split}"], archive[f"y_{split}"])
