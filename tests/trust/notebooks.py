"""Every notebook again and again: from fresh kernels, twice, in parts, on other versions and processors.

Each run compares all that the notebook shows with what it stores, strictly, as the tests do (nbval).
"""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psutil

from trust.ledger import ROOT, Row

PATHS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
ROUNDS = 20
# Kernels of OpenBLAS (NumPy, SciPy) beside what oneDNN and PyTorch's own loops may use of the processor.
PROCESSORS = {
    "Haswell": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "Prescott": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
    "Zen": {},
}
# What the notebooks need beside what pyproject.toml asks for, at its oldest.
BESIDE = ("sympy==1.13.3", "mpmath==1.3.0", "jupyterlab==4.2.7")
RUNNERS = ("nbval==0.11.0", "pytest", "pytest-xdist", "nbclient")
IGNORED = "nbval-ignore-output"  # the tag of a cell that is run but not compared
# Warnings of libraries about each other, which no reader of the course sees or could mend.
OF_OTHERS = ("DeprecationWarning", "PendingDeprecationWarning", "ImportWarning", "ResourceWarning")
STRICT = {"PYTHONWARNINGS": ",".join(["error", *(f"ignore::{name}" for name in OF_OTHERS)])}

Notebook = nbformat.NotebookNode


def as_it_is(notebook: Notebook) -> list[Notebook]:
    """The notebook itself."""
    return [notebook]


def twice(notebook: Notebook) -> list[Notebook]:
    """Each cell of code is run twice: nothing may raise, so each claim that is asserted has to hold.

    What a cell shows is not compared: a generator that was used once more gives other draws.
    """
    cells = []
    for cell in notebook.cells:
        cells.append(_uncompared(cell) if cell.cell_type == "code" else cell)
        if cell.cell_type == "code":
            again = _uncompared(cell)
            again["id"] = f"{cell['id']}-again"
            cells.append(again)
    return [_with(notebook, cells)]


def by_section(notebook: Notebook) -> list[Notebook]:
    """For each section one notebook, which ends with it: what "run all above" leaves, then the section."""
    ends = [i for i, cell in enumerate(notebook.cells) if re.match(r"##+ ", cell.source) and i > 0]
    ends.append(len(notebook.cells))
    parts = []
    for begin, end in zip(ends, ends[1:], strict=False):
        if any(cell.cell_type == "code" for cell in notebook.cells[begin:end]):
            above = [_uncompared(cell) for cell in notebook.cells[:begin]]
            parts.append(_with(notebook, [*above, *notebook.cells[begin:end]]))
    return parts


def differs(path: Path, environment: dict[str, str], python: str = sys.executable) -> str:
    """Runs one notebook as the tests do, in another process.

    Args:
        path: the notebook.
        environment: variables beside those of this process.
        python: the interpreter of the tests and the kernel.

    Returns:
        The first cell that fails or shows something else than what is stored, or nothing.
    """
    with tempfile.TemporaryDirectory(prefix="vae-basetemp-") as folder:
        command = [python, "-m", "pytest", "-q", "-n", "0", "-x", "-p", "no:cacheprovider", "-p", "conftest"]
        command += [
            "-c",
            str(ROOT / "pyproject.toml"),
            f"--rootdir={ROOT}",
            f"--basetemp={folder}/t",
            str(path),
        ]
        here = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        done = subprocess.run(command, cwd=ROOT, env=here, capture_output=True, text=True, timeout=3600)
    if done.returncode == 0:
        return ""
    found = re.search(r"^(FAILED|ERROR) \S*?::(Cell \d+)", done.stdout, re.MULTILINE)
    return f"{path.stem[:2]} {found[2] if found else (done.stdout + done.stderr)[-300:]}"


def tried(
    what: str,
    of: str,
    rounds: int,
    environment: dict[str, str] | None = None,
    cut: Callable[[Notebook], list[Notebook]] = as_it_is,
    paths: list[Path] | None = None,
    python: str = sys.executable,
) -> Row:
    """A row: every notebook, `rounds` times, in the parts that `cut` makes of it."""
    failures, count = [], 0
    with tempfile.TemporaryDirectory(prefix="vae-notebooks-") as folder:
        for number in range(rounds):
            for path in PATHS if paths is None else paths:
                parts = cut(nbformat.read(path, as_version=4))
                for part in parts:
                    file = Path(folder, path.name)
                    file.write_text(nbformat.writes(part), encoding="utf-8")
                    found = differs(file, environment or {}, python)
                    count += 1
                    if found:
                        failures.append(found)
                    print(f"  {what}, {number}, {path.stem[:2]}: {found or 'as stored'}", flush=True)
    return Row(what, count, of, len(failures), "; ".join(sorted(set(failures)))[:400])


def oldest() -> list[str]:
    """The oldest versions that pyproject.toml allows who shows widgets."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = {
        re.split("[>=]+", one)[0]: one
        for one in [*project["dependencies"], *extras["torch"], *extras["widgets"]]
    }
    return [one.replace(">=", "==") for one in asked.values() if ">=" in one] + list(BESIDE)


@contextmanager
def versions(requirements: list[str]) -> Iterator[str]:
    """An interpreter of a fresh virtual environment with these packages, and what runs notebooks."""
    with tempfile.TemporaryDirectory(prefix="vae-versions-") as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder, "bin", "python"))
        subprocess.run([python, "-m", "pip", "install", "-q", *requirements, *RUNNERS], check=True)
        yield python


def rows(share: float = 1.0) -> Iterator[Row]:
    """What was tried with the notebooks; each row as soon as it is known."""
    few = PATHS if share == 1 else PATHS[3:4]
    yield tried(
        "Each cell run twice in a row: nothing raises, each assert holds",
        "notebooks",
        1,
        cut=twice,
        paths=few,
    )
    for threads in [psutil.cpu_count(), 4]:
        count = {
            name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        }
        yield tried(f"With {threads} threads of arithmetic", "notebooks", 1, count, paths=few)
    for kernel, more in PROCESSORS.items():
        chosen = {"OPENBLAS_CORETYPE": kernel, **more}
        told = "".join(f", {name}={value}" for name, value in more.items())
        yield tried(
            f"As on another processor: OPENBLAS_CORETYPE={kernel}{told}", "notebooks", 1, chosen, paths=few
        )
    if share == 1:
        with versions(oldest()) as python:
            what = f"On the oldest versions that are supported: {', '.join(oldest())}"
            yield tried(what, "notebooks", 1, python=python)
    yield tried("Every warning that a reader would see is an error", "notebooks", 1, STRICT, paths=few)
    yield tried(
        "Each section entered after all above it were run, in a fresh kernel",
        "sections", 1, cut=by_section, paths=few,
    )  # fmt: skip
    yield tried(
        "From a fresh kernel, top to bottom: what is stored", "runs", max(1, round(ROUNDS * share)), paths=few
    )


def _uncompared(cell: Notebook) -> Notebook:
    cell = copy.deepcopy(cell)
    if cell.cell_type == "code":
        cell.metadata["tags"] = [*cell.metadata.get("tags", []), IGNORED]
    return cell


def _with(notebook: Notebook, cells: list[Notebook]) -> Notebook:
    new = copy.copy(notebook)
    new.cells = cells
    return new
