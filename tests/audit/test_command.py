"""`python -m vae_helpers audit`, as a reader starts it: on a file of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vae_helpers.audit.__main__ import main

ROOT = Path(__file__).parents[2]

MODEL = """
import torch
import torch.nn.functional as F
from mine import WIDTH
from vae_helpers.audit import course_vae
from vae_helpers.models import VAE

print("made")
model = VAE(3, WIDTH, num_hidden=1, generator=torch.Generator().manual_seed(0))


def number(x, weight=1.0):
    mu, log_var = model.encode(x)
    z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1).mean()
    return F.binary_cross_entropy_with_logits(model.decode(z), x, reduction="sum") / len(x) + weight * kl


def right():
    return course_vae(model, loss=number)


def wrong():
    return course_vae(model, loss=lambda x: number(x, 0.1))


def bare():
    return model


def other():
    return {"encode": model.encode}


def unknown():
    return course_vae(model, losses=number)


def nothing():
    return None


def own_images():
    return course_vae(model, images=torch.ones(4, 784))


value = 3
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text("WIDTH = 8\n", encoding="utf-8")
    (tmp_path / "my_vae.py").write_text(MODEL, encoding="utf-8")
    return tmp_path


def run(folder, name, *more):
    line = [f"{folder / 'my_vae.py'}:{name}", "--images", "20", "--effort", "quick", "--binarize", *more]
    return main(line)


def test_a_right_model_ends_with_0_and_a_report(folder, capsys):
    assert run(folder, "right", "--json", str(folder / "out.json"), "--train") == 0
    out = capsys.readouterr().out
    assert "✓ no mistake found" in out and "negative elbo" in out
    read = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    assert read["passed"] and read["score"] == 1 and read["about"]["images"] == 20
    assert "overfitting" in read["figures"]
    assert "mine" not in sys.modules or "my_vae" not in sys.modules


def test_a_mistake_ends_with_1_and_is_named(folder, capsys):
    assert run(folder, "wrong", "--json", str(folder / "out.json")) == 1
    assert "[term-scale]" in capsys.readouterr().out
    read = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    assert [mistake["code"] for mistake in read["mistakes"]] == ["term-scale"] and read["score"] < 1


def test_a_module_or_images_of_its_own_will_do(folder):
    assert run(folder, "bare") == 0
    assert run(folder, "own_images", "--json", str(folder / "out.json")) == 0
    assert json.loads((folder / "out.json").read_text(encoding="utf-8"))["about"]["images"] == 4


@pytest.mark.parametrize(
    "name, message",
    [
        ("other", "other: expected a dictionary with decode"),
        ("unknown", "expected arguments of audit, got losses"),
        ("nothing", "nothing: expected a dictionary of arguments of audit"),
        ("value", "expected a function value"),
        ("absent", "expected a function absent"),
    ],
)
def test_what_is_no_model_is_told_in_a_line_and_ends_with_2(name, message, folder, capsys):
    with pytest.raises(SystemExit) as ended:
        run(folder, name)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "place, message",
    [
        ("vae.pt", "a file of weights is not opened here"),
        ("vae.pth:make", "a file of weights is not opened here"),
        ("my_vae.py", "expected FILE.py:FUNCTION"),
        ("nowhere.py:make", "expected a file that exists"),
    ],
)
def test_other_files_are_not_opened(place, message, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "vae.pt").write_bytes(b"no model")
    with pytest.raises(SystemExit) as ended:
        main([place])
    assert ended.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, message",
    [
        (["--images", "1"], "--images: expected"),
        (["--shape", "27", "27"], "--shape: expected sizes whose product is 784"),
        (["--data", "nowhere"], "nowhere"),
        (["--json", "nowhere/out.json"], "--json: expected a file in a folder that exists"),
    ],
)
def test_wrong_options_are_told_in_a_line(options, message, folder, capsys):
    with pytest.raises(SystemExit) as ended:
        run(folder, "right", *options)
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_from_the_shell(folder):
    line = [f"{folder / 'my_vae.py'}:wrong", "--images", "20", "--effort", "quick", "--binarize"]
    command = [sys.executable, "-m", "vae_helpers", "audit", *line]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert ended.returncode == 1, ended.stderr
    assert "[term-scale]" in ended.stdout and "audit, about" in ended.stderr
