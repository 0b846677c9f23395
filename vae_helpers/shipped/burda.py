"""A test log-likelihood that stands beside the literature: Burda et al. 2016, table 1, and a wider VAE.

`python -m vae_helpers burda vae` trains the model by the ELBO and evaluates it on all test
images; `python -m vae_helpers burda iwae` goes on from its weights by the importance-weighted
bound; `python -m vae_helpers burda wide` trains wider networks by the ELBO in the time of the
first. A bar shows how far it is. Each may be interrupted at any moment: the same command goes on
from the last finished epoch. `--hold-out` trains on 55,000 images and evaluates on the other 5,000
training images: so, and never on the test set, settings are compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vae_helpers.models._validate import check_images
from vae_helpers.models.data import binarize, load_idx
from vae_helpers.models.evaluation import importance_bounds
from vae_helpers.models.storage import fingerprint, load, read, save, whole_file, write
from vae_helpers.models.training import fit
from vae_helpers.models.vae import VAE
from vae_helpers.numerics.monte_carlo import estimate
from vae_helpers.shipped.images import load_mnist

FOLDER = Path(__file__).parent / "weights" / "burda"
NUM_SAMPLES = 5000
NUM_HELD_OUT = 5000


class Recipe(NamedTuple):
    """How a model is trained: from fresh weights or another model's, by one stage after another.

    Attributes:
        model: the keywords of `VAE`.
        start: the name of the model whose weights it starts from, or None.
        stages: the keywords of `fit` for each stage.
    """

    model: dict[str, Any]
    start: str | None
    stages: tuple[dict[str, Any], ...]


# The architecture of the paper, and one with wider layers of smoother units.
_PUBLISHED = {"latent_dim": 50, "hidden_dim": 200, "num_hidden": 2, "activation": "tanh"}
_WIDE = _PUBLISHED | {"hidden_dim": 400, "activation": "gelu"}
_FAST = {"warmup": 0.0, "optimizer": "muon", "precision": torch.bfloat16}
_ELBO = {"num_samples": 1, "batch_size": 512, "learning_rate": 6e-3, **_FAST}
_IWAE = {"num_samples": 20, "batch_size": 128, "learning_rate": 2e-3, **_FAST}
RECIPES = {
    "vae": Recipe(_PUBLISHED, None, ({"epochs": 1150, **_ELBO},)),
    "iwae": Recipe(_PUBLISHED, "vae", ({"epochs": 300, **_IWAE},)),
    "wide": Recipe(_WIDE, None, ({"epochs": 420, **_ELBO},)),
}


class Likelihood(NamedTuple):
    """What `evaluate` found, each of shape (batch,), float64, in nats.

    Attributes:
        nll: minus the importance-weighted bound with all draws, an upper bound of -log p(x) in
            expectation.
        minus_elbo: minus the average of the log-weights.
    """

    nll: Tensor
    minus_elbo: Tensor

    def summary(self) -> dict[str, float]:
        """Means over at least two images with their standard errors."""
        nll, minus_elbo = estimate(self.nll.numpy()), estimate(self.minus_elbo.numpy())
        return {
            "nll": float(nll.mean),
            "standard_error": float(nll.standard_error),
            "minus_elbo": float(minus_elbo.mean),
            "minus_elbo_standard_error": float(minus_elbo.standard_error),
            "num_images": nll.count,
        }


def evaluate(
    model: VAE, images: Tensor, num_samples: int = NUM_SAMPLES, seed: int = 0, progress: bool = False
) -> Likelihood:
    """-log p(x) of each image by importance samples, after one stochastic binarization.

    Args:
        model: a VAE with a Bernoulli likelihood.
        images: grey values in [0, 1], shape (batch, D).
        num_samples: draws from q(z given x) for each image.
        seed: of the binarization; the draws come from the next one.
        progress: show a bar.

    Returns:
        `Likelihood`.

    Raises:
        ValueError: images of a wrong shape or outside [0, 1], num_samples below 1, or a model with
            another likelihood.

    Source: Burda, Grosse & Salakhutdinov 2016, section 5.2 and table 1.
    """
    if model.likelihood != "bernoulli":
        raise ValueError(
            f"model: expected a Bernoulli likelihood of black-and-white pixels, got {model.likelihood!r}"
        )
    x = binarize(check_images(images), torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed + 1)
    bounds = importance_bounds(model, x, (1, num_samples), generator, progress)
    return Likelihood(-bounds[num_samples], -bounds[1])


def load_trained(name: str) -> VAE:
    """Loads a shipped model, "vae", "iwae" or "wide", on the CPU and in evaluation mode.

    Raises:
        ValueError: an unknown name.
    """
    return load(FOLDER / f"{_check_name(name)}.safetensors")


def load_log(name: str) -> dict[str, Any]:
    """The log of the run that made a shipped model: settings, curve, seconds, test figures.

    Raises:
        ValueError: an unknown name.
    """
    return json.loads((FOLDER / f"{_check_name(name)}.json").read_text(encoding="utf-8"))


def load_test_nll(name: str) -> Tensor:
    """-log p(x) of each of the 10,000 test images, as the run found it: `evaluate` with seed 0.

    Raises:
        ValueError: an unknown name.
    """
    return read(FOLDER / f"{_check_name(name)}.test.safetensors")[0]["nll"]


def train(
    name: str, images: Tensor, folder: Path, start: VAE | None = None
) -> tuple[VAE, list[dict[str, Any]]]:
    """Trains by the recipe of this name, or goes on with what an earlier call left in the folder.

    Args:
        name: a key of `RECIPES`.
        images: grey values in [0, 1], shape (n, D).
        folder: where the state is kept until the last stage is done.
        start: the model whose weights it starts from; None for fresh ones.

    Returns:
        The model, and for each stage its settings, the seconds that it took, and the curve of the
        bound on the training images, in nats.

    Raises:
        ValueError: an unknown name, images of a wrong shape or outside [0, 1], or a state in the
            folder that belongs to other settings or images.
    """
    recipe = RECIPES[_check_name(name)]
    folder.mkdir(parents=True, exist_ok=True)
    model = VAE(**recipe.model, data_dim=images.shape[-1], generator=torch.Generator().manual_seed(1))
    if start is not None:
        model.load_state_dict(start.state_dict())
    log = []
    for number, stage in enumerate(recipe.stages):
        first = number == 0 and start is None
        finished, record, state = (
            folder / f"{name}-{number}{ending}" for ending in (".safetensors", ".json", ".checkpoint")
        )
        told = {key: str(value) if isinstance(value, torch.dtype) else value for key, value in stage.items()}
        told["images"] = fingerprint(images)
        if record.is_file():
            done = json.loads(record.read_text(encoding="utf-8"))
            if {key: done.get(key) for key in told} != told:
                raise ValueError(f"folder: {folder} holds a stage of another recipe; delete it to start anew")
            model = load(finished)
        else:
            generator = torch.Generator().manual_seed(2 + number)
            history = fit(model, images, **stage, init_bias=first, generator=generator, checkpoint=state)
            curve = [round(value, 3) for value in history.train]
            done = told | {"seconds": round(sum(history.seconds)), "minus_bound": curve}
            save(model, finished)
            _write_json(record, done)
        log.append(done)
    return model, log


def main(arguments: list[str] | None = None) -> int:
    """Trains and evaluates the model named on the command line, or evaluates a finished one."""
    parser = argparse.ArgumentParser("python -m vae_helpers burda", description=__doc__.splitlines()[0])
    parser.add_argument(
        "name",
        choices=list(RECIPES),
        help="the published network by the ELBO or the importance-weighted bound, or a wider one",
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where model, log and state are kept")
    parser.add_argument(
        "--evaluate", action="store_true", help="evaluate the finished model and write nothing"
    )
    parser.add_argument(
        "--hold-out", action="store_true", help="keep 5,000 training images back and evaluate on them"
    )
    parser.add_argument("--data", type=Path, help="a folder with files in MNIST's format, instead of MNIST")
    parser.add_argument(
        "--num-samples", type=int, default=NUM_SAMPLES, help="importance samples for each image"
    )
    parser.add_argument("--threads", type=int, help="processor cores to use; all by default")
    told = parser.parse_args(arguments)
    if told.data and not told.evaluate and told.folder == FOLDER:
        parser.error(
            "--data: give a --folder, too; without one the shipped models of MNIST would be replaced"
        )
    if told.threads:
        torch.set_num_threads(told.threads)
    try:
        _run(told)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on from the last finished epoch", file=sys.stderr)
        return 130
    return 0


def _run(told: argparse.Namespace) -> None:
    folder = told.folder / "held_out" if told.hold_out else told.folder
    images, judged_on = _images("train", told.data), _images("test", told.data)
    if told.hold_out:
        images, judged_on = images[:-NUM_HELD_OUT], images[-NUM_HELD_OUT:]
    files = [folder / f"{told.name}{ending}" for ending in (".safetensors", ".test.safetensors", ".json")]
    if told.evaluate:
        _report(evaluate(load(files[0]), judged_on, told.num_samples, progress=True), told.num_samples)
        return
    start = RECIPES[told.name].start
    unfinished = folder / "unfinished"
    model, stages = train(told.name, images, unfinished, start and load(folder / f"{start}.safetensors"))
    save(model, unfinished / f"{told.name}.safetensors", dtype=torch.float16)
    # What is evaluated is what is shipped: the weights in half precision.
    found = evaluate(
        load(unfinished / f"{told.name}.safetensors"), judged_on, told.num_samples, progress=True
    )
    log = {
        "model": model.config,
        "objective": "ELBO" if stages[-1]["num_samples"] == 1 else "importance-weighted bound",
        "starts_from": start,
        "num_training_images": len(images),
        "binarization": "stochastic: training images anew in each epoch, the others once, with seed 0",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "seconds": sum(stage["seconds"] for stage in stages),
        "stages": stages,
        "held_out" if told.hold_out else "test": found.summary() | {"num_samples": told.num_samples},
    }
    write(files[1], {"nll": found.nll.float()}, {"num_samples": str(told.num_samples)})
    _write_json(files[2], log)
    (unfinished / f"{told.name}.safetensors").replace(files[0])
    for left in unfinished.glob(f"{told.name}-*"):
        left.unlink()
    if not any(unfinished.iterdir()):  # the other model may still wait there
        unfinished.rmdir()
    _report(found, told.num_samples)


def _images(split: str, folder: Path | None) -> Tensor:
    return (load_mnist(split) if folder is None else load_idx(folder, split))[0]


def _report(found: Likelihood, num_samples: int) -> None:
    told = found.summary()
    print(f"{told['num_images']} images, {num_samples} importance samples each, in nats per image:")
    print(f"-log p(x) at most {told['nll']:.2f} ± {told['standard_error']:.2f}")
    print(f"-ELBO {told['minus_elbo']:.2f} ± {told['minus_elbo_standard_error']:.2f}")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _check_name(name: str) -> str:
    if name not in RECIPES:
        raise ValueError(f"name: expected one of {', '.join(RECIPES)}, got {name!r}")
    return name
