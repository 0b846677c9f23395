"""What an explorer of a notebook needs of the cells above it, and the explorer itself without a kernel.

An explorer's pictures are made by the notebook's own functions. To have them one need not run the whole
notebook, with its trainings and checks: a backward slice over its top-level statements leaves those that
bind, fill or use up what the explorer's statement uses, and those on which these rest. Where it cannot be
seen whether a statement matters, it is run: a slice may be too large, and must not be too small.

What is followed: names that statements bind and read, also inside functions, which are looked up when the
function is called; assignments to parts of an object; methods and functions that change what they are
given; other names of the same object; streams of random numbers and iterators, which everyone who reads
them moves on; the global random state; settings (`use_style()`). Prints, asserts and figures are left out
unless they move such a stream on. What is not: objects that are changed behind the notebook's back by a
library function outside `names.CHANGE_THE_FIRST`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt

from vae_helpers.site.names import (
    GLOBAL_RANDOM,
    STREAMS,
    Changing,
    Groups,
    Statement,
    bindings,
    called_in,
    changed_inside,
    changes,
    changing_functions,
    held,
    last_name,
    makes_stream,
    remembers,
    stream_functions,
)
from vae_helpers.widgets.stage import ON_STAGE, Staged

MAKERS = ("explore", "LatentExplorer", "train_live")
_SHOWING = re.compile(r"show(_picture)?|print|display|doctor|check_\w+|[A-Z]\w*|explore|train_live")
_HIDING = ("exec", "globals")  # with these, names are bound that nobody sees


class Place(NamedTuple):
    """Where a notebook makes an explorer.

    Attributes:
        notebook: the notebook's name without its ending.
        cell: the number of the cell, counted from 0 over all cells.
        index: the number of the statement, as of `Slicer.statements`.
        call: the call of `explore`, `LatentExplorer` or `train_live`.
    """

    notebook: str
    cell: int
    index: int
    call: ast.Call

    @property
    def name(self) -> str:
        """The explorer's name: what it is given, else its first function or its kind."""
        given = [keyword.value for keyword in self.call.keywords if keyword.arg == "name"]
        if given and isinstance(given[0], ast.Constant):
            return given[0].value
        kind = last_name(self.call.func)
        if kind != "explore":
            return {"LatentExplorer": "latent_explorer"}.get(kind, kind)
        view = self.call.args[0] if self.call.args else None
        return last_name(view.args[0]) if isinstance(view, ast.Call) and view.args else "explorer"


class Found(NamedTuple):
    """An explorer that a notebook's code has made.

    Attributes:
        place: where.
        name: as of the place, such as "draw_two_gaussians".
        shown: the `Explorer`, `LatentExplorer` or `LiveTraining`.
        namespace: the notebook's variables at this moment.
    """

    place: Place
    name: str
    shown: Staged
    namespace: dict[str, Any]


