"""Training by what it does to weights, curves and random state, and what an interruption leaves of it."""

import copy
import ctypes
import dataclasses
import errno
import inspect
import math
import os
import sys
import types
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from support.draws import assert_mean
from support.worlds import (
    EACH_LIKELIHOOD,
    PRIOR,
    all_weights,
    approximate_posterior,
    generator,
    small_images,
    small_vae,
)
from torch.distributions import kl_divergence

from vae_helpers.models import VAE, elbo, fit, mean_elbo, observed, storage, training
from vae_helpers.models.storage import Checkpoint
from vae_helpers.models.training import OPTIMIZERS, Settings, where_to_train
from vae_helpers.shipped import load_mnist


def quiet_fit(model, images, epochs=2, **options):
    # Single precision, so that a test says the same on every processor.
    defaults = {"progress": False, "generator": generator(2), "batch_size": 10, "precision": torch.float32}
    return fit(model, images, epochs, **defaults | options)


class Interrupt:
    """Ctrl-C after so many steps."""

    def __init__(self, step):
        self.step = step

    def __call__(self, done, total, loss):
        if done == self.step:
            raise KeyboardInterrupt


def spy(monkeypatch, name):
    """Records the arguments of a function that `training` calls, by name."""
    function, calls = getattr(training, name), []
    signature = inspect.signature(function)

    def recording(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        calls.append(bound.arguments)
        return function(*args, **kwargs)

    monkeypatch.setattr(training, name, recording)
    return calls


@pytest.fixture(scope="module")
def digits():
    images, _ = load_mnist("test")
    return images[:800], images[800:1000]


@EACH_LIKELIHOOD
def test_fit_lowers_the_loss_on_digits(digits, likelihood):
    images, test_images = digits
    model = VAE(5, 32, likelihood, generator=generator())
    start = copy.deepcopy(model)
    start.set_output_bias(images)
    x = observed(start, test_images, 0)
    before = -mean_elbo(start, x, generator())[0]
    history = quiet_fit(model, images, 2, test_images=test_images, batch_size=40, learning_rate=1e-2)
    assert len(history.train) == len(history.test) == 2
    assert history.train[1] < history.train[0]
    # Better than the mean image by far more than the noise of the draws, which is below 1 nat.
    assert history.test[1] < before - 4
    assert -mean_elbo(model, x, generator())[0] == pytest.approx(history.test[1], abs=3)


@EACH_LIKELIHOOD
@pytest.mark.parametrize("with_test", [False, True])
def test_history_has_one_finite_number_an_epoch(likelihood, with_test):
    test_images = small_images(7) if with_test else None
    history = quiet_fit(small_vae(likelihood), small_images(), 3, test_images=test_images, beta=0.3)
    assert len(history.train) == 3
    curves = (history.test, history.test_log_likelihood, history.test_kl)
    assert [len(curve) for curve in curves] == [3 * with_test] * 3
    numbers = [number for curve in (history.train, *curves) for number in curve]
    assert all(type(number) is float and math.isfinite(number) for number in numbers)
    for total, log_likelihood, kl in zip(*curves, strict=True):
        assert total == pytest.approx(-(log_likelihood - 0.3 * kl), rel=1e-6)


def test_train_curve_is_the_loss_in_nats_per_image():
    # A learning rate of next to nothing: every epoch is a fresh estimate of one number.
    model, images = small_vae("gaussian"), small_images(200)
    history = quiet_fit(model, images, 20, learning_rate=1e-12)
    with torch.no_grad():
        expected = -elbo(model, images, num_samples=500, generator=generator()).elbo.mean().item()
    assert_mean(history.train, expected, sees=0.2 * abs(expected))


@pytest.mark.parametrize("epochs, n", [(10, 10), (5, 20), (1, 10), (1, 3), (9, 10), (20, 10)])
def test_a_schedule_may_have_few_steps(epochs, n):
    # Ten steps in all made PyTorch's OneCycleLR divide by zero.
    history = quiet_fit(small_vae(), small_images(n), epochs, batch_size=10)
    assert len(history.train) == epochs and all(map(math.isfinite, history.train))


@pytest.mark.parametrize("optimizer, kinds", [("adam", ["Adam"]), ("muon", ["Muon", "Adam"])])
def test_learning_rate_rises_to_its_peak_and_falls_to_zero(monkeypatch, optimizer, kinds):
    told = {kind: [] for kind in kinds}
    for kind in kinds:
        plain = getattr(torch.optim, kind).step

        def recording(self, *args, step=plain, rates=told[kind], **kwargs):
            assert self.param_groups[0]["weight_decay"] == 0
            rates.append(self.param_groups[0]["lr"])
            return step(self, *args, **kwargs)

        monkeypatch.setattr(getattr(torch.optim, kind), "step", recording)
    quiet_fit(small_vae(), small_images(), 25, learning_rate=0.01, optimizer=optimizer)
    rates = told["Adam"]
    assert all(others == rates for others in told.values())
    peak = int(np.argmax(rates))
    assert len(rates) == 100 and 8 <= peak <= 10
    assert max(rates) == pytest.approx(0.01, rel=1e-2)
    assert all(a < b for a, b in pairwise(rates[: peak + 1]))
    assert all(a > b for a, b in pairwise(rates[peak:]))
    assert rates[-1] == pytest.approx(0.01 / 90)  # the last of 90 steps to zero


def test_every_epoch_takes_every_image_once_in_a_new_order(monkeypatch):
    calls = spy(monkeypatch, "elbo")
    images = small_images(40)
    quiet_fit(small_vae("gaussian"), images, 2)
    assert [call["x"].shape for call in calls] == [(10, 6)] * 8
    epochs = [torch.cat([call["x"] for call in half]) for half in (calls[:4], calls[4:])]
    for seen in epochs:
        assert sorted(seen.tolist()) == sorted(images.tolist())
    assert not torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[0], images)


