"""The published models on a GPU: `python tests/benchmarks/gpu.py`, or with names only some of its parts.

- `check` evaluates the shipped models on the GPU: the figures have to be those of the CPU, up to draws.
- `default` trains the model of notebook 6's kind (784-400-20) by `fit` as it is.
- `time` trains the first recipe for as many epochs as the record on one core, and doubles them until its
  model reaches 86.76 nats (Burda et al. 2016, table 1: their VAE); it tells how long that training took.
- `vae`, `iwae` and `wide` train the three models as `python -m vae_helpers burda` does, and evaluate them.

Figures go to gpu.json beside this file, each part as soon as it is done. Without a GPU nothing is written:
the script then runs what it is asked for, made short by the options, only to show that it works.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from harness import machine
from torch import Tensor

from vae_helpers.models import VAE, fit
from vae_helpers.models.storage import whole_file
from vae_helpers.shipped import burda, load_mnist, recipes

RESULTS = Path(__file__).parent / "gpu.json"
TO_REACH = 86.76
FIRST_EPOCHS, MOST_EPOCHS = 170, 680  # the first is that of the record on one core
# The same model and images, other draws: their noise is some hundredths of a nat over 10,000 images.
MOST_APART = 0.05


class Parts:
    """What the script can do, with the settings of its command line."""

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        self.options, self.device = options, device
        self.images, self.test_images = (
            load_mnist(split)[0][: options.num_images] for split in ("train", "test")
        )

    def check(self) -> dict[str, Any]:
        """The shipped models, evaluated here and by the CPU that made them."""
        told = {}
        for name in burda.RECIPES:
            there = burda.load_test_nll(name)[: len(self.test_images)]
            started = time.perf_counter()
            here = self._nll(burda.load_trained(name)).cpu()
            seconds, apart = time.perf_counter() - started, (here - there).mean().item()
            told[name] = {"here": here.mean().item(), "cpu": there.mean().item(), "apart": apart}
            told[name]["seconds"] = seconds
            if self.options.num_samples == burda.NUM_SAMPLES and abs(apart) > MOST_APART:
                raise SystemExit(f"{name}: {apart:+.3f} nats from the CPU's figure, more than {MOST_APART}")
        return told

    def default(self) -> dict[str, Any]:
        """What `fit` does with no option, after a first epoch that starts the device; by test -ELBO."""
        told = []
        for epochs in (1, self.options.epochs or 5):
            model = VAE(latent_dim=20, hidden_dim=400, generator=torch.Generator().manual_seed(1))
            history = fit(
                model,
                self.images,
                epochs,
                test_images=self.test_images,
                generator=torch.Generator().manual_seed(2),
            )
            told.append({"epochs": epochs, "seconds": sum(history.seconds), "test": history.test[-1]})
        return told[-1]

    def time(self) -> dict[str, Any]:
        """How long a training takes whose model reaches the published figure."""
        epochs, told = FIRST_EPOCHS, []
        while epochs <= (self.options.epochs or MOST_EPOCHS):
            told.append(self._trained("vae", epochs))
            if told[-1]["nll"] <= TO_REACH:
                break
            epochs *= 2
        return {"to_reach": TO_REACH, "trainings": told}

    def train(self, name: str) -> dict[str, Any]:
        """One of the three models by its own recipe."""
        return self._trained(name, self.options.epochs or burda.RECIPES[name]["fit"]["epochs"])

    def _trained(self, name: str, epochs: int) -> dict[str, Any]:
        recipe = burda.RECIPES[name]
        recipe = recipe | {"fit": recipe["fit"] | {"epochs": epochs}}
        start = burda.load_trained(recipe["start"]) if "start" in recipe else None
        started = time.perf_counter()
        model, _ = recipes.train(recipe, self.images, start=start)
        seconds = time.perf_counter() - started
        return {"epochs": epochs, "seconds": seconds, "nll": self._nll(model).mean().item()}

    def _nll(self, model: VAE) -> Tensor:
        return burda.evaluate(model.to(self.device), self.test_images, self.options.num_samples).nll


def main() -> None:
    """Runs the parts named on the command line, or all."""
    parser = argparse.ArgumentParser("python tests/benchmarks/gpu.py", description=__doc__.splitlines()[0])
    names = ("check", "default", "time", *burda.RECIPES)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(names)}")
    parser.add_argument("--epochs", type=int, help="at most so many, instead of the recipes'")
    parser.add_argument("--num-images", type=int, help="only so many of the training and the test images")
    parser.add_argument(
        "--num-samples", type=int, default=burda.NUM_SAMPLES, help="importance samples an image"
    )
    options = parser.parse_args()
    if unknown := set(options.parts) - set(names):
        parser.error(f"parts: expected some of {', '.join(names)}, got {', '.join(sorted(unknown))}")
    found = torch.accelerator.current_accelerator(check_available=True)
    parts = Parts(options, found or torch.device("cpu"))
    told = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    for name in options.parts or names:
        figures = getattr(parts, name)() if name not in burda.RECIPES else parts.train(name)
        print(name, json.dumps(figures, indent=1), flush=True)
        if found is not None:
            told[name] = {"machine": machine(), "num_samples": options.num_samples, **figures}
            with whole_file(RESULTS) as temporary:
                temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if found is None:
        print("no GPU here: these figures say nothing, and none are written")


if __name__ == "__main__":
    main()
