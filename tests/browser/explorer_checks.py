"""What every explorer of every notebook must do; each check raises AssertionError if it does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab import Kernel, eventually

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Oracle = Callable[..., dict[str, Any]]

EXACT = 1e-9  # by which a readout may miss the position on its grid
ROUNDING = 1e-7  # by which a number may miss the half of its last decimal
FAST_PRESSES = 60  # of a key, more than there is time to draw

# Everything of an explorer that a reader sees, in one look. Pictures as the bytes that are shown.
LOOK = """async element => {
    const sha = async data => [...new Uint8Array(await crypto.subtle.digest("SHA-256", data))]
        .map(byte => byte.toString(16).padStart(2, "0")).join("");
    const text = node => node.textContent.trim().replaceAll("−", "-").replaceAll("\u00a0", " ");
    const rows = [...element.querySelectorAll(".vae-control")]
        .filter(row => row.querySelector(".widget-readout, select"));
    return {
        controls: rows.map(row => {
            const readout = row.querySelector(".widget-readout"), list = row.querySelector("select");
            return {
                label: text(row.querySelector(".widget-label:not(.vae-unit)")),
                unit: text(row.querySelector(".vae-unit")),
                readout: readout ? text(readout) : text(list.selectedOptions[0]),
                list: Boolean(list),
                disabled: Boolean(row.querySelector("[disabled]")),
                spoken: ["aria-label", "aria-valuetext"]
                    .map(name => row.querySelector(".noUi-handle")?.getAttribute(name) ?? "")
                    .map(words => words.replaceAll("−", "-")),
            };
        }),
        numbers: Object.fromEntries([...element.querySelectorAll(".vae-number")]
            .map(number => [number.dataset.name, text(number.querySelector("b"))])),
        lines: [...element.querySelectorAll(".vae-value")].map(text),
        alts: [...element.querySelectorAll("img.vae-picture")].map(image => image.alt),
        error: text(element.querySelector(".vae-error") || document.createElement("p")),
        pictures: await Promise.all([...element.querySelectorAll("img.vae-picture")].map(async image => {
            if (image.getClientRects().length === 0) return "not shown";
            const bytes = await (await fetch(image.src)).arrayBuffer();
            await image.decode();
            return image.naturalWidth > 0 ? await sha(bytes) : "no picture";
        })),
    };
}"""


class Shown:
    """An explorer in an open notebook, seen from outside.

    Args:
        page: the notebook's page.
        kernel: the notebook's kernel.
        name: the explorer's name.
        oracle: what its numbers and lines must be, as a function of its controls' values.
    """

    def __init__(self, page: Page, kernel: Kernel, name: str, oracle: Oracle) -> None:
        self.page, self.kernel, self.name, self.oracle = page, kernel, name, oracle
        description = kernel.ask("inside.describe()")[name]
        self.live: bool = description["live"]
        self.element = page.locator(".vae-live-training" if self.live else f".vae-explorer-{name}")
        self.controls: dict[str, dict[str, Any]] = description["controls"]
        self.views: list[dict[str, Any]] = description["views"]

    def look(self) -> dict[str, Any]:
        """What is shown at this moment; an AssertionError while a picture is being exchanged."""
        try:
            seen = self.element.evaluate(LOOK)
        except Exception as error:  # the bytes of a picture are gone as soon as the next is there
            raise AssertionError(f"{self.name}: a picture that cannot be read: {error}") from error
        labels = [control["label"] for control in self.controls.values()]
        assert [row["label"] for row in seen["controls"]] == labels
        seen["controls"] = dict(zip(self.controls, seen["controls"], strict=True))
        return seen

    def values(self, seen: dict[str, Any]) -> dict[str, Any]:
        """The controls' values by what is written beside them, numbers wherever it is one."""
        return {name: _number(row["readout"]) for name, row in seen["controls"].items()}

    def position(self, name: str, readout: str) -> float:
        """Where a readout stands on its slider: the number, or which of the options it is."""
        options = self.controls[name].get("options")
        return options.index(readout) if options else float(readout)

    def row(self, name: str) -> Locator:
        """The line of a control."""
        rows = self.element.locator(".vae-control:has(.widget-readout), .vae-control:has(select)")
        return rows.nth(list(self.controls).index(name))

    def handle(self, name: str) -> Locator:
        """A slider's handle, in sight."""
        handle = self.row(name).locator(".noUi-handle")
        handle.scroll_into_view_if_needed()
        return handle

    def sliders(self) -> list[str]:
        """The names of the controls that have a handle."""
        return [name for name in self.controls if self.row(name).locator(".noUi-handle").count()]

    def lists(self) -> list[str]:
        """The names of the controls that are lists."""
        return [name for name in self.controls if self.row(name).locator("select").count()]

    def press(self, name: str, key: str, times: int = 1) -> None:
        """Presses a key on a slider, as fast as keys go."""
        self.handle(name).focus()
        for _ in range(times):
            self.page.keyboard.press(key)

    def reset(self, name: str) -> None:
        """Presses the reset button of a control."""
        self.row(name).locator("button.vae-reset").click()

    def free(self, name: str) -> None:
        """Lets a slider that another one limits move as far as it can."""
        if limiting := self.controls[name]["at_most"]:
            self.press(limiting, "End")
            eventually(lambda: self.check_not(self.look()["controls"][name]["disabled"], name))
            self.settled()

    def check_not(self, wrong: bool, what: str) -> None:
        """Raises unless what would be wrong is not so."""
        assert not wrong, f"{self.name}: {what}"

    # ---- checks -----------------------------------------------------------------------------

    def settled(self) -> dict[str, Any]:
        """Waits until everything belongs to what the readouts say, and gives it."""
        return eventually(self.check_all)

    def check_all(self) -> dict[str, Any]:
        """Readouts, numbers, lines and pictures belong together, and nothing complains."""
        seen = self.look()
        assert not seen["error"], f"{self.name}: {seen['error']}"
        values = self.values(seen)
        self.check_words(seen)
        self.check_kernel(seen)
        if not self.live:
            self.check_numbers(seen, self.oracle(**values), values)
            self.check_pictures(seen, values)
        return seen

    def check_words(self, seen: dict[str, Any]) -> None:
        """Each picture has a text, and a slider is spoken as it is written."""
        assert all(len(alt.split()) > 2 for alt in seen["alts"]), f"{self.name}: a picture without a text"
        for name, row in seen["controls"].items():
            if not row["list"]:
                words = [row["label"], f"{row['readout']} {row['unit']}".strip()]
                assert row["spoken"] == words, f"{self.name}: {name} is spoken as {row['spoken']}"

    def check_kernel(self, seen: dict[str, Any]) -> None:
        """The kernel holds the values that the page shows."""
        known = self.kernel.ask(f"inside.values({self.name!r})")
        for name, row in seen["controls"].items():
            shown, held = row["readout"], known[name]
            same = shown == held if isinstance(held, str) else abs(float(shown) - held) < EXACT
            assert same, f"{self.name}: {name} is {shown} in the page and {held} in the kernel"

    def check_pictures(self, seen: dict[str, Any], values: dict[str, Any]) -> None:
        """The pictures shown are the last ones sent, and those are of these values."""
        sent, drawn = self.kernel.ask(f"inside.pictures({self.name!r})")
        assert sent == drawn, f"{self.name}: the picture sent is not that of {values}"
        assert seen["pictures"] == sent, f"{self.name}: the picture shown is not the last one sent"

    def check_numbers(self, seen: dict[str, Any], truth: dict[str, Any], values: dict[str, Any]) -> None:
        """Every number and every line is what the oracle says, to the last decimal shown."""
        where = f"{self.name} at {values}"
        truth = dict(truth)
        lines, broken = truth.pop("lines", []), truth.pop("broken", set())
        assert set(seen["numbers"]) == set(truth), f"{where}: {set(seen['numbers'])} is not {set(truth)}"
        for name, expected in truth.items():
            check_number(seen["numbers"][name], expected, f"{where}: {name}")
        assert len(seen["lines"]) == len(lines), f"{where}: {len(seen['lines'])} lines, not {len(lines)}"
        for number, (line, expected) in enumerate(zip(seen["lines"], lines, strict=True)):
            check_number(line, expected, f"{where}: line {number}")
            mark = "✗ does not hold" if number in broken else "✓"
            assert line.endswith(mark), f"{where}: line {number} is {line!r}, without {mark!r}"

    def check_changed(self, name: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Every picture that depends on a control has changed; without one, a number or a line."""
        if self.live:
            return  # it changes nothing until the button is pressed
        pictures = [view for view in self.views if view["is_picture"]]
        assert len(pictures) == len(after["pictures"]), f"{self.name}: a picture is missing"
        depends = [number for number, view in enumerate(pictures) if name in view["arguments"]]
        same = [number for number in depends if before["pictures"][number] == after["pictures"][number]]
        assert not same, f"{self.name}: {name} has moved and its picture {same} has not changed"
        if not depends:
            texts = [(seen["numbers"], seen["lines"]) for seen in (before, after)]
            assert texts[0] != texts[1], f"{self.name}: {name} has moved and nothing has changed"

    def check_key(self, name: str) -> None:
        """An arrow key moves the readout by one step, and all that depends on it."""
        before = self.settled()
        position, _, high, step = self._place(name, before)
        key, by = ("ArrowRight", step) if position + step <= high + EXACT else ("ArrowLeft", -step)
        self.press(name, key)
        after = self.arrived(name, position + by)
        self.check_changed(name, before, after)

    def check_burst(self, name: str, presses: int = FAST_PRESSES) -> None:
        """After many fast key presses all belongs to the last position, which is the expected one."""
        position, low, high, step = self._place(name, self.settled())
        key, by = ("ArrowRight", step) if high - position > position - low else ("ArrowLeft", -step)
        self.press(name, key, presses)
        self.arrived(name, min(max(position + presses * by, low), high))

    def check_drag(self, name: str) -> None:
        """The mouse drags the handle: the readout follows, and all that depends on it."""
        before = self.settled()
        position, low, high, step = self._place(name, before)
        handle, track = self.handle(name), self.row(name).locator(".noUi-base")
        box, base = handle.bounding_box(), track.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        share = 0.8 if position < (low + high) / 2 else 0.2
        target = base["x"] + share * base["width"]
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(target, y + 3, steps=12)
        self.page.mouse.up()
        moved = position + (target - x) / base["width"] * (high - low)
        after = self.arrived(name, moved, within=1.01 * step)
        self.check_changed(name, before, after)

    def check_list(self, name: str) -> None:
        """Every option of a list can be chosen, and changes all that depends on it."""
        before = self.settled()
        chosen = before["controls"][name]["readout"]
        options = self.controls[name]["options"]
        for option in [o for o in options if o != chosen] + [chosen]:
            self.row(name).locator("select").select_option(index=options.index(option))
            after = self.arrived(name, self.position(name, option))
            self.check_changed(name, before, after)
            before = after

    def check_reset(self, name: str) -> None:
        """The reset button brings back the first value."""
        self.reset(name)
        start = self.controls[name]["start"]
        self.arrived(name, self.position(name, start))

    def _place(self, name: str, seen: dict[str, Any]) -> tuple[float, float, float, float]:
        """Position, both ends and step of a slider, as the page's own slider knows them."""
        track = self.row(name).locator(".noUi-target")
        low, high = track.evaluate("({noUiSlider: {options: {range}}}) => [range.min, range.max].flat()")
        step = self.controls[name].get("step", 1)
        return self.position(name, seen["controls"][name]["readout"]), low, high, step

    def arrived(self, name: str, expected: float, within: float = EXACT) -> dict[str, Any]:
        """Waits until a control is where it should be and all belongs to it."""

        def check() -> dict[str, Any]:
            readout = self.look()["controls"][name]["readout"]
            here = self.position(name, readout)
            assert abs(here - expected) <= within, f"{self.name}: {name} is {here}, not {expected}"
            return self.check_all()

        return eventually(check)


def check_number(shown: str, expected: Any, where: str) -> None:
    """A number as it is shown is the expected one, correctly rounded.

    Args:
        shown: such as "-3.200 nats".
        expected: a number; a pair of a number and its tolerance; or the text itself.
        where: what an error says first.
    """
    if isinstance(expected, str):
        assert shown == expected.replace("−", "-"), f"{where} is {shown!r}, not {expected!r}"
        return
    expected, tolerance = expected if isinstance(expected, tuple) else (expected, ROUNDING)
    assert shown.split(), f"{where}: nothing is shown yet"
    text = shown.split()[0]
    digits = len(text.partition(".")[2])
    number = float(text)
    assert math.isfinite(number), f"{where} is {shown!r}"
    wrong = abs(number - expected)
    assert wrong <= 0.5 * 10**-digits + tolerance, f"{where} is {shown!r}, not {expected:.{digits + 2}f}"


def _number(text: str) -> Any:
    """A text as the number that it shows, or as it is."""
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text
