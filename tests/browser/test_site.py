"""The web edition, made once from the committed notebooks, read as files and in a browser from the disk."""

import json
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import lab
import oracles
import pytest
from explorer_checks import check_number
from site_pages import broken_links, read_page

from vae_helpers.pictures.plotting import COURSE

AXE = lab.HERE / "node_modules" / "axe-core" / "axe.min.js"
PHONE, PROJECTOR = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
REFLOW = {"width": 320, "height": 640}  # a projector at 400 %, as WCAG 1.4.10 asks
MOST_BYTES = 3_000_000  # of the positions of a page
PAGES = [
    *lab.NOTEBOOKS,
    "index",
    "lab",
    "practice",
    "notation",
    "glossary",
    "places",
    "accessibility",
    "search",
]
SETTLED = """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"""


# ---- as files -------------------------------------------------------------------------------


def test_every_link_and_every_file_is_there(edition):
    assert broken_links(edition) == []
    assert {path.stem for path in edition.glob("*.html")} >= set(PAGES)


def test_every_picture_has_words_that_stand_for_it(edition):
    for name in lab.NOTEBOOKS:
        pictures = read_page(edition / f"{name}.html").pictures
        assert len(pictures) > 3, name
        assert [src for src, alt in pictures if len(alt.split()) < 3] == [], name


def test_a_picture_of_a_page_is_that_of_the_notebook(edition):
    stored = (COURSE / "notebooks" / "01_bayes_rule.ipynb").read_text(encoding="utf-8")
    first = re.search(r'<img alt=\\"([^"\\]+)\\"', stored)[1]
    assert read_page(edition / "01_bayes_rule.html").pictures[0][1] == first


def test_references_have_the_numbers_that_stand_at_the_equations(edition):
    glossary = (edition / "glossary.html").read_text(encoding="utf-8")
    found = re.findall(r'href="(\w+\.html)#(equation-[\w-]+)">\(([\d.]+)\)', glossary)
    assert len(found) > 20
    for page, anchor, number in found:
        text = (edition / page).read_text(encoding="utf-8")
        at = text.index(f'id="{anchor}"')
        assert re.search(r'<span class="eqno">\(([\d.]+)', text[at:])[1] == number, anchor
        assert int(number.split(".")[0]) == int(page[:2]), f"{anchor} of {page} has the number {number}"


def test_every_explorer_has_its_place_and_its_data(edition):
    shipped = {path.stem for path in (edition / "_static" / "explorers").glob("*.js")}
    placed = [key for path in edition.glob("*.html") for key in read_page(path).explorers]
    assert len(placed) == len(set(placed)) and set(placed) == shipped
    for name in lab.NOTEBOOKS:
        data = (edition / "_static" / "explorers").glob(f"{name}.*.js")
        assert sum(path.stat().st_size for path in data) <= MOST_BYTES, name


def test_the_deeper_sections_stand_apart(edition):
    for name in lab.NOTEBOOKS:
        assert "deeper" in read_page(edition / f"{name}.html").anchors, name


def test_an_edition_made_twice_is_the_same(edition, cache, tmp_path):
    from vae_helpers.site.build import build

    again = build(tmp_path / "again", cache=cache)
    files = {path.relative_to(edition) for path in edition.rglob("*") if path.is_file()}
    assert files == {path.relative_to(again) for path in again.rglob("*") if path.is_file()}
    assert [str(path) for path in files if (edition / path).read_bytes() != (again / path).read_bytes()] == []


# ---- in the browser -------------------------------------------------------------------------


