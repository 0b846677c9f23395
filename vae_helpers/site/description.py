"""What a page needs to know of an explorer, read from the live object that the notebook's code has made.

A description is JSON: the controls with every position and its text, what is shown, and how it looks. Of
the explorers that a page computes itself it holds the constants of the notebook; to the others `frames` adds
what is seen at the positions that it stores.
"""

from __future__ import annotations

import ast
import base64
import html
import inspect
import re
from typing import Any

import ipywidgets
import numpy as np

from vae_helpers.site.slices import Found
from vae_helpers.widgets import page
from vae_helpers.widgets.controls import Control
from vae_helpers.widgets.explorer import Explorer
from vae_helpers.widgets.live_training import LiveTraining
from vae_helpers.widgets.views import Numbers, Picture, Pictures, Steps, View, call, decimals

# Explorers that a page computes, and the constants of the notebook that their formulas need: those that the
# first picture's function has as a default, else the notebook's variables.
COMPUTED: dict[str, tuple[str, ...]] = {
    "00_start_here.draw_two_gaussians": (),
    "01_bayes_rule.draw_posterior": ("weight", "bias"),
    "02_elbo.elbo_and_gap": ("w", "b", "s", "x"),
    "03_gaussian_kl.draw_q": (),
    "05_reparameterization.draw_sample_path": ("noise",),
}
_NUMBER = re.compile(r'data-name="(.*?)">.*?<b>(.*?)</b></span>')


def key_of(found: Found) -> str:
    """The name of an explorer among all: "04_monte_carlo.draw_error_bars"."""
    return f"{found.place.notebook}.{found.name}"


def constants(notebook: str) -> dict[str, tuple[str, ...]]:
    """The variables of a notebook that its descriptions hold, by the names of the explorers."""
    keys = [key for key in COMPUTED if key.startswith(f"{notebook}.")]
    return {key.removeprefix(f"{notebook}."): COMPUTED[key] for key in keys}


def describe(found: Found) -> dict[str, Any]:
    """The description of an explorer, without stored positions.

    Args:
        found: the explorer as `Slicer.run` gives it, before the next one is asked for.

    Returns:
        What becomes JSON: `kind` is "computed", "latent" or "frames".

    Raises:
        ValueError: a control that stands between two positions, a look or a constant that cannot be told.
    """
    head = {"notebook": found.place.notebook, "name": found.name}
    shown = found.shown
    if isinstance(shown, LiveTraining):
        return head | {"kind": "frames"}
    if not isinstance(shown, Explorer):
        return head | {"kind": "latent", "alt": shown.still()[1], "traits": traits_of(shown)}
    parts = {
        "controls": [control_of(name, control) for name, control in shown.controls.items()],
        "views": [view_of(view, shown.values) for view in shown.views],
    }
    if key_of(found) not in COMPUTED:
        return head | {"kind": "frames"} | parts
    parts |= {"look": page.look(), "parameters": parameters_of(found)}
    return head | {"kind": "computed"} | parts


# ---- controls -------------------------------------------------------------------------------


def control_of(name: str, control: Control) -> dict[str, Any]:
    """A control: every position in its order, with the text that its readout shows there.

    Raises:
        ValueError: the control does not stand on one of its positions.
    """
    values, texts, start = _positions(name, control)
    return {
        "name": name,
        "label": control.input.description,
        "unit": control.unit,
        "kind": "choice" if isinstance(control.input, ipywidgets.Dropdown) else "slider",
        "values": values,
        "texts": texts,
        "start": start,
        "at_most": control.at_most,
    }


def values_at(explorer: Explorer, position: tuple[int, ...]) -> dict[str, Any]:
    """What the controls hand to the functions at a position, given by the numbers of their values."""
    held = {}
    for (name, control), index in zip(explorer.controls.items(), position, strict=True):
        options = _options(control.input)
        held[name] = options[index][1] if options else _positions(name, control)[0][index]
    return held


def _positions(name: str, control: Control) -> tuple[list[Any], list[str], int]:
    moved = control.input
    if options := _options(moved):
        values = [value if _is_plain(value) else text for text, value in options]
        return values, [_with_minus(text) for text, _ in options], moved.index
    low, high, step = moved.min, control.high, moved.step
    places = max(_decimals_of(low), _decimals_of(step))
    count = int(np.floor((high - low) / step + 1e-9)) + 1
    values = [low + step * k for k in range(count)]
    if not isinstance(moved, ipywidgets.IntSlider):
        values = [round(value, places) + 0.0 for value in values]
    if high - values[-1] > 1e-9 * max(abs(high), step):
        values.append(high)  # the browser lets a slider reach its end
    start = int(np.argmin([abs(value - moved.value) for value in values]))
    if abs(values[start] - moved.value) > 1e-9:
        raise ValueError(
            f"{name}: expected a start on one of the positions {low}, {low + step}, …, got {moved.value}"
        )
    digits = 0 if moved.readout_format == "d" else int(moved.readout_format[1:-1])
    return values, [decimals(value, digits) for value in values], start


