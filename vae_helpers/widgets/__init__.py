"""Sliders that move formulas, watched trainings, the explorer of latents, the Lab, and the doctor."""

from importlib import import_module
from typing import Any

from vae_helpers.widgets.controls import choice, slider, stops
from vae_helpers.widgets.explorer import explore
from vae_helpers.widgets.live_training import train_live
from vae_helpers.widgets.views import numbers, pictures, plot, steps

# These need PyTorch, which the notebooks of the NumPy world do not load.
_NEED_TORCH = {
    "Family": "vae_helpers.widgets.family",
    "Lab": "vae_helpers.widgets.lab.lab",
    "LatentExplorer": "vae_helpers.widgets.latent.explorer",
    "doctor": "vae_helpers.widgets.checkup",
}


def __getattr__(name: str) -> Any:
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEED_TORCH[name]), name)
