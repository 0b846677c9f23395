"""The shipped models: that they are what the recipes name, and how good they are."""

import math
import sys

import pytest
import torch
from safetensors import safe_open

from vae_helpers import pretrained
from vae_helpers.data import load_mnist
from vae_helpers.models import VAE
from vae_helpers.pretrained import FOLDER, RECIPES, load_pretrained, main, make
from vae_helpers.training import mean_elbo, observed

NAMES = pytest.mark.parametrize("name", list(RECIPES))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def loss(name):
    """-ELBO on all test images, stochastically binarized where the likelihood is Bernoulli."""
    model = load_pretrained(name)
    x = observed(model, load_mnist("test")[0], 100)
    return -mean_elbo(model, x, generator(101))[0]


def loss_without_latents(likelihood):
    """-log p(x) on the test images of the best model that is blind to z: the mean image."""
    mean, test = load_mnist("train")[0].double().mean(dim=0), load_mnist("test")[0].double()
    if likelihood == "bernoulli":
        p = mean.clamp(1e-4, 1 - 1e-4)
        return -(test * p.log() + (1 - test) * torch.log1p(-p)).sum(dim=1).mean().item()
    var = ((test - mean) ** 2).mean().item()
    return 0.5 * 784 * (math.log(2 * math.pi * var) + 1)


def test_the_models_are_those_that_the_notebooks_name():
    assert set(RECIPES) >= {"digits_20", "digits_2", "grey_20"}
    assert {path.stem for path in FOLDER.glob("*.safetensors")} == set(RECIPES)


@NAMES
def test_shipped_model_is_the_one_of_its_recipe(name):
    model = load_pretrained(name)
    assert model.config == VAE(**RECIPES[name]["model"]).config
    assert not model.training
    assert all(torch.isfinite(p).all() and p.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize(
    "name, latent_dim, likelihood",
    [("digits_20", 20, "bernoulli"), ("digits_2", 2, "bernoulli"), ("grey_20", 20, "gaussian")],
)
def test_names_say_what_is_inside(name, latent_dim, likelihood):
    model = load_pretrained(name)
    assert (model.latent_dim, model.likelihood, model.data_dim) == (latent_dim, likelihood, 784)


@NAMES
def test_weights_are_stored_in_half_precision(name):
    with safe_open(FOLDER / f"{name}.safetensors", framework="pt") as file:
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}


def test_digits_20_reaches_95_nats():
    assert 80 < loss("digits_20") <= 95  # published bounds for such models lie above 80


@pytest.mark.parametrize("name, margin", [("digits_20", 100), ("digits_2", 60), ("grey_20", 700)])
def test_latents_are_worth_many_nats(name, margin):
    assert loss(name) < loss_without_latents(load_pretrained(name).likelihood) - margin


@pytest.mark.parametrize("name", ["digits", "", None, "../weights/digits_20"])
def test_unknown_name_lists_the_known_ones(name):
    for call in (load_pretrained, make):
        with pytest.raises(ValueError, match=f"name: expected one of .*digits_20.*, got {name!r}"):
            call(name)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Two recipes of a second, few images, and a folder that is not there yet."""
    model = {"latent_dim": 2, "hidden_dim": 8}
    recipes = {
        "a": {"model": model, "fit": {"epochs": 1, "progress": False}},
        "b": {"model": model | {"likelihood": "gaussian"}, "fit": {"epochs": 2, "progress": False}},
    }
    monkeypatch.setattr(pretrained, "RECIPES", recipes)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "weights")
    images = load_mnist("test")[0][:400]
    monkeypatch.setattr(pretrained, "load_mnist", lambda split: {"train": (images, None)}[split])
    return tmp_path / "weights"


def test_making_a_model_again_gives_the_same_weights(tiny):
    first, again = make("a"), make("a")
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), again.parameters(), strict=True))
    assert make("b").likelihood == "gaussian"


@pytest.mark.parametrize("names, made", [([], {"a", "b"}), (["b"], {"b"})])
def test_command_writes_the_named_models_or_all(tiny, monkeypatch, capsys, names, made):
    monkeypatch.setattr(sys, "argv", ["pretrained", *names])
    main()
    assert {path.name for path in tiny.iterdir()} == {f"{name}.safetensors" for name in made}
    assert f"written: {', '.join(sorted(made))}" in capsys.readouterr().out
    for name in made:
        expected = make(name).state_dict()
        for key, value in load_pretrained(name).state_dict().items():
            assert torch.equal(value, expected[key].half().float())


def test_command_checks_all_names_before_it_trains(tiny, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pretrained", "a", "typo"])
    with pytest.raises(ValueError, match="got 'typo'"):
        main()
    assert not tiny.exists()
