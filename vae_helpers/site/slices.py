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
library function outside `CHANGE_THE_FIRST`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import symtable
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

from vae_helpers.widgets.stage import ON_STAGE, Staged

MAKERS = ("explore", "LatentExplorer", "train_live")
# Methods after which an object is another one; those of PyTorch that end in "_" too.
CHANGING_METHODS = frozenset(
    "add append appendleft backward clear discard eval extend fill insert load_state_dict pop popitem "
    "popleft register_buffer remove resize reverse seed set_state setdefault sort step train update "
    "write zero_grad".split()
)
# Functions of libraries that change their first argument.
CHANGE_THE_FIRST = frozenset(
    "copyto delattr fill_diagonal fit next place put put_along_axis putmask setattr shuffle".split()
)
# What one reads from only once, or what gives another number each time.
STREAMS = frozenset(
    "DataLoader Generator RandomState chain combinations count cycle default_rng enumerate filter iter "
    "manual_seed map open permutations product reversed starmap zip".split()
)
# Functions and methods of PyTorch that use the global random state where no generator is given.
RANDOM = frozenset(
    "bernoulli dropout multinomial normal poisson rand rand_like randint randint_like randn randn_like "
    "randperm rsample sample".split()
)
GLOBAL_RANDOM = "the global random state"  # stands for it among the names
_VIEWS = frozenset(
    "T as_tensor asarray detach flatten from_numpy items parameters ravel reshape squeeze state_dict "
    "transpose unsqueeze values view".split()
)
_SHOWING = re.compile(r"show(_picture)?|print|display|doctor|check_\w+|[A-Z]\w*|explore|train_live")


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
        kind = _last_name(self.call.func)
        if kind != "explore":
            return {"LatentExplorer": "latent_explorer"}.get(kind, kind)
        view = self.call.args[0] if self.call.args else None
        return _last_name(view.args[0]) if isinstance(view, ast.Call) and view.args else "explorer"


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


