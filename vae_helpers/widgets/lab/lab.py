"""A laboratory in the page: a VAE is trained there, and beside what its loss prints stands the truth."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from matplotlib.figure import Figure

from vae_helpers.models.storage import whole_file
from vae_helpers.numerics._validate import as_text, told
from vae_helpers.pictures import plotting
from vae_helpers.shipped.images import load_mnist
from vae_helpers.widgets.bundle import as_classic_script, join_modules
from vae_helpers.widgets.lab.data import SIDE, levels, make_data
from vae_helpers.widgets.page import look
from vae_helpers.widgets.stage import Staged
from vae_helpers.widgets.views import png_of

HERE = Path(__file__).parent
GLOBAL = "vaeLab"  # the one name that the classic script makes
_ROLES = ("evidence", "elbo", "gap", "posterior", "q")
_SETTINGS = {
    "loss": "right half added pixels std log latents variance mean uniform squared grey".split(),
    "beta": [0, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16],
    "rate": [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
    "batch": [16, 32, 64, 128, 256],
    "hidden": [16, 32, 64, 128],
    "latents": [1, 2],
    "seed": range(10_000),
}
_ALT = "The Lab: images of 14 × 14 pixels that a VAE is trained on in the page, beside the exact log p(x)."


class Lab(Staged, anywidget.AnyWidget):
    """Trains a VAE with one or two latents in the page and measures it against log p(x) by quadrature.

    Nothing is computed in the kernel: the page trains in a web worker, in plain typed arrays. With 64 hidden
    units, two latents and batches of 64 these took 310 to 330 steps a second; TensorFlow.js's WASM backend
    took 80 to 150 on the same busy core, and jax-js 360 gradients without the optimiser. Those libraries
    would add 0.7 to 0.9 MB to a page of 0.5, so plain arrays stay.

    Args:
        settings: where its controls stand at first: "loss" (a name of `losses.js`), "beta", "rate", "batch",
            "hidden", "latents", "seed"; each one of the positions that the control has.

    Raises:
        ValueError: a setting that no control has, or a position that it does not have.
    """

    _esm = traitlets.Unicode().tag(sync=True)  # joined from several modules
    _css = HERE / "lab.css"
    data = traitlets.Dict().tag(sync=True)
    settings = traitlets.Dict().tag(sync=True)

    def __init__(self, **settings: float | str) -> None:
        settings = _check(settings)
        super().__init__(data=page_data(), settings=settings, _esm=module())
        self.enter("lab", [_ALT])

    def save_html(self, path: str | Path, title: str = "The Lab") -> None:
        """Writes a page that does the same with no kernel, no server and no network.

        Args:
            path: where to, by convention ending in `.html`.
            title: the page's title.

        Raises:
            FileNotFoundError: the folder does not exist.
        """
        page = _PAGE.replace("TITLE", html.escape(as_text("title", title))).replace("/*STYLE*/", style())
        page = page.replace("/*SETTINGS*/", json.dumps(self.settings))
        page = page.replace("/*SCRIPT*/", script()).replace("/*DATA*/", json.dumps(self.data))
        with whole_file(path) as temporary:
            temporary.write_text(page, encoding="utf-8")

    def still(self) -> tuple[bytes, str, str]:
        """Some of the images that it trains on."""
        figure = Figure(figsize=(8.8, 2.4), dpi=100, layout="constrained")
        axis = figure.subplots()
        some = levels(load_mnist("train")[0][:40].numpy()) >= 2
        sheet = some.reshape(4, 10, SIDE, SIDE).swapaxes(1, 2).reshape(4 * SIDE, 10 * SIDE)
        axis.imshow(sheet, cmap="gray_r", interpolation="nearest", aspect="equal")
        axis.set(xticks=[], yticks=[])
        axis.set_title("what the Lab trains on: digits of 14 × 14 black and white pixels")
        return png_of(figure), _ALT, "the Lab, which trains a VAE in the page"


def page_data() -> dict[str, Any]:
    """All that the page is given: the images, the colours of the classes, and the looks of the roles."""
    roles = {name: style for name, style in look().items() if name in _ROLES}
    return make_data() | {"colors": list(plotting.CLASS_COLORS), "roles": roles}


def module() -> str:
    """The text of the ES module that anywidget takes."""
    return _worker_line() + join_modules(HERE / "lab.js")


def script() -> str:
    """The text of the classic script of a page: it makes `vaeLab`, with `vaeLab.mount(element, data)`."""
    return as_classic_script(HERE / "lab.js", GLOBAL).replace(
        '"use strict";\n', f'"use strict";\n{_worker_line()}', 1
    )


def data_script() -> str:
    """The text of a second script, to be loaded after `script()` at the end of a page: it holds the images
    and puts a Lab into each `<div class="vae-lab"></div>`.
    """
    return f"{GLOBAL}.mountAll({json.dumps(page_data())});\n"


def style() -> str:
    """The page's style sheet."""
    return (HERE / "lab.css").read_text(encoding="utf-8")


def _worker_line() -> str:
    # A page opened from a folder may start a worker only from text that it holds.
    return f"const WORKER_TEXT = {json.dumps(join_modules(HERE / 'worker.js'))};\n"


def _check(settings: dict[str, Any]) -> dict[str, Any]:
    for name, value in settings.items():
        if name not in _SETTINGS:
            raise ValueError(f"settings: expected some of {list(_SETTINGS)}, got {name!r}")
        if (
            not isinstance(value, str | int | float)
            or isinstance(value, bool)
            or value not in _SETTINGS[name]
        ):
            raise ValueError(f"{name}: expected one of {_SETTINGS[name]}, got {told(value)}")
    return settings


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>TITLE</title>
<style>body { margin: 0; background: #fff; color: #111; }
h1 { font: bold 24px sans-serif; margin: 12px 10px 4px; }
/*STYLE*/</style>
<main><h1>TITLE</h1><div id="lab"></div></main>
<script>
/*SCRIPT*/
vaeLab.mount(document.getElementById("lab"), /*DATA*/, { settings: /*SETTINGS*/ });
</script>
</html>
"""
