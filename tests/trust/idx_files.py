"""Folders of images as other people have them: each is loaded exactly, or refused with the file's name.

A seeded generator makes them, over names, packing, types, axes and orders of bytes; half of them with one
fault. What should come out is known from how the file was written, by `struct` and NumPy alone.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trust.ledger import Row
from vae_helpers.shipped.images import load_idx

FOLDERS = 6000
NOBODY = 65534  # a user without rights
CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}
NAMES = (  # of the images in the split "train"; those of the labels follow
    "train-images-idx3-ubyte",
    "train-images.idx3-ubyte",
    "TRAIN-IMAGES-IDX3-UBYTE",
    "train_images_idx3_ubyte",
    "mine-train-images-idx3-ubyte",
    "emnist-letters-train-images-idx3-ubyte",
    "qmnist-train-images-idx3-ubyte",
)
ENDINGS = ("", ".gz", ".xz", ".bz2")  # which need not be true
PIXELS = (  # faults of what is written for the images
    "signed bytes",
    "16-bit integers",
    "standardized",
    "floats to 255",
    "not a number",
    "colours",
    "five axes",
    "no images",
)
FAULTS = (
    *PIXELS,
    "cut short",
    "too long",
    "empty",
    "web page",
    "zip archive",
    "tar archive",
    "picture",
    "array of NumPy",
    "one label less",
    "images and labels swapped",
    "missing",
    "missing, a zip archive beside",
    "link to nothing",
    "another file of the same name",
    "another data set",
    "not to be read",
    "low bytes first, wider numbers",
    "labels below zero",
    "labels as floats",
    "one-hot labels",
    "bit of the head",
    "bit of a packed file",
)


@dataclass
class Try:
    """A folder that was made.

    Attributes:
        folder: where it lies.
        split: which split of it is asked for.
        images, labels: what should come out, float32 of shape (n, D) and whole numbers.
        fault: what is wrong with it, if anything.
        file: what a refusal has to name.
        closed: a file that nobody may read.
    """

    folder: Path
    split: str
    images: np.ndarray
    labels: np.ndarray
    fault: str | None
    file: str = ""
    closed: Path | None = None
    kinds: list[str] = field(default_factory=list)


def idx(array: np.ndarray, order: str = ">", whole_head: bool = False) -> bytes:
    """An IDX file: two zero bytes, the type, the number of axes, sizes, data."""
    head = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim])
    sizes = struct.pack(f"{order}{array.ndim}I", *array.shape)
    return (
        (head[::-1] if whole_head else head) + sizes + array.astype(array.dtype.newbyteorder(order)).tobytes()
    )


def make(rng: np.random.Generator, folder: Path, fault: str | None) -> Try:
    """Makes a folder with at most one fault."""
    n, height, width = (int(size) for size in rng.integers(2, 7, 3))
    split = str(rng.choice(["train", "test"]))
    name = str(rng.choice(NAMES))
    if split == "test":
        here = "test" if "mnist" in name else str(rng.choice(["t10k", "test"]))
        name = name.replace("train", here).replace("TRAIN", here.upper())
    labels_name = name.replace("images", "labels").replace("IMAGES", "LABELS")
    grey = rng.integers(0, 256, (n, height, width), np.uint8)
    grey[0, 0, 0] = 255  # so that it is not black and white by chance
    labels = rng.integers(0, 256, n)

    # What is written of the images, and what should come of it.
    form = str(rng.choice(["bytes", "bytes", "black and white", "f4", "f8"]))
    stored = {"bytes": grey, "black and white": (grey % 2).astype(np.uint8)}.get(form)
    if stored is None:
        stored = (grey / np.float64(255)).astype(form)
    wanted = stored.astype(np.float32) / np.float32(255 if form == "bytes" else 1)
    if name.startswith("emnist"):
        wanted = wanted.transpose(0, 2, 1)
    shape = str(rng.choice(["three axes", "flat", "one channel", "one channel, last"]))
    if shape == "flat" and not name.startswith("emnist"):
        stored = stored.reshape(n, -1)
    elif shape != "three axes" and shape != "flat":
        stored = stored[:, None] if shape == "one channel" else stored[..., None]
    head = {}
    if form in ("bytes", "black and white") and rng.random() < 0.25:
        head = {"order": "<", "whole_head": bool(rng.random() < 0.5)}

    # And of the labels.
    if name.startswith("qmnist"):
        table = rng.integers(0, 1000, (n, 8)).astype(np.int32)
        table[:, 0] = labels
        kept, labels_name = table, labels_name.replace("idx3-ubyte", "idx2-int")
    else:
        kind = str(rng.choice(["u1", "i2", "i4"]))
        kept, labels_name = labels.astype(kind), labels_name.replace("idx3", "idx1").replace("IDX3", "IDX1")

    made = Try(folder, split, wanted.reshape(n, -1), labels, fault, name)
    made.kinds = [name, form, shape, f"{head.get('order', '>')}"]
    if fault == "signed bytes":
        stored = np.where(grey == 255, 200, grey).astype(np.uint8).view(np.int8)
    elif fault == "16-bit integers":
        stored = grey.astype(np.int16) * 100
    elif fault == "standardized":
        stored = ((grey / 255 - 0.1307) / 0.3081).astype(np.float32)
        stored[0, 0, 1] = np.float32(-0.1307 / 0.3081)
    elif fault == "floats to 255":
        stored = grey.astype(np.float32)
    elif fault == "not a number":
        stored = (grey / 255).astype(np.float32)
        stored[-1, -1, -1] = np.nan
    elif fault == "colours":
        stored = np.repeat(grey[..., None], 3, axis=-1)
    elif fault == "five axes":
        stored = grey[:, None, None]
    elif fault == "low bytes first, wider numbers":
        stored, head = (grey / 255).astype("f4"), {"order": "<"}
    elif fault == "no images":
        stored = np.zeros((0, height, width), np.uint8)
    if fault in PIXELS:
        head = {}
    if fault == "one label less":
        kept = kept[:-1]
    elif fault == "labels below zero":
        kept = -1 - labels.astype(np.int32)
    elif fault == "labels as floats":
        kept = labels.astype(np.float32)
    elif fault == "one-hot labels":
        kept = np.eye(10, dtype=np.uint8)[labels % 10]
    if fault in ("one label less", "labels below zero", "labels as floats", "one-hot labels"):
        made.file = labels_name

    content, tags = idx(stored, **head), idx(kept)
    if fault == "images and labels swapped":
        content, tags = tags, content
    elif fault == "cut short":
        content = content[: int(rng.integers(1, len(content)))]
    elif fault == "too long":
        content += bytes(rng.integers(0, 256, int(rng.integers(1, 9)), np.uint8))
    elif fault == "bit of the head":
        content = flipped(content, int(rng.integers(0, 8 * (4 + 4 * stored.ndim))))
    elif fault in OTHER:
        content = OTHER[fault]()

    packed, ending = str(rng.choice(list(PACK))), str(rng.choice(ENDINGS))
    if fault == "bit of a packed file":
        packed = str(rng.choice(list(PACK)[1:]))
    made.kinds += [f"{packed} as {ending or 'no ending'}"]
    content = PACK[packed](content)
    if fault == "bit of a packed file":
        content = flipped(content, int(rng.integers(0, 8 * len(content))))
    nested = rng.random() < 0.2  # as Kaggle's archives unpack
    made.kinds += ["in folders of their names" if nested else "side by side"]
    path = write(folder, name + ending, content, nested)
    tag_path = write(
        folder, labels_name + str(rng.choice(ENDINGS)), PACK[str(rng.choice(list(PACK)))](tags), nested
    )

    if fault == "missing":
        (gone := path if rng.random() < 0.5 else tag_path).unlink()
        made.file = "labels" if gone == tag_path else "images"
    elif fault == "missing, a zip archive beside":
        path.unlink()
        (folder / "archive.zip").write_bytes(OTHER["zip archive"]())
        made.file = "archive.zip"
    elif fault == "link to nothing":
        path.unlink()
        path.symlink_to(folder / "elsewhere")
    elif fault == "another file of the same name":
        write(folder, name + (".xz" if ending != ".xz" else ".gz"), idx(stored[::-1][:1]), nested)
    elif fault == "another data set":
        write(folder, f"theirs-{name}", idx(stored), False)
    elif fault == "not to be read":
        path.chmod(0)
        made.closed = path
    elif fault is None and rng.random() < 0.2:  # harmless: a link, a copy, another file
        extra = str(rng.choice(["link", "copy", "other file"]))
        made.kinds.append(extra)
        if extra == "link":
            path.rename(folder / "elsewhere")
            path.symlink_to(folder / "elsewhere")
        elif extra == "copy":
            write(folder, name + (".gz" if ending != ".gz" else ""), idx(stored, **head), nested)
        else:
            (folder / "mnist.npz").write_bytes(b"PK")
    return made


def write(folder: Path, name: str, content: bytes, nested: bool) -> Path:
    """Writes a file into the folder, or into one of its own name there."""
    parent = folder / name.removesuffix(".gz") if nested else folder
    if parent.is_file() or (parent / name).is_dir():
        parent = folder / (name + "s")
    parent.mkdir(exist_ok=True)
    (parent / name).write_bytes(content)
    return parent / name


def flipped(content: bytes, bit: int) -> bytes:
    """The same with one bit turned."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _zip() -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("../../train-images-idx3-ubyte", b"")
    return buffer.getvalue()


