"""What the commands that train share: a recipe, a training by it that may be interrupted, and its end."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from vae_helpers.models.storage import fingerprint, whole_file
from vae_helpers.models.training import History, fit
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import one_of, path_option

FOLDER = Path(__file__).parent / "weights"
SUMS = "SHA256SUMS"  # in a folder of shipped files, as sha256sum writes it
_SUM = re.compile(r"^([0-9a-f]{64})  (.+)$", re.MULTILINE)


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
    return one_of("name", name, recipes)


def train(
    recipe: Recipe,
    images: Tensor,
    checkpoint: Path | None = None,
    start: VAE | None = None,
    keep_checkpoint: bool = False,
) -> tuple[VAE, History]:
    """Trains by a recipe; the same again every time.

    Args:
        recipe: how.
        images: grey values in [0, 1], shape (n, D).
        checkpoint: where `fit` keeps the state, so that an interrupted training can go on.
        start: the model whose weights it starts from; None for fresh ones.
        keep_checkpoint: leave the state for the caller to delete, once the model is stored.

    Raises:
        ValueError: images of a wrong shape or outside [0, 1], or a checkpoint of another training.
    """
    seeds = recipe.get("seeds", {"model": 1, "training": 2})
    generator = {of: torch.Generator().manual_seed(seed) for of, seed in seeds.items()}
    model = VAE(**recipe["model"], data_dim=images.shape[-1], generator=generator["model"])
    if start is not None:
        model.load_state_dict(start.state_dict())
    settings = recipe["fit"] | {"init_bias": start is None, "checkpoint": checkpoint}
    settings |= {"keep_checkpoint": keep_checkpoint}
    return model, fit(model, images, **settings, generator=generator["training"])


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file that is whole or not there."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    renew_sum(path)


def checked(path: Path) -> Path:
    """Returns the path of a shipped file that is as it was shipped.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: it was changed.
    """
    remedy = f"restore it with 'git checkout -- {path.name}' in its folder"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: missing; {remedy}")
    or_yours = f"{remedy}, or, if you made it yourself, write what 'sha256sum {path.name}' says into {SUMS}"
    wanted = _sums(path.parent).get(path.name)
    if wanted is not None and wanted != (found := sha256(path)):
        raise ValueError(
            f"{path}: expected SHA-256 {wanted}, got {found}; the file was changed or damaged: {or_yours}"
        )
    return path


def renew_sum(path: Path) -> None:
    """Keeps the checksum of a shipped file that was made anew; of other files there is none."""
    if (before := _sums(path.parent).get(path.name)) is not None:
        file = path.with_name(SUMS)
        text = file.read_text(encoding="utf-8")
        with whole_file(file) as temporary:
            line = f"{before}  {path.name}"
            temporary.write_text(text.replace(line, f"{sha256(path)}  {path.name}"), encoding="utf-8")


def sha256(path: Path) -> str:
    """The checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sums(folder: Path) -> dict[str, str]:
    """The checksums of the shipped files in a folder, by their names; none of another folder."""
    if not (path := folder / SUMS).is_file():
        return {}
    return {name: digest for digest, name in _SUM.findall(path.read_text(encoding="utf-8"))}


def move(finished: Path, target: Path) -> None:
    """Puts a finished file into its place, unless another process has just done that."""
    try:
        os.replace(finished, target)
    except FileNotFoundError:
        if not target.is_file():
            raise
    renew_sum(target)


def remove_if_empty(folder: Path) -> None:
    """Takes the folder of unfinished work away, unless something of another call waits there."""
    with suppress(OSError):  # not empty, or gone already
        folder.rmdir()


def add_data(parser: argparse.ArgumentParser, folder: Path) -> None:
    """Lets a command train on other images: `--data`, and `--folder` for what comes out."""
    parser.add_argument(
        "--data", type=path_option, help="a folder with files in MNIST's format, instead of MNIST"
    )
    parser.add_argument("--folder", type=path_option, default=folder, help="where models and state are kept")


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
    except (ValueError, OSError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print(f"\ninterrupted: the same command goes on from the last finished {unit}", file=sys.stderr)
        return 130
