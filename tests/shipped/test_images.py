"""MNIST against facts known from elsewhere."""

import hashlib
import socket

import numpy as np
import pytest
import torch

from vae_helpers.shipped import images as module
from vae_helpers.shipped.images import load_mnist

# How often each digit 0–9 occurs in the original label files.
LABEL_COUNTS = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}


@pytest.fixture(scope="module")
def mnist():
    return {split: load_mnist(split) for split in ("train", "test")}


@pytest.mark.parametrize("split", ["train", "test"])
def test_mnist_types_ranges_and_label_counts(mnist, split):
    images, labels = mnist[split]
    n = sum(LABEL_COUNTS[split])
    assert images.shape == (n, 784) and images.dtype == torch.float32
    assert labels.shape == (n,) and labels.dtype == torch.int64
    assert images.min() == 0 and images.max() == 1
    assert torch.bincount(labels).tolist() == LABEL_COUNTS[split]


def test_mnist_has_the_mean_and_std_that_everybody_normalizes_by(mnist):
    images = mnist["train"][0].double()
    assert images.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert images.std().item() == pytest.approx(0.3081, abs=5e-5)


@pytest.mark.parametrize("split", ["train", "test"])
def test_mnist_is_the_archive_in_order(mnist, split):
    images, labels = mnist[split]
    with np.load(module.MNIST_PATH) as archive:
        stored, stored_labels = archive[f"x_{split}"], archive[f"y_{split}"]
    for i in (0, 1, len(stored) - 1):
        np.testing.assert_allclose(images[i].reshape(28, 28), stored[i] / 255, rtol=1e-6)
        assert labels[i] == stored_labels[i]
    assert images.double().mul(255).round().sum().item() == stored.sum(dtype=np.int64)


def test_splits_default_and_share_no_first_image(mnist):
    assert torch.equal(load_mnist()[1], mnist["train"][1])
    assert not torch.equal(mnist["train"][0][0], mnist["test"][0][0])


def test_archive_is_the_one_of_the_published_checksum():
    digest = hashlib.sha256(module.MNIST_PATH.read_bytes()).hexdigest()
    assert digest == "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b[:5000] + b"?" + b[5001:], lambda b: b""])
def test_changed_archive_is_refused_with_the_remedy(tmp_path, monkeypatch, change):
    copy = tmp_path / "mnist.npz"
    copy.write_bytes(change(module.MNIST_PATH.read_bytes()))
    monkeypatch.setattr(module, "MNIST_PATH", copy)
    with pytest.raises(ValueError, match=r"mnist\.npz.*SHA-256.*git checkout"):
        load_mnist("test")


def test_missing_archive_is_told_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MNIST_PATH", tmp_path / "mnist.npz")
    with pytest.raises(FileNotFoundError, match=r"mnist\.npz.*git checkout"):
        load_mnist()


def test_loading_needs_no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert len(load_mnist("test")[0]) == 10_000
