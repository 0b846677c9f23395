"""Models beside the literature: those of Burda et al. 2016, table 1, and a wider one, trained and evaluated.

`python -m vae_helpers burda vae` trains the model by the ELBO and evaluates it on all test images;
`… iwae` goes on from its weights by the importance-weighted bound; `… wide` trains wider networks by
the ELBO in the time of the first. A bar shows how far it is. Each may be interrupted at any moment:
the same command goes on from the last finished epoch. Settings are compared by `--hold-out`, which
trains on 55,000 images and evaluates on the other 5,000 training images, never on the test set.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vae_helpers.models._validate import check_images
from vae_helpers.models.evaluation import importance_bounds
from vae_helpers.models.likelihoods import binarize
from vae_helpers.models.storage import load, read, save, write
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import as_count
from vae_helpers.numerics.monte_carlo import estimate
from vae_helpers.shipped import recipes
from vae_helpers.shipped.images import load_idx, load_mnist
from vae_helpers.shipped.recipes import (
    Recipe,
    add_data,
    check_data,
    check_name,
    checked,
    exit_code,
    move,
    remove_if_empty,
    renew_sum,
    write_json,
)

FOLDER = recipes.FOLDER / "burda"
NUM_SAMPLES = 5000
NUM_HELD_OUT = 5000


# The architecture of the paper, and one with wider layers of smoother units.
PUBLISHED = {"latent_dim": 50, "hidden_dim": 200, "num_hidden": 2, "activation": "tanh"}
_WIDE = PUBLISHED | {"hidden_dim": 400, "activation": "gelu"}
FAST = {"warmup": 0.0, "optimizer": "muon", "precision": torch.bfloat16}
_ELBO = {"num_samples": 1, "batch_size": 512, "learning_rate": 6e-3, **FAST}
_IWAE = {"num_samples": 20, "batch_size": 128, "learning_rate": 2e-3, **FAST}
RECIPES: dict[str, Recipe] = {
    "vae": {"model": PUBLISHED, "fit": {"epochs": 1150, **_ELBO}},
    "iwae": {"model": PUBLISHED, "fit": {"epochs": 300, **_IWAE}, "start": "vae"},
    "wide": {"model": _WIDE, "fit": {"epochs": 420, **_ELBO}},
}


class Bounds(NamedTuple):
    """Upper bounds of -log p(x), in expectation, each of shape (batch,), float64, in nats.

    Attributes:
        nll: minus the importance-weighted bound with all draws.
        minus_elbo: minus the average of the log-weights.
    """

    nll: Tensor
    minus_elbo: Tensor

    def summary(self) -> dict[str, float]:
        """Means over at least two images with their standard errors."""
        nll, minus_elbo = (estimate(bound.cpu().numpy()) for bound in self)
        return {
            "nll": float(nll.mean),
            "standard_error": float(nll.standard_error),
            "minus_elbo": float(minus_elbo.mean),
            "minus_elbo_standard_error": float(minus_elbo.standard_error),
            "num_images": nll.count,
        }


def evaluate(
    model: VAE, images: Tensor, num_samples: int = NUM_SAMPLES, seed: int = 0, progress: bool = False
) -> Bounds:
    """-log p(x) of each image by importance samples, after one stochastic binarization.

    Args:
        model: a VAE with a Bernoulli likelihood, on whatever device.
        images: grey values in [0, 1], shape (batch, D).
        num_samples: draws from q(z given x) for each image.
        seed: of the binarization; the draws come from the next one.
        progress: show a bar.

    Returns:
        `Bounds`.

    Raises:
        ValueError: images of a wrong shape or outside [0, 1], num_samples below 1, or a model with
            another likelihood.

    Source: Burda, Grosse & Salakhutdinov 2016, section 5.2 and table 1.
    """
    if model.likelihood != "bernoulli":
        raise ValueError(
            f"model: expected a Bernoulli likelihood of black-and-white pixels, got {model.likelihood!r}"
        )
    num_samples = as_count("num_samples", num_samples)
    # The same zeros and ones on every device; the draws are made on that of the model.
    x = binarize(check_images(images.cpu()), torch.Generator().manual_seed(seed))
    device = next(model.parameters()).device
    generator, x = torch.Generator(device).manual_seed(seed + 1), x.to(device)
    bounds = importance_bounds(model, x, (1, num_samples), generator, progress)
    return Bounds(-bounds[num_samples], -bounds[1])


def load_trained(name: str) -> VAE:
    """Loads a shipped model, "vae", "iwae" or "wide", on the CPU and in evaluation mode.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: an unknown name, or a file that is not the one that was shipped.
    """
    return load(checked(FOLDER / f"{check_name(name, RECIPES)}.safetensors"))


def load_log(name: str) -> dict[str, Any]:
    """The log of the run that made a shipped model: settings, curve, seconds, test figures.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: an unknown name, or a file that is not the one that was shipped.
    """
    return json.loads(checked(FOLDER / f"{check_name(name, RECIPES)}.json").read_text(encoding="utf-8"))


def load_test_nll(name: str) -> Tensor:
    """-log p(x) of each of the 10,000 test images, as the run found it: `evaluate` with seed 0.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: an unknown name, or a file that is not the one that was shipped.
    """
    return read(checked(FOLDER / f"{check_name(name, RECIPES)}.test.safetensors"))[0]["nll"]


def train(name: str, images: Tensor, folder: Path, start: VAE | None = None) -> tuple[VAE, dict[str, Any]]:
    """Trains by the recipe of this name, or goes on with what an earlier call left in the folder.

    Args:
        name: a key of `RECIPES`.
        images: grey values in [0, 1], shape (n, D).
        folder: where the state is kept until the model is evaluated.
        start: the model whose weights it starts from; None for fresh ones.

    Returns:
        The model, and how it was trained: the settings, the seconds that it took, and the curve of the
        bound on the training images, in nats.

    Raises:
        ValueError: an unknown name, images of a wrong shape or outside [0, 1], or a state in the
            folder that belongs to other settings or images.
    """
    recipe = RECIPES[check_name(name, RECIPES)]
    folder.mkdir(parents=True, exist_ok=True)
    finished, record, state = (folder / f"{name}-0{end}" for end in (".safetensors", ".json", ".checkpoint"))
    settings = recipes.settings_of(recipe, images)
    try:  # what an earlier call has finished, or another process at work on the same
        log, model = json.loads(record.read_text(encoding="utf-8")), load(finished)
    except FileNotFoundError:  # nobody yet, or one that has just taken its files away, being done
        model, history = recipes.train(recipe, images, state, start, keep_checkpoint=True)
        curve = [round(value, 3) for value in history.train]
        log = settings | {"seconds": round(sum(history.seconds)), "minus_bound": curve}
        folder.mkdir(parents=True, exist_ok=True)
        save(model.eval(), finished)
        write_json(record, log)
    state.unlink(missing_ok=True)
    if {key: log.get(key) for key in settings} != settings:
        raise ValueError(f"folder: {folder} holds a training by another recipe; delete it to start anew")
    return model, log


def main(arguments: list[str] | None = None) -> int:
    """Trains and evaluates the model named on the command line, or evaluates a finished one."""
    parser = argparse.ArgumentParser(
        "python -m vae_helpers burda", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "name",
        choices=list(RECIPES),
        help="the published network by the ELBO or the importance-weighted bound, or a wider one",
    )
    add_data(parser, FOLDER)
    parser.add_argument(
        "--evaluate", action="store_true", help="evaluate the finished model and write nothing"
    )
    parser.add_argument(
        "--hold-out", action="store_true", help="keep 5,000 training images back and evaluate on them"
    )
    parser.add_argument(
        "--num-samples", type=int, default=NUM_SAMPLES, help="importance samples for each image"
    )
    parser.add_argument("--threads", type=int, help="processor cores to use; all by default")
    options = parser.parse_args(arguments)

    def work() -> None:
        if options.threads is not None:
            torch.set_num_threads(as_count("--threads", options.threads))
        _run(options)

    return exit_code(work, parser)


def _run(options: argparse.Namespace) -> None:
    if not options.evaluate:
        check_data(options, FOLDER)
    folder = options.folder / "held_out" if options.hold_out else options.folder
    images, judged_on = _images("train", options.data), _images("test", options.data)
    if options.hold_out:
        images, judged_on = images[:-NUM_HELD_OUT], images[-NUM_HELD_OUT:]
    files = [folder / f"{options.name}{ending}" for ending in (".safetensors", ".test.safetensors", ".json")]
    if options.evaluate:
        bounds = evaluate(load(files[0]), judged_on, options.num_samples, progress=True)
        _print(bounds.summary(), options.num_samples)
        return
    start = RECIPES[options.name].get("start")
    unfinished = folder / "unfinished"
    model, log = train(options.name, images, unfinished, start and load(folder / f"{start}.safetensors"))
    # What is evaluated is what is shipped: the weights in half precision.
    shipped = unfinished / f"{options.name}.safetensors"
    unfinished.mkdir(parents=True, exist_ok=True)
    save(model, shipped, dtype=torch.float16)
    try:
        rounded = load(shipped)
    except FileNotFoundError:  # another process, with the same model, has just put it into its place
        rounded = load(files[0])
    bounds = evaluate(rounded, judged_on, options.num_samples, progress=True)
    summary = bounds.summary()
    write(files[1], {"nll": bounds.nll.float()}, {"num_samples": str(options.num_samples)})
    renew_sum(files[1])
    write_json(
        files[2],
        {
            "model": model.config,
            "objective": "ELBO" if log["num_samples"] == 1 else "importance-weighted bound",
            "starts_from": start,
            "num_training_images": len(images),
            "binarization": "stochastic: training images anew in each epoch, the others once, with seed 0",
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "seconds": log["seconds"],
            "stages": [log],
            "held_out" if options.hold_out else "test": summary | {"num_samples": options.num_samples},
        },
    )
    move(shipped, files[0])
    for path in unfinished.glob(f"{options.name}-*"):
        path.unlink(missing_ok=True)
    remove_if_empty(unfinished)
    _print(summary, options.num_samples)


def _images(split: str, folder: Path | None) -> Tensor:
    return (load_mnist(split) if folder is None else load_idx(folder, split))[0]


def _print(summary: dict[str, float], num_samples: int) -> None:
    print(f"{summary['num_images']} images, {num_samples} importance samples each, in nats per image:")
    print(f"-log p(x) at most {summary['nll']:.2f} ± {summary['standard_error']:.2f}")
    print(f"-ELBO {summary['minus_elbo']:.2f} ± {summary['minus_elbo_standard_error']:.2f}")