def test_each_epoch_binarizes_anew_from_the_grey_values(monkeypatch):
    calls = spy(monkeypatch, "elbo")
    images = torch.full((400, 6), 0.25)
    quiet_fit(small_vae(), images, 3, batch_size=400)
    epochs = [call["x"] for call in calls]
    # The order is shuffled, so compare how many ones each pixel has.
    assert len({tuple(x.sum(dim=0).tolist()) for x in epochs}) == 3
    for x in epochs:
        assert x.unique().tolist() == [0, 1]
        # 2400 coins with p = ¼; 5 standard errors see a share that is off by 0.044.
        assert x.mean().item() == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 2400))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_grey_values_are_trained_and_tested_on_where_nothing_is_binarized(monkeypatch, likelihood):
    trained, tested = spy(monkeypatch, "elbo"), spy(monkeypatch, "mean_elbo")
    images, test_images = small_images(10), small_images(9)
    model = small_vae(likelihood)
    quiet_fit(model, images, 2, batch_size=10, binarize=False, test_images=test_images)
    assert torch.equal(tested[0]["x"], test_images)
    in_training = [call["x"] for call in trained if len(call["x"]) == 10]
    assert len(in_training) == 2
    for x in in_training:
        assert sorted(x.tolist()) == sorted(images.tolist())


def test_test_images_are_the_same_zeros_and_ones_in_every_epoch_and_run(monkeypatch):
    calls = spy(monkeypatch, "mean_elbo")
    for seed in (2, 3):
        quiet_fit(small_vae(), small_images(), 2, test_images=small_images(9), generator=generator(seed))
    first = calls[0]["x"]
    assert len(calls) == 4 and first.unique().tolist() == [0, 1]
    assert all(torch.equal(call["x"], first) for call in calls)


def test_test_noise_is_the_same_in_every_epoch():
    history = quiet_fit(small_vae(), small_images(), 3, test_images=small_images(9), learning_rate=1e-12)
    assert max(history.test) - min(history.test) < 1e-5 < max(history.train) - min(history.train)


def test_evaluating_does_not_change_the_training():
    models = [small_vae() for _ in range(2)]
    for model, test_images in zip(models, (None, small_images(9)), strict=True):
        quiet_fit(model, small_images(), test_images=test_images)
    assert torch.equal(*map(all_weights, models))


def test_beta_reaches_the_loss():
    kl = {}
    for beta in (0.0, 20.0):
        history = quiet_fit(small_vae(), small_images(400), 5, beta=beta, test_images=small_images())
        kl[beta] = history.test_kl[-1]
    assert kl[20.0] < 0.1 * kl[0.0]


@pytest.mark.parametrize(
    "warmup, expected",
    [(0.0, [2.0] * 8), (0.5, [0.0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0]), (0.25, [0.0, 1.0] + [2.0] * 6)],
)
def test_warmup_raises_the_weight_of_the_kl_in_the_loss(monkeypatch, warmup, expected):
    weights = []

    def with_hook(*args, **kwargs):
        result = elbo(*args, **kwargs)
        result.kl.register_hook(lambda gradient: weights.append(gradient.sum().item()))
        return result

    monkeypatch.setattr(training, "elbo", with_hook)
    quiet_fit(small_vae(), small_images(40), 2, beta=2.0, warmup=warmup)
    assert weights == pytest.approx(expected, abs=1e-6)


def _gradient_of_log_vars(free_bits, log_var):
    """The first gradient of the loss by the encoder's log-variances, which are the same for all images."""
    model = small_vae()
    with torch.no_grad():
        model.encoder[-1].weight.zero_()
        model.encoder[-1].bias.copy_(torch.tensor([0.0, 0.0, *log_var]))
        model.decoder[0].weight.zero_()  # the likelihood does not see z
    seen = []

    def stop(done, total, loss):
        seen.append(model.encoder[-1].bias.grad[2:].clone())
        return True

    quiet_fit(model, small_images(), warmup=0.0, free_bits=free_bits, on_step=stop)
    return seen[0]


def test_free_bits_press_no_latent_below_them():
    log_var = (-1.0, -3.0)  # KL ½ (exp(v) - 1 - v): 0.18 and 1.02 nats
    slopes = [0.5 * (math.exp(v) - 1) for v in log_var]
    for free_bits, expected in [(0.0, slopes), (0.1, slopes), (0.5, [0.0, slopes[1]]), (1.5, [0.0, 0.0])]:
        gradient = _gradient_of_log_vars(free_bits, log_var)
        assert gradient.tolist() == pytest.approx(expected, abs=1e-6)


