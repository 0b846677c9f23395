"""Does this machine run the course? `doctor()` looks, and where something fails says the one thing to do."""

from __future__ import annotations

import html
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import ipywidgets
import psutil

from vae_helpers.pictures.plotting import course_file
from vae_helpers.shipped.images import load_mnist
from vae_helpers.widgets.controls import Control, slider
from vae_helpers.widgets.stage import Staged, in_output

_PYTHON = (3, 11)
_MEMORY = 2.0  # GiB that the heaviest notebook takes, with some to spare
_MARKS = {True: "✓", False: "✗", None: "○"}
_INSTALL = "run pip install -r requirements.txt in the course's folder"
_LAB = f"{_INSTALL}, in the environment that JupyterLab itself runs in, and reload the page"
_WORDS = (
    "a panel that looks at this machine takes the place of this line. If it does not, the browser "
    f"side of the sliders is missing: {_LAB}"
)


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    well: bool | None  # whether it is as it should be; None if that is not known yet
    seen: str  # how it is
    do: str  # the one thing to do if it is not well

    def __str__(self) -> str:
        return f"{_MARKS[self.well]} {self.what}: {self.seen}" + (f" → {self.do}" if not self.well else "")


def look_at_machine() -> list[Finding]:
    """Looks at all that does not need the page: Python, packages, memory, data."""
    return [_python(), _packages(), _memory(), _data()]


def _python() -> Finding:
    wanted = ".".join(map(str, _PYTHON))
    if not __debug__:
        do = (
            "start JupyterLab without -O and without PYTHONOPTIMIZE, or no assert of the notebooks is checked"
        )
        return Finding("Python", False, f"{platform.python_version()}, without asserts", do)
    do = f"install Python {wanted} or newer, and the course into a new virtual environment"
    return Finding("Python", sys.version_info[:2] >= _PYTHON, platform.python_version(), do)


def _packages() -> Finding:
    lines = course_file("requirements.txt").read_text(encoding="utf-8")
    wanted = dict(re.findall(r"^([\w-]+)==([\w.]+)$", lines, flags=re.MULTILINE))
    there = {name: _version(name) for name in wanted}
    wrong = [f"{n} {there[n]}, not {wanted[n]}" for n in wanted if there[n].split("+")[0] != wanted[n]]
    seen = f"{len(wanted) - len(wrong)} of {len(wanted)} at their pinned versions"
    return Finding("packages", not wrong, "; ".join([seen, *wrong]), f"{_INSTALL}, then restart the kernel")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    free, total = memory.available / 2**30, memory.total / 2**30
    do = "close other programs, and other notebooks by Kernel → Shut Down All Kernels"
    seen = f"{free:.1f} of {total:.1f} GiB free, {_MEMORY:.0f} are needed"
    return Finding("memory", free >= _MEMORY, seen, do)


def _data() -> Finding:
    do = "fetch the course's folder again: its file vae_helpers/shipped/mnist/mnist.npz is damaged"
    try:
        images, _ = load_mnist("train")
    except (OSError, ValueError) as error:
        return Finding("images", False, str(error), do)
    return Finding("images", True, f"{len(images):,} of MNIST, by their checksum", do)


class Doctor(Staged, ipywidgets.VBox):
    """A panel of findings, with a slider whose moves it reports.

    Attributes:
        control: the slider.
    """

    def __init__(self) -> None:
        self.control: Control = slider("move me", 3, 0, 10, 1)
        self._machine, self._moved = look_at_machine(), False
        self._table = ipywidgets.HTML().add_class("vae-status")
        super().__init__([self._table, ipywidgets.VBox([self.control]).add_class("vae-controls")])
        self.add_class("vae-doctor")
        self.enter("doctor", [])
        self._stage.observe(self._show, "seen")
        self.control.input.observe(self._move, "value")
        self._show()

    @property
    def findings(self) -> list[Finding]:
        """All that is known at this moment, the page included."""
        # Where the script does not reach the page there is no word from it; the slider tells.
        return [*self._machine, *([] if in_output() else [self._page()]), self._slider()]

    @property
    def verdict(self) -> str:
        """One sentence: all is well, or the one thing to do."""
        todo = [finding for well in (False, None) for finding in self.findings if finding.well is well]
        if todo:
            return f"{_MARKS[todo[0].well]} To do: {todo[0].do}."
        return "✓ All is well: this machine runs the course."

    def still(self) -> tuple[bytes, str, str]:
        """No picture: what the panel would find depends on the machine."""
        return b"", "", _WORDS

    def _page(self) -> Finding:
        what, seen = "sliders in the page", self._stage.seen
        if not seen:
            return Finding(what, None, "the page has not answered yet", _LAB)
        if not seen.get("handles"):
            return Finding(what, False, "anywidget answers, ipywidgets does not", _LAB)
        return Finding(what, True, "anywidget and ipywidgets both answer", _LAB)

    def _slider(self) -> Finding:
        seen = f"moved, and the kernel reads {self.control.input.value}" if self._moved else "not moved yet"
        do = "move the slider below, by mouse or by the arrow keys"
        return Finding("the slider below", self._moved or None, seen, do)

    def _move(self, _change: object) -> None:
        self._moved = True
        self._show()

    def _show(self, _change: object = None) -> None:
        rows = "".join(f"<li>{html.escape(str(finding))}</li>" for finding in self.findings)
        self._table.value = f'<p role="status"><b>{html.escape(self.verdict)}</b></p><ul>{rows}</ul>'


def doctor() -> Doctor:
    """Looks at this machine; as the last expression of a cell it shows what it found.

    Returns:
        A panel: versions, memory, images, whether the page shows sliders, and whether the kernel
        hears them; where something fails, the one thing to do.
    """
    return Doctor()