class Slicer:
    """The statements of a notebook, and which of them an explorer rests on.

    Args:
        path: the notebook.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no notebook, or a cell is not Python or imports everything of a module.
    """

    def __init__(self, path: str | Path) -> None:
        self.notebook = Path(path).stem
        self.statements = [
            Statement(node, cell)
            for cell, source in code_of(path).items()
            for node in self._parsed(source, cell)
        ]
        self._imported = set().union(*(each.binds for each in self.statements if each.imports))
        self._changing = changing_functions(each.node for each in self.statements)
        self._touched = self._follow()

    def _parsed(self, source: str, cell: int) -> list[ast.stmt]:
        where = f"{self.notebook}, cell {cell}"
        try:
            nodes = ast.parse(source, where).body
        except SyntaxError as error:
            raise ValueError(f"{where}: expected Python, got: {error}") from None
        for node in ast.walk(ast.Module(nodes, [])):
            if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
                raise ValueError(f"{where}: expected imports of names, got {ast.unparse(node)}")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _HIDING:
                raise ValueError(f"{where}: expected names that can be seen, got {ast.unparse(node)}")
        return nodes

    @cached_property
    def places(self) -> list[Place]:
        """Each explorer of the notebook, in order.

        Raises:
            ValueError: an explorer is not made by a statement of its own.
        """
        found = []
        for index, statement in enumerate(self.statements):
            calls = [node for node in ast.walk(statement.node) if _is_maker(node)]
            if not calls:
                continue
            node = statement.node
            alone = isinstance(node, ast.Expr | ast.Assign) and node.value is calls[0] and len(calls) == 1
            if not alone:
                raise ValueError(
                    f"{self.notebook}, cell {statement.cell}: expected an explorer as a statement of its own "
                    f"or as the value of a name, got {ast.unparse(node)[:60]!r}"
                )
            found.append(Place(self.notebook, statement.cell, index, calls[0]))
        return found

    def needed(self, place: Place, also: Iterable[str] = ()) -> list[int]:
        """The numbers of the statements that an explorer rests on, with its own, in order.

        Args:
            place: the explorer.
            also: names of the notebook that are wanted besides.
        """
        last = place.index
        wanted = {last, *(n for n in range(last) if self._is_setting(self.statements[n]))}
        wanted |= {n for name in also for n in self._sources(name, last)}
        open_ = list(wanted)
        while open_:
            index = open_.pop()
            statement = self.statements[index]
            more = {n for name in statement.names for n in self._sources(name, index)}
            for name in statement.later:  # a function may be called at any time from now on
                more |= {n for n in range(index + 1, last) if name in self._touched[n]}
            open_ += more - wanted
            wanted |= more
        return sorted(wanted)

    def _sources(self, name: str, before: int) -> Iterator[int]:
        """What decides what a name stands for at a statement, back to where it was bound anew."""
        for index in range(before - 1, -1, -1):
            if name in self._touched[index]:
                yield index
                if name in self.statements[index].replaces:
                    return

    def _follow(self) -> list[set[str]]:
        """What each statement binds, changes, or moves on, under each name that it has then."""
        tracker = _Tracker(self.statements, self._changing, self._imported)
        moved = [
            (tracker.moved(number, each), dict(tracker.bound)) for number, each in enumerate(self.statements)
        ]
        touched = []
        for statement, (objects, names) in zip(self.statements, moved, strict=True):
            reached = objects.union(*(tracker.same.of(each) for each in objects))
            also = {name for name, number in names.items() if (name, number) in reached}
            touched.append(statement.binds | {name for name, _ in objects} | also)
        return touched

    def _is_setting(self, statement: Statement) -> bool:
        """Whether a statement sets something for all: `use_style()`, `plt.rcParams["font.size"] = 9`."""
        node = statement.node
        if statement.imports or statement.defines:
            return False
        if changes(node, self._changing, self._imported) & self._imported:
            return True
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            return False
        return statement.names <= self._imported and not _SHOWING.fullmatch(last_name(node.value.func))

    def run(
        self, places: Iterable[Place] | None = None, also: Mapping[str, Iterable[str]] | None = None
    ) -> Iterator[Found]:
        """Runs what explorers need, top to bottom in one fresh namespace, and gives each as it is made.

        What was printed is thrown away. Matplotlib's and PyTorch's settings are brought back at the end,
        figures are closed, and an explorer is closed when the next one is asked for.

        Args:
            places: which explorers; all if None.
            also: the variables of the notebook that are wanted besides, by the names of the explorers.

        Raises:
            RuntimeError: a cell fails; the message names the notebook and the cell.
        """
        places = {place.index: place for place in (self.places if places is None else places)}
        also = also or {}
        needed = [self.needed(place, also.get(place.name, ())) for place in places.values()]
        wanted = sorted(set().union(*needed))
        namespace: dict[str, Any] = {"__name__": "__main__"}
        with mpl.rc_context(), _one_thread(), _no_figures_left():
            mpl.rcdefaults()  # as in a new kernel, whatever the reader's settings or a caller have chosen
            for index in wanted:
                made = self._execute(self.statements[index], namespace)
                if index in places:
                    stage = next((name for name, shown in ON_STAGE.items() if shown is made), "")
                    place, name = places[index], stage.partition(" ")[0]
                    if name != place.name:  # pages look for it by the name that they read in the cell
                        where = f"{self.notebook}, cell {place.cell}"
                        raise ValueError(
                            f"{where}: expected an explorer named {place.name}, got {name or made!r}"
                        )
                    yield Found(place, name, made, namespace)
                    ON_STAGE.pop(stage).close_all()

    def _execute(self, statement: Statement, namespace: dict[str, Any]) -> Any:
        """Runs a statement; the value of an expression, or what an assignment binds to one name."""
        node, where = statement.node, f"{self.notebook}, cell {statement.cell}"
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                if isinstance(node, ast.Expr):
                    return eval(compile(ast.Expression(node.value), where, "eval"), namespace)
                exec(compile(ast.Module([node], []), where, "exec"), namespace)
        except Exception as error:
            line = ast.unparse(node).splitlines()[0]
            raise RuntimeError(f"{where}: {type(error).__name__}: {error} (at {line})") from error
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            return namespace[node.targets[0].id]
        return None