def test_free_bits_have_the_gradient_of_a_second_encoding():
    """One pass gives what the former formula gave, whose KL of each latent came from a pass of its own."""
    free_bits, beta, images = 0.5, 0.7, small_images(10).double()
    model = small_vae("gaussian", latent_dim=3).double()
    twin, seen = copy.deepcopy(model), []

    def stop(done, total, loss):
        seen.extend(weight.grad.clone() for weight in model.parameters())
        return True

    options = {"beta": beta, "warmup": 0.0, "free_bits": free_bits, "init_bias": False}
    quiet_fit(model, images, on_step=stop, **options)
    stream = generator(2)
    x = images[torch.randperm(10, generator=stream)]
    parts = elbo(twin, x, generator=stream)
    kl = kl_divergence(approximate_posterior(twin, x), PRIOR).mean(dim=0)
    assert (kl < free_bits).any() and (kl > free_bits).any(), "latents on both sides, or nothing is shown"
    loss = -(parts.log_likelihood - beta * kl.clamp(min=free_bits).sum()).mean()
    expected = torch.autograd.grad(loss, list(twin.parameters()))
    torch.testing.assert_close(seen, list(expected), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"free_bits": 0.5}, {"warmup": 0.0, "num_samples": 3}])
def test_a_step_encodes_its_images_once(options):
    model, passes = small_vae(), []
    model.encoder.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
    quiet_fit(model, small_images(), 2, **options)
    assert passes == [10] * 8


def test_curves_speak_of_the_elbo_also_with_free_bits():
    options = {"learning_rate": 1e-12, "test_images": small_images(9)}
    plain, free = (quiet_fit(small_vae(), small_images(), **options, free_bits=b) for b in (0.0, 3.0))
    assert free.train == pytest.approx(plain.train, rel=1e-5)
    assert free.test == pytest.approx(plain.test, rel=1e-5)


def test_training_on_the_importance_weighted_bound_learns(monkeypatch):
    calls = spy(monkeypatch, "iwae_for_training")
    images = small_images(2).round().repeat(20, 1)  # two patterns, which can be learnt
    history = quiet_fit(small_vae(), images, 30, warmup=0.0, num_samples=4, learning_rate=0.02)
    assert {call["num_samples"] for call in calls} == {4} and len(calls) == 30 * 4
    assert history.train[-1] < history.train[0] - 0.5


@pytest.mark.parametrize("options", [{"beta": 2.0, "warmup": 0.0}, {"warmup": 0.2}, {"free_bits": 0.1}])
def test_the_importance_weighted_bound_has_no_weight_on_the_kl(options):
    with pytest.raises(ValueError, match="^num_samples: expected beta = 1, warmup = 0 and free_bits = 0"):
        quiet_fit(small_vae(), small_images(), **options, num_samples=2)


@pytest.mark.parametrize("options", [{}, {"warmup": 0.0, "num_samples": 2}])
def test_half_precision_is_that_of_the_matrix_products_alone(digits, options):
    full, half = (VAE(2, hidden_dim=16, generator=generator()) for _ in range(2))
    precise = quiet_fit(full, digits[0], 3, batch_size=50, **options)
    rough = quiet_fit(half, digits[0], 3, batch_size=50, **options, precision=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    assert rough.train == pytest.approx(precise.train, rel=0.01) and rough.train != precise.train
    assert torch.equal(half.decode(torch.ones(1, 2)), half.decoder(torch.ones(1, 2)))


@pytest.mark.parametrize(
    "capabilities, expected",
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False}, torch.float32),
        ({"avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_products_are_in_half_precision_where_the_processor_has_it(monkeypatch, capabilities, expected):
    calls = spy(monkeypatch, "Settings")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    quiet_fit(small_vae(), small_images(), precision=None)
    assert [call["precision"] for call in calls] == [expected]


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("end", ["done", "interrupted"])
def test_tiny_numbers_are_zero_while_training_and_after_it_as_before(before, end):
    def half_of_tiny():
        return torch.tensor(2e-39).mul(0.5).item()

    seen = []

    def look(done, total, loss):
        seen.append(half_of_tiny())
        if end == "interrupted":
            raise KeyboardInterrupt

    torch.set_flush_denormal(before)
    try:
        with nullcontext() if end == "done" else pytest.raises(KeyboardInterrupt):
            quiet_fit(small_vae(), small_images(), on_step=look)
        assert not any(seen) and (half_of_tiny() == 0) is before
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_memory_is_kept_where_the_system_can_be_asked_to(monkeypatch, system):
    asked = []
    library = types.SimpleNamespace(mallopt=lambda *option: asked.append(option))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(sys, "platform", system)
    quiet_fit(small_vae(), small_images())
    assert (len(asked) == 2) is (system == "linux")


def test_a_library_of_linux_that_cannot_keep_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: types.SimpleNamespace())
    quiet_fit(small_vae(), small_images())


def test_numbers_are_looked_at_again_after_a_training_that_failed():
    model = small_vae()
    with pytest.raises(FloatingPointError):
        quiet_fit(model, small_images(), learning_rate=1e30)
    with pytest.raises(ValueError, match="^x: expected finite"):
        small_vae().encode(torch.full((1, 6), math.nan))


def test_a_model_on_the_processor_is_trained_on_the_accelerator_if_there_is_one(monkeypatch):
    assert where_to_train(small_vae()) == torch.device("cpu")  # where the tests run
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda check_available: torch.device("meta")
    )
    assert where_to_train(small_vae()) == torch.device("meta")
    assert where_to_train(small_vae().to("meta")) == torch.device("meta")
    for asked in ("cpu", torch.device("cpu")):
        assert where_to_train(small_vae(), asked) == torch.device("cpu")


