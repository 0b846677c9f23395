"""The trained models that the notebooks show, and the one command that makes them again.

`python -m vae_helpers.pretrained` trains all of them (about three minutes on two CPU cores) and
replaces the files in `vae_helpers/weights/`; with names, only those.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from vae_helpers.data import load_mnist
from vae_helpers.models import VAE
from vae_helpers.training import fit, load, save

FOLDER = Path(__file__).parent / "weights"
RECIPES: dict[str, dict[str, dict[str, object]]] = {
    "digits_20": {"model": {"latent_dim": 20}, "fit": {"epochs": 18}},
    "digits_2": {"model": {"latent_dim": 2}, "fit": {"epochs": 40}},
    "grey_20": {"model": {"latent_dim": 20, "likelihood": "gaussian"}, "fit": {"epochs": 18}},
}


def load_pretrained(name: str) -> VAE:
    """Loads one of the shipped models, on the CPU and in evaluation mode.

    Args:
        name: a key of `RECIPES`: "digits_20" and "digits_2" have a Bernoulli likelihood on
            binarized pixels and 20 or 2 latents; "grey_20" a Gaussian one on grey values.

    Raises:
        ValueError: an unknown name.
    """
    _check_name(name)
    return load(FOLDER / f"{name}.safetensors")


def make(name: str) -> VAE:
    """Trains the model `name` by its recipe on all 60,000 images; the same again every time."""
    recipe = RECIPES[_check_name(name)]
    model = VAE(**recipe["model"], generator=torch.Generator().manual_seed(1))
    images, _ = load_mnist("train")
    fit(model, images, **recipe["fit"], generator=torch.Generator().manual_seed(2))
    return model


def main() -> None:
    """Makes the models named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(RECIPES), help=", ".join(RECIPES))
    # All names are checked, and the folder is there, before minutes of training.
    names = [_check_name(name) for name in parser.parse_args().names]
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        save(make(name), FOLDER / f"{name}.safetensors", dtype=torch.float16)
        print(f"{name}: written")


def _check_name(name: str) -> str:
    if name not in RECIPES:
        raise ValueError(f"name: expected one of {', '.join(RECIPES)}, got {name!r}")
    return name


if __name__ == "__main__":
    main()
