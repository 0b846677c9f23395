"""What the latent explorer must do, in a notebook and on a page of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lab import eventually

from vae_helpers.shipped.pretrained import load_pretrained

if TYPE_CHECKING:
    from playwright.sync_api import Page

LIMIT = 4  # the plane shows [-4, 4] on both axes
EXACT = 1e-9  # by which the point may miss its place
PIXEL = 0.03  # where the mouse lets it go: a pixel of the screen is 0.018
ROUNDED = 0.0050001  # half of the last decimal of the readout
GREY = 0.003  # of 255 greys
DECODER = 1e-5  # by which a probability of the page's decoder may differ from PyTorch's
FRAMES = 8  # pictures on the way of the mouse, at least


class Plane:
    """A latent explorer in a page, seen from outside."""

    def __init__(self, page: Page) -> None:
        self.page, self.element = page, page.locator(".latent-explorer")
        self.plane = page.locator(".latent-plane")
        self.model = load_pretrained("latent_2").double()

    def truth(self, z: Any) -> np.ndarray:
        """PyTorch's answer, shape (n, 784)."""
        with torch.no_grad():
            return self.model.mean(torch.as_tensor(z, dtype=torch.float64)).flatten(1).numpy()

    def look(self) -> dict[str, Any]:
        """The point, the readout and the ink of the digit that are shown."""
        return self.element.evaluate(
            """element => {
                const digit = element.querySelector(".latent-digit");
                const pixels = digit.getContext("2d").getImageData(0, 0, digit.width, digit.height).data;
                const texts = [...element.querySelectorAll(".latent-readout b")].map(b => b.textContent);
                return {
                    z: JSON.parse(element.dataset.z),
                    frames: Number(element.dataset.frames),
                    plane: element.querySelector(".latent-plane").toDataURL(),
                    numbers: texts.map(text => Number(text.replace("−", "-"))),
                    ink: [...pixels].filter((_, i) => i % 4 === 0).map(value => 1 - value / 255),
                };
            }"""
        )

    def check_decoder(self) -> None:
        """The decoder in the page agrees with PyTorch's at 100 points, corners included."""
        line = np.linspace(-LIMIT, LIMIT, 9)
        points = [[a, b] for a in line for b in line]
        points += np.random.default_rng(0).normal(size=(19, 2)).tolist()
        decoded = self.element.evaluate("(element, points) => points.map(z => element.decode(z))", points)
        worst = np.abs(np.array(decoded) - self.truth(points)).max()
        assert worst < DECODER, f"the page's decoder is off by {worst:.1e}"

    def check_shown(self) -> None:
        """Readout and digit belong to the point, wherever it is."""
        self.check_at(tuple(self.look()["z"]))

    def check_at(self, z: tuple[float, float], within: float = EXACT) -> dict[str, Any]:
        """Waits until the point is at z; then readout and digit belong to it."""

        def check() -> dict[str, Any]:
            seen = self.look()
            assert np.allclose(seen["z"], z, rtol=0, atol=within), f"the point is at {seen['z']}, not {z}"
            density = -0.5 * sum(value**2 for value in seen["z"]) - math.log(2 * math.pi)
            numbers = [*seen["z"], density]
            assert np.allclose(seen["numbers"], numbers, rtol=0, atol=ROUNDED), seen["numbers"]
            assert np.abs(seen["ink"] - self.truth([seen["z"]])[0]).max() < GREY
            return seen

        return eventually(check)

    def check_keys(self) -> None:
        """Arrow keys move the point by 0.1, with Shift by 0.5, and never off the plane."""
        before = self.look()
        self.plane.scroll_into_view_if_needed()
        self.plane.focus()
        a, b = before["z"]
        for key, by in [("Right", (0.1, 0)), ("Up", (0, 0.1)), ("Left", (-0.1, 0)), ("Down", (0, -0.1))]:
            for shift, factor in (("", 1), ("Shift+", 5)):
                self.page.keyboard.press(f"{shift}Arrow{key}")
                a, b = a + factor * by[0], b + factor * by[1]
                after = self.check_at((a, b))
                self.check_changed(before, after)
                before = after
        for _ in range(100):
            self.page.keyboard.press("ArrowRight")
        self.check_at((LIMIT, b))

    def check_drag(self) -> None:
        """The mouse drags the point, with many pictures on the way, and lets it go."""
        self.plane.scroll_into_view_if_needed()
        box, before = self.plane.bounding_box(), self.look()
        self.page.mouse.move(*_pixel(box, 0.0, 0.0))
        self.page.mouse.down()
        for t in np.linspace(0, 1, 20):
            self.page.mouse.move(*_pixel(box, -2 * t, 1.5 * t))
            self.page.wait_for_timeout(20)
        self.page.mouse.up()
        after = self.check_at((-2.0, 1.5), within=PIXEL)
        self.check_changed(before, after)
        assert after["frames"] - before["frames"] >= FRAMES, "the digit did not follow"
        self.page.mouse.move(*_pixel(box, 1.0, 1.0))  # no button is down any more
        self.check_at(tuple(after["z"]))

    def check_reset(self, z: tuple[float, float] = (0.0, 0.0)) -> None:
        """The button brings the point back to where it was first."""
        self.plane.focus()
        self.page.keyboard.press("ArrowLeft")
        eventually(lambda: self.check_away_from(z))
        self.element.locator("button").click()
        self.check_at(z)

    def check_away_from(self, z: tuple[float, float]) -> None:
        """The point is anywhere else."""
        assert not np.allclose(self.look()["z"], z), f"the point is at {z}"

    def check_changed(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Both pictures have changed."""
        assert before["plane"] != after["plane"], "the point has not moved in the picture"
        assert before["ink"] != after["ink"], "the digit has not changed"


def _pixel(box: dict[str, float], a: float, b: float) -> tuple[float, float]:
    """Where a point of the latent plane is on the screen."""
    x = box["x"] + (a + LIMIT) / (2 * LIMIT) * box["width"]
    return x, box["y"] + (LIMIT - b) / (2 * LIMIT) * box["height"]