def test_a_training_elsewhere_has_a_stream_of_its_own_that_follows_the_callers(monkeypatch):
    # Another name of the processor stands for an accelerator.
    monkeypatch.setattr(training, "where_to_train", lambda model, device: torch.device("cpu:0"))
    models, streams = [small_vae() for _ in range(3)], [generator(2), generator(2), generator(3)]
    for model, stream in zip(models, streams, strict=True):
        quiet_fit(model, small_images(), test_images=small_images(5), generator=stream)
    first, same, other = map(all_weights, models)
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert next(models[0].parameters()).device == torch.device("cpu") and not models[0].training
    assert torch.equal(streams[0].get_state(), streams[1].get_state())
    assert not torch.equal(streams[0].get_state(), generator(2).get_state())


def test_muon_moves_each_matrix_by_the_polar_factor_of_its_gradient():
    models = {name: small_vae("gaussian") for name in ("start", "adam", "muon")}
    options = {"learning_rate": 0.025, "warmup": 0.0, "on_step": lambda *_: True}
    for name in ("adam", "muon"):  # the first of many steps, by a 25th of the peak
        quiet_fit(models[name], small_images(10), 100, optimizer=name, **options)
    start = models["start"]
    start.set_output_bias(small_images(10))
    stream = generator(2)
    order = torch.randperm(10, generator=stream)
    (-elbo(start, small_images(10)[order], generator=stream).elbo.mean()).backward()
    for before, muon, adam in zip(*(models[n].parameters() for n in ("start", "muon", "adam")), strict=True):
        if before.ndim == 2:
            left, size, right = torch.linalg.svd(before.grad, full_matrices=False)
            moved = left.T @ (muon - before) @ right.T / (-0.001 * 0.2 * math.sqrt(max(before.shape)))
            moved = moved[size > 0.02 * size[0]][:, size > 0.02 * size[0]]
            # The iteration behind it brings the singular values near one, not to it.
            assert torch.all((moved.diag() > 0.5) & (moved.diag() < 1.5))
            assert (moved - moved.diag().diag()).abs().max() < 0.1
        else:
            assert torch.equal(muon, adam)


def test_each_epoch_has_its_seconds():
    history = quiet_fit(small_vae(), small_images(), 3)
    assert len(history.seconds) == 3 and all(s > 0 for s in history.seconds)


def test_curves_speak_of_the_full_beta_also_during_warmup():
    options = {"learning_rate": 1e-12, "beta": 2.0, "test_images": small_images(9)}
    plain, warm = (quiet_fit(small_vae(), small_images(), **options, warmup=w) for w in (0.0, 0.9))
    assert warm.train == pytest.approx(plain.train, rel=1e-5)
    assert warm.test == pytest.approx(plain.test, rel=1e-5)


@EACH_LIKELIHOOD
def test_training_follows_its_generator_bit_by_bit(likelihood):
    torch.manual_seed(8)
    state = torch.get_rng_state()
    models = [small_vae(likelihood) for _ in range(4)]
    for model, seed in zip(models, (2, 2, 3, None), strict=True):
        quiet_fit(model, small_images(), generator=None if seed is None else generator(seed))
    assert torch.equal(torch.get_rng_state(), state)
    first, again, other, fresh = map(all_weights, models)
    assert torch.equal(first, again)
    assert not torch.equal(first, other) and not torch.equal(first, fresh)


def test_all_parameters_move_and_no_gradient_leaks():
    model, images, test_images = small_vae("gaussian"), small_images(), small_images(5)
    before = copy.deepcopy(model.state_dict())
    kept = images.clone()
    quiet_fit(model, images, test_images=test_images)
    assert not any(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())
    assert torch.is_grad_enabled() and not images.requires_grad and not test_images.requires_grad
    assert torch.equal(images, kept)
    assert not model.training and model.train().training


def test_the_decoder_starts_at_the_mean_image():
    model = small_vae("gaussian")
    quiet_fit(model, small_images(), 1, learning_rate=1e-12)
    torch.testing.assert_close(model.decoder[-1].bias, small_images().mean(dim=0), rtol=1e-5, atol=0)


@pytest.mark.parametrize("batch_size, steps", [(40, 1), (41, 1), (1000, 1), (20, 2), (13, 3)])
def test_an_epoch_has_as_many_steps_as_batches_are_full(monkeypatch, batch_size, steps):
    calls = spy(monkeypatch, "elbo")
    quiet_fit(small_vae(), small_images(40), 1, batch_size=batch_size)
    assert [len(call["x"]) for call in calls] == [min(batch_size, 40)] * steps


