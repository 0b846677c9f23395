"""What every measurement shares: contestants in turn, medians and spread, and the machine that ran them."""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from vae_helpers.experiments.records import processor

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    """A figure: the values of all rounds.

    Attributes:
        what: the contestant, or what was measured of it.
        values: one a round.
        unit: of the values.
    """

    what: str
    values: list[float]
    unit: str = "s"

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def goal(self) -> None:
        """A figure alone has none."""


@dataclass(frozen=True)
class Claim(Row):
    """A figure with a goal, mostly a ratio of two contestants within the same rounds.

    Attributes:
        at_least, at_most: the goal, one of the two, which the median has to reach; or none.
    """

    unit: str = "times"
    at_least: float | None = None
    at_most: float | None = None

    @property
    def goal(self) -> str:
        """The goal in words, and whether it is reached."""
        low, high = self.at_least, self.at_most
        if low is None and high is None:
            return ""
        reached = self.median >= low if high is None else self.median <= high
        return f"{'at least' if high is None else 'at most'} {low if high is None else high:g}: " + (
            "reached" if reached else "MISSED"
        )


def in_turn(
    contestants: dict[str, Callable[[], float | None]], rounds: int, warm_up: bool = True
) -> list[Row]:
    """Seconds of each contestant in each round; every round begins with another one.

    Args:
        contestants: what to run, by name; one that returns a number is measured by that.
        rounds: how often.
        warm_up: run each once before, unmeasured.
    """
    names = list(contestants)
    for name in names if warm_up else ():
        contestants[name]()
    values: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            started = time.perf_counter()
            told = contestants[name]()
            values[name].append(time.perf_counter() - started if told is None else told)
    return [Row(name, of_name) for name, of_name in values.items()]


def ratio(what: str, over: Row, under: Row, **goal: float) -> Claim:
    """The ratio of two contestants, round by round."""
    return Claim(what, [a / b for a, b in zip(over.values, under.values, strict=True)], **goal)


def in_fresh_python(code: str) -> str:
    """What a new Python prints."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def machine() -> dict[str, Any]:
    """The machine and the versions that decide about figures."""
    can = torch.cpu.get_capabilities()
    return {
        "processor": processor(),
        "in_hardware": [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if can.get(name)],
        "cores": psutil.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_GB": round(psutil.virtual_memory().total / 2**30),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load_before": round(psutil.getloadavg()[0], 2),
    }


def table(groups: dict[str, Iterable[Row]]) -> str:
    """All figures: the median, the smallest and the largest, and what was to be reached."""
    lines = []
    for group, rows in groups.items():
        lines += ["", group, "-" * len(group)]
        for row in rows:
            spread = f"({min(row.values):.3g} to {max(row.values):.3g})"
            lines.append(
                f"{row.what:<64} {row.median:>9.3g} {row.unit:<6} {spread:<22} {row.goal or ''}".rstrip()
            )
    return "\n".join(lines)


def as_json(groups: dict[str, Iterable[Row]]) -> dict[str, list[dict[str, Any]]]:
    """The same for a file."""
    return {
        group: [
            {key: value for key, value in asdict(row).items() if value is not None}
            | {"median": row.median}
            | ({"goal": row.goal} if row.goal else {})
            for row in rows
        ]
        for group, rows in groups.items()
    }
