"""Sliders wired to pure functions: `explore(plot(draw), numbers(report), mu=slider(…))`.

Each control is handed to the functions that name it among their arguments. A picture is drawn on
one figure that lives as long as the explorer; it is made anew only when an argument of its own
function has changed. While a picture is being drawn, the browser keeps just the newest position of
a slider, so that a fast drag skips steps and never lags behind. Nothing here knows any mathematics.
"""

from __future__ import annotations

import html
import re
import threading
from typing import Any

import ipywidgets

from vae_helpers.numerics._validate import as_text, told
from vae_helpers.widgets.controls import Control, check_controls
from vae_helpers.widgets.stage import Staged
from vae_helpers.widgets.views import View, stack


class Explorer(Staged, ipywidgets.VBox):
    """Controls above, views below, and between them the errors of the functions.

    Attributes:
        controls: the controls by name.
        views: what is shown.
        error: the error that is being shown, or "".
    """

    def __init__(self, views: tuple[View, ...], controls: dict[str, Control], name: str) -> None:
        self.controls, self.views, self.error = controls, views, ""
        self._message = ipywidgets.HTML().add_class("vae-error")
        self._shown: dict[View, dict[str, Any]] = {}  # the arguments that each view was made with
        self._limiting, self._lock = False, threading.RLock()
        self._limit()
        for control in controls.values():
            control.input.observe(self._changed, "value")
        self._refresh(raising=True)  # a mistake in the cell itself appears there, with its traceback
        box = ipywidgets.VBox(list(controls.values())).add_class("vae-controls")
        super().__init__([box, self._message, *(view.widget for view in views)])
        self.add_class("vae-explorer").add_class(f"vae-explorer-{name}")
        self.enter(name, [view.alt for view in views if view.alt])

    @property
    def values(self) -> dict[str, Any]:
        """The value of each control, by name."""
        return {name: control.input.value for name, control in self.controls.items()}

    def _changed(self, _change: object) -> None:
        with self._lock:  # two sliders may report from two threads
            if not self._limiting:
                self._limit()
                self._refresh()

    def _limit(self) -> None:
        self._limiting = True  # what a limit moves is drawn together with what moved the limit
        try:
            for control in self.controls.values():
                if control.at_most:
                    control.limit(self.values[control.at_most])
        finally:
            self._limiting = False

    def _refresh(self, *, raising: bool = False) -> None:
        """Brings all views up to date; one that fails keeps its picture, and the error is shown."""
        values, errors = self.values, []
        for view in self.views:
            try:
                self._bring_up_to_date(view, values)
            except Exception as error:
                if raising:
                    raise
                errors.append(f"{type(error).__name__}: {error}")
        self.error = "; ".join(errors)
        self._message.value = f"⚠ Not drawn. {html.escape(self.error)}" if errors else ""

    def _bring_up_to_date(self, view: View, values: dict[str, Any]) -> None:
        """Makes a view anew if one of its arguments has changed, or if it failed the last time."""
        arguments = view.takes(values)
        if self._shown.pop(view, None) != arguments:
            view.update(values)
        self._shown[view] = arguments

    def still(self) -> tuple[bytes, str, str]:
        """All pictures; where the controls stand, and the numbers."""
        alt = " ".join(view.alt for view in self.views if view.png)
        inputs = [control.input for control in self.controls.values()]
        places = "; ".join(f"{i.description} {getattr(i, 'label', i.value)}" for i in inputs)
        texts = [view.text for view in self.views if view.text]
        return stack(self.views), alt, "; ".join([f"sliders at {places}", *texts])


def explore(*views: View, name: str = "", **controls: Control) -> Explorer:
    """Shows views that follow controls; as the last expression of a cell it displays itself.

    Args:
        views: `plot`, `pictures`, `numbers` or `steps`, shown in this order.
        name: a name for the explorer; that of its first function if empty. A second explorer of
            the same name takes the place of the first, so that a cell run twice leaks nothing.
        controls: `slider`, `stops` or `choice`; the name is the argument of the functions.

    Returns:
        The `Explorer`, which shows live controls in JupyterLab, and a picture of their first
        position on pages without a kernel.

    Raises:
        TypeError: no view, something that is not a view or a control, a control that no function
            takes, or an argument without default that no control gives.
        ValueError: a name that is not made of letters, digits, "-" and "_", or `at_most` that names
            no other control.
    """
    if not views or not controls:
        raise TypeError("explore: expected at least one view and one control")
    for view in views:
        if not isinstance(view, View):
            got = type(view).__name__
            raise TypeError(f"views: expected plot(…), pictures(…), numbers(…) or steps(…), got {got}")
    check_controls(controls)
    as_text("name", name)
    if unused := set(controls) - {name for view in views for name in view.takes(controls)}:
        raise TypeError(f"{', '.join(sorted(unused))}: no function has an argument of this name")
    name = name or getattr(views[0].functions[0], "__name__", "explorer")
    if not re.fullmatch(r"[\w-]+", name):  # it becomes a class of the page
        raise ValueError(f"name: expected letters, digits, - and _, got {told(name)}")
    return Explorer(views, controls, name)
