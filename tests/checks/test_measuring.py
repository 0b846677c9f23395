"""Measuring: what a function does to the axes of a batch, undone and told."""

import numpy as np
import pytest

from vae_helpers.checks.engine import measuring
from vae_helpers.checks.engine.calling import Failed, Student
from vae_helpers.checks.engine.measuring import (
    BATCH,
    GROWTH,
    PARTLY,
    RANDOM,
    Measurement,
    Sample,
    measure,
    uniform,
)
from vae_helpers.checks.engine.report import Finding

DRAW = uniform((-2, 2), (1, 3))
REDUCED = (
    "Your function gives {what}, {how}; expected one number for each row. The average over the batch comes "
    "later, once, when the loss is formed."
)


def truth(a, b):
    return (a**2 + np.log(b)).sum(axis=-1)


def measured(fn, dims=(3, 5), **options):
    return measure(Student(fn, ("numpy",)), DRAW, dims, **options)


def assert_right(measurement, function=truth, **tolerance):
    """That the values are those of the function at the rows that the measurement names."""
    assert len(measurement.samples) == 2
    for sample, dim in zip(measurement.samples, (3, 5), strict=True):
        assert all(rows.shape[-1] == dim for rows in sample.rows)
        assert np.allclose(sample.values, sample.column(function), **({"rtol": 1e-12} | tolerance))


def codes(measurement):
    return [finding.code for finding in measurement.findings]


# ---- arguments and columns ------------------------------------------------------------------


def test_uniform_arguments_lie_between_their_bounds():
    a, b = uniform((-2, 2), (1, 3))(np.random.default_rng(0), 500, 4)
    assert a.shape == b.shape == (500, 4)
    assert -2 <= a.min() < -1.98 and 1.98 < a.max() <= 2
    assert 1 <= b.min() < 1.01 and 2.99 < b.max() <= 3


def test_a_column_is_the_mean_over_groups():
    rows = (np.arange(12.0).reshape(2, 2, 3), np.ones((2, 2, 3)))
    sample = Sample(rows, np.zeros(2))
    assert sample.errors == 0
    sums = np.array([[3.0, 12], [21, 30]])
    assert np.array_equal(sample.column(lambda a, b: a), sums.mean(axis=1))
    assert np.array_equal(sample.column(lambda a, b: a.sum(-1) ** 2), (sums**2).mean(axis=1))
    with np.errstate(all="raise"):
        assert np.isinf(sample.column(lambda a, b: b / (a - a))).all()


def test_noise_is_the_largest_error():
    assert Measurement().noise == 0.0
    rows = (np.zeros((2, 1, 1)),)
    samples = [Sample(rows, np.zeros(2), np.array([0.1, 0.3])), Sample(rows, np.zeros(2), 0.2)]
    assert Measurement(samples).noise == 0.3
    assert not Measurement(samples).mixes_rows
    assert Measurement(findings=[Finding("shape", ""), Finding("batch-reduced", "")]).mixes_rows


# ---- shapes ---------------------------------------------------------------------------------


def test_one_number_a_row_is_as_it_should_be():
    measurement = measured(truth)
    assert_right(measurement)
    assert measurement.findings == [] and measurement.notes == [] and measurement.noise == 0
    assert measurement.samples[0].rows[0].shape == (BATCH, 1, 3)


@pytest.mark.parametrize(
    "fn, what, how",
    [
        (lambda a, b: truth(a, b).sum(), "a single number", "the sum over the batch"),
        (lambda a, b: truth(a, b).mean(keepdims=True), "a single number", "the mean over the batch"),
        (
            lambda a, b: truth(a, b).mean() / len(a),
            "a single number",
            "the mean over the batch, divided by its size once more",
        ),
        (
            lambda a, b: np.full(len(a), truth(a, b).mean()),
            "the same number for every row",
            "the mean over the batch",
        ),
        (
            lambda a, b: np.full(len(a), truth(a, b).sum()),
            "the same number for every row",
            "the sum over the batch",
        ),
    ],
)
def test_what_is_done_with_a_batch_is_told_and_undone(fn, what, how):
    measurement = measured(fn)
    assert measurement.findings == [Finding("batch-reduced", REDUCED.format(what=what, how=how))]
    assert_right(measurement)
    assert measurement.samples[0].rows[0].shape == (24, 4, 3)
    assert measurement.mixes_rows


