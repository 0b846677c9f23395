"""A share of the long run of estimates, and that the assertion of all Monte Carlo tests sees what it says."""

import numpy as np
import pytest
from scipy import stats
from support.draws import FALSE_ALARM, MISS, assert_mean, rooms

from trust import estimators

COUNT = 200


def draws(shift, seed=0):
    return np.random.default_rng(seed).standard_normal(COUNT) + shift


def test_a_mean_that_is_off_by_what_is_seen_is_refused():
    seen = rooms(COUNT)[1] / np.sqrt(COUNT)
    assert_mean(draws(0), 0, sees=1.2 * seen)
    with pytest.raises(AssertionError, match="standard errors apart, where 5.0 are room"):
        assert_mean(draws(1.2 * seen), 0, sees=1.2 * seen)
    with pytest.raises(AssertionError, match="200 draws see a deviation of 0.5"):
        assert_mean(draws(0), 0, sees=0.5 * seen)
    assert_mean(draws(-1), 0, sees=1.2 * seen, sided="above")
    assert_mean(np.full(COUNT, 0.1), 0.1, sees=1e-9)


@pytest.mark.parametrize("count", [20, COUNT])
def test_the_rates_are_those_of_the_t_test(count):
    room, seen = rooms(count)
    assert 2 * stats.t(count - 1).sf(room) == pytest.approx(FALSE_ALARM)
    if count == COUNT:  # with few draws the spread is known too badly
        assert stats.nct(count - 1, seen).cdf(room) == pytest.approx(MISS, rel=0.6)


def test_a_share_of_the_long_run_finds_nothing():
    for row in estimators.rows(0.02):
        assert row.tried > 0 and row.failed == 0, row.line()
