"""The latent explorer and live training of notebook 7, and the explorer on a page of its own."""

import lab
import pytest
import torch
from latent import Plane

from vae_helpers.models.likelihoods import binarize
from vae_helpers.shipped.images import load_mnist
from vae_helpers.shipped.pretrained import load_pretrained
from vae_helpers.widgets.latent.explorer import LatentExplorer


@pytest.fixture
def static(chromium, tmp_path):
    """The page that `save_html` writes, opened from the disk with the network switched off."""
    model, (images, labels) = load_pretrained("latent_2"), load_mnist("test")
    with torch.no_grad():
        mu, _ = model.encode(binarize(images[:500], torch.Generator().manual_seed(0)))
    explorer = LatentExplorer(model, mu, labels[:500], alt="The latent plane of a model, for a test.")
    explorer.save_html(tmp_path / "plane.html")
    context = chromium.new_context(offline=True)
    asked, complaints = [], []
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
    page.goto((tmp_path / "plane.html").as_uri())
    page.wait_for_selector(".latent-explorer[data-z]")
    yield page
    context.close()
    assert complaints == []
    assert asked == [(tmp_path / "plane.html").as_uri()], "a page that needs something from elsewhere"


def test_a_page_without_kernel_and_network(static):
    check(Plane(static))


@pytest.mark.only("07")
def test_latent_explorer_in_the_notebook(notebook):
    plane = Plane(notebook.page)
    check(plane)
    plane.check_keys()
    z = plane.look()["z"]
    lab.eventually(lambda: same(notebook.kernel.ask("inside.latent()"), z))
    notebook.kernel.ask("inside.latent([0.5, -1.25])")
    plane.check_at((0.5, -1.25))
    assert notebook.console == []


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
def test_live_training_can_be_stopped_and_the_kernel_answers(notebook):
    page, live = notebook.page, Training(notebook.page)
    first = live.look()
    live.button("train it live").click()
    lab.eventually(lambda: differs(live.look()["status"], first["status"]))
    early = live.look()
    lab.eventually(lambda: differs(live.look()["width"], early["width"]))
    last = page.locator(".jp-CodeCell").last
    prompt = last.locator(".jp-InputPrompt").inner_text()
    lab.run_cell(page, last)
    lab.eventually(lambda: differs(last.locator(".jp-InputPrompt").inner_text(), prompt))
    lab.eventually(lambda: same(last.locator(".jp-OutputArea-output").all_inner_texts(), ["2"]))
    assert live.running(), "the answer came after the end of the training"
    live.button("stop").click()
    lab.eventually(lambda: same(live.running(), False))
    assert "stopped" in live.look()["status"]
    assert lab.errors(page) == []
    assert notebook.console == []


@pytest.mark.only("07")
def test_live_training_once_more_until_its_end(notebook):
    live = Training(notebook.page)
    first = live.look()
    live.button("train it live").click()
    lab.eventually(lambda: same(live.running(), True))
    lab.eventually(lambda: same(live.running(), False), patience=60)
    last = live.look()
    assert last["status"].startswith("done")
    assert last["width"] == "100%"
    assert last["picture"] != first["picture"]
    assert notebook.kernel.ask("inside.figures()") == []


class Training:
    """The live training of a page, seen from outside."""

    def __init__(self, page):
        self.element = page.locator(".vae-live-training")
        self.element.scroll_into_view_if_needed()

    def button(self, name):
        return self.element.get_by_role("button", name=name)

    def running(self):
        return self.button("train it live").is_disabled()

    def look(self):
        return {
            "status": self.element.locator(".vae-status").inner_text(),
            "width": self.element.locator(".progress-bar").evaluate("bar => bar.style.width"),
            "picture": self.element.locator("img.vae-picture").first.get_attribute("src"),
        }


def check(plane):
    """The checks that need no kernel."""
    plane.check_decoder()
    plane.check_at((0.0, 0.0), within=4)
    plane.check_keys()
    plane.check_drag()
    plane.check_reset()


def same(found, expected):
    assert found == expected


def differs(found, unwanted):
    assert found != unwanted
