"""The README's section "How fast": ratios out of results.json, and the machine that they are from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vae_helpers.models.storage import whole_file

README = Path(__file__).parents[2] / "README.md"
SECTION = re.compile(r"(?<=^## How fast\n\n).*?(?=^## )", re.MULTILINE | re.DOTALL)
BATCHES = "An epoch, batches of 200"
RATIOS = {  # a row of the table: the group, its part, and what was measured
    "ten epochs of the usual public recipe, over `fit` to the same test loss": (
        *("quality", "Time to the usual recipe's test loss"),
        "the usual recipe's time over that of fit",
    ),
    "an epoch of Pyro's SVI, over one of `fit` on the same grey pixels": (
        *("training", BATCHES),
        "Pyro over fit on grey pixels",
    ),
    "an epoch of a plain loop over `DataLoader(TensorDataset)`, over one of `fit` on the same": (
        *("training", BATCHES),
        "the plain loop over fit on grey pixels",
    ),
    "an epoch of `fit` in float32, over its matrix products alone": (
        *("training", BATCHES),
        "fit over its matrix products, float32",
    ),
    "log p(x) on a grid, image by image, over `quadrature`": (
        *("bounds", "log p(x) of 20 images on 200 × 200 points"),
        "the loop over ours",
    ),
    "the log-density by `torch.distributions`, over ours by NumPy": (
        *("numerics", "Closed forms per number, float64, shape (20000, 50)"),
        "torch.distributions over ours, log-density",
    ),
}
GROUPS = {group for group, _, _ in RATIOS.values()}
TEXT = """\
Ratios of times by `python tests/benchmarks` on {cores} cores of an {processor} ({can}): the median of
{rounds} rounds in which the contestants take turns, and the smallest and largest. Epochs are of 784-400-20
ReLU networks in batches of 200; `fit` multiplies matrices in bfloat16 where nothing else is said.

| | times |
|---|---|
{rows}

"""


def section(results: dict[str, Any]) -> str:
    """The section's text."""
    rows = []
    for sentence, (group, part, what) in RATIOS.items():
        (row,) = (row for row in results[group]["figures"][part] if row["what"] == what)
        low, high = min(row["values"]), max(row["values"])
        rows.append(f"| {sentence} | {row['median']:.3g} ({low:.3g} to {high:.3g}) |")
    here = results["training"]["machine"]
    return TEXT.format(
        cores=here["cores"],
        processor=here["processor"],
        can=", ".join(here["in_hardware"]),
        rounds=results["training"]["rounds"],
        rows="\n".join(rows),
    )


def write(results: dict[str, Any]) -> None:
    """Puts the section into the README."""
    text = README.read_text(encoding="utf-8")
    with whole_file(README) as temporary:
        temporary.write_text(SECTION.sub(lambda _: section(results), text, count=1), encoding="utf-8")
