"""What the tests of the notebooks read: cells, words, figures, exercises."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
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


def data_that_functions_read(path: Path) -> dict[str, set[str]]:
    """For each function of a notebook: what it reads of the notebook's variables, itself or through others.

    Imports, functions and CONSTANTS do not count; nor does a default value, bound once and for all.
    """
    tree = ast.parse("\n\n".join(cell.source for cell in code_cells(path)))
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}

    def free_names(table: symtable.SymbolTable) -> set[str]:
        found = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
        return found.union(*(free_names(child) for child in table.get_children()))

    def read_by(name: str, seen: frozenset[str]) -> set[str]:
        scopes = symtable.symtable(ast.unparse(functions[name]), path.name, "exec").get_children()
        body = next(scope for scope in scopes if scope.get_name() == name)
        names = free_names(body) - imported - set(dir(builtins))
        data = {n for n in names if n not in functions and not n.isupper()}
        called = (n for n in names if n in functions and n not in seen)
        return data.union(*(read_by(n, seen | {n}) for n in called))

    return {name: read_by(name, frozenset({name})) for name in functions}
