"""What an audit answers: figures with their errors, what was tested, and the mistakes that are certain."""

from __future__ import annotations

import html
import itertools
import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vae_helpers.models.storage import whole_file
from vae_helpers.numerics._validate import as_path

SCHEMA = "vae_helpers.audit/1"
VERDICTS = {"right": "✓", "wrong": "✗", "untested": "○"}
COLOURS = {"right": "#2f9e50", "wrong": "#d9483b", "untested": "#8a8a8a"}  # on white and on black
NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class Figure:
    """A number about the model.

    Attributes:
        value: the number.
        error: its standard error, or how far it may be off; None where it has none.
        unit: "nats per image" for most.
        how: how it was found, and what the error is of.
    """

    value: float
    error: float | None
    unit: str
    how: str

    def __str__(self) -> str:
        """The number as its error allows it to be written."""
        if self.error is None or not math.isfinite(self.error):
            return f"{self.value:.4g}"
        digits = 4 if self.error <= 0 else min(4, max(0, 1 - math.floor(math.log10(self.error))))
        return f"{self.value:.{digits}f} ± {self.error:.{digits}f}"


@dataclass(frozen=True)
class Check:
    """Something that was tested of the code.

    Attributes:
        name: what should hold.
        verdict: "right", "wrong" or "untested".
        code: the mistake's code, empty where there is none.
        text: what was seen; why it was not tested.
    """

    name: str
    verdict: str
    code: str = ""
    text: str = ""

    @property
    def mark(self) -> str:
        """How a report marks it; what is wrong only as a consequence of a mistake gets an arrow."""
        return VERDICTS[self.verdict] if self.code or self.verdict != "wrong" else "→"


