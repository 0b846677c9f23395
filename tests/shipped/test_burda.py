"""The runs beside the literature: training that goes on after a stop, evaluation, and the shipped figures."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_expit, logsumexp, ndtr
from support.draws import assert_mean
from support.worlds import all_weights, generator, small_vae, write_idx

from vae_helpers.models import active_units, binarize, load
from vae_helpers.shipped import burda, load_idx, load_mnist
from vae_helpers.shipped.burda import (
    RECIPES,
    evaluate,
    load_log,
    load_test_nll,
    load_trained,
    main,
    train,
)

NAMES = pytest.mark.parametrize("name", ["vae", "iwae", "wide"])
PUBLISHED = {"vae": 86.76, "iwae": 84.78}  # Burda et al. 2016, table 1: one stochastic layer
BARS = {"vae": 86.4, "iwae": 84.8, "wide": 86.4}


# --- the shipped models ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_shipped_model_has_the_published_architecture(name):
    model = load_trained(name)
    assert [type(layer).__name__ for layer in model.decoder] == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]
    shapes = [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    assert shapes == [(200, 784), (200, 200), (100, 200), (200, 50), (200, 200), (784, 200)]
    assert model.likelihood == "bernoulli" and not model.training


@NAMES
def test_the_log_says_what_was_done(name):
    log = load_log(name)
    assert log["model"] == load_trained(name).config
    assert log["num_training_images"] == 60_000 and "stochastic" in log["binarization"]
    (training,), settings = log["stages"], RECIPES[name]["fit"]
    assert {key: training[key] for key in settings} == {
        key: str(value) if isinstance(value, torch.dtype) else value for key, value in settings.items()
    }
    assert len(training["minus_bound"]) == settings["epochs"]
    assert training["minus_bound"][-1] < training["minus_bound"][0]
    assert log["seconds"] == training["seconds"]
    assert (log["test"]["num_images"], log["test"]["num_samples"]) == (10_000, 5000)


@NAMES
def test_the_figure_of_the_log_is_that_of_the_images(name):
    nll, told = load_test_nll(name).double(), load_log(name)["test"]
    assert nll.shape == (10_000,)
    assert nll.mean().item() == pytest.approx(told["nll"], abs=1e-4)
    assert nll.std().item() / 100 == pytest.approx(told["standard_error"], abs=1e-4)


@NAMES
def test_the_readme_gives_the_figure_of_the_log(name):
    told = load_log(name)["test"]
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert name not in PUBLISHED or f"| {PUBLISHED[name]:.2f}" in readme
    assert f"| {told['nll']:.2f} ± {told['standard_error']:.2f}" in readme


@NAMES
def test_the_figure_reaches_the_bar(name):
    told = load_log(name)["test"]
    assert 80 < told["nll"] <= BARS[name] and told["nll"] < told["minus_elbo"]


def by_another_program(weights, activation, x, num_samples, rng):
    """-log (1/k) Σ p(x, z) / q(z given x) for one image, by NumPy from the arrays in the file."""
    bend = {"tanh": np.tanh, "gelu": lambda a: a * ndtr(a)}[activation]

    def network(part, value):
        for number in (0, 2):
            value = bend(value @ weights[f"{part}.{number}.weight"].T + weights[f"{part}.{number}.bias"])
        return value @ weights[f"{part}.4.weight"].T + weights[f"{part}.4.bias"]

    mu, log_var = np.split(network("encoder", x), 2)
    eps = rng.standard_normal((num_samples, 50))
    z = mu + np.exp(log_var / 2) * eps
    a = network("decoder", z)
    log_p_x = (x * log_expit(a) + (1 - x) * log_expit(-a)).sum(axis=1)
    log_p_z = -0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1)
    log_q = -0.5 * (eps**2 + np.log(2 * np.pi) + log_var).sum(axis=1)
    return -(logsumexp(log_p_x + log_p_z - log_q) - np.log(num_samples))


@NAMES
def test_the_published_part_of_the_test_set_again(name):
    """100 images, by another program and other draws: the stored figures within their standard error.

    The difference of two estimates for the same image is the noise of the draws alone, so that this is
    a far sharper test than the spread of images would allow.
    """
    part = slice(0, 10_000, 100)
    x = binarize(load_mnist("test")[0], generator(0)).double().numpy()[part]
    model, rng = load_trained(name), np.random.default_rng(0)
    weights = {key: value.double().numpy() for key, value in model.state_dict().items()}
    again = np.array([by_another_program(weights, model.config["activation"], row, 2000, rng) for row in x])
    stored = load_test_nll(name).double().numpy()[part]
    difference = again - stored  # 2000 draws instead of 5000 are looser by a little
    assert_mean(difference, 0.15, sees=1.3, sided="above")
    assert_mean(-difference, 0, sees=1.3, sided="above")
    assert_mean(again, load_log(name)["test"]["nll"], sees=1.1 * again.std())


def test_the_importance_weighted_bound_keeps_more_latents():
    x = binarize(load_mnist("test")[0][:2000], generator())
    vae, iwae = (int(active_units(load_trained(name), x).sum()) for name in ("vae", "iwae"))
    assert 10 < vae < iwae < 40


@pytest.mark.parametrize("call", [load_trained, load_log, load_test_nll])
@pytest.mark.parametrize("name", ["dvae", "", None])
def test_an_unknown_name_lists_the_known_ones(call, name):
    with pytest.raises(ValueError, match=f"name: expected one of vae, iwae, wide, got {name!r}"):
        call(name)


# --- evaluation ----------------------------------------------------------------------------------------


def a_model(likelihood="bernoulli"):
    return small_vae(likelihood, data_dim=784)


def test_evaluation_is_binarized_and_drawn_by_its_seed():
    model, images = a_model(), load_mnist("test")[0][:20]
    found, again, other = (evaluate(model, images, 30, seed) for seed in (0, 0, 7))
    assert torch.equal(found.nll, again.nll) and not torch.equal(found.nll, other.nll)
    assert found.nll.shape == found.minus_elbo.shape == (20,) and (found.nll < found.minus_elbo).all()


def test_bounds_are_summed_up_by_means_and_standard_errors():
    found = evaluate(a_model(), load_mnist("test")[0][:20], 30)
    told = found.summary()
    assert told["nll"] == pytest.approx(found.nll.numpy().mean())
    assert told["standard_error"] == pytest.approx(found.nll.numpy().std(ddof=1) / math.sqrt(20))
    assert told["num_images"] == 20


@pytest.mark.parametrize(
    "images, options, message",
    [
        (torch.rand(4, 784) * 255, {}, r"images: expected values in \[0, 1\]"),
        (torch.rand(0, 784), {}, "images: expected shape .*not empty"),
        (torch.rand(4, 100), {}, r"x: expected shape \(batch, 784\), got \(4, 100\); .*data_dim"),
        (torch.rand(4, 784), {"num_samples": 0}, "num_samples: expected at least 1, got 0"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(images, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(a_model(), images, **{"num_samples": 3} | options)


def test_a_gaussian_likelihood_is_not_one_of_binary_pixels():
    with pytest.raises(ValueError, match="model: expected a Bernoulli likelihood"):
        evaluate(a_model("gaussian"), torch.rand(4, 784), 3)


# --- training ------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Small networks, recipes of some steps, and few images of another size in MNIST's file format."""
    network = {"latent_dim": 2, "hidden_dim": 8, "activation": "tanh"}
    settings = {"epochs": 3, "num_samples": 1, "batch_size": 20, "warmup": 0.0, "progress": False}
    tiny_recipes = {
        "vae": {"model": network, "fit": settings},
        "iwae": {"model": network, "fit": settings | {"epochs": 2, "num_samples": 3}, "start": "vae"},
    }
    monkeypatch.setattr(burda, "RECIPES", tiny_recipes)
    monkeypatch.setattr(burda, "NUM_HELD_OUT", 20)
    rng = np.random.default_rng(0)
    for split, count in (("train", 80), ("test", 30)):
        pictures = rng.integers(0, 256, (count, 5, 4), np.uint8)
        write_idx(tmp_path, split, pictures, np.zeros(count, np.uint8), gz=split == "train")
    return tmp_path


