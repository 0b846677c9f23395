"""A latent plane to drag a point over: the decoder runs in the browser, with or without a kernel."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path

import anywidget
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor, nn

from vae_helpers.models._validate import check_batch, check_model
from vae_helpers.models.storage import whole_file
from vae_helpers.models.vae import VAE, ConvolutionalDecoder
from vae_helpers.numerics._validate import as_array, as_text, told
from vae_helpers.pictures import plotting
from vae_helpers.widgets.stage import Staged
from vae_helpers.widgets.views import png_of

HERE = Path(__file__).parent
_BINARY = ("weights", "points")  # in base64, in a page of its own
_PLAIN = ("sizes", "activation", "spacing", "labels", "colors", "limit", "z")


class LatentExplorer(Staged, anywidget.AnyWidget):
    """Drag a point over the latent plane; the decoded digit follows at the frame rate.

    The decoder's weights travel to the page once, in half precision. A model whose weights are
    not exactly representable in half precision (the shipped ones are) is rounded.

    Args:
        model: a VAE with two latents, a Bernoulli likelihood and a connected decoder, for 28 × 28 images.
        mu: means of q(z given x), shape (n, 2), drawn as digits.
        labels: the class of each, 0 to 9, shape (n,).
        alt: what the picture shows, in one sentence. A second explorer with the same sentence takes
            the place of the first, so that a cell run twice leaks nothing.
        z: where the point starts.

    Attributes:
        z: where the point is; it may also be set.

    Raises:
        ValueError: a model of another kind, or means and labels that do not go together.
    """

    _esm = HERE / "explorer.js"
    _css = HERE / "explorer.css"
    weights = traitlets.Bytes().tag(sync=True)
    sizes = traitlets.List(traitlets.Int()).tag(sync=True)
    activation = traitlets.Unicode().tag(sync=True)
    points = traitlets.Bytes().tag(sync=True)
    spacing = traitlets.List(traitlets.Float()).tag(sync=True)
    labels = traitlets.List(traitlets.Int()).tag(sync=True)
    colors = traitlets.List(traitlets.Unicode()).tag(sync=True)
    limit = traitlets.Int(4).tag(sync=True)  # the plane shows [-limit, limit] on both axes
    z = traitlets.List(traitlets.Float(), minlen=2, maxlen=2).tag(sync=True)

    def __init__(
        self, model: VAE, mu: Tensor, labels: Tensor, *, alt: str, z: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        check_model(model)
        if (model.latent_dim, model.likelihood, model.data_dim) != (2, "bernoulli", 784):
            raise ValueError(
                "model: expected 2 latents, a Bernoulli likelihood and 784 pixels, got "
                f"{model.latent_dim}, {model.likelihood} and {model.data_dim}"
            )
        if isinstance(model.decoder, ConvolutionalDecoder):
            raise ValueError("model: expected a connected decoder, got a convolutional one")
        check_batch("mu", mu, 2)
        if not isinstance(labels, Tensor):
            raise TypeError(f"labels: expected a tensor, got {told(labels)}")
        place = as_array("z", z)
        if place.shape != (2,):
            raise ValueError(f"z: expected two numbers, got {told(z)}")
        linear = [layer for layer in model.decoder if isinstance(layer, nn.Linear)]
        parts = [part.detach().cpu() for layer in linear for part in (layer.weight, layer.bias)]
        self._model, self._alt = model, plotting.check_alt(alt)
        super().__init__(
            weights=b"".join(part.half().numpy().tobytes() for part in parts),
            sizes=[linear[0].in_features, *(layer.out_features for layer in linear)],
            activation=model.config["activation"],
            points=(points := mu.detach().cpu().float().numpy()).tobytes(),
            spacing=plotting.spacing(points),
            labels=plotting.as_labels(labels.detach().cpu(), len(mu)),
            colors=list(plotting.CLASS_COLORS),
            z=place.tolist(),
        )
        self.enter(f"latent_explorer {alt}", [alt])

    def save_html(self, path: str | Path, title: str = "The latent plane") -> None:
        """Writes a page that does the same with no kernel, no server and no network.

        Args:
            path: where to, by convention ending in `.html`.
            title: the page's title.

        Raises:
            FileNotFoundError: the folder does not exist.
        """
        traits = {name: getattr(self, name) for name in _PLAIN}
        traits |= {name: base64.b64encode(getattr(self, name)).decode() for name in _BINARY}
        script, style = (
            (HERE / name).read_text(encoding="utf-8") for name in ("explorer.js", "explorer.css")
        )
        page = _PAGE.replace("TITLE", html.escape(as_text("title", title))).replace("/*STYLE*/", style)
        page = page.replace("/*TRAITS*/", json.dumps(traits)).replace("/*SCRIPT*/", script)
        with whole_file(path) as temporary:
            temporary.write_text(page.replace("export default", "const explorer ="), encoding="utf-8")

    def still(self) -> tuple[bytes, str, str]:
        """The plane with its point, and the image that is decoded there."""
        figure = Figure(figsize=(8.8, 5.2), dpi=100, layout="constrained")
        plane, digit = figure.subplots(1, 2, width_ratios=[1.6, 1])
        points, ends = np.frombuffer(self.points, np.float32).reshape(-1, 2), (-self.limit, self.limit)
        inside = np.abs(points).max(axis=1) < self.limit
        plotting.draw_labelled_points(plane, points[inside], np.array(self.labels)[inside])
        plane.plot(*self.z, "k+", markersize=26, markeredgewidth=3, zorder=4)
        plane.set(xlim=ends, ylim=ends, xlabel="z₁", ylabel="z₂", aspect="equal")
        with torch.no_grad():
            image = self._model.mean(torch.tensor([self.z], dtype=torch.float32))
        plotting.draw_images(digit, image, num_cols=1)
        place = f"({self.z[0]:.2f}, {self.z[1]:.2f})"
        digit.set_title(f"decoded at {place}")
        return png_of(figure), self._alt, f"latent plane with the point at {place}"


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>TITLE</title>
<style>/*STYLE*/</style>
<div id="explorer"></div>
<script type="module">
/*SCRIPT*/
const traits = /*TRAITS*/;
for (const name of ["weights", "points"])
  traits[name] = Uint8Array.from(atob(traits[name]), (character) => character.charCodeAt(0));
const model = {
  get: (name) => traits[name],
  set: (name, value) => { traits[name] = value; },
  on() {}, off() {}, save_changes() {},
};
explorer.render({ model, el: document.getElementById("explorer") });
</script>
</html>
"""
