"""The Lab on a page of its own, opened from the disk: trained for real with each loss, beside PyTorch."""

import base64
import io
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lab
import numpy as np
import pytest
import torch
from PIL import Image

from vae_helpers.models import VAE
from vae_helpers.models.evaluation import elbo_quadrature, quadrature
from vae_helpers.shipped.images import load_mnist
from vae_helpers.widgets.lab import data
from vae_helpers.widgets.lab.lab import Lab, data_script, script

sys.path.append(str(Path(__file__).parents[1] / "widgets"))
from lab_losses import PARTS, objective

AXE = lab.HERE / "node_modules" / "axe-core" / "axe.min.js"
MEASURED = 100  # test images
NATS = 1e-4
STEPS = 200  # of a training: the loss has long shown itself
WAIT = 60.0  # seconds for a training or a measurement that takes a few
DESKTOP, PHONE = 1280, 390
# What the printed number is, beside the true ELBO and log p(x), after that many steps.
TELLS = {
    "right": lambda p: p["printed"] == p["elbo"] < p["evidence"],
    "half": lambda p: p["printed"] < p["elbo"] - 0.5,
    "added": lambda p: p["printed"] > p["evidence"] and p["elbo"] < p["evidence"] - 10,
    "pixels": lambda p: -0.5 < p["printed"] < 0 and p["rate"] < 0.1,
    "std": lambda p: 0.005 < abs(p["printed"] - p["elbo"]) < 5,
    "log": lambda p: p["printed"] > p["elbo"] + 0.5,
    "latents": lambda p: abs(p["printed"] - p["elbo"] - p["rate"] / 2) < 1e-6,
    "variance": lambda p: p["printed"] > p["elbo"] + 0.2,
    "mean": lambda p: p["printed"] > p["evidence"],
    "uniform": lambda p: p["printed"] > p["elbo"] + 0.5,
    "squared": lambda p: p["printed"] > p["evidence"] + 15,
    "grey": lambda p: abs(p["printed"] - p["elbo"]) > 1,
}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("the_lab") / "lab.html"
    Lab().save_html(path)
    return path.as_uri()


@dataclass
class Open:
    """A Lab in a page, and what the page has asked for and complained about."""

    page: Any
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.root = self.page.locator(".lab")

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def slider(self, name):
        return self.page.get_by_role("slider", name=name)

    def choose(self, name, value):
        self.page.get_by_label(name, exact=True).select_option(str(value))

    def message(self):
        return self.page.locator(".lab-message").inner_text()

    def handle(self, call):
        return self.root.evaluate(f"root => root.lab.{call}")

    def steps(self):
        return int(self.root.get_attribute("data-steps"))

    def wait(self, condition):
        self.page.wait_for_function(
            f"() => {{ const root = document.querySelector('.lab'); return {condition}; }}",
            timeout=1000 * WAIT,
        )

    def wait_until_measured(self, steps):
        self.wait(f"root.dataset.measured === '{steps}'")

    def train(self, steps=STEPS):
        """Trains for a number of steps and waits until what came of it is measured."""
        steps += self.steps()
        self.handle(f"train({steps})")
        self.wait_until_measured(steps)
        return self.handle("points()")[-1]

    def look(self):
        """What is measured of the chosen image, once it is."""
        self.wait("Number(root.dataset.looked) > 0 && root.lab.settled()")
        return self.handle("looked()")


@pytest.fixture
def open_lab(chromium, address):
    contexts = []

    def opened(width=DESKTOP, script="", **options):
        context = chromium.new_context(
            viewport={"width": width, "height": 800}, offline=True, has_touch=width == PHONE, **options
        )
        contexts.append(context)
        page = context.new_page()
        found = Open(page)
        page.on("request", lambda request: found.asked.append(request.url))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.on("console", lambda line: found.complaints.append(line.text) if line.type == "error" else None)
        if script:
            page.add_init_script(script)
        page.goto(address)
        found.wait_until_measured(0)
        return found

    yield opened
    for context in contexts:
        context.close()