class _Tracker:
    """Goes through statements in their order and knows which names stand for which objects.

    An object is known by a name and the number of the statement that bound it last, so that a name which is
    used again elsewhere does not join two objects.

    Attributes:
        bound: the number of the statement that bound each name last.
        same: the objects that may be one.
    """

    def __init__(
        self, statements: list[Statement], changing: dict[str, Changing], imported: set[str]
    ) -> None:
        self.bound, self.same = {GLOBAL_RANDOM: -1}, Groups()
        self._changing, self._imported = changing, imported
        self._makers = STREAMS | stream_functions(each.node for each in statements)
        self._streams = {(GLOBAL_RANDOM, -1)}
        self._definitions: dict[str, set[Statement]] = {}  # what runs where a name is used

    def moved(self, number: int, statement: Statement) -> set[tuple[str, int]]:
        """The objects that a statement changes or moves on."""
        before = dict(self.bound)
        self.bound |= dict.fromkeys(statement.binds, number)
        self._bind(number, statement, before)
        changed, read = self._done(statement)
        objects = {(name, at[name]) for at in (before, self.bound) for name in changed & at.keys()}
        return objects | {(name, before[name]) for name in read & before.keys()} & self._streams

    def _bind(self, number: int, statement: Statement, before: dict[str, int]) -> None:
        for name in statement.binds & before.keys() - statement.replaces:
            if not isinstance(statement.node, ast.For):  # what a loop binds is seldom what it was before
                self._join({(name, before[name])}, {(name, number)})
        for targets, value in bindings(statement.node):
            own = {(name, self.bound[name]) for name in targets & self.bound.keys()}
            names = held(value) - self._imported
            objects = {(name, at[name]) for at in (before, self.bound) for name in names & at.keys()}
            self._join(objects, own)
            if makes_stream(value, self._makers):
                self._streams |= own
            carried = [self._definitions.get(name, set()) for name in names | called_in(value)]
            for name in targets:
                self._definitions[name] = self._definitions.get(name, set()).union(*carried)
        if statement.later or statement.bound_by_calls:
            for name in statement.binds:
                self._definitions.setdefault(name, set()).add(statement)
        if remembers(statement.node, self._changing):
            self._streams |= {(name, number) for name in statement.binds}

    def _join(self, objects: set[tuple[str, int]], own: set[tuple[str, int]]) -> None:
        """Says that names now stand for objects or parts of them; of a stream they are streams."""
        if objects and own:
            self.same.join(objects | own)
            self._streams |= own if objects & self._streams else set()

    def _done(self, statement: Statement) -> tuple[set[str], set[str]]:
        """What a statement changes and reads when it runs, also by the functions that it can reach."""
        node = statement.node
        read = set(statement.reads if statement.defines else statement.names)
        runs = not statement.defines or isinstance(node, ast.ClassDef)
        changed = changes(node, self._changing, self._imported) & (read | statement.binds) if runs else set()
        open_ = list(read)
        while open_:
            for definition in self._definitions.get(open_.pop(), ()):
                changed |= self._changed_by_calls(definition)
                open_ += definition.later - read
                read |= definition.later
        return changed, read

    def _changed_by_calls(self, definition: Statement) -> set[str]:
        node = definition.node
        inside = changed_inside(node if definition.defines else ast.Module([node], []), self._changing)
        return inside & definition.later | definition.bound_by_calls


def explorers(path: str | Path) -> dict[int, str]:
    """The names of a notebook's explorers by the numbers of their cells, read and not run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as of `Slicer`, or two explorers in one cell or of one name.
    """
    places = Slicer(path).places
    found = {place.cell: place.name for place in places}
    if len(set(found.values())) < len(places):
        names = ", ".join(f"{place.name} in cell {place.cell}" for place in places)
        raise ValueError(
            f"{Path(path).stem}: expected explorers with names and cells of their own, got {names}"
        )
    return found


def code_of(path: str | Path) -> dict[int, str]:
    """The source of each code cell of a notebook, by its number among all cells.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no notebook of format 4.
    """
    try:
        cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
        return {n: "".join(c["source"]) for n, c in enumerate(cells) if c["cell_type"] == "code"}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"path: expected a notebook of format 4, got {path} ({error!r})") from None


def _is_maker(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and last_name(node.func) in MAKERS


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Lets PyTorch compute in one thread, as slices run side by side, and brings back its number."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _no_figures_left() -> Iterator[None]:
    """Closes the figures that are opened meanwhile: a slice has no `show`, which would do so."""
    before = set(plt.get_fignums())
    try:
        yield
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
