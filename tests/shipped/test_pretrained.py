"""The shipped models: that they are what the recipes name, and how good they are."""

import errno
import hashlib
import math
import os
import re
import shutil
import sys
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors import safe_open
from support.worlds import all_weights, generator, write_idx

from vae_helpers.models import VAE, active_units, load, mean_elbo, observed
from vae_helpers.shipped import load_idx, load_mnist, pretrained, recipes
from vae_helpers.shipped.images import FASHION
from vae_helpers.shipped.pretrained import (
    BETAS,
    FOLDER,
    LATENT_DIMS,
    RECIPES,
    REMEDIES,
    SEEDS,
    load_pretrained,
    main,
    make,
    make_all,
)

NAMES = pytest.mark.parametrize("name", list(RECIPES))


def x_of(name):
    """All test images that are shipped, binarized where the likelihood is Bernoulli."""
    images = load_idx(FASHION, "test")[0] if "images" in RECIPES[name] else load_mnist("test")[0]
    return observed(load_pretrained(name), images, 100)


@cache
def parts(name):
    """-ELBO, distortion and rate on these."""
    model, x = load_pretrained(name), x_of(name)
    elbo, log_likelihood, kl = mean_elbo(model, x, generator(101))
    return -elbo, -log_likelihood, kl


def loss(name):
    """-ELBO on these."""
    return parts(name)[0]


@cache
def active(name):
    """The number of active units on these."""
    return int(active_units(load_pretrained(name), x_of(name)).sum())


@cache
def loss_without_latents(likelihood):
    """-log p(x) on the test images of the best model that is blind to z: the mean image."""
    mean, test = load_mnist("train")[0].double().mean(dim=0), load_mnist("test")[0].double()
    p, var = mean.clamp(1e-4, 1 - 1e-4), ((test - mean) ** 2).mean().item()
    return {
        "bernoulli": -(test * p.log() + (1 - test) * torch.log1p(-p)).sum(dim=1).mean().item(),
        "gaussian": 0.5 * 784 * (math.log(2 * math.pi * var) + 1),
    }[likelihood]


def test_the_models_are_those_that_the_notebooks_name():
    names = {"digits_20", "digits_2", "grey_20"} | {f"latent_{d}" for d in (1, 2, 3, 5, 10, 20, 50)}
    names |= {"plain_20", "conv_50", "fashion_50", "fashion_conv_50"}
    names |= {f"beta_{beta}" for beta in (0.1, 0.25, 0.5, 1, 2, 4, 8, 16)}
    remedies = ("none", "warmup_0.2", "warmup_0.5", "free_bits_0.1", "free_bits_0.25")
    names |= {f"remedy_{remedy}_{seed}" for remedy in remedies for seed in (1, 3)}
    assert set(RECIPES) == names
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


def test_the_plain_autoencoder_adds_no_noise_and_keeps_its_codes_where_it_likes():
    model = load_pretrained("plain_20")
    with torch.no_grad():
        mu, log_var = model.encode(observed(model, load_mnist("test")[0], 100))
    assert (torch.exp(0.5 * log_var).mean(dim=0) < 1e-3 * mu.std(dim=0)).all()
    assert (mu**2).mean() > 3  # those of a VAE have 1
    _, distortion, rate = parts("plain_20")
    assert distortion < parts("digits_20")[1] - 10 and rate > 100  # it tells all, at any price


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


