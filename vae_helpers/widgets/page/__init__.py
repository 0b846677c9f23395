"""The explorers of the web edition: one script and one style sheet that bring a page's stills to life."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

from vae_helpers.pictures.plotting import ROLES
from vae_helpers.widgets.bundle import as_classic_script

HERE = Path(__file__).parent
LATENT = HERE.parent / "latent"
_DASHES = {"--": "dashed", "-.": "dashdot", ":": "dotted"}


def script() -> str:
    """The script of the explorers, to be included once by each page that has some.

    It finds each `<div class="vae-web" data-explorer="NOTEBOOK.NAME">` and loads `NOTEBOOK.NAME.js` when a
    reader comes near, from the folder `explorers/` beside the script, or from where the attribute
    `data-explorers` of its tag says, seen from the page. Such a file is a call, `vaeExplorer({…})`.

    Returns:
        The text of a classic script, which a page opened from a folder may load, too.
    """
    latent = as_classic_script(LATENT / "explorer.js", "vaeLatent")
    return latent + as_classic_script(HERE / "main.js", "vaeExplorer")


def style() -> str:
    """The style sheet that belongs to the script."""
    return "\n".join(
        path.read_text(encoding="utf-8") for path in (LATENT / "explorer.css", HERE / "page.css")
    )


def look() -> dict[str, dict[str, Any]]:
    """The colour and the dashes of each role, in units of the line's width; [] is a solid line."""
    return {
        role: {"color": style["color"], "dash": _dash(style["linestyle"])} for role, style in ROLES.items()
    }


def _dash(style: str | tuple[float, tuple[float, ...]]) -> list[float]:
    if style == "-":
        return []
    if isinstance(style, tuple):
        return list(style[1])
    if style not in _DASHES:
        raise ValueError(f"linestyle: expected one of -, {', '.join(_DASHES)} or a pattern, got {style!r}")
    return list(mpl.rcParamsDefault[f"lines.{_DASHES[style]}_pattern"])
