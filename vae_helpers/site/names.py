"""What a piece of Python does with names: which it binds, reads and changes, read from the source.

It is seen as far as it can be seen there, and rather too much than too little: `a.append(1)` changes `a`,
and so does `fill(a)` where `fill` is a function that appends to what it is given.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable, Iterator
from typing import NamedTuple

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
# What gives another number each time, and what one can go through only once.
RANDOM_STREAMS = frozenset("Generator RandomState default_rng manual_seed".split())
STREAMS = RANDOM_STREAMS | frozenset(
    "DataLoader chain combinations count cycle enumerate filter iter map open permutations product "
    "reversed starmap zip".split()
)
# Functions and methods of PyTorch that use the global random state where no generator is given.
DRAWING = frozenset(
    "bernoulli dropout multinomial normal poisson rand rand_like randint randint_like randn randn_like "
    "randperm rsample sample".split()
)
GLOBAL_RANDOM = "the global random state"  # stands for it among the names
_VIEWS = frozenset(
    "T as_tensor asarray detach flatten from_numpy items parameters ravel reshape squeeze state_dict "
    "transpose unsqueeze values view".split()
)
_KEEPING = ("partial", "list", "tuple", "dict", "set", "sorted")  # functions that keep what they are given
_DISPLAYS = ast.Tuple | ast.List | ast.Set
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Statement:
    """A statement at the top level of a cell.

    Attributes:
        node, cell: its syntax tree, and the number of its cell.
        binds: the names that it binds.
        replaces: those of them that it binds in any case, so that what they were before is gone.
        reads: the names that it reads while it runs.
        later: the names that its functions look up whenever they are called.
        bound_by_calls: the names that its functions declare global and bind.
    """

    def __init__(self, node: ast.stmt, cell: int) -> None:
        self.node, self.cell = node, cell
        table = symtable.symtable(ast.unparse(node), "cell", "exec")
        self.binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
        self.reads = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
        self.later: set[str] = set()
        self.bound_by_calls: set[str] = set()
        self._read_scopes(table, later=False)
        if isinstance(node, ast.AugAssign):
            self.reads |= bases(node.target)
        if any(_draws_globally(part) for part in ast.walk(node) if isinstance(part, ast.Call)):
            (self.later if self.defines else self.reads).add(GLOBAL_RANDOM)
        self.replaces = self.binds if _binds_for_sure(node) else set()

    def _read_scopes(self, table: symtable.SymbolTable, later: bool) -> None:
        for scope in table.get_children():
            at_once = scope.get_type() == "class" or scope.get_name() in ("listcomp", "setcomp", "dictcomp")
            symbols = scope.get_symbols()
            into = self.later if later or not at_once else self.reads
            into |= {s.get_name() for s in symbols if s.is_global()}
            own = {s.get_name() for s in symbols if s.is_declared_global() and s.is_assigned()}
            self.bound_by_calls |= own
            self._read_scopes(scope, later or not at_once)

    @property
    def names(self) -> set[str]:
        """All that it reads, at once or later."""
        return self.reads | self.later

    @property
    def defines(self) -> bool:
        """Whether it is the definition of a function or a class, whose functions do not run yet."""
        return isinstance(self.node, _DEFINITIONS)

    @property
    def imports(self) -> bool:
        """Whether it is an import."""
        return isinstance(self.node, ast.Import | ast.ImportFrom)


def last_name(function: ast.AST) -> str:
    """The last word of what is called: "plot" of `ax.plot(…)`, "check" of `f(x).check()`."""
    if isinstance(function, ast.Call):
        return last_name(function.func)
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _binds_for_sure(node: ast.stmt) -> bool:
    if isinstance(node, ast.With):  # other managers may swallow an error
        names = {last_name(item.context_expr) for item in node.items}
        return names <= {"no_grad", "inference_mode", "errstate"} and all(map(_binds_for_sure, node.body))
    return isinstance(node, ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom | _DEFINITIONS)


def _draws_globally(call: ast.Call) -> bool:
    """Whether a call uses NumPy's, Python's or PyTorch's global random state, as far as one sees."""
    words = ast.unparse(call.func).split(".")
    if len(words) > 1 and words[-2] == "random":  # np.random.normal, random.random
        return words[-1] not in (*RANDOM_STREAMS, "SeedSequence")
    if words in (["torch", "manual_seed"], ["torch", "seed"]):
        return True
    if any(keyword.arg in ("generator", "rng") for keyword in call.keywords):
        return False
    if "nn" in words[:-1] and words[-1][:1].isupper() or words[-1] == "VAE":
        return True  # the first weights
    drawing = words[-1] in DRAWING and (words[0] in ("torch", "F") or words[-1] in ("sample", "rsample"))
    return drawing and len(call.args) < 2


# ---- what is changed ------------------------------------------------------------------------


class Changing(NamedTuple):
    """A function that changes what it is given: its arguments in their order, and the changed ones."""

    arguments: tuple[str, ...]
    changed: frozenset[str]


