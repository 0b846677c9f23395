"""The button that trains: what it records, shows and stops, with trainings of a few milliseconds."""

import base64
import io
import threading
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from support.worlds import generator, small_images, small_vae

from vae_helpers.models.training import fit
from vae_helpers.widgets import live_training, numbers, pictures, plot, slider, stage, stops
from vae_helpers.widgets.live_training import draw_losses, loss_limits, train_live

ALT = "The -ELBO of each step falls."
LIMIT = 30  # seconds that a training of milliseconds may take on a busy machine


class Endless:
    """A training that goes on until it is told to stop, and says when it has begun."""

    def __init__(self):
        self.begun, self.calls = threading.Event(), 0

    def __call__(self, on_step, d=0):
        self.calls += 1
        step = 0
        while not on_step(step + 1, 10**6, 200.0 - step):
            step += 1
            self.begun.set()
        return {"d": d, "steps": step + 1}


def train_briefly(on_step, d=3):
    for step in range(200):
        on_step(step + 1, 200, float(200 - step))
    return d


def button(live, name):
    """The start or the stop button, as a reader finds it."""
    row = next(child for child in live.children if live._start in getattr(child, "children", ()))
    (one,) = (b for b in row.children if b.description == name)
    return one


def status(live):
    return live._status.value


def wait(live):
    live._thread.join(LIMIT)
    assert not live.running


def test_a_training_from_the_click_to_the_result():
    seen = []

    def report_result(result, d):
        seen.append((result, d))
        return {"result": result}

    controls = {"d": stops("latents", 3, [1, 2, 3, 5])}
    live = train_live(train_briefly, numbers(report_result), alt=ALT, losses=[150, 100], **controls)
    assert live.losses == [150, 100] and live.result is None and not live.running
    assert status(live) == "not trained yet" and live._results.layout.display == "none"
    first = live._curve.png
    controls["d"].input.value = 5
    button(live, "train it live").click()
    wait(live)
    assert live.losses == [float(200 - step) for step in range(200)] and live.result == 5
    assert seen == [(5, 5)] and live._views[0].text == "result 5.000 nats"
    assert live._results.layout.display == "" and live._bar.value == 1.0
    assert status(live).startswith("done step 200, ")
    assert "<b>10.5 nats</b>" in status(live)  # the mean of 20, 19, …, 1
    assert live._curve.png != first and live._curve._image.value == live._curve.png
    assert (live._start.disabled, live._halt.disabled) == (False, True)


def test_stop_ends_the_training_and_a_second_start_meanwhile_is_ignored():
    train = Endless()
    live = train_live(train, alt=ALT, d=slider("d", 2, 1, 5, 1))
    start, halt = button(live, "train it live"), button(live, "stop")
    assert (start.disabled, halt.disabled) == (False, True)
    start.click()
    assert train.begun.wait(LIMIT)
    assert live.running and (start.disabled, halt.disabled) == (True, False)
    thread = live._thread
    start.click()
    live.start()
    assert live._thread is thread and train.calls == 1
    halt.click()
    wait(live)
    assert (start.disabled, halt.disabled) == (False, True)
    assert live.result == {"d": 2, "steps": len(live.losses)}
    assert status(live).startswith(f"stopped step {len(live.losses)}, ")
    assert 0 < live._bar.value < 1
    train.begun.clear()
    live.start()  # and again, from the beginning
    assert train.begun.wait(LIMIT)
    live.stop()
    wait(live)
    assert train.calls == 2 and live.losses[0] == 200.0


def test_starting_at_the_very_moment_a_training_ends_works():
    train = Endless()
    live = train_live(train_briefly, alt=ALT)
    live._start.observe(lambda change: change.new or time.sleep(0.2), "disabled")  # before the stop button
    live.start()
    while live._start.disabled:
        time.sleep(0.001)
    assert live.running  # its thread has not come to its end yet
    live._train = train
    live.start()
    assert train.begun.wait(LIMIT)
    time.sleep(0.3)
    assert (live._start.disabled, live._halt.disabled) == (True, False)
    live.stop()
    wait(live)


def test_controls_keep_their_value_of_the_start():
    train = Endless()
    control = slider("d", 2, 1, 5, 1)
    live = train_live(train, alt=ALT, d=control)
    live.start()
    assert train.begun.wait(LIMIT)
    control.input.value = 4
    live.stop()
    wait(live)
    assert live.result["d"] == 2


