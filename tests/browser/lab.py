"""JupyterLab in a headless Chromium: what the browser tests and the benchmark share."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
SETTINGS = {
    "notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
}


def chromium() -> str | None:
    """The browser to test with: $CHROMIUM, or the first one that is installed."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """A server on this machine alone, for a copy of the notebooks in `folder`; gives its address."""
    config, token = folder / "config", secrets.token_hex(16)
    for name, value in SETTINGS.items():
        path = config / "lab" / "user-settings" / "@jupyterlab" / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(value), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = os.environ | {"JUPYTER_CONFIG_DIR": str(config), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", "--allow-root", "--ServerApp.port_retries=0"]
    command += [f"--ServerApp.root_dir={folder / 'notebooks'}"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(240):
            if server.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=2)
                break
            except OSError:
                time.sleep(0.25)
        else:
            raise TimeoutError("JupyterLab did not answer within a minute")
        if server.poll() is not None:
            raise RuntimeError((folder / "server.log").read_text(encoding="utf-8"))
        yield f"http://127.0.0.1:{port}/lab/tree/{{name}}?token={token}&reset"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield opened
        finally:
            opened.close()


def copy_notebooks(folder: Path) -> None:
    """A copy of the notebooks and pictures that a test may run and change."""
    for name in ("notebooks", "figures"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb*"))


def open_notebook(page: Page, address: str, name: str) -> None:
    """Opens a notebook and waits until its kernel is there."""
    page.goto(address.format(name=name))
    page.wait_for_selector(".jp-Notebook", timeout=60_000)
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=60_000)
    page.keyboard.press("Control+b")  # without the list of files, as it is projected


def run_all(page: Page, timeout: float = 600) -> None:
    """Runs all cells and waits for the end."""
    page.get_by_role("menuitem", name="Run", exact=True).first.click()
    page.locator('[data-command="runmenu:run-all"]').click()
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        prompts = page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").all_inner_texts()
        if all(re.fullmatch(r"\[\d+\]:", prompt.strip()) for prompt in prompts) and idle(page):
            return
        if errors(page):
            return
        time.sleep(0.2)
    raise TimeoutError(f"the notebook was still running after {timeout:.0f} s: {prompts}")


def idle(page: Page) -> bool:
    """Whether the kernel has nothing to do."""
    return page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').count() > 0


def errors(page: Page) -> list[str]:
    """The errors that the notebook's outputs show."""
    shown = page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]')
    stderr = page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]')
    return shown.all_inner_texts() + stderr.all_inner_texts()


def explorers(page: Page) -> dict[str, Locator]:
    """The explorers of the notebook by name."""
    found = page.locator(".vae-explorer")
    names = [
        re.search(r"vae-explorer-([\w-]+)|vae-(live)-training", found.nth(i).get_attribute("class"))
        for i in range(found.count())
    ]
    return {name[1] or name[2]: found.nth(i) for i, name in enumerate(names)}


def readouts(explorer: Locator) -> dict[str, str]:
    """What stands beside each control, by its description."""
    rows = explorer.locator(".vae-control:has(.widget-readout)")
    labels = rows.locator(".widget-label:not(.vae-unit)").all_inner_texts()
    return dict(zip(labels, rows.locator(".widget-readout").all_inner_texts(), strict=True))


def numbers(explorer: Locator) -> dict[str, str]:
    """The numbers that an explorer shows, by name."""
    shown = explorer.locator(".vae-number")
    names = [shown.nth(i).get_attribute("data-name") for i in range(shown.count())]
    return dict(zip(names, shown.locator("b").all_inner_texts(), strict=True))


def pictures(explorer: Locator) -> list[str]:
    """The pixels that are shown at this moment, in a short form that changes when they do."""
    return explorer.evaluate(
        """async element => Promise.all(
            [...element.querySelectorAll("img.vae-picture, canvas")].map(async image => {
                if (image.decode) { try { await image.decode() } catch (error) { return "not there" } }
                const canvas = document.createElement("canvas");
                canvas.width = image.naturalWidth || image.width;
                canvas.height = image.naturalHeight || image.height;
                const context = canvas.getContext("2d");
                context.drawImage(image, 0, 0);
                const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
                let hash = 0;
                for (let i = 0; i < data.length; i++) hash = (31 * hash + data[i]) | 0;
                return canvas.width + "x" + canvas.height + ":" + hash;
            }))"""
    )
