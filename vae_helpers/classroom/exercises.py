"""The exercises of the course's notebooks, each a question, a cell to fill in and a folded solution."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

SOLUTION = re.compile(r"<details>\s*<summary>Solution</summary>(.*?)</details>", re.DOTALL)
_FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)
_TITLE = re.compile(r"\*\*Exercise (\d+) \(")
_CALL = re.compile(r"^(check_\w+)\((\w+)\)$", re.MULTILINE)


class Exercise(NamedTuple):
    """One exercise.

    Attributes:
        number: as the question counts it.
        check: name of its check.
        module: what the check is imported from.
        function: name of the function that is asked for.
        place: number of its code cell in the notebook; the cell after it holds the solution.
        id: of that cell.
        solution: the code of the solution.
    """

    number: int
    check: str
    module: str
    function: str
    place: int
    id: str
    solution: str

    @property
    def answer(self) -> str:
        """The solution as a reader would type it into the cell: up to the function, without its trials."""
        tree = ast.parse(self.solution)
        (function,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == self.function)
        lines = self.solution.splitlines()[: function.end_lineno]
        return "\n".join([*lines, "", "", f"{self.check}({self.function})"])


def paths(course: Path) -> list[Path]:
    """The notebooks of the course, in their order.

    Raises:
        FileNotFoundError: the course's folder has none.
    """
    found = sorted((course / "notebooks").glob("[0-9]*.ipynb"))
    if not found:
        raise FileNotFoundError(f"expected the course's notebooks in {course / 'notebooks'}, found none")
    return found


def read(path: Path) -> NotebookNode:
    """A notebook of the course."""
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> None:
    """Writes a notebook as those of the course are written.

    Raises:
        ValidationError: it is none.
    """
    nbformat.validate(notebook)
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")


def exercises(notebook: NotebookNode, name: str) -> list[Exercise]:
    """The exercises of a notebook.

    Args:
        notebook: one of the course's.
        name: what an error calls it.

    Raises:
        ValueError: an exercise has another form, is answered already, or a solution stands elsewhere.
    """
    cells, modules, found = notebook.cells, _modules(notebook), []
    for place, (question, stub, after) in enumerate(zip(cells, cells[1:], cells[2:], strict=False), start=1):
        title = _TITLE.match(question.source)
        if title is None:
            continue
        what = f"{name}, exercise {title[1]}"
        call, solved = _CALL.search(stub.source), SOLUTION.fullmatch(after.source.strip())
        if stub.cell_type != "code" or call is None or solved is None:
            raise ValueError(f"{what}: expected a cell that ends with its check, and a folded solution")
        if not is_empty(stub.source, call[2]):
            raise ValueError(f"{what}: expected a function that returns None so far, got an answer")
        code = "\n".join(_FENCE.findall(solved[1]))
        found.append(Exercise(int(title[1]), call[1], modules[call[1]], call[2], place, stub.id, code))
    folded = sum(len(re.findall("<summary>Solution", cell.source)) for cell in cells)
    if folded != len(found):
        raise ValueError(f"{name}: expected a solution after each of {len(found)} exercises, got {folded}")
    return found


def _modules(notebook: NotebookNode) -> dict[str, str]:
    """What each check of a notebook is imported from."""
    statements = re.findall(
        r"^from (vae_helpers\.checks[\w.]*) import (\([^)]*\)|.*)$",
        "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code"),
        re.MULTILINE,
    )
    return {name: module for module, names in statements for name in re.findall(r"\bcheck_\w+", names)}


def is_empty(source: str, function: str) -> bool:
    """Whether a cell holds nothing yet but the function's head, its docstring and None."""
    bodies = [n.body for n in ast.parse(source).body if getattr(n, "name", "") == function]
    return [ast.unparse(node) for body in bodies for node in body[1:]] == ["return None"]
