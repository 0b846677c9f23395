"""How fast the sliders follow: `python tests/browser/benchmark.py [01 02 …]`.

For every slider of the named notebooks (all, if none is named) this prints the time from a key
press to changed pixels, median and 95th percentile over 50 moves, in milliseconds:

- `explore`: the slider as the notebook shows it;
- `interact`: the same control, wired by `ipywidgets.interact` to a function that calls the same draw
  functions on a new figure of the same size and ends in `plt.show()`. It draws only the views that
  depend on the moving control, so that it is given no work that a reader would not give it;
  `pictures` become an `imshow`, `numbers` a `print`, `steps` a `display`;
- `ratio`: median of `explore` over median of `interact`;
- `settled`: how long after the last of 200 presses, as fast as keys go, the last picture comes.

Time is taken inside the page: from the key's own time stamp to the animation frame after all new
pictures are decoded (text instead of pictures, where the control moves no picture). Both kinds are
measured in the same notebook, kernel and browser, one slider after the other. The latent explorer,
which decodes in the page, has no counterpart; its time ends with the frame that draws the digit.
What is to be reached: `ratio` at most 1.0 for plots and 0.6 for pictures, `explore` under 100 ms at
the 95th percentile, the latent explorer under 20 ms. Measure on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lab
from lab import Kernel

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

MOVES, WARM_UP, FAST = 50, 4, 200

# Appended to the copy of a notebook: `plain(name, key)` shows one control by `interact`.
PLAIN = '''
import ipywidgets as _widgets
import matplotlib.pyplot as _plt
import numpy as _np
from IPython.display import display as _display
from vae_helpers.widgets import stage as _stage, views as _views


def _picture(view, values):
    pixels = _np.asarray(_views.call(*view.functions, values))
    side = round(pixels.shape[-1] ** 0.5) if pixels.ndim == 3 else None
    pixels = pixels.reshape(*pixels.shape[:2], side, -1) if side else pixels
    rows, columns, height, width = pixels.shape
    sheet = pixels.swapaxes(1, 2).reshape(rows * height, columns * width)
    size = view._scale * _np.array(sheet.shape[::-1]) / 100
    fig = _plt.figure(figsize=size, dpi=100)
    fig.add_axes((0, 0, 1, 1)).imshow(sheet, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    _plt.show()


def _plot(view, values):
    ratios = view._axes[0].get_gridspec().get_width_ratios()
    fig, axes = _plt.subplots(
        1, len(view.functions), squeeze=False, figsize=view._figure.get_size_inches(), dpi=100,
        layout="constrained", width_ratios=ratios,
    )
    for ax, under in zip(axes[0], view._under):
        under(ax)
    for ax, draw in zip(axes[0], view.functions):
        _views.call(draw, values, ax)
    _plt.show()


def _text(view, values):
    answer = _views.call(*view.functions, values)
    _display(answer) if isinstance(view, _views.Steps) else print(answer)


def plain(name, key):
    """One control of an explorer, wired in the plain way; the others stay where they are."""
    explorer = _stage.ON_STAGE[name]
    field, values = explorer.controls[key].input, explorer.values
    views = [view for view in explorer.views if key in view.takes(values)]
    shows = {_views.Plot: _plot, _views.Pictures: _picture}

    def show(**moved):
        for view in views:
            shows.get(type(view), _text)(view, values | moved)

    options = {n: getattr(field, n) for n in ("min", "max", "step", "options", "value") if hasattr(field, n)}
    control = type(field)(description=field.description, **options)
    box = _widgets.interactive(show, **{key: control})
    box.add_class("plain-interact")
    return box
'''

# Remembers the time of each key press, and of the frame after each change of what is shown.
WATCH = """(element, wanted) => {
    const seen = image => image.currentSrc || image.src;
    const pictures = () => [...element.querySelectorAll("img")].map(seen).join(" ");
    const record = window.record = { pressed: 0, shown: 0, frames: 0 };
    let before = pictures();
    window.unwatch && window.unwatch();
    const key = event => { record.pressed = event.timeStamp; record.shown = 0; };
    const changed = async changes => {
        if (changes.every(change => change.target.closest?.(".vae-control, .widget-slider"))) return;
        if (wanted === "frame") { record.shown = performance.now(); record.frames++; return; }
        if (wanted === "picture") {
            const now = pictures();
            if (now === before || !now) return;
            before = now;
            await Promise.allSettled([...element.querySelectorAll("img")].map(image => image.decode()));
        }
        requestAnimationFrame(time => { record.shown = performance.now(); record.frames++; });
    };
    const observer = new MutationObserver(changed);
    observer.observe(element, { subtree: true, childList: true, characterData: true, attributes: true,
        attributeFilter: ["src", "data-frames"] });
    window.addEventListener("keydown", key, true);
    window.unwatch = () => { observer.disconnect(); window.removeEventListener("keydown", key, true); };
}"""


def measure(
    page: Page, handle: Locator, element: Locator, wanted: str, steps: int, fast: bool
) -> tuple[list[float], float]:
    """Moves a slider there and back.

    Args:
        page: the notebook's page.
        handle: what takes the keys.
        element: what changes.
        wanted: what has to change: "picture", "text" or "frame".
        steps: positions to the right of the first one before it turns.
        fast: whether to press many keys at the end.

    Returns:
        Milliseconds of each move, and those from the last of many fast presses until all stands still.
    """
    handle.scroll_into_view_if_needed()
    handle.focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(500)
    element.evaluate(WATCH, wanted)
    times, position, by = [], 0, 1
    for move in range(WARM_UP + MOVES):
        if not 0 <= position + by <= steps:
            by = -by
        position += by
        time = press(page, "ArrowRight" if by > 0 else "ArrowLeft", quiet=120)
        if move >= WARM_UP:
            times.append(time)
    settled = math.nan
    if fast:
        for number in range(FAST - 1):
            page.keyboard.press("ArrowRight" if number // min(steps, 20) % 2 == 0 else "ArrowLeft")
        settled = press(page, "ArrowLeft", quiet=1000)
    page.evaluate("window.unwatch()")
    return times, settled


def press(page: Page, key: str, quiet: float) -> float:
    """Milliseconds from a key press to the last change before nothing happens for `quiet` ms."""
    page.keyboard.press(key)
    return page.evaluate(
        """async quiet => {
            const start = performance.now(), wait = () => new Promise(done => setTimeout(done, 10));
            while (!record.shown && performance.now() - start < 5000) await wait();
            for (let frames = -1; frames !== record.frames; ) {
                frames = record.frames;
                const since = performance.now();
                while (performance.now() - since < quiet) await wait();
            }
            return record.shown ? record.shown - record.pressed : NaN;
        }""",
        quiet,
    )


def summary(times: list[float]) -> tuple[float, float]:
    """Median and 95th percentile of the moves that changed something."""
    times = [time for time in times if not math.isnan(time)]
    if len(times) < 2:
        return math.nan, math.nan
    return statistics.median(times), statistics.quantiles(times, n=20, method="inclusive")[-1]


def notebook(page: Page, kernel: Kernel, tell: Callable[..., None]) -> None:
    """Measures each slider of an open notebook."""
    for name, explorer in kernel.ask("inside.describe()").items():
        if explorer["live"]:
            continue
        element = page.locator(f".vae-explorer-{name}")
        for key, control in explorer["controls"].items():
            handles = element.locator(".vae-control:has(.widget-readout), .vae-control:has(select)")
            handle = handles.nth(list(explorer["controls"]).index(key)).locator(".noUi-handle")
            if not handle.count():
                continue
            if control["at_most"]:  # as far as it goes
                kernel.ask(f"inside.set_to_end({name!r}, {control['at_most']!r})")
            high = control.get("high", len(control.get("options", ())) - 1)
            steps = round((high - control.get("low", 0)) / control.get("step", 1))
            views = [view for view in explorer["views"] if key in view["arguments"]]
            kind = "+".join(sorted({view["kind"] for view in _pictures_of(views) or views}))
            wanted = "picture" if _pictures_of(views) else "text"
            times, settled = measure(page, handle, element, wanted, steps, fast=True)
            plain = interact(page, name, key)
            other, _ = measure(page, plain.locator(".noUi-handle"), plain, wanted, steps, fast=False)
            tell(f"{name}: {control['label']}", kind, summary(times), summary(other), settled)
            kernel.ask(f"inside.reset({name!r})")
    plane = page.locator(".latent-explorer")
    if plane.count():
        times, settled = measure(page, page.locator(".latent-plane"), plane, "frame", 20, fast=True)
        tell("latent explorer: arrow keys", "in the page", summary(times), (math.nan, math.nan), settled)


def _pictures_of(views: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [view for view in views if view["is_picture"]]


def interact(page: Page, name: str, key: str) -> Locator:
    """Runs the notebook's last cell so that it shows one control in the plain way."""
    cell = page.locator(".jp-CodeCell").last
    cell.scroll_into_view_if_needed()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(f"plain({name!r}, {key!r})")
    page.evaluate("document.querySelectorAll('.plain-interact').forEach(box => box.dataset.old = 'yes')")
    page.keyboard.press("Control+Enter")
    box = page.locator(".plain-interact:not([data-old])")
    box.locator(".jp-OutputArea-output").first.wait_for()
    page.wait_for_timeout(1000)
    return box


