"""Line-checked derivations: every line is a formula and a number that must agree with it."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vae_helpers.numerics._validate import as_number, as_text, one_of, told

_RELATIONS = {"=": "=", "≥": "≥", ">=": "≥", "≤": "≤", "<=": "≤"}
# Of the difference and the tolerance; NaN fails every one of them.
_HOLDS = {"=": lambda d, tol: abs(d) <= tol, "≥": lambda d, tol: d >= -tol, "≤": lambda d, tol: d <= tol}


class DerivationError(AssertionError):
    """A line of a derivation does not stand in the stated relation to the line above."""


class Line(NamedTuple):
    """One line: its formula, its value, and why it follows from the line above."""

    latex: str  # the formula, without dollar signs
    value: Callable[[], float]  # evaluates this line by its own formula
    relation: str  # "=", "≥" or "≤", read as "line above, relation, this line"
    reason: str  # why the step is allowed


class Row(NamedTuple):
    """One line, evaluated, as a table shows it."""

    relation: str  # as of the line; empty in the first one
    latex: str
    reason: str
    value: float  # the line's own value, rounded to six decimals
    holds: bool  # whether the stated relation to the line above is true


class Derivation:
    """A chain of equalities and inequalities in which every line is evaluated for itself.

    Args:
        title: caption of the table that a notebook shows.
        tolerance: what two equal lines may differ by.
        unit: what the values are measured in, for the head of the table.

    Example:
        >>> proof = Derivation("Log of a product")
        >>> _ = proof.line(r"\\log(2 \\cdot 3)", lambda: math.log(2 * 3))
        >>> _ = proof.line(r"\\log 2 + \\log 3", lambda: math.log(2) + math.log(3), reason="log rule")
        >>> proof.check().values()
        [1.791759469228055, 1.791759469228055]
    """

    def __init__(self, title: str, tolerance: float = 1e-9, unit: str = "nats") -> None:
        self.title = as_text("title", title)
        self.tolerance = as_number("tolerance", tolerance, minimum=0)
        self.unit = as_text("unit", unit)
        self.lines: list[Line] = []

    def line(
        self, latex: str, value: Callable[[], float] | float, relation: str = "=", reason: str = ""
    ) -> Derivation:
        """Adds a line below the last one.

        Args:
            latex: the formula, without dollar signs.
            value: a function of no arguments that evaluates this very formula, or the number.
                Never hand over the value of the line above: the check would be empty.
            relation: how the line above relates to this one: "=", "≥" or "≤".
            reason: why the step is allowed, in a few words.

        Returns:
            The derivation itself, so that lines can be chained.

        Raises:
            ValueError: a relation that cannot be checked.
            TypeError: a value that is neither a number nor a function, or a text that is none.
        """
        as_text("latex", latex)
        one_of("relation", relation, _RELATIONS)
        as_text("reason", reason)
        if not callable(value):
            number = _as_float(value, latex)
            value = lambda: number  # noqa: E731
        self.lines.append(Line(latex, value, _RELATIONS[relation], reason))
        return self

    def values(self) -> list[float]:
        """Evaluates every line anew, each by its own formula."""
        return [_as_float(line.value(), line.latex) for line in self.lines]

    def check(self) -> Derivation:
        """Evaluates all lines and compares each with the line above.

        Returns:
            The derivation itself; as the last expression of a cell it shows its table.

        Raises:
            DerivationError: a line does not hold; the message names it, with both values.
            ValueError: there are fewer than two lines, so that nothing would be checked.
        """
        if len(self.lines) < 2:
            raise ValueError(f"check: expected at least 2 lines to compare, got {len(self.lines)}")
        values = self.values()
        for number, (line, holds) in enumerate(zip(self.lines, self._verdicts(values), strict=True)):
            if not holds:
                above, here = values[max(number - 1, 0)], values[number]
                raise DerivationError(
                    f"{self.title}: line {number + 1} does not hold: {_rounded(above):.6f} {line.relation} "
                    f"{_rounded(here):.6f} is false (difference {above - here:.3g}) at: {line.latex}"
                )
        return self

    def __repr__(self) -> str:
        return f"Derivation({self.title!r}, {len(self.lines)} lines)"

    def rows(self) -> list[Row]:
        """Evaluates every line anew and says which ones hold, without raising."""
        values = self.values()
        return [
            Row(line.relation if number else "", line.latex, line.reason, _rounded(value), holds)
            for number, (line, value, holds) in enumerate(
                zip(self.lines, values, self._verdicts(values), strict=True)
            )
        ]

    def _repr_html_(self) -> str:
        left = 'style="text-align:left"'
        rows = "".join(
            "<tr>"
            f"<td {left}>{row.relation} $\\displaystyle {html.escape(row.latex)}$</td>"
            f"<td {left}>{html.escape(row.reason)}</td>"
            f'<td style="text-align:right">{row.value:.6f}</td>'
            f"<td {left}>{'✓' if row.holds else '✗ does not hold'}</td></tr>"
            for row in self.rows()
        )
        names = ("formula", "reason", f"value ({html.escape(self.unit)})", "holds")
        head = "".join(f"<th {left}>{name}</th>" for name in names)
        return f"<table><caption>{html.escape(self.title)}</caption><tr>{head}</tr>{rows}</table>"

    def _verdicts(self, values: list[float]) -> list[bool]:
        """Whether each line holds; the first one, with none above it, if it is finite."""
        above = [*values[:1], *values]
        return [
            math.isfinite(here) and _HOLDS[line.relation](before - here, self.tolerance)
            for line, before, here in zip(self.lines, above, values, strict=False)
        ]


def _rounded(value: float) -> float:
    """Six decimals by way of nine, so that rounding errors do not decide how a tie is shown."""
    return round(round(value, 9), 6) + 0.0 if math.isfinite(value) else value


def _as_float(value: object, latex: str) -> float:
    try:
        if isinstance(value, str | bytes | bytearray) or np.ma.is_masked(value) or np.iscomplexobj(value):
            raise TypeError
        return float(value)  # type: ignore[arg-type]
    except Exception:  # whatever an object of another library raises when it is asked for a number
        raise TypeError(f"value: expected one number for the line {latex}, got {told(value)}") from None