class Statement:
    """A statement at the top level of a cell, and what it does with names."""

    def __init__(self, node: ast.stmt, cell: int) -> None:
        self.node, self.cell = node, cell
        table = symtable.symtable(ast.unparse(node), "cell", "exec")
        self.binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
        self.reads = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
        self.later: set[str] = set()  # what its functions look up when they are called
        self.bound_by_calls: set[str] = set()  # names that its functions declare global and bind
        self._read_scopes(table, deferred=False)
        if isinstance(node, ast.AugAssign):
            self.reads |= _bases(node.target)
        if _uses_global_random(node):
            (self.later if self.defines else self.reads).add(GLOBAL_RANDOM)
        self.replaces = self.binds if _binds_for_sure(node) else set()

    def _read_scopes(self, table: symtable.SymbolTable, deferred: bool) -> None:
        for scope in table.get_children():
            at_once = scope.get_type() == "class" or scope.get_name() in ("listcomp", "setcomp", "dictcomp")
            later = deferred or not at_once
            names = {s.get_name() for s in scope.get_symbols() if s.is_global()}
            (self.later if later else self.reads).update(names)
            self.bound_by_calls |= {
                s.get_name() for s in scope.get_symbols() if s.is_declared_global() and s.is_assigned()
            }
            self._read_scopes(scope, later)

    @property
    def defines(self) -> bool:
        """Whether it is the definition of a function or a class, which does not run the functions."""
        return isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)

    @property
    def imports(self) -> bool:
        """Whether it is an import."""
        return isinstance(self.node, ast.Import | ast.ImportFrom)

    @property
    def names(self) -> set[str]:
        """All that it reads, at once or later."""
        return self.reads | self.later


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
                text = ast.unparse(node)
                raise ValueError(f"{where}: expected imports of names, got {text}, which may bind any")
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

    def needed(self, place: Place) -> list[int]:
        """The numbers of the statements that an explorer rests on, with its own, in order."""
        last = place.index
        wanted = {last, *(n for n in range(last) if self._is_setting(self.statements[n]))}
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
        """What each statement binds, changes, or moves on, under each name that it has then.

        An object is known by a name and the number of the statement that bound it last, `(name, number)`,
        so that a name which is used again elsewhere does not join two objects.
        """
        bound: dict[str, int] = {GLOBAL_RANDOM: -1}
        same, streams = _Groups(), {(GLOBAL_RANDOM, -1)}
        definitions: dict[str, list[Statement]] = {}
        moved: list[tuple[set[tuple[str, int]], dict[str, int]]] = []
        lazy = STREAMS | {name for each in self.statements for name in _lazy_functions(each.node)}
        for number, statement in enumerate(self.statements):
            before = dict(bound)
            bound |= dict.fromkeys(statement.binds, number)
            for name in statement.binds & before.keys() - statement.replaces:
                if not isinstance(statement.node, ast.For):  # what a loop binds is seldom what it was before
                    same.join({(name, before[name]), (name, number)})
                    streams |= {(name, number)} if (name, before[name]) in streams else set()
            for targets, value in bindings(statement.node):
                held = _held(value) - self._imported
                objects = {(name, before[name]) for name in held & before.keys()}
                objects |= {(name, number) for name in held & statement.binds}
                own = {(name, number) for name in targets & statement.binds}
                own |= {(name, before[name]) for name in targets & before.keys() - statement.binds}
                if objects and own:
                    same.join(objects | own)
                if objects & streams or _makes_stream(value, lazy):
                    streams |= own
            if statement.later or statement.bound_by_calls:
                for name in statement.binds:
                    definitions.setdefault(name, []).append(statement)
            changed, read = self._done(statement, definitions)
            objects = {(name, at[name]) for at in (before, bound) for name in changed & at.keys()}
            objects |= {(name, before[name]) for name in read & before.keys()} & streams
            moved.append((objects, dict(bound)))
        touched = []
        for statement, (objects, names) in zip(self.statements, moved, strict=True):
            reached = objects.union(*(same.of(each) for each in objects))
            also = {name for name, number in names.items() if (name, number) in reached}
            touched.append(statement.binds | {name for name, _ in objects} | also)
        return touched

    def _done(
        self, statement: Statement, definitions: dict[str, list[Statement]]
    ) -> tuple[set[str], set[str]]:
        """What a statement changes and reads when it runs, also by the functions that it can reach."""
        read = set(statement.reads if statement.defines else statement.names)
        changed = set() if statement.defines else self._changes(statement)
        open_ = list(read)
        while open_:
            for definition in definitions.get(open_.pop(), ()):
                changed |= self._changes(definition) & definition.later | definition.bound_by_calls
                open_ += definition.later - read
                read |= definition.later
        return changed, read

    def _changes(self, statement: Statement) -> set[str]:
        return changes(statement.node, self._changing, self._imported)

    def _is_setting(self, statement: Statement) -> bool:
        """Whether a statement sets something for all: `use_style()`, `plt.rcParams["font.size"] = 9`."""
        node = statement.node
        if statement.imports or statement.defines:
            return False
        if self._changes(statement) & self._imported:
            return True
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            return False
        return statement.names <= self._imported and not _SHOWING.fullmatch(_last_name(node.value.func))

    def run(self, places: Iterable[Place] | None = None) -> Iterator[Found]:
        """Runs what explorers need, top to bottom in one fresh namespace, and gives each as it is made.

        What was printed is thrown away. Matplotlib's and PyTorch's settings are brought back at the end, and
        an explorer is closed when the next one is asked for.

        Args:
            places: which explorers; all if None.

        Raises:
            RuntimeError: a cell fails; the message names the notebook and the cell.
        """
        places = {place.index: place for place in (self.places if places is None else places)}
        wanted = sorted({index for place in places.values() for index in self.needed(place)})
        namespace: dict[str, Any] = {"__name__": "__main__"}
        with mpl.rc_context(), _one_thread():
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


def changes(node: ast.AST, functions: dict[str, Changing], modules: Iterable[str] = ()) -> set[str]:
    """The names whose objects are changed somewhere in a piece of code, as far as one can see there.

    Args:
        node: the code.
        functions: those that change what they are given.
        modules: names whose own functions are no methods: `np.insert(…)` changes nothing of `np`.
    """
    found = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute | ast.Subscript) and isinstance(part.ctx, ast.Store | ast.Del):
            found |= _bases(part.value)
        elif isinstance(part, ast.AugAssign):
            found |= _bases(part.target)
        elif isinstance(part, ast.Call):
            if _is_changing(part.func):
                owner = part.func.value
                found |= set() if isinstance(owner, ast.Name) and owner.id in modules else _bases(owner)
            found |= {name for k in part.keywords if k.arg == "out" for name in _bases(k.value)}
            found |= {name for value in _changed_arguments(part, functions) for name in _bases(value)}
    return found


def _changed_arguments(call: ast.Call, functions: dict[str, Changing]) -> Iterator[ast.expr]:
    """The arguments of a call that it changes."""
    if (function := functions.get(_last_name(call.func))) is None:
        return
    arguments = list(call.args)
    if function.arguments[:1] == ("self",) and isinstance(call.func, ast.Attribute):
        arguments.insert(0, call.func.value)
    for number, value in enumerate(arguments):
        unknown = number >= len(function.arguments) or isinstance(value, ast.Starred)
        if unknown or function.arguments[number] in function.changed:
            yield value
    yield from (k.value for k in call.keywords if k.arg is None or k.arg in function.changed)