def run(tiny, *options):
    return main([*options, "--data", str(tiny), "--folder", str(tiny / "out"), "--num-samples", "7"])


def test_the_command_trains_evaluates_and_writes(tiny, capsys):
    assert run(tiny, "vae") == 0 and run(tiny, "iwae") == 0
    out = tiny / "out"
    files = [
        f"{name}{ending}"
        for name in ("vae", "iwae")
        for ending in (".json", ".safetensors", ".test.safetensors")
    ]
    assert sorted(path.name for path in out.iterdir()) == sorted(files)
    printed = capsys.readouterr().out
    for name in ("vae", "iwae"):
        log = json.loads((out / f"{name}.json").read_text())
        again = evaluate(load(out / f"{name}.safetensors"), load_idx(tiny, "test")[0], 7)
        assert log["test"]["nll"] == pytest.approx(again.nll.mean().item(), rel=1e-9)
        assert f"{log['test']['nll']:.2f} ± {log['test']['standard_error']:.2f}" in printed
        assert log["num_training_images"] == 80 and log["model"]["data_dim"] == 20
    assert json.loads((out / "iwae.json").read_text())["starts_from"] == "vae"
    run(tiny, "vae", "--evaluate")
    assert capsys.readouterr().out.strip() in printed


def test_settings_are_judged_on_images_that_are_not_trained_on(tiny, capsys):
    assert run(tiny, "vae", "--hold-out") == 0
    log = json.loads((tiny / "out" / "held_out" / "vae.json").read_text())
    assert (log["num_training_images"], log["held_out"]["num_images"]) == (60, 20) and "test" not in log
    assert not (tiny / "out" / "vae.safetensors").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["vae", "--data", "elsewhere"], "--data: give a --folder, too"),
        (["vae", "--evaluate", "--data", "elsewhere"], "folder: expected train-images-idx3-ubyte"),
        (["iwae", "--data", "{tiny}", "--folder", "{tiny}/new"], "expected a .safetensors file, found none"),
        (["vae", "--evaluate", "--data", "{tiny}"], r"x: expected shape \(batch, 784\), got \(30, 20\)"),
        (["dvae"], "invalid choice: 'dvae'"),
    ],
)
def test_what_the_command_cannot_do_is_said_in_a_line(tiny, capsys, options, message):
    before = {path: path.stat().st_mtime_ns for path in burda.FOLDER.glob("*.*")}
    with pytest.raises(SystemExit, match="2"):
        main([option.format(tiny=tiny) for option in options])
    assert re.search(message, capsys.readouterr().err)
    assert {path: path.stat().st_mtime_ns for path in burda.FOLDER.glob("*.*")} == before


