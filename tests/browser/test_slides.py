"""Every slide of every deck at 1280 × 720: it fits, and it can be read from the last row."""

import lab
import pytest
from site_pages import read_page
from test_site import AXE, PHONE, PROJECTOR, SETTLED, Reader

SIZE = {"width": 1280, "height": 720}
FOOT = 676  # where the line at the foot begins
SMALLEST, SMALLEST_CODE = 18, 14  # pixels of letters
SMALLEST_PICTURE = 190  # pixels of height

# What is wrong on the slide that is shown, in words.
FAULTS = """([foot, smallest, smallestCode, picture]) => {
  const slide = Reveal.getCurrentSlide(), faults = [];
  const isShown = (node) => node.getClientRects().length > 0;
  const place = (node) => node.getBoundingClientRect();
  const tell = (what, { tagName, className, textContent }) =>
    faults.push(`${what}: ${tagName} ${className} "${textContent.trim().slice(0, 40)}"`);
  for (const node of slide.querySelectorAll("*")) {
    if (node.closest("mjx-assistive-mml, .notes, .vae-spoken") || !isShown(node)) continue;
    const { bottom, top, left, right } = place(node), style = getComputedStyle(node);
    if (bottom > foot + 1) tell(`reaches ${Math.round(bottom)} px down`, node);
    if (right > innerWidth || left < 0 || top < 0) tell("over the edge", node);
    if (node.closest("svg, .vae-drawing")) continue;
    const cut = node.clientWidth && node.scrollWidth > node.clientWidth + 1 && style.overflowX !== "visible";
    if (cut) tell("clipped", node);
    const ownWords = [...node.childNodes].filter((child) => child.nodeType === 3 && child.textContent.trim());
    const size = parseFloat(style.fontSize) * (node.currentCSSZoom ?? 1);
    const needed = node.closest("pre, code") ? smallestCode : smallest;
    if (ownWords.length && size < needed - 0.1) tell(`${size} px`, node);
  }
  for (const formula of slide.querySelectorAll('mjx-container[display="true"]'))
    if (parseFloat(getComputedStyle(formula).fontSize) < smallest) tell("a small formula", formula);
  for (const image of slide.querySelectorAll(".figure img"))
    if (place(image).height < picture) tell("a small picture", image);
  const isPart = (node) => isShown(node) && getComputedStyle(node).position !== "absolute";
  [...slide.children].filter(isPart).forEach((part, k, parts) => {
    if (k && place(part).top < place(parts[k - 1]).bottom - 1) tell("on top of another", part);
  });
  return faults;
}"""
PRINTED = """() => {
  const isHidden = (node) => !node.getClientRects().length || getComputedStyle(node).visibility === "hidden";
  return [...document.querySelectorAll(".slides section:not(.stack) > :not(.notes)")].filter(isHidden).length;
}"""
READY = """() => {
  const slide = Reveal.getCurrentSlide(), hosts = [...slide.querySelectorAll("[data-explorer]")];
  const hasDrawn = (host) => host.style.zoom && host.querySelector(".vae-explorer, .latent-explorer");
  return hosts.every(hasDrawn) && [...slide.querySelectorAll("img")].every((image) => image.complete);
}"""


class Deck:
    """The slides of a notebook on a projector, what they ask for and what they complain of."""

    def __init__(self, chromium, address, **options):
        self.context = chromium.new_context(viewport=SIZE, reduced_motion="reduce", **options)
        self.page, self.asked, self.complaints = self.context.new_page(), [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._note)
        self.page.goto(address)
        self.page.wait_for_function("() => window.deck")
        self.page.evaluate("() => window.deck")

    def _note(self, line):
        if line.type in ("error", "warning"):
            self.complaints.append(line.text)

    def each(self):
        """Shows one slide after the other with all its parts, and gives its place."""
        places = "Reveal.getSlides().map(slide => Reveal.getIndices(slide)).map(({h, v}) => [h, v ?? 0])"
        for h, v in self.page.evaluate(places):
            self.page.evaluate("([h, v]) => Reveal.slide(h, v, 99)", [h, v])
            self.page.wait_for_function(READY, timeout=20_000)
            self.page.evaluate(
                "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
            )
            yield h, v

    def faults(self):
        return self.page.evaluate(FAULTS, [FOOT, SMALLEST, SMALLEST_CODE, SMALLEST_PICTURE])


@pytest.fixture
def deck(chromium, edition):
    """Opens the slides of a notebook from the disk, without a network."""
    opened = []

    def start(name, hash=""):
        opened.append(Deck(chromium, f"file://{edition}/slides/{name}.html{hash}", offline=True))
        return opened[-1]

    yield start
    for each in opened:
        each.context.close()


