"""The explorers of the web edition: one script and one style sheet that bring a page's stills to life."""

from __future__ import annotations

from pathlib import Path

from vae_helpers.widgets.bundle import as_classic_script

HERE = Path(__file__).parent
LATENT = HERE.parent / "latent"


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