class Changing(NamedTuple):
    """A function that changes what it is given: its arguments in their order, and the changed ones."""

    arguments: tuple[str, ...]
    changed: frozenset[str]


def changing_functions(nodes: Iterable[ast.stmt]) -> dict[str, Changing]:
    """The functions that change an argument, by name: those of libraries, and those defined in the code."""
    known = {name: Changing(("first", *"_" * 9), frozenset({"first"})) for name in CHANGE_THE_FIRST}
    defined = [(name, function) for node in nodes for name, function in _functions(node)]
    while True:
        before = dict(known)
        for name, function in defined:
            arguments = tuple(a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg))
            changed = _changed_inside(function, known) & set(arguments)
            if changed and name != "__init__":
                earlier = known.get(name, Changing(arguments, frozenset()))
                known[name] = Changing(arguments, earlier.changed | changed)
        if known == before:
            return known


def _changed_inside(function: ast.FunctionDef | ast.Lambda, known: dict[str, Changing]) -> set[str]:
    """The names inside a function whose objects it changes, under any of its names for them."""
    body = function.body if isinstance(function.body, list) else [ast.Expr(function.body)]
    whole, same = ast.Module(body, []), _Groups()
    for part in ast.walk(whole):
        for targets, value in bindings(part) if isinstance(part, ast.stmt) else ():
            same.join({(name, 0) for name in targets | _held(value)})
    changed = changes(whole, known)
    return changed | {name for one in changed for name, _ in same.of((one, 0))}


class _Groups:
    """Objects that may be one or parts of one, in groups that grow together."""

    def __init__(self) -> None:
        self._group: dict[tuple[str, int], set[tuple[str, int]]] = {}

    def join(self, objects: set[tuple[str, int]]) -> None:
        joined = objects.union(*(self.of(each) for each in objects))
        self._group |= dict.fromkeys(joined, joined)

    def of(self, one: tuple[str, int]) -> set[tuple[str, int]]:
        return self._group.get(one, {one})


def bindings(node: ast.AST) -> Iterator[tuple[set[str], ast.AST]]:
    """What a statement binds to what: names, and the value that they then stand for or are a part of.

    Inside a function or a comprehension names are its own, so that these are left out; a function itself
    holds the defaults of its arguments.
    """
    if isinstance(node, ast.FunctionDef):
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            yield {node.name}, default
        return
    if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return
    pairs: list[tuple[ast.AST, ast.AST]] = []
    if isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr | ast.AugAssign) and node.value is not None:
        pairs = [(node.target, node.value)]
    elif isinstance(node, ast.For):
        pairs = [(node.target, node.iter)]
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        pairs = [(node.optional_vars, node.context_expr)]
    for target, value in pairs:
        for left, right in _matched(target, value):
            yield _targets(left), right
    for child in ast.iter_child_nodes(node):
        yield from bindings(child)


def _targets(target: ast.AST) -> set[str]:
    if isinstance(target, ast.Tuple | ast.List):
        return set().union(*(_targets(part) for part in target.elts))
    return _bases(target)


