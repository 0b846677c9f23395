"""How long a notebook takes to read, by a formula, and the places where that is written.

A minute for 180 words of prose or for ten lines of code. The main line is all that stands before
`## Deeper`; what is folded away, formulas, tables and the references do not count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from nbformat import NotebookNode

TIME = re.compile(r"(?<=\*\*Time\.\*\* )\d+ minutes to read, \d+ more for Deeper(?=, )")
HEADING = re.compile(r"^(### .+?)(?: \(\d+ minutes?\))?$", re.MULTILINE)
ROW = re.compile(r"^(\| \[\d+ · [^\]]+\]\((\d\d)_[^)]+\) \|[^|]+\| )[^|]+(?= \|)", re.MULTILINE)  # of the map


def words(text: str) -> int:
    """Words of prose: what is folded, code, formulas, tables and links' addresses do not count."""
    while folded := re.search(r"<details>(?:(?!<details>).)*?</details>", text, flags=re.DOTALL):  # innermost
        text = text.replace(folded.group(), " ")
    for pattern in (r"```.*?```", r"\$\$.*?\$\$", r"\$[^$]*\$", r"\]\([^)]*\)"):
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    text = re.sub(r"^\|.*$", " ", text, flags=re.MULTILINE)
    return len(re.findall(r"[A-Za-z][\w'’-]*", text))


def code_lines(source: str) -> int:
    """Lines of code that are not empty."""
    return sum(bool(line.strip()) for line in source.splitlines())


def minutes(cells: Iterable[NotebookNode]) -> float:
    """What cells take to read."""
    prose = lines = 0
    for cell in cells:
        if cell.cell_type == "markdown":
            prose += words(cell.source)
        elif cell.cell_type == "code":
            lines += code_lines(cell.source)
    return prose / 180 + lines / 10


def start(cells: list[NotebookNode], heading: str) -> int:
    """The number of the cell that begins with this heading of the second level.

    Raises:
        ValueError: none does.
    """
    for number, cell in enumerate(cells):
        if cell.source.startswith(f"## {heading}"):
            return number
    raise ValueError(f"heading: expected a cell that begins with '## {heading}', found none")


def main_line(cells: list[NotebookNode]) -> list[NotebookNode]:
    """What is read in one sitting: the lesson and its exercises."""
    return cells[: start(cells, "Deeper")]


def deeper(cells: list[NotebookNode]) -> list[NotebookNode]:
    """What is for a second reading."""
    return cells[start(cells, "Deeper") : start(cells, "References")]


def rounded(value: float) -> int:
    """Minutes as they are told: rounded up to five."""
    return 5 * math.ceil(value / 5)


def write_minutes(notebook: NotebookNode) -> None:
    """Writes the computed minutes into the opening and into the headings below Deeper."""
    cells = notebook.cells
    first, second = rounded(minutes(main_line(cells))), rounded(minutes(deeper(cells)))
    times = f"{first} minutes to read, {second} more for Deeper"
    cells[0].source = TIME.sub(times, cells[0].source)
    below = deeper(cells)
    begins = [
        n for n, cell in enumerate(below) if cell.cell_type == "markdown" and HEADING.match(cell.source)
    ]
    for begin, end in zip(begins, [*begins[1:], len(below)], strict=True):
        needed = max(1, math.ceil(minutes(below[begin:end])))
        told = f"({needed} minute{'s' * (needed > 1)})"
        below[begin].source = HEADING.sub(rf"\1 {told}", below[begin].source, count=1)


def write_map(first: NotebookNode, others: dict[str, NotebookNode]) -> None:
    """Writes into notebook 0's table of notebooks what the opening of each says.

    Args:
        first: notebook 0.
        others: each notebook by its two digits.
    """
    told = {
        name: " + ".join(re.findall(r"\d+", found.group()))
        for name, notebook in others.items()
        if (found := TIME.search(notebook.cells[0].source))
    }
    for cell in first.cells:
        if cell.cell_type == "markdown":
            cell.source = ROW.sub(lambda row: f"{row[1]}{told[row[2]]} min", cell.source)
