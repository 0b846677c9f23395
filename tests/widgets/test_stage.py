"""What a cell stores in place of its widget, and what the kernel tells the page."""

import base64
import html
import io
import re

import ipywidgets
import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances
from PIL import Image

from vae_helpers.widgets.stage import BADGE_HEIGHT, Stage, close, with_badge


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
