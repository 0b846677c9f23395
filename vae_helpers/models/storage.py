"""Files and folders that are whole or not there: models, the state of a training, what commands write."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vae_helpers.models._validate import check_model
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import told

# What an optimizer keeps for each parameter.
_KEPT = {torch.optim.Adam: ("exp_avg", "exp_avg_sq", "step"), torch.optim.Muon: ("momentum_buffer",)}


DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # in which weights may be stored


def as_path(name: str, value: str | Path) -> Path:
    """Returns a path with `~` as the home folder.

    Raises:
        TypeError: what is no path.
        ValueError: a path that no file of this machine can have.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name}: expected a path, got {told(value)}")
    try:
        path = Path(value).expanduser()
        os.fsencode(path)
    except (RuntimeError, UnicodeEncodeError):  # no such home folder; half a letter
        raise ValueError(f"{name}: expected a path of this machine, got {value!r}") from None
    if "\0" in str(path):
        raise ValueError(f"{name}: expected a path without the character 0, got {value!r}")
    return path


def write(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file beside its place and renames it.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
        temporary.chmod(0o644)  # safetensors makes it readable for its owner alone


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write to, renamed to it at the end and deleted after an error.

    Raises:
        FileNotFoundError: the folder does not exist.
        TypeError: what is no path.
        ValueError: the path is a folder.
    """
    path = as_path("path", path)
    check_folder(path)
    temporary = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
        SafetensorError: the file is damaged or of another kind.
    """
    path = as_path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"path: expected a .safetensors file, found none at {path}")
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


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
        weights, metadata = read(path)
        model = VAE(**json.loads(metadata["config"]))
        if all(value.dtype == torch.float64 for value in weights.values()):
            model.double()
        model.load_state_dict(weights)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: expected a model written by save, got: {error}") from error
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
            ValueError: the file is damaged, or belongs to a training with other settings.
        """
        check_folder(self.path, "checkpoint")
        if not self.path.is_file():
            return 0, {}
        wanted = json.loads(json.dumps(self.recipe))  # as it comes back: tuples are lists
        try:
            tensors, metadata = read(self.path)
            training = json.loads(metadata["training"])
            recipe, epoch, history = (training[key] for key in ("recipe", "epoch", "history"))
            other = {key for key in wanted.keys() | recipe.keys() if wanted.get(key) != recipe.get(key)}
            if not other:
                weights = {name: tensors[f"model.{name}"] for name in self.model.state_dict()}
                states = [self._moments(number, tensors) for number in range(len(self.optimizers))]
                stream = tensors["generator"]
        except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"checkpoint: expected one written by fit at {self.path}, got: {error}"
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
        self.path.unlink(missing_ok=True)

    def _moments(self, number: int, tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
        optimizer = self.optimizers[number]
        parameters = range(sum(len(group["params"]) for group in optimizer.param_groups))
        kept = _KEPT[type(optimizer)]
        return {n: {key: tensors[_name(number, n, key)] for key in kept} for n in parameters}


def _name(optimizer: int, parameter: int, key: str) -> str:
    return f"optimizer.{optimizer}.{parameter}.{key}"
