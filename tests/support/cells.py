"""What the tests of the notebooks read: cells, words, figures, exercises."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nbformat
from reading_time import start

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
SOLUTION = re.compile(r"<details>\s*<summary>Solution.*?</summary>(.*?)</details>", re.DOTALL)
FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)
LIBRARIES = {"NumPy": "np", "SciPy": "scipy", "PyTorch": "torch"}  # in words, and as they are imported


@cache
def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [c for c in read(path).cells if c.cell_type == "code"]


def markdown(path: Path) -> list[str]:
    return [c.source for c in read(path).cells if c.cell_type == "markdown"]


def lesson(path: Path) -> list[nbformat.NotebookNode]:
    """The cells before the exercises."""
    cells = read(path).cells
    return cells[: start(cells, "Exercises")]


class Exercise(NamedTuple):
    """One exercise: what is asked, the cell to fill in, and the folded solution."""

    number: int
    question: str
    stub: nbformat.NotebookNode
    solution: str

    @property
    def call(self) -> tuple[str, str]:
        """(the check, the function that it checks), from the stub's last line."""
        return re.fullmatch(r"(check_\w+)\((\w+)\)", self.stub.source.splitlines()[-1]).groups()


def exercises(path: Path) -> list[Exercise]:
    """The exercises of a notebook: each a question, a code cell and a solution, one after another."""
    cells = read(path).cells
    found = []
    for here, stub, after in zip(cells, cells[1:], cells[2:], strict=False):
        title = re.match(r"\*\*Exercise (\d+) \(", here.source)
        if title:
            code = "\n".join(FENCE.findall(SOLUTION.search(after.source).group(1)))
            found.append(Exercise(int(title.group(1)), here.source, stub, code))
    return found


def invited(exercise: Exercise) -> set[str]:
    """What an exercise invites to use: `np.exp` and `f(x)` in its question, hints and stub, or PyTorch."""
    text = f"{exercise.question}\n{exercise.stub.source}"
    spans = " ; ".join(re.findall(r"`+([^`]+)`+", text))
    name = r"(?<![\w.)\]])[A-Za-z_]\w*"  # not what stands behind a dot
    found = {*re.findall(rf"{name}(?:\.[A-Za-z_]\w*)+", spans), *re.findall(rf"({name})\(", spans)}
    return found - set(dir(builtins)) | {name for word, name in LIBRARIES.items() if word in text}


def in_reach(path: Path, exercise: Exercise) -> dict[str, str]:
    """The names that the cell of an exercise can use, each with the import that binds it, or "".

    The cells of other exercises do not count: a reader may leave them out.
    """
    sources = [cell.source for cell in code_cells(path)]
    others = {other.stub.source for other in exercises(path)} - {exercise.stub.source}
    found = {}
    for source in sources[: sources.index(exercise.stub.source) + 1]:
        if source not in others:
            found |= dict.fromkeys(_bound_and_read(source)[0], "") | imports(source)
    for scope in symtable.symtable(exercise.stub.source, path.name, "exec").get_children():
        found |= dict.fromkeys(scope.get_parameters(), "")  # an argument of the answer
    return found


def imports(source: str) -> dict[str, str]:
    """The names that imports bind, each with its statement."""
    return {
        (alias.asname or alias.name).split(".")[0]: ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def images(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [o for o in cell.outputs if "image/png" in o.get("data", {})]


def data_that_functions_read(path: Path) -> dict[str, set[str]]:
    """For each function of a notebook: what it reads of the notebook's variables, itself or through others.

    Imports, functions and CONSTANTS do not count; nor does a default value, bound once and for all.
    """
    source = "\n\n".join(cell.source for cell in code_cells(path))
    tree, imported = ast.parse(source), set(imports(source))
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


def needed_for(path: Path, call: str) -> list[tuple[int, str]]:
    """Number and source of the code cells that call a function, and of all cells that these rest on.

    A cell rests on those that bind, fill or extend a name which it reads and does not bind itself.
    """
    sources = [cell.source for cell in code_cells(path)]
    wanted = {n for n, source in enumerate(sources) if re.search(rf"\b{call}\(", source)}
    names = [_bound_and_read(source) for source in sources]
    while True:
        read_by = set().union(*(names[n][1] for n in wanted))
        more = {n for n, (bound, _) in enumerate(names) if bound & read_by} | wanted
        if more == wanted:
            return [(n + 1, sources[n]) for n in sorted(wanted)]
        wanted = more


def _bound_and_read(source: str) -> tuple[set[str], set[str]]:
    top = symtable.symtable(source, "cell", "exec")
    bound = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    read_here = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    scopes = list(top.get_children())
    for scope in scopes:
        scopes.extend(scope.get_children())
        read_here |= {s.get_name() for s in scope.get_symbols() if s.is_global()}
    filled = set()
    for node in ast.walk(ast.parse(source)):  # d["key"] = 1 and d.append(1)
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.value, ast.Name):
            called = isinstance(node, ast.Attribute) and node.attr in {"append", "extend", "update", "add"}
            if called or isinstance(node.ctx, ast.Store):
                filled.add(node.value.id)
    return bound | filled, (read_here - bound) | filled
