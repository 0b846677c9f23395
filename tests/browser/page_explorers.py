"""Pages with explorers of the web edition, made for a test: descriptions, data scripts, the page around."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

import lab
import torch

from vae_helpers.models.likelihoods import binarize
from vae_helpers.shipped.images import load_mnist
from vae_helpers.shipped.pretrained import load_pretrained
from vae_helpers.site.description import describe, traits_of
from vae_helpers.site.slices import Found, Slicer
from vae_helpers.widgets import page as explorers
from vae_helpers.widgets.latent.explorer import LatentExplorer
from vae_helpers.widgets.views import decimals

# The explorers that a page computes.
COMPUTED = {
    "00_start_here": "draw_two_gaussians",
    "01_bayes_rule": "draw_posterior",
    "02_elbo": "elbo_and_gap",
    "03_gaussian_kl": "draw_q",
    "05_reparameterization": "draw_sample_path",
}
ALT = "The latent plane of a model, for a test."
STILL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


@cache
def made(notebook: str) -> Found:
    """The notebook's own explorer, of those that a page computes."""
    slicer = Slicer(lab.ROOT / "notebooks" / f"{notebook}.ipynb")
    return next(found for found in slicer.run() if found.name == COMPUTED[notebook])


@cache
def computed(notebook: str) -> dict[str, Any]:
    """The description of an explorer that a page computes, from the notebook's own."""
    return describe(made(notebook))


def latent() -> dict[str, Any]:
    """The description of a latent plane."""
    model, (images, labels) = load_pretrained("latent_2"), load_mnist("test")
    with torch.no_grad():
        mu, _ = model.encode(binarize(images[:300], torch.Generator().manual_seed(0)))
    explorer = LatentExplorer(model, mu, labels[:300], alt=ALT)
    traits = traits_of(explorer)
    return {"notebook": "07_test", "name": "plane", "kind": "latent", "alt": ALT, "traits": traits}


def square(color: str) -> str:
    """A picture of one colour."""
    size = 'width="40" height="20"'
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><rect {size} fill="{color}"/></svg>'
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode()


def stored(name: str = "made_up") -> dict[str, Any]:
    """A made-up explorer with stored positions: each of three controls alone, and a grid of the first two."""
    controls = [
        {
            "name": "dim",
            "label": "dimension d",
            "unit": "",
            "kind": "slider",
            "values": [1, 2, 5, 10],
            "start": 1,
        },
        {
            "name": "noise",
            "label": "noise s",
            "unit": "V",
            "kind": "slider",
            "values": [-0.5, 0.0, 0.5],
            "start": 0,
        },
        {"name": "road", "label": "road", "unit": "", "kind": "choice", "values": ["a", "b"], "start": 0},
    ]
    for control in controls:
        texts = [decimals(v, 1) if control["unit"] else str(v) for v in control["values"]]
        control |= {"texts": texts, "at_most": ""}
    positions = [[1, 0, 0], *([i, 0, 0] for i in (0, 2, 3)), *([1, j, 0] for j in (1, 2)), [1, 0, 1]]
    positions += [[i, j, 0] for i in (0, 3) for j in (1, 2)]
    rowsets = [
        [
            {"relation": "", "latex": r"\log p(x)", "reason": "start"},
            {"relation": "≥", "latex": letter, "reason": "drop"},
        ]
        for letter in "ab"
    ]
    shown = [
        {
            "pictures": [number],
            "numbers": [["place", f"{number}"], ["sum", f"{sum(position)} nats"]],
            "steps": [["−1.000000", True], [f"−{number}.500000", number != 3]],
            "rows": position[2],
        }
        for number, position in enumerate(positions)
    ]
    views = [
        {
            "kind": "picture",
            "alt": "A square in one colour.",
            "title": "a square",
            "pixels": False,
            "width": 400,
            "height": 200,
        },
        {"kind": "numbers", "unit": "nats", "digits": 3},
        {
            "kind": "steps",
            "title": "Road a (nats)",
            "titles": ["Road a (nats)", "Road b (nats)"],
            "rowsets": rowsets,
        },
    ]
    frames = [square(f"rgb({20 * number}, 90, 120)") for number in range(len(positions))]
    known = {"notebook": "99_test", "name": name, "kind": "frames", "combine": [["dim", "noise"]]}
    return known | {
        "controls": controls,
        "views": views,
        "positions": positions,
        "shown": shown,
        "frames": frames,
    }


def write_page(
    folder: Path, descriptions: list[dict[str, Any]], *, missing: str = "", dark: bool = False
) -> str:
    """Writes a page with explorers, its script and its data; gives its address.

    Args:
        folder: where to.
        descriptions: the explorers, in order.
        missing: the key of one more explorer, whose data are not there.
        dark: whether the page around them is dark.
    """
    data = folder / "_static" / "explorers"
    data.mkdir(parents=True, exist_ok=True)
    (folder / "_static" / "explorers.js").write_text(explorers.script(), encoding="utf-8")
    (folder / "_static" / "explorers.css").write_text(explorers.style(), encoding="utf-8")
    keys = [f"{one['notebook']}.{one['name']}" for one in descriptions]
    for key, description in zip(keys, descriptions, strict=True):
        (data / f"{key}.js").write_text(f"vaeExplorer({json.dumps(description)})", encoding="utf-8")
    still = f'<img alt="The first position." src="{STILL}" width="400" height="200">'
    places = "".join(
        f'<h2>{key}</h2><p>Before it.</p><div class="vae-web" data-explorer="{key}">{still}</div>'
        for key in [*keys, *filter(None, [missing])]
    )
    colors = "background: #121212; color: #eee" if dark else "background: #fff; color: #222"
    path = folder / "page.html"
    path.write_text(_PAGE.replace("COLORS", colors).replace("PLACES", places), encoding="utf-8")
    return path.as_uri()


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Explorers</title>
<link rel="stylesheet" href="_static/explorers.css">
<style>
body { COLORS; font: 16px/1.5 sans-serif; margin: 0 auto; max-width: 920px; padding: 0 12px;
  overflow-wrap: anywhere; }
</style>
<script defer src="_static/explorers.js"></script>
<main><h1>Explorers</h1>PLACES</main>
</html>
"""
