"""Is your VAE right? Audits it, on MNIST or your own images."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import math
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_helpers.audit.adapters import course_vae
from vae_helpers.audit.model import EFFORTS
from vae_helpers.audit.run import audit
from vae_helpers.models.likelihoods import binarize
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import as_count, path_option
from vae_helpers.shipped.images import load_idx, load_mnist

NO_CODE = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".safetensors", ".h5", ".keras"}
EPILOG = """MAKE_MODEL is a function without arguments in FILE.py. It builds your model, loads its weights and
returns what `audit` takes: a dictionary with "encode" and "decode", perhaps "loss", "likelihood" … (an
adapter such as `pytorch_example` gives one), also "images" in place of --data; or a module with these two
methods. This command runs that file, your own code, and nothing else of yours: files of weights are opened by
your code alone. Its status is 1 where a mistake was found, 2 where the audit could not be made, else 0."""


def main(arguments: list[str] | None = None) -> int:
    """Audits the model that a function of the reader's returns."""
    parser = argparse.ArgumentParser(
        "python -m vae_helpers audit", description=(__doc__ or "").partition("\n")[0], epilog=EPILOG
    )
    parser.add_argument("model", metavar="FILE.py:MAKE_MODEL", help="whose function makes the model")
    parser.add_argument(
        "--data", type=path_option, metavar="FOLDER", help="with files in MNIST's format; else MNIST"
    )
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="how many test images; 1000")
    parser.add_argument(
        "--shape", type=int, nargs="+", metavar="N", help="of an image, such as 1 28 28; flat"
    )
    parser.add_argument(
        "--binarize", action="store_true", help="make black-and-white images of the grey ones"
    )
    parser.add_argument("--train", action="store_true", help="compare with as many training images")
    parser.add_argument("--effort", choices=EFFORTS, default="default")
    parser.add_argument("--seed", type=int, default=0, help="of the audit's own draws; 0")
    parser.add_argument("--json", type=path_option, metavar="FILE", help="write the report there, too")
    options = parser.parse_args(arguments)

    def work() -> int:
        if options.json is not None and not options.json.parent.is_dir():
            raise ValueError(f"--json: expected a file in a folder that exists, got {options.json}")
        given = _from_file(options.model)
        generator = torch.Generator().manual_seed(options.seed)
        if "images" not in given:
            given["images"] = _images(options, "test", generator)
            if options.train:
                given["train_images"] = _images(options, "train", generator)
        report = audit(**{"effort": options.effort, "generator": generator, **given})
        if options.json is not None:
            report.save(options.json)
        print(report)
        return 1 if report.mistakes else 0

    try:
        return work()
    except (ValueError, TypeError, FileNotFoundError) as error:
        hint = "; --shape 1 28 28 hands them over as pictures"
        is_of_shape = str(error).startswith("encode: expected a function that takes images")
        parser.error(f"{error}{hint if is_of_shape and options.shape is None else ''}")
    except KeyboardInterrupt:
        return 130


def _from_file(place: str) -> dict[str, Any]:
    """What the function of a file returns, as arguments of `audit`."""
    path, _, name = place.rpartition(":")
    if Path(place).suffix in NO_CODE or Path(path).suffix in NO_CODE:
        raise ValueError(
            f"model: expected FILE.py:FUNCTION, got {place!r}; a file of weights is not opened here, since "
            "one of torch.save may hold any program: let a function of yours load it"
        )
    path = Path(path)
    if path.suffix != ".py" or not name.isidentifier():
        raise ValueError(f"model: expected FILE.py:FUNCTION, got {place!r}")
    if not path.is_file():
        raise FileNotFoundError(f"model: expected a file that exists, got {path}")
    sys.path.insert(0, str(path.resolve().parent))  # as Python does for a file that it runs
    try:
        specification = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(specification)
        sys.modules.setdefault(path.stem, module)
        specification.loader.exec_module(module)
        make = getattr(module, name, None)
        if not callable(make):
            raise ValueError(f"model: expected a function {name} in {path}, found none")
        made = make()
    finally:
        sys.path.pop(0)
        if sys.modules.get(path.stem) is module:
            del sys.modules[path.stem]
    return _as_arguments(name, made)


def _as_arguments(name: str, made: Any) -> dict[str, Any]:
    if isinstance(made, VAE):
        return course_vae(made)
    if isinstance(made, dict):
        known = set(inspect.signature(audit).parameters)
        if missing := {"encode", "decode"} - set(made):
            raise ValueError(f"{name}: expected a dictionary with {' and '.join(sorted(missing))}")
        if unknown := set(made) - known:
            raise ValueError(
                f"{name}: expected arguments of audit, got {', '.join(sorted(map(str, unknown)))}"
            )
        return dict(made)
    if callable(getattr(made, "encode", None)) and callable(getattr(made, "decode", None)):
        return {"encode": made.encode, "decode": made.decode}
    raise TypeError(
        f"{name}: expected a dictionary of arguments of audit, or an object with encode and decode, got "
        f"{type(made).__name__}"
    )


def _images(options: argparse.Namespace, split: str, generator: torch.Generator) -> Tensor:
    count = as_count("--images", options.images, minimum=2)
    images = (load_mnist(split) if options.data is None else load_idx(options.data, split))[0][:count]
    if options.binarize:
        images = binarize(images, generator)
    if options.shape is None:
        return images
    if math.prod(options.shape) != images.shape[1]:
        shape = " ".join(map(str, options.shape))
        raise ValueError(f"--shape: expected sizes whose product is {images.shape[1]}, got {shape}")
    return images.reshape(-1, *options.shape)


if __name__ == "__main__":
    sys.exit(main())
