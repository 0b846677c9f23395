"""The place of a widget in a page: a still picture that the page's script replaces by the live widget.

A notebook that was saved with its sliders is reopened without them. So a cell stores no widget at
all, only its picture and a line that says to run the cell. While a kernel runs, the script `stage.js`
finds that picture in the page and shows the widget in its place. The script also does there what
ipywidgets cannot: it names what a screen reader meets, keeps the keys of a control from JupyterLab,
fits the pictures to the screen, and says when the kernel is gone.

Where each output has a page of its own, as in Colab and in VS Code, no script finds another cell's picture.
There the cell shows the widget itself, as any notebook with ipywidgets does.
"""

from __future__ import annotations

import html
import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets
from IPython import get_ipython
from PIL import Image, ImageDraw, ImageFont

from vae_helpers.pictures.plotting import as_png, picture_bundle

HERE = Path(__file__).parent
ON_STAGE: dict[str, Staged] = {}  # what is shown at present, by name
BADGE_HEIGHT = 30  # pixels, above the picture
SETTING = "VAE_WIDGETS"  # the environment variable that decides: "page" or "output"
IN_COLAB = "google.colab"  # a module that is loaded there
_BADGE = "still picture · run this cell to move it"
_LINE = "border-left:5px solid #b35900;padding:2px 0 2px 10px;margin:4px 0"


class Stage(anywidget.AnyWidget):
    """Shows a widget in the page wherever the picture of its cell stands.

    Args:
        shown: the widget.
        alts: what its pictures show, in their order, one sentence each.

    Attributes:
        view: which widget it is.
        seen: what the page reports once the widget is there: the number of its sliders' handles.
        asked, answered: the page counts up the first, the kernel copies it to the second; a page
            whose kernel does not follow says so.
    """

    _esm = HERE / "stage.js"
    _css = HERE / "stage.css"
    view = traitlets.Unicode().tag(sync=True)
    alts = traitlets.List(traitlets.Unicode()).tag(sync=True)
    seen = traitlets.Dict().tag(sync=True)
    asked = traitlets.Int(0).tag(sync=True)
    answered = traitlets.Int(0).tag(sync=True)

    def __init__(self, shown: ipywidgets.DOMWidget, alts: Iterable[str]) -> None:
        super().__init__(view=shown.model_id, alts=list(alts))

    @traitlets.observe("asked")
    def _answer(self, change: dict[str, Any]) -> None:
        self.answered = change["new"]

    def bundle(self, png: bytes, alt: str, words: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the cell's output holds.

        Args:
            png: the picture of the first position; b"" if there is none.
            alt: what it shows.
            words: what stands there, such as "mean μ 1.0; KL 0.818 nats".

        Returns:
            Data and metadata, by their mime types.
        """
        data, metadata = picture_bundle(with_badge(png), alt) if png else ({"text/html": ""}, {})
        title = "<b>Still picture.</b> Run this cell to move it. It shows" if png else "<b>Run this cell</b>"
        still = f'<p style="{_LINE}">{title}: {html.escape(words)}.</p>{data["text/html"]}'
        place = f'<div class="vae-still" data-vae-view="{self.view}">{still}</div>'
        return data | {"text/plain": words, "text/html": place}, metadata


def in_output() -> bool:
    """Whether a widget has to be shown in its cell's output, since the script would not reach the page.

    Raises:
        ValueError: the environment variable `VAE_WIDGETS` is neither "page" nor "output".
    """
    setting = os.environ.get(SETTING, "")
    if setting:
        if setting not in ("page", "output"):
            raise ValueError(f"{SETTING}: expected 'page' or 'output', got {setting!r}")
        return setting == "output"
    shell = get_ipython()
    in_vs_code = shell is not None and "__vsc_ipynb_file__" in shell.user_ns  # which its extension sets
    return in_vs_code or IN_COLAB in sys.modules


class Staged:
    """A widget that takes the place of its cell's still picture while a kernel runs.

    Its method `still` returns what `Stage.bundle` takes: the picture, what it shows, and words.
    """

    def enter(self, name: str, alts: Iterable[str]) -> None:
        """Shows the widget and closes an earlier one of this name, so that a cell run twice leaks nothing."""
        if name in ON_STAGE:
            ON_STAGE[name].close_all()
        ON_STAGE[name], self._stage = self, Stage(self, alts)

    def close_all(self) -> None:
        """Takes the widget out of the page and out of memory."""
        close(self._stage)
        close(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        # Colab shows the widgets of ipywidgets alone; one with a script of its own stays a picture there.
        if in_output() and not (IN_COLAB in sys.modules and isinstance(self, anywidget.AnyWidget)):
            return super()._repr_mimebundle_(**kwargs)
        return self._stage.bundle(*self.still())


def close(widget: ipywidgets.Widget) -> None:
    """Closes a widget with all its parts, which ipywidgets would keep for good."""
    for child in getattr(widget, "children", ()):
        close(child)
    widget.close()
    for part in (widget.layout, getattr(widget, "style", None)):
        if isinstance(part, ipywidgets.Widget):
            part.close()


def with_badge(png: bytes) -> bytes:
    """The picture under a strip that says that it is a still, wherever it is seen."""
    with Image.open(io.BytesIO(png)) as picture:
        width, height = picture.size
        sheet = Image.new("RGB", (width, height + BADGE_HEIGHT), "white")
        sheet.paste(picture, (0, BADGE_HEIGHT))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    right = draw.textlength(_BADGE, font=font) + 20
    draw.rectangle((0, 0, right, BADGE_HEIGHT - 5), fill="#8a4600")
    draw.text((10, 3), _BADGE, fill="white", font=font)
    return as_png(sheet)