def changes(node: ast.AST, functions: dict[str, Changing], modules: Iterable[str] = ()) -> set[str]:
    """The names whose objects are changed somewhere in a piece of code.

    Args:
        node: the code.
        functions: those that change what they are given.
        modules: names whose own functions are no methods: `np.insert(…)` changes nothing of `np`.
    """
    found = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute | ast.Subscript) and isinstance(part.ctx, ast.Store | ast.Del):
            found |= bases(part.value)
        elif isinstance(part, ast.AugAssign):
            found |= bases(part.target)
        elif isinstance(part, ast.Call):
            if _is_changing_method(part.func):
                owner = part.func.value
                found |= set() if isinstance(owner, ast.Name) and owner.id in modules else bases(owner)
            found |= {name for k in part.keywords if k.arg == "out" for name in bases(k.value)}
            found |= {name for value in _changed_arguments(part, functions) for name in bases(value)}
    return found


def changing_functions(nodes: Iterable[ast.stmt]) -> dict[str, Changing]:
    """The functions that change an argument, by name: those of libraries, and those defined in the code."""
    known = {name: Changing(("first", *"_" * 9), frozenset({"first"})) for name in CHANGE_THE_FIRST}
    defined = [(name, function) for node in nodes for name, function in functions_of(node)]
    while True:
        before = dict(known)
        for name, function in defined:
            arguments = tuple(a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg))
            changed = changed_inside(function, known) & set(arguments)
            if changed and name != "__init__":  # a new object is no change of an old one
                earlier = known.get(name, Changing(arguments, frozenset()))
                known[name] = Changing(arguments, earlier.changed | changed)
        if known == before:
            return known


def changed_inside(function: ast.AST, known: dict[str, Changing]) -> set[str]:
    """The names inside a function or a class whose objects it changes, under any of its names for them."""
    body = function.body if isinstance(function.body, list) else [ast.Expr(function.body)]
    whole, same = ast.Module(body, []), Groups()
    for part in ast.walk(whole):
        for targets, value in bindings(part) if isinstance(part, ast.stmt) else ():
            same.join({(name, 0) for name in targets | held(value)})
    changed = changes(whole, known)
    return changed | {name for one in changed for name, _ in same.of((one, 0))}


def functions_of(node: ast.stmt) -> Iterator[tuple[str, ast.FunctionDef | ast.Lambda]]:
    """The functions that a statement defines, also as methods and inside of others, by name."""
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef):
            yield part.name, part
        elif isinstance(part, ast.Assign) and isinstance(part.value, ast.Lambda):
            for name in set().union(*map(bases, part.targets)):
                yield name, part.value


def _is_changing_method(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else ""
    return name in CHANGING_METHODS or name.endswith("_") and not name.endswith("__")


def _changed_arguments(call: ast.Call, functions: dict[str, Changing]) -> Iterator[ast.expr]:
    """The arguments of a call that it changes; of a call of an object that changes itself the object."""
    if (function := functions.get(last_name(call.func))) is None:
        if "__call__" in functions:
            yield call.func
        return
    arguments = list(call.args)
    if function.arguments[:1] == ("self",) and isinstance(call.func, ast.Attribute):
        arguments.insert(0, call.func.value)
    for number, value in enumerate(arguments):
        unknown = number >= len(function.arguments) or isinstance(value, ast.Starred)
        if unknown or function.arguments[number] in function.changed:
            yield value
    yield from (k.value for k in call.keywords if k.arg is None or k.arg in function.changed)


# ---- one object under several names -----------------------------------------------------------


class Groups:
    """Objects that may be one or parts of one, in groups that grow together."""

    def __init__(self) -> None:
        self._group: dict[tuple[str, int], set[tuple[str, int]]] = {}

    def join(self, objects: set[tuple[str, int]]) -> None:
        """Says that these may be one."""
        joined = objects.union(*(self.of(each) for each in objects))
        self._group |= dict.fromkeys(joined, joined)

    def of(self, one: tuple[str, int]) -> set[tuple[str, int]]:
        """All that may be the same as this one, with itself."""
        return self._group.get(one, {one})


def bindings(node: ast.AST) -> Iterator[tuple[set[str], ast.AST]]:
    """What a statement binds to what: names, and the value that they then stand for or are a part of.

    Inside a function or a comprehension names are its own, so that these are left out; a function itself
    holds the defaults of its arguments.
    """
    if isinstance(node, ast.FunctionDef):
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            yield {node.name}, default
    if isinstance(node, _DEFINITIONS | ast.Lambda | _COMPREHENSIONS):
        return
    pairs: list[tuple[ast.AST, ast.AST]] = []
    if isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr | ast.AugAssign) and node.value is not None:
        pairs = [(node.target, node.value)]
    elif isinstance(node, ast.For):
        # The elements of zip(a, b) are those of a and b, and not an iterator as it is itself.
        through = isinstance(node.iter, ast.Call) and last_name(node.iter.func) in STREAMS
        pairs = [(node.target, ast.Tuple(node.iter.args) if through else node.iter)]
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        pairs = [(node.optional_vars, node.context_expr)]
    for target, value in pairs:
        for left, right in _matched(target, value):
            yield _targets(left), right
    for child in ast.iter_child_nodes(node):
        yield from bindings(child)


