"""What somebody's code does while it runs: which noise it draws, what reaches its decoder, in which mode."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

NORMAL = ("randn", "randn_like", "normal", "normal_")
OTHER = ("rand", "rand_like", "uniform_", "exponential_", "log_normal_", "cauchy_")
MASKS = ("bernoulli", "bernoulli_", "native_dropout")


class Noise(NamedTuple):
    """Numbers that a function has drawn, and the name of the operation."""

    name: str
    values: Tensor


class Recorder(TorchDispatchMode):
    """Inside, keeps what PyTorch's generators give, whoever asks for it.

    Attributes:
        noises: continuous numbers, in the order in which they were drawn.
        masks: the shapes of zeros and ones that were drawn: dropout, or pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noises: list[Noise] = []
        self.masks: list[torch.Size] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operation of PyTorch and looks at its result."""
        result = function(*args, **(kwargs or {}))
        name = function._schema.name.removeprefix("aten::")
        if name in NORMAL or name in OTHER:
            self.noises.append(Noise(name, result.detach().clone()))
        elif name in MASKS:
            self.masks.append((result[0] if isinstance(result, tuple) else result).shape)
        return result


@contextlib.contextmanager
def numpy_noise(recorder: Recorder) -> Iterator[None]:
    """Inside, the recorder also keeps what functions of `numpy.random` give; a Generator stays unseen."""
    functions = {"randn": "randn", "standard_normal": "randn", "normal": "normal"}
    functions |= dict.fromkeys(("rand", "random", "random_sample", "uniform"), "rand")
    originals = {name: getattr(np.random, name) for name in functions}

    def recording(name: str) -> Callable[..., Any]:
        def draw(*args: Any, **kwargs: Any) -> Any:
            result = originals[name](*args, **kwargs)
            recorder.noises.append(Noise(functions[name], torch.tensor(np.asarray(result))))
            return result

        return draw

    try:
        for name in functions:
            setattr(np.random, name, recording(name))
        yield
    finally:
        for name, original in originals.items():
            setattr(np.random, name, original)


def _names(code: CodeType) -> set[str]:
    """What a function's code names, that of functions and comprehensions inside it too."""
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return {*code.co_names}.union(*inner)


def modules_of(*functions: Callable[..., Any] | None) -> list[nn.Module]:
    """The modules that functions use: themselves, their objects, what they enclose or name."""
    found: dict[int, nn.Module] = {}
    seen: set[int] = set()

    def look(thing: Any, depth: int) -> None:
        if id(thing) in seen or depth > 5:
            return
        seen.add(id(thing))
        if isinstance(thing, nn.Module):
            found[id(thing)] = thing
        elif isinstance(thing, functools.partial):
            for part in (thing.func, *thing.args, *thing.keywords.values()):
                look(part, depth + 1)
        elif isinstance(thing, MethodType):
            look(thing.__self__, depth + 1)
            look(thing.__func__, depth + 1)
        elif isinstance(thing, FunctionType):
            for cell in thing.__closure__ or ():
                with contextlib.suppress(ValueError):  # not filled yet
                    look(cell.cell_contents, depth + 1)
            for name in _names(thing.__code__):
                value = thing.__globals__.get(name)
                if not isinstance(value, ModuleType | type):
                    look(value, depth + 1)
            for value in thing.__defaults__ or ():
                look(value, depth + 1)
        elif isinstance(thing, list | tuple):
            for value in thing[:100]:
                look(value, depth + 1)
        elif isinstance(thing, dict):
            look(list(thing.values()), depth)
        elif hasattr(thing, "__dict__") and not isinstance(thing, type) and not hasattr(thing, "__path__"):
            look(list(vars(thing).values()), depth + 1)

    for function in functions:
        look(function, 0)
    inner = {id(m) for module in found.values() for m in module.modules() if m is not module}
    return [module for key, module in found.items() if key not in inner]


@contextlib.contextmanager
def modes_kept(modules: list[nn.Module]) -> Iterator[None]:
    """Afterwards, all modules are in the mode in which they were."""
    modes = [(m, m.training) for module in modules for m in module.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def untouched(modules: list[nn.Module]) -> Iterator[None]:
    """Afterwards, modes, buffers, weights and gradients are as before: batch norm counts what it sees."""
    numbers = [t for module in modules for t in (*module.parameters(), *module.buffers()) if not t.is_meta]
    values = [t.detach().clone() for t in numbers]
    gradients = [(t, None if t.grad is None else t.grad.clone()) for t in numbers if t.is_leaf]
    try:
        with modes_kept(modules):
            yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(numbers, values, strict=True):
                if not torch.equal(tensor, value):
                    tensor.copy_(value)
        for tensor, gradient in gradients:
            if gradient is None or tensor.grad is None or not torch.equal(tensor.grad, gradient):
                tensor.grad = gradient


def weights_of(modules: list[nn.Module]) -> list[Tensor]:
    """A copy of all weights."""
    return [p.detach().clone() for module in modules for p in module.parameters()]


def evaluate(modules: list[nn.Module]) -> None:
    """Puts modules into evaluation mode."""
    for module in modules:
        module.eval()


def entry_of(decode: Callable[[Tensor], Any], modules: list[nn.Module], z: Tensor) -> nn.Module | None:
    """The module that is handed z when it is decoded; None where there is none, or z is changed before."""
    entries: list[nn.Module] = []

    def look(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        first = arguments[0] if arguments else None
        if isinstance(first, Tensor) and first.numel() == z.numel():
            if torch.equal(first.detach().reshape(z.shape).to(z), z):
                entries.append(module)

    hooks = [m.register_forward_pre_hook(look) for module in modules for m in module.modules()]
    try:
        decode(z)
    finally:
        for hook in hooks:
            hook.remove()
    return entries[-1] if entries else None


@contextlib.contextmanager
def inputs_of(module: nn.Module | None) -> Iterator[list[Tensor]]:
    """Inside, what the module is handed is put into the list."""
    given: list[Tensor] = []
    if module is None:
        yield given
        return
    hook = module.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0].detach().clone()))
    try:
        yield given
    finally:
        hook.remove()
