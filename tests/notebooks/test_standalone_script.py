"""The script at the end of notebook 6, as a reader copies it: short, on its own, right, and it learns."""

import ast
import os
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from support.cells import PATHS, markdown
from support.worlds import write_idx

from vae_helpers.models import VAE, binarize, elbo
from vae_helpers.shipped import load_mnist

(SCRIPT,) = (
    found[1]
    for text in markdown(next(path for path in PATHS if path.stem.startswith("06_")))
    if (found := re.search(r"\*\*All of it in one file\.\*\*.*?```python\n(.*?)```", text, re.DOTALL))
)
NUM_IMAGES = 4000


def defined():
    """The script's names without its training: its imports, functions and classes alone."""
    tree = ast.parse(SCRIPT)
    tree.body = [
        n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
    ]
    space = {}
    exec(compile(tree, "the script", "exec"), space)
    return space


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What the script prints and draws for a part of MNIST."""
    folder = tmp_path_factory.mktemp("script")
    images, labels = load_mnist("train")
    pixels = (images[:NUM_IMAGES] * 255).round().to(torch.uint8).reshape(-1, 28, 28).numpy()
    write_idx(folder, "train", pixels, labels[:NUM_IMAGES].to(torch.uint8).numpy(), gz=True)
    (folder / "vae.py").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "vae.py", "train-images-idx3-ubyte.gz"],
        cwd=folder,
        env=os.environ | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, plt.imread(folder / "digits.png")


def test_it_has_at_most_forty_lines_that_fit_on_a_page():
    lines = SCRIPT.splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 100


def test_it_needs_nothing_of_the_course():
    names = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(SCRIPT))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names - set(sys.stdlib_module_names) == {"torch", "matplotlib"}


def test_its_loss_is_minus_the_elbo_of_the_course():
    model, x = defined()["VAE"](), binarize(load_mnist("test")[0][:50], torch.Generator().manual_seed(0))
    twin = VAE(latent_dim=20)
    twin.load_state_dict(model.state_dict())
    with torch.random.fork_rng():
        torch.manual_seed(1)  # the script draws from the global generator
        ours = model.negative_elbo(x)
    theirs = elbo(twin, x, generator=torch.Generator().manual_seed(1))
    assert ours.shape == (50,) and theirs.kl.mean() > 0.005
    torch.testing.assert_close(ours, -theirs.elbo, rtol=1e-5, atol=0)


def test_it_learns(run):
    losses = [float(found) for found in re.findall(r"-ELBO (\S+) nats", run[0])]
    assert len(losses) == 10
    assert losses[0] < 543 and losses[-1] < 190  # without any latent 206, and a deviation of the batch of 4


def test_it_draws_a_hundred_different_digits(run):
    ink = 1 - run[1][..., 0]
    assert ink.shape == (280, 280)
    digits = ink.reshape(10, 28, 10, 28).swapaxes(1, 2).reshape(100, 784)
    assert np.std(digits, axis=0).max() > 0.15 and 0.05 < ink.mean() < 0.3
