"""The command that measures the cases of notebook 10: what it runs is what the notebook shows."""

import json

import mistakes
import numpy as np
import pytest
import torch

from vae_helpers.models.storage import fingerprint
from vae_helpers.shipped import load_mistakes, load_mnist
from vae_helpers.shipped.mistakes import FILE

FEW = 400  # images
SOURCE = mistakes.definitions()


@pytest.fixture
def space():
    """The names of the definitions, with few images and a single epoch."""
    space = mistakes.executed(SOURCE)
    space["images"], space["test_images"] = space["images"][:FEW], space["test_images"][:100]
    train = space["train"]
    space["train"] = lambda name, seed: train(name, seed, epochs=1)
    return space


def test_the_shipped_figures_are_those_of_the_notebook_as_it_stands():
    kept = json.loads(FILE.read_text(encoding="utf-8"))
    assert kept["definitions"] == mistakes.fingerprint_of(SOURCE), "run `python notebooks/mistakes.py`"
    assert kept["images"] == fingerprint(load_mnist("train")[0][:20_000])
    assert list(load_mistakes()) == list(mistakes.executed(SOURCE)["CASES"])


def test_comments_and_layout_make_no_other_definitions():
    one, other = "a = 1  # one\n", "a   =   1\n\n"
    assert mistakes.fingerprint_of(one) == mistakes.fingerprint_of(other) != mistakes.fingerprint_of("a = 2")


def test_a_seed_gives_the_same_figures_again(space):
    space["CASES"] = {name: space["CASES"][name] for name in ("right", "2 latents: right", "grey: right")}
    found = mistakes.measure(space, 2)
    assert found == mistakes.measure(space, 2)
    assert found["right"]["claim"][0] != found["right"]["claim"][1]
    assert set(found["2 latents: right"]) - set(found["right"]) == {"evidence"}
    assert set(found["grey: right"]) - set(found["right"]) == {"noise"}


def test_the_right_loss_claims_the_elbo(space):
    model = space["train"]("right", 0)
    figures = mistakes.figures(space, "right", model)
    assert figures["claim"] == pytest.approx(figures["true"], abs=3)
    mu, log_var = model.encode(space["test_images"].round())
    assert figures["std"] == pytest.approx(torch.exp(log_var / 2).mean().item(), abs=0.1)


def test_a_loss_that_is_no_number_ends_the_training(space):
    space["CASES"]["broken"] = {"log_lik": lambda x, x_logits: (x_logits * np.nan).sum(dim=-1)}
    assert space["train"]("broken", 0) is None
    assert set(mistakes.figures(space, "broken", None).values()) == {None}


@pytest.mark.parametrize(
    "value, kept",
    [(-123.45678, -123.457), (3.87061234e23, 3.87061e23), (float("inf"), None), (float("nan"), None)],
)
def test_figures_are_kept_short(value, kept):
    assert mistakes.rounded(value) == kept


def test_the_file_is_replaced_only_when_all_is_done(space, tmp_path, monkeypatch):
    space["CASES"] = {"right": {}}
    monkeypatch.setattr(mistakes, "executed", lambda source: space)
    file = tmp_path / "mistakes.json"
    file.write_text("before")
    with pytest.raises(ValueError, match="seeds: expected at least 3, got 2"):
        mistakes.make(2, file)
    train = space["train"]
    space["train"] = lambda name, seed: 1 / 0 if seed == 2 else train(name, seed)
    with pytest.raises(ZeroDivisionError):
        mistakes.make(3, file)
    assert file.read_text() == "before" and list(tmp_path.iterdir()) == [file]
    space["train"] = train
    assert mistakes.main(["--seeds", "3", "--file", str(file)]) == 0
    assert len(json.loads(file.read_text())["models"]["right"]["claim"]) == 3


@pytest.mark.parametrize(
    "line, said", [(["--seeds", "2"], "seeds: expected at least 3"), (["--seeds", "x"], "--seeds")]
)
def test_a_wrong_command_line_is_told_in_a_line(line, said, capsys):
    with pytest.raises(SystemExit) as ended:
        mistakes.main(line)
    assert ended.value.code == 2 and said in capsys.readouterr().err
