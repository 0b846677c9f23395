"""Whether all of an explorer can be seen: nothing cut off, nothing pale, nothing off the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.contrast import ENOUGH, contrast

if TYPE_CHECKING:
    from playwright.sync_api import Page

REDRAWN = 200  # milliseconds in which a page has drawn what a key has moved
SLACK = 2  # pixels of an explorer that may be beyond the screen, for rounded sizes
# width, height, device pixels for one of the page, theme: a projector, and its 150 % and 200 % zoom.
SCREENS = (
    (1280, 800, 1, "JupyterLab Light"),
    (853, 533, 1.5, "JupyterLab Dark"),
    (640, 400, 2, "JupyterLab Light"),
)

CUT_OFF = """() => {
    const wrong = [], slack = 1.5; // of a pixel, for rounded widths
    const seen = node => node.getClientRects().length > 0;
    const name = node =>
        `${node.className.baseVal ?? node.className} “${node.textContent.trim().slice(0, 40)}”`;
    for (const explorer of document.querySelectorAll(".vae-explorer, .latent-explorer")) {
        if (explorer.getClientRects().length === 0) { wrong.push("not shown: " + name(explorer)); continue; }
        const area = explorer.closest(".jp-OutputArea-output").getBoundingClientRect();
        for (const node of [explorer, ...explorer.querySelectorAll("*")].filter(seen)) {
            const box = node.getBoundingClientRect();
            if (node.closest("mjx-container, .vae-formula *")) continue; // what is too wide can be scrolled
            if (box.right > area.right + slack || box.left < area.left - slack)
                wrong.push(`${Math.round(box.right - area.right)} pixels over the right edge: ` + name(node));
        }
        const holders = ".widget-label, .widget-readout, .vae-unit, .vae-number, .vae-value, .vae-formula, " +
            ".vae-reason, .vae-title, .vae-status, .vae-error, .vae-numbers, .vae-control, button, " +
            ".vae-controls, .vae-steps, .latent-readout, .latent-side";
        for (const node of [...explorer.querySelectorAll(holders)].filter(seen)) {
            if (node.scrollWidth > node.clientWidth + slack && !node.matches(".vae-formula[tabindex]"))
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


# Every text with its own colour and the ground behind it, as [words, style, ink, ground]; colours 0 to 255.
TEXTS = """() => {
    const parse = text => {
        const [r, g, b, a] = text.match(/[\\d.]+/g).map(Number);
        return { rgb: [r, g, b], alpha: a ?? 1 };
    };
    const over = (top, below) => top.rgb.map((c, i) => top.alpha * c + (1 - top.alpha) * below[i]);
    const ground = node => { // what stands behind it, from the page's own ground upwards
        const all = [];
        for (let n = node; n; n = n.parentElement) all.push(parse(getComputedStyle(n).backgroundColor));
        return all.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
    };
    const texts = [];
    const add = (node, words) => {
        if (!words.trim() || !node.getClientRects().length) return;
        if (node.closest("mjx-assistive-mml, :disabled, [disabled]")) return; // asked of neither
        const below = ground(node), color = getComputedStyle(node).color;
        texts.push([words.trim().slice(0, 40), color, over(parse(color), below), below]);
    };
    for (const stage of document.querySelectorAll(".vae-stage, .vae-still")) {
        const walker = document.createTreeWalker(stage, NodeFilter.SHOW_TEXT);
        for (let text = walker.nextNode(); text; text = walker.nextNode())
            add(text.parentElement, text.textContent);
        for (const list of stage.querySelectorAll("select")) add(list, list.selectedOptions[0].textContent);
        for (const glyph of stage.querySelectorAll("mjx-c")) add(glyph, "formula");
    }
    return texts;
}"""

# How much of what a reader needs at once cannot be seen at once, in pixels, by explorer and control.
UNSEEN = """(element, whole) => {
    let room = document.scrollingElement;
    for (let node = element; node !== document.body; node = node.parentElement)
        if (/auto|scroll/.test(getComputedStyle(node).overflowY) && node.clientHeight) room = node;
    const view = room.getBoundingClientRect(), active = document.activeElement;
    const images = [...element.querySelectorAll("img.vae-picture, canvas")];
    const needed = [active.closest(".vae-control") ?? active, ...images]
        .filter(node => node.getClientRects().length);
    if (whole) needed.push(element);
    const boxes = needed.map(node => node.getBoundingClientRect());
    const bottom = view.top + room.clientHeight;
    const beyond = box => [view.top - box.top, box.bottom - bottom, box.right - view.right];
    const small = boxes.some(box => box.height < 14);
    return small ? 1e3 : Math.round(Math.max(...boxes.flatMap(beyond)));
}"""


def cut_off(page: Page) -> list[str]:
    """What of the page's explorers cannot be seen whole."""
    return page.evaluate(CUT_OFF)


def low_contrast(page: Page) -> list[str]:
    """Each text of the page's explorers and stills that is paler than it may be."""
    texts = page.evaluate(TEXTS)
    assert len(texts) > 1, "no text was looked at"
    wrong = set()
    for words, color, ink, ground in texts:
        ratio = contrast([c / 255 for c in ink], [c / 255 for c in ground])
        if ratio < ENOUGH:
            wrong.add(f"{ratio:.2f}: “{words}” in {color} on {ground}")
    return sorted(wrong)


def unseen(page: Page, *, whole: bool) -> list[str]:
    """What is not on the screen while a control is moved by its keys.

    Args:
        page: a notebook in which all explorers are shown.
        whole: whether all of an explorer has to be on the screen, or the control and the pictures.
    """
    beyond_the_screen = []
    for element in page.locator(".vae-stage:not(:has(.lab))").element_handles():  # it is several screens high
        for handle in element.query_selector_all(".noUi-handle, select, .latent-plane"):
            handle.focus()
            for key in ("ArrowRight", "ArrowLeft") * 2:  # a page that is still growing may need another one
                page.keyboard.press(key)
                page.wait_for_timeout(REDRAWN)
                if (pixels := element.evaluate(UNSEEN, whole)) <= SLACK:
                    break
            else:
                label = handle.get_attribute("aria-label") or "a list"
                beyond_the_screen.append(f"{label}: {pixels} pixels beyond the screen")
    return beyond_the_screen