def _options(moved: ipywidgets.ValueWidget) -> list[tuple[str, Any]]:
    """The texts and the values of a list; none of a slider over numbers."""
    options = getattr(moved, "options", ())
    return [option if isinstance(option, tuple) else (str(option), option) for option in options]


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _with_minus(text: str) -> str:
    return text.replace("-", "−") if re.fullmatch(r"-\d[\d.e-]*", text) else text


def _decimals_of(number: float) -> int:
    return len(f"{number:.10f}".rstrip("0").partition(".")[2])


# ---- views ----------------------------------------------------------------------------------


def view_of(view: View, values: dict[str, Any]) -> dict[str, Any]:
    """What a view shows, without what moves; of a derivation its lines as they stand at these values."""
    if isinstance(view, Picture):
        width, height = size_of(view)
        head = {"kind": "picture", "alt": view.alt, "title": view.title, "pixels": isinstance(view, Pictures)}
        return head | {"width": width, "height": height}
    if isinstance(view, Numbers):
        return {"kind": "numbers", "unit": view._unit, "digits": view._digits}
    title, rows, _ = steps_at(view, values)
    return {"kind": "steps", "title": title, "rows": rows}


def size_of(picture: Picture) -> tuple[int, int]:
    """Width and height of a picture as it is shown, in pixels; both stand at the beginning of a PNG."""
    return int.from_bytes(picture.png[16:20], "big"), int.from_bytes(picture.png[20:24], "big")


def numbers_at(view: Numbers) -> list[list[str]]:
    """The names and texts that a view of numbers shows at present; ValueError for what is no number."""
    pairs = [[html.unescape(part) for part in pair] for pair in _NUMBER.findall(view.widget.value)]
    for name, text in pairs:
        if text.split()[:1] == ["nan"]:
            raise ValueError(f"{name}: expected a number, got {text}")
    return pairs


def steps_at(view: Steps, values: dict[str, Any]) -> tuple[str, list[dict[str, str]], list[list[Any]]]:
    """A derivation at some values: its title, its lines, and of each line the text and whether it holds."""
    derivation = call(*view.functions, values)
    rows = derivation.rows()
    title = f"{derivation.title} ({derivation.unit})" if derivation.unit else derivation.title
    lines = [{"relation": row.relation, "latex": row.latex, "reason": row.reason} for row in rows]
    return title, lines, [[decimals(row.value, 6), row.holds] for row in rows]


# ---- what a page computes with --------------------------------------------------------------


def parameters_of(found: Found) -> dict[str, Any]:
    """The constants of the notebook that a page's formulas need.

    Raises:
        ValueError: the notebook has no number or list of numbers of this name.
    """
    first = next(view for view in found.shown.views if isinstance(view, Picture)).functions[0]
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(first).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    held = {}
    for name in COMPUTED[key_of(found)]:
        value = defaults.get(name, found.namespace.get(name))
        try:
            held[name] = np.asarray(value, dtype=float).tolist()
        except (TypeError, ValueError):
            raise ValueError(f"{key_of(found)}: expected numbers in {name}, got {value!r}") from None
        if not np.isfinite(held[name]).all():
            raise ValueError(f"{key_of(found)}: expected numbers in {name}, got {value!r}")
    return held


def traits_of(explorer: Any) -> dict[str, Any]:
    """What a latent explorer shares with its page, as its `save_html` writes it."""
    from vae_helpers.widgets.latent.explorer import _BINARY, _PLAIN

    traits = {name: getattr(explorer, name) for name in _PLAIN}
    return traits | {name: base64.b64encode(getattr(explorer, name)).decode() for name in _BINARY}


def stored_trainings(found: Found) -> tuple[dict[Any, list[float]], Any]:
    """The losses of the trainings that a notebook holds, by their setting, and which one is shown first.

    `train_live(…, losses=LOSSES[10])` shows one of a dict; the others are there too.
    """
    for keyword in found.place.call.keywords:
        if keyword.arg == "losses" and isinstance(keyword.value, ast.Subscript):
            several, which = (
                eval(ast.unparse(part), found.namespace)
                for part in (keyword.value.value, keyword.value.slice)
            )
            if isinstance(several, dict):
                return {setting: list(losses) for setting, losses in several.items()}, which
    (control,) = found.shown.controls.values()
    return {control.start: found.shown.losses}, control.start