def from_weights(exported):
    """PyTorch's model of what the page exports, in double precision."""
    hidden, latents = exported["hidden"], exported["latents"]
    model = VAE(latents, hidden, num_hidden=1, activation="tanh", data_dim=196).double()
    rest = torch.tensor(exported["all"], dtype=torch.float64)
    with torch.no_grad():
        for layer, turned in (
            (model.encoder[0], True),
            (model.encoder[2], False),
            (model.decoder[0], True),
            (model.decoder[2], False),
        ):
            shape = layer.weight.T.shape if turned else layer.weight.shape
            size = layer.weight.numel()
            weight = rest[:size].reshape(shape)
            layer.weight.copy_(weight.T if turned else weight)
            layer.bias.copy_(rest[size : size + len(layer.bias)])
            rest = rest[size + len(layer.bias) :]
    assert len(rest) == 0
    return model


def test_images(grey=False, count=MEASURED):
    levels = data.levels(load_mnist("test")[0][:count].numpy())
    return torch.tensor(levels / 3 if grey else (levels >= 2).astype(float))


test_images.__test__ = False  # a helper


# ---- training --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PARTS)
def test_each_loss_is_trained_and_the_truth_beside_it_tells(open_lab, name):
    opened = open_lab()
    opened.choose("mistake in the loss", name)
    opened.button("Train").click()
    opened.wait(f"Number(root.dataset.steps) >= {STEPS}")
    opened.button("Pause").click()
    opened.wait("root.dataset.running === 'false' && root.dataset.measured === root.dataset.steps")
    point = opened.handle("points()")[-1]
    assert point["loss"] == name and TELLS[name](point), point
    assert point["elbo"] <= point["evidence"] + NATS
    assert abs(point["rate"] + point["distortion"] + point["elbo"]) < 1e-6
    assert opened.complaints == []


@pytest.mark.parametrize("latents", [1, 2])
@pytest.mark.parametrize("name", ["right", "log", "squared"])
def test_weights_from_the_page_have_the_same_numbers_in_pytorch(open_lab, name, latents):
    opened = open_lab()
    opened.choose("latents", latents)
    opened.choose("mistake in the loss", name)
    opened.wait("root.dataset.measured === '0'")
    point = opened.train()
    exported = opened.handle("weights()")
    assert exported["steps"] == STEPS and exported["latents"] == latents
    model, x = from_weights(exported), test_images()
    expected = quadrature(model, x, num_grid=400, limit=6.0)
    assert expected.error.max() < NATS / 10
    assert abs(point["evidence"] - expected.log_evidence.mean().item()) < NATS
    assert abs(point["elbo"] - elbo_quadrature(model, x).mean().item()) < NATS
    nodes, weights = np.polynomial.hermite_e.hermegauss(10)
    grid = np.stack(np.meshgrid(*[nodes] * latents), axis=-1).reshape(-1, latents)
    products = np.prod(np.meshgrid(*[weights / weights.sum()] * latents), axis=0).ravel()
    with torch.no_grad():
        values = [objective(name)(model, x, torch.tensor(e).expand(MEASURED, -1)).mean().item() for e in grid]
    assert abs(point["printed"] - np.dot(products, values)) < NATS


def test_the_chosen_image_has_the_same_numbers_in_pytorch(open_lab):
    opened = open_lab()
    opened.train()
    opened.choose("take a test image", 3)
    looked, model = opened.look(), from_weights(opened.handle("weights()"))
    x = test_images(count=4)[3:]
    assert abs(looked["evidence"] - quadrature(model, x, 400, 6.0).log_evidence.item()) < NATS
    assert abs(looked["elbo"] - elbo_quadrature(model, x).item()) < NATS
    with torch.no_grad():
        mu, log_var = model.encode(x)
        image = model.mean(mu)[0]
    np.testing.assert_allclose(looked["mu"], mu[0], atol=1e-5)
    np.testing.assert_allclose(looked["sigma"], (0.5 * log_var[0]).exp(), atol=1e-5)
    np.testing.assert_allclose(looked["image"], image, atol=1e-5)


