"""What the tests of the notebooks read: cells, words, figures, exercises."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
SOLUTION = re.compile(r"<details>\s*<summary>Solution.*?</summary>(.*?)</details>", re.DOTALL)
FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@cache
def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [c for c in read(path).cells if c.cell_type == "code"]


def markdown(path: Path) -> list[str]:
    return [c.source for c in read(path).cells if c.cell_type == "markdown"]


def code_lines(source: str) -> int:
    return sum(bool(line.strip()) for line in source.splitlines())


def words(text: str) -> int:
    """Words of prose: solutions, code, formulas, tables and links' addresses do not count."""
    for pattern in (r"<details>.*?</details>", r"```.*?```", r"\$\$.*?\$\$", r"\$[^$]*\$", r"\]\([^)]*\)"):
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    text = re.sub(r"^\|.*$", " ", text, flags=re.MULTILINE)
    return len(re.findall(r"[A-Za-z][\w'’-]*", text))


def solutions(path: Path) -> list[str]:
    """The code of each collapsed solution, in order."""
    found = [match for text in markdown(path) for match in SOLUTION.findall(text)]
    return ["\n".join(FENCE.findall(body)) for body in found]


def images(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [o for o in cell.outputs if "image/png" in o.get("data", {})]
