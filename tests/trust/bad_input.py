"""Whatever is handed over, the answer is right or an error names the argument: every public function.

`callables.py` lists the functions with what they take and an oracle for what they return; Hypothesis makes
arguments that must be taken, and then puts a value of any kind (`bad_values.py`) in the place of each. So an
outcome is one of three: an answer that the oracle calls right, a ValueError or TypeError whose message begins
with the name of the argument at fault, or a failure. A warning, an argument that was changed and a call that
does not end are failures, too.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import io
import multiprocessing
import os
import re
import signal
import tempfile
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from trust.bad_values import anything
from trust.ledger import Row
from vae_helpers.checks import exercises
from vae_helpers.numerics._validate import told

LAYERS = ("numerics", "models", "shipped", "pictures", "widgets", "checks", "audit")
EXAMPLES = 300  # of the long run, for a function that takes no time
SECONDS = 60.0  # in which a call has to end
_NAMED = re.compile(r"([A-Za-z_]\w*)(?:, \w+)*: ")


class Fault(AssertionError):
    """A call with another outcome than a right answer or an error that names the argument."""


class Endless(BaseException):
    """A call that does not end; no handler of ordinary errors takes it for its own."""


Arguments = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Target:
    """A public function or method.

    Attributes:
        name: where it is exported, such as "models.VAE.encode".
        good: draws arguments that it must take, by their names.
        right: fails, by an assertion, unless the result is the answer to the arguments. It is given
            generators as they were before the call.
        on: makes the object whose method it is.
        cost: how many times fewer examples are tried than of a function that takes no time.
        told: further errors that the docstring names.
        spared: arguments that keep their good value.
        also: names that a message may begin with besides those of the arguments.
        call: calls it by these arguments; by default by their names.
    """

    name: str
    good: Callable[[st.DrawFn], Arguments]
    right: Callable[[Any, Arguments], None]
    on: Callable[[], Any] | None = None
    cost: int = 1
    told: tuple[type[Exception], ...] = ()
    spared: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    call: Callable[..., Any] | None = None

    @property
    def layer(self) -> str:
        """The folder of `vae_helpers`."""
        return self.name.partition(".")[0]

    @cached_property
    def function(self) -> Callable[..., Any]:
        """What is called."""
        return self.call or found(self.name, self.on)

    @cached_property
    def places(self) -> tuple[str, ...]:
        """The arguments in whose place any value may stand."""
        takes = inspect.signature(self.function).parameters.values()
        named = [p.name for p in takes if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        return tuple(name for name in named if name not in self.spared)


def found(name: str, on: Callable[[], Any] | None = None) -> Any:
    """A public name of `vae_helpers`, or the method of an object."""
    layer, *path = name.split(".")
    if on is not None:
        return getattr(on(), path[-1])
    value = importlib.import_module(f"vae_helpers.{layer}")
    for part in path:
        value = getattr(value, part)
    return value


def exported() -> set[str]:
    """The names of all public functions, classes and methods that the layers export, by reflection."""
    names = set()
    for layer in LAYERS:
        module = importlib.import_module(f"vae_helpers.{layer}")
        public = getattr(module, "__all__", None) or [*vars(module), *getattr(module, "_NEED_TORCH", ())]
        for name in public:
            value = None if name.startswith("_") else getattr(module, name)
            if isinstance(value, types.ModuleType) and value.__name__ == f"vae_helpers.{layer}.{name}":
                if layer == "numerics" and name in ("gaussian", "linear_gaussian", "monte_carlo"):
                    names |= {f"{layer}.{name}.{each}" for each in _of_module(value)}
            elif (getattr(value, "__module__", None) or "").startswith("vae_helpers"):
                names |= _with_methods(f"{layer}.{name}", value)
    for path in sorted(Path(exercises.__file__).parent.glob("notebook_*.py")):
        module = importlib.import_module(f"{exercises.__name__}.{path.stem}")
        names |= {
            f"checks.exercises.{path.stem}.{name}" for name in vars(module) if name.startswith("check_")
        }
    return names - _also_exported_shorter(names)


def _of_module(module: types.ModuleType) -> Iterator[str]:
    for name, value in vars(module).items():
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__:
            yield from _with_methods(name, value)


def _with_methods(name: str, value: Any) -> set[str]:
    methods = vars(value).items() if inspect.isclass(value) else ()
    public = {method for method, each in methods if callable(each) and not method.startswith("_")}
    return {name} | {f"{name}.{method}" for method in public}


def _also_exported_shorter(names: set[str]) -> set[str]:
    """What a layer exports in a module and directly, such as numerics.monte_carlo.estimate."""
    return {
        name
        for name in names
        if len(path := name.split(".")) > 2
        for short in [".".join([path[0], *path[2:]])]
        if short in names and found(short) is found(name)
    }


# ---- one call -------------------------------------------------------------------------------


def outcome(target: Target, arguments: Arguments, hostile: frozenset[str] = frozenset()) -> str:
    """Makes a call: "refused" or "right".

    Args:
        target: what is called.
        arguments: with what.
        hostile: the names of the arguments that may be of any kind; the others are good.

    Raises:
        Fault: neither of both.
    """
    before = _all_copied(arguments)
    call = _Told(target.name, arguments)
    try:
        with _in_time(), _in_silence() as warned:
            result = target.function(**arguments)
    except (ValueError, TypeError, *target.told) as error:
        _check_refusal(target, arguments, hostile, error, call)
        answer = "refused"
    except (Exception, Endless) as error:
        raise Fault(f"{call}: {type(error).__name__}: {error}") from error
    else:
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                target.right(result, before)
        except Exception as error:
            raise Fault(f"{call}: a wrong answer, {_shown(result)}: {error}") from error
        answer = "right"
    if warned:
        raise Fault(f"{call}: warns: {warned[0].message}")
    for name, value in arguments.items():
        if not _same(value, before[name]):
            raise Fault(f"{call}: has changed {name}")
    return answer


@dataclass(frozen=True)
class _Told:
    """A call in words, which take long and are rarely wanted."""

    name: str
    arguments: Arguments

    def __str__(self) -> str:
        given = [f"{name}={_shown(value)}" for name, value in self.arguments.items()]
        return f"{self.name}({', '.join(given)})"


def _check_refusal(
    target: Target, arguments: Arguments, hostile: frozenset[str], error: Exception, call: _Told
) -> None:
    if not hostile:
        raise Fault(f"{call}: {type(error).__name__}: {error} (these arguments are good)") from error
    if isinstance(error, target.told) and not isinstance(error, ValueError | TypeError):
        return
    named = _NAMED.match(str(error))
    names = re.findall(r"\w+", named[0]) if named else []
    if not names or not set(names) <= {*arguments, *target.places, *target.also}:
        raise Fault(f"{call}: {type(error).__name__}: {error} (this names no argument)") from error
    # Two arrays may not go together, and either may be named; but None is never the fault of another one.
    blamed = set(names) & {*hostile, *target.also}
    if not blamed and not any(_is_numeric(arguments[name]) for name in hostile):
        raise Fault(f"{call}: {type(error).__name__}: {error} (this names a good argument)") from error


def _is_numeric(value: Any) -> bool:
    if isinstance(value, torch.Tensor | int | float):
        return True
    try:
        return np.asarray(value).dtype.kind in "biuf"
    except Exception:
        return False


@contextlib.contextmanager
def _in_silence() -> Iterator[list[warnings.WarningMessage]]:
    with (
        warnings.catch_warnings(record=True) as warned,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("always")
        yield warned


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    def end(_signal: int, _frame: object) -> None:
        raise Endless(f"does not end within {SECONDS:g} s")

    if not hasattr(signal, "setitimer"):  # Windows
        yield
        return
    handler = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def _copied(value: Any) -> Any:
    """A copy that shares no memory, where the value holds numbers or a random state."""
    if isinstance(value, torch.Generator):
        return torch.Generator().set_state(value.get_state())
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray | np.random.Generator):
        return copy.deepcopy(value)
    return value


def _all_copied(arguments: Arguments) -> Arguments:
    return {name: _copied(value) for name, value in arguments.items()}


def _same(value: Any, before: Any) -> bool:
    if isinstance(value, np.ndarray):
        whole = value.dtype == before.dtype and value.shape == before.shape
        return whole and (value.dtype.hasobject or np.array(value).tobytes() == np.array(before).tobytes())
    if isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_meta:
        if value.is_quantized or value.is_nested:
            return True
        return torch.equal(value.detach().nan_to_num(7.0), before.nan_to_num(7.0))
    return True


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray | torch.Tensor):
        kind = f"{type(value).__name__} {value.dtype} {tuple(value.shape)}"
        strange = isinstance(value, torch.Tensor) and value.layout is not torch.strided
        return f"<{kind} sparse>" if strange else f"<{kind}: {str(value)[:80]}>".replace("\n", " ")
    return told(value)


# ---- many calls -----------------------------------------------------------------------------


@dataclass
class Tally:
    """What came of the calls of a function.

    Attributes:
        refused, right: how many of them.
        faults: how many failed, by the first words that tell them apart.
        examples: the first failed call of each kind.
    """

    refused: int = 0
    right: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """How many there were."""
        return self.refused + self.right + self.faults.total()


def tried(target: Target, examples: int) -> Tally:
    """Calls a function with so many sets of good arguments, and with a value of any kind in each place."""
    tally = Tally()

    def call(arguments: Arguments, hostile: frozenset[str] = frozenset()) -> None:
        try:
            answer = outcome(target, arguments, hostile)
        except Fault as fault:
            kind = re.sub(r"'[^']+'|[\d.]+", "#", str(fault.__cause__ or fault).partition("\n")[0])[:60]
            tally.faults[kind] += 1
            tally.examples.setdefault(kind, str(fault))
        else:
            setattr(tally, answer, getattr(tally, answer) + 1)

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        arguments = target.good(data.draw)
        call(_all_copied(arguments))
        one, other = data.draw(anything()), data.draw(anything())
        if target.cost == 1:
            bad = [{name: value} for value in (one, other) for name in target.places]
            bad += [{first: one, second: other} for first, second in permutations(target.places, 2)]
        else:  # one in each place, and a pair
            bad = [{name: one} for name in target.places]
            bad += [{first: one, second: other} for first, second in [*pairwise(target.places)][:1]]
        for replaced in bad:
            call(_all_copied(arguments) | _all_copied(replaced), frozenset(replaced))

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # where a path may point to
        run()
    return tally


def _tried(number: int, share: float) -> Tally:
    from trust.callables import TARGETS

    target = TARGETS[number]
    return tried(target, max(1, round(share * EXAMPLES / target.cost)))


def _tallies(share: float) -> list[Tally]:
    """What came of each function, tried side by side on the cores."""
    from trust.callables import TARGETS

    numbers, workers = range(len(TARGETS)), min(len(TARGETS), os.cpu_count() or 1)
    if workers == 1:
        return [_tried(number, share) for number in numbers]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as crew:
        return list(crew.map(_tried, numbers, [share] * len(numbers)))


def rows(share: float = 1.0) -> list[Row]:
    """Tries every function, and sums up by layer."""
    from trust.callables import TARGETS

    tallies = dict(zip(TARGETS, _tallies(share), strict=True))
    table = []
    for layer in dict.fromkeys(target.layer for target in TARGETS):
        of_layer = {target.name: tally for target, tally in tallies.items() if target.layer == layer}
        what = (
            f"`{layer}`, {len(of_layer)} functions and methods: a right answer, or an error that names the "
        )
        what += "argument"
        for name, tally in of_layer.items():
            for example in tally.examples.values():
                print(f"  {name}: {example}", flush=True)
        calls, refused, right, failed = _sums(of_layer.values())
        words = [f"{refused:,} refused by name, {right:,} answered rightly"]
        words += [f"{name}: {tally.faults.total()}" for name, tally in of_layer.items() if tally.faults]
        table.append(Row(what, calls, "calls", failed, "; ".join(words)))
    _, refused, right, failed = _sums(tallies.values())
    whole = "Bad input, all functions together: refused by an error that names the argument"
    words = f"besides, {right:,} calls were answered, and the answers compared with an oracle"
    return [Row(whole, refused + failed, "bad calls", failed, words), *table]


def _sums(tallies: Iterable[Tally]) -> tuple[int, int, int, int]:
    """Calls, refused, right and failed ones."""
    each = [(t.calls, t.refused, t.right, t.faults.total()) for t in tallies]
    calls, refused, right, failed = (sum(column) for column in zip(*each, strict=True))
    return calls, refused, right, failed
