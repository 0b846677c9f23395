"""The latent explorer and live training of notebook 7, and the explorer on a page of its own."""

from typing import Any, NamedTuple

import lab
import pytest
import torch
from latent import Plane

from vae_helpers.models.likelihoods import binarize
from vae_helpers.shipped.images import load_mnist
from vae_helpers.shipped.pretrained import load_pretrained
from vae_helpers.widgets.latent.explorer import LatentExplorer

# What it does with and without a kernel.
PROMISES = pytest.mark.parametrize("promise", ["decoder", "shown", "keys", "drag", "reset"])


class Static(NamedTuple):
    """A page that was opened from the disk, and what it has asked for and complained about so far."""

    page: Any
    address: str
    asked: list[str]
    complaints: list[str]


@pytest.fixture(scope="module")
def static(chromium, tmp_path_factory):
    """The page that `save_html` writes, opened with the network switched off."""
    model, (images, labels) = load_pretrained("latent_2"), load_mnist("test")
    with torch.no_grad():
        mu, _ = model.encode(binarize(images[:500], torch.Generator().manual_seed(0)))
    explorer = LatentExplorer(model, mu, labels[:500], alt="The latent plane of a model, for a test.")
    path = tmp_path_factory.mktemp("static") / "plane.html"
    explorer.save_html(path)
    context = chromium.new_context(offline=True)
    page = context.new_page()
    opened = Static(page, path.as_uri(), [], [])
    page.on("request", lambda request: opened.asked.append(request.url))
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("console", lambda line: opened.complaints.append(line.text) if line.type == "error" else None)
    page.goto(opened.address)
    page.wait_for_selector(".latent-explorer[data-z]")
    yield opened
    context.close()


@PROMISES
def test_latent_explorer_without_kernel_and_network(static, promise):
    getattr(Plane(static.page), f"check_{promise}")()


def test_a_page_of_its_own_asks_for_nothing_and_complains_of_nothing(static):
    for promise in ("keys", "drag", "reset"):
        getattr(Plane(static.page), f"check_{promise}")()
    assert static.asked == [static.address]
    assert static.complaints == []


@pytest.mark.only("07")
@PROMISES
def test_latent_explorer_in_the_notebook(notebook, promise):
    getattr(Plane(notebook.page), f"check_{promise}")()


@pytest.mark.only("07")
def test_the_kernel_follows_the_point(notebook):
    plane = Plane(notebook.page)
    plane.check_keys()
    z = plane.look()["z"]
    lab.eventually(lambda: same(notebook.kernel.ask("inside.latent()"), z))


@pytest.mark.only("07")
def test_the_point_follows_the_kernel(notebook):
    notebook.kernel.ask("inside.latent([0.5, -1.25])")
    Plane(notebook.page).check_at((0.5, -1.25))


@pytest.mark.only("07")
def test_latent_explorer_cells_run_twice(notebook):
    page, alive = notebook.page, notebook.kernel.ask("inside.alive()")
    plane = page.locator(".latent-explorer")
    plane.evaluate("element => { element.dataset.first = 'yes' }")
    shows = page.locator(".jp-CodeCell", has=plane).element_handle()
    makes = page.locator(".jp-CodeCell").filter(has_text="LatentExplorer(").first
    lab.run_cell(page, makes)
    lab.eventually(lambda: same(lab.idle(page), True))
    lab.run_cell(page, shows)
    lab.eventually(lambda: same(page.locator(".latent-explorer:not([data-first])").count(), 1))
    assert plane.count() == 1
    assert notebook.kernel.ask("inside.alive()") == alive
    assert lab.errors(page) == []


@pytest.mark.only("07")
def test_live_training_moves_its_bar_until_it_is_stopped(notebook):
    live = Training(notebook.page)
    first = live.look()
    live.button("train it live").click()
    lab.eventually(lambda: differs(live.look()["status"], first["status"]))
    early = live.look()
    lab.eventually(lambda: differs(live.look()["width"], early["width"]))
    live.stop()
    assert "stopped" in live.look()["status"]


@pytest.mark.only("07")
def test_the_kernel_answers_while_it_trains(notebook):
    page, live = notebook.page, Training(notebook.page)
    live.button("train it live").click()
    lab.eventually(lambda: same(live.running(), True))
    last = page.locator(".jp-CodeCell").last
    prompt = last.locator(".jp-InputPrompt").inner_text()
    lab.run_cell(page, last)
    lab.eventually(lambda: differs(last.locator(".jp-InputPrompt").inner_text(), prompt))
    lab.eventually(lambda: same(last.locator(".jp-OutputArea-output").all_inner_texts(), ["2"]))
    assert live.running(), "the answer came after the end of the training"
    live.stop()


@pytest.mark.only("07")
def test_live_training_once_more_until_its_end(notebook):
    live = Training(notebook.page)
    first = live.look()
    live.button("train it live").click()
    lab.eventually(lambda: same(live.running(), True))
    lab.eventually(lambda: same(live.running(), False), patience=300)  # it takes seconds on an idle machine
    last = live.look()
    assert last["status"].startswith("done")
    assert last["width"] == "100%"
    assert last["picture"] != first["picture"]
    assert notebook.kernel.ask("inside.figures()") == []


@pytest.mark.only("07")
def test_neither_explorer_nor_training_has_left_a_complaint(notebook):
    assert lab.errors(notebook.page) == []
    assert notebook.console == []


class Training:
    """The live training of a page, seen from outside."""

    def __init__(self, page):
        self.element = page.locator(".vae-live-training")
        self.element.scroll_into_view_if_needed()

    def button(self, name):
        return self.element.get_by_role("button", name=name)

    def stop(self):
        self.button("stop").click()
        lab.eventually(lambda: same(self.running(), False))

    def running(self):
        return self.button("train it live").is_disabled()

    def look(self):
        return {
            "status": self.element.locator(".vae-status").inner_text(),
            "width": self.element.locator(".progress-bar").evaluate("bar => bar.style.width"),
            "picture": self.element.locator("img.vae-picture").first.get_attribute("src"),
        }


def same(value, expected):
    assert value == expected


def differs(value, unwanted):
    assert value != unwanted
