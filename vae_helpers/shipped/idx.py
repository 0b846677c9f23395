"""Files in MNIST's format (IDX) as other people keep them: their names, their packing, what is in them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import re
import zlib
from pathlib import Path

import numpy as np

# The third byte of a file: the type of its numbers.
TYPES = {8: "u1", 9: "i1", 11: "i2", 12: "i4", 13: "f4", 14: "f8"}
WORDS = {
    "u1": "bytes",
    "i1": "signed bytes",
    "i2": "16-bit integers",
    "i4": "32-bit integers",
    "f4": "32-bit floats",
    "f8": "64-bit floats",
}
_SPLITS = {"train": ("train",), "test": ("t10k", "test")}
# MNIST's names, with dots or underscores for hyphens, perhaps after the name of the data set.
_NAME = re.compile(
    r"(?:(?P<data_set>.+)[-_.])?(?P<split>train|t10k|test)[-_.](?P<kind>images|labels)[-_.]idx\d"
    r"[-_.](?:ubyte|byte|short|int|float|double)(?:\.(?:gz|xz|bz2))?",
    re.IGNORECASE,
)
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar")
# Packed files by their beginning, whatever their name ends in.
_PACKED = {
    b"\x1f\x8b": ("gzip", gzip.decompress),
    b"\xfd7zXZ\0": ("xz", lzma.decompress),
    b"BZh": ("bzip2", bz2.decompress),
}
# What else has been met under these names.
_FOREIGN = {
    b"PK\x03\x04": "a zip archive (or .npz): unpack it",
    b"\x93NUMPY": "a file of numpy.save",
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file by 'git lfs pull'",
    b"\x1f\x8b": "a file that was packed twice: unpack it once",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
QMNIST_COLUMNS = 8  # of its table of labels; the first is the class


def load(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads the images and the labels of a split.

    Args:
        folder: where the files lie.
        split: "train" or "test".

    Returns:
        Images, of shape (n, height * width), bytes from 0 to 255 or floats in [0, 1], and labels, int64 of
        shape (n,).

    Raises:
        FileNotFoundError: no such file.
        PermissionError: a file or the folder may not be read.
        ValueError: more than one data set, or a file that is not what its name says.
    """
    paths = _find(folder, split)
    (path, images), (labels_path, labels) = ((p[0], _same(p)) for p in paths)
    images = _as_images(path, images)
    labels = _as_labels(labels_path, labels)
    if len(images) != len(labels):
        raise ValueError(
            f"{labels_path}: expected as many labels as images, got {labels.shape}, {images.shape} of {path}"
        )
    return images.reshape(len(images), -1), labels


def _find(folder: Path, split: str) -> tuple[list[Path], list[Path]]:
    """The files of images and of labels, each once or in several copies, of the one data set in a folder."""
    files: dict[str, dict[str, list[Path]]] = {}
    for path in _files(folder):
        name = _NAME.fullmatch(path.name)
        if name and name["split"].lower() in _SPLITS[split]:
            data_set = files.setdefault((name["data_set"] or "").lower(), {"images": [], "labels": []})
            data_set[name["kind"].lower()].append(path)
    if len(files) > 1:
        names = ", ".join(sorted(path.name for each in files.values() for path in sum(each.values(), [])))
        raise ValueError(
            f"folder: expected one data set in {folder}, got {names}; put the two files of one into a folder"
        )
    data_set, found = next(iter(files.items()), ("", {"images": [], "labels": []}))
    for kind, name in (("images", "images-idx3-ubyte"), ("labels", "labels-idx1-ubyte")):
        if not found[kind]:
            wanted = "-".join(filter(None, (data_set, _SPLITS[split][0], name)))
            hint = _hint(folder)
            raise FileNotFoundError(
                f"folder: expected {wanted} or {wanted}.gz in {folder}, found neither{hint}"
            )
    return found["images"], found["labels"]


def _files(folder: Path) -> list[Path]:
    """The files in a folder, and in folders within that are named like files: so some archives unpack."""
    if folder.exists() and not folder.is_dir():
        ask = ": unpack it and give the folder" if folder.name.lower().endswith(_ARCHIVES) else ""
        raise ValueError(f"folder: expected a folder, got the file {folder}{ask}")
    if not folder.is_dir():
        return []
    try:
        within = [path for path in folder.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)]
        places = [path for parent in (folder, *within) for path in parent.iterdir()]
        for path in places:
            if path.is_symlink() and not path.exists() and _NAME.fullmatch(path.name):
                raise FileNotFoundError(f"folder: {path} is a link to {path.readlink()}, which is not there")
        return sorted(path for path in places if path.is_file())
    except PermissionError as error:
        raise PermissionError(f"folder: expected one that may be read, got {error.filename}") from None


def _hint(folder: Path) -> str:
    """What lies in a folder in place of the files, and what to do."""
    if not folder.is_dir():
        return ": there is no such folder"
    for path in sorted(folder.glob("*/*")):
        if _NAME.fullmatch(path.name) and not _NAME.fullmatch(path.parent.name):  # those were searched
            return f"; some lie in {path.parent}: give that"
    names = sorted(path.name for path in folder.iterdir())
    if packed := [name for name in names if name.lower().endswith(_ARCHIVES)]:
        return f"; unpack {packed[0]} first"
    if arrays := [name for name in names if name.lower().endswith((".npz", ".npy", ".csv", ".mat"))]:
        return f"; {arrays[0]} is in another format, which is not read here"
    return f"; there are {', '.join(names[:8])}" if names else ": it is empty"


