"""What a reader can move: sliders and lists, each with its readout, its unit and a reset button."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import ipywidgets

from vae_helpers.numerics._validate import as_number, as_text, told

_STYLE = {"description_width": "9em"}


class Control(ipywidgets.HBox):
    """One control: its slider or list with the readout, the unit, and a button that resets it.

    Attributes:
        input: the ipywidgets control.
        start: the value that the button brings back.
        unit: the unit of the value, for readers.
        at_most: the name of the control whose value this one does not exceed; "" if none.
        high: the upper end that the slider was made with; None if it is no slider over numbers.
    """

    def __init__(self, control: ipywidgets.ValueWidget, unit: str = "", at_most: str = "") -> None:
        self.input, self.start, self.unit, self.at_most = control, control.value, unit, at_most
        self.high = getattr(control, "max", None)
        label = ipywidgets.Label(unit).add_class("vae-unit")
        tooltip = f"bring back the first value of {control.description}"
        self.button = ipywidgets.Button(description="reset", tooltip=tooltip).add_class("vae-reset")
        self.button.on_click(lambda _: self.reset())
        super().__init__([control, label, self.button])
        self.add_class("vae-control")

    def reset(self) -> None:
        """Brings back the first value."""
        self.input.value = self.start

    def limit(self, high: int) -> None:
        """Lets the slider go up to `high` and no further; one that cannot move is greyed out."""
        low, high = self.input.min, min(high, self.high)
        self.input.value = min(self.input.value, max(high, low))
        self.input.max = max(high, low + 1)  # the browser's slider needs two different ends
        self.input.disabled = high <= low


def slider(
    label: str, value: float, low: float, high: float, step: float = 0.1, unit: str = "", at_most: str = ""
) -> Control:
    """A slider over numbers; over whole numbers if all four are `int`.

    Args:
        label: what is being set, such as "mean μ".
        value: where it starts; the stored picture shows this value.
        low: smallest value.
        high: largest value.
        step: distance of two positions; the readout shows as many decimals as it has.
        unit: unit of the value; empty for a pure number.
        at_most: the name of another control of the explorer, over whole numbers, that limits this
            one, as the number of latents limits which of them can be chosen.

    Raises:
        ValueError: the value is not in [low, high], or the step is not above 0.
    """
    as_text("label", label), as_text("unit", unit), as_text("at_most", at_most)
    places = {"value": value, "low": low, "high": high}
    value, low, high = (_plain(number, as_number(name, number)) for name, number in places.items())
    step = _plain(step, as_number("step", step, positive=True))
    if not low <= value <= high or low == high:
        raise ValueError(f"value: expected a number in [low, high] = [{low}, {high}], got {value!r}")
    options = {"value": value, "min": low, "max": high, "step": step, "description": label}
    if all(isinstance(number, int) for number in (value, low, high, step)):
        return Control(ipywidgets.IntSlider(**options, style=_STYLE), unit, at_most)
    decimals = len(f"{step:.10f}".rstrip("0").partition(".")[2])
    options["readout_format"] = f".{decimals}f"
    return Control(ipywidgets.FloatSlider(**options, style=_STYLE), unit, at_most)


def stops(label: str, value: object, options: Iterable[object], unit: str = "") -> Control:
    """A slider over a few given values, such as the latent dimensions of the shipped models.

    Args:
        label: what is being set.
        value: where it starts.
        options: the values in their order.
        unit: unit of the value.

    Raises:
        ValueError: the value is not one of the options.
    """
    return _listed(ipywidgets.SelectionSlider, label, value, options, unit)


def choice(label: str, value: object, options: Iterable[object], unit: str = "") -> Control:
    """A list to choose from, for values without an order.

    Args:
        label: what is being set.
        value: what is chosen at the start.
        options: the values, or pairs of a text and a value.
        unit: unit of the value.

    Raises:
        ValueError: the value is not one of the options.
    """
    return _listed(ipywidgets.Dropdown, label, value, options, unit)


def check_controls(controls: dict[str, Any]) -> None:
    """Raises TypeError for what is no control, ValueError for a limit that names no other control."""
    for key, control in controls.items():
        if not isinstance(control, Control):
            raise TypeError(f"{key}: expected slider(…), stops(…) or choice(…), got {type(control).__name__}")
        if control.at_most and control.at_most not in controls.keys() - {key}:
            raise ValueError(f"{key}: at_most: expected another control's name, got {control.at_most!r}")


def _plain(given: object, number: float) -> float:
    """Python's own number, whole where a whole one was given."""
    return int(given) if isinstance(given, Integral) else number


def _equal(value: object, other: object) -> bool:
    try:
        return bool(value == other)
    except Exception:  # arrays, whose comparison is no single answer
        return False


def _listed(kind: type, label: str, value: object, options: Iterable[object], unit: str) -> Control:
    as_text("label", label), as_text("unit", unit)
    try:
        options = list(options)
    except TypeError:
        raise TypeError(f"options: expected several values, got {told(options)}") from None
    values = [option[1] if isinstance(option, tuple) else option for option in options]
    if not any(value is known or _equal(value, known) for known in values):
        raise ValueError(f"value: expected one of {told(values)}, got {told(value)}")
    return Control(kind(options=options, value=value, description=label, style=_STYLE), unit)
