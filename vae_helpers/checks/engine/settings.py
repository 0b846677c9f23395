"""PyTorch's settings as they are after its import, while a check runs, whatever the caller has set."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache


@cache
def has_torch() -> bool:
    """Whether PyTorch is installed; it is not loaded for this."""
    return "torch" in sys.modules or importlib.util.find_spec("torch") is not None


@contextlib.contextmanager
def as_after_import() -> Iterator[None]:
    """Runs a block with float32, gradients, the CPU and no autocast; then the caller's settings are back.

    The verdict on a function does not depend on what a notebook has set at its top, nor does a later one
    on what this block has set.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    torch.set_default_dtype(torch.float32)
    try:
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.device("cpu"),
            torch.autocast("cpu", enabled=False),
        ):
            yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(device)