MODEL = {"latent_dim": 2, "hidden_dim": 8}
TWICE = {"epochs": 2, "progress": False}


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Two recipes of a second, few images, and a folder that is not there yet."""
    recipes = {
        "a": {"model": MODEL, "fit": TWICE | {"epochs": 1}},
        "b": {"model": MODEL | {"likelihood": "gaussian"}, "fit": TWICE},
    }
    monkeypatch.setattr(pretrained, "RECIPES", recipes)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "weights")
    images = load_mnist("test")[0][:400]
    monkeypatch.setattr(pretrained, "load_mnist", lambda split: {"train": (images, None)}[split])
    pretrained._training_images.cache_clear()
    yield tmp_path / "weights"
    pretrained._training_images.cache_clear()


def test_a_recipe_may_name_its_seeds(tiny, monkeypatch):
    recipe = pretrained.RECIPES["a"]
    for name, seeds in {"same": {"model": 1, "training": 2}, "other": {"model": 3, "training": 4}}.items():
        monkeypatch.setitem(pretrained.RECIPES, name, recipe | {"seeds": seeds})
    weight = {name: make(name).encoder[0].weight for name in ("a", "same", "other")}
    assert torch.equal(weight["a"], weight["same"]) and not torch.equal(weight["a"], weight["other"])


def test_making_a_model_again_gives_the_same_weights(tiny):
    assert torch.equal(all_weights(make("a")), all_weights(make("a")))


def test_a_model_is_made_with_the_likelihood_of_its_recipe(tiny):
    assert make("b").likelihood == "gaussian"


@pytest.mark.parametrize("names, made", [([], {"a", "b"}), (["b"], {"b"})])
def test_command_writes_the_named_models_or_all(tiny, monkeypatch, capsys, names, made):
    monkeypatch.setattr(sys, "argv", ["pretrained", *names, "--workers", "1"])
    main()
    assert {path.name for path in tiny.iterdir()} == {f"{name}.safetensors" for name in made}
    assert f"written: {', '.join(sorted(made))}" in capsys.readouterr().out
    for name in made:
        expected = make(name).state_dict()
        for key, value in load_pretrained(name).state_dict().items():
            assert torch.equal(value, expected[key].half().float())


def test_command_checks_all_names_before_it_trains(tiny, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["a", "typo"])
    assert "name: expected one of a, b, got 'typo'" in capsys.readouterr().err
    assert not tiny.exists()


@pytest.fixture
def own_images(tmp_path):
    """A folder with 40 training images of another size in MNIST's format."""
    pictures = np.random.default_rng(0).integers(0, 256, (40, 5, 4), np.uint8)
    write_idx(tmp_path, "train", pictures, np.zeros(40, np.uint8))
    return tmp_path


def test_command_trains_on_a_reader_s_own_images(tiny, own_images):
    assert main(["a", "--data", str(own_images), "--folder", str(own_images / "out")]) == 0
    expected = make("a", images=load_idx(own_images)[0])
    assert expected.data_dim == 20
    found = load(own_images / "out" / "a.safetensors")
    assert torch.equal(all_weights(found), all_weights(expected.half().float()))


def test_command_leaves_the_shipped_models_when_it_is_given_a_folder(tiny, own_images):
    main(["a", "--folder", str(own_images / "out")])
    assert [path.name for path in (own_images / "out").iterdir()] == ["a.safetensors"]
    assert not tiny.exists()


def test_command_does_not_put_models_of_other_images_in_the_place_of_the_shipped_ones(
    tiny, own_images, capsys
):
    with pytest.raises(SystemExit, match="2"):
        main(["a", "--data", str(own_images)])
    assert "--data: give a --folder, too" in capsys.readouterr().err and not tiny.exists()


def test_models_that_are_made_side_by_side_have_the_same_weights(tiny, own_images, capsys):
    for workers in (1, 2):
        make_all(["a", "b"], own_images / str(workers), own_images, workers)
        assert "written: a, b" in capsys.readouterr().out
    one, two = (contents(own_images / str(workers)) for workers in (1, 2))
    assert one == two and set(two) == {"a.safetensors", "b.safetensors"}
    assert not (own_images / "2" / "unfinished").exists()


def test_models_that_are_made_side_by_side_may_be_interrupted(tiny, own_images, monkeypatch, capsys):
    def interrupted(futures):
        yield next(real(futures))
        raise KeyboardInterrupt

    real, line = pretrained.as_completed, ["--data", str(own_images), "--folder", str(own_images / "out")]
    make_all(["a", "b"], own_images / "expected", own_images, workers=1)
    monkeypatch.setattr(pretrained, "as_completed", interrupted)
    assert main([*line, "--workers", "2"]) == 130
    assert "interrupted: the same command goes on" in capsys.readouterr().err
    assert not contents(own_images / "out")  # nothing before all are done
    monkeypatch.setattr(pretrained, "as_completed", real)
    assert main([*line, "--workers", "2"]) == 0
    assert contents(own_images / "out") == contents(own_images / "expected")


def test_models_that_are_made_side_by_side_share_one_bar(tiny, own_images, monkeypatch, capfd):
    loud = {name: recipe | {"fit": {"epochs": 1}} for name, recipe in pretrained.RECIPES.items()}
    monkeypatch.setattr(pretrained, "RECIPES", loud)
    make_all(["a", "b"], own_images / "out", own_images, workers=2)
    told = capfd.readouterr().err
    assert "model" in told and "step" not in told


