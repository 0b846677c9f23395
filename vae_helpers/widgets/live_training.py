"""A button that trains in front of the reader, with a bar, a moving curve and a stop button."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes

from vae_helpers.widgets.controls import Control, check_controls
from vae_helpers.widgets.stage import Stage, register
from vae_helpers.widgets.views import View, close, plot

_EVERY = 0.5  # seconds between two drawings of the curve, which leaves the time to the training
_WINDOW = 20  # steps that the smooth curve averages: long enough to be smooth, short enough to follow


class LiveTraining(ipywidgets.VBox):
    """Trains in a thread of its own, so that the kernel and the stop button stay at hand.

    Attributes:
        controls: the controls by name.
        losses: -ELBO of each step of the present or last run, in nats per image.
        result: what `train` returned last; None before.
    """

    def __init__(
        self,
        train: Callable[..., Any],
        views: tuple[View, ...],
        controls: dict[str, Control],
        losses: Iterable[float],
        alt: str,
    ) -> None:
        self.controls, self.losses, self.result = controls, list(losses), None
        self._train, self._views = train, views
        self._stop, self._thread = threading.Event(), None
        self._curve = plot(draw_losses, alt=alt, size=(8.8, 3.2))
        self._curve.update({"losses": self.losses})
        self._start = ipywidgets.Button(description="train it live", icon="play").add_class("vae-reset")
        self._halt = ipywidgets.Button(description="stop", icon="stop", disabled=True).add_class("vae-reset")
        self._start.on_click(lambda _: self.start())
        self._halt.on_click(lambda _: self.stop())
        self._bar = ipywidgets.FloatProgress(0.0, min=0.0, max=1.0, layout={"width": "32em"}).add_class(
            "vae-bar"
        )
        self._status = ipywidgets.HTML("not trained yet").add_class("vae-status")
        self._results = ipywidgets.VBox([view.widget for view in views], layout={"display": "none"})
        buttons = ipywidgets.HBox([self._start, self._halt]).add_class("vae-control")
        above = [*controls.values(), buttons, self._bar, self._status]
        super().__init__([*above, self._curve.widget, self._results])
        self.add_class("vae-explorer").add_class("vae-live-training")
        self._stage = Stage(self, [view.alt for view in (self._curve, *views) if hasattr(view, "alt")])

    @property
    def running(self) -> bool:
        """Whether a training is under way."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Starts a training with the present values of the controls, if none is under way."""
        if self._start.disabled:
            return
        self.wait()  # for a thread that has said its last word and is about to end
        values = {name: control.input.value for name, control in self.controls.items()}
        self._stop.clear()
        self._start.disabled, self._halt.disabled = True, False
        self._thread = threading.Thread(target=self._run, args=(values,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Asks the training to end after its present step."""
        self._stop.set()

    def wait(self) -> None:
        """Returns when no training is under way any more."""
        if self._thread is not None:
            self._thread.join()

    def close_all(self) -> None:
        """Stops a training and takes everything out of the page."""
        self.stop()
        self.wait()
        close(self._stage)
        close(self)

    def _run(self, values: dict[str, Any]) -> None:
        self.losses, begin, drawn = [], time.perf_counter(), 0.0

        def on_step(done: int, total: int, loss: float) -> bool:
            nonlocal drawn
            self.losses.append(loss)
            now = time.perf_counter()
            if now - drawn > _EVERY:
                drawn = now
                self._show(done, total, now - begin)
            return self._stop.is_set()

        try:
            self.result = self._train(on_step=on_step, **values)
            seconds = time.perf_counter() - begin
            word = "stopped" if self._stop.is_set() else "done"
            self._show(len(self.losses), None, seconds, word)
            for view in self._views:
                view.update({"result": self.result, **values})
            self._results.layout.display = ""
        except Exception as error:  # there is no cell left that could show it
            text = html.escape(f"{type(error).__name__}: {error}")
            self._status.value = f'<span class="vae-wrong">⚠ {text}</span>'
        finally:
            self._start.disabled, self._halt.disabled = False, True

    def _show(self, done: int, total: int | None, seconds: float, word: str = "") -> None:
        if total is not None:
            self._bar.value = done / total
        elif word == "done":
            self._bar.value = 1.0
        recent = np.mean(self.losses[-_WINDOW:]) if self.losses else np.nan
        steps = f"step {done}" if total is None else f"step {done} of {total}"
        loss = f"−ELBO of the last {_WINDOW} steps: <b>{recent:.1f} nats</b> per image"
        self._status.value = f"{word} {steps}, {seconds:.1f} s, {loss}"
        self._curve.update({"losses": self.losses})

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._stage.bundle(self._curve.png, self._curve.alt, "a button that trains the chosen model")


def train_live(
    train: Callable[..., Any],
    *views: View,
    alt: str,
    losses: Iterable[float] = (),
    **controls: Control,
) -> LiveTraining:
    """Shows a button that calls `train(on_step=…, **controls)` in the background.

    Args:
        train: trains and returns a result; it hands `on_step` on to `training.fit`.
        views: shown after the training; their functions may take the argument `result`.
        alt: what the curve shows, in one sentence.
        losses: the curve that is shown before the first training.
        controls: `slider`, `stops` or `choice`; the name is the argument of `train`.

    Returns:
        The `LiveTraining`; as the last expression of a cell it displays itself.

    Raises:
        TypeError: something that is not a control.
    """
    check_controls(controls)
    live = LiveTraining(train, views, controls, losses, alt)
    register(f"train_live {getattr(train, '__name__', '')}", live)
    return live


def draw_losses(ax: Axes, losses: list[float]) -> None:
    """Draws the -ELBO of each step, and its average over the last 20 steps.

    Args:
        ax: the axes to draw on.
        losses: nats per image, one number a step; may be empty.
    """
    values = np.asarray(losses, dtype=float)
    ax.set(xlabel="step", ylabel="-ELBO (nats per image)")
    if len(values) == 0:
        ax.set(xlim=(0, 1000), ylim=(80, 220))
        return
    sums = np.concatenate([[0.0], np.cumsum(values)])
    steps = np.arange(1, len(values) + 1)
    start = np.maximum(steps - _WINDOW, 0)
    ax.plot(steps, values, color="0.7", linewidth=1, label="each step")
    mean = (sums[steps] - sums[start]) / (steps - start)
    ax.plot(steps, mean, color="#0072B2", label=f"mean of {_WINDOW} steps")
    ax.set(xlim=(0, max(100, len(values))), ylim=(80, 220))
    ax.legend(loc="upper right")
