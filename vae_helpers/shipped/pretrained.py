"""The trained models that the notebooks show, and the one command that makes them again.

`python -m vae_helpers pretrained` trains all those of MNIST (about 20 minutes on two CPU cores), as many
at once as there are cores, and replaces the files in `vae_helpers/shipped/weights/`; with names, only
those. It may be interrupted at any moment: the same command goes on from the last finished epochs, to the
same weights bit by bit, and the files are replaced only when all are done. The models of Fashion-MNIST, of
which an excerpt is shipped, are made where it is given: `pretrained fashion_50 --data FOLDER --folder OUT`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from concurrent.futures import as_completed
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from vae_helpers.models._bar import bar
from vae_helpers.models.storage import load, save
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import as_count
from vae_helpers.shipped.crew import LocalCrew
from vae_helpers.shipped.images import load_idx, load_mnist
from vae_helpers.shipped.recipes import (
    FOLDER,
    Recipe,
    add_data,
    check_data,
    check_name,
    checked,
    exit_code,
    move,
    remove_if_empty,
    settings_of,
    sha256,
    train,
    write_json,
)

# The family of notebook 7: one recipe for every dimension, and networks a little narrower than the
# others, so that all seven together stay below 12 MB.
LATENT_DIMS = (1, 2, 3, 5, 10, 20, 50)
# The two families of notebook 9, narrower and shorter again: one recipe for every weight of the KL, and
# one for every remedy against collapse, each twice, from two seeds.
BETAS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16)
REMEDIES: dict[str, dict[str, float]] = {
    "none": {"warmup": 0.0},
    "warmup_0.2": {"warmup": 0.2},
    "warmup_0.5": {"warmup": 0.5},
    "free_bits_0.1": {"warmup": 0.0, "free_bits": 0.1},
    "free_bits_0.25": {"warmup": 0.0, "free_bits": 0.25},
}
SEEDS = (1, 3)
_LONG = {"learning_rate": 3e-3}  # for more epochs than the default's, a lower rate than the default's
# Beside that family: another decoder, other images, and both; the rest is as there.
_CONVOLUTIONAL = {"latent_dim": 50, "hidden_dim": 360, "decoder": "convolutional"}
RECIPES: dict[str, Recipe] = {
    "digits_20": {"model": {"latent_dim": 20}, "fit": {"epochs": 18, **_LONG}},
    "digits_2": {"model": {"latent_dim": 2}, "fit": {"epochs": 40, **_LONG}},
    "grey_20": {"model": {"latent_dim": 20, "likelihood": "gaussian"}, "fit": {"epochs": 18, **_LONG}},
    # Nothing is charged for the code, so that hardly any noise is left in it: a plain autoencoder.
    "plain_20": {"model": {"latent_dim": 20}, "fit": {"epochs": 18, "beta": 0.0, **_LONG}},
    **{
        f"latent_{d}": {"model": {"latent_dim": d, "hidden_dim": 360}, "fit": {"epochs": 30, **_LONG}}
        for d in LATENT_DIMS
    },
    "conv_50": {"model": _CONVOLUTIONAL, "fit": {"epochs": 30, **_LONG}},
    "fashion_50": {
        "model": {"latent_dim": 50, "hidden_dim": 360},
        "fit": {"epochs": 30, **_LONG},
        "images": "Fashion-MNIST",
    },
    "fashion_conv_50": {
        "model": _CONVOLUTIONAL,
        "fit": {"epochs": 30, **_LONG},
        "images": "Fashion-MNIST",
    },
    **{
        f"beta_{beta:g}": {
            "model": {"latent_dim": 20, "hidden_dim": 160},
            "fit": {"epochs": 20, "beta": beta, **_LONG},
        }
        for beta in BETAS
    },
    **{
        f"remedy_{name}_{seed}": {
            "model": {"latent_dim": 50, "hidden_dim": 160},
            "fit": {"epochs": 20, **_LONG, **settings},
            "seeds": {"model": seed, "training": seed + 1},
        }
        for name, settings in REMEDIES.items()
        for seed in SEEDS
    },
}


def load_pretrained(name: str) -> VAE:
    """Loads one of the shipped models, on the CPU and in evaluation mode.

    Args:
        name: a key of `RECIPES`: "digits_20" and "digits_2" have a Bernoulli likelihood on
            binarized pixels and 20 or 2 latents; "grey_20" a Gaussian one on grey values;
            "plain_20" is "digits_20" as a plain autoencoder, trained with weight 0 on the KL;
            "latent_1" to "latent_50" are the family of notebook 7, d in `LATENT_DIMS`; "conv_50" is
            "latent_50" with a convolutional decoder, and "fashion_50" and "fashion_conv_50" are these two
            for Fashion-MNIST; "beta_0.1" to "beta_16" and "remedy_none_1" to "remedy_free_bits_0.25_3" are
            those of notebook 9, for each weight in `BETAS`, and for each of `REMEDIES` and `SEEDS`.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: an unknown name, or a file that is not the one that was shipped.
    """
    check_name(name, RECIPES)
    return load(checked(FOLDER / f"{name}.safetensors"))


def make(name: str, checkpoint: Path | None = None, images: Tensor | None = None) -> VAE:
    """Trains the model `name` by its recipe; the same again every time.

    Args:
        name: a key of `RECIPES`.
        checkpoint: where `fit` keeps the state, so that an interrupted training can go on.
        images: grey values in [0, 1], shape (n, D); by default the 60,000 of MNIST.

    Raises:
        ValueError: an unknown name, or a recipe of other images than MNIST without images.
    """
    recipe = RECIPES[check_name(name, RECIPES)]
    _check_given("images", images, [name])
    return train(recipe, load_mnist("train")[0] if images is None else images, checkpoint)[0]


def make_all(
    names: list[str], folder: Path | None = None, data: Path | None = None, workers: int | None = None
) -> None:
    """Makes models and puts them into a folder; goes on where an earlier call was interrupted.

    What is finished or under way waits in its folder `unfinished`; the files change only at the end,
    each by a rename. Each training has one thread, so that its weights do not depend on `workers`.

    Args:
        names: keys of `RECIPES`.
        folder: where to; by default `FOLDER`, where the shipped ones are.
        data: a folder with the training images in MNIST's format; by default those of MNIST.
        workers: how many are trained at once, each in a process of its own; by default one for each core.
            One alone is trained in this process.

    Raises:
        TypeError, ValueError: an unknown name, a recipe of other images than MNIST without data, or not a
            whole number of at least 1; nothing has been trained then.
    """
    names = list(dict.fromkeys(check_name(name, RECIPES) for name in names))
    _check_given("data", data, names)
    workers = as_count("workers", (os.cpu_count() or 1) if workers is None else workers)
    _training_images(data)  # a mistake in it is told before anything is written
    folder = folder or FOLDER
    unfinished = folder / "unfinished"
    unfinished.mkdir(parents=True, exist_ok=True)
    files = {name: unfinished / f"{name}.safetensors" for name in names}
    tasks = [(name, RECIPES[name], file, data) for name, file in files.items()]
    with bar(progress=True, total=len(names), unit="model") as shown:

        def done(name: str) -> None:
            shown.set_postfix_str(name, refresh=False)
            shown.update()

        if (workers := min(workers, len(names))) == 1:
            _one_after_another(tasks, done)
        else:
            _side_by_side(workers, tasks, done)
    for file in files.values():
        move(file, folder / file.name)
    for file in files.values():  # not before: a call that goes on then knows what has been moved
        file.with_suffix(".json").unlink(missing_ok=True)
    remove_if_empty(unfinished)
    print(f"written: {', '.join(names)}")


def _check_given(argument: str, value: Tensor | Path | None, names: list[str]) -> None:
    """Raises ValueError if a recipe of other images would be trained on those of MNIST."""
    for name in names:
        if value is None and (data_set := RECIPES[name].get("images")):
            raise ValueError(
                f"{argument}: expected the training images of {data_set} for {name!r}, got none; a command "
                "takes them from a folder in MNIST's format: --data FOLDER --folder OUT"
            )


_Task = tuple[str, Recipe, Path, Path | None]


def _one_after_another(tasks: list[_Task], done: Callable[[str], None]) -> None:
    threads = torch.get_num_threads()
    try:
        for task in tasks:
            done(_finish(*task))
    finally:
        torch.set_num_threads(threads)


def _side_by_side(workers: int, tasks: list[_Task], done: Callable[[str], None]) -> None:
    crew = LocalCrew(workers)
    try:
        # One bar for all: those of several trainings would write over each other.
        for future in as_completed([crew.submit(task[0], _finish, *task, False) for task in tasks]):
            done(future.result())
    except crew.lost as error:
        raise ValueError(f"workers: a process was killed again and again: {error}") from error
    finally:
        crew.close()


def _finish(name: str, recipe: Recipe, file: Path, data: Path | None, progress: bool = True) -> str:
    """Makes a model that an earlier call has not finished by this recipe, and returns its name."""
    torch.set_num_threads(1)
    images, record = _training_images(data), file.with_suffix(".json")
    wanted = json.loads(json.dumps(recipe | {"fit": settings_of(recipe, images)}))
    state = file.with_suffix(".checkpoint")
    if not _is_finished(file, record, wanted):
        fit = recipe["fit"] | ({} if progress else {"progress": False})
        model, _ = train(recipe | {"fit": fit}, images, state, keep_checkpoint=True)
        file.parent.mkdir(parents=True, exist_ok=True)  # another process may have taken it away, being done
        save(model, file, dtype=torch.float16)
        write_json(record, {"recipe": wanted, "sha256": sha256(file)})
    state.unlink(missing_ok=True)
    return name


def _is_finished(file: Path, record: Path, wanted: Recipe) -> bool:
    """Whether a model of this recipe waits in the file, or has been moved from there to its place."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        moved = file.parents[1] / file.name
        return found["recipe"] == wanted and sha256(file if file.is_file() else moved) == found["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


@cache
def _training_images(data: Path | None) -> Tensor:
    return load_mnist("train")[0] if data is None else load_idx(data)[0]


def main(arguments: list[str] | None = None) -> int:
    """Makes the models named on the command line, or all of MNIST."""
    parser = argparse.ArgumentParser(
        "python -m vae_helpers pretrained", description=(__doc__ or "").partition("\n")[0]
    )
    of_mnist = [name for name, recipe in RECIPES.items() if "images" not in recipe]
    told = f"{', '.join(RECIPES)}; by default all but those of other images than MNIST"
    parser.add_argument("names", nargs="*", default=of_mnist, help=told)
    add_data(parser, FOLDER)
    parser.add_argument("--workers", type=int, metavar="N", help="processes; one for each core by default")
    options = parser.parse_args(arguments)

    def work() -> None:
        check_data(options, FOLDER)
        make_all(options.names, options.folder, options.data, options.workers)

    return exit_code(work, parser)