@pytest.mark.parametrize("progress", [False, True])
def test_the_progress_bar_is_shown_only_when_asked_for(capfd, progress):
    quiet_fit(small_vae(), small_images(), progress=progress)
    out, err = capfd.readouterr()
    assert out == "" and ("epoch 2" in err) == progress and bool(err) == progress


@pytest.mark.parametrize("where", ["images", "test_images"])
@pytest.mark.parametrize(
    "images, error, message",
    [
        (torch.full((20, 6), 255.0), ValueError, "divide bytes by 255"),
        (torch.full((20, 6), math.nan), ValueError, "finite numbers, got NaN"),
        (torch.zeros(20, 5), ValueError, r"shape \(batch, 6\), got \(20, 5\)"),
        (torch.zeros(4, 2, 3), ValueError, r"shape \(batch, 6\), got \(4, 2, 3\)"),
        (torch.zeros(0, 6), ValueError, r"shape \(batch, 6\), got \(0, 6\)"),
        (torch.zeros(20, 6, dtype=torch.uint8), TypeError, "got torch.uint8 tensor"),
        (np.zeros((20, 6)), TypeError, "got ndarray"),
    ],
)
def test_images_that_are_refused_before_anything_moves(where, images, error, message):
    _refuses({"images": small_images()} | {where: images}, error, f"{where}: expected .*{message}")


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0},
        {"learning_rate": math.nan},
        {"learning_rate": math.inf},
        {"beta": -1.0},
        {"beta": math.nan},
        {"warmup": -0.1},
        {"warmup": 1.0},
        {"warmup": math.nan},
        {"free_bits": -0.1},
        {"num_samples": 0, "warmup": 0.0},
        {"optimizer": "sgd"},
        {"precision": torch.float16},
    ],
)
def test_options_out_of_range_are_refused_before_anything_moves(options):
    _refuses({"images": small_images(), **options}, ValueError, f"{next(iter(options))}: expected")


TWO = np.array([1.0, 2.0])
NO_COUNTS = ["2", True, 2.0, TWO]
NO_NUMBERS = ["0.5", None, True, TWO]


@pytest.mark.parametrize(
    "name, value",
    [
        *((name, value) for name in ("epochs", "batch_size", "num_samples") for value in NO_COUNTS),
        *((name, None) for name in ("epochs", "batch_size")),
        *((name, value) for name in ("learning_rate", "beta", "warmup", "free_bits") for value in NO_NUMBERS),
        *((name, value) for name in ("optimizer", "precision") for value in ("float32", True, TWO)),
        ("optimizer", None),
        *(("device", value) for value in ("loud", "cuda:99", 3, True, TWO)),
        *(("on_step", value) for value in ("loud", True, TWO)),
        *(("checkpoint", value) for value in (True, 3, TWO)),
        *(("generator", value) for value in ("0", 3, True, np.random.default_rng(0))),
    ],
)
def test_options_of_another_type_are_refused_before_anything_moves(name, value):
    _refuses({"images": small_images(), name: value}, (TypeError, ValueError), f"{name}: expected")


OF_NUMPY = pytest.mark.parametrize(
    "options",
    [
        {"beta": np.float64(0.5), "warmup": np.float32(0.0), "free_bits": np.float32(0.25)},
        {"warmup": np.float64(0.5), "beta": np.int64(2)},
        {"warmup": np.float32(0.0), "num_samples": np.int64(2)},
    ],
)
COUNTS = {"epochs": np.int64(3), "batch_size": np.int32(10), "learning_rate": np.float32(1e-3)}


@OF_NUMPY
def test_numbers_of_numpy_give_the_weights_of_those_of_python(options):
    options = COUNTS | options
    of_python = {name: value.item() for name, value in options.items()}
    one, other = small_vae(), small_vae()
    curves = [quiet_fit(m, small_images(), **each) for m, each in ((one, options), (other, of_python))]
    assert torch.equal(all_weights(one), all_weights(other)) and curves[0] == curves[1]


@OF_NUMPY
def test_a_training_by_numbers_of_numpy_goes_on_by_those_of_python(options, tmp_path):
    options = COUNTS | options
    of_python = {name: value.item() for name, value in options.items()}
    whole, model = small_vae(), small_vae()
    quiet_fit(whole, small_images(), **of_python)
    with pytest.raises(KeyboardInterrupt):
        quiet_fit(small_vae(), small_images(), **options, on_step=Interrupt(6), checkpoint=tmp_path / "c")
    quiet_fit(model, small_images(), **of_python, checkpoint=tmp_path / "c")
    assert torch.equal(all_weights(model), all_weights(whole))


def some_settings(**changes):
    numbers = {"epochs": 3, "batch_size": 10, "learning_rate": 1e-3, "beta": 1.0, "warmup": 0.0}
    rest = {"free_bits": 0.0, "num_samples": None, "optimizer": "adam", "precision": torch.float32}
    rest["binarize"] = True
    return Settings(**numbers | rest | changes)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Settings)])
