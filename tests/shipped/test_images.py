"""MNIST against facts known from elsewhere, and IDX files that are written here."""

import gzip
import hashlib
import socket
import struct

import numpy as np
import pytest
import torch
from support.worlds import idx, write_idx

from vae_helpers.shipped import images as module
from vae_helpers.shipped.images import FASHION, load_idx, load_mnist

# How often each digit 0–9 occurs in the original label files.
LABEL_COUNTS = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}
# An excerpt of another size, in MNIST's file format.
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
LABELS = np.arange(250, 256, dtype=np.uint8)


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


@pytest.mark.parametrize(
    "name, digest",
    [
        ("images-idx3", "4dfe4b10393a3d71052654929920f988792269baf4f6da9f736342c20d5417b2"),
        ("labels-idx1", "af7938be5719422e8517551bf2d75db4819f3cf74292f252f03a241bc5e2ba64"),
    ],
)
def test_the_excerpt_of_fashion_is_the_one_that_was_cut(name, digest):
    assert hashlib.sha256((FASHION / f"t10k-{name}-ubyte.gz").read_bytes()).hexdigest() == digest


def test_the_excerpt_of_fashion_begins_as_everybody_knows_it():
    images, labels = load_idx(FASHION, "test")
    assert images.shape == (1000, 784) and images.min() == 0 and images.max() == 1
    assert labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]  # an ankle boot, a pullover, trousers, …
    assert torch.bincount(labels).tolist() == [107, 105, 111, 93, 115, 87, 97, 95, 95, 95]
    # All 70,000 have the mean 0.2861 and the standard deviation 0.3530.
    assert images.mean().item() == pytest.approx(0.286, abs=0.01)
    assert images.std().item() == pytest.approx(0.353, abs=0.01)


def test_the_excerpt_of_fashion_is_small_and_has_no_training_images():
    assert sum(path.stat().st_size for path in FASHION.iterdir()) < 500_000
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        load_idx(FASHION)


@pytest.mark.parametrize("split", ["valid", "Train", "", None])
def test_an_unknown_split_is_refused(tmp_path, split):
    for call in (lambda: load_mnist(split), lambda: load_idx(tmp_path, split)):
        with pytest.raises(ValueError, match=f"split: expected 'train' or 'test', got {split!r}"):
            call()


@pytest.mark.parametrize("as_folder", [str, lambda p: p], ids=["str", "Path"])
@pytest.mark.parametrize("gz", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_idx_images_need_not_be_28_by_28(tmp_path, split, gz, as_folder):
    write_idx(tmp_path, split, IMAGES, LABELS, gz)
    images, labels = load_idx(as_folder(tmp_path), split)
    assert images.dtype == torch.float32 and labels.dtype == torch.int64
    np.testing.assert_allclose(images, IMAGES.reshape(6, 20) / 255, rtol=1e-6)
    np.testing.assert_array_equal(labels, LABELS)


def test_idx_splits_are_not_mixed_up(tmp_path):
    write_idx(tmp_path, "test", IMAGES, LABELS)
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        load_idx(tmp_path, "train")


@pytest.mark.parametrize("missing", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
def test_a_missing_idx_file_is_told_by_both_names(tmp_path, missing):
    write_idx(tmp_path, "train", IMAGES, LABELS)
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{missing} or {missing}\.gz in .*{tmp_path.name}"):
        load_idx(tmp_path)


def test_a_missing_folder_of_idx_files_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="not_here"):
        load_idx(tmp_path / "not_here")


GOOD = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "IDX file of bytes with 3 axes"),
        (GOOD[:10], "IDX file of bytes with 3 axes"),
        (b"\x00\x00\x0d\x03" + GOOD[4:], "IDX file of bytes with 3 axes"),  # type float
        (b"\x01\x00\x08\x03" + GOOD[4:], "IDX file of bytes with 3 axes"),
        (idx(np.arange(6, dtype=np.uint8)), "IDX file of bytes with 3 axes"),  # labels
        (GOOD[:-1], r"expected 24 bytes of data for sizes \(2, 3, 4\), got 23"),
        (GOOD + b"\x00", r"expected 24 bytes of data for sizes \(2, 3, 4\), got 25"),
        (GOOD[:4] + struct.pack("<III", 2, 3, 4) + GOOD[16:], "bytes of data for sizes"),  # little-endian
        (GOOD[:4] + struct.pack(">III", 0, 3, 4), r"sizes \(0, 3, 4\)"),
    ],
)
@pytest.mark.parametrize("gz", [False, True], ids=["plain", "gz"])
def test_an_idx_file_in_another_format_is_refused(tmp_path, content, message, gz):
    write_idx(tmp_path, "train", content, LABELS, gz)
    with pytest.raises(ValueError, match=rf"train-images-idx3-ubyte.*{message}"):
        load_idx(tmp_path)


def test_more_labels_than_images_are_refused(tmp_path):
    write_idx(tmp_path, "train", IMAGES, np.zeros(7, np.uint8))
    with pytest.raises(ValueError, match=r"as many labels as images, got \(7,\), \(6, 5, 4\)"):
        load_idx(tmp_path)


PACKED = gzip.compress(bytes(range(256)) * 8)


@pytest.mark.parametrize(
    "content",
    [
        b"not a gzip file",
        PACKED[:-10],
        PACKED[:10] + b"\xff" + PACKED[11:],  # a block of a type that does not exist
        PACKED[:-8] + bytes([PACKED[-8] ^ 255]) + PACKED[-7:],  # the checksum
    ],
    ids=["foreign", "truncated", "block", "checksum"],
)
def test_a_damaged_gzip_file_is_refused(tmp_path, content):
    write_idx(tmp_path, "train", IMAGES, LABELS, gz=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz: expected a gzip file"):
        load_idx(tmp_path)
