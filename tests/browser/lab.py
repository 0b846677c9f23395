"""JupyterLab in a headless Chromium: what the browser tests and the benchmark share."""

from __future__ import annotations

import ast
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
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from jupyter_client import BlockingKernelClient

if TYPE_CHECKING:  # without Playwright this module can still say why the tests are skipped
    from playwright.sync_api import Browser, ElementHandle, Locator, Page

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
SETTINGS = {
    "notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "docmanager-extension/plugin.jupyterlab-settings": {"autosave": False},  # it would meet our own saving
    "apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
}
VIEWPORT = {"width": 1280, "height": 800}  # a projector
SMALLEST_PICTURE = 100  # pixels wide
PATIENCE = 20.0  # seconds for what takes a fraction of one on a machine that does nothing else
START = 60.0  # seconds for a server, a page or a kernel to be there
ANSWER = 30.0  # seconds for the server's answer
RUN = 1200.0  # seconds for all cells of a notebook


def chromium() -> str | None:
    """The browser to test with: $CHROMIUM, or the first one that is installed."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def missing() -> str:
    """Why there can be no browser test on this machine; "" if there can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "the package playwright is not installed"
    return "" if chromium() else "no Chromium is installed"


def skip_without_browser() -> None:
    """Skips where there is no Chromium; fails where VAE_BROWSER_TESTS=required forbids skipping."""
    if reason := missing():
        skip_or_fail(reason)


def skip_or_fail(reason: str) -> None:
    """Skips a test for want of something; fails where VAE_BROWSER_TESTS=required forbids skipping."""
    import pytest

    required = os.environ.get("VAE_BROWSER_TESTS") == "required"
    (pytest.fail if required else pytest.skip)(f"browser tests: {reason}")


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """A server on this machine alone, for the notebooks in `folder`/notebooks; gives its address."""
    config, token = folder / "config", secrets.token_hex(16)
    for name, value in SETTINGS.items():
        path = config / "lab" / "user-settings" / "@jupyterlab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = os.environ | {"JUPYTER_CONFIG_DIR": str(config), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--expose-app-in-browser"]  # for `set_theme` and `toggle_files`
    command += [f"--IdentityProvider.token={token}", "--allow-root", "--ServerApp.port_retries=0"]
    command += [f"--ServerApp.root_dir={folder / 'notebooks'}"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for_answer(server, f"http://127.0.0.1:{port}/api?token={token}", folder / "server.log")
        yield f"http://127.0.0.1:{port}/lab/tree/{{name}}?token={token}&reset"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def _wait_for_answer(server: subprocess.Popen, url: str, log: Path) -> None:
    deadline = time.monotonic() + START
    while server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"JupyterLab did not answer within {START:.0f} s") from None
            time.sleep(0.25)
    raise RuntimeError(log.read_text(encoding="utf-8"))


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        hidden = ["--hide-scrollbars"]  # by default Playwright hides them, and readers have them
        opened = playwright.chromium.launch(
            executable_path=chromium(), args=FLAGS, ignore_default_args=hidden
        )
        try:
            yield opened
        finally:
            opened.close()


