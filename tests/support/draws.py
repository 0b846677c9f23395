"""What every Monte Carlo test rests on: how often it would raise a false alarm, and what it would see.

One such test: `assert_mean(values, truth, sees=0.01)`. With fresh random numbers it would refuse a right mean
once in a million runs, and miss one that is off by 0.01 once in a thousand; that the draws suffice for this
is asserted too. (After `tfp.distributions`' `statistical_testing`, which asks for the same three numbers.)
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import stats

FALSE_ALARM = 1e-6
MISS = 1e-3


def assert_mean(values: ArrayLike, truth: ArrayLike, sees: ArrayLike, sided: str = "both") -> None:
    """Asserts that independent draws have this mean, and that there are enough to see one that is off.

    Args:
        values: draws along the first axis, (n, ...); tensors too.
        truth: the mean that they should have, (...).
        sees: the deviation that is missed with the probability `MISS`, (...).
        sided: "both", or "above" where a mean below `truth` is right too.
    """
    values = _array(values)
    assert_near(values.mean(axis=0), stats.sem(values, axis=0), truth, sees, len(values), sided)


def assert_near(
    mean: ArrayLike, error: ArrayLike, truth: ArrayLike, sees: ArrayLike, count: int, sided: str = "both"
) -> None:
    """Asserts what `assert_mean` does of a mean of `count` draws, with its standard error."""
    mean, error, truth, sees = (_array(value) for value in (mean, error, truth, sees))
    room, needed = rooms(count)
    apart = np.abs(mean - truth) if sided == "both" else mean - truth
    seen = needed * error
    assert np.all(seen <= sees), f"{count} draws see a deviation of {seen.max():.3g}, not of {sees.min():.3g}"
    rounding = 1e-12 * np.maximum(np.abs(truth), 1)  # draws that are all alike have no other error
    assert np.all(apart <= room * error + rounding), (
        f"{np.max(apart / np.maximum(error, rounding)):.1f} standard errors apart, where {room:.1f} are room"
    )


def rooms(count: int) -> tuple[float, float]:
    """Standard errors at which a mean of so many draws is refused, and from which on it is seen."""
    room = stats.t(count - 1).isf(FALSE_ALARM / 2)
    return room, room + stats.t(count - 1).isf(MISS)


def _array(value: ArrayLike) -> np.ndarray:
    return np.asarray(value.detach() if isinstance(value, torch.Tensor) else value, dtype=float)