class Reader:
    """A page of the edition on a screen, what it asks for and what it complains of."""

    def __init__(self, chromium, edition, name, size, **options):
        self.context = chromium.new_context(viewport=size, offline=True, **options)
        self.page, self.asked, self.complaints = self.context.new_page(), [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._note)
        self.page.goto(f"file://{edition}/{name}.html")
        self.page.wait_for_function("() => !window.MathJax?.startup || window.MathJax.startup.promise")
        self.page.evaluate("() => window.MathJax?.startup?.promise")

    def _note(self, line):
        if line.type in ("error", "warning"):
            self.complaints.append(line.text)

    def start_explorers(self):
        """Brings all explorers to life, as one who scrolls through the page does."""
        for host in self.page.locator("[data-explorer]").all():
            host.scroll_into_view_if_needed()
            key = host.get_attribute("data-explorer")
            self.page.wait_for_selector(f'.vae-live[data-explorer="{key}"]', timeout=20_000)

    def faults(self, *exclude):
        """What axe-core finds, of those that count; formulas are MathJax's own, and seen by one test."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        return self.page.evaluate(
            """async ([exclude]) => (await axe.run(exclude.length ? { exclude } : document,
                { resultTypes: ["violations"], preload: false })).violations
                .filter(fault => ["critical", "serious"].includes(fault.impact))
                .flatMap(fault => fault.nodes.map(node => `${fault.id}: ${node.html.slice(0, 160)}`))""",
            [exclude],
        )

    def close(self):
        self.context.close()


@pytest.mark.parametrize("size", [PROJECTOR, PHONE], ids=["projector", "phone"])
@pytest.mark.parametrize(
    "name", [name for name in PAGES if name != "genindex"], ids=lambda name: f"page-{name[:5]}"
)
def test_a_page_can_be_read_by_everyone(chromium, edition, name, size):
    if not AXE.is_file():
        lab.skip_or_fail("axe-core is not installed: npm install --prefix tests/browser")
    reader = Reader(chromium, edition, name, size)
    reader.start_explorers()
    for mode in ("light", "dark"):
        reader.page.emulate_media(color_scheme=mode, reduced_motion="reduce")
        reader.page.evaluate(SETTLED)
        assert reader.page.evaluate("document.documentElement.dataset.theme") == mode
        assert reader.faults("mjx-container") == [], mode
    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert reader.page.evaluate(over) <= 0
    reader.page.set_viewport_size(REFLOW)
    reader.page.evaluate(SETTLED)
    assert reader.page.evaluate(over) <= 0
    assert reader.page.locator("mjx-merror, [data-mjx-error]").count() == 0
    assert [url for url in reader.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert reader.complaints == []
    reader.close()


def test_figures_stand_on_white_in_the_dark(chromium, edition):
    reader = Reader(chromium, edition, "01_bayes_rule", PROJECTOR, color_scheme="dark")
    grounds = reader.page.evaluate(
        """() => [...document.querySelectorAll("div.cell_output img")]
            .map(image => getComputedStyle(image)).map(style => `${style.backgroundColor} ${style.filter}`)"""
    )
    assert grounds and set(grounds) == {"rgb(255, 255, 255) none"}
    reader.close()


def test_the_switch_hides_the_code_and_brings_it_back(chromium, edition):
    reader = Reader(chromium, edition, "03_gaussian_kl", PROJECTOR)
    button, code = reader.page.locator(".course-code"), reader.page.locator("div.cell_input").first
    assert code.is_visible()
    button.focus()
    reader.page.keyboard.press("Enter")
    assert not code.is_visible() and button.inner_text() == "Show the code"
    reader.page.keyboard.press("Enter")
    assert code.is_visible()
    reader.close()


def test_formulas_are_set(chromium, edition):
    reader = Reader(chromium, edition, "02_elbo", PROJECTOR)
    assert reader.page.locator("mjx-container").count() > 100
    assert reader.faults() == []
    reader.close()


def test_print_leaves_out_what_cannot_be_used_and_opens_what_is_folded(chromium, edition):
    reader = Reader(chromium, edition, "01_bayes_rule", PROJECTOR)
    reader.page.emulate_media(media="print")
    reader.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not reader.page.locator(".bd-sidebar-primary").is_visible()
    assert reader.page.locator("details:not([open])").count() == 0
    reader.close()


def test_the_search_finds_a_page(chromium, edition):
    reader = Reader(chromium, edition, "search", PROJECTOR)
    reader.page.goto(f"file://{edition}/search.html?q=reparameterization")
    found = reader.page.locator("#search-results a")
    lab.eventually(lambda: _has(found.evaluate_all("links => links.map(link => link.href)"), "05_"))
    reader.close()


def _has(links, part):
    assert any(part in link for link in links), links


class Quiet(SimpleHTTPRequestHandler):
    """Hands out files and says nothing."""

    def log_message(self, *_):
        pass


def test_a_server_may_hand_it_out(chromium, edition):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(edition))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context = chromium.new_context(viewport=PROJECTOR)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/00_start_here.html")
        page.locator("[data-explorer]").scroll_into_view_if_needed()
        page.wait_for_selector(".vae-live .vae-number")
        context.close()
        server.shutdown()


# ---- explorers ------------------------------------------------------------------------------


def described(edition, key):
    """The description of an explorer, from the script that a page loads."""
    text = (edition / "_static" / "explorers" / f"{key}.js").read_text(encoding="utf-8")
    return json.loads(text[text.index("(") + 1 : text.rindex(")")])


LOOK = """host => ({
    at: [...host.querySelectorAll(".vae-control")]
        .map(row => Number(row.querySelector("input, select").value)),
    spoken: [...host.querySelectorAll(".vae-control")].map(row => {
        const input = row.querySelector("input"), list = row.querySelector("select");
        return input ? input.getAttribute("aria-valuetext") : list.selectedOptions[0].textContent;
    }),
    numbers: Object.fromEntries([...host.querySelectorAll(".vae-number")]
        .map(one => [one.dataset.name, one.querySelector("b").textContent.replaceAll("−", "-")])),
    lines: [...host.querySelectorAll(".vae-value")].map(one => one.textContent.replaceAll("−", "-").trim()),
    pictures: [...host.querySelectorAll(".vae-view img")]
        .map(image => image.complete && image.naturalWidth > 0),
})"""


def check_against_oracle(description, seen):
    """The numbers of a page are what the oracle says for where its controls stand."""
    oracle = oracles.find(description["notebook"], description["name"])
    if oracle is dict:
        return
    controls = description["controls"]
    values = {one["name"]: one["values"][at] for one, at in zip(controls, seen["at"], strict=True)}
    truth = dict(oracle(**values))
    where = f"{description['notebook']}.{description['name']} at {values}"
    lines = truth.pop("lines", [])
    truth.pop("broken", None)
    assert set(seen["numbers"]) == set(truth), where
    for name, expected in truth.items():
        check_number(seen["numbers"][name], expected, f"{where}: {name}")
    assert len(seen["lines"]) == len(lines), where
    for shown, expected in zip(seen["lines"], lines, strict=True):
        check_number(shown, expected, where)


def settled(reader, host, description):
    """What an explorer shows once all is drawn, which must be right."""
    reader.page.evaluate(SETTLED)
    seen = lab.eventually(lambda: _drawn(host))
    for control, at, spoken in zip(description["controls"], seen["at"], seen["spoken"], strict=True):
        unit = "" if control["kind"] == "choice" else control["unit"]
        expected = f"{control['texts'][at]} {unit}".strip()
        assert spoken == expected, f"{control['name']} is spoken as {spoken!r}"
    check_against_oracle(description, seen)
    return seen


def _drawn(host):
    seen = host.evaluate(LOOK)
    assert all(seen["pictures"])
    return seen


@pytest.mark.parametrize("name", lab.NOTEBOOKS, ids=lambda name: f"page-{name[:2]}")
def test_every_slider_is_moved_by_keys_mouse_and_touch(chromium, edition, name):
    reader = Reader(chromium, edition, name, PROJECTOR, has_touch=True)
    reader.start_explorers()
    for key in read_page(edition / f"{name}.html").explorers:
        description = described(edition, key)
        if description["kind"] == "latent":
            continue  # tests/browser/test_page_explorers.py drags it
        host = reader.page.locator(f'[data-explorer="{key}"]')
        settled(reader, host, description)
        for number, control in enumerate(description["controls"]):
            row = host.locator(".vae-control").nth(number)
            for move in ("key", "mouse", "touch"):
                before = host.evaluate(LOOK)["at"][number]
                if len(control["values"]) < 2 or row.locator("input, select").is_disabled():
                    continue
                _move(reader, row, control, before, move)
                after = settled(reader, host, description)["at"][number]
                assert after != before, f"{key}: {control['name']} is not moved by {move}"
            row.locator(".vae-reset").click()
            assert settled(reader, host, description)["at"][number] == control["start"]
    assert reader.complaints == []
    reader.close()


def _move(reader, row, control, before, move):
    """Moves a control somewhere else by a key, a click on its track or a tap."""
    if control["kind"] == "choice":
        options = len(control["values"])
        row.locator("select").select_option(index=(before + 1) % options)
        return
    slider = row.locator("input")
    slider.scroll_into_view_if_needed()
    if move == "key":
        slider.focus()
        reader.page.keyboard.press("ArrowRight" if before < int(slider.get_attribute("max")) else "ArrowLeft")
        return
    box = slider.bounding_box()
    share = 0.15 if before > int(slider.get_attribute("max")) / 2 else 0.85
    place = {"x": share * box["width"], "y": box["height"] / 2}
    slider.click(position=place) if move == "mouse" else slider.tap(position=place)
