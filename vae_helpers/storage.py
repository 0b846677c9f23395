"""Files that are whole or not there: models, and the state of a training that may be interrupted."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what Adam keeps for each parameter


def write(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file beside its place and renames it.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path: expected an existing folder, got {path.parent}")
    temporary = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        save_file(tensors, temporary, metadata=metadata)
        temporary.chmod(0o644)  # safetensors makes it readable for its owner alone
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads all tensors and the metadata of a safetensors file.

    Raises:
        FileNotFoundError: there is no such file.
        SafetensorError: the file is damaged or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path: expected a .safetensors file, found none at {path}")
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


@dataclass
class Checkpoint:
    """All that a training needs in order to go on as if it had not stopped.

    Attributes:
        path: the file; written after each epoch, deleted at the end.
        recipe: the settings of the training; going on with others is refused.
        model: its weights are part of the state.
        optimizer: an Adam; its moments are part of the state.
        schedule: the learning-rate schedule.
        generator: the stream of random numbers.
    """

    path: Path
    recipe: dict[str, Any]
    model: nn.Module
    optimizer: torch.optim.Adam
    schedule: torch.optim.lr_scheduler.OneCycleLR
    generator: torch.Generator

    def save(self, epoch: int, history: dict[str, list[float]]) -> None:
        """Writes the state after `epoch` epochs."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{key}": moments[key] for key in _MOMENTS}
        tensors["generator"] = self.generator.get_state()
        told = {"epoch": epoch, "history": history, "recipe": self.recipe}
        write(
            self.path,
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            {"training": json.dumps(told)},
        )

    def restore(self, steps_per_epoch: int) -> tuple[int, dict[str, list[float]]]:
        """Brings the state back, if there is a file.

        Args:
            steps_per_epoch: how far an epoch moves the schedule.

        Returns:
            The number of finished epochs and the history so far; 0 and an empty one without a file.

        Raises:
            ValueError: the file is damaged, or belongs to a training with other settings.
        """
        if not self.path.is_file():
            return 0, {}
        try:
            tensors, metadata = read(self.path)
            told = json.loads(metadata["training"])
            found, epoch, history = told["recipe"], told["epoch"], told["history"]
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"checkpoint: expected one written by fit at {self.path}, got: {error}"
            ) from error
        # Through JSON and back, so that tuples and lists compare as equal.
        wanted = json.loads(json.dumps(self.recipe))
        if found != wanted:
            other = {key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)}
            raise ValueError(
                f"checkpoint: {self.path} belongs to a training with another {', '.join(sorted(other))}; "
                "delete it to start anew"
            )
        self.model.load_state_dict(_part(tensors, "model."))
        state = self.optimizer.state_dict()
        numbers = range(len(list(self.model.parameters())))
        state["state"] = {n: {key: tensors[f"adam.{n}.{key}"] for key in _MOMENTS} for n in numbers}
        self.optimizer.load_state_dict(state)
        self.generator.set_state(tensors["generator"])
        schedule = self.schedule.state_dict() | {"last_epoch": epoch * steps_per_epoch}
        self.schedule.load_state_dict(schedule)
        for group, rate in zip(self.optimizer.param_groups, self.schedule.get_lr(), strict=True):
            group["lr"] = rate
        return epoch, history

    def delete(self) -> None:
        """Takes the file away once the training is done."""
        self.path.unlink(missing_ok=True)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