def test_settings_are_frozen(name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(some_settings(), name, 1)


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"epochs": 0}, ValueError),
        ({"batch_size": 2.0}, TypeError),
        ({"learning_rate": 0.0}, ValueError),
        ({"beta": "1"}, TypeError),
        ({"warmup": 1.0}, ValueError),
        ({"free_bits": math.inf}, ValueError),
        ({"num_samples": 0}, ValueError),
        ({"num_samples": 2, "beta": 0.5}, ValueError),
        ({"optimizer": None}, ValueError),
        ({"precision": torch.float64}, ValueError),
        ({"binarize": "no"}, TypeError),
    ],
)
def test_settings_check_themselves(changes, error):
    with pytest.raises(error, match=f"^{next(iter(changes))}: expected"):
        some_settings(**changes)
    with pytest.raises(error, match=f"^{next(iter(changes))}: expected"):
        dataclasses.replace(some_settings(), **changes)


def test_settings_hold_numbers_of_python():
    found = some_settings(**COUNTS, beta=np.float32(1.0), num_samples=np.int64(2))
    numbers = [found.epochs, found.batch_size, found.num_samples, found.learning_rate, found.beta]
    assert [type(number) for number in numbers] == [int] * 3 + [float] * 2


def _refuses(options, error, message):
    """`fit` complains at the start, and the model is as it was."""
    model = small_vae()
    before = all_weights(model)
    with pytest.raises(error, match=f"^{message}"):
        quiet_fit(model, **options)
    assert torch.equal(all_weights(model), before)


@EACH_LIKELIHOOD
def test_an_exploding_loss_is_told_with_its_epoch(likelihood):
    with pytest.raises(FloatingPointError, match=r"the loss became (NaN|nan|inf|-inf) in epoch 1, step \d"):
        quiet_fit(small_vae(likelihood), small_images(), 3, learning_rate=1e20)


@pytest.mark.parametrize("options", [{}, {"warmup": 0.0, "num_samples": 2}])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_weights_that_became_nan_are_told_with_epoch_and_step(part, options):
    model = small_vae()

    def spoil(done, total, loss):
        if done == 5:  # four steps an epoch
            getattr(model, part)[-1].bias.data.fill_(math.nan)

    with pytest.raises(FloatingPointError, match="^the loss became (NaN|nan) in epoch 2, step 2$"):
        quiet_fit(model, small_images(), 3, on_step=spoil, **options)


def test_a_mistake_in_a_step_is_told_as_what_it_is():
    message = "^images: expected torch.float64 like the model's weights, got torch.float32$"
    with pytest.raises(ValueError, match=message):
        quiet_fit(small_vae().double(), small_images())


def test_observed_binarizes_only_for_bernoulli():
    images = small_images(500)
    assert observed(small_vae("gaussian"), images, 0) is images
    model = small_vae()
    x = observed(model, images, 0)
    assert x.unique().tolist() == [0, 1]
    for same in (0, generator(0)):
        assert torch.equal(x, observed(model, images, same))
    assert not torch.equal(observed(model, images, None), observed(model, images, None))


@EACH_LIKELIHOOD
@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_mean_elbo_averages_over_images_not_batches(likelihood, batch_size):
    model, x = small_vae(likelihood), small_images(25).round()
    model.encoder[-1].weight.data[2:] = 0
    model.encoder[-1].bias.data[2:] = -60.0  # no noise: every batch size draws the same z
    total, log_likelihood, kl = mean_elbo(model, x, generator(), 0.5, batch_size)
    parts = elbo(model, x, 0.5, generator=generator())
    expected = [part.mean().item() for part in parts]
    assert [total, log_likelihood, kl] == pytest.approx(expected, rel=1e-5)
    assert torch.is_grad_enabled()


def test_mean_elbo_builds_no_graph(monkeypatch):
    def without_gradient(*args, **kwargs):
        assert not torch.is_grad_enabled()
        return elbo(*args, **kwargs)

    monkeypatch.setattr(training, "elbo", without_gradient)
    mean_elbo(small_vae(), small_images().round(), generator())


def test_training_can_go_on_where_it_stopped():
    model, images = small_vae(), small_images()
    before = all_weights(model)
    quiet_fit(model, images, 1, learning_rate=1e-12, init_bias=False)
    torch.testing.assert_close(all_weights(model), before, rtol=0, atol=1e-9)
    quiet_fit(model, images, 1, learning_rate=1e-12)
    assert not torch.allclose(all_weights(model), before, rtol=0, atol=1e-3)


# --- stopping, interrupting, going on -----------------------------------------------------


def test_on_step_hears_of_every_step_with_its_loss():
    heard = []
    history = quiet_fit(small_vae(), small_images(), 3, on_step=lambda *told: heard.append(told))
    assert [told[:2] for told in heard] == [(done, 12) for done in range(1, 13)]
    losses = np.array([loss for *_, loss in heard]).reshape(3, 4)
    assert history.train == pytest.approx(losses.mean(axis=1).tolist(), rel=1e-12)
    assert all(type(loss) is float for *_, loss in heard)