def _tar() -> bytes:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("/tmp/train-images-idx3-ubyte"))
    return buffer.getvalue()


def _npy() -> bytes:
    np.save(buffer := io.BytesIO(), np.zeros((2, 3, 3), np.uint8))
    return buffer.getvalue()


OTHER: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "web page": lambda: b"<!DOCTYPE html><html><title>Sign in</title></html>",
    "zip archive": _zip,
    "tar archive": _tar,
    "picture": lambda: b"\x89PNG\r\n\x1a\n" + bytes(60),
    "array of NumPy": _npy,
}


@contextmanager
def nobody() -> Iterator[None]:
    """Without root's right to read everything, if this is root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def judge(made: Try) -> str:
    """What went wrong with it; empty if it was loaded exactly, or refused as it should."""
    may_load = made.fault in (None, "bit of the head", "bit of a packed file")
    try:
        if made.closed is not None:
            with nobody():
                images, labels = load_idx(made.folder, made.split)
        else:
            images, labels = load_idx(made.folder, made.split)
    except (ValueError, FileNotFoundError, PermissionError) as error:
        if made.fault is None:
            return f"refused: {error}"
        return "" if made.file.lower() in str(error).lower() else f"{made.file} is not named: {error}"
    except Exception as error:  # whatever else comes is what is looked for
        return f"{type(error).__name__}: {error}"
    exact = np.array_equal(images, made.images) and np.array_equal(labels, made.labels)
    if exact and may_load:
        return ""
    return "wrong numbers" if may_load else f"loaded in spite of: {made.fault}"


def rows(share: float = 1.0) -> list[Row]:
    """Makes and loads the folders: as many without a fault as with one."""
    rng = np.random.default_rng(190)
    tried, failed, kinds = Counter(), Counter(), {"sound": set(), "fault": set()}
    worst: dict[str, str] = {}
    for number in range(max(2 * len(FAULTS), round(share * FOLDERS))):
        fault = FAULTS[number // 2 % len(FAULTS)] if number % 2 else None
        what = "fault" if fault else "sound"
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o755)
            made = make(rng, Path(place), fault)
            problem = judge(made)
        tried[what] += 1
        kinds[what].add(fault or tuple(made.kinds))
        if problem:
            failed[what] += 1
            worst.setdefault(what, f"{', '.join(made.kinds)}: {problem}")
    return [
        Row(
            "Images in the forms in which they go around are loaded exactly, to the last bit",
            tried["sound"],
            "folders",
            failed["sound"],
            worst.get(
                "sound", f"{len(kinds['sound']):,} combinations of names, packing, types, axes and order"
            ),
        ),
        Row(
            "Files that are damaged, or whose meaning is not plain, are refused and named; none loads wrong "
            "numbers (a changed pixel of an unpacked file cannot be seen: the format has no checksum)",
            tried["fault"],
            "folders",
            failed["fault"],
            worst.get("fault", f"{len(kinds['fault'])} kinds of faults"),
        ),
    ]
