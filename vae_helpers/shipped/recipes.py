"""What the commands that train share: a recipe, a training by it that may be interrupted, and its end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from vae_helpers.models.storage import fingerprint, whole_file
from vae_helpers.models.training import History, fit
from vae_helpers.models.vae import VAE

FOLDER = Path(__file__).parent / "weights"


class Recipe(TypedDict, total=False):
    """How a model is trained.

    Attributes:
        model: the keywords of `VAE`.
        fit: the keywords of `fit`.
        seeds: of the "model" and of the "training"; 1 and 2 where they are not given.
        start: the name of the model whose weights it starts from; fresh ones where it is not given.
        images: the name of the data set, which has to be given, for it is not shipped; MNIST where there
            is none.
    """

    model: dict[str, Any]
    fit: dict[str, Any]
    seeds: dict[str, int]
    start: str
    images: str


def settings_of(recipe: Recipe, images: Tensor) -> dict[str, Any]:
    """What tells two trainings apart, as JSON holds it: the settings, and a fingerprint of the images."""
    written = {name: str(v) if isinstance(v, torch.dtype) else v for name, v in recipe["fit"].items()}
    return written | {"images": fingerprint(images)}


def check_name(name: str, recipes: Container[str]) -> str:
    """Returns the name of a recipe.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in recipes:
        raise ValueError(f"name: expected one of {', '.join(recipes)}, got {name!r}")
    return name


def train(
    recipe: Recipe, images: Tensor, checkpoint: Path | None = None, start: VAE | None = None
) -> tuple[VAE, History]:
    """Trains by a recipe; the same again every time.

    Args:
        recipe: how.
        images: grey values in [0, 1], shape (n, D).
        checkpoint: where `fit` keeps the state, so that an interrupted training can go on.
        start: the model whose weights it starts from; None for fresh ones.

    Raises:
        ValueError: images of a wrong shape or outside [0, 1], or a checkpoint of another training.
    """
    seeds = recipe.get("seeds", {"model": 1, "training": 2})
    generator = {of: torch.Generator().manual_seed(seed) for of, seed in seeds.items()}
    model = VAE(**recipe["model"], data_dim=images.shape[-1], generator=generator["model"])
    if start is not None:
        model.load_state_dict(start.state_dict())
    settings = recipe["fit"] | {"init_bias": start is None, "checkpoint": checkpoint}
    return model, fit(model, images, **settings, generator=generator["training"])


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file that is whole or not there."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def remove_if_empty(folder: Path) -> None:
    """Takes the folder of unfinished work away, unless something of another call waits there."""
    if not any(folder.iterdir()):
        folder.rmdir()


def add_data(parser: argparse.ArgumentParser, folder: Path) -> None:
    """Lets a command train on other images: `--data`, and `--folder` for what comes out."""
    parser.add_argument("--data", type=Path, help="a folder with files in MNIST's format, instead of MNIST")
    parser.add_argument("--folder", type=Path, default=folder, help="where models and state are kept")


def check_data(options: argparse.Namespace, shipped: Path) -> None:
    """Raises ValueError if models of other images would take the place of the shipped ones."""
    if options.data is not None and options.folder == shipped:
        raise ValueError(
            "--data: give a --folder, too; without one the shipped models of MNIST would be replaced"
        )


def exit_code(work: Callable[[], int | None], parser: argparse.ArgumentParser, unit: str = "epoch") -> int:
    """Does the work of a command, which may give a code: 0, or 130 after an interruption; a mistake is told
    in a line.
    """
    try:
        return work() or 0
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print(f"\ninterrupted: the same command goes on from the last finished {unit}", file=sys.stderr)
        return 130