def _same(paths: list[Path]) -> np.ndarray:
    """The numbers of a file, of which there may be copies."""
    contents = [_content(path) for path in paths]
    for path, content in zip(paths[1:], contents[1:], strict=True):
        if content != contents[0]:
            raise ValueError(f"folder: expected one of {paths[0]} and {path}, which differ; take one away")
    return _numbers(paths[0], contents[0])


def _content(path: Path) -> bytes:
    """What a file holds, unpacked."""
    try:
        content = path.read_bytes()
    except PermissionError:
        raise PermissionError(f"{path}: expected a file that may be read; its owner can allow it") from None
    for start, (kind, unpack) in _PACKED.items():
        if content.startswith(start):
            try:
                return unpack(content)
            except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
                raise ValueError(
                    f"{path}: expected a {kind} file, got one that does not unpack ({error}); get it again"
                ) from None
    return content


def _numbers(path: Path, content: bytes) -> np.ndarray:
    """The array in an IDX file: two zero bytes, type, number of axes, sizes, data, high bytes first.

    Some programs write the sizes, or all of the head, with the low bytes first; of bytes these are taken,
    where the length of the file proves it.
    """
    head = content[:4]
    reverse = len(head) == 4 and head[2:] == b"\0\0" and head[:2] != b"\0\0"
    zeros, kind, axes = (head[2:], head[1], head[0]) if reverse else (head[:2], *(*head[2:], 0, 0)[:2])
    start = 4 + 4 * axes
    if zeros != b"\0\0" or kind not in TYPES or not axes or len(content) < start:
        raise ValueError(f"{path}: expected an IDX file, got {_foreign(content)}")
    dtype = np.dtype(TYPES[kind])
    ways = {
        order: [int(size) for size in np.frombuffer(content, f"{order}u4", axes, 4)]
        for order in ("<" if reverse else "><")
    }
    length = len(content) - start
    fitting = [order for order, sizes in ways.items() if dtype.itemsize * math.prod(sizes) == length > 0]
    if not fitting:
        sizes = next(iter(ways.values()))
        raise ValueError(
            f"{path}: expected {dtype.itemsize * math.prod(sizes)} bytes of data for sizes {tuple(sizes)}, "
            f"got {length}; {'the file is cut short, too long or damaged' if length else 'there are none'}"
        )
    if fitting[0] == "<" and dtype.itemsize > 1:
        raise ValueError(
            f"{path}: expected numbers with the high byte first, got sizes {tuple(ways['<'])} with the low "
            f"one first; write it anew with all of them turned, such as array.astype('>{TYPES[kind]}')"
        )
    array = np.frombuffer(content, dtype.newbyteorder(">"), offset=start).reshape(ways[fitting[0]])
    return array.astype(dtype)


def _foreign(content: bytes) -> str:
    """What a file is that is no IDX file."""
    if not content:
        return "an empty file"
    if content.lstrip()[:1] == b"<":
        return "a web page or XML: the download gave that in place of the file; get it again"
    if content[257:262] == b"ustar":
        return "a tar archive: unpack it"
    for start, words in _FOREIGN.items():
        if content.startswith(start):
            return words
    return f"the start {content[:4]!r}"


def _as_images(path: Path, array: np.ndarray) -> np.ndarray:
    """Bytes from 0 to 255 or floats in [0, 1]: the images of a file, one a row."""
    kind, shape = WORDS[array.dtype.str[1:]], array.shape
    if array.ndim == 1:
        raise ValueError(f"{path}: expected images, got {len(array)} numbers; are images and labels swapped?")
    if array.ndim == 4 and 1 in (shape[1], shape[3]):
        array = array.reshape(len(array), *(shape[2:] if shape[1] == 1 else shape[1:3]))
    if array.ndim > 3:
        raise ValueError(
            f"{path}: expected grey images of one number a pixel, got sizes {shape}; make colours grey first"
        )
    low, high = array.min(), array.max()
    if array.dtype.kind == "i":
        raise ValueError(
            f"{path}: expected bytes from 0 to 255, or floats from 0 to 1, got {kind} from {low} to {high}; "
            "write it anew as bytes from 0 to 255"
        )
    if array.dtype.kind == "f" and not (0 <= low and high <= 1):
        why = "standardized images? Bring them back to" if low < 0 else "bring them to"
        raise ValueError(f"{path}: expected floats from 0 to 1, got {low:g} to {high:g}: {why} grey values")
    # All official files of EMNIST hold columns where others hold rows; FEMNIST and notMNIST are others.
    if re.search(r"(^|[-_.])emnist", path.name.lower()):
        if array.ndim != 3:
            raise ValueError(f"{path}: expected 3 axes of EMNIST, whose images are transposed, got {shape}")
        array = array.transpose(0, 2, 1)
    if array.dtype.kind == "u" and high == 1:  # else they would all be black
        return array.astype(np.float32)
    return array


def _as_labels(path: Path, array: np.ndarray) -> np.ndarray:
    """The class of each image, from a list or QMNIST's table."""
    if array.ndim == 2 and array.dtype.str[1:] == "i4" and array.shape[1] == QMNIST_COLUMNS:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{path}: expected a label for each image, got sizes {array.shape}; "
            + ("are images and labels swapped?" if array.ndim > 2 else "write the class alone")
        )
    if array.dtype.kind == "f" or array.min() < 0:
        kind = WORDS[array.dtype.str[1:]]
        raise ValueError(f"{path}: expected whole numbers from 0, got {kind} from {array.min():g}")
    return array.astype(np.int64)