def _targets(target: ast.AST) -> set[str]:
    if isinstance(target, ast.Tuple | ast.List):
        return set().union(*map(_targets, target.elts))
    return bases(target)


def _matched(target: ast.AST, value: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Each target with its own value where both are written out, as in `a, b = c, d`."""
    both = isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List)
    if both and len(target.elts) == len(value.elts):
        for left, right in zip(target.elts, value.elts, strict=True):
            yield from _matched(left, right)
    else:
        yield target, value


def bases(value: ast.AST) -> set[str]:
    """The names of the objects that a place or an argument belongs to."""
    if isinstance(value, ast.Attribute | ast.Subscript | ast.Starred):
        return bases(value.value)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        return bases(value.func.value) | held(value)
    return held(value)


def held(value: ast.AST) -> set[str]:
    """The names whose objects the value is, holds, or is a part of."""
    if isinstance(value, ast.Name):
        return {value.id}
    if isinstance(value, _COMPREHENSIONS):
        own = set().union(*(_targets(part.target) for part in value.generators))
        inner = set().union(*map(held, _parts(value)))
        taken = set().union(*(held(part.iter) for part in value.generators)) if inner & own else set()
        return inner - own | taken
    return set().union(*map(held, _parts(value)))


def _parts(value: ast.AST) -> list[ast.AST]:
    """What a value is made of, without what it was only computed from."""
    if isinstance(value, ast.Attribute | ast.Subscript | ast.Starred | ast.NamedExpr):
        return [value.value]
    if isinstance(value, _DISPLAYS):
        return value.elts
    if isinstance(value, ast.Dict):
        return [*filter(None, value.keys), *value.values]
    if isinstance(value, ast.BoolOp):
        return value.values
    if isinstance(value, ast.IfExp):
        return [value.body, value.orelse]
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.BitOr):
        return [value.left, value.right]  # lists that are joined, dicts that are merged
    if isinstance(value, _COMPREHENSIONS):
        return [value.value if isinstance(value, ast.DictComp) else value.elt]
    return _parts_of_call(value) if isinstance(value, ast.Call) else []


def _parts_of_call(call: ast.Call) -> list[ast.AST]:
    """What the result of a call may hold: of a class, which begins with a capital, what it is given."""
    name, handed = last_name(call.func), [*call.args, *(keyword.value for keyword in call.keywords)]
    if name == "manual_seed":
        return []
    if name in _VIEWS:
        return [*handed, *([call.func.value] if isinstance(call.func, ast.Attribute) else [])]
    return handed if name[:1].isupper() or name in STREAMS or name in _KEEPING else []


# ---- streams and what functions carry along ---------------------------------------------------


def makes_stream(value: ast.AST, makers: Iterable[str]) -> bool:
    """Whether a value is a new stream or holds one: a generator, an iterator, what one of `makers` gives."""
    if isinstance(value, ast.GeneratorExp) or isinstance(value, ast.Call) and last_name(value.func) in makers:
        return True
    return any(makes_stream(part, makers) for part in _parts(value))


def called_in(value: ast.AST) -> set[str]:
    """The names of the functions whose results a value is or holds."""
    own = {last_name(value.func)} if isinstance(value, ast.Call) else set()
    return own.union(*map(called_in, _parts(value)))


def stream_functions(nodes: Iterable[ast.stmt]) -> set[str]:
    """The functions of the code that give a stream, or a function that remembers its calls."""
    return {name for node in nodes for name, function in functions_of(node) if _gives_stream(function)}


def _gives_stream(function: ast.FunctionDef | ast.Lambda) -> bool:
    parts = [part for part in ast.walk(function) if part is not function]
    if any(isinstance(part, ast.Yield | ast.YieldFrom | ast.Nonlocal) for part in parts):
        return True
    makes = any(isinstance(part, ast.Call) and last_name(part.func) in RANDOM_STREAMS for part in parts)
    if makes and any(isinstance(part, ast.FunctionDef | ast.Lambda) for part in parts):
        return True
    streams = {
        name
        for part in parts
        if isinstance(part, ast.Assign)
        for names, value in bindings(part)
        if makes_stream(value, STREAMS)
        for name in names
    }
    given = [part.value for part in parts if isinstance(part, ast.Return) and part.value is not None]
    given += [function.body] if isinstance(function, ast.Lambda) else []
    return any(makes_stream(value, STREAMS) or held(value) & streams for value in given)


def remembers(function: ast.AST, functions: dict[str, Changing]) -> bool:
    """Whether a function changes the default of an argument, which it keeps from call to call."""
    if not isinstance(function, ast.FunctionDef) or function.name not in functions:
        return False
    arguments = function.args
    last = [*arguments.posonlyargs, *arguments.args][-len(arguments.defaults) or None :]
    last = last if arguments.defaults else []
    last += [a for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default]
    return bool({argument.arg for argument in last} & functions[function.name].changed)
