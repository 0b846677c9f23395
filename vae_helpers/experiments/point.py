"""One point of a sweep: a model that a worker trains and judges, here or on another machine."""

from __future__ import annotations

import math
import socket
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from vae_helpers import __version__
from vae_helpers.models._validate import NotFiniteError
from vae_helpers.models.evaluation import active_units
from vae_helpers.models.storage import fingerprint
from vae_helpers.models.training import fast_precision, mean_elbo, observed
from vae_helpers.numerics._validate import as_count, as_number
from vae_helpers.shipped.images import load_idx, load_mnist
from vae_helpers.shipped.recipes import Recipe, train

Row = dict[str, Any]  # what is known of a point: what `train_point` returns, or read again
_PRECISIONS = {str(kind): kind for kind in (torch.float32, torch.bfloat16)}
_LOADING = Lock()  # a worker may have several threads


@dataclass(frozen=True, order=True)
class Point:
    """What differs from model to model in a sweep.

    Attributes:
        latent_dim: size of z.
        hidden_dim: units in each hidden layer.
        beta: weight of the KL in training.
        seed: the generators of the initial weights and of the training have the seeds 2 seed and 2 seed + 1.

    Raises:
        TypeError: a size or a seed that is not a whole number.
        ValueError: a size below 1, a negative or infinite beta, a seed that no generator takes.
    """

    latent_dim: int
    hidden_dim: int
    beta: float
    seed: int

    def __post_init__(self) -> None:
        """Checks each."""
        as_count("latent_dim", self.latent_dim)
        as_count("hidden_dim", self.hidden_dim)
        object.__setattr__(self, "beta", as_number("beta", self.beta, minimum=0))
        as_count("seed", self.seed, minimum=0, maximum=2**62 - 1)

    @property
    def name(self) -> str:
        """Of its file, and of its task on a cluster."""
        return f"d{self.latent_dim}-h{self.hidden_dim}-beta{self.beta!r}-seed{self.seed}"


def load_images(data: str | None, num_images: int | None) -> tuple[Tensor, Tensor]:
    """The images of a sweep.

    Args:
        data: a folder with files in MNIST's format; None for MNIST itself.
        num_images: of the training images the first so many; None for all.

    Returns:
        Training and test images, grey values in [0, 1], shapes (n, D) and (m, D).

    Raises:
        FileNotFoundError: no such files.
        ValueError: damaged ones, or fewer training images than that.
    """
    splits = ("train", "test")
    training, test = (load_mnist(s)[0] if data is None else load_idx(Path(data), s)[0] for s in splits)
    if num_images is not None and as_count("num_images", num_images) > len(training):
        raise ValueError(f"num_images: expected at most {len(training)}, got {num_images}")
    return training[:num_images], test


def settings_of(epochs: int, likelihood: str, num_images: int | None, data: str | None) -> dict[str, Any]:
    """What all points of a sweep share, as JSON holds it; with a point, it decides the figures.

    Raises:
        FileNotFoundError, ValueError: as `load_images`.
    """
    shared = {"epochs": as_count("epochs", epochs), "likelihood": likelihood, "num_images": num_images}
    # That of the machine that starts the sweep, also on a worker that has other hardware.
    shared["precision"] = str(fast_precision(torch.device("cpu")))
    return shared | _measured(load_images(data, num_images))


def train_point(axes: dict[str, Any], settings: dict[str, Any], data: str | None = None) -> Row:
    """Trains one model on one thread and judges it; the same figures wherever it is done.

    Args:
        axes: which model: the fields of a `Point`.
        settings: of the sweep, by `settings_of`.
        data: as of `load_images`, on the machine that does the work.

    Returns:
        The point, and in nats per image, for the weight 1 of the KL whatever beta is: `test_elbo` and its
        parts `test_log_likelihood` and `test_kl` by one draw for each test image, and `train_elbo` on as
        many of the training images; the `active_units`, and the `seconds` that all of it took. Of a model
        whose training diverged, the point and in `failed` the reason.

    Raises:
        ValueError: this machine has other images or other versions than the one that started the sweep.
    """
    point = Point(**axes)
    torch.set_num_threads(1)  # of the thread that works: sums are taken in one order on every machine
    with _LOADING:
        training, test, here = _at_hand(data, settings["num_images"])
    if other := [name for name in here if settings[name] != here[name]]:
        name = other[0]
        raise ValueError(
            f"{name}: expected {settings[name]!r} on every worker, as where the sweep was started; "
            f"{socket.gethostname()} has {here[name]!r}"
        )
    started = time.perf_counter()
    recipe: Recipe = {
        "model": {
            "latent_dim": point.latent_dim,
            "hidden_dim": point.hidden_dim,
            "likelihood": settings["likelihood"],
        },
        "fit": {
            "epochs": settings["epochs"],
            "beta": point.beta,
            "precision": _PRECISIONS[settings["precision"]],
            "device": "cpu",
            "progress": False,
        },
        "seeds": {"model": 2 * point.seed, "training": 2 * point.seed + 1},
    }
    try:
        model, _ = train(recipe, training)
        x, seen = observed(model, test, 0), observed(model, training[: len(test)], 0)
        elbo, log_likelihood, kl = mean_elbo(model, x, torch.Generator().manual_seed(1))
        figures = {
            "test_elbo": elbo,
            "test_log_likelihood": log_likelihood,
            "test_kl": kl,
            "active_units": int(active_units(model, x).sum()),
            "train_elbo": mean_elbo(model, seen, torch.Generator().manual_seed(1))[0],
        }
    except (FloatingPointError, NotFiniteError) as error:
        return asdict(point) | {"failed": str(error)}
    if not all(map(math.isfinite, figures.values())):
        return asdict(point) | {"failed": f"the test ELBO became {figures['test_elbo']}"}
    return asdict(point) | figures | {"seconds": round(time.perf_counter() - started, 2)}


@lru_cache(maxsize=1)
def _at_hand(data: str | None, num_images: int | None) -> tuple[Tensor, Tensor, dict[str, str]]:
    """The images, read once by each process, and what they and the programs are."""
    try:
        images = load_images(data, num_images)
    except FileNotFoundError as error:
        raise ValueError(
            f"data: expected it on every worker; {socket.gethostname()} does not have it: {error}"
        ) from error
    return *images, _measured(images)


def _measured(images: tuple[Tensor, Tensor]) -> dict[str, str]:
    """What has to be the same on all machines: the images, and the versions of the programs."""
    return {
        "training_images": fingerprint(images[0]),
        "test_images": fingerprint(images[1]),
        "torch": str(torch.__version__),  # which is of a class of its own
        "vae_helpers": __version__,
    }
