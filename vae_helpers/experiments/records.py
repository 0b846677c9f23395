"""How fast can a VAE be trained? The literature's network to fixed targets, timed on one core.

`python -m vae_helpers records` trains every entry from five seeds, evaluates the models on all test
images, and prints time, -log p(x) and their spreads; RECORDS.md has the rules and the best figures so
far. It takes hours; with names of entries it makes those alone, and the same command goes on after an
interruption from the last finished epoch. A faster recipe is an entry in `ENTRIES`.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_helpers.models.storage import fingerprint, load, save, whole_file
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import as_count, path_option
from vae_helpers.shipped import burda
from vae_helpers.shipped.images import load_mnist
from vae_helpers.shipped.recipes import Recipe, check_name, exit_code, settings_of, train, write_json

MODEL = burda.PUBLISHED
SEEDS = BINARIZATIONS = 5
KEPT = Path(__file__).with_suffix(".json")
PAGE = Path(__file__).parents[2] / "RECORDS.md"
TABLE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)


class Entry(NamedTuple):
    """A target and the recipe that is to reach it.

    Attributes:
        target: -log p(x) of the test images in nats, averaged; at most this.
        minutes: of one core; at most these.
        about: whose figure the target is.
        stages: the keywords of `fit`, one training after the other, each from the weights of the last.
    """

    target: float
    minutes: float
    about: str
    stages: tuple[dict[str, Any], ...]


ENTRIES = {
    "burda": Entry(
        86.76,
        5,
        "the VAE of Burda et al. 2016, table 1",
        ({"epochs": 170, "num_samples": 1, "batch_size": 1536, "learning_rate": 1.3e-2, **burda.FAST},),
    ),
    "elbo": Entry(
        85.44,
        15,
        "the shipped model `vae`, by the ELBO",
        ({"epochs": 510, "num_samples": 1, "batch_size": 1536, "learning_rate": 1.3e-2, **burda.FAST},),
    ),
    "iwae": Entry(
        84.1,
        60,
        "by the importance-weighted bound",
        (
            {"epochs": 510, "num_samples": 1, "batch_size": 1536, "learning_rate": 1.3e-2, **burda.FAST},
            {"epochs": 100, "num_samples": 20, "batch_size": 128, "learning_rate": 2e-3, **burda.FAST},
        ),
    ),
}


class Folder:
    """What is kept of the runs: of each seed of an entry a model and a file of figures.

    Args:
        path: of the folder; made with the first thing that is written.
        images: what is trained on, grey values in [0, 1], shape (n, D).
        test_images: what is evaluated on, shape (m, D).
        num_samples: importance samples for each image.
    """

    def __init__(self, path: Path, images: Tensor, test_images: Tensor, num_samples: int) -> None:
        self.path, self.images, self.test_images, self.num_samples = path, images, test_images, num_samples

    def run(self, name: str, seed: int, binarizations: Iterable[int]) -> dict[str, Any]:
        """Trains what is not trained yet, evaluates what is not evaluated yet, and gives the figures.

        Raises:
            ValueError: the folder holds a run by another recipe, or on other images.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        model, seconds = self._trained(name, seed)
        figures = self.path / f"{name}-seed{seed}.json"
        how = {"images": fingerprint(self.test_images), "num_samples": self.num_samples}
        row = json.loads(figures.read_text(encoding="utf-8")) if figures.is_file() else how
        if {key: row.get(key) for key in how} != how:
            raise ValueError(f"folder: {figures} holds an evaluation on other images or samples; delete it")
        row |= {"entry": name, "seed": seed, "seconds": seconds, "processor": processor()}
        row.setdefault("nll", {})
        for of in map(str, binarizations):
            if of not in row["nll"]:
                bounds = burda.evaluate(model, self.test_images, self.num_samples, int(of), progress=True)
                row["nll"][of] = bounds.summary()["nll"]
                write_json(figures, row)
        return row

    def _trained(self, name: str, seed: int) -> tuple[VAE, float]:
        model, seconds = None, 0.0
        for number, stage in enumerate(ENTRIES[name].stages):
            seeds = {"model": 2 * seed, "training": 2 * seed + 1}
            recipe: Recipe = {"model": MODEL, "fit": stage, "seeds": seeds}
            stem = f"{name}-seed{seed}-stage{number}"
            weights, log, state = (
                self.path / f"{stem}.{kind}" for kind in ("safetensors", "json", "checkpoint")
            )
            wanted = json.loads(
                json.dumps({"seeds": seeds, "model": MODEL} | settings_of(recipe, self.images))
            )
            if not log.is_file():
                model, history = train(recipe, self.images, state, model, keep_checkpoint=True)
                for later in range(number + 1, len(ENTRIES[name].stages)):  # what rests on other weights
                    (self.path / f"{name}-seed{seed}-stage{later}.json").unlink(missing_ok=True)
                (self.path / f"{name}-seed{seed}.json").unlink(missing_ok=True)
                save(model, weights)
                write_json(log, wanted | {"seconds": sum(history.seconds)})
            state.unlink(missing_ok=True)
            there = json.loads(log.read_text(encoding="utf-8"))
            if {key: there.get(key) for key in wanted} != wanted:
                raise ValueError(f"folder: {log} holds a training by another recipe; delete it to start anew")
            model, seconds = load(weights), seconds + there["seconds"]
        return model, seconds


