"""What was tried, how often, what failed: one file for each part, and the page that shows them all."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from vae_helpers.experiments.records import processor
from vae_helpers.models.storage import whole_file

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
PAGE = ROOT / "docs" / "trust.md"
PARTS = {  # the module of this folder: the heading of its rows
    "ulps": "Numbers against 50 digits",
    "bad_input": "Input of any kind",
    "idx_files": "Images of other people",
    "estimators": "Estimates and gradients",
    "mutants": "Tests against broken code",
    "faults": "Killed, cut short, side by side",
    "notebooks": "Notebooks",
    "walk": "Sliders and the Lab",
}
TABLES = re.compile(r"(?<=<!-- made by python tests/trust -->\n).*(?=<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Row:
    """A claim that was tried.

    Attributes:
        what: the claim.
        tried: how often.
        of: what was tried, in the plural ("points", "calls").
        failed: how often the claim did not hold.
        found: the worst figure, or what failed, in a few words.
    """

    what: str
    tried: int
    of: str
    failed: int
    found: str = ""

    def line(self) -> str:
        """The row as text for a terminal."""
        return f"  {self.what}: {self.tried:,} {self.of}, {self.failed:,} failed. {self.found}".rstrip()


def machine() -> dict[str, str]:
    """What decides about figures."""
    names = ("numpy", "scipy", "torch", "jupyterlab")
    return {
        "processor": processor(),
        "cores": str(psutil.cpu_count()),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def keep(part: str, rows: Iterable[Row], results: Path = RESULTS, beside: bool = False) -> None:
    """Writes the figures of a part, whole or not at all.

    Args:
        part: its name.
        rows: its figures.
        results: the folder.
        beside: keeps older figures of other claims: those of a run that may yet be broken off.
    """
    results.mkdir(parents=True, exist_ok=True)
    rows = list(rows)
    if beside:
        rows += [row for row in kept(part, results) if row.what not in {new.what for new in rows}]
    content = {"machine": machine(), "rows": [asdict(row) for row in rows]}
    with whole_file(results / f"{part}.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def kept(part: str, results: Path = RESULTS) -> list[Row]:
    """The rows of a part; none if it was never run."""
    path = results / f"{part}.json"
    return (
        [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))["rows"]] if path.exists() else []
    )


def tables(results: Path = RESULTS) -> str:
    """The tables of the page, a part below the other."""
    text = []
    for part, title in PARTS.items():
        text += [f"## {title}", "", f"`python tests/trust {part}`", ""]
        if not (rows := kept(part, results)):
            text += ["Not run yet.", ""]
            continue
        text += ["| what was tried | how often | failed | |", "|---|---|---|---|"]
        text += [f"| {row.what} | {row.tried:,} {row.of} | {row.failed:,} | {row.found} |" for row in rows]
        here = json.loads((results / f"{part}.json").read_text(encoding="utf-8"))["machine"]
        text += [
            "",
            f"On {here['cores']} cores of an {here['processor']}, Python {here['python']}, NumPy "
            f"{here['numpy']}, SciPy {here['scipy']}, PyTorch {here['torch']}, "
            f"JupyterLab {here['jupyterlab']}.",
            "",
        ]
    return "\n".join(text)


def page(results: Path = RESULTS) -> str:
    """The page as it should stand."""
    return TABLES.sub(lambda _: tables(results), PAGE.read_text(encoding="utf-8"), count=1)


def write_page() -> None:
    """Writes the tables into the page."""
    text = page()
    with whole_file(PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