def test_a_mistake_in_a_process_is_told_in_a_line(tiny, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--data", str(tmp_path / "nowhere"), "--folder", str(tmp_path / "out"), "--workers", "2"])
    assert "nowhere" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", ["0", "-1"])
def test_workers_are_at_least_one(tiny, workers, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["a", "--workers", workers])
    assert f"workers: expected at least 1, got {workers}" in capsys.readouterr().err
    assert not tiny.exists()


# --- the family of latent dimensions ------------------------------------------------------


def test_the_family_is_one_recipe_in_seven_dimensions():
    assert LATENT_DIMS == (1, 2, 3, 5, 10, 20, 50)
    recipes = [RECIPES[f"latent_{d}"] for d in LATENT_DIMS]
    assert [recipe["model"]["latent_dim"] for recipe in recipes] == list(LATENT_DIMS)
    rest = [(recipe["model"] | {"latent_dim": None}, recipe["fit"]) for recipe in recipes]
    assert all(other == rest[0] for other in rest)


def test_the_family_is_small():
    sizes = [(FOLDER / f"latent_{d}.safetensors").stat().st_size for d in LATENT_DIMS]
    assert sum(sizes) < 12e6 and min(sizes) > 1e6


def test_more_latents_are_worth_nats_until_there_are_enough():
    losses = {d: loss(f"latent_{d}") for d in LATENT_DIMS}
    assert all(value < loss_without_latents("bernoulli") - 30 for value in losses.values())
    # About 1 nat between 10 and 20, where the noise of the draws is below 0.1.
    assert all(losses[a] > losses[b] + 0.3 for a, b in pairwise([d for d in LATENT_DIMS if d <= 20]))
    assert losses[50] == pytest.approx(losses[20], abs=1.5)


# --- another decoder, other images ----------------------------------------------------------

BESIDE = ("latent_50", "conv_50", "fashion_50", "fashion_conv_50")


def test_the_four_differ_in_decoder_and_images_alone():
    recipes = [RECIPES[name] for name in BESIDE]
    assert all(recipe["fit"] == recipes[0]["fit"] and "seeds" not in recipe for recipe in recipes)
    assert [recipe.get("images") for recipe in recipes] == [None, None, "Fashion-MNIST", "Fashion-MNIST"]
    assert [recipe["model"].get("decoder") for recipe in recipes] == [None, "convolutional"] * 2
    assert all(
        recipe["model"] | {"decoder": ""} == recipes[0]["model"] | {"decoder": ""} for recipe in recipes
    )


def test_the_number_of_active_units_depends_on_images_and_decoder():
    latent, conv, fashion, fashion_conv = map(active, BESIDE)
    assert fashion < latent - 4 and fashion < fashion_conv - 6 and latent < conv - 4


def test_a_convolutional_decoder_is_told_more_and_the_bound_is_nearly_the_same():
    latent, conv, fashion, fashion_conv = map(parts, BESIDE)
    for connected, convolutional in ((latent, conv), (fashion, fashion_conv)):
        assert convolutional[0] == pytest.approx(connected[0], abs=2)
        assert convolutional[1] < connected[1] - 1 and convolutional[2] > connected[2] + 1


def test_the_models_of_fashion_are_worth_many_nats():
    x = x_of("fashion_50").double()
    mean = x.mean(dim=0).clamp(1e-3, 1 - 1e-3)  # even with the test images' own mean image
    blind = torch.distributions.Bernoulli(mean).entropy().sum().item()
    assert all(loss(name) < blind - 100 for name in ("fashion_50", "fashion_conv_50"))


def test_the_four_are_small():
    assert all((FOLDER / f"{name}.safetensors").stat().st_size < 2e6 for name in BESIDE)


@pytest.fixture
def with_others(tiny, monkeypatch):
    """A recipe of other images beside those of MNIST."""
    monkeypatch.setitem(pretrained.RECIPES, "c", {"model": MODEL, "fit": TWICE, "images": "Letters"})
    return tiny


def test_command_without_names_leaves_out_what_needs_other_images(with_others, capsys):
    assert main(["--workers", "1"]) == 0
    assert {path.stem for path in with_others.iterdir()} == {"a", "b"}


def test_a_recipe_of_other_images_is_not_trained_on_mnist(with_others, capsys):
    told = "expected the training images of Letters for 'c', got none.*--data FOLDER --folder OUT"
    with pytest.raises(SystemExit, match="2"):
        main(["a", "c"])
    assert re.search(f"data: {told}", capsys.readouterr().err) and not with_others.exists()
    with pytest.raises(ValueError, match=f"^images: {told}"):
        make("c")
    with pytest.raises(ValueError, match=f"^data: {told}"):
        make_all(["c"])


def test_a_recipe_of_other_images_is_trained_on_what_is_given(with_others, own_images):
    out = own_images / "out"
    assert main(["c", "--data", str(own_images), "--folder", str(out), "--workers", "1"]) == 0
    expected = make("c", images=load_idx(own_images)[0])
    assert torch.equal(all_weights(load(out / "c.safetensors")), all_weights(expected.half().float()))


# --- the families of notebook 9 -------------------------------------------------------------


def test_the_families_of_notebook_9_differ_in_nothing_else():
    betas = [RECIPES[f"beta_{beta:g}"] for beta in BETAS]
    assert [recipe["fit"]["beta"] for recipe in betas] == list(BETAS) and len(BETAS) >= 7
    alike = {"epochs": 20, "learning_rate": 3e-3}
    for recipe in betas:
        assert recipe["model"] == betas[0]["model"] and recipe["fit"] | {"beta": 1} == alike | {"beta": 1}
    for name, settings in REMEDIES.items():
        recipes = [RECIPES[f"remedy_{name}_{seed}"] for seed in SEEDS]
        assert recipes[0]["seeds"] != recipes[1]["seeds"]
        for recipe in recipes:
            assert recipe["model"] == {"latent_dim": 50, "hidden_dim": 160}
            assert recipe["fit"] == alike | settings


def test_the_families_of_notebook_9_are_small():
    sizes = [path.stat().st_size for kind in ("beta", "remedy") for path in FOLDER.glob(f"{kind}_*")]
    assert len(sizes) == len(BETAS) + len(REMEDIES) * len(SEEDS)
    assert sum(sizes) < 12e6 and max(sizes) < 0.9e6


def test_two_seeds_give_two_models():
    one, other = (load_pretrained(f"remedy_none_{seed}") for seed in SEEDS)
    assert not torch.equal(one.encoder[0].weight, other.encoder[0].weight)


def test_each_weight_of_the_kl_is_served_best_by_its_own_model():
    for weight in BETAS:
        scores = {beta: parts(f"beta_{beta:g}")[1] + weight * parts(f"beta_{beta:g}")[2] for beta in BETAS}
        assert min(scores, key=scores.get) == weight


def test_annealing_wakes_latents_and_pays():
    for seed in SEEDS:
        for name in ("warmup_0.2", "warmup_0.5"):
            assert active(f"remedy_{name}_{seed}") >= active(f"remedy_none_{seed}") + 2
            assert loss(f"remedy_{name}_{seed}") < loss(f"remedy_none_{seed}") - 0.3
        for name in ("free_bits_0.1", "free_bits_0.25"):
            assert active(f"remedy_{name}_{seed}") == 50


# --- interrupted and gone on --------------------------------------------------------------


@pytest.fixture
def three(tiny, monkeypatch, counted_fit):
    """Three recipes of 2 epochs of 2 steps, whose steps are counted."""
    recipe = {"model": MODEL, "fit": TWICE}
    monkeypatch.setattr(pretrained, "RECIPES", {"a": recipe, "b": recipe, "c": recipe})
    return counted_fit


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("interrupt_at", [1, 3, 4, 7, 12])
def test_making_goes_on_where_it_was_interrupted(tiny, three, capsys, monkeypatch, interrupt_at):
    monkeypatch.setattr(sys, "argv", ["pretrained", "--workers", "1"])
    assert main() == 0
    expected = contents(tiny)
    assert set(expected) == {"a.safetensors", "b.safetensors", "c.safetensors"} and len(three.steps) == 12
    old = {name: b"what was shipped before" for name in expected}
    for name, content in old.items():
        (tiny / name).write_bytes(content)
    three.steps.clear()
    three.interrupt_at = interrupt_at
    capsys.readouterr()
    assert main() == 130
    told = capsys.readouterr().err
    assert "interrupted" in told and "same command goes on" in told and "Traceback" not in told
    assert contents(tiny) == old  # untouched until all are done
    three.interrupt_at, before = None, list(three.steps)
    three.steps.clear()
    assert main() == 0
    assert contents(tiny) == expected and not (tiny / "unfinished").exists()
    # Two steps an epoch: what was finished is not done again.
    assert len(three.steps) == 12 - 2 * ((interrupt_at - 1) // 2)
    assert three.steps[0] == before[-1]
    assert "written: a, b, c" in capsys.readouterr().out


def test_an_unfinished_model_of_another_call_is_kept(tiny, three):
    three.interrupt_at = 3
    with pytest.raises(KeyboardInterrupt):
        make_all(["a"])
    three.interrupt_at = None
    make_all(["b", "b"])
    assert set(contents(tiny)) == {"b.safetensors"} and len(three.steps) == 3 + 4
    assert set(contents(tiny / "unfinished")) == {"a.checkpoint"}
    make_all(["a"])
    assert set(contents(tiny)) == {"a.safetensors", "b.safetensors"} and len(three.steps) == 3 + 4 + 2
    assert not (tiny / "unfinished").exists()


def test_a_finished_model_of_another_recipe_is_made_again(tiny, three, monkeypatch):
    """Of "a" and "b" the first is finished, and then its recipe changes."""
    three.interrupt_at = 5  # in the second model; two epochs of two steps each
    with pytest.raises(KeyboardInterrupt):
        make_all(["a", "b"], workers=1)
    assert {"a.safetensors", "a.json"} <= set(contents(tiny / "unfinished"))
    three.interrupt_at = None
    other = {"model": {"latent_dim": 2, "hidden_dim": 9}, "fit": {"epochs": 2, "progress": False}}
    monkeypatch.setitem(pretrained.RECIPES, "a", other)
    make_all(["a"])
    assert load_pretrained("a").config["hidden_dim"] == 9
    make_all(["b"])
    assert set(contents(tiny)) == {"a.safetensors", "b.safetensors"} and not (tiny / "unfinished").exists()


def test_a_recipe_that_changed_meanwhile_is_not_continued(tiny, three, monkeypatch):
    three.interrupt_at = 3
    with pytest.raises(KeyboardInterrupt):
        make_all(["a"])
    three.interrupt_at = None
    other = {"model": MODEL | {"hidden_dim": 9}, "fit": TWICE}
    monkeypatch.setitem(pretrained.RECIPES, "a", other)
    with pytest.raises(ValueError, match="a.checkpoint belongs to a training with another model; delete"):
        make_all(["a"])


# --- damaged ------------------------------------------------------------------------------


def listed(folder):
    """The checksums of a folder, as sha256sum wrote them."""
    return dict(line.split()[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())


@pytest.mark.parametrize("folder", [recipes.FOLDER, recipes.FOLDER / "burda"], ids=["weights", "burda"])
def test_each_shipped_file_has_its_checksum(folder):
    files = [path for path in folder.iterdir() if path.is_file() and path.name != "SHA256SUMS"]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert found == listed(folder)


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b[:-9] + bytes([b[-9] ^ 4]) + b[-8:]])
def test_a_changed_model_is_refused_with_the_remedy(tmp_path, monkeypatch, change):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    for name in ("latent_2.safetensors", "SHA256SUMS"):
        shutil.copy(recipes.FOLDER / name, tmp_path)
    file = tmp_path / "latent_2.safetensors"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(
        ValueError, match=r"latent_2\.safetensors: expected SHA-256 .* restore it with 'git ch"
    ):
        load_pretrained("latent_2")
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"latent_2\.safetensors: missing; restore it with 'git ch"):
        load_pretrained("latent_2")