def test_a_sum_over_the_batch_alone_is_told_and_undone():
    measurement = measured(lambda a, b: (a**2 + np.log(b)).sum(axis=0))
    how = REDUCED.format(what="one number for each of the 3 latents", how="the sum over the batch")
    shape = "Your result has the shape (3,); expected one number a row, shape (48,)."
    assert measurement.findings == [Finding("batch-reduced", how), Finding("shape", shape)]
    assert_right(measurement)


def test_a_batch_that_is_partly_summed_and_partly_averaged():
    measurement = measured(lambda a, b: (a**2).sum(-1).sum() + np.log(b).sum(-1).mean())
    how = REDUCED.format(what="a single number", how="partly a sum and partly a mean over the batch")
    assert measurement.findings == [Finding("batch-reduced", how)]
    assert_right(measurement)
    assert measurement.samples[0].rows[0].shape == (24, 1, 3)


def test_what_is_made_of_the_whole_batch_in_another_way_has_no_sample():
    rng = np.random.default_rng(0)
    measurement = measured(lambda a, b: rng.standard_normal())
    how = REDUCED.format(what="a single number", how="made from the whole batch")
    assert measurement.samples == [] and measurement.findings == [Finding("batch-reduced", how)]


def test_latents_that_are_not_summed_are_told_and_summed():
    measurement = measured(lambda a, b: a**2 + np.log(b), axis="pixels")
    assert measurement.findings == [
        Finding(
            "shape",
            "For a batch of 48 rows with 3 pixels your result has the shape (48, 3); expected one number a "
            "row, shape (48,). The pixels are not summed.",
        )
    ]
    assert_right(measurement)


@pytest.mark.parametrize(
    "fn, text",
    [
        (
            lambda a, b: truth(a, b)[:, None],
            "For 48 rows with 3 latents your result has the shape (48, 1); expected one number a row, shape "
            "(48,).",
        ),
        (
            lambda a, b: truth(a, b)[None, :],
            "For 48 rows with 3 latents your result has the shape (1, 48); expected one number a row, shape "
            "(48,).",
        ),
    ],
)
def test_an_axis_too_many_is_told_and_dropped(fn, text):
    measurement = measured(fn)
    assert measurement.findings == [Finding("shape", text)]
    assert_right(measurement)


def test_a_shape_that_makes_no_sense_has_no_sample():
    measurement = measured(lambda a, b: np.ones((2, 7)))
    text = (
        "For 48 rows with 3 latents your result has the shape (2, 7); expected one number a row, shape (48,)."
    )
    assert measurement.samples == [] and measurement.findings == [Finding("shape", text)]


def test_an_event_of_one_number_is_not_spoken_of():
    measurement = measured(lambda a, b: np.ones((2, 7)), (1, 1))
    text = "For 48 rows your result has the shape (2, 7); expected one number a row, shape (48,)."
    assert measurement.findings == [Finding("shape", text)]
    text = "For 48 rows your result has the shape (48, 1); expected one number a row, shape (48,)."
    assert measured(lambda a, b: a, (1, 1)).findings == [Finding("shape", text)]


@pytest.mark.parametrize("value, shown", [(0.0, "0"), (1.23456, "1.235")])
def test_what_never_changes_is_told(value, shown):
    measurement = measured(lambda a, b: np.full(len(a), value))
    text = f"Your function gives {shown}, whatever its arguments are."
    assert measurement.samples == [] and measurement.findings == [Finding("unknown", text)]


@pytest.mark.parametrize("infinite", [np.inf, np.nan])
def test_infinite_values_are_no_constant_and_no_noise(infinite):
    measurement = measured(lambda a, b: np.full(len(a), infinite))
    assert len(measurement.samples) == 2 and measurement.findings == []
    assert measurement.notes == [] and measurement.noise == 0.0


# ---- rows that depend on each other, noise --------------------------------------------------


def test_rows_that_mix_in_part_are_told_and_measured_one_by_one():
    measurement = measured(lambda a, b: (a**2).sum(-1) + np.log(b).sum(-1).mean())
    assert measurement.findings == [PARTLY]
    assert_right(measurement)
    assert measurement.samples[0].rows[0].shape == (24, 1, 3)


