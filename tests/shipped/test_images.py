"""MNIST against facts known from elsewhere, and IDX files that are written here."""

import bz2
import gzip
import hashlib
import lzma
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
        (b"", "expected an IDX file, got an empty file"),
        (GOOD[:10], "expected an IDX file, got the start"),
        (b"\x00\x00\x0d\x03" + GOOD[4:], r"expected 96 bytes of data for sizes \(2, 3, 4\)"),  # type float
        (b"\x00\x00\x0a\x03" + GOOD[4:], "expected an IDX file, got the start"),  # no type
        (b"\x01\x00\x08\x03" + GOOD[4:], "expected an IDX file, got the start"),
        (idx(np.arange(6, dtype=np.uint8)), "got 6 numbers; are images and labels swapped"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "got a web page"),
        (b"PK\x03\x04" + bytes(40), "got a zip archive"),
        (bytes(257) + b"ustar" + bytes(250), "got a tar archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (GOOD[:-1], r"expected 24 bytes of data for sizes \(2, 3, 4\), got 23"),
        (GOOD + b"\x00", r"expected 24 bytes of data for sizes \(2, 3, 4\), got 25"),
        (GOOD[:4] + struct.pack(">III", 2**31, 2**31, 4) + GOOD[16:], f"expected {2**64} bytes of data"),
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


# --- The files of other people ------------------------------------------------------------------------


def of(array, kind, order=">", head=None):
    """An IDX file of another type, in another order of bytes."""
    head = struct.pack(">HBB", 0, kind, array.ndim) if head is None else head
    sizes = struct.pack(f"{order}{array.ndim}I", *array.shape)
    return head + sizes + array.astype(array.dtype.newbyteorder(order)).tobytes()


def put(folder, images, labels=None, images_name="train-images-idx3-ubyte", **names):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / images_name).write_bytes(images)
    labels_name = names.get("labels_name", images_name.replace("images", "labels"))
    (folder / labels_name).write_bytes(idx(LABELS) if labels is None else labels)


def same(images, wanted):
    np.testing.assert_array_equal(images.numpy(), np.float32(wanted).reshape(len(images), -1))


GREY = np.float32(IMAGES) / np.float32(255)


def test_folders_may_have_the_names_of_the_files(tmp_path):
    for kind, content in (("images-idx3", idx(IMAGES)), ("labels-idx1", idx(LABELS))):
        (inner := tmp_path / f"train-{kind}-ubyte").mkdir()
        (inner / inner.name).write_bytes(content)
    images, labels = load_idx(tmp_path)
    same(images, GREY)
    assert labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    "name", ["train-images.idx3-ubyte", "TRAIN_IMAGES-idx3-ubyte.gz", "mine-train-images-idx3-ubyte"]
)
def test_names_may_have_dots_capitals_or_a_data_set(tmp_path, name):
    put(
        tmp_path,
        idx(IMAGES),
        images_name=name,
        labels_name=name.replace("images", "labels").replace("IMAGES", "LABELS"),
    )
    same(load_idx(tmp_path)[0], GREY)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress, bytes])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_file_is_unpacked_by_its_content_and_not_its_name(tmp_path, pack, ending):
    put(tmp_path, pack(idx(IMAGES)), images_name=f"train-images-idx3-ubyte{ending}")
    same(load_idx(tmp_path)[0], GREY)


@pytest.mark.parametrize("head", [b"\0\0\x08\x03", b"\x03\x08\0\0"])
def test_bytes_may_have_sizes_with_the_low_byte_first(tmp_path, head):
    put(tmp_path, of(IMAGES, 8, "<", head))
    same(load_idx(tmp_path)[0], GREY)


def test_images_of_emnist_are_turned_and_letters_count_from_one(tmp_path):
    letters = np.arange(1, 7, dtype=np.uint8)
    put(
        tmp_path,
        idx(IMAGES),
        idx(letters),
        "emnist-letters-train-images-idx3-ubyte",
        labels_name="emnist-letters-train-labels-idx1-ubyte",
    )
    images, labels = load_idx(tmp_path)
    same(images, GREY.swapaxes(1, 2))
    assert labels.tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", ["femnist", "notemnist"])
def test_other_images_whose_name_ends_alike_are_not_turned(tmp_path, name):
    names = {"labels_name": f"{name}-train-labels-idx1-ubyte"}
    put(tmp_path, idx(IMAGES), idx(np.arange(6, dtype=np.uint8)), f"{name}-train-images-idx3-ubyte", **names)
    same(load_idx(tmp_path)[0], GREY)


def test_of_qmnist_the_class_is_taken(tmp_path):
    table = np.arange(48, dtype=np.int32).reshape(6, 8)
    put(
        tmp_path,
        idx(IMAGES),
        of(table, 12),
        "qmnist-test-images-idx3-ubyte",
        labels_name="qmnist-test-labels-idx2-int",
    )
    assert load_idx(tmp_path, "test")[1].tolist() == [0, 8, 16, 24, 32, 40]


