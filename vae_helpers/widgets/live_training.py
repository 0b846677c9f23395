"""A button that trains in front of the reader, with a bar, a moving curve and a stop button."""

from __future__ import annotations

import html
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from vae_helpers.numerics._validate import as_array, as_function, told
from vae_helpers.widgets.controls import Control, check_controls
from vae_helpers.widgets.stage import Staged
from vae_helpers.widgets.views import View, decimals, plot

_EVERY = 0.5  # seconds between two drawings of the curve, which leaves the time to the training
_MEAN_DIGIT = 206.0  # nats per image where a training on digits starts: at the mean image
_FALL = 0.6  # of the first loss: for a fall so far there is room from the beginning
_WINDOW = 20  # steps that the smooth curve averages: long enough to be smooth, short enough to follow


class LiveTraining(Staged, ipywidgets.VBox):
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
        self._curve, self._limits = plot(draw_losses, alt=alt, size=(8.8, 3.2)), None
        self._draw()
        self._start = ipywidgets.Button(description="train it live", icon="play").add_class("vae-reset")
        self._halt = ipywidgets.Button(description="stop", icon="stop", disabled=True).add_class("vae-reset")
        self._start.on_click(lambda _: self.start())
        self._halt.on_click(lambda _: self.stop())
        self._bar = ipywidgets.FloatProgress(max=1.0, layout={"width": "32em"}).add_class("vae-bar")
        self._status = ipywidgets.HTML("not trained yet").add_class("vae-status")
        self._results = ipywidgets.VBox([view.widget for view in views], layout={"display": "none"})
        buttons = ipywidgets.HBox([self._start, self._halt]).add_class("vae-control")
        above = [*controls.values(), buttons, self._bar, self._status]
        super().__init__([*above, self._curve.widget, self._results])
        self.add_class("vae-explorer").add_class("vae-live-training")
        alts = [view.alt for view in (self._curve, *views) if view.alt]
        self.enter(f"train_live {getattr(train, '__name__', '')}", alts)

    @property
    def running(self) -> bool:
        """Whether a training is under way."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Starts a training with the present values of the controls, if none is under way."""
        if self._start.disabled:
            return
        self.wait()  # for the end of a thread whose last act was to release the button
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
        super().close_all()

    def still(self) -> tuple[bytes, str, str]:
        """The curve at this moment."""
        return self._curve.png, self._curve.alt, "a button that trains the chosen model"

    def _run(self, values: dict[str, Any]) -> None:
        self.losses, begin, shown = [], time.perf_counter(), 0.0

        def on_step(done: int, total: int, loss: float) -> bool:
            nonlocal shown
            self.losses.append(loss)
            if time.perf_counter() - shown > _EVERY:
                shown = time.perf_counter()
                self._show(f"step {done} of {total}", done / total, shown - begin)
            return self._stop.is_set()

        try:
            self.result = self._train(on_step=on_step, **values)
            word, share = ("stopped", self._bar.value) if self._stop.is_set() else ("done", 1.0)
            self._show(f"{word} step {len(self.losses)}", share, time.perf_counter() - begin)
            for view in self._views:
                view.update({"result": self.result, **values})
            self._results.layout.display = ""
        except Exception as error:  # there is no cell left that could show it
            text = html.escape(f"{type(error).__name__}: {error}")
            self._status.value = f'<span class="vae-wrong">⚠ {text}</span>'
        finally:
            self._start.disabled, self._halt.disabled = False, True

    def _show(self, words: str, share: float, seconds: float) -> None:
        recent = decimals(np.mean(self.losses[-_WINDOW:]) if self.losses else np.nan, 1)
        loss = f"−ELBO of the last {_WINDOW} steps: <b>{recent} nats</b> per image"
        self._status.value = f"{words}, {seconds:.1f} s, {loss}"
        self._bar.value = share
        self._draw()

    def _draw(self) -> None:
        before, self._limits = self._limits, loss_limits(self.losses)
        if before != self._limits:
            self._curve.lay_out_anew()  # longer numbers need more room
        self._curve.update({"losses": self.losses})


def train_live(
    train: Callable[..., Any], *views: View, alt: str, losses: Iterable[float] = (), **controls: Control
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
        TypeError: something that is not a function, a view or a control.
        ValueError: losses that are not one finite number a step, or an empty text.
    """
    check_controls(controls)
    for view in views:
        if not isinstance(view, View):
            raise TypeError(f"views: expected plot(…), pictures(…), numbers(…) or steps(…), got {told(view)}")
    losses = list(losses) if isinstance(losses, Iterator) else losses
    is_empty = isinstance(losses, Sized) and getattr(losses, "ndim", 1) and not len(losses)
    losses = [] if is_empty else as_array("losses", losses)
    if np.ndim(losses) != 1:
        raise ValueError(f"losses: expected one number a step, got shape {np.shape(losses)}")
    return LiveTraining(as_function("train", train), views, controls, [*map(float, losses)], alt)


def draw_losses(ax: Axes, losses: list[float]) -> None:
    """Draws the -ELBO of each step, and its average over the last 20 steps.

    Args:
        ax: the axes to draw on.
        losses: nats per image, one number a step; may be empty.
    """
    values = np.asarray(losses, dtype=float)
    ends = (0, max(100, len(values)) if len(values) else 1000)
    ax.set(xlabel="step", ylabel="-ELBO (nats per image)", xlim=ends, ylim=loss_limits(losses))
    if not len(values):
        return
    sums = np.concatenate([[0.0], np.cumsum(values)])
    steps = np.arange(1, len(values) + 1)
    start = np.maximum(steps - _WINDOW, 0)
    ax.plot(steps, values, color="0.7", linewidth=1, label="each step")
    mean = (sums[steps] - sums[start]) / (steps - start)
    ax.plot(steps, mean, color="#0072B2", label=f"mean of {_WINDOW} steps")
    ax.legend(loc="upper right")


def loss_limits(losses: Iterable[float]) -> tuple[float, float]:
    """The lower and the upper end of the axis: round numbers with all losses between them.

    From the first step on there is room for a fall by three fifths of the first loss, which is enough
    for digits. What falls further, as with Gaussian pixels, gets five thirds of that room, and so on:
    the axis follows the curve in a few large steps, and stands still between them.
    """
    finite = [loss for loss in losses if math.isfinite(loss)] or [_MEAN_DIGIT]
    room = _FALL * max(abs(finite[0]), 1.0)
    while finite[0] - min(finite) > room:
        room /= _FALL
    ticks = MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(finite[0] - room, max(finite))
    return ticks[0], ticks[-1]