def test_a_seeded_run_repeats_to_the_bit_and_another_seed_does_not(open_lab):
    opened, runs = open_lab(), []
    for seed in (5, 5, 6):
        opened.page.get_by_label("seed").fill(str(seed))
        opened.page.get_by_label("seed").press("Enter")
        opened.button("Reset").click()
        opened.wait_until_measured(0)
        opened.train(60)
        runs.append((opened.handle("weights()")["all"], opened.handle("points()")[-1]["printed"]))
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


def test_without_a_worker_the_page_trains_the_same_model(open_lab):
    models = []
    for before in ("", "delete window.Worker;"):
        opened = open_lab(script=before)
        assert opened.handle("helper()") == ("page" if before else "worker")
        opened.train(60)
        models.append(opened.handle("weights()")["all"])
        assert opened.complaints == []
    assert models[0] == models[1]


def test_a_single_step_is_one_step_and_reset_takes_all_back(open_lab):
    opened = open_lab()
    first = opened.handle("weights()")["all"]
    opened.button("One step").click()
    opened.wait_until_measured(1)
    opened.button("One step").click()
    opened.wait_until_measured(2)
    assert opened.handle("weights()")["all"] != first
    opened.button("Reset").click()
    opened.wait_until_measured(0)
    assert opened.handle("weights()")["all"] == first and len(opened.handle("points()")) == 1


def test_a_change_on_the_way_keeps_the_model_and_measures_the_new_loss(open_lab):
    opened = open_lab()
    before = opened.train(60)
    opened.choose("mistake in the loss", "half")
    opened.wait("root.lab.points().at(-1).loss === 'half'")
    after = opened.handle("points()")[-1]
    assert after["steps"] == 60 and after["elbo"] == before["elbo"]
    assert abs(after["printed"] - (before["elbo"] - before["rate"])) < 1e-6


def test_what_needs_another_model_begins_anew(open_lab):
    opened = open_lab()
    opened.train(60)
    opened.slider("hidden units").press("ArrowLeft")
    opened.wait("root.dataset.measured === '0'")
    assert opened.handle("weights()")["hidden"] == 32
    assert "32" in opened.message() and "step 0" in opened.message()


def test_a_learning_rate_that_diverges_is_told_and_taken_back(open_lab):
    opened = open_lab()
    first = opened.handle("weights()")["all"]
    opened.slider("learning rate").press("End")
    opened.button("Train").click()
    opened.wait("document.querySelector('.lab-message').textContent.includes('NaN')")
    assert "At step " in opened.message() and "learning rate 10 is too large" in opened.message()
    opened.wait_until_measured(0)
    assert opened.handle("weights()")["all"] == first
    assert opened.button("Train").is_visible()
    for _ in range(7):
        opened.slider("learning rate").press("ArrowLeft")
    assert opened.train(60)["elbo"] > opened.handle("points()")[0]["elbo"]
    assert opened.message() == "" and opened.complaints == []


# ---- controls -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, value, text",
    [
        ("β, the weight of the KL", "beta", "2"),
        ("learning rate", "rate", "0.01"),
        ("images in a batch", "batch", "128"),
        ("hidden units", "hidden", "128"),
    ],
)
def test_a_slider_is_moved_by_keys_and_speaks_its_value(open_lab, name, value, text):
    opened = open_lab()
    slider = opened.slider(name)
    slider.focus()
    slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == text
    assert opened.handle("weights()")[value] == float(text)


def test_all_is_reached_and_started_by_keys(open_lab):
    opened = open_lab()
    opened.button("Train").focus()
    opened.page.keyboard.press("Enter")
    opened.wait("Number(root.dataset.steps) > 10")
    opened.page.keyboard.press("Space")
    opened.wait("root.dataset.running === 'false'")
    seen = set()
    for _ in range(40):
        opened.page.keyboard.press("Tab")
        seen.add(
            opened.page.evaluate(
                "(document.activeElement.type || document.activeElement.tagName).toLowerCase()"
                " + (document.activeElement.className || '')"
            )
        )
    assert {"range", "select-one", "number", "checkbox", "file", "canvaslab-pad", "summary"} <= seen