def test_listening_does_not_change_the_training(tmp_path):
    models = [small_vae() for _ in range(3)]
    for model, options in zip(
        models, ({}, {"on_step": lambda *_: None}, {"checkpoint": tmp_path / "c"}), strict=True
    ):
        quiet_fit(model, small_images(), **options)
    assert torch.equal(all_weights(models[0]), all_weights(models[1]))
    assert torch.equal(all_weights(models[0]), all_weights(models[2]))


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_training_ends_when_on_step_says_so(stop):
    model, losses = small_vae(), []

    def on_step(done, total, loss):
        losses.append(loss)
        return done == stop

    history = quiet_fit(model, small_images(), 3, test_images=small_images(7), on_step=on_step)
    assert len(losses) == stop
    epochs = [losses[i : i + 4] for i in range(0, stop, 4)]  # the last one may be short
    assert history.train == pytest.approx([np.mean(epoch) for epoch in epochs])
    assert len(history.test) == len(history.test_kl) == len(epochs)
    assert not model.training
    x = observed(model, small_images(7), 0)
    assert -mean_elbo(model, x, generator(1))[0] == pytest.approx(history.test[-1])  # these very weights


@pytest.mark.parametrize("answer", [None, False, 1, "stop", 0.5])
def test_only_true_ends_the_training(answer):
    assert len(quiet_fit(small_vae(), small_images(), 2, on_step=lambda *_: answer).train) == 2


