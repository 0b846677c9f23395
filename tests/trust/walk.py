"""A random walk over all sliders, buttons and lists: in JupyterLab and on the web edition, in both themes.

Every step takes one control of a page and does with it what a hand does: keys, a drag, a click, a choice.
Each page gets an equal part of the minutes; opening it, running its cells and touching every control once,
after which all is loaded that is loaded once, are not counted.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trust.ledger import ROOT, Row

sys.path.append(str(ROOT / "tests" / "browser"))
import lab

MINUTES = 10.0
GROWTH = 50e6  # bytes
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
PAGES = [*lab.NOTEBOOKS, "lab"]
PATIENCE = 300.0  # seconds for a kernel that draws what many moves have asked for
AFTERWARDS = 3000  # milliseconds for trainings and drawings that are still under way
# What a hand may take, within what the course has put on the page; files are another matter (test_the_lab).
PLACES = ".vae-stage, .vae-explorer, .vae-live, .latent-explorer, .lab"
CONTROLS = ", ".join(
    f":is({PLACES}) {one}:visible"
    for one in (
        ".noUi-handle",
        "input[type=range]",
        "input[type=checkbox]",
        "select",
        "button:not([disabled])",
        "canvas",
    )
)
KEYS = ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End")


@dataclass
class Walk:
    """A walk over one kind of pages.

    Attributes:
        steps: how many controls were moved.
        complaints: what the pages and the kernels complained of.
        grown: bytes that each page, with its kernel, had more at the end than at the beginning.
        figures: how many figures of pyplot were left open.
    """

    steps: int = 0
    complaints: list[str] = field(default_factory=list)
    grown: dict[str, float] = field(default_factory=dict)
    figures: int = 0

    def on(
        self, page: Any, name: str, seconds: float, rng: random.Random, memory: Callable[[], float]
    ) -> None:
        """Walks on one page for so many seconds."""
        for control in page.query_selector_all(CONTROLS):
            step(page, rng, control)
        page.wait_for_timeout(AFTERWARDS)
        before, begin = memory(), time.monotonic()
        while time.monotonic() - begin < seconds:
            if not (controls := page.query_selector_all(CONTROLS)):
                raise RuntimeError(f"{name}: expected sliders, lists or buttons, got none")
            self.steps += step(page, rng, rng.choice(controls))
        page.wait_for_timeout(AFTERWARDS)
        self.grown[name] = memory() - before

    def rows(self, where: str) -> list[Row]:
        """What came of it."""
        large = {name: grown for name, grown in self.grown.items() if grown > GROWTH}
        most = max(self.grown, key=self.grown.get)
        told = "; ".join(sorted(set(self.complaints)))[:300]
        return [
            Row(f"{where}: no error", self.steps, "steps", len(self.complaints), told),
            Row(f"{where}: memory grows by less than 50 MB, no figure stays open", len(self.grown), "pages",
                len(large) + self.figures, f"most: {self.grown[most] / 1e6:.0f} MB ({most})"),
        ]  # fmt: skip


def step(page: Any, rng: random.Random, control: Any) -> bool:
    """Does something with a control; whether it could be taken."""
    from playwright.sync_api import Error

    try:
        kind = control.evaluate("one => one.tagName + (one.type ? ':' + one.type : '')")
        control.scroll_into_view_if_needed(timeout=2000)
        box = control.bounding_box()
        if box is None:
            return False
        if kind.startswith("SELECT"):
            count = control.evaluate("one => one.options.length")
            control.select_option(index=rng.randrange(count), timeout=2000)
        elif kind.startswith("BUTTON") or kind.endswith("checkbox"):
            control.click(timeout=2000)
        elif kind.startswith("CANVAS") or rng.random() < 0.4:
            drag(page, box, rng)
        else:
            control.focus()
            for _ in range(rng.choice((1, 3, 20))):
                page.keyboard.press(rng.choice(KEYS))
    except Error as error:  # gone or covered by the time it is taken: a hand would miss it too
        if any(word in str(error) for word in ("Timeout", "not attached", "not visible", "detached")):
            return False
        raise
    page.wait_for_timeout(rng.choice((0, 20, 200)))
    return True


def drag(
    page: Any, box: dict[str, float], rng: random.Random, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Takes a control with the mouse, moves it about and lets it go; something may happen on the way."""
    x, y = box["x"] + rng.uniform(0.2, 0.8) * box["width"], box["y"] + rng.uniform(0.2, 0.8) * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 20, y, steps=3)
    meanwhile()
    for _ in range(rng.randrange(1, 6)):
        page.mouse.move(x + rng.uniform(-200, 200), y + rng.uniform(-30, 30), steps=3)
    page.mouse.up()


