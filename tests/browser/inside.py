"""What the tests ask a notebook's kernel; imported there, not here. Every answer is JSON."""

from __future__ import annotations

import gc
import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
from ipywidgets.widgets.widget import _instances

from vae_helpers.widgets import stage
from vae_helpers.widgets.explorer import Explorer


def describe():
    """Every open explorer: its controls, and what each of its views depends on."""
    return {name: _describe(item) for name, item in stage.ON_STAGE.items() if hasattr(item, "controls")}


def _describe(item):
    live = not isinstance(item, Explorer)  # a training shows nothing before it has run
    return {
        "live": live,
        "controls": {key: _control(control) for key, control in item.controls.items()},
        "views": [] if live else [_view(view, item.controls) for view in item.views],
    }


def _control(control):
    field = control.input
    words = {"label": field.description, "unit": control.unit, "at_most": control.at_most}
    if hasattr(field, "options"):
        labels = list(field._options_labels)
        return words | {"options": labels, "start": labels[list(field._options_values).index(control.start)]}
    return words | {"low": field.min, "high": field.max, "step": field.step, "start": control.start}


def _view(view, controls):
    kind, used = type(view).__name__, sorted(view.takes(controls))
    return {"kind": kind, "is_picture": bool(view.png), "arguments": used}


def values(name):
    """Each control's value as the kernel knows it; the text of the chosen option."""
    return {
        key: control.input.label if hasattr(control.input, "options") else control.input.value
        for key, control in stage.ON_STAGE[name].controls.items()
    }


def pictures(name):
    """The pictures that the kernel has sent, and those that belong to the present values."""
    explorer = stage.ON_STAGE[name]
    views = [view for view in explorer.views if view.png]
    with explorer._lock:  # a slider that reports meanwhile, from another thread, has to wait
        sent = [view.png for view in views]
        drawn = [_drawn(view, explorer.values) for view in views]
    return [[hashlib.sha256(png).hexdigest() for png in pngs] for pngs in (sent, drawn)]


def _drawn(view, positions):
    """A view's picture, drawn without showing it: asking must not put right what is wrong."""
    kept = view._image, view.png
    view._image = SimpleNamespace(value=b"", layout=SimpleNamespace())
    try:
        view.update(positions)
        return view.png
    finally:
        view._image, view.png = kept


def memory():
    """Bytes in memory, once everything that can be freed is freed."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def figures():
    """The numbers of pyplot's open figures."""
    return plt.get_fignums()


def alive():
    """How many widgets there are, by class."""
    gc.collect()
    names = [type(widget).__name__ for widget in list(_instances.values())]
    return {name: names.count(name) for name in sorted(set(names))}


def latent(z=None):
    """Where the point of the one latent explorer is; moves it there first, if asked."""
    (explorer,) = (w for w in list(_instances.values()) if type(w).__name__ == "LatentExplorer")
    if z is not None:
        explorer.z = z
    return explorer.z


def sweep(name, key, moves):
    """Moves a slider there and back, step by step, with a picture for each."""
    field = stage.ON_STAGE[name].controls[key].input
    count = len(field.options) if hasattr(field, "options") else round((field.max - field.min) / field.step)
    for move in range(moves):
        position = count - 1 - abs(move % (2 * count - 2) - (count - 1))
        if hasattr(field, "options"):
            field.index = position
        else:
            field.value = field.min + position * field.step


def set_to_end(name, key):
    """Moves a slider to its upper end."""
    field = stage.ON_STAGE[name].controls[key].input
    if hasattr(field, "options"):
        field.index = len(field.options) - 1
    else:
        field.value = field.max


def reset(name):
    """Brings back the first value of every control."""
    for control in stage.ON_STAGE[name].controls.values():
        control.reset()
