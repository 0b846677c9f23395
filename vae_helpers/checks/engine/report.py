"""What a check answers: passed or not, which mistakes, and what a teacher would say."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from vae_helpers.checks.engine.codes import CODES
from vae_helpers.checks.engine.settings import as_after_import

# What one does about these is not in the course.
PLACELESS = {"not-attempted", "error"}


class Finding(NamedTuple):
    """One mistake: its code, and a sentence or two on the likely cause (never the solution)."""

    code: str  # a key of `CODES`
    text: str  # what was seen and why it may have happened
    where: str = ""  # where to look; empty takes the place that `CODES` names


def said(words: str) -> Finding:
    """A finding from "code: text", whose words may stand on several lines."""
    code, text = " ".join(words.split()).split(": ", 1)
    return Finding(code, text)


class Failed(Exception):
    """The function gave nothing that could be compared; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


@dataclass(frozen=True, repr=False)
class Report:
    """The answer of a check; a notebook shows it as a framed text.

    Attributes:
        exercise: what was checked.
        codes: the mistakes, keys of `vae_helpers.checks.CODES`; empty when the answer is right.
        message: what was seen, on which small input, the likely cause, and where to look.
    """

    exercise: str
    codes: frozenset[str]
    message: str

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return not self.codes

    def with_note(self, note: str) -> Report:
        """The same report with one more remark that accuses nobody."""
        return replace(self, message=f"{self.message}\nNote: {note}".strip())

    @property
    def verdict(self) -> str:
        """The report's headline."""
        if self.passed:
            return f"✓ {self.exercise}: right"
        if "not-attempted" in self.codes:
            return f"○ {self.exercise}: not attempted yet"
        return f"✗ {self.exercise}: not yet right"

    def __repr__(self) -> str:
        """The report as plain text."""
        return f"{self.verdict}\n{self.message}".strip()

    def _repr_html_(self) -> str:
        colour = "#2a7f3f" if self.passed else "#8a8a8a" if "not-attempted" in self.codes else "#b3261e"
        codes = " ".join(f"<code>{code}</code>" for code in sorted(self.codes))
        lines = "".join(f"<p>{html.escape(line)}</p>" for line in self.message.splitlines() if line)
        return (
            f'<div style="border-left: 5px solid {colour}; padding: 2px 0 2px 12px; max-width: 48em">'
            f"<p><b>{html.escape(self.verdict)}</b> {codes}</p>{lines}</div>"
        )


def report(
    title: str, findings: Iterable[Finding] = (), seen: str = "", notes: Iterable[str] = (), where: str = ""
) -> Report:
    """Puts a report together.

    Args:
        title: what was checked.
        findings: the mistakes, the most telling first.
        seen: the smallest counterexample, in words.
        notes: remarks that accuse nobody.
        where: where the course treats the exercise, for codes that have no place of their own.
    """
    findings = list(dict.fromkeys(findings))
    lines = [seen] if seen and findings else []
    places = [finding.where or _place(finding.code, where) for finding in findings]
    for number, (finding, place) in enumerate(zip(findings, places, strict=True)):
        named = place and place not in places[number + 1 :]  # once, after the last finding that it is for
        lines.append(finding.text + (f" See {place}." if named else ""))
    lines += [f"Note: {note}" for note in notes]
    return Report(title, frozenset(finding.code for finding in findings), "\n".join(lines))


def safely(exercise: str, check: Callable[[], Report]) -> Report:
    """What the check reports; an answer that fails, or confounds the check itself, gives a report, too.

    Args:
        exercise: what is checked.
        check: makes the report.
    """
    try:
        with as_after_import():
            return check()
    except Failed as failed:
        return report(exercise, [failed.finding])
    except Exception as error:  # a student is never to see our own traceback
        why = f"{type(error).__name__}: {error}"
        text = f"This answer could not be analysed ({why}). Try it on a small example."
        return report(exercise, [Finding("unknown", text)])


def _place(code: str, where: str) -> str:
    """Where the course treats a mistake: the code's own place, unless the exercise comes before it."""
    places = filter(None, (CODES[code].where, where))
    return "" if code in PLACELESS else min(places, key=_notebook, default="")


def _notebook(place: str) -> int:
    return int(place.removeprefix("notebook ").split(",")[0])
