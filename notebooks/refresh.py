"""Executes notebooks top to bottom and stores their outputs: `python notebooks/refresh.py`.

With names, only those: `python notebooks/refresh.py 02 03_gaussian_kl`. A notebook that raises
is left as it was. What a progress bar leaves behind, widget state, which widget took a picture's
place and the times of execution are not stored, so that the same code gives the same file. The minutes to
read are computed, and the README's table of notebooks is that of notebook 0.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import get_kernel_spec
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from reading_time import write_map, write_minutes

from vae_helpers.models.storage import whole_file

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
ROW = re.compile(r"^\| \[\d+ · .*\n", re.MULTILINE)  # of the table of notebooks
WIDGET = "application/vnd.jupyter.widget-view+json"
VIEW = re.compile(r'(data-vae-view=)"\w*"')


def refresh(path: Path) -> None:
    """Executes one notebook and replaces its file by the executed one."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=1200,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        coalesce_streams=True,  # or the moment of a flush decides how a print is cut up
        store_widget_state=False,
    )
    client.execute()
    for cell in notebook.cells:
        cell.metadata = _kept(cell.metadata)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _keep_still(output)]
    # What JupyterLab itself would write: a notebook that is only opened stays unchanged.
    spec = get_kernel_spec(client.kernel_name)
    kernel = {"display_name": spec.display_name, "language": spec.language, "name": client.kernel_name}
    language = notebook.metadata["language_info"]  # as the kernel told it
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": language})
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"  # counted, so that a new draft does not touch every line
    write_minutes(notebook)
    _replace(path, nbformat.writes(notebook) + "\n")


def update_map() -> None:
    """Brings the minutes of all notebooks into notebook 0's table of them."""
    notebooks = {path.name[:2]: nbformat.read(path, as_version=4) for path in HERE.glob("[0-9]*.ipynb")}
    path, first = HERE / "00_start_here.ipynb", notebooks["00"]
    before = nbformat.writes(first)
    write_map(first, notebooks)
    if (after := nbformat.writes(first)) != before:
        _replace(path, after + "\n")


def copy_map(first: Path = HERE / "00_start_here.ipynb", readme: Path = README) -> None:
    """Copies the rows of notebook 0's table of notebooks to the README.

    Raises:
        ValueError: one of the two has no such table.
    """
    prose = "\n".join(cell.source + "\n" for cell in nbformat.read(first, as_version=4).cells)
    rows = "".join(ROW.findall(prose)).replace("](", "](notebooks/")
    text = readme.read_text(encoding="utf-8")
    if not rows or not ROW.search(text):
        raise ValueError(f"readme: expected a table of notebooks in {first.name} and {readme.name}")
    begin, end = ROW.search(text).start(), [row.end() for row in ROW.finditer(text)][-1]
    if text[begin:end] != rows:
        _replace(readme, text[:begin] + rows + text[end:])


def _replace(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _kept(metadata: nbformat.NotebookNode) -> dict[str, object]:
    """What a cell says of itself: its tags, and what it is on slides; not what an editor has left there."""
    return {name: metadata[name] for name in ("tags", "slideshow") if name in metadata}


def _keep_still(output: nbformat.NotebookNode) -> bool:
    """Takes the live widget out of an output; whether a still picture of it, or anything, remains."""
    if output.output_type == "stream" and not output.text.strip():
        return False  # what a progress bar leaves behind
    data = output.get("data", {})
    if "text/html" in data:
        data["text/html"] = VIEW.sub(r'\1""', data["text/html"])
    widget = data.pop(WIDGET, None)
    return widget is None or "image/png" in data


def main() -> int:
    """Refreshes the notebooks named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 02; all if none")
    names = tuple(parser.parse_args().names)
    paths = sorted(p for p in HERE.glob("[0-9]*.ipynb") if not names or p.name.startswith(names))
    if not paths:
        print(f"no notebook begins with {', '.join(names)}", file=sys.stderr)
        return 2
    failed = 0
    for path in paths:
        start = time.perf_counter()
        try:
            refresh(path)
            print(f"{path.name}: {time.perf_counter() - start:.0f} s", flush=True)
        except CellExecutionError as error:
            failed += 1
            print(f"{path.name}: left as it was\n{error}", file=sys.stderr)
    update_map()
    copy_map()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
