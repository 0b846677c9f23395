"""The progress bar of trainings and evaluations."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from vae_helpers.numerics._validate import as_flag


def bar(items: Iterable[Any] | None = None, *, progress: bool, **options: Any) -> tqdm:
    """A bar in plain text that vanishes at its end: a widget would leave an error in a saved notebook.

    Args:
        items: what to go through; None for a bar that is moved by `update`.
        progress: whether it is shown.
        options: as of `tqdm`.
    """
    notebook = type(sys.stdout).__module__.startswith("ipykernel")  # which marks stderr as a fault
    file = sys.stdout if notebook else sys.stderr
    return tqdm(items, leave=False, disable=not as_flag("progress", progress), file=file, **options)