@dataclass(frozen=True, repr=False)
class Audit:
    """The report of `audit`; a notebook shows it as a table, `print` as text, `save` writes it as JSON.

    Attributes:
        about: what was looked at: latents, pixels, images, likelihood, effort and seed.
        figures: the numbers, by their names.
        checks: what was tested, the mistakes that were found among it.
        notes: remarks that accuse nobody.
    """

    about: dict[str, Any]
    figures: dict[str, Figure]
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def mistakes(self) -> tuple[Check, ...]:
        """What is wrong for certain."""
        return tuple(check for check in self.checks if check.code)

    @property
    def codes(self) -> frozenset[str]:
        """The codes of the mistakes; empty when none was found."""
        return frozenset(check.code for check in self.mistakes)

    @property
    def passed(self) -> bool:
        """Whether something was tested and no mistake found."""
        return not self.mistakes and any(check.verdict == "right" for check in self.checks)

    @property
    def score(self) -> float:
        """The share of the tested points that are right, from 0 to 1; NaN where none was tested."""
        tested = {check.name for check in self.checks if check.verdict != "untested"}
        wrong = {check.name for check in self.checks if check.verdict == "wrong"}
        return 1 - len(wrong) / len(tested) if tested else math.nan

    @property
    def verdict(self) -> str:
        """The report's headline."""
        if self.mistakes:
            number = len(self.mistakes)
            return f"✗ {number} mistake{'s' if number > 1 else ''} found"
        tested = sum(check.verdict == "right" for check in self.checks)
        return f"✓ no mistake found in {tested} tests"

    def as_dict(self) -> dict[str, Any]:
        """The report as plain numbers and texts, as this folder's README describes it."""
        return {
            "schema": SCHEMA,
            "about": self.about,
            "score": _plain(self.score),
            "passed": self.passed,
            "mistakes": [{"code": c.code, "text": c.text} for c in self.mistakes],
            "checks": [asdict(check) for check in self.checks],
            "figures": {
                name: {**asdict(figure), "value": _plain(figure.value), "error": _plain(figure.error)}
                for name, figure in self.figures.items()
            },
            "notes": list(self.notes),
        }

    def as_json(self) -> str:
        """The report as JSON; what is not a number is null."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, path: str | Path) -> None:
        """Writes the report as JSON; the file is whole or not there.

        Args:
            path: where to; a file that is there is replaced.

        Raises:
            FileNotFoundError: its folder does not exist.
        """
        path = as_path("path", path)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"path: expected a folder that exists, got {path.parent}")
        with whole_file(path) as unfinished:
            unfinished.write_text(self.as_json(), encoding="utf-8")

    def __repr__(self) -> str:
        """The report as text, of lines with at most 100 letters where words allow it."""
        shown = {name.replace("_", " "): figure for name, figure in self.figures.items()}
        width = max(map(len, shown), default=0)
        lines = [self.verdict, *_wrapped("", _subject(self.about), 0)]
        lines += [line for note in self.notes for line in _wrapped("Note:", note)] + [""]
        for check in _joined(self.checks):
            code = f" [{check.code}]" if check.code else ""
            colon = ":" if check.text else ""
            lines += _wrapped(f"{check.mark} {check.name}{code}{colon}", check.text)
        lines += [""]
        values = {name: str(figure) for name, figure in shown.items()}
        wide = max(map(len, values.values()), default=0)
        for name, figure in shown.items():
            unit = "" if figure.unit == "nats per image" else f"{figure.unit}; "
            lines += _wrapped(
                f"{name:<{width}}  {values[name]:>{wide}}  ", unit + figure.how, width + wide + 4
            )
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        colour = COLOURS["wrong" if self.mistakes else "right"]
        checks = "".join(
            f"<p style='margin: 2px 0'><b><span style='color: {COLOURS[check.verdict]}'>{check.mark}</span> "
            f"{_escaped(check.name)}</b> {f'<code>{check.code}</code> ' if check.code else ''}"
            f"{_escaped(check.text)}</p>"
            for check in _joined(self.checks)
        )
        rows = "".join(
            f"<tr>{_cell(f'<b>{_escaped(name)}</b>')}{_cell(_escaped(str(figure).replace(' ', NO_BREAK)))}"
            f"{_cell(_escaped(_unit(figure) + figure.how))}</tr>"
            for name, figure in ((name.replace("_", " "), figure) for name, figure in self.figures.items())
        )
        notes = "".join(f"<p>Note: {_escaped(note)}</p>" for note in self.notes)
        return (
            f'<div style="border-left: 5px solid {colour}; padding: 2px 0 2px 12px; max-width: 60em">'
            f"<p><b>{_escaped(self.verdict)}</b><br>{_escaped(_subject(self.about))}</p>{notes}{checks}"
            f'<table style="margin-top: 1em"><tbody>{rows}</tbody></table></div>'
        )


def _joined(checks: Iterable[Check]) -> Iterable[Check]:
    """Neighbours that were not tested for the same reason as one."""
    for (verdict, text), group in itertools.groupby(checks, key=lambda check: (check.verdict, check.text)):
        group = list(group)
        if verdict == "untested":
            yield Check(", ".join(check.name for check in group), verdict, "", f"not tested, since {text}")
        else:
            yield from group


def _subject(about: dict[str, Any]) -> str:
    return (
        f"A VAE with {about['latents']} latents and a {about['likelihood']} likelihood of {about['pixels']} "
        f"pixels, on {about['images']} images. Nats per image unless another unit is given."
    )


def _unit(figure: Figure) -> str:
    return "" if figure.unit == "nats per image" else f"{figure.unit}; "


def _escaped(text: Any) -> str:
    return html.escape(str(text))


def _cell(content: str) -> str:
    return f'<td style="text-align: left; vertical-align: top; padding: 2px 8px">{content}</td>'


def _wrapped(start: str, text: str, indent: int = 4, width: int = 100) -> Iterable[str]:
    """A line of text, broken between words."""
    line = ""
    for word in [*re.split(r"(?<=\S) (?=\S)", start), *text.split()]:
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = " " * indent + word
        else:
            line += word if not line or line.endswith("  ") else f" {word}"
    yield line


def _plain(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