def test_an_error_is_shown_escaped_and_the_button_works_again():
    broken = [True]

    def train(on_step):
        on_step(1, 2, 100.0)
        if broken:
            raise FloatingPointError("the loss became <nan> & more")
        return 7

    live = train_live(train, alt=ALT)
    live.start()
    wait(live)
    assert "FloatingPointError: the loss became &lt;nan&gt; &amp; more" in status(live)
    assert (live._start.disabled, live._halt.disabled) == (False, True)
    assert live.result is None and live._results.layout.display == "none"
    broken.clear()
    live.start()
    wait(live)
    assert status(live).startswith("done") and live.result == 7


def test_an_error_of_a_view_is_shown_too():
    def report_result(result):
        raise KeyError("nothing of this name")

    live = train_live(train_briefly, numbers(report_result), alt=ALT)
    live.start()
    wait(live)
    assert "KeyError: &#x27;nothing of this name&#x27;" in status(live) and live.result == 3


def test_a_training_of_no_step_says_so_without_a_warning(recwarn):
    live = train_live(lambda on_step: 1, alt=ALT)
    live.start()
    wait(live)
    assert status(live).startswith("done step 0, ") and not recwarn.list


def test_progress_is_shown_now_and_then_but_not_at_each_step(monkeypatch):
    live = train_live(train_briefly, alt=ALT)
    shown = []
    monkeypatch.setattr(live, "_show", lambda words, share, seconds: shown.append((words, share)))
    monkeypatch.setattr(live_training, "_EVERY", 1e6)
    live.start()
    wait(live)
    assert shown[-1] == ("done step 200", 1.0) and len(shown) <= 2
    shown.clear()
    monkeypatch.setattr(live_training, "_EVERY", -1.0)
    live.start()
    wait(live)
    each = [(f"step {step} of 200", step / 200) for step in range(1, 201)]
    assert shown == [*each, ("done step 200", 1.0)]


def test_a_cell_run_again_stops_the_training_and_leaves_no_widget_behind():
    endless, before = Endless(), len(_instances)

    def train(on_step, d):
        endless(on_step)
        time.sleep(0.2)  # as a step that takes long

    def again():
        return train_live(train, alt=ALT, d=slider("d", 2, 1, 5, 1))

    first = again()
    count = len(_instances)
    first.start()
    assert endless.begun.wait(LIMIT) and first.running
    for _ in range(5):
        last = again()
        assert not first.running and first.comm is None and len(_instances) == count
    stage.ON_STAGE.pop("train_live train").close_all()
    assert last.comm is None and len(_instances) == before


def test_what_is_no_control_is_refused():
    with pytest.raises(TypeError, match=r"^d: expected slider\(…\), stops\(…\) or choice\(…\), got int"):
        train_live(train_briefly, alt=ALT, d=3)
    with pytest.raises(ValueError, match="^alt: expected"):
        train_live(train_briefly, alt="")


def test_it_trains_a_model_and_stops_it():
    def train(on_step, d):
        model = small_vae(latent_dim=d)
        options = {"batch_size": 10, "progress": False, "generator": generator(2)}
        return model, fit(model, small_images(), 3, on_step=on_step, **options)

    live = train_live(train, alt=ALT, d=stops("latents", 2, [1, 2]))
    live.start()
    wait(live)
    model, history = live.result
    assert model.latent_dim == 2 and not model.training and len(live.losses) == 12
    assert np.reshape(live.losses, (3, 4)).mean(axis=1).tolist() == pytest.approx(history.train)
    again, _ = train(None, 2)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters(), strict=True))
    live._stop.set()
    live._run({"d": 1})  # in this thread: stopped from the first step on
    assert len(live.losses) == 1 and len(live.result[1].train) == 1 and live.result[0].latent_dim == 1


def test_output_holds_a_still_picture_and_no_widget():
    result = pictures(lambda result: np.zeros((1, 1, 2, 2)), alt="Digits.")
    live = train_live(train_briefly, result, alt=ALT, losses=range(200, 100, -1))
    data, metadata = live._repr_mimebundle_(include=None)
    assert set(data) == {"text/plain", "text/html", "image/png"}
    assert data["text/plain"] == "a button that trains the chosen model"
    assert metadata == {"image/png": {"alt": ALT}}  # the digits are still to come
    assert plt.imread(io.BytesIO(base64.b64decode(data["image/png"]))).shape[:2] == (
        stage.BADGE_HEIGHT + 320,
        880,
    )
    assert live._stage.view == live.model_id and live._stage.alts == [ALT, "Digits."]


