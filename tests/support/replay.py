"""A kernel for nbval that gives what JupyterLab has shown of a notebook, instead of running it once more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
import pytest
from nbval.plugin import IPyNbFile

# Of each notebook that has been run in this process the cells, with what they put out.
SHOWN = pytest.StashKey[dict[str, nbformat.NotebookNode]]()


def keep(config: pytest.Config, name: str, path: Path) -> None:
    """Remembers what a notebook showed after all its cells were run, from the file that was saved then."""
    config.stash.setdefault(SHOWN, {})[name] = nbformat.read(path, as_version=4)


class RunOnce(IPyNbFile):
    """A notebook that nbval runs, unless the browser tests of this process have done so."""

    def setup(self) -> None:
        """Starts the kernel, or takes what was shown."""
        shown = self.config.stash.get(SHOWN, {}).get(self.path.stem)
        if shown is None:
            super().setup()
        else:
            self.kernel = Replay(shown)
            self.setup_sanitize_files()


class Replay:
    """Answers as nbval's `RunningKernel` does.

    Args:
        notebook: with outputs; its cells are asked for in their order, and some may be left out.
    """

    def __init__(self, notebook: nbformat.NotebookNode) -> None:
        self._cells = iter([cell for cell in notebook.cells if cell.cell_type == "code"])
        self._messages, self._asked = deque(), 0

    def execute_cell_input(self, source: str, allow_stdin: bool | None = None) -> str:
        """The number of the question, whose answers `get_message` gives then."""
        cell = next((cell for cell in self._cells if cell.source == source), None)
        if cell is None:
            raise RuntimeError(f"the notebook that was run has no such cell, or not in this place:\n{source}")
        self._asked += 1
        answers = _messages(cell)
        self._messages.extend(
            {"parent_header": {"msg_id": str(self._asked)}, "msg_type": kind, "content": content}
            for kind, content in answers
        )
        return str(self._asked)

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        """The next message."""
        if not self._messages:
            raise Empty
        return self._messages.popleft()

    def await_reply(self, msg_id: str, timeout: float | None = None) -> None:
        """Nothing is to be waited for."""

    def await_idle(self, parent_id: str, timeout: float) -> None:
        """What is left of the answer is not looked at."""
        self._messages.clear()

    def is_alive(self) -> bool:
        """It has no process that could die."""
        return True

    def stop(self) -> None:
        """Nothing is to be stopped."""


def _messages(cell: nbformat.NotebookNode) -> Iterator[tuple[str, dict[str, Any]]]:
    if cell.execution_count is None:
        raise RuntimeError(f"the browser has not run this cell:\n{cell.source}")
    for output in cell.outputs:
        yield output.output_type, {k: v for k, v in output.items() if k != "output_type"}
    yield "status", {"execution_state": "idle"}