def test_the_table_holds_the_numbers_that_were_measured(open_lab):
    opened = open_lab()
    opened.train(60)
    opened.page.get_by_text("The numbers as a table").click()
    rows = opened.page.locator(".lab table tbody tr")
    point = opened.handle("points()")[-1]
    assert rows.count() == len(opened.handle("points()"))
    cells = [text.replace("−", "-") for text in rows.last.locator("th, td").all_inner_texts()]
    expected = [
        60,
        point["printed"],
        point["elbo"],
        point["evidence"],
        point["evidence"] - point["elbo"],
        point["printed"] - point["elbo"],
        point["rate"],
        point["distortion"],
    ]
    np.testing.assert_allclose([float(cell) for cell in cells], expected, atol=0.0051)


def test_the_numbers_on_the_page_are_those_that_were_measured(open_lab):
    opened = open_lab()
    opened.choose("mistake in the loss", "mean")
    point = opened.train()
    for name in ("printed", "elbo", "evidence"):
        shown = opened.page.locator(f'[data-number="{name}"]').inner_text()
        assert abs(float(shown.replace("−", "-")) - point[name]) < 0.0501
    assert "above log p(x), where no lower bound can be" in opened.page.locator(".lab-verdict").inner_text()


# ---- the chosen image ------------------------------------------------------------------------------


