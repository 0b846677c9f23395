"""The Lab as a widget and as a page of its own: what travels, what is refused, that it needs no more."""

import json
import re

import numpy as np
import pytest
from lab_engine import run_node

from vae_helpers.pictures import plotting
from vae_helpers.widgets import stage
from vae_helpers.widgets.bundle import join_modules
from vae_helpers.widgets.lab import lab
from vae_helpers.widgets.lab.lab import HERE, Lab

LARGEST_PAGE = 1_000_000  # bytes, with the images


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("lab") / "lab.html"
    Lab(loss="mean").save_html(path, title="A <lab> & more")
    return path.read_text(encoding="utf-8")


def test_a_page_is_small_and_asks_for_nothing(page):
    assert len(page.encode()) < LARGEST_PAGE
    without_names = page.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(
        r"https?://|\bhref\s*=|@import|\burl\(|\bfetch\(|XMLHttp|importScripts", without_names
    )
    assert not re.search(r"^(import|export)\b", page, re.MULTILINE)
    assert "<title>A &lt;lab&gt; &amp; more</title>" in page
    assert page.count("</script") == 1  # none in the texts that the script holds


def test_a_page_begins_with_the_settings_that_are_asked_for(page):
    assert page.count('{ settings: {"loss": "mean"} }') == 1


def test_a_page_into_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="^path: expected an existing folder"):
        Lab().save_html(tmp_path / "nowhere" / "lab.html")


def test_the_worker_holds_neither_page_nor_picture():
    worker = join_modules(HERE / "worker.js")
    assert "document" not in worker and "self.onmessage" in worker
    assert not re.search(r"^(import|export)\b", worker, re.MULTILINE)


def test_the_widget_is_given_one_module():
    text = Lab()._esm
    assert re.findall(r"^export .*", text, re.MULTILINE)[0].startswith("export default {")
    assert len(re.findall(r"^export ", text, re.MULTILINE)) == 1 and not re.search(
        r"^import\b", text, re.MULTILINE
    )


def test_colours_and_lines_are_those_of_the_course():
    data = lab.page_data()
    assert data["colors"] == list(plotting.CLASS_COLORS)
    for name, look in data["roles"].items():
        assert look["color"] == plotting.ROLES[name]["color"]
    assert data["roles"]["posterior"]["dash"] == [] and data["roles"]["evidence"]["dash"] == [10, 3]


def test_python_knows_the_positions_of_the_controls():
    losses = run_node("answer(losses.LOSSES.map(({ name }) => name));", "losses")
    assert lab._SETTINGS["loss"] == losses
    script = (HERE / "lab.js").read_text(encoding="utf-8")
    sliders = re.findall(r'^  \["(\w+)", "[^"]+", (\[[^\]]+\])\],$', script, re.MULTILINE)
    assert len(sliders) == 4
    for name, stops in sliders:
        assert lab._SETTINGS[name] == json.loads(stops)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"speed": 1}, "settings: expected some of .*, got 'speed'"),
        ({"beta": 3}, "beta: expected one of .*, got 3"),
        ({"loss": "wrong"}, "loss: expected one of .*, got 'wrong'"),
        ({"latents": True}, "latents: expected one of .*, got True"),
        ({"hidden": np.array([16])}, "hidden: expected one of"),
        ({"seed": -1}, "seed: expected one of"),
    ],
)
def test_settings_that_no_control_has_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Lab(**settings)


def test_output_holds_a_still_picture_and_no_widget():
    widget = Lab()
    data, metadata = widget._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html", "image/png"} and metadata["image/png"]["alt"]
    assert data["text/plain"] == "the Lab, which trains a VAE in the page"
    assert widget._stage.view == widget.model_id


def test_a_cell_run_twice_leaks_nothing():
    first, second = Lab(), Lab()
    assert stage.ON_STAGE["lab"] is second and first.comm is None
