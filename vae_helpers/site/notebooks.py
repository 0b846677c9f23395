"""A notebook as the web edition reads it: equations numbered, pictures beside the page, explorers that live.

Nothing is executed: what the page shows is what the committed notebook holds. Only the explorers' outputs
are exchanged, for the places that the page's script brings to life.
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import nbformat
from PIL import Image

from vae_helpers.widgets.stage import BADGE_HEIGHT

# Equations that other pages refer to: the notebook, and how the formula begins.
EQUATIONS = {
    "bayes-rule": ("01", r"\underbrace{p(z \mid x)}"),
    "evidence": ("01", r"p(x) = \int p(x \mid z)\,p(z)\,dz ="),
    "elbo": ("02", r"\mathcal{L}(q) = \mathbb{E}_{q}\big[\log p(x, z)"),
    "kl-divergence": ("02", r"\mathrm{KL}(q \,\|\, p) = \mathbb{E}_q\left[\log"),
    "importance-ratio": ("02", r"p(x) = \int p(x, z)\, dz = \int q(z)"),
    "jensen": ("02", r"\log \mathbb{E}_q[r]"),
    "elbo-and-gap": ("02", r"\log p(x) = \mathcal{L}(q) + \mathrm{KL}"),
    "cross-entropy": ("03", r"H(q, p) = \mathbb E_q[-\log p(z)]"),
    "gaussian-kl": ("03", r"\mathrm{KL}(q \,\|\, p) = \tfrac12\sum_i\left(\sigma_i^2"),
    "monte-carlo": ("04", r"\mathbb{E}_q[f(z)] = \int q(z)"),
    "standard-error": ("04", r"\mathrm{sd}(\bar k_1) = \frac{\mathrm{sd}(k_1)}{\sqrt n}"),
    "reparameterization": ("05", r"z = \mu + \sigma\,\varepsilon"),
    "rate-and-distortion": ("07", r"-\mathcal{L}(x) = \underbrace"),
    "aggregate-posterior": ("07", r"\bar q(z) = \frac1N"),
    "rate-split": ("07", r"\frac1N \sum_n \mathrm{KL}(q_\phi"),
    "importance-weighted-bound": ("08", r"\mathcal{L}_k = \mathbb{E}_{z_1"),
    "quadrature": ("08", r"p(x) = \iint"),
    "two-gaps": ("08", r"\log p(x) - \mathcal{L}(q) = \underbrace"),
}
# What is said to those who run a notebook, by its number, and what the page says instead.
REWORDED = {
    "00": (
        ("The doctor below compares", "In a running notebook the doctor of the next cell compares"),
        (
            "If nothing moves, no kernel\nis running behind the picture: run all cells down to this one. "
            "A page without a kernel, such as GitHub's, shows a\nstill picture, and the caption says what "
            "you would have seen.",
            "",
        ),
    ),
    "07": (
        ("that the button below takes", "that the button of a running notebook takes"),
        ("; the button puts yours in its place", "; in a running notebook a button puts yours in its place"),
    ),
}
_RUNNING = re.compile(r"\bin a running notebook\s+")  # sliders move on the page, too
_PANEL = "<p>In a running notebook a panel that looks at this machine stands here.</p>"
_ANSWER = "<p>Answer it in the notebook: its cell says which mistake is in the answer, if there is one.</p>"
_EQUATION = re.compile(r"(?ms)^\$\$(?P<tex>(?:(?!\$\$).)+)\$\$[ \t]*$")
_FENCE = re.compile(r"(?ms)^(?:```|~~~).*?^(?:```|~~~)[ \t]*$")
_IMAGE = re.compile(r"<img\b[^>]*>")
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')
_CODED = "data:image/png;base64,"
_LAB = '<p><a href="lab.html"><b>Open the Lab</b></a>: in this edition it has a page of its own.</p>'
_CHAPTER = re.compile(r"^# [1-9][0-9]* · ")


def stage(path: Path, folder: Path, explorers: dict[int, str]) -> None:
    """Writes the notebook and its pictures as Sphinx reads them.

    Args:
        path: the notebook of the course.
        folder: where Sphinx reads; pictures go to `_static/pictures` in it.
        explorers: the names of its explorers by the numbers of their cells.

    Raises:
        ValueError: a picture without a text that stands for it; an equation of `EQUATIONS` or words of
            `REWORDED` that are not there.
    """
    notebook = nbformat.read(path, as_version=4)
    pictures = _Pictures(path.stem, folder / "_static" / "pictures")
    equations, words = _Equations(path.stem[:2]), _Words(path.stem[:2])
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            cell.source = equations.labelled(words.for_a_page(cell.source))
            if number == 0:
                cell.source = _with_link(cell.source, path.name)
            continue
        name, is_lab = explorers.get(number), cell.source.endswith("\nLab()")
        cell.outputs = [
            _shown(output, pictures, name and f"{path.stem}.{name}", is_lab) for output in cell.outputs
        ]
    equations.check_all_found()
    words.check_all_found()
    nbformat.write(notebook, folder / path.name)


# ---- words ----------------------------------------------------------------------------------


class _Equations:
    """Labels the displayed equations of a notebook: by a name that other pages know, or by their number."""

    def __init__(self, chapter: str) -> None:
        self._chapter, self._number = chapter, 0
        self._names = {start: name for name, (where, start) in EQUATIONS.items() if where == chapter}

    def labelled(self, source: str) -> str:
        """The text with a label behind each displayed equation outside of code."""
        parts, end = [], 0
        for fence in [*_FENCE.finditer(source), None]:
            parts.append(_EQUATION.sub(self._label, source[end : fence.start() if fence else None]))
            if fence:
                parts.append(fence[0])
                end = fence.end()
        return "".join(parts)

    def _label(self, found: re.Match[str]) -> str:
        self._number += 1
        tex = found["tex"].strip()
        start = next((start for start in self._names if tex.startswith(start)), None)
        name = self._names.pop(start) if start else f"eq-{self._chapter}-{self._number}"
        return f"$$\n{tex}\n$$ ({name})"

    def check_all_found(self) -> None:
        """Raises ValueError for an equation that other pages refer to and that is not there."""
        if self._names:
            missing = ", ".join(self._names.values())
            raise ValueError(f"EQUATIONS: expected them in notebook {self._chapter}, got none like {missing}")


class _Words:
    """Exchanges what is true of a running notebook alone."""

    def __init__(self, chapter: str) -> None:
        self._chapter, self._left = chapter, dict(REWORDED.get(chapter, ()))

    def for_a_page(self, source: str) -> str:
        """The text as a page may say it."""
        source = _RUNNING.sub("", source)
        for words in [words for words in self._left if words in source]:
            source = source.replace(words, self._left.pop(words))
        return source

    def check_all_found(self) -> None:
        """Raises ValueError for words that are not there."""
        if self._left:
            raise ValueError(f"REWORDED: expected in notebook {self._chapter}, got no {[*self._left]}")


def _with_link(source: str, name: str) -> str:
    """The head without the notebook's number, which the contents give, and with links to file and slides."""
    link = f'<a href="_static/notebooks/{name}" download>{name}</a>'
    slides = f'<a href="slides/{Path(name).stem}.html">slides</a>'
    head = _CHAPTER.sub("# ", source)
    return f"{head}\n\n**Run it yourself.** {link}: the notebook of this page. **Project it.** Its {slides}."