def main() -> None:
    """Measures the notebooks named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("notebooks", nargs="*", help="beginnings of names, such as 01; all if none")
    wanted = tuple(parser.parse_args().notebooks)
    names = [name for name in lab.NOTEBOOKS if name.startswith(wanted or "")]
    if reason := lab.missing():
        raise SystemExit(f"benchmark: {reason}")
    head = ("slider", "kind", "explore", "interact", "ratio", "settled")
    print(f"{head[0]:<52} {head[1]:<14} {head[2]:>11} {head[3]:>11} {head[4]:>6} {head[5]:>8}")

    def tell(what, kind, ours, plain, settled):
        pair = [f"{median:.0f} / {tail:.0f}" for median, tail in (ours, plain)]
        line = f"{name[:2]} {what:<49} {kind:<14} {pair[0]:>11} {pair[1]:>11} {ours[0] / plain[0]:>6.2f}"
        print(f"{line} {settled:>8.0f}".replace("nan / nan", "        –").replace("nan", "  –"), flush=True)

    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        lab.copy_notebooks(folder)
        with lab.browser() as chromium, lab.jupyterlab(folder) as address:
            for name in names:
                file = folder / "notebooks" / f"{name}.ipynb"
                lab.append(file, PLAIN, "0")
                page = chromium.new_page(viewport=lab.VIEWPORT)
                lab.open_notebook(page, address, file.name)
                kernel = Kernel(folder, address, file.name)
                lab.run_all(page)
                notebook(page, kernel, tell)
                page.close()
                kernel.shut_down()


if __name__ == "__main__":
    main()
