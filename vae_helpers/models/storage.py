"""Files and folders that are whole or not there: models, the state of a training, what commands write."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import load as deserialized
from safetensors.torch import save as serialized
from torch import Tensor, nn

from vae_helpers.models._validate import check_model
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import as_path, told

# What an optimizer keeps for each parameter.
_KEPT = {torch.optim.Adam: ("exp_avg", "exp_avg_sq", "step"), torch.optim.Muon: ("momentum_buffer",)}


_DIGEST = "sha256"  # in a file's metadata: of all else that is in it
# Of this machine, or of a container on it, whose process numbers say which unfinished files nobody is
# writing any more.
_PROCESSES = Path("/proc/self/ns/pid")
_NODE = hashlib.sha256(
    f"{platform.node()} {os.stat(_PROCESSES).st_ino if _PROCESSES.exists() else ''}".encode()
).hexdigest()[:12]
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # in which weights may be stored


def write(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file beside its place and renames it; a checksum in it tells a later damage.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: it cannot be written, as on a full disk; the message names the file.
    """
    content = serialized(tensors, metadata | {_DIGEST: _digest(tensors, metadata)})
    with whole_file(path) as temporary:
        temporary.write_bytes(_in_order(content))


def _in_order(content: bytes) -> bytes:
    """The same file with its metadata sorted, whose order is left to chance otherwise."""
    header, start = _header(content)
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # as safetensors does, so that the numbers stay aligned
    return len(text).to_bytes(8, "little") + text + content[start:]


def _header(content: bytes) -> tuple[dict[str, Any], int]:
    """What stands before the numbers of a file, and where these begin."""
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), start


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """A SHA-256 over names, types, shapes, numbers and metadata."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), tensor.shape]).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write to, renamed to it at the end and deleted after an error.

    What a process that was killed left of the same file is taken away.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: it cannot be written, as on a full disk; the message names the file, whose content stays.
        TypeError: what is no path.
        ValueError: the path is a folder.
    """
    path = as_path("path", path)
    check_folder(path)
    remove_leftovers(path)
    temporary = path.with_name(f"{path.name}.{_NODE}-{os.getpid()}-{uuid4().hex[:12]}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Deletes unfinished writings of a file whose processes, on this machine, have ended."""
    if os.name != "posix":  # elsewhere there is no harmless way to ask for a process
        return
    for left in path.parent.glob(f"{glob.escape(path.name)}.{_NODE}-*-*.part"):
        if not _runs(left.name.rsplit("-", 2)[1]):
            with suppress(OSError):  # gone already, or another user's
                left.unlink()


def _runs(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, OverflowError, PermissionError):
        return True  # not of this kind, or another user's
    except ProcessLookupError:
        return False
    return True


@contextmanager
def whole_folder(path: str | Path, mark: str, name: str = "path") -> Iterator[Path]:
    """A folder beside `path` to make and fill, which takes its place at the end or vanishes after an error.

    The file `mark` in it lists what was made. A folder is exchanged only while it holds just that, unchanged.

    Args:
        path: the folder; those that it lies in are made.
        mark: name of a file that no other kind of folder has.
        name: the argument that an error names.

    Raises:
        FileExistsError: `path` holds something else, before or at the end.
    """
    path = as_path(name, path).resolve()
    _check_made_here(path, mark, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    made, old = (path.with_name(f"{path.name}.{uuid4().hex}.{kind}") for kind in ("part", "old"))
    try:
        yield made
        (made / mark).write_text(json.dumps(_contents(made), indent=0) + "\n", encoding="utf-8")
        _check_made_here(path, mark, name)
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(made, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _check_made_here(folder: Path, mark: str, name: str) -> None:
    """Raises FileExistsError if anything would be lost with the folder."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    wanted = f"{name}: expected an empty folder, or what was made there before ({mark}), got {folder}"
    try:
        listed = dict(json.loads((folder / mark).read_bytes()))
    except (OSError, TypeError, ValueError):
        raise FileExistsError(wanted) from None
    there = _contents(folder)
    if other := sorted(file for file in there.keys() - {mark} if there[file] != listed.get(file)):
        raise FileExistsError(f"{wanted}, where {other[0]} is new or changed")


def _contents(folder: Path) -> dict[str, str]:
    """A checksum of each file below a folder, by its place in it."""
    return {
        path.relative_to(folder).as_posix(): f"{zlib.crc32(path.read_bytes()):08x}"
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }


def check_folder(path: Path, name: str = "path") -> None:
    """Checks that a file can come to stand there.

    Raises:
        FileNotFoundError: its folder does not exist.
        ValueError: a folder stands there.
    """
    if path.is_dir():
        raise ValueError(f"{name}: expected a file, got the folder {path}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{name}: expected an existing folder, got {path.parent}")


def fingerprint(tensor: Tensor) -> str:
    """Tells two tensors apart, by shape and content, in a few characters."""
    return f"{tuple(tensor.shape)} {zlib.crc32(tensor.detach().cpu().contiguous().numpy()):08x}"


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads all tensors and the metadata of a safetensors file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or of another kind.
    """
    path = as_path("path", path)
    try:
        return _read(path)
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a whole .safetensors file, got: {error}; take another copy"
        ) from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a file, with errors that do not name it."""
    if not path.is_file():
        raise FileNotFoundError(f"path: expected a .safetensors file, found none at {path}")
    content = path.read_bytes()  # once: another process may replace the file meanwhile
    tensors, metadata = deserialized(content), _header(content)[0].get("__metadata__", {})
    if (wanted := metadata.pop(_DIGEST, None)) not in (None, _digest(tensors, metadata)):
        raise ValueError(f"expected content with the {_DIGEST} {wanted}: it was changed or damaged since")
    return tensors, metadata


def save(model: VAE, path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Writes the model's weights and its configuration to one safetensors file.

    The file is complete or not there: it is written beside its place and then renamed.

    Args:
        model: the VAE.
        path: where to, by convention ending in `.safetensors`.
        dtype: how each weight is stored, one of `DTYPES`; `torch.float16` halves the file. None for the
            model's own.

    Raises:
        FileNotFoundError: the folder does not exist.
        TypeError: what is no path.
        ValueError: the path is a folder, another dtype, or weights that are too large for it.
    """
    if dtype is not None and not any(dtype is known for known in DTYPES):
        raise ValueError(f"dtype: expected None or one of {', '.join(map(str, DTYPES))}, got {told(dtype)}")
    weights = {}
    for name, value in check_model(model).state_dict().items():
        weights[name] = value.detach().cpu().to(dtype or value.dtype)
        if not torch.equal(weights[name].isfinite(), value.detach().cpu().isfinite()):
            raise ValueError(f"dtype: expected one that holds the weights, got {dtype}: {name} is too large")
    write(path, weights, {"config": json.dumps(model.config, sort_keys=True)})


def load(path: str | Path) -> VAE:
    """Reads a model that `save` wrote, in evaluation mode on the CPU: in double precision if it is stored
    so, else in single.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: what is no path.
        ValueError: the file is not a model of this course, or is damaged.
    """
    path = as_path("path", path)
    try:
        weights, metadata = _read(path)
        model = VAE(**json.loads(metadata["config"]))
        if all(value.dtype == torch.float64 for value in weights.values()):
            model.double()
        model.load_state_dict(weights)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path}: expected a model written by save, got: {error}; take another copy or train it anew"
        ) from error
    return model.eval()