def copy_notebooks(folder: Path) -> None:
    """A copy of the notebooks and pictures that a test may run and change."""
    for name in ("notebooks", "figures"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb*"))
    shutil.copy(ROOT / "requirements.txt", folder)  # notebook 0 compares the versions


def append(path: Path, *sources: str, to: Path | None = None) -> None:
    """Appends code cells to a copy of a notebook, or writes the copy `to` another place."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(notebook, to or path)


def set_theme(page: Page, name: str) -> None:
    """Changes JupyterLab's theme, in the open page and for those that are opened from now on."""
    command = "name => jupyterapp.commands.execute('apputils:change-theme', { theme: name })"
    page.evaluate(command, name)
    light = str(name.endswith("Light")).lower()
    its_own = f'body[data-jp-theme-name="{name}"][data-jp-theme-light="{light}"]'
    page.wait_for_selector(its_own, state="attached")


def toggle_files(page: Page) -> None:
    """Shows or hides the list of files; as Ctrl+B, but wherever the focus is."""
    page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")


def set_size(page: Page, width: int, height: int, ratio: float) -> None:
    """Gives an open page another size, as a zoom of the browser does."""
    size = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": False}
    page.context.new_cdp_session(page).send("Emulation.setDeviceMetricsOverride", size)


@contextmanager
def unseen(page: Page) -> Iterator[None]:
    """Hides the notebook, so that the page receives pictures and need not paint them."""
    style = page.add_style_tag(content=".jp-Notebook { display: none !important }")
    try:
        yield
    finally:
        style.evaluate("style => style.remove()")


def save(page: Page) -> None:
    """Saves the notebook and waits until JupyterLab has done all of it.

    As long as it still writes its checkpoint, it passes over a second wish to save without a word.
    """
    page.evaluate("""() => {
        window.saved = false;
        jupyterapp.commands.execute('docmanager:save').then(() => { window.saved = true; });
    }""")
    page.wait_for_function("window.saved", timeout=1000 * START)
    assert not changed(page), "JupyterLab says that the notebook is not saved"


def changed(page: Page) -> bool:
    """Whether JupyterLab marks the open notebook as changed."""
    return page.locator(".jp-mod-dirty").count() > 0


def open_notebook(page: Page, address: str, name: str) -> None:
    """Opens a notebook and waits until its kernel is there."""
    page.goto(address.format(name=name))
    page.wait_for_selector(".jp-Notebook", timeout=1000 * START)
    eventually(lambda: _check_connected(page, address, name), patience=2 * START)
    idle_sign = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'  # on a small screen it is not seen
    page.wait_for_selector(idle_sign, state="attached", timeout=1000 * START)
    page.keyboard.press("Control+b")  # without the list of files, as it is projected


def _check_connected(page: Page, address: str, name: str) -> None:
    parts = urllib.parse.urlsplit(address)
    token = urllib.parse.parse_qs(parts.query)["token"][0]
    sessions = page.request.get(f"{parts.scheme}://{parts.netloc}/api/sessions?token={token}").json()
    kernels = [session["kernel"] for session in sessions if session["path"] == name]
    states = [(kernel["execution_state"], kernel["connections"] > 0) for kernel in kernels]
    assert states == [("idle", True)], f"the page has no connection to a kernel of {name}: {states}"


def run_all(page: Page, timeout: float = RUN) -> None:
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


def run_cell(page: Page, cell: Locator | ElementHandle) -> None:
    """Runs one cell; does not wait for its end."""
    handle = cell if hasattr(cell, "query_selector") else cell.element_handle()
    handle.query_selector(".jp-InputPrompt").click()
    page.keyboard.press("Control+Enter")


def idle(page: Page) -> bool:
    """Whether the kernel has nothing to do."""
    return page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').count() > 0


def errors(page: Page) -> list[str]:
    """The errors that the notebook's outputs show."""
    shown = page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]')
    stderr = page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]')
    return shown.all_inner_texts() + stderr.all_inner_texts()


def eventually(check: Callable[[], Any], patience: float | None = None) -> Any:
    """Repeats a check until it raises no AssertionError any more, and gives its answer."""
    deadline = time.monotonic() + (PATIENCE if patience is None else patience)
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


class Kernel:
    """A line of its own to the kernel of an open notebook, beside the page's.

    Args:
        folder: the server's folder.
        address: the server's address.
        name: the notebook's file name.
    """

    def __init__(self, folder: Path, address: str, name: str) -> None:
        parts = urllib.parse.urlsplit(address)
        self._server, self._token = f"{parts.scheme}://{parts.netloc}", urllib.parse.parse_qs(parts.query)
        session = eventually(lambda: self._find(name))
        self._session, kernel = session["id"], session["kernel"]["id"]
        file = str(folder / "runtime" / f"kernel-{kernel}.json")
        self._client = BlockingKernelClient(connection_file=file)
        self._client.load_connection_file()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=START)
        self.ask(f"__import__('sys').path.append({str(HERE)!r})")

    def ask(self, expression: str, timeout: float = START) -> Any:
        """The value of an expression of the notebook's, which may use `inside`."""
        # Evaluated as a cell, not by `user_expressions`: those come after IPython has closed all figures.
        value = expression.replace("inside.", "__import__('inside').")
        code = f"setattr(__import__('sys'), 'answer', __import__('json').dumps({value}))"
        wanted = {"answer": "__import__('sys').answer"}
        sent = self._client.execute(code, silent=True, store_history=False, user_expressions=wanted)
        reply = self._client.get_shell_msg(timeout=timeout)
        while reply["parent_header"].get("msg_id") != sent:
            reply = self._client.get_shell_msg(timeout=timeout)
        if reply["content"]["status"] != "ok":
            raise RuntimeError("\n".join(reply["content"]["traceback"]))
        answer = reply["content"]["user_expressions"]["answer"]["data"]["text/plain"]
        return json.loads(ast.literal_eval(answer))

    def shut_down(self) -> None:
        """Ends the kernel."""
        self._client.stop_channels()
        self._ask_server("DELETE", f"/api/sessions/{self._session}")

    def _find(self, name: str) -> dict[str, Any]:
        sessions = self._ask_server("GET", "/api/sessions")
        its_own = [session for session in sessions if session["path"] == name]
        assert len(its_own) == 1, f"no kernel of {name} among {[session['path'] for session in sessions]}"
        return its_own[0]

    def _ask_server(self, method: str, path: str) -> Any:
        address = f"{self._server}{path}?token={self._token['token'][0]}"
        with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=ANSWER) as answer:
            return json.loads(answer.read() or "null")