@pytest.mark.parametrize("n", [0, 1, 99, 100, 350])
def test_the_curve_and_its_mean(n):
    losses = np.random.default_rng(0).normal(120, 20, n).tolist()
    view = plot(lambda ax: draw_losses(ax, losses), alt=ALT)
    view.update({})
    (ax,) = view._axes
    if n == 0:
        assert not ax.lines and ax.get_xlim() == (0, 1000)
        return
    each, mean = ax.lines
    np.testing.assert_array_equal(each.get_ydata(), losses)
    expected = [np.mean(losses[max(0, i - 20) : i]) for i in range(1, n + 1)]
    np.testing.assert_allclose(mean.get_ydata(), expected, rtol=1e-12)
    assert list(mean.get_xdata()) == list(range(1, n + 1)) and ax.get_xlim() == (0, max(100, n))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["each step", "mean of 20 steps"]


# --- the axis of the curve ---------------------------------------------------------------


def falling(first, last, noise, num_steps=600):
    """-ELBO of each step of a training, in nats per image."""
    rng = np.random.default_rng(0)
    fall = (first - last) * np.exp(-np.arange(num_steps) / 100)
    return (last + fall + rng.normal(0, noise, num_steps)).tolist()


DIGITS = falling(206, 100, 3)
CURVES = {
    "Bernoulli pixels": DIGITS,
    "Bernoulli pixels, from one bit a pixel on": falling(784 * np.log(2), 100, 3),
    "Gaussian pixels": falling(104, -130, 5),
    "Gaussian pixels with little noise": falling(740, -850, 30),
    "Gaussian pixels, negative from the start": falling(-400, -1100, 20),
    "one pixel": falling(2.5, 1.4, 0.1),
    "near zero at the start": falling(0.5, -1000, 20),
}
each_curve = pytest.mark.parametrize("losses", CURVES.values(), ids=CURVES)
MAX_CHANGES = {"near zero at the start": 20}  # with no size to go by


@each_curve
def test_every_loss_is_on_the_axis(losses):
    for n in range(1, len(losses) + 1):
        low, high = loss_limits(losses[:n])
        assert low <= min(losses[:n]) and max(losses[:n]) <= high


@pytest.mark.parametrize("name", CURVES)
def test_the_axis_changes_a_few_times_in_a_training(name):
    limits = [loss_limits(CURVES[name][:n]) for n in range(1, 601)]
    changes = sum(one != other for one, other in zip(limits, limits[1:], strict=False))
    assert changes <= MAX_CHANGES.get(name, 5)


@each_curve
def test_the_curve_takes_a_good_part_of_the_axis(losses):
    low, high = loss_limits(losses)
    assert (max(losses) - min(losses)) / (high - low) > 0.45


def test_the_axis_of_digits_is_the_same_from_the_empty_curve_to_the_end():
    assert {loss_limits(DIGITS[:n]) for n in range(601)} == {(80, 220)}


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_no_number_leaves_the_axis(odd):
    assert loss_limits([*DIGITS, odd]) == loss_limits([odd, *DIGITS]) == (80, 220)
    assert loss_limits([odd]) == loss_limits([])


@pytest.mark.parametrize("one", [np.array(2.0), torch.tensor(2.0)])
def test_one_number_is_no_curve(one):
    with pytest.raises(ValueError, match=r"^losses: expected one number a step, got shape \(\)"):
        train_live(lambda on_step: None, alt=ALT, losses=one)


def test_longer_numbers_get_the_room_that_they_need():
    def train(on_step):
        for step, loss in enumerate(CURVES["Gaussian pixels"]):
            on_step(step + 1, 600, 1000 * loss)

    live = train_live(train, alt=ALT, losses=DIGITS)
    live.start()
    wait(live)
    (ax,) = live._curve._axes
    assert ax.get_ylim()[0] < -130_000
    assert ax.yaxis.label.get_window_extent().x0 >= 0
    assert "<b>−13" in status(live)