@pytest.mark.parametrize("name", lab.NOTEBOOKS, ids=lambda name: f"slides-{name[:2]}")
def test_every_slide_fits_and_can_be_read_from_the_last_row(deck, name):
    shown, wrong = deck(name), {}
    for place in shown.each():
        if faults := shown.faults():
            wrong[place] = faults
    assert wrong == {}
    assert shown.page.locator("mjx-merror, [data-mjx-error], .vae-problem").count() == 0
    assert [url for url in shown.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert shown.complaints == []


def test_a_slide_that_is_too_tall_or_too_wide_is_seen(deck):
    shown = deck("01_bayes_rule")
    shown.page.evaluate("Reveal.slide(1, 0)")
    assert shown.faults() == []
    for style in ("height: 900px; flex: none", "width: 1400px", "font-size: 12px", "margin-top: -90px"):
        spoil = "style => document.querySelector('section.present ul').style.cssText = style"
        shown.page.evaluate(spoil, style)
        assert shown.faults() != [], style


@pytest.mark.parametrize("name", lab.NOTEBOOKS, ids=lambda name: f"slides-{name[:2]}")
def test_slides_show_the_pictures_and_explorers_of_their_page(edition, name):
    page, slides = read_page(edition / f"{name}.html"), read_page(edition / "slides" / f"{name}.html")
    assert f"slides/{name}.html" in page.links and f"../{name}.html" in slides.links
    assert [src for src, alt in slides.pictures if len(alt.split()) < 3] == []
    assert {alt for _, alt in slides.pictures} <= {alt for _, alt in page.pictures}
    assert set(slides.explorers) <= set(page.explorers)
    for link in slides.links + slides.loads:
        if not link.startswith(("https:", "#")):
            assert (edition / "slides" / link.split("#")[0]).is_file(), link


def test_keys_go_through_the_slides_and_an_answer_waits_for_its_click(deck):
    shown = deck("01_bayes_rule")
    keyboard, seen = shown.page.keyboard, []
    for _ in range(6):
        keyboard.press("PageDown")
        seen.append(shown.page.evaluate("Reveal.getCurrentSlide().className.split(' ')[0]"))
    assert seen.index("answer") == seen.index("predict") + 1
    keyboard.press("Home")
    assert shown.page.evaluate("Reveal.isFirstSlide()")


def test_an_explorer_lives_on_its_slide_and_gives_the_keys_back(deck):
    shown = deck("00_start_here", "#00_start_here.draw_two_gaussians?mu=0.0&std=0.50")
    slider, place = shown.page.locator(".vae-live input").first, "JSON.stringify(Reveal.getIndices())"
    slider.focus()
    before, here = slider.input_value(), shown.page.evaluate(place)
    assert before == "30"  # μ = 0, as the address says
    shown.page.keyboard.press("ArrowRight")
    assert slider.input_value() == "31" and shown.page.evaluate(place) == here
    shown.page.keyboard.press("PageDown")
    assert slider.input_value() == "31" and shown.page.evaluate(place) != here


def test_the_arrow_keys_move_the_point_of_the_plane_and_not_the_slides(deck):
    shown = deck("07_latent_dimension", "#07_latent_dimension.latent_explorer")
    plane = shown.page.locator('section.present .vae-live [tabindex="0"]').first
    plane.focus()
    look = (
        "[JSON.stringify(Reveal.getIndices()), document.querySelector('section.present .vae-live').innerText]"
    )
    here, before = shown.page.evaluate(look)
    shown.page.keyboard.press("ArrowRight")
    shown.page.wait_for_function(
        "before => document.querySelector('.vae-live').innerText !== before", arg=before
    )
    assert shown.page.evaluate(look)[0] == here


def test_the_arrow_keys_of_a_choice_do_not_move_the_slides(deck):
    shown = deck("00_start_here")
    shown.page.evaluate("""() => {
        const choice = document.createElement("select");
        choice.append(new Option("a"), new Option("b"));
        Reveal.getCurrentSlide().append(choice);
        choice.focus();
    }""")
    shown.page.keyboard.press("ArrowRight")
    assert shown.page.evaluate("Reveal.isFirstSlide()")
    assert shown.page.evaluate("document.activeElement.value") == "b"


def test_on_paper_every_slide_is_there(deck):
    shown = deck("02_elbo")
    shown.page.emulate_media(media="print")
    assert shown.page.evaluate(PRINTED) == 0


# ---- the pages for lecturers ----------------------------------------------------------------


def test_links_of_the_pages_for_lecturers_lead_somewhere(edition):
    pages = sorted((edition / "teaching").glob("*.html"))
    assert len(pages) == 6
    for page in pages:
        for link in read_page(page).links + read_page(page).loads:
            if link.startswith(("https:", "#")):
                continue
            path, _, place = link.partition("#")
            target = (page.parent / path.partition("?")[0]).resolve() if path else page
            assert target.is_file(), f"{page.name}: {link}"
            found = read_page(target)
            known = found.anchors | {"", *found.explorers}
            assert place.partition("?")[0] in known, f"{page.name}: {link}"


def test_each_link_to_a_position_of_an_explorer_opens_it_there(chromium, edition):
    links = [link for link in read_page(edition / "teaching" / "sliders.html").links if "?" in link]
    assert len(links) > 12
    context = chromium.new_context(viewport=SIZE, offline=True)
    for link in links:
        page = context.new_page()
        page.goto(f"file://{edition}/{link.removeprefix('../')}")
        key = link.partition("#")[2].partition("?")[0]
        page.wait_for_selector(f'.vae-live[data-explorer="{key}"]', timeout=20_000)
        said = page.locator(f'[data-explorer="{key}"] .vae-status').first.inner_text()
        assert "does not exist" not in said, link
        page.close()
    context.close()


@pytest.mark.parametrize("name", ["index", "plans", "sliders", "misconceptions", "exercises", "projecting"])
def test_a_page_for_lecturers_can_be_read_by_everyone(chromium, edition, name):
    if not AXE.is_file():
        lab.skip_or_fail("axe-core is not installed: npm install --prefix tests/browser")
    for size in (PROJECTOR, PHONE):
        reader = Reader(chromium, edition, f"teaching/{name}", size)
        for mode in ("light", "dark"):
            reader.page.emulate_media(color_scheme=mode, reduced_motion="reduce")
            reader.page.evaluate(SETTLED)
            assert reader.faults("mjx-container") == [], mode
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert reader.page.evaluate(over) <= 0
        assert reader.complaints == []
        reader.close()
