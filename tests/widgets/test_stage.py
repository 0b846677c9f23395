"""What a cell stores in place of its widget, and what the kernel tells the page."""

import base64
import html
import io
import re
import sys
import types

import ipywidgets
import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from PIL import Image

from vae_helpers.models import VAE
from vae_helpers.widgets import LatentExplorer, explore, numbers, plot, slider
from vae_helpers.widgets.checkup import Doctor
from vae_helpers.widgets.stage import BADGE_HEIGHT, Stage, close, in_output, with_badge


def grey(width=400, height=60):
    file = io.BytesIO()
    Image.new("RGB", (width, height), (128, 128, 128)).save(file, "png")
    return file.getvalue()


@pytest.fixture
def stage():
    shown = ipywidgets.VBox()
    stage = Stage(shown, ["One.", "Two."])
    yield stage
    close(stage)
    close(shown)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


@pytest.mark.parametrize("width", [100, 400, 1000])
def test_a_still_stands_under_a_strip_with_words(width):
    plain, still = pixels(grey(width)), pixels(with_badge(grey(width)))
    assert still.shape == (BADGE_HEIGHT + 60, width, 3)
    np.testing.assert_array_equal(still[BADGE_HEIGHT:], plain)
    strip = still[: BADGE_HEIGHT - 6, : min(width, 200)]
    dark, light = strip.sum(axis=-1) < 300, strip.sum(axis=-1) > 700
    assert dark.mean() > 0.5 and 0.03 < light.mean() < 0.5  # light words on a dark ground


def test_the_output_holds_picture_words_and_place_but_no_widget(stage):
    data, metadata = stage.bundle(grey(), 'A "grey" <square>.', "slope 1 < 2 & more")
    assert set(data) == {"text/plain", "text/html", "image/png"}
    assert data["text/plain"] == "slope 1 < 2 & more"
    assert metadata == {"image/png": {"alt": 'A "grey" <square>.'}}
    assert np.abs(pixels(base64.b64decode(data["image/png"]))[BADGE_HEIGHT:] - 128).max() <= 1
    page = data["text/html"]
    assert f'data-vae-view="{stage.view}"' in page and data["image/png"] in page
    assert html.unescape(re.search('alt="([^"]*)"', page)[1]) == 'A "grey" <square>.'
    words = html.unescape(re.sub("<[^>]*>", "", page))
    assert words == "Still picture. Run this cell to move it. It shows: slope 1 < 2 & more."


def test_without_a_picture_the_words_alone_stand_there(stage):
    data, metadata = stage.bundle(b"", "", "a < b")
    assert set(data) == {"text/plain", "text/html"} and metadata == {}
    assert "<img" not in data["text/html"] and "<b>Run this cell</b>: a &lt; b." in data["text/html"]


# ---- where the script does not reach the page --------------------------------------------------

VIEW = "application/vnd.jupyter.widget-view+json"
CORE = {"@jupyter-widgets/base", "@jupyter-widgets/controls"}


def small_model():
    return VAE(latent_dim=2, hidden_dim=8, generator=torch.Generator().manual_seed(1))


def explorer(name="anywhere"):
    return explore(
        plot(lambda ax, a: ax.plot([0, a]), alt="A line."),
        numbers(lambda a: {"a": a}),
        name=name,
        a=slider("a", 1.0, 0.0, 2.0, 0.5),
    )


def parts(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)


@pytest.fixture(params=["the setting", "Colab", "VS Code"])
def somewhere_else(request, monkeypatch):
    if request.param == "the setting":
        monkeypatch.setenv("VAE_WIDGETS", "output")
    elif request.param == "Colab":
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    else:
        shell = types.SimpleNamespace(user_ns={"__vsc_ipynb_file__": "/some/where.ipynb"})
        monkeypatch.setattr("vae_helpers.widgets.stage.get_ipython", lambda: shell)
    return request.param


def test_an_output_with_a_page_of_its_own_holds_the_widget_itself(somewhere_else):
    shown = explorer()
    assert in_output()
    data = shown._repr_mimebundle_()
    data = data[0] if isinstance(data, tuple) else data
    assert data[VIEW]["model_id"] == shown.model_id
    assert {part._view_module for part in parts(shown)} <= CORE
    shown.close_all()


@pytest.mark.parametrize("setting", ["page", ""])
def test_in_jupyterlab_and_by_the_setting_the_output_holds_a_picture(monkeypatch, setting):
    monkeypatch.setenv("VAE_WIDGETS", setting)
    if setting:  # it counts more than where the notebook runs
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    shown = explorer()
    data, _ = shown._repr_mimebundle_()
    assert not in_output() and VIEW not in data and "vae-still" in data["text/html"]
    shown.close_all()


def test_a_widget_with_a_script_of_its_own_stays_a_picture_in_colab_alone(somewhere_else):
    shown = LatentExplorer(small_model(), torch.tensor([[0.5, -1.0]]), torch.tensor([3]), alt="A plane.")
    data = shown._repr_mimebundle_()
    data = data[0] if isinstance(data, tuple) else data
    assert (VIEW in data) == (somewhere_else != "Colab")
    shown.close_all()


def test_another_setting_is_told(monkeypatch):
    monkeypatch.setenv("VAE_WIDGETS", "cell")
    with pytest.raises(ValueError, match="^VAE_WIDGETS: expected 'page' or 'output', got 'cell'$"):
        in_output()


def test_the_doctor_asks_nothing_of_a_page_that_it_cannot_reach(monkeypatch):
    monkeypatch.setenv("VAE_WIDGETS", "output")
    panel = Doctor()
    assert "sliders in the page" not in [finding.what for finding in panel.findings]
    panel.control.input.value = 4
    assert panel.findings[-1].well and panel.findings[-1].what == "the slider below"
    panel.close_all()


def test_the_kernel_answers_what_the_page_asks(stage):
    for number in (1, 2, 7):
        stage.set_state({"asked": number})
        assert stage.answered == number


def test_a_closed_stage_leaves_nothing_behind():
    before = len(_instances)
    shown = ipywidgets.VBox()
    stage = Stage(shown, [])
    close(stage)
    close(shown)
    assert len(_instances) == before
