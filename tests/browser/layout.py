"""Whether all of an explorer can be seen: nothing wider than its place, nothing cut off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

# width, height, device pixels for one of the page: a projector, and the same at 200 % zoom.
SCREENS = ((1280, 800, 1), (640, 400, 2))

CUT_OFF = """() => {
    const wrong = [], slack = 1.5; // of a pixel, for rounded widths
    const seen = node => node.getClientRects().length > 0 && !node.closest(".vae-alt");
    const name = node =>
        `${node.className.baseVal ?? node.className} “${node.textContent.trim().slice(0, 40)}”`;
    for (const explorer of document.querySelectorAll(".vae-explorer, .latent-explorer")) {
        if (explorer.getClientRects().length === 0) { wrong.push("not shown: " + name(explorer)); continue; }
        const area = explorer.closest(".jp-OutputArea-output").getBoundingClientRect();
        for (const node of [explorer, ...explorer.querySelectorAll("*")].filter(seen)) {
            const box = node.getBoundingClientRect();
            if (node.closest("mjx-assistive-mml, mjx-container svg")) continue;
            if (box.right > area.right + slack || box.left < area.left - slack)
                wrong.push(`${Math.round(box.right - area.right)} pixels over the right edge: ` + name(node));
        }
        const holders = ".widget-label, .widget-readout, .vae-unit, .vae-number, .vae-value, .vae-formula, " +
            ".vae-reason, .vae-title, .vae-status, .vae-error, .vae-numbers, .vae-control, button, " +
            ".vae-controls, .vae-steps, .latent-readout, .latent-side";
        for (const node of [...explorer.querySelectorAll(holders)].filter(seen)) {
            if (node.scrollWidth > node.clientWidth + slack)
                wrong.push(`${node.scrollWidth - node.clientWidth} pixels cut off: ` + name(node));
            const [line, height] = [parseFloat(getComputedStyle(node).fontSize), node.clientHeight];
            if (node.textContent.trim() && height < 0.9 * line)
                wrong.push("cut off in height: " + name(node));
        }
        for (const image of [...explorer.querySelectorAll("img.vae-picture")].filter(seen)) {
            const stretched = (image.width / image.naturalWidth) / (image.height / image.naturalHeight);
            if (Math.abs(stretched - 1) > 0.02)
                wrong.push(`stretched by ${stretched.toFixed(3)}: ` + name(image));
        }
    }
    return wrong;
}"""


@contextmanager
def screen(page: Page, width: int, height: int, ratio: int) -> Iterator[None]:
    """The page on a screen of another size and zoom."""
    session = page.context.new_cdp_session(page)
    size = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": False}
    session.send("Emulation.setDeviceMetricsOverride", size)
    page.wait_for_timeout(500)  # Lab lays itself out anew
    try:
        yield
    finally:
        session.send("Emulation.clearDeviceMetricsOverride")
        session.detach()
        page.wait_for_timeout(300)


def cut_off(page: Page) -> list[str]:
    """What of the page's explorers cannot be seen whole."""
    return page.evaluate(CUT_OFF)