def test_a_batch_of_one_row_may_be_too_small():
    def fn(a, b):
        if len(a) == 1:
            raise ZeroDivisionError
        return (a**2).sum(-1) + np.log(b).sum(-1).mean()

    measurement = measured(fn)
    assert measurement.samples == [] and measurement.findings == [PARTLY]


def test_a_random_function_is_averaged():
    measurement = measured(lambda a, b: truth(a, b) + 0.1 * np.random.standard_normal(len(a)))  # noqa: NPY002
    assert measurement.notes == [RANDOM] and measurement.findings == []
    # 400 calls: the errors are 0.1/20, known to 1/√800, and the values within 5 of them.
    for sample in measurement.samples:
        assert np.allclose(sample.errors, 0.1 / 20, rtol=6 / np.sqrt(800))
        assert (np.abs(sample.values - sample.column(truth)) < 5 * sample.errors).all()
    assert measurement.noise == pytest.approx(0.1 / 20, rel=0.25)


def test_noise_that_is_the_same_at_each_call_is_averaged_over_copies():
    def fn(a, b):
        return truth(a, b) + 0.1 * np.random.default_rng(0).standard_normal(len(a))

    measurement = measured(fn)
    assert measurement.notes == [RANDOM] and measurement.findings == []
    for sample in measurement.samples:
        assert np.allclose(sample.errors, 0.1 / np.sqrt(BATCH), rtol=5 / np.sqrt(2 * BATCH))
        assert (np.abs(sample.values - sample.column(truth)) < 5 * sample.errors).all()


def test_numbers_of_16_bits_have_errors():
    measurement = measured(lambda a, b: truth(a, b).astype(np.float16))
    for sample in measurement.samples:
        assert np.allclose(sample.errors, 2**-10 * (1 + np.abs(sample.values)))


def test_a_slow_function_is_called_less_often(monkeypatch):
    monkeypatch.setattr(measuring, "SLOW", -1.0)  # everything is slow
    calls = []

    def fn(a, b):
        calls.append(len(a))
        return truth(a, b).mean()

    measurement = measured(fn)
    assert_right(measurement)
    assert measurement.samples[0].rows[0].shape == (7, 4, 3)
    # For each size: the batch, seven groups, two of them joined, and the first once more.
    assert calls == 2 * ([BATCH] + 7 * [4] + [8, 4])


def test_findings_of_the_smaller_event_stand_for_both():
    measurement = measured(lambda a, b: a**2 + np.log(b))
    assert codes(measurement) == ["shape"] and "3 latents" in measurement.findings[0].text


def test_a_function_that_fails_is_not_measured():
    with pytest.raises(Failed):
        measured(lambda a, b: None)


# ---- parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, total",
    [(np.full(4, 3.0), 3.0), (np.full(8, 3.0), 3.0), (np.full(5, 3.0), 15.0), (np.arange(4.0), 6.0),
     (np.array(2.0), 2.0), (np.full((2, 2), 3.0), 12.0)],
)  # fmt: skip
def test_a_reduced_result_as_one_number(value, total):
    assert measuring._total(value) == total


def test_a_mean_has_its_standard_error():
    mean, error = measuring._mean([np.array([1.0, 2.0]), np.array([3.0, 2.0]), np.array([8.0, 2.0])])
    assert mean.tolist() == [4.0, 2.0]
    assert error == pytest.approx([np.sqrt((9 + 1 + 16) / 2 / 3), 0.0])


def test_every_way_to_grow_has_words():
    assert [GROWTH[power] for power in (0, 1)] == ["the mean over the batch", "the sum over the batch"]


# ---- thresholds -----------------------------------------------------------------------------


class _Timed:
    """A student that takes a stated time, and counts its calls."""

    rounding = 0.0

    def __init__(self, fn, seconds):
        self.fn, self.seconds, self.calls = fn, seconds, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.fn(*arguments)


def batches(fn=truth, seconds=0.0, dim=3):
    return measuring._Batches(_Timed(fn, seconds), DRAW, np.random.default_rng(0), dim, "latents")


def test_the_same_rows_are_drawn_each_time():
    first, again = measured(truth), measured(truth)
    for one, other in zip(first.samples, again.samples, strict=True):
        assert np.array_equal(one.values, other.values)
    assert not np.array_equal(first.samples[0].rows[0][:, 0, 0], first.samples[1].rows[0][:, 0, 0])


