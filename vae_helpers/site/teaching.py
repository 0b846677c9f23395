"""The pages for lecturers: what they say of the notebooks is filled in from the notebooks.

In their text stand `MINUTES(02/1, 02/4)`, what sections of main lines take to read; `TOTAL`, the sum of those
of a table so far; `MAIN(02)`, `DEEPER(02)`, and `WHOLE` of all main lines; `SECTION(02/4)` and `SLIDES(02)`,
links; `EXPLORER(key?position)`, a link to an explorer; `NOTEBOOKS`, and `EXERCISES(level)`, tables.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

LEVELS = ("warm-up", "middle", "stretch")  # of exercises
_QUESTION = re.compile(r"\*\*Exercise (\d+) \(([^)]*)\)\.\*\*")
_CALL = re.compile(r"(?m)^(check_\w+)\(\w+\)$")
# What goes wrong in the exercises that have a check of more than one function.
_USUAL = {
    "check_kl": "A factor ½ lost, σ for σ², log σ for log σ², a mean over the latents.",
    "check_log_prob": "σ for σ², the constant ½ log 2π left out, a mean over the event.",
    "check_bernoulli": "Probabilities where logits belong, a mean over the pixels.",
    "check_reparameterize": "exp(log_var) for σ, no noise, one noise for the whole batch.",
    "check_elbo": "The KL added, one term averaged and the other summed, the loss for the ELBO.",
    "check_permuted": "Only one of the two networks is permuted, or by the inverse permutation.",
}
_MOST_MISTAKES = 2  # of an exercise that a page tells


class Section(NamedTuple):
    """A numbered section of a main line.

    Attributes:
        title: with its number, in Markdown.
        cells: its cells; what belongs to another section is cut out of a cell.
    """

    title: str
    cells: list[NotebookNode]

    @property
    def text(self) -> str:
        """All that it says and has shown."""
        return "\n".join(text for cell in self.cells for text in _told(cell))


def fill(folder: Path, course: Path) -> None:
    """Fills in what pages say of the notebooks.

    Args:
        folder: of the pages, below where Sphinx reads.
        course: the folder with `notebooks/`.

    Raises:
        ValueError: a page speaks of a notebook, a section or an explorer that is not there.
    """
    notebooks = Notebooks(course / "notebooks")
    for page in sorted(folder.glob("*.md")):
        page.write_text(notebooks.filled(page.read_text(encoding="utf-8")), encoding="utf-8")


class Notebooks:
    """What the notebooks have, take and ask.

    Args:
        folder: where they are, with `reading_time.py`.
    """

    def __init__(self, folder: Path) -> None:
        self._time = _module(folder / "reading_time.py")
        self._paths = {path.name[:2]: path for path in sorted(folder.glob("[0-9]*.ipynb"))}
        self._cells = {n: nbformat.read(path, as_version=4).cells for n, path in self._paths.items()}
        self._sections = {n: dict(_sections(cells)) for n, cells in self._cells.items()}

    def section(self, name: str) -> Section:
        """A section by its name, such as "02/4"; ValueError if there is none."""
        number, _, part = name.partition("/")
        if part not in self._sections.get(number, {}):
            raise ValueError(f"section: expected one of a notebook, such as 02/4, got {name}")
        return self._sections[number][part]

    def minutes(self, *names: str) -> float:
        """What sections take to read."""
        return sum(self._time.minutes(self.section(name).cells) for name in names)

    def filled(self, text: str) -> str:
        """A page with its places filled in."""
        total = 0  # of the minutes as a reader sees them

        def minutes(names: str) -> str:
            nonlocal total
            taken = round(self.minutes(*re.split(r",\s*", names)))
            total += taken
            return str(taken)

        def whole(_: str) -> str:
            nonlocal total
            taken, total = total, 0
            return str(taken)

        ways: dict[str, Callable[[str], str]] = {
            "MINUTES": minutes,
            "TOTAL": whole,
            "MAIN": lambda n: str(self._rounded(n, self._time.main_line)),
            "DEEPER": lambda n: str(self._rounded(n, self._time.deeper)),
            "WHOLE": lambda _: str(sum(self._rounded(n, self._time.main_line) for n in self._cells)),
            "SECTION": self._link,
            "SLIDES": lambda n: f'<a href="../slides/{self._path(n).stem}.html">slides {int(n)}</a>',
            "EXPLORER": self._explorer,
            "EXERCISES": lambda level: "\n".join(self._exercises(level)),
            "NOTEBOOKS": lambda _: "\n".join(self._table()),
        }
        places = re.compile(rf"\b({'|'.join(ways)})(?:\(([^)]*)\))?(?!\w)")
        return places.sub(lambda found: ways[found[1]](found[2] or ""), text)

    def _path(self, number: str) -> Path:
        if number not in self._paths:
            raise ValueError(f"notebook: expected one of {', '.join(self._paths)}, got {number}")
        return self._paths[number]

    def _rounded(self, number: str, part: Callable) -> int:
        self._path(number)
        return self._time.rounded(self._time.minutes(part(self._cells[number])))

    def _link(self, name: str) -> str:
        title = self.section(name).title
        number, _, part = name.partition("/")
        place = f"../{self._path(number).name}#{_anchor(title)}"
        return f"[notebook {int(number)}, section {part}]({place})"

    def _explorer(self, address: str) -> str:
        from vae_helpers.site import slices

        notebook, _, name = address.partition("?")[0].partition(".")
        if name not in slices.explorers(self._path(notebook[:2])).values():
            raise ValueError(f"explorer: expected one of notebook {notebook[:2]}, got {name}")
        start, _, position = address.partition("?")
        links = f'<a href="../{notebook}.html#{start}">notebook {int(notebook[:2])}, {name}</a>'
        return f'{links}, <a href="../{notebook}.html#{address}">answer</a>' if position else links

    def _table(self) -> Iterator[str]:
        yield "| notebook | minutes | Deeper | slides |"
        yield "|---|---|---|---|"
        for number, path in self._paths.items():
            title = self._cells[number][0].source.splitlines()[0].removeprefix("# ")
            times = self._rounded(number, self._time.main_line), self._rounded(number, self._time.deeper)
            slides = f'<a href="../slides/{path.stem}.html">slides {int(number)}</a>'
            yield f"| [{title}](../{path.name}) | {times[0]} | {times[1]} | {slides} |"

    def _exercises(self, level: str) -> Iterator[str]:
        if level not in LEVELS:
            raise ValueError(f"level: expected one of {', '.join(LEVELS)}, got {level}")
        yield "| exercise | its check | what students get wrong |"
        yield "|---|---|---|"
        for number, cells in self._cells.items():
            for question, stub in zip(cells, cells[1:], strict=False):
                title, call = _QUESTION.match(question.source), _CALL.search(stub.source)
                if title and call and level_of(title[2]) == level:
                    name = f"[{int(number)}.{title[1]} {title[2]}](../{self._paths[number].name}#exercises)"
                    yield f"| {name} | `{call[1]}` | {_mistakes(number, call[1])} |"


def level_of(words: str) -> str:
    """The level of an exercise by the words behind its number."""
    return next((level for level in ("warm-up", "stretch") if words.startswith(level)), "middle")


def _mistakes(notebook: str, check: str) -> str:
    """What a teacher says to the first wrong answers that an exercise knows."""
    if check in _USUAL:
        return _USUAL[check]
    exercise = getattr(importlib.import_module(f"vae_helpers.checks.exercises.notebook_{notebook}"), check)
    told = [one for one in exercise.mistakes if isinstance(one, str)][:_MOST_MISTAKES]
    return " ".join(told).replace("|", r"\|").replace("*", r"\*")


def _sections(cells: list[NotebookNode]) -> Iterator[tuple[str, Section]]:
    """The numbered sections by their numbers."""
    current: Section | None = None
    for cell in cells:
        parts = re.split(r"(?m)^(?=## )", cell.source) if cell.cell_type == "markdown" else [cell.source]
        for part in parts:
            if cell.cell_type == "markdown" and part.startswith("## "):
                if current:
                    yield current.title.split(".")[0], current
                title = part.splitlines()[0].removeprefix("## ")
                current = Section(title, []) if re.match(r"\d+\. ", title) else None
            if current and part.strip():
                current.cells.append(nbformat.from_dict({**cell, "source": part}))


def _told(cell: NotebookNode) -> Iterator[str]:
    if cell.cell_type == "markdown":
        yield cell.source
    for output in cell.get("outputs", ()):
        yield output.get("text", "")
        yield re.sub(r"<[^>]+>", " ", "".join(output.get("data", {}).get("text/html", "")))


def _anchor(title: str) -> str:
    """The name of a heading's place, as MyST makes it."""
    words = re.sub(r"\$[^$]+\$", "", title).lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def _module(path: Path) -> ModuleType:
    """A script of the course that is no part of the package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"path: expected a Python file, got {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