def test_a_digit_is_drawn_by_mouse_and_by_keys(open_lab):
    opened = open_lab()
    opened.train(60)
    opened.button("Clear").click()
    empty = opened.look()["evidence"]
    pad = opened.page.locator(".lab-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 20, steps=2)
    opened.page.mouse.up()
    by_mouse = opened.look()["evidence"]
    assert by_mouse != empty
    assert opened.handle("pixels().reduce((a, b) => a + b)") >= 10, "the stroke has holes"
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("Space")
    opened.page.wait_for_function(
        "document.querySelector('.lab-spoken').textContent.match(/row \\d+, column \\d+: ink/)"
    )
    assert opened.look()["evidence"] != by_mouse


def test_a_finger_trains_and_draws_on_a_phone(open_lab):
    opened = open_lab(PHONE)
    opened.button("Train").tap()
    opened.wait("Number(root.dataset.steps) > 10")
    opened.button("Pause").tap()
    opened.wait("root.dataset.running === 'false'")
    opened.button("Clear").tap()
    opened.page.locator(".lab-pad").tap()
    assert sum(opened.handle("pixels()")) == 1


def test_an_image_that_is_added_to_the_data_becomes_more_probable(open_lab):
    opened = open_lab()
    opened.train(100)
    opened.button("Clear").click()
    pad = opened.page.locator(".lab-pad")
    pad.focus()
    for key in ["ArrowLeft"] * 6 + ["Space", "ArrowRight"] * 12:  # a bar that no digit has
        pad.press(key)
    before = opened.look()["evidence"]
    opened.button("Add it to the training images").click()
    assert "50 times" in opened.message()
    opened.train(300)
    opened.choose("take a test image", 1)  # any look again
    opened.look()
    assert "5,050 images" in opened.page.locator(".lab-pace").inner_text()
    after = opened.handle("evidenceOf(" + str(BAR) + ")")
    assert after > before + 5


BAR = [1 if row == 6 and column < 12 else 0 for row in range(14) for column in range(14)]


def picture(image, kind="PNG"):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def a_seven(size, paper, ink, mode="RGB"):
    image = Image.new(mode, size, paper)
    width, height = size
    image.paste(ink, (width // 4, height // 5, 3 * width // 4, height // 5 + height // 10))
    image.paste(ink, (3 * width // 4 - width // 10, height // 5, 3 * width // 4, 4 * height // 5))
    return image


A_SEVEN_DRAWN = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 28 28">
    <path d="M7 6 h14 v16" fill="none" stroke="black" stroke-width="3"/></svg>"""


@pytest.mark.parametrize(
    "name, content, told",
    [
        ("colour.png", picture(a_seven((300, 300), (250, 240, 200), (150, 0, 40))), "in colour, made grey"),
        ("wide.jpg", picture(a_seven((400, 200), (255, 255, 255), (0, 0, 0)), "JPEG"), "400 × 200 pixels"),
        ("night.png", picture(a_seven((28, 28), 0, 255, "L")), "lighter than"),
        ("clear.png", picture(a_seven((64, 64), (0, 0, 0, 0), (0, 0, 0, 255), "RGBA")), "darker than"),
        ("white.png", picture(a_seven((64, 64), (0, 0, 0, 0), (255, 255, 255, 255), "RGBA")), "lighter than"),
        ("drawn.svg", A_SEVEN_DRAWN, "darker than"),
        ("ready.png", picture(a_seven((14, 14), 255, 0, "L")), "already 14 × 14"),
    ],
)
def test_a_picture_of_any_size_and_colour_is_taken_and_told(open_lab, name, content, told):
    opened = open_lab()
    kind = {"jpg": "jpeg", "svg": "svg+xml"}.get(name[-3:], "png")
    file = {"name": name, "mimeType": f"image/{kind}", "buffer": content}
    opened.page.locator("input[type=file]").set_input_files(file)
    opened.wait("document.querySelector('.lab-message').textContent.includes('not left this page')")
    assert told in opened.message() and name in opened.message()
    ink = np.reshape(opened.handle("pixels()"), (14, 14))
    assert 8 <= ink.sum() <= 40 and ink[:1].sum() == ink[-1:].sum() == 0
    assert opened.complaints == [] and len(opened.asked) == len(set(opened.asked))


def test_a_picture_of_mnist_becomes_the_image_that_is_trained_on(open_lab):
    opened = open_lab()
    grey = (255 * load_mnist("test")[0][4].reshape(28, 28)).byte().numpy()
    file = {"name": "four.png", "mimeType": "image/png", "buffer": picture(Image.fromarray(grey))}
    opened.page.locator("input[type=file]").set_input_files(file)
    opened.wait("document.querySelector('.lab-message').textContent.includes('four.png')")
    np.testing.assert_array_equal(opened.handle("pixels()"), test_images(count=5)[4])


@pytest.mark.parametrize(
    "name, kind, content, told",
    [
        ("notes.txt", "text/plain", b"no picture", "is no picture; expected a file such as PNG"),
        ("broken.png", "image/png", b"\x89PNG\r\n\x1a\nbroken", "cannot be read as a picture"),
        ("blank.png", "image/png", picture(Image.new("L", (50, 50), 200)), "has no ink"),
    ],
)
def test_what_is_no_image_is_refused_with_a_sentence(open_lab, name, kind, content, told):
    opened = open_lab()
    before = opened.handle("pixels()")
    opened.page.locator("input[type=file]").set_input_files(
        {"name": name, "mimeType": kind, "buffer": content}
    )
    opened.wait(f"document.querySelector('.lab-message').textContent.includes('{name}')")
    assert told in opened.message()
    assert opened.handle("pixels()") == before and opened.complaints == []


def test_a_picture_can_be_dropped(open_lab):
    opened = open_lab()
    content = base64.b64encode(picture(a_seven((140, 140), 255, 0, "L"))).decode()
    opened.root.evaluate(
        """(root, content) => {
            const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
            root.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        content,
    )
    opened.wait("document.querySelector('.lab-message').textContent.includes('dropped.png')")
    assert opened.look()["image"]


# ---- the tour -----------------------------------------------------------------------------------------


def test_the_tour_asks_for_a_prediction_before_each_of_its_six_steps(open_lab):
    opened = open_lab()
    opened.page.get_by_text("Guided tour: six predictions").click()
    tour, told = opened.page.locator(".lab-tour"), opened.page.locator(".lab-told")
    for number in range(1, 7):
        assert tour.locator("h2").inner_text().startswith(f"Step {number} of 6")
        show = opened.button("Show me")
        assert show.is_disabled() and told.inner_text() == ""
        tour.get_by_role("radio").nth(2 if number in (1, 3, 5, 6) else 1 if number == 2 else 0).check()
        show.click()
        opened.page.wait_for_function(
            "/predicted/.test(document.querySelector('.lab-told').textContent)", timeout=1000 * WAIT
        )
        assert told.inner_text().startswith("As you predicted"), told.inner_text()
        assert "NaN" not in told.inner_text() and "undefined" not in told.inner_text()
        check_told(number, opened.handle("points()")[-1], opened.handle("points()"))
        opened.button("Begin again" if number == 6 else "Next step").click()
    assert opened.complaints == []


def check_told(number, point, points):
    """What a step of the tour calls the right prediction is what was measured."""
    gap = point["evidence"] - point["elbo"]
    right = {
        1: gap < 1,
        2: point["evidence"] > point["elbo"] == point["printed"],
        3: point["printed"] > point["evidence"],
        4: point["rate"] < 0.01,
        5: point["distortion"] > 38 and point["rate"] < 2,
        6: point["loss"] == "right",
    }
    assert right[number], point


# ---- the page -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("latents", [1, 2])
def test_it_asks_for_nothing_complains_of_nothing_and_fits(open_lab, address, width, latents):
    opened = open_lab(width)
    opened.choose("latents", latents)
    opened.wait("root.dataset.measured === '0'")
    opened.train(60)
    opened.look()
    assert [url for url in opened.asked if not url.startswith("blob:")] == [address]
    assert opened.complaints == []
    wider = opened.page.evaluate(
        """() => [...document.querySelectorAll(".lab *")].filter((element) => {
            const box = element.getBoundingClientRect();
            return box.width && box.right > document.documentElement.clientWidth + 1
              && !element.closest(".lab-spoken, .lab-scroll");
        }).map((element) => element.tagName + "." + element.className)"""
    )
    assert wider == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    blank = opened.page.evaluate(
        """() => [...document.querySelectorAll(".lab canvas")].filter((canvas) => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return data.every((value, i) => value === data[i % 4]);
        }).map((canvas) => canvas.className)"""
    )
    assert blank == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_paper_is_white_in_both_themes(open_lab, scheme):
    opened = open_lab(color_scheme=scheme)
    colors = "root => [getComputedStyle(root).backgroundColor, getComputedStyle(root).colorScheme]"
    assert opened.root.evaluate(colors) == ["rgb(255, 255, 255)", "light"]


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_screen_reader_stumbles_over_nothing(open_lab, width):
    if not AXE.exists():
        lab.skip_or_fail("axe-core is not installed: npm install --prefix tests/browser")
    opened = open_lab(width)
    opened.train(60)
    for name in ("Guided tour: six predictions", "The numbers as a table", "What this loss does"):
        opened.page.get_by_text(name).click()
    opened.page.add_script_tag(path=str(AXE))
    found = opened.page.evaluate(
        "async () => (await axe.run(document, { resultTypes: ['violations'] })).violations"
        ".map(({ id, nodes }) => [id, nodes.map((node) => node.html.slice(0, 120))])"
    )
    assert found == []


def test_two_scripts_put_it_into_any_page(chromium, tmp_path):
    (tmp_path / "lab.js").write_text(script(), encoding="utf-8")
    (tmp_path / "lab-data.js").write_text(data_script(), encoding="utf-8")
    text = '<!doctype html><meta charset="utf-8"><title>Page</title><div class="vae-lab"></div>'
    text += '<script src="lab.js"></script><script src="lab-data.js"></script>'
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    page = chromium.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector(".vae-lab .lab[data-measured='0']", timeout=1000 * WAIT)
    assert page.evaluate("document.querySelector('.lab').lab.helper()") == "worker"
    page.close()


def test_a_lab_that_is_taken_away_trains_no_more(open_lab):
    opened = open_lab()
    opened.handle("train()")
    opened.wait("Number(root.dataset.steps) > 20")
    left = opened.page.evaluate(
        """async () => {
            const root = document.querySelector(".lab");
            root.lab.destroy();
            const before = root.dataset.steps;
            await new Promise((resolve) => setTimeout(resolve, 300));
            return [before === root.dataset.steps, document.querySelectorAll(".lab").length];
        }"""
    )
    assert left == [True, 0] and opened.complaints == []