def _matched(target: ast.AST, value: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Each target with its own value where both are written out, as in `a, b = c, d`."""
    both = isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List)
    if both and len(target.elts) == len(value.elts):
        for left, right in zip(target.elts, value.elts, strict=True):
            yield from _matched(left, right)
    else:
        yield target, value


def _held(value: ast.AST) -> set[str]:
    """The names whose objects the value is, holds, or is a part of."""
    if isinstance(value, ast.Name):
        return {value.id}
    if isinstance(value, ast.Attribute | ast.Subscript | ast.Starred):
        return _held(value.value)
    if isinstance(value, ast.Tuple | ast.List | ast.Set | ast.BoolOp):
        parts = value.values if isinstance(value, ast.BoolOp) else value.elts
    elif isinstance(value, ast.Dict):
        parts = [*filter(None, value.keys), *value.values]
    elif isinstance(value, ast.IfExp):
        parts = [value.body, value.orelse]
    elif isinstance(value, ast.BinOp):  # lists that are joined, dicts that are merged
        parts = [value.left, value.right] if isinstance(value.op, ast.Add | ast.BitOr) else []
    elif isinstance(value, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        return _held_by_comprehension(value)
    elif isinstance(value, ast.Call):
        parts = _held_by_call(value)
    else:
        parts = []
    return set().union(*(_held(part) for part in parts))


def _held_by_comprehension(value: ast.AST) -> set[str]:
    own = set().union(*(_targets(part.target) for part in value.generators))
    inner = _held(value.value if isinstance(value, ast.DictComp) else value.elt)
    taken = set().union(*(_held(part.iter) for part in value.generators)) if inner & own else set()
    return inner - own | taken


def _held_by_call(call: ast.Call) -> list[ast.AST]:
    name = _last_name(call.func)
    handed = [*call.args, *(keyword.value for keyword in call.keywords)]
    own = [call.func.value] if isinstance(call.func, ast.Attribute) else []
    if name in _VIEWS:
        return [*own, *handed]
    keeps = name[:1].isupper() or name in STREAMS or name in ("partial", "list", "tuple", "dict", "set")
    return handed if keeps else []


def _bases(value: ast.AST) -> set[str]:
    """The names of the objects that a place or an argument belongs to."""
    if isinstance(value, ast.Name):
        return {value.id}
    if isinstance(value, ast.Attribute | ast.Subscript | ast.Starred):
        return _bases(value.value)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        return _bases(value.func.value) | _held(value)
    return _held(value)


def _functions(node: ast.stmt) -> Iterator[tuple[str, ast.FunctionDef | ast.Lambda]]:
    """The functions that a statement defines, by name; of a class its methods and itself."""
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef):
            yield part.name, part
        elif isinstance(part, ast.Assign) and isinstance(part.value, ast.Lambda):
            for target in part.targets:
                for name in _bases(target):
                    yield name, part.value


def _lazy_functions(node: ast.stmt) -> Iterator[str]:
    """The names of the functions that are generators."""
    for name, function in _functions(node):
        if any(isinstance(part, ast.Yield | ast.YieldFrom) for part in ast.walk(function)):
            yield name


def _makes_stream(value: ast.AST, makers: Iterable[str]) -> bool:
    """Whether a value is a new stream, or holds one."""
    return any(
        isinstance(part, ast.GeneratorExp) or isinstance(part, ast.Call) and _last_name(part.func) in makers
        for part in _kept_parts(value)
    )


def _kept_parts(value: ast.AST) -> Iterator[ast.AST]:
    """The value and what it holds, without what it was only computed from."""
    yield value
    if isinstance(value, ast.Call):
        parts = _held_by_call(value)
        if isinstance(value.func, ast.Attribute) and value.func.attr == "manual_seed":
            parts = []
    elif isinstance(value, ast.Tuple | ast.List | ast.Set):
        parts = value.elts
    elif isinstance(value, ast.Dict):
        parts = value.values
    elif isinstance(value, ast.ListComp):
        parts = [value.elt]
    elif isinstance(value, ast.DictComp):
        parts = [value.value]
    elif isinstance(value, ast.IfExp):
        parts = [value.body, value.orelse]
    else:
        parts = []
    for part in parts:
        yield from _kept_parts(part)


def _binds_for_sure(node: ast.stmt) -> bool:
    """Whether a statement binds its names anew in any case, so that what they were before is gone."""
    if isinstance(node, ast.With):  # other managers may swallow an error
        names = {_last_name(item.context_expr) for item in node.items}
        return names <= {"no_grad", "inference_mode", "errstate"} and all(map(_binds_for_sure, node.body))
    simple = ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom
    return isinstance(node, simple | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def _is_changing(function: ast.expr) -> bool:
    if not isinstance(function, ast.Attribute):
        return False
    name = function.attr
    return name in CHANGING_METHODS or name.endswith("_") and not name.endswith("__")


def _uses_global_random(node: ast.AST) -> bool:
    """Whether code draws from NumPy's, Python's or PyTorch's global random state, as far as one sees."""
    return any(isinstance(part, ast.Call) and _draws_globally(part) for part in ast.walk(node))


def _draws_globally(call: ast.Call) -> bool:
    words = ast.unparse(call.func).split(".")
    if len(words) > 1 and words[-2] == "random":  # np.random.normal, random.random
        return words[-1] not in ("default_rng", "Generator", "RandomState", "SeedSequence")
    if words == ["torch", "manual_seed"] or words == ["torch", "seed"]:
        return True
    if any(keyword.arg in ("generator", "rng") for keyword in call.keywords):
        return False
    if words[0] == "nn" and words[-1][:1].isupper() or words[-1] == "VAE":
        return True  # the first weights
    drawing = words[-1] in RANDOM and (words[0] in ("torch", "F") or words[-1] in ("sample", "rsample"))
    return drawing and len(call.args) < 2


def _is_maker(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _last_name(node.func) in MAKERS


def _last_name(function: ast.AST) -> str:
    """The last word of what is called: "plot" of `ax.plot(…)`, "check" of `f(x).check()`."""
    if isinstance(function, ast.Call):
        return _last_name(function.func)
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


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