# ---- outputs --------------------------------------------------------------------------------


def _shown(
    output: nbformat.NotebookNode, pictures: _Pictures, explorer: str | None, is_lab: bool
) -> nbformat.NotebookNode:
    """The output with its pictures beside the page; for an explorer its place, for the Lab a link."""
    data = output.get("data", {})
    if "text/html" not in data:
        return output
    shown = "".join(data["text/html"])
    if "not-attempted" in shown:
        shown = _ANSWER
    elif "vae-still" in shown and not _IMAGE.search(shown):
        shown = _PANEL
    elif "vae-still" in shown and (explorer or is_lab):
        still = "".join(pictures.placed(image, badge=True) for image in _IMAGE.findall(shown))
        shown = _LAB + still if is_lab else f'<div class="vae-web" data-explorer="{explorer}">{still}</div>'
    else:
        shown = _IMAGE.sub(lambda found: pictures.placed(found[0]), shown)
    output.data = nbformat.NotebookNode({"text/html": shown})
    output.metadata = nbformat.NotebookNode()
    return output


class _Pictures:
    """Writes the pictures of a notebook as files, numbered in their order."""

    def __init__(self, chapter: str, folder: Path) -> None:
        self._chapter, self._folder, self._number = chapter, folder, 0
        folder.mkdir(parents=True, exist_ok=True)

    def placed(self, tag: str, *, badge: bool = False) -> str:
        """The `<img>` with its picture in a file of its own; `badge`: without the line to run the cell."""
        attributes = dict(_ATTRIBUTE.findall(tag))
        if not attributes.get("alt", "").strip():
            raise ValueError(f"{self._chapter}: picture {self._number + 1} has no alt text")
        if not attributes.get("src", "").startswith(_CODED):
            raise ValueError(
                f"{self._chapter}: expected the picture in the notebook, got {attributes.get('src')!r}"
            )
        self._number += 1
        file = self._folder / f"{self._chapter[:2]}_{self._number}.png"
        file.write_bytes(base64.b64decode(attributes["src"].removeprefix(_CODED)))
        with Image.open(file) as picture:
            width, height = picture.size
            if badge:
                height -= BADGE_HEIGHT
                cut = io.BytesIO()
                picture.crop((0, BADGE_HEIGHT, width, BADGE_HEIGHT + height)).save(cut, "png", optimize=True)
                file.write_bytes(cut.getvalue())
        shown = int(attributes.get("width", width))
        size = f'width="{shown}" height="{round(height * shown / width)}"'
        return f'<img alt="{attributes["alt"]}" {size} loading="lazy" src="_static/pictures/{file.name}">'