def test_what_is_made_anew_gets_its_checksum(tiny, three):
    tiny.mkdir(exist_ok=True)
    (tiny / "SHA256SUMS").write_text(f"{'0' * 64}  a.safetensors\n")
    make_all(["a"])
    assert listed(tiny) == {
        "a.safetensors": hashlib.sha256((tiny / "a.safetensors").read_bytes()).hexdigest()
    }
    assert load_pretrained("a").config["hidden_dim"] == MODEL["hidden_dim"]


def test_a_call_that_was_killed_while_it_moved_its_models_ends_without_training(tiny, three, monkeypatch):
    replace, moved = os.replace, []

    def once(source, target):
        if str(target).endswith(".safetensors") and "unfinished" not in str(target):
            moved.append(target)
            if len(moved) == 2:
                raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", once)
    with pytest.raises(KeyboardInterrupt):
        make_all(["a", "b", "c"], workers=1)
    assert set(contents(tiny)) == {"a.safetensors"}
    three.steps.clear()
    make_all(["a", "b", "c"], workers=1)
    assert not three.steps and set(contents(tiny)) == {f"{name}.safetensors" for name in "abc"}
    assert not (tiny / "unfinished").exists()


def test_a_model_that_cannot_be_stored_is_not_trained_again(tiny, three, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.safetensors")

    with monkeypatch.context() as patch:
        patch.setattr(pretrained, "save", full)
        patch.setattr(sys, "argv", ["pretrained", "a", "--workers", "1"])
        with pytest.raises(SystemExit, match="2"):
            main()
    three.steps.clear()
    make_all(["a"])
    assert not three.steps and set(contents(tiny)) == {"a.safetensors"}
