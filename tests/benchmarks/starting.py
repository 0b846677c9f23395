"""How long a reader waits: imports, the first figure of a notebook, all of it, and its memory."""

from __future__ import annotations

import time
from pathlib import Path

import nbformat
import psutil
from harness import ROOT, Claim, Row, in_fresh_python, in_turn
from nbclient import NotebookClient

IMPORTS = {
    "numpy": "numpy",
    "numerics.gaussian": "vae_helpers.numerics.gaussian",
    **{
        name: f"vae_helpers.{name}"
        for name in ("numerics", "models", "shipped", "pictures", "widgets", "checks")
    },
}
QUICK = ("00", "01", "02", "03", "04", "05")


def imports(rounds: int) -> dict[str, list[Row]]:
    """Each layer in a Python of its own."""

    def seconds(module: str) -> float:
        code = f"import time; s = time.perf_counter(); import {module}; print(time.perf_counter() - s)"
        return float(in_fresh_python(code))

    rows = in_turn({name: lambda module=module: seconds(module) for name, module in IMPORTS.items()}, rounds)
    own = [ours - numpy for ours, numpy in zip(rows[1].values, rows[0].values, strict=True)]
    return {"Imports": [*rows, Claim("numerics.gaussian beyond NumPy", own, "s", at_most=0.15)]}


def run(path: Path) -> tuple[float, float, float]:
    """Seconds to the first picture, seconds in all, and the kernel's most memory in MB."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(path.parent)}})
    started, first, most = time.perf_counter(), None, 0.0
    with client.setup_kernel():
        process = psutil.Process(client.km.provisioner.pid)
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
            drawn = any("image/png" in output.get("data", ()) for output in cell.get("outputs", ()))
            first = time.perf_counter() - started if drawn and first is None else first
            most = max(most, _most_memory(process))
        whole = time.perf_counter() - started
    return first or whole, whole, most


def _most_memory(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return process.memory_info().rss / 2**20  # where the system does not keep the peak: that after a cell


def notebooks(rounds: int) -> dict[str, list[Row]]:
    """All notebooks, one after the other, in each round."""
    paths = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    runs = {path.stem: [] for path in paths}
    for _ in range(rounds):
        for path in paths:
            runs[path.stem].append(run(path))
    first, whole, memory = ({name: [r[k] for r in rows] for name, rows in runs.items()} for k in range(3))
    total = [sum(values) for values in zip(*whole.values(), strict=True)]
    quick = [Claim(name, values, "s", at_most=6) for name, values in whole.items() if name[:2] in QUICK]
    slow = [Row(name, values) for name, values in whole.items() if name[:2] not in QUICK]
    return {
        "Seconds to the first picture of a notebook": [Row(name, values) for name, values in first.items()],
        "Seconds of a notebook": [*quick, *slow, Claim("all notebooks", total, "s", at_most=150)],
        "Memory of a notebook": [Claim(name, values, "MB", at_most=1200) for name, values in memory.items()],
    }
