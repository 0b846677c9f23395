"""Measures every case of notebook 10 from several seeds: `python notebooks/mistakes.py`.

The cells that are tagged `definition` hold the wrong losses, the training and the measurement; they are
executed here as they stand, and each of their `CASES` is trained from each seed, on one thread (about six
minutes on one processor core). `vae_helpers/shipped/weights/mistakes.json`, which `load_mistakes` reads,
is replaced at the end, when all is done.
"""

from __future__ import annotations

import argparse
import ast
import math
import sys
import zlib
from pathlib import Path
from typing import Any

import nbformat
import torch

from vae_helpers.models import VAE, active_units, log_evidence_quadrature, observed
from vae_helpers.models.storage import fingerprint
from vae_helpers.numerics._validate import as_count
from vae_helpers.shipped.mistakes import FILE
from vae_helpers.shipped.recipes import write_json

NOTEBOOK = Path(__file__).parent / "10_spot_the_mistake.ipynb"
SEEDS = 5


def definitions(path: Path = NOTEBOOK) -> str:
    """The code of the cells that are tagged `definition`, one after another."""
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n\n".join(cell.source for cell in cells if "definition" in cell.metadata.get("tags", []))


def fingerprint_of(source: str) -> str:
    """Tells what two pieces of code do apart, in a few characters; comments and layout do not count."""
    return f"{zlib.crc32(ast.unparse(ast.parse(source)).encode()):08x}"


def executed(source: str) -> dict[str, Any]:
    """The names that the definitions bind."""
    space: dict[str, Any] = {}
    exec(compile(source, NOTEBOOK.name, "exec"), space)
    return space


@torch.no_grad()
def figures(space: dict[str, Any], name: str, model: VAE | None) -> dict[str, float | None]:
    """What `load_mistakes` tells of one model; None where there is no number."""
    kind = name.partition(":")[0]
    keys = ["claim", "true", "active", "std", "error"]
    keys += ["noise"] * (kind == "grey")
    keys += ["evidence"] * (kind == "2 latents")
    if model is None:
        return dict.fromkeys(keys)
    images = space["test_images"]
    x = observed(model, images, 0)
    claim, true = space["claim_and_truth"](name, model)
    values = {
        "claim": claim,
        "true": true,
        "active": int(active_units(model, x).sum()),
        "std": torch.exp(0.5 * model.encode(x)[1]).mean().item(),
        "error": (model.reconstruct(x) - x).square().sum(dim=-1).mean().item(),
    }
    if "noise" in keys:
        values["noise"] = torch.exp(0.5 * model.x_log_var).item()
    if "evidence" in keys:
        values["evidence"] = log_evidence_quadrature(model, x[:100], num_grid=400).mean().item()
    return {key: rounded(values[key]) for key in keys}


def rounded(value: float) -> float | None:
    """To a thousandth, or to six digits where it is large; None for what is no number."""
    if not math.isfinite(value):
        return None
    return round(value, 3) if abs(value) < 1e4 else float(f"{value:.6g}")


def measure(space: dict[str, Any], seeds: int) -> dict[str, dict[str, list[float | None]]]:
    """Trains each case from the seeds 0, 1, … and gives its figures, a list with one value for each seed."""
    models: dict[str, dict[str, list[float | None]]] = {}
    for name in space["CASES"]:
        rows = [figures(space, name, space["train"](name, seed)) for seed in range(seeds)]
        models[name] = {key: [row[key] for row in rows] for key in rows[0]}
        print(name, *(f"{models[name][key]}" for key in ("claim", "true")), flush=True)
    return models


def make(seeds: int = SEEDS, file: Path = FILE) -> None:
    """Measures all cases and replaces the file.

    Raises:
        TypeError, ValueError: not a whole number of at least 3 seeds; nothing has been trained then.
    """
    seeds, source = as_count("seeds", seeds, minimum=3), definitions()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that the last digits do not depend on their number
    try:
        space = executed(source)
        models = measure(space, seeds)
    finally:
        torch.set_num_threads(threads)
    about = {"definitions": fingerprint_of(source), "images": fingerprint(space["images"])}
    write_json(file, about | {"models": models})


def main(arguments: list[str] | None = None) -> int:
    """Measures from as many seeds as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, metavar="N", help="the seeds 0 to N-1; at least 3"
    )
    parser.add_argument("--file", type=Path, default=FILE, help="where the figures go")
    options = parser.parse_args(arguments)
    try:
        make(options.seeds, options.file)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
