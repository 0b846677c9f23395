"""The spread over seeds: that the file is of today's recipes and models, and the command that makes it."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from support.draws import assert_near
from support.worlds import generator

from vae_helpers.models import active_units, elbo, observed
from vae_helpers.shipped import load_mnist, load_pretrained, load_spread, spread
from vae_helpers.shipped.pretrained import FOLDER, RECIPES
from vae_helpers.shipped.spread import MEMBERS, SPREAD_SEEDS, main, recipe_of, shipped_as

SAMPLE = ["latent_2", "latent_50", "beta_4", "remedy_none", "remedy_free_bits_0.25"]


@cache
def table():
    return json.loads((FOLDER / "spread.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MEMBERS)
def test_the_figures_are_those_of_todays_recipe(name):
    recipe = RECIPES[MEMBERS[name]]
    assert table()[name]["recipe"]["model"] == recipe["model"]
    measured = dict(table()[name]["recipe"]["fit"])
    assert measured.pop("images")
    assert measured == recipe["fit"]


@pytest.mark.parametrize("name", MEMBERS)
def test_three_seeds_and_parts_that_add_up(name):
    found = load_spread(name)
    assert all(values.shape == (len(SPREAD_SEEDS),) for values in found.values())
    np.testing.assert_allclose(found["log_likelihood"] - found["kl"], found["elbo"], atol=2e-3)
    assert len(set(found["elbo"])) == len(SPREAD_SEEDS)  # seeds that make a difference
    assert (0 <= found["active_units"]).all()
    assert (found["active_units"] <= RECIPES[MEMBERS[name]]["model"]["latent_dim"]).all()


@pytest.mark.parametrize("name", SAMPLE)
def test_the_first_is_the_shipped_model(name):
    """By other draws and the formula alone; both sides draw once for each image."""
    model, found = load_pretrained(MEMBERS[name]), load_spread(name)
    x = observed(model, load_mnist("test")[0], 0)
    with torch.no_grad():
        first, second = (
            torch.cat([elbo(model, part, generator=g).elbo for part in x.split(1000)]).double()
            for g in (generator(5), generator(6))
        )
    error = ((first - second).std() / len(x) ** 0.5).item()  # of a difference of two such averages
    assert_near(first.mean(), error, found["elbo"][0], 2.5, len(x))
    assert int(active_units(model, x).sum()) == found["active_units"][0]
    # A tighter bound, on other images: it is above the ELBO of these images.
    assert found["bound"][0] > first[:1000].mean().item()


def test_each_seed_has_generators_of_its_own():
    seeds = {tuple(recipe_of("beta_1", seed)["seeds"].values()) for seed in SPREAD_SEEDS}
    assert seeds == {(1, 2), (3, 4), (5, 6)}
    assert shipped_as("beta_1", 1) == "beta_1" and shipped_as("beta_1", 3) is None
    assert shipped_as("remedy_none", 3) == "remedy_none_3" and shipped_as("remedy_none", 5) is None


@pytest.mark.parametrize("name", ["", "digits_20", None, "remedy_none_1"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match=f"name: expected one of latent_1, .*, got {name!r}"):
        load_spread(name)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Two members of a second that do not ship, and few images."""
    recipe = {"model": {"latent_dim": 2, "hidden_dim": 8}, "fit": {"epochs": 1, "learning_rate": 3e-3}}
    monkeypatch.setattr(spread, "RECIPES", {"a": recipe, "b": recipe | {"fit": {"epochs": 2}}})
    monkeypatch.setattr(spread, "MEMBERS", {"a": "a", "b": "b"})
    monkeypatch.setattr(spread, "shipped_as", lambda name, seed: None)
    monkeypatch.setattr(spread, "NUM_BOUND", 20)
    images = load_mnist("test")[0][:400]
    monkeypatch.setattr(spread, "load_mnist", lambda split: (images, None))
    monkeypatch.setattr(spread, "FOLDER", tmp_path)
    return tmp_path


@pytest.fixture
def counted(monkeypatch):
    """The seeds that are trained from, and after how many trainings the reader loses patience."""
    seen, train = {"seeds": [], "patience": 99}, spread.train

    def counting(recipe, images, checkpoint, **options):
        if len(seen["seeds"]) == seen["patience"]:
            raise KeyboardInterrupt
        seen["seeds"].append(recipe["seeds"]["model"])
        return train(recipe, images, checkpoint, **options)

    monkeypatch.setattr(spread, "train", counting)
    return seen


def command(folder, *arguments):
    return main([*arguments, "--folder", str(folder), "--workers", "1"])


def test_the_command_measures_each_seed(tiny, counted, capsys):
    assert command(tiny) == 0
    assert counted["seeds"] == [1, 3, 5, 1, 3, 5]
    assert "written: spread.json with a, b" in capsys.readouterr().out
    assert [path.name for path in tiny.iterdir()] == ["spread.json"]
    assert load_spread("b")["elbo"].shape == (3,)


def test_an_interrupted_command_goes_on(tiny, counted):
    assert command(tiny / "whole") == 0
    counted["seeds"].clear()
    counted["patience"] = 4
    assert command(tiny) == 130
    assert not (tiny / "spread.json").exists()
    counted["patience"] = 99
    assert command(tiny) == 0
    assert counted["seeds"] == [1, 3, 5, 1, 3, 5]  # none twice
    assert (tiny / "spread.json").read_text() == (tiny / "whole" / "spread.json").read_text()


def test_another_recipe_is_measured_anew_and_the_others_stay(tiny, counted):
    assert command(tiny) == 0
    before = json.loads((tiny / "spread.json").read_text())
    spread.RECIPES["a"]["fit"]["epochs"] = 3
    assert command(tiny, "a") == 0
    after = json.loads((tiny / "spread.json").read_text())
    assert after["b"] == before["b"] and after["a"] != before["a"] and list(after) == ["a", "b"]


def test_all_names_are_checked_before_anything_is_trained(tiny, counted, capsys):
    with pytest.raises(SystemExit, match="2"):
        command(tiny / "new", "a", "typo")
    assert "name: expected one of a, b, got 'typo'" in capsys.readouterr().err
    assert not counted["seeds"] and not (tiny / "new").exists()
