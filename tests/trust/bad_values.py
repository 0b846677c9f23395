"""Values of every kind, as Hypothesis draws them: numbers, arrays, tensors, and what is none of these."""

from __future__ import annotations

import datetime
import math
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

NAN, INF = math.nan, math.inf
ORDINARY = [0.0, 1.0, -1.0, 0.5, 2.0, 0.25, -3.0]
EXTREME = [NAN, INF, -INF, -0.0, 5e-324, 1e-30, 1e30, -1e30, 1e300, -1e300, 1e4, -1e4]
DTYPES = "f2 f4 f8 g i1 i4 i8 u1 u8 ? F D O U4 S3 M8[s] m8[s] >f8 >i4".split()
TORCH_DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
TORCH_DTYPES += [torch.int64, torch.uint8, torch.bool, torch.complex64]


class Subclass(np.ndarray):
    """An array of another class."""


class Anything:
    """A class that can be made of anything."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass


class Unreadable:
    """What fails when NumPy asks it for an array."""

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise AttributeError("no array")

    def __repr__(self) -> str:
        return "Unreadable()"


def _itself() -> list[Any]:
    chain: list[Any] = []
    chain.append(chain)
    return chain


def _quantized() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch is about to give them up
        return torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.quint8)


NUMBERS: list[Any] = [*ORDINARY, *EXTREME, 0, 1, -1, 3, 7, 2**31, 2**63, 10**400, -(10**5000), True, False]
NUMBERS += [np.float64(0.5), np.float32(2), np.float16(0.1), np.int64(3), np.uint8(200), np.bool_(True)]
NUMBERS += [np.longdouble("1e4000"), np.complex128(1), 1j, Fraction(1, 3), Decimal("0.5"), Decimal("NaN")]
MAKERS: list[Callable[[], Any]] = [  # each makes its value anew, since a call may spend or change it
    lambda: None,
    lambda: ...,
    lambda: NotImplemented,
    lambda: "",
    lambda: "some words",
    lambda: "0.5",
    lambda: "\ud800",  # what no file can hold
    lambda: "nothing\0more",
    lambda: "~nobody-of-this-name/file",
    lambda: b"bytes",
    lambda: bytearray(b"ab"),
    lambda: {},
    lambda: {"mu": 1.0},
    lambda: set(),
    lambda: [],
    lambda: (),
    lambda: [[1.0, 2.0], [3.0]],
    lambda: [1.0, "two"],
    lambda: [None, 1.0],
    lambda: [[0.5, 0.5], [0.25, 1.0]],
    lambda: (1, 2, 3),
    lambda: [torch.ones(2), torch.zeros(2)],
    _itself,
    lambda: (number for number in (1.0, 2.0)),
    lambda: range(3),
    lambda: iter(()),
    lambda: object(),
    lambda: Unreadable(),
    lambda: lambda *args, **kwargs: None,
    lambda: Anything,
    lambda: np,
    lambda: Path("nowhere", "at", "all"),
    lambda: ValueError("an error"),
    lambda: datetime.datetime(2020, 1, 1),
    lambda: np.datetime64("2020-01-01"),
    lambda: np.dtype("f8"),
    lambda: torch.float32,
    lambda: torch.device("cpu"),
    lambda: torch.Generator().manual_seed(0),
    lambda: np.random.default_rng(0),
    lambda: np.random.RandomState(0),
    lambda: np.random.SeedSequence(0),
    lambda: memoryview(b"abcd"),
    lambda: slice(2),
    lambda: nn.Identity(),
    lambda: np.ma.masked,
    lambda: np.array(None),
    lambda: np.zeros(2, dtype=[("a", "f8"), ("b", "i4")]),
    lambda: torch.nn.Parameter(torch.ones(2, 2)),
    lambda: torch.nested.nested_tensor([torch.ones(1), torch.ones(2)], layout=torch.jagged),
    lambda: _quantized(),
]

shapes = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=3)
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as made": lambda a: a,
    "turned": lambda a: a.T,
    "reversed": lambda a: a[::-1] if a.ndim else a,
    "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "read-only": lambda a: _read_only(a),
    "repeated": lambda a: np.broadcast_to(a, (2, *a.shape)),
    "masked": lambda a: np.ma.masked_array(a, mask=np.arange(a.size).reshape(a.shape) == 0),
    "unmasked": lambda a: np.ma.masked_array(a),
    "matrix": lambda a: a.view(np.matrix) if a.ndim == 2 else a,
    "subclass": lambda a: a.view(Subclass),
    "list": lambda a: a.tolist(),
}
TORCH_LAYOUTS: dict[str, Callable[[torch.Tensor], Any]] = {
    "as made": lambda t: t,
    "turned": lambda t: t.movedim(0, -1) if t.ndim else t,
    "repeated": lambda t: t.expand(2, *t.shape),
    "with gradient": lambda t: t.requires_grad_() if t.is_floating_point() else t,
    "sparse": lambda t: t.to_sparse() if t.ndim else t,
    "meta": lambda t: t.to("meta"),
    "negative view": lambda t: torch._neg_view(t) if t.is_floating_point() else t,
    "row": lambda t: t.reshape(1, -1),
}


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.setflags(write=False)
    return array


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """An array of any dtype, shape up to five axes, and layout; with NaN, infinity, the huge and the tiny."""
    elements = st.sampled_from(ORDINARY + (EXTREME if draw(st.booleans()) else []))
    plain = draw(hnp.arrays(np.float64, draw(shapes), elements=elements))
    with np.errstate(all="ignore"):
        array = _as_dtype(plain, draw(st.sampled_from(DTYPES)))
    return LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))](array)


def _as_dtype(array: np.ndarray, name: str) -> np.ndarray:
    if np.dtype(name).kind in "mM":
        return np.zeros(array.shape, "i8").view(name) if array.size else np.zeros(array.shape, name)
    if np.dtype(name).kind in "iu":
        array = np.nan_to_num(array, nan=0, posinf=1, neginf=1).clip(-100, 100)
    return array.astype(name)


@st.composite
def tensors(draw: st.DrawFn) -> Any:
    """A tensor of any dtype, shape up to five axes, and layout."""
    elements = st.sampled_from(ORDINARY + (EXTREME if draw(st.booleans()) else []))
    plain = torch.from_numpy(draw(hnp.arrays(np.float64, draw(shapes), elements=elements)))
    dtype = draw(st.sampled_from(TORCH_DTYPES))
    return TORCH_LAYOUTS[draw(st.sampled_from(list(TORCH_LAYOUTS)))](plain.to(dtype))


def anything() -> st.SearchStrategy[Any]:
    """A value of any kind."""
    made = st.sampled_from(range(len(MAKERS))).map(lambda number: MAKERS[number]())
    return st.one_of(made, st.sampled_from(NUMBERS), arrays(), tensors())