def test_small_values_are_no_constant():
    measurement = measured(lambda a, b: 1e-3 * truth(a, b))
    assert_right(measurement, lambda a, b: 1e-3 * truth(a, b))


def test_a_slow_function_of_rows_is_called_once_more_at_most(monkeypatch):
    monkeypatch.setattr(measuring, "SLOW", -1.0)
    measurement = measured(truth)
    assert_right(measurement)
    assert measurement.noise == 0.0 and measurement.notes == []


@pytest.mark.parametrize(
    "value, same",
    [
        (np.ones(BATCH), True),
        (np.full(BATCH, 1e12) + np.arange(BATCH), True),
        (np.full(BATCH, 1e-3) + 1e-9 * np.arange(BATCH), False),
        (np.zeros(BATCH), False),
        (np.full(BATCH, np.nan), False),
    ],
)
def test_the_same_number_for_every_row(value, same):
    rows, findings, reduced = batches().by_rows(value)
    assert findings == [] and reduced == ("the same number for every row" if same else "")
    assert rows is None if same else rows is value


def test_shapes_at_the_limits():
    assert batches().by_rows(np.ones((1, 3)))[2] == "one number for each of the 3 latents"
    assert batches().by_rows(np.ones((2, 3)))[2] == ""
    value, (finding,), _ = batches(dim=2).by_rows(np.ones((BATCH, 2)))
    assert value.tolist() == [2.0] * BATCH and finding.text.endswith(" The latents are not summed.")
    assert " with 2 latents " in batches(dim=2).by_rows(np.ones((2, 7)))[1][0].text


@pytest.mark.parametrize("seconds, count", [(1e-3, 400), (2e-3, 40), (0.1, 40)])
def test_quick_functions_are_averaged_over_more_calls(seconds, count):
    rng = np.random.default_rng(0)
    made = batches(lambda a, b: truth(a, b) + rng.standard_normal(len(a)), seconds)
    arguments = DRAW(np.random.default_rng(1), BATCH, 3)
    _, errors = made.average_noise(arguments, truth(*arguments))
    assert made.student.calls == 1 + count
    assert errors.mean() == pytest.approx(1 / np.sqrt(count), rel=0.1)


@pytest.mark.parametrize("off, noisy", [(1e-10, False), (1e-8, True)])
def test_noise_is_more_than_rounding(off, noisy):
    made = batches(lambda a, b: truth(a, b) * (1 + off))
    arguments = DRAW(np.random.default_rng(1), BATCH, 3)
    values = truth(*arguments)
    averaged, errors = made.average_noise(arguments, values)
    assert (averaged is not values) == noisy
    assert noisy or errors == 0.0


@pytest.mark.parametrize(
    "fn, found",
    [
        (truth, ""),
        (lambda a, b: truth(a, b) + truth(a, b).mean(), "follow the others"),
        (lambda a, b: truth(a, b) + np.arange(len(a)), "differ"),
        (lambda a, b: truth(a, b) + np.where(np.arange(len(a)) < 3, truth(a, b).mean(), 0), ""),
        (lambda a, b: np.where(np.arange(len(a)) == 3, np.nan, truth(a, b)), ""),
        (lambda a, b: np.ones((2, 7)), ""),
    ],
)
def test_rows_that_are_copies(fn, found):
    arguments = DRAW(np.random.default_rng(1), BATCH, 3)
    values = fn(*arguments)
    assert batches(fn).twins(arguments, values if values.ndim == 1 else truth(*arguments)) == found


@pytest.mark.parametrize("seconds, count", [(0.1, 24), (0.2, 7), (0.3, 7)])
def test_slow_functions_are_given_fewer_rows(seconds, count):
    made = batches(seconds=seconds)
    sample = made.one_by_one()
    assert sample.values.shape == (count,) and made.student.calls == count
    sample, how = batches(lambda a, b: truth(a, b).sum(), seconds).grouped()
    assert sample.values.shape == (count,) and how == "the sum over the batch"


def test_a_function_that_takes_no_small_batches():
    def fn(a, b):
        raise Failed(Finding("error", ""))

    assert batches(fn).grouped() == (None, "made from the whole batch")