@dataclass
class Checkpoint:
    """All that a training needs in order to go on as if it had not stopped.

    Attributes:
        path: the file; written after each epoch, deleted at the end.
        recipe: the settings of the training; going on with others is refused.
        model: its weights are part of the state.
        optimizers: each an Adam or a Muon; their moments are part of the state.
        generator: the stream of random numbers.
    """

    path: Path
    recipe: dict[str, Any]
    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    generator: torch.Generator

    def save(self, epoch: int, history: dict[str, list[float]]) -> None:
        """Writes the state after `epoch` epochs."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for number, optimizer in enumerate(self.optimizers):
            for parameter, moments in optimizer.state_dict()["state"].items():
                tensors |= {_name(number, parameter, key): moments[key] for key in _KEPT[type(optimizer)]}
        tensors["generator"] = self.generator.get_state()
        training = {"epoch": epoch, "history": history, "recipe": self.recipe}
        write(
            self.path,
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            {"training": json.dumps(training)},
        )

    def restore(self) -> tuple[int, dict[str, list[float]]]:
        """Brings the state back, if there is a file.

        Returns:
            The number of finished epochs and the history so far; 0 and an empty one without a file.

        Raises:
            FileNotFoundError: the folder does not exist, so that nothing could be written later.
            PermissionError: nor could it be in this folder.
            ValueError: the file is damaged, or belongs to a training with other settings.
        """
        check_folder(self.path, "checkpoint")
        effective = os.access in os.supports_effective_ids  # the rights that writing will have
        if not os.access(self.path.parent, os.W_OK, effective_ids=effective):
            raise PermissionError(
                f"checkpoint: expected a folder that may be written to, got {self.path.parent}"
            )
        wanted = json.loads(json.dumps(self.recipe))  # as it comes back: tuples are lists
        try:
            tensors, metadata = _read(self.path)
            training = json.loads(metadata["training"])
            recipe, epoch, history = (training[key] for key in ("recipe", "epoch", "history"))
            other = {key for key in wanted.keys() | recipe.keys() if wanted.get(key) != recipe.get(key)}
            if not other:
                weights = {name: tensors[f"model.{name}"] for name in self.model.state_dict()}
                states = [self._moments(number, tensors) for number in range(len(self.optimizers))]
                stream = tensors["generator"]
        except FileNotFoundError:  # none yet, or another process has just come to the end
            return 0, {}
        except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"checkpoint: expected one written by fit at {self.path}, got: {error}; "
                "delete it to start anew"
            ) from error
        if other:
            raise ValueError(
                f"checkpoint: {self.path} belongs to a training with another {', '.join(sorted(other))}; "
                "delete it to start anew"
            )
        self.model.load_state_dict(weights)
        for optimizer, moments in zip(self.optimizers, states, strict=True):
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.generator.set_state(stream)
        return epoch, history

    def delete(self) -> None:
        """Takes the file away once the training is done."""
        remove_leftovers(self.path)
        self.path.unlink(missing_ok=True)

    def _moments(self, number: int, tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
        optimizer = self.optimizers[number]
        parameters = range(sum(len(group["params"]) for group in optimizer.param_groups))
        kept = _KEPT[type(optimizer)]
        return {n: {key: tensors[_name(number, n, key)] for key in kept} for n in parameters}


def _name(optimizer: int, parameter: int, key: str) -> str:
    return f"optimizer.{optimizer}.{parameter}.{key}"
