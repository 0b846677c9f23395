"""How much the figures of a model differ from seed to seed, and the command that measures it.

`python -m vae_helpers spread` trains the families of notebooks 7 and 9 from three seeds each (those that
are shipped are only judged) and writes `vae_helpers/shipped/weights/spread.json`. It may be interrupted at
any moment; the same command goes on from the last finished epochs, and the file is replaced when all are
done. What was measured by another recipe, or of other images, is measured anew.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vae_helpers.models._bar import bar
from vae_helpers.models.evaluation import active_units, log_evidence_iwae
from vae_helpers.models.storage import load
from vae_helpers.models.training import mean_elbo, observed
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import as_count, path_option
from vae_helpers.shipped.crew import LocalCrew
from vae_helpers.shipped.images import load_mnist
from vae_helpers.shipped.pretrained import BETAS, LATENT_DIMS, RECIPES, REMEDIES
from vae_helpers.shipped.recipes import (
    FOLDER,
    Recipe,
    check_name,
    checked,
    exit_code,
    remove_if_empty,
    settings_of,
    train,
    write_json,
)

SPREAD_SEEDS = (1, 3, 5)
NUM_DRAWS = 100  # of the importance-weighted bound, on so many images:
NUM_BOUND = 1000
# The name of a member, and the recipe of its first seed.
MEMBERS: dict[str, str] = {
    **{f"latent_{d}": f"latent_{d}" for d in LATENT_DIMS},
    **{f"beta_{beta:g}": f"beta_{beta:g}" for beta in BETAS},
    **{f"remedy_{name}": f"remedy_{name}_{SPREAD_SEEDS[0]}" for name in REMEDIES},
}


def load_spread(name: str) -> dict[str, np.ndarray]:
    """The figures of one recipe from three seeds.

    Args:
        name: "latent_1" to "latent_50", "beta_0.1" to "beta_16", or "remedy_none" to
            "remedy_free_bits_0.25", as `load_pretrained` without the seed.

    Returns:
        Arrays of shape (3,), in the order of `SPREAD_SEEDS`; the first is the shipped model. In nats per
        image, for the weight 1 of the KL: `elbo` and its parts `log_likelihood` and `kl` on the 10,000 test
        images, by one draw each; `train_elbo` on the first 10,000 training images, which are easier than the
        others (so it is no measure of overfitting); `bound`, the importance-weighted bound with 100 draws on
        the first 1,000 test images; and the number of `active_units`.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: an unknown name, or a file that is not the one that was shipped.
    """
    check_name(name, MEMBERS)
    rows = json.loads(checked(FOLDER / "spread.json").read_text(encoding="utf-8"))[name]["figures"]
    return {figure: np.array([row[figure] for row in rows]) for figure in rows[0]}


def recipe_of(name: str, seed: int) -> Recipe:
    """The recipe of a member from a seed; that of the shipped model, but for the generators."""
    return RECIPES[MEMBERS[name]] | {"seeds": {"model": seed, "training": seed + 1}}


def shipped_as(name: str, seed: int) -> str | None:
    """The key of `RECIPES` under which this very model ships; None if it does not."""
    recipe = recipe_of(name, seed)
    for key in (MEMBERS[name], f"{name}_{seed}"):
        if key in RECIPES and {"seeds": {"model": 1, "training": 2}} | RECIPES[key] == recipe:
            return key
    return None


def judge(model: VAE) -> dict[str, float]:
    """The figures of a model that `load_spread` names, by generators of their own."""
    model.eval()
    test, training = (load_mnist(split)[0] for split in ("test", "train"))
    x, seen = observed(model, test, 0), observed(model, training[: len(test)], 0)
    elbo, log_likelihood, kl = mean_elbo(model, x, torch.Generator().manual_seed(1))
    bound = log_evidence_iwae(model, x[:NUM_BOUND], NUM_DRAWS, torch.Generator().manual_seed(2))
    figures = {
        "elbo": elbo,
        "log_likelihood": log_likelihood,
        "kl": kl,
        "train_elbo": mean_elbo(model, seen, torch.Generator().manual_seed(1))[0],
        "bound": bound.double().mean().item(),
    }
    return {key: round(value, 3) for key, value in figures.items()} | {
        "active_units": int(active_units(model, x).sum())
    }


def _finish(name: str, seed: int, file: Path, weights: Path) -> None:
    """Trains and judges one model that an earlier call has not finished by this recipe."""
    torch.set_num_threads(1)
    images, recipe = load_mnist("train")[0], recipe_of(name, seed)
    wanted = json.loads(json.dumps(recipe | {"fit": settings_of(recipe, images)}))
    key, state = shipped_as(name, seed), file.with_suffix(".checkpoint")
    if key is None and file.is_file() and json.loads(file.read_text(encoding="utf-8"))["recipe"] == wanted:
        return
    if key is not None:
        model = load(weights / f"{key}.safetensors")
    else:
        quiet = recipe | {"fit": recipe["fit"] | {"progress": False}}
        model = train(quiet, images, state, keep_checkpoint=True)[0]
        model.half().float()  # as the shipped ones
    file.parent.mkdir(parents=True, exist_ok=True)  # another process may have taken it away, being done
    write_json(file, {"recipe": wanted, "figures": judge(model)})
    state.unlink(missing_ok=True)


def make(folder: Path = FOLDER, workers: int | None = None, names: list[str] | None = None) -> None:
    """Measures the spread and writes `spread.json`; goes on where an earlier call was interrupted.

    Args:
        folder: where the shipped models are, and the file goes.
        workers: how many models are trained at once, each by one thread; by default one for each core.
        names: keys of `MEMBERS`; the others stay as they are in the file. All by default.

    Raises:
        TypeError, ValueError: an unknown name, or not a whole number of at least 1; nothing has been
            trained then.
    """
    names = [check_name(name, MEMBERS) for name in (list(MEMBERS) if names is None else names)]
    workers = as_count("workers", (os.cpu_count() or 1) if workers is None else workers)
    unfinished = folder / "unfinished"
    unfinished.mkdir(parents=True, exist_ok=True)
    files = {(n, s): unfinished / f"spread_{n}_{s}.json" for n in dict.fromkeys(names) for s in SPREAD_SEEDS}
    tasks = [(name, seed, file, folder) for (name, seed), file in files.items()]
    with bar(progress=True, total=len(tasks), unit="model") as shown:
        if (workers := min(workers, len(tasks))) == 1:
            threads = torch.get_num_threads()
            try:
                for task in tasks:
                    _finish(*task)
                    shown.update()
            finally:
                torch.set_num_threads(threads)
        else:
            _side_by_side(workers, tasks, shown.update)
    target = folder / "spread.json"
    table: dict[str, Any] = json.loads(target.read_text(encoding="utf-8")) if target.is_file() else {}
    for name in dict.fromkeys(names):
        rows = [json.loads(files[name, seed].read_text(encoding="utf-8")) for seed in SPREAD_SEEDS]
        recipe = {key: value for key, value in rows[0]["recipe"].items() if key != "seeds"}
        table[name] = {"recipe": recipe, "figures": [row["figures"] for row in rows]}
    write_json(target, {name: table[name] for name in MEMBERS if name in table})
    for file in files.values():
        file.unlink(missing_ok=True)
        file.with_suffix(".checkpoint").unlink(missing_ok=True)
    remove_if_empty(unfinished)
    print(f"written: {target.name} with {', '.join(dict.fromkeys(names))}")


def _side_by_side(workers: int, tasks: list[tuple[str, int, Path, Path]], done: Callable[[], object]) -> None:
    crew = LocalCrew(workers)
    try:
        for future in as_completed([crew.submit(f"{t[0]} {t[1]}", _finish, *t) for t in tasks]):
            future.result()
            done()
    except crew.lost as error:
        raise ValueError(f"workers: a process was killed again and again: {error}") from error
    finally:
        crew.close()


def main(arguments: list[str] | None = None) -> int:
    """Measures the members named on the command line, or all."""
    parser = argparse.ArgumentParser(
        "python -m vae_helpers spread", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("names", nargs="*", default=list(MEMBERS), help=", ".join(MEMBERS))
    parser.add_argument(
        "--folder", type=path_option, default=FOLDER, help="where the shipped models are kept"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes; one for each core by default")
    options = parser.parse_args(arguments)
    return exit_code(lambda: make(options.folder, options.workers, options.names), parser, "model")
