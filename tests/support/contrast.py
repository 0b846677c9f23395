"""How well a colour can be read on another one, by WCAG 2."""

from __future__ import annotations

from collections.abc import Sequence

ENOUGH = 4.5  # for text of any size: success criterion 1.4.3
WHITE = (1.0, 1.0, 1.0)


def contrast(ink: Sequence[float], paper: Sequence[float] = WHITE) -> float:
    """The contrast ratio of two colours, each red, green and blue in [0, 1]; from 1 to 21."""
    low, high = sorted((_luminance(ink), _luminance(paper)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: Sequence[float]) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