def heap(page: Any) -> float:
    """Bytes of the page's own objects, once everything that can be freed is freed."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return metrics["JSHeapUsedSize"]


def listen(page: Any, name: str, walk: Walk) -> None:
    """Notes what a page complains of."""
    page.on("pageerror", lambda error: walk.complaints.append(f"{name}: {error}"))
    page.on(
        "console",
        lambda line: walk.complaints.append(f"{name}: {line.text}") if line.type == "error" else None,
    )


# --- JupyterLab ---------------------------------------------------------------------------------------


def opened(browser: Any, names: list[str], theme: str) -> Iterator[tuple[str, Any, lab.Kernel]]:
    """Each notebook in turn, all its cells run: its name, its page and its kernel, which end after it."""
    with tempfile.TemporaryDirectory(prefix="vae-walk-") as root:
        folder = Path(root)
        lab.copy_notebooks(folder)
        with lab.jupyterlab(folder) as address:
            for name in names:
                page = browser.new_page(viewport=lab.VIEWPORT)
                lab.open_notebook(page, address, f"{name}.ipynb")
                lab.set_theme(page, THEMES[theme])
                kernel = lab.Kernel(folder, address, f"{name}.ipynb")
                lab.run_all(page)
                yield name, page, kernel
                page.close()
                kernel.shut_down()


def in_jupyterlab(browser: Any, theme: str, seconds: float, names: list[str], seed: int) -> Walk:
    """Walks over the notebooks, each run in a kernel of its own."""
    walk, rng = Walk(), random.Random(seed)
    for name, page, kernel in opened(browser, names, theme):
        listen(page, name, walk)

        def memory(page: Any = page, kernel: lab.Kernel = kernel) -> float:
            return heap(page) + kernel.ask("inside.memory()", timeout=PATIENCE)

        walk.on(page, name, seconds / len(names), rng, memory)
        walk.complaints += [f"{name}: {text[:100]}" for text in lab.errors(page)]
        walk.figures += len(kernel.ask("inside.figures()", timeout=PATIENCE))
    return walk


def killed(browser: Any, names: list[str], seed: int) -> Row:
    """In each notebook the kernel dies while a slider is dragged; then all cells are run again."""
    rng, failures = random.Random(seed), []
    for name, page, kernel in opened(browser, names, "light"):
        wrong = Walk()
        page.on("pageerror", lambda error, wrong=wrong: wrong.complaints.append(str(error)))
        process = kernel.ask("__import__('os').getpid()")
        handle = rng.choice(page.query_selector_all(".vae-stage .noUi-handle"))
        handle.scroll_into_view_if_needed()
        drag(page, handle.bounding_box(), rng, lambda process=process: os.kill(process, signal.SIGKILL))
        try:
            lab.eventually(lambda page=page: _told(page), patience=60)
            page.get_by_role("button", name="Ok").click()  # JupyterLab's own word that it restarts
            lab.eventually(lambda page=page: _idle(page), patience=60)
            lab.run_all(page)
            lab.eventually(lambda page=page: _back(page), patience=60)
            assert not wrong.complaints, wrong.complaints
        except AssertionError as error:
            failures.append(f"{name}: {str(error)[:100]}")
    what = "A kernel killed while a slider is dragged: the page says so; cells run again bring all back"
    return Row(what, len(names), "notebooks", len(failures), "; ".join(failures))


def _told(page: Any) -> None:
    notes = page.locator(".vae-stage .vae-note:visible").all_inner_texts()
    assert notes and all(note.startswith("The kernel is gone.") for note in notes), notes


def _idle(page: Any) -> None:
    assert lab.idle(page), "the kernel is not idle"


def _back(page: Any) -> None:
    assert page.locator(".vae-stage .noUi-handle:visible").count() > 0, "no slider"
    assert page.locator(".vae-stage .vae-note:visible").count() == 0, "a note is left"
    assert not lab.errors(page), lab.errors(page)


# --- the web edition ----------------------------------------------------------------------------------


def on_the_site(browser: Any, site: Path, theme: str, seconds: float, names: list[str], seed: int) -> Walk:
    """Walks over the pages, opened from the disk."""
    walk, rng = Walk(), random.Random(seed)
    context = browser.new_context(offline=True, viewport=lab.VIEWPORT, color_scheme=theme)
    for name in names:
        page = context.new_page()
        listen(page, name, walk)
        page.goto((site / f"{name}.html").as_uri())
        for _ in range(40):  # explorers start as they come into sight
            page.mouse.wheel(0, 900)
            page.wait_for_timeout(50)
        walk.on(page, name, seconds / len(names), rng, lambda page=page: heap(page))
        page.close()
    context.close()
    return walk


def rows(share: float = 1.0) -> Iterator[Row]:
    """What was tried in the browser; each row as soon as it is known."""
    from vae_helpers.site.build import build

    seconds = 60 * MINUTES * share
    names, pages = (lab.NOTEBOOKS, PAGES) if share == 1 else (["02_elbo"], ["02_elbo", "lab"])
    with tempfile.TemporaryDirectory(prefix="vae-site-") as root, lab.browser() as browser:
        for seed, theme in enumerate(THEMES):
            found = in_jupyterlab(browser, theme, seconds, names, seed)
            yield from found.rows(f"JupyterLab, {theme}, {seconds / 60:.3g} minutes")
        yield killed(browser, names, 0)
        site = build(Path(root) / "site", cache=Path(root) / "cache")
        for seed, theme in enumerate(THEMES):
            found = on_the_site(browser, site, theme, seconds, pages, seed)
            yield from found.rows(f"Web edition, {theme}, {seconds / 60:.3g} minutes")
        shutil.rmtree(site)