def test_bytes_zero_and_one_are_black_and_white(tmp_path):
    put(tmp_path, idx(IMAGES % 2))
    same(load_idx(tmp_path)[0], IMAGES % 2)


def test_flat_images_one_channel_and_floats_are_taken(tmp_path):
    for content in (idx(IMAGES.reshape(6, 20)), idx(IMAGES[:, None]), idx(IMAGES[..., None]), of(GREY, 13)):
        put(tmp_path, content)
        same(load_idx(tmp_path)[0], GREY)


@pytest.mark.parametrize(
    "content, message",
    [
        (of(IMAGES.astype(np.int8), 9), "expected bytes from 0 to 255, .*, got signed bytes from -"),
        (of(IMAGES.astype(np.int16), 11), "got 16-bit integers from "),
        (of(GREY - 0.5, 13), "expected floats from 0 to 1, got -0.5 to .*: standardized"),
        (of(np.float64(IMAGES), 14), "expected floats from 0 to 1, got "),
        (of(GREY, 13, "<"), "expected numbers with the high byte first"),
        (idx(np.repeat(IMAGES[..., None], 3, -1)), r"grey images of one number a pixel.*\(6, 5, 4, 3\)"),
    ],
)
def test_images_whose_grey_is_not_plain_are_told(tmp_path, content, message):
    put(tmp_path, content)
    with pytest.raises(ValueError, match=rf"train-images-idx3-ubyte: .*{message}"):
        load_idx(tmp_path)


@pytest.mark.parametrize(
    "content, message",
    [
        (idx(IMAGES), "are images and labels swapped"),
        (idx(np.eye(6, 10, dtype=np.uint8)), "write the class alone"),
        (of(np.float32(LABELS), 13), "expected whole numbers from 0, got 32-bit floats"),
        (of(-np.arange(6, dtype=np.int8), 9), "expected whole numbers from 0, got signed bytes from -5"),
    ],
)
def test_labels_that_are_none_are_told(tmp_path, content, message):
    put(tmp_path, idx(IMAGES), content)
    with pytest.raises(ValueError, match=rf"train-labels-idx3-ubyte: .*{message}"):
        load_idx(tmp_path)


def test_several_data_sets_in_one_folder_are_told(tmp_path):
    put(tmp_path, idx(IMAGES))
    put(tmp_path, idx(IMAGES), images_name="emnist-digits-train-images-idx3-ubyte")
    with pytest.raises(ValueError, match="^folder: expected one data set in .*emnist-digits-train-images"):
        load_idx(tmp_path)


def test_copies_are_taken_only_while_they_agree(tmp_path):
    put(tmp_path, idx(IMAGES))
    put(tmp_path, gzip.compress(idx(IMAGES)), images_name="train-images.idx3-ubyte.gz")
    same(load_idx(tmp_path)[0], GREY)
    put(tmp_path, idx(IMAGES[::-1].copy()), images_name="train-images.idx3-ubyte.gz")
    with pytest.raises(ValueError, match="^folder: expected one of .* which differ; take one away"):
        load_idx(tmp_path)


@pytest.mark.parametrize(
    "name, message",
    [
        ("archive.zip", "unpack archive.zip first"),
        ("mnist.npz", "mnist.npz is in another format"),
        ("raw/train-images-idx3-ubyte", "some lie in .*raw: give that"),
        ("train-labels-idx1-ubyte/train-labels-idx1-ubyte", "there are train-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte (1)", r"there are train-images-idx3-ubyte \(1\)"),
    ],
)
def test_what_lies_there_instead_is_told(tmp_path, name, message):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=f"found neither.*{message}"):
        load_idx(tmp_path)


def test_an_archive_for_a_folder_is_told(tmp_path):
    (tmp_path / "mnist.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match="folder: expected a folder, got the file .*: unpack it and give"):
        load_idx(tmp_path / "mnist.zip")


def test_a_link_to_nothing_is_told(tmp_path):
    put(tmp_path, idx(IMAGES))
    (tmp_path / "train-images-idx3-ubyte").rename(tmp_path / "images")
    (tmp_path / "train-images-idx3-ubyte").symlink_to("images")
    same(load_idx(tmp_path)[0], GREY)
    (tmp_path / "images").unlink()
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte is a link to images, which is not"):
        load_idx(tmp_path)


PACKED = gzip.compress(bytes(range(256)) * 8)


@pytest.mark.parametrize(
    "content",
    [
        PACKED + b"more",
        PACKED[:-10],
        PACKED[:10] + b"\xff" + PACKED[11:],  # a block of a type that does not exist
        PACKED[:-8] + bytes([PACKED[-8] ^ 255]) + PACKED[-7:],  # the checksum
    ],
    ids=["longer", "truncated", "block", "checksum"],
)
def test_a_damaged_gzip_file_is_refused(tmp_path, content):
    write_idx(tmp_path, "train", IMAGES, LABELS, gz=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz: expected a gzip file"):
        load_idx(tmp_path)