@EACH_LIKELIHOOD
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("steps", [(4,), (6,), (8, 9), (2,), (5, 10, 12)])
def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path, likelihood, optimizer, steps):
    path, options = tmp_path / "c", {"test_images": small_images(7), "beta": 0.7, "optimizer": optimizer}
    whole = small_vae(likelihood)
    expected = quiet_fit(whole, small_images(), 3, **options)
    for step in steps:  # four steps an epoch
        with pytest.raises(KeyboardInterrupt):
            quiet_fit(
                small_vae(likelihood), small_images(), 3, on_step=Interrupt(step), checkpoint=path, **options
            )
        assert path.is_file() == (step > 4)  # not before an epoch is done
    model, steps_done = small_vae(likelihood), []
    history = quiet_fit(
        model,
        small_images(),
        3,
        on_step=lambda done, *_: steps_done.append(done),
        checkpoint=str(path),
        **options,
    )
    assert steps_done[0] == 4 * ((max(steps) - 1) // 4) + 1 and steps_done[-1] == 12
    assert torch.equal(all_weights(model), all_weights(whole)) and history == expected
    assert not model.training and not list(tmp_path.iterdir())


def test_going_on_restores_the_random_stream_for_what_comes_after(tmp_path):
    first, second, third = generator(5), generator(5), generator(5)
    quiet_fit(small_vae(), small_images(), 3, generator=first)
    with pytest.raises(KeyboardInterrupt):
        quiet_fit(
            small_vae(),
            small_images(),
            3,
            generator=second,
            on_step=Interrupt(6),
            checkpoint=tmp_path / "c",
        )
    quiet_fit(small_vae(), small_images(), 3, generator=third, checkpoint=tmp_path / "c")
    assert torch.equal(first.get_state(), third.get_state())
    assert not torch.equal(first.get_state(), second.get_state())


def test_an_interruption_after_the_last_epoch_loses_nothing(tmp_path, monkeypatch):
    whole, path = small_vae(), tmp_path / "c"
    expected = quiet_fit(whole, small_images())
    with monkeypatch.context() as patch:

        def interrupted(self):
            raise KeyboardInterrupt

        patch.setattr(storage.Checkpoint, "delete", interrupted)
        with pytest.raises(KeyboardInterrupt):
            quiet_fit(small_vae(), small_images(), checkpoint=path)
    model = small_vae()
    history = quiet_fit(model, small_images(), checkpoint=path, on_step=Interrupt(1))  # no step is left
    assert torch.equal(all_weights(model), all_weights(whole)) and history == expected and not path.exists()


def test_a_checkpoint_may_stay_after_the_last_epoch(tmp_path):
    whole, again = small_vae(), small_vae()
    quiet_fit(whole, small_images(), 3, checkpoint=tmp_path / "c", keep_checkpoint=True)
    quiet_fit(again, small_images(), 3, checkpoint=tmp_path / "c", on_step=Interrupt(1))  # no step is left
    assert torch.equal(all_weights(again), all_weights(whole)) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("fails", ["save", "delete"])
def test_a_checkpoint_that_cannot_be_written_or_deleted_stops_no_training(tmp_path, monkeypatch, fails):
    def full(path, *_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    whole, model, path = small_vae(), small_vae(), tmp_path / "c"
    expected = quiet_fit(whole, small_images(), 3)
    with pytest.raises(KeyboardInterrupt):
        quiet_fit(small_vae(), small_images(), 3, on_step=Interrupt(6), checkpoint=path)
    content = path.read_bytes()
    monkeypatch.setattr(*((Path, "write_bytes", full) if fails == "save" else (Checkpoint, "delete", full)))
    with pytest.warns(RuntimeWarning, match=r"^checkpoint: .*c could not be .*: No space left") as told:
        history = quiet_fit(model, small_images(), 3, checkpoint=path)
    assert history == expected and torch.equal(all_weights(model), all_weights(whole))
    assert path.exists() == (fails == "delete") and (fails == "save" or path.read_bytes() != content)
    assert all(warning.filename == __file__ for warning in told)


def test_a_folder_that_takes_no_files_is_told_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, how, **_: path != tmp_path)
    with pytest.raises(PermissionError, match="^checkpoint: expected a folder that may be written to, got "):
        quiet_fit(small_vae(), small_images(), checkpoint=tmp_path / "c", on_step=Interrupt(1))


def test_a_stopped_training_keeps_its_checkpoint(tmp_path):
    path, whole, model = tmp_path / "c", small_vae(), small_vae()
    quiet_fit(whole, small_images(), 3)
    quiet_fit(small_vae(), small_images(), 3, checkpoint=path, on_step=lambda done, *_: done == 6)
    assert path.is_file()
    quiet_fit(model, small_images(), 3, checkpoint=path)
    assert torch.equal(all_weights(model), all_weights(whole)) and not path.exists()


@pytest.mark.parametrize(
    "changed, name",
    [
        ({"epochs": 4}, "epochs"),
        ({"batch_size": 20}, "batch_size"),
        ({"learning_rate": 0.01}, "learning_rate"),
        ({"beta": 0.5}, "beta"),
        ({"warmup": 0.0}, "warmup"),
        ({"free_bits": 0.1}, "free_bits"),
        ({"warmup": 0.0, "num_samples": 2}, "num_samples, warmup"),
        ({"optimizer": "muon"}, "optimizer"),
        ({"precision": torch.bfloat16}, "precision"),
        ({"init_bias": False}, "init_bias"),
        ({"images": small_images(seed=4)}, "images"),
        ({"images": small_images(41)}, "images"),
        ({"test_images": small_images(7)}, "test_images"),
        ({"generator": generator(3)}, "generator"),
        ({"model": small_vae("gaussian")}, "model"),
        ({"model": small_vae(hidden_dim=9), "beta": 2.0}, "beta, model"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_by_name(tmp_path, changed, name):
    path = tmp_path / "c"
    plain = {"model": small_vae(), "images": small_images(), "epochs": 3, "checkpoint": path}
    with pytest.raises(KeyboardInterrupt):
        quiet_fit(**plain, on_step=Interrupt(6))
    content = path.read_bytes()
    with pytest.raises(
        ValueError, match=f"^checkpoint: .*c belongs to a training with another {name}; delete"
    ):
        quiet_fit(**plain | changed)
    assert path.read_bytes() == content


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "c"
    path.write_bytes(b"half")
    with pytest.raises(ValueError, match="^checkpoint: expected one written by fit at .*c, got: "):
        quiet_fit(small_vae(), small_images(), checkpoint=path)


def test_a_checkpoint_in_a_missing_folder_is_refused_before_the_first_step(tmp_path):
    with pytest.raises(FileNotFoundError, match="^checkpoint: expected an existing folder, got .*nowhere"):
        quiet_fit(small_vae(), small_images(), checkpoint=tmp_path / "nowhere" / "c", on_step=Interrupt(1))


@pytest.mark.parametrize("where", ["nowhere/c", "damaged", "another"])
def test_a_refused_checkpoint_leaves_the_weights(tmp_path, where):
    (tmp_path / "damaged").write_bytes(b"half")
    with pytest.raises(KeyboardInterrupt):
        quiet_fit(small_vae(), small_images(), 3, on_step=Interrupt(6), checkpoint=tmp_path / "another")
    _refuses(
        {"images": small_images(), "checkpoint": tmp_path / where},
        (ValueError, FileNotFoundError),
        "checkpoint: ",
    )


# ---- wherever it is called ----------------------------------------------------------------------


@pytest.mark.parametrize("surroundings", [torch.no_grad, torch.inference_mode, nullcontext])
def test_a_training_takes_gradients_wherever_it_is_called(surroundings):
    model, alone, images = small_vae(), small_vae(), small_images()
    quiet_fit(alone, images)
    with surroundings():
        quiet_fit(model, images)
    assert torch.equal(all_weights(model), all_weights(alone))


def test_weights_that_cannot_be_trained_are_told():
    with torch.inference_mode():
        model = small_vae()
    with pytest.raises(ValueError, match="^model: expected weights that can be trained, got some made in"):
        quiet_fit(model, small_images())


def test_images_without_numbers_are_told():
    with pytest.raises(ValueError, match="^images: expected numbers, got a tensor on the device meta"):
        quiet_fit(small_vae(), small_images().to("meta"))


@pytest.mark.parametrize("place", ["", "{}"])
def test_a_checkpoint_that_is_a_folder_is_told_before_the_first_epoch(tmp_path, place):
    steps = []
    with pytest.raises(ValueError, match="^checkpoint: expected a file, got the folder "):
        quiet_fit(
            small_vae(), small_images(), checkpoint=place.format(tmp_path), on_step=lambda *a: steps.append(a)
        )
    assert steps == [] and not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", ["3e-3", None, True])
def test_a_number_that_is_none_is_shown(value):
    with pytest.raises(TypeError, match=f"^learning_rate: expected a number, got {value!r}$"):
        quiet_fit(small_vae(), small_images(), learning_rate=value)