class Spread(NamedTuple):
    """A mean, the standard deviation from one to another (NaN for a single one), and how many there are."""

    mean: float
    deviation: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + (f" ± {self.deviation:.2f} ({self.count})" if self.count > 1 else " (1)")

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of some values."""
        values = np.asarray(list(values))
        return cls(
            float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.nan, len(values)
        )


def summarize(rows: list[dict[str, Any]]) -> dict[str, Spread]:
    """Of the rows of one entry: -log p(x) over seeds and over binarizations, and the minutes.

    The first is over models on the same zeros and ones (of binarization 0), the second over binarizations
    of the same images for the same model (of the first seed).
    """
    return {
        "over seeds": Spread.of(row["nll"]["0"] for row in rows),
        "over binarizations": Spread.of(rows[0]["nll"].values()),
        "minutes": Spread.of(row["seconds"] / 60 for row in rows),
    }


def table(rows: list[dict[str, Any]], with_open: bool = False) -> list[list[str]]:
    """A head, and a line for each entry, with whether it reaches its target in time.

    Args:
        rows: of any entries.
        with_open: also tell of the entries that have no row.
    """
    head = "entry|target|-log p(x) over seeds|over binarizations|minutes of a core|processor|goal"
    lines = [head.split("|")]
    for name, entry in ENTRIES.items():
        if these := [row for row in rows if row["entry"] == name]:
            nll, binarizations, minutes = summarize(these).values()
            good = nll.mean <= entry.target and minutes.mean <= entry.minutes
            processors = ", ".join(dict.fromkeys(row["processor"] for row in these))
            target = f"{entry.target:g} in {entry.minutes:g} minutes"
            found = [str(nll), str(binarizations), str(minutes), processors]
            lines.append([name, target, *found, "reached" if good else "missed"])
        elif with_open:
            lines.append([name, f"{entry.target:g} in {entry.minutes:g} minutes", *"––––", "open"])
    return lines


def print_table(rows: list[dict[str, Any]]) -> None:
    """The table in columns."""
    lines = table(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table as it stands in RECORDS.md."""
    head, *lines = ("| " + " | ".join(line) + " |" for line in table(rows, with_open=True))
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *lines]) + "\n"


def load_records() -> list[dict[str, Any]]:
    """The rows of the records that are kept."""
    return json.loads(KEPT.read_text(encoding="utf-8"))["rows"]


def keep(rows: list[dict[str, Any]]) -> None:
    """Puts rows in the place of the kept ones of the same entries, and the table into RECORDS.md."""
    made = {row["entry"] for row in rows}
    rows = [row for row in load_records() if row["entry"] not in made] + rows
    write_json(KEPT, {"rows": rows})
    text = PAGE.read_text(encoding="utf-8")
    with whole_file(PAGE) as temporary:
        temporary.write_text(TABLE.sub(lambda _: markdown(rows), text, count=1), encoding="utf-8")


def processor() -> str:
    """What this machine calls its processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), "") or platform.processor() or platform.machine()


def main(arguments: list[str] | None = None) -> int:
    """Makes the entries that are named on the command line, or all."""
    parser = argparse.ArgumentParser(
        "python -m vae_helpers records", description=(__doc__ or "").partition("\n")[0]
    )
    known = "; ".join(f"{name}: {entry.target:g}, {entry.about}" for name, entry in ENTRIES.items())
    parser.add_argument("names", nargs="*", default=list(ENTRIES), help=known)
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=list(range(1, SEEDS + 1)),
        metavar="N",
        help="1 to 5 by default",
    )
    parser.add_argument(
        "--binarizations",
        type=int,
        default=BINARIZATIONS,
        metavar="N",
        help="of the test images, for the first seed; the others are evaluated on the first alone",
    )
    parser.add_argument("--num-samples", type=int, default=burda.NUM_SAMPLES, help="for each image")
    parser.add_argument("--keep", action="store_true", help="write the figures into RECORDS.md")
    parser.add_argument(
        "--folder", type=path_option, default=Path("records"), help="where it is kept; ./records"
    )
    options = parser.parse_args(arguments)
    return exit_code(lambda: _run(options), parser)


def _run(options: argparse.Namespace) -> None:
    names = [check_name(name, ENTRIES) for name in options.names]
    seeds = [as_count("seeds", seed, maximum=2**62) for seed in options.seeds]
    binarizations = as_count("binarizations", options.binarizations)
    num_samples = as_count("num_samples", options.num_samples)
    figures, ruled = (len(set(seeds)), binarizations, num_samples), (SEEDS, BINARIZATIONS, burda.NUM_SAMPLES)
    if options.keep and any(here < rule for here, rule in zip(figures, ruled, strict=True)):
        text = "{} seeds, {} binarizations and {} samples"
        raise ValueError(f"keep: expected at least {text.format(*ruled)}, got {text.format(*figures)}")
    folder = Folder(options.folder, load_mnist("train")[0], load_mnist("test")[0], num_samples)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the rule: one core
    try:
        rows = [
            folder.run(name, seed, range(binarizations if seed == seeds[0] else 1))
            for name in names
            for seed in seeds
        ]
    finally:
        torch.set_num_threads(threads)
    print_table(rows)
    write_json(options.folder / "records.json", {"rows": rows})
    if options.keep:
        keep(rows)