@pytest.mark.parametrize("steps, remaining", [(3, 12), (5, 8), (8, 8), (10, 4)])
def test_an_interrupted_run_ends_with_the_same_weights(tiny, counted_fit, capsys, steps, remaining):
    """Of twelve steps, four an epoch; what is left is what was after the last finished epoch."""
    out = tiny / "out"
    run(tiny, "vae")
    expected, wanted = all_weights(load(out / "vae.safetensors")), json.loads((out / "vae.json").read_text())
    for path in out.iterdir():
        path.unlink()
    counted_fit.steps.clear()
    counted_fit.interrupt_at = steps
    assert run(tiny, "vae") == 130 and "the same command goes on" in capsys.readouterr().err
    assert {path.name for path in out.iterdir()} == {"unfinished"}
    counted_fit.steps.clear()
    counted_fit.interrupt_at = None
    assert run(tiny, "vae") == 0 and len(counted_fit.steps) == remaining
    assert torch.equal(all_weights(load(out / "vae.safetensors")), expected)
    found = json.loads((out / "vae.json").read_text())
    curves = [[stage["minus_bound"] for stage in log["stages"]] for log in (found, wanted)]
    assert curves[0] == curves[1]


def _change(monkeypatch, name, **settings):
    recipe = burda.RECIPES[name]
    monkeypatch.setitem(burda.RECIPES, name, recipe | {"fit": recipe["fit"] | settings})


def test_a_training_by_another_recipe_is_not_taken(tiny, monkeypatch):
    images = load_idx(tiny)[0]
    train("vae", images, tiny / "state")
    _change(monkeypatch, "vae", learning_rate=0.1)
    with pytest.raises(ValueError, match="folder: .* holds a training by another recipe; delete it"):
        train("vae", images, tiny / "state")


def test_the_second_model_starts_from_the_first(tiny, monkeypatch):
    images = load_idx(tiny)[0]
    start = small_vae(data_dim=20, num_hidden=2, activation="tanh")
    before = all_weights(start)
    _change(monkeypatch, "iwae", learning_rate=1e-12)
    model, _ = train("iwae", images, tiny / "state", start)
    torch.testing.assert_close(all_weights(model), before, rtol=0, atol=1e-6)
    assert torch.equal(all_weights(start), before)
