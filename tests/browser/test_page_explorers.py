"""The explorers of the web edition on a page from the disk: numbers, pictures, hands, addresses, tables."""

from __future__ import annotations

import math
import re
from typing import Any

import lab
import numpy as np
import oracles
import page_explorers as made_up
import pytest
from explorer_checks import check_number
from latent import Plane
from page_explorers import COMPUTED, computed, latent, made, stored, write_page

from vae_helpers.widgets.views import Numbers, Plot, Steps, call

AXE = lab.HERE / "node_modules" / "axe-core" / "axe.min.js"
POSITIONS = 200  # random ones, at which the numbers are compared
SLOW_POSITIONS = 10  # of these with an oracle that integrates
EXACT = 1e-6  # by which a number of the page may differ from Python's
PHONE, PROJECTOR, ZOOMED = (390, 844), (1280, 800), (640, 400)  # the last is the projector at 200 %
WIDTHS = (880, 631, 601, 330, 250)  # of drawings; the second and the last are those of the web edition
NOTEBOOKS = pytest.mark.parametrize("notebook", COMPUTED)
SEED = 20
TARGET = 24  # pixels: the smallest side of what one has to hit


# ---- a page with all kinds ------------------------------------------------------------------


class Page:
    """A page with explorers, what it has asked for and what it has complained of."""

    def __init__(self, context, address, script=""):
        self.page, self.asked, self.complaints = context.new_page(), [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._note)
        self.page.add_init_script(script)
        self.page.goto(address)

    def _note(self, line):
        if line.type in ("error", "warning"):
            self.complaints.append(line.text)

    def host(self, key):
        """The place of an explorer, in sight and started."""
        host = self.page.locator(f'[data-explorer="{key}"]')
        host.scroll_into_view_if_needed()
        self.page.wait_for_selector(f'.vae-live[data-explorer="{key}"]')
        return host

    def go(self, hash_):
        """Follows a link to a position and waits until the page has."""
        self.page.evaluate("hash => { location.hash = hash }", hash_)
        self.settle()

    def settle(self):
        """Waits for two frames, in which everything is drawn."""
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )


def key_of(description):
    return f"{description['notebook']}.{description['name']}"


STORED, PLANE = "99_test.made_up", "07_test.plane"


@pytest.fixture(scope="module")
def address(chromium, tmp_path_factory):
    """The address of a page with the five computed explorers, two with stored positions and a plane."""
    descriptions = [computed(notebook) for notebook in COMPUTED]
    return write_page(tmp_path_factory.mktemp("page"), [*descriptions, stored(), stored("too"), latent()])


@pytest.fixture(scope="module")
def context(chromium):
    """Pages without a network, of a reader who can touch."""
    size = dict(zip(("width", "height"), PROJECTOR, strict=True))
    context = chromium.new_context(offline=True, viewport=size, has_touch=True)
    yield context
    context.close()


@pytest.fixture(scope="module")
def open_page(context, address):
    """The page, opened once."""
    opened = Page(context, address)
    yield opened
    opened.page.close()


@pytest.fixture
def at_start(open_page):
    """That page with all explorers at their first positions and no position in its address."""
    for button in open_page.page.locator(".vae-reset").element_handles():
        button.evaluate("button => button.click()")
    open_page.settle()
    return open_page


def look(host):
    """Where an explorer's controls stand, its numbers, lines and pictures, and what it says."""
    return host.evaluate(
        """host => ({
            readouts: [...host.querySelectorAll(".vae-control")].map(row => {
                const list = row.querySelector("select");
                const shown = list ? list.selectedOptions[0] : row.querySelector(".vae-readout");
                return shown.textContent;
            }),
            spoken: [...host.querySelectorAll("input[type=range]")]
                .map(input => input.getAttribute("aria-valuetext")),
            numbers: Object.fromEntries([...host.querySelectorAll(".vae-number")]
                .map(one => [one.dataset.name, one.querySelector("b").textContent])),
            lines: [...host.querySelectorAll(".vae-value")].map(one => one.textContent),
            pictures: [...host.querySelectorAll(".vae-drawing, img.vae-picture")]
                .map(one => one.src ?? one.innerHTML),
            status: host.querySelector(".vae-status").textContent,
        })"""
    )


# ---- numbers ----------------------------------------------------------------------------------


def random_positions(notebook):
    """Values of the controls between their ends, not only those of the slider."""
    rng, controls = np.random.default_rng(SEED), computed(notebook)["controls"]
    draws = {c["name"]: rng.uniform(c["values"][0], c["values"][-1], POSITIONS).tolist() for c in controls}
    return [dict(zip(draws, values, strict=True)) for values in zip(*draws.values(), strict=True)]


def view_of(notebook, kind):
    return next((view for view in made(notebook).shown.views if isinstance(view, kind)), None)


@pytest.fixture(scope="module")
def answers(open_page):
    """What the page's functions give at the random positions, numbers and lines, by notebook."""
    found = {}
    for notebook, name in COMPUTED.items():
        script = "(host, all) => all.map(values => [host.numbers(values), host.steps(values)])"
        found[notebook] = open_page.host(f"{notebook}.{name}").evaluate(script, random_positions(notebook))
    return found


@NOTEBOOKS
def test_numbers_are_those_of_the_notebooks_own_report(answers, notebook):
    (report,) = view_of(notebook, Numbers).functions
    for values, (numbers, _) in zip(random_positions(notebook), answers[notebook], strict=True):
        expected = call(report, values)
        assert [name for name, *_ in numbers] == list(expected)
        for name, number, *_ in numbers:
            value = expected[name][0] if isinstance(expected[name], tuple) else expected[name]
            assert abs(number - value) < EXACT, f"{name} at {values} is {number}, not {value}"


@NOTEBOOKS
def test_numbers_are_those_of_an_independent_oracle(answers, notebook):
    oracle = oracles.find(notebook, COMPUTED[notebook])
    for values, (numbers, _) in list(zip(random_positions(notebook), answers[notebook], strict=True))[
        :SLOW_POSITIONS
    ]:
        expected = oracle(**values)
        for name, number, *_ in numbers:
            value, tolerance = (
                expected[name] if isinstance(expected[name], tuple) else (expected[name], EXACT)
            )
            assert abs(number - value) < tolerance, f"{name} at {values} is {number}, not {value}"


def test_lines_of_the_road_are_those_of_the_notebooks_derivation(answers):
    (derive,) = view_of("02_elbo", Steps).functions
    for values, (_, lines) in zip(random_positions("02_elbo"), answers["02_elbo"], strict=True):
        assert np.allclose(lines, call(derive, values).values(), rtol=0, atol=EXACT), values


@NOTEBOOKS
@pytest.mark.parametrize("end", [0, -1])
def test_at_its_ends_an_explorer_shows_the_texts_that_python_shows(at_start, notebook, end):
    description, explorer = computed(notebook), made(notebook).shown
    controls, key = description["controls"], key_of(description)
    host = at_start.host(key)
    at_start.go(f"#{key}?" + "&".join(f"{c['name']}={c['values'][end]}" for c in controls))
    for control in controls:
        explorer.controls[control["name"]].input.value = control["values"][end]
    seen = look(host)
    assert seen["readouts"] == [control["texts"][end] for control in controls]
    assert seen["spoken"] == [f"{c['texts'][end]} {c['unit']}".strip() for c in controls]
    assert (
        ", ".join(f"{name} {value}" for name, value in seen["numbers"].items())
        == view_of(notebook, Numbers).text
    )
    if derived := view_of(notebook, Steps):
        expected = [cell.value for cell in derived._cells]
        assert seen["lines"] == [re.sub("</?b>", "", value) for value in expected]


def test_halves_are_rounded_as_python_rounds_them(open_page):
    # 0.0625, 0.1875 and 2.5 lie halfway to the bit; 1.005 and 2.675 do not.
    cases = [
        (0.0625, 3),
        (0.1875, 3),
        (2.5, 0),
        (3.5, 0),
        (-0.0625, 3),
        (1.005, 2),
        (2.675, 2),
        (-0.0004, 3),
        (12.0, 1),
    ]
    source = (
        (lab.ROOT / "vae_helpers/widgets/page/math.js").read_text(encoding="utf-8").replace("export ", "")
    )
    shown = open_page.page.evaluate(
        f"cases => {{ {source}; return cases.map(([x, n]) => decimals(x, n)); }}", cases
    )
    assert shown == [made_up.decimals(number, digits) for number, digits in cases]


# ---- pictures ---------------------------------------------------------------------------------


def axes_of(drawing):
    """Left, top, width and height of the axes of a drawing, left to right and top to bottom."""
    boxes = drawing.evaluate(
        """drawing => [...drawing.querySelectorAll(":scope > svg > svg")]
            .map(inner => ["x", "y", "width", "height"].map(name => Number(inner.getAttribute(name))))"""
    )
    return list(dict.fromkeys(map(tuple, boxes)))  # a map has its mark in a box of its own, at the same place


def curve(drawing, color):
    """The points of the first curve of a colour, in pixels."""
    path = drawing.locator(f'path[stroke="{color}"][fill="none"]').first.get_attribute("d")
    numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", path)]
    return np.array(numbers).reshape(-1, 2)


def in_units(points, box, x, y):
    """Points of a drawing in the units of its axes, whose limits are x and y."""
    left, top, width, height = box
    return np.column_stack([
        x[0] + (points[:, 0] - left) / width * (x[1] - x[0]),
        y[1] - (points[:, 1] - top) / height * (y[1] - y[0]),
    ])  # fmt: skip


# The roles of the curves, areas and bars of each notebook's pictures.
ROLES_OF = {
    "00_start_here": {"prior", "q"},
    "01_bayes_rule": {"prior", "likelihood", "posterior", "evidence"},
    "02_elbo": {"prior", "posterior", "q", "evidence", "elbo"},
    "03_gaussian_kl": {"prior", "q"},
    "05_reparameterization": {"prior", "q"},
}
# Which curve is a density of which mean and standard deviation: the limits of its axes, its role.
CURVES = {
    "00_start_here": ((-5, 5), (0, 2), "q", lambda v: (v["mu"], v["std"])),
    "01_bayes_rule": ((-5, 5), (0, 2.2), "posterior", None),
    "02_elbo": ((-3, 3.5), (0, 2.2), "q", lambda v: (v["mean"], v["std"])),
    "03_gaussian_kl": ((-6, 6), (0, 1.9), "q", lambda v: (v["mu"], math.exp(v["log_var"] / 2))),
}


@pytest.mark.parametrize("notebook", CURVES)
def test_a_density_is_drawn_where_it_is(at_start, notebook):
    x, y, role, moments = CURVES[notebook]
    description = computed(notebook)
    host = at_start.host(key_of(description))
    controls = description["controls"]
    indices = [len(control["values"]) // 3 for control in controls]
    values = {c["name"]: c["values"][index] for c, index in zip(controls, indices, strict=True)}
    at_start.go(f"#{key_of(description)}?" + "&".join(f"{name}={value}" for name, value in values.items()))
    drawing = host.locator(".vae-drawing").first
    points = in_units(curve(drawing, description["look"][role]["color"]), axes_of(drawing)[0], x, y)
    if moments is None:
        seen = oracles.find(notebook, description["name"])(**values)
        mean, std = seen["posterior mean"], seen["std"]
    else:
        mean, std = moments(values)
    density = np.exp(-0.5 * ((points[:, 0] - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    assert np.abs(points[:, 1] - density).max() < 0.02


def test_each_contour_joins_points_of_one_level(at_start):
    host = at_start.host("03_gaussian_kl.draw_q")
    drawing = host.locator(".vae-drawing").nth(1)
    values = [
        lambda m, v: 0.5 * (np.log(2 * np.pi) + np.exp(v) + m**2),
        lambda m, v: -0.5 * (np.log(2 * np.pi) + v + 1),
        lambda m, v: 0.5 * (np.exp(v) + m**2 - 1 - v),
    ]
    levels = [[1, 2, 4, 6, 8], [-2, -1, 0], [0.5, 1, 2, 4, 6]]
    boxes = axes_of(drawing)
    maps = drawing.locator("svg svg").filter(has=at_start.page.locator('path[stroke="#4d4d4d"]'))
    assert maps.count() == 3
    for number, (value, expected) in enumerate(zip(values, levels, strict=True)):
        paths = (
            maps.nth(number)
            .locator('path[stroke="#4d4d4d"]')
            .evaluate_all("all => all.map(p => p.getAttribute('d'))")
        )
        assert len(paths) == len(expected)
        for path, level in zip(paths, expected, strict=True):
            points = np.array([float(n) for n in re.findall(r"-?\d+\.?\d*", path)]).reshape(-1, 2)
            m, v = in_units(points, boxes[number], (-3.4, 3.4), (-3.4, 2.4)).T
            assert len(points) > 10 or number == 1
            assert np.abs(value(m, v) - level).max() < 0.03


def test_the_mark_of_q_stands_at_its_place_on_all_three_maps(at_start):
    host = at_start.host("03_gaussian_kl.draw_q")
    at_start.go("#03_gaussian_kl.draw_q?mu=-2.0&log_var=1.5")
    drawing = host.locator(".vae-drawing").nth(1)
    marks = drawing.locator("circle").evaluate_all(
        "all => all.map(c => [c.getAttribute('cx'), c.getAttribute('cy')].map(Number))"
    )
    boxes = axes_of(drawing)
    assert len(marks) == 3
    for mark, box in zip(marks, boxes, strict=True):
        assert np.allclose(
            in_units(np.array([mark]), box, (-3.4, 3.4), (-3.4, 2.4)), [[-2.0, 1.5]], atol=0.01
        )


def words_of(figure):
    """What Matplotlib writes beside and above its axes, and in legends, without its marks of italics."""
    texts = []
    for ax in figure.axes:
        legend = ax.get_legend()
        texts += [ax.get_xlabel(), ax.get_ylabel(), ax.get_title()]
        texts += [text.get_text() for text in legend.get_texts()] if legend else []
        names = [ax.get_xticklabels(), ax.get_yticklabels()]
        texts += [t.get_text() for labels in names for t in labels if re.search("[a-z]", t.get_text())]
    lines = "\n".join(texts).replace("$", "").replace(r"\mid", " |").split("\n")
    return {re.sub(r"\s+", " ", line) for line in lines if line.strip()}


def limits(box, words):
    """The limits of x and y that the numbers at the ticks of axes say; None where there are not two."""
    left, top, width, height = box
    number = re.compile("−?[0-9.]+")
    ticks = [
        (float(text.replace("−", "-")), x, y - 0.36 * size)  # the middle of a number, above its foot
        for text, x, y, size in words
        if number.fullmatch(text)
    ]
    below = [
        (value, x) for value, x, y in ticks if 0 < y - top - height < 30 and left - 1 <= x <= left + width + 1
    ]
    beside = [(value, y) for value, x, y in ticks if 0 < left - x < 20 and top - 1 < y < top + height + 10]
    ends = [(below, left, left + width), (beside, top + height, top)]
    return [_ends(pairs, first, last) for pairs, first, last in ends]


def _ends(pairs, first, last):
    if len(pairs) < 2:
        return None
    slope, start = np.polyfit([at for _, at in pairs], [value for value, _ in pairs], 1)
    return slope * first + start, slope * last + start


@NOTEBOOKS
def test_axes_have_the_words_and_the_limits_of_the_notebooks(at_start, notebook):
    host = at_start.host(key_of(computed(notebook)))
    figures = [view._figure for view in made(notebook).shown.views if isinstance(view, Plot)]
    for number, figure in enumerate(figures):
        drawing = host.locator(".vae-drawing").nth(number)
        words = drawing.locator("text").evaluate_all(
            """all => all.map(node => [node.textContent, ...["x", "y", "font-size"]
                .map(name => Number(node.getAttribute(name)))])"""
        )
        assert words_of(figure) <= {text for text, *_ in words}
        for ax, box in zip(figure.axes, axes_of(drawing), strict=True):
            for seen, expected in zip(limits(box, words), (ax.get_xlim(), ax.get_ylim()), strict=True):
                near = 0.01 * (expected[1] - expected[0])
                assert seen is None or np.allclose(seen, expected, rtol=0, atol=near), (seen, expected)


@NOTEBOOKS
def test_pictures_take_their_colours_and_lines_from_the_table(context, tmp_path, notebook):
    description = computed(notebook)
    strange = {role: {"color": f"#12345{i}", "dash": [7, 2]} for i, role in enumerate(description["look"])}
    plain = Page(context, write_page(tmp_path, [description | {"look": strange}]))
    seen = "".join(look(plain.host(key_of(description)))["pictures"])
    plain.page.close()
    assert {role for role, style in strange.items() if style["color"] in seen} == ROLES_OF[notebook]
    assert 'stroke-dasharray="21 6"' in seen or notebook == "05_reparameterization"  # which has areas alone


FAULTS_OF_WORDS = """host => [...host.querySelectorAll(".vae-drawing > svg")].flatMap(svg => {
    const paper = svg.getBoundingClientRect();
    const words = [...svg.querySelectorAll("text")]
        .map(node => [node.textContent, node.getBoundingClientRect()]);
    const inside = a => a.left > paper.left - 1 && a.right < paper.right + 1
        && a.top > paper.top - 1 && a.bottom < paper.bottom + 1;
    const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 6; // lines of type have air above
    const outside = words.filter(([, box]) => !inside(box)).map(([text]) => `${text} outside`);
    const upon = words.flatMap(([one, a], i) =>
        words.slice(i + 1).filter(([, b]) => meet(a, b)).map(([other]) => `${one} on ${other}`));
    return [...outside, ...upon];
})"""


@NOTEBOOKS
@pytest.mark.parametrize("width", WIDTHS)
def test_words_in_pictures_do_not_overlap_and_are_inside(at_start, notebook, width):
    host = at_start.host(key_of(computed(notebook)))
    host.evaluate("(host, width) => { host.style.width = `${width + 26}px` }", width)
    at_start.settle()
    at_start.settle()
    faults = host.evaluate(FAULTS_OF_WORDS)
    host.evaluate("host => { host.style.width = '' }")
    at_start.settle()
    assert faults == []


@NOTEBOOKS
def test_a_drawing_is_spoken_as_the_notebooks_alt_text(at_start, notebook):
    description = computed(notebook)
    drawings = at_start.host(key_of(description)).locator(".vae-drawing > svg")
    spoken = drawings.evaluate_all(
        "all => all.map(svg => [svg.getAttribute('role'), svg.getAttribute('aria-label')])"
    )
    assert spoken == [["img", view["alt"]] for view in description["views"] if view["kind"] == "picture"]


# ---- hands ------------------------------------------------------------------------------------


def by_keyboard(opened, slider):
    slider.focus()
    opened.page.keyboard.press("ArrowLeft")


def by_mouse(opened, slider):
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    share = int(slider.input_value()) / int(slider.get_attribute("max"))
    x, y = box["x"] + 13 + share * (box["width"] - 26), box["y"] + box["height"] / 2
    opened.page.mouse.move(x, y)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 0.1 * box["width"], y + 3, steps=6)
    opened.page.mouse.up()


def by_touch(opened, slider):
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    opened.page.touchscreen.tap(box["x"] + 0.1 * box["width"], box["y"] + box["height"] / 2)


@pytest.mark.parametrize("hand", [by_keyboard, by_mouse, by_touch])
@NOTEBOOKS
def test_every_slider_is_moved_by_hand(at_start, notebook, hand):
    description, oracle = computed(notebook), oracles.find(notebook, COMPUTED[notebook])
    host = at_start.host(key_of(description))
    for number, control in enumerate(description["controls"]):
        before = look(host)
        hand(at_start, host.locator("input[type=range]").nth(number))
        at_start.settle()
        after = look(host)
        assert after["readouts"][number] != before["readouts"][number]
        assert after["pictures"] != before["pictures"], (
            f"{control['label']} has moved and no picture has changed"
        )
        names = [c["name"] for c in description["controls"]]
        values = {n: float(text.replace("−", "-")) for n, text in zip(names, after["readouts"], strict=True)}
        for name, expected in oracle(**values).items():
            if name not in ("lines", "broken"):
                check_number(after["numbers"][name].replace("−", "-"), expected, f"{name} at {values}")


def test_a_list_is_moved_by_the_arrow_keys(at_start):
    host = at_start.host(STORED)
    host.locator("select").focus()
    at_start.page.keyboard.press("ArrowDown")
    at_start.settle()
    assert look(host)["readouts"] == ["2", "−0.5", "b"]


@NOTEBOOKS
def test_reset_brings_back_the_first_value(at_start, notebook):
    host = at_start.host(key_of(computed(notebook)))
    first = look(host)
    for slider in host.locator("input[type=range]").all():
        by_keyboard(at_start, slider)
    at_start.settle()
    assert look(host)["numbers"] != first["numbers"]
    for button in host.get_by_role("button", name=re.compile("^reset ")).all():
        button.click()
    at_start.settle()
    assert look(host) == first


def test_what_one_has_to_hit_is_large_enough(at_start):
    at_start.host(PLANE)
    small = at_start.page.evaluate(
        """least => [...document.querySelectorAll(".vae-live :is(input, select, button, summary)")]
            .filter(node => node.checkVisibility())
            .map(node => [node.outerHTML.slice(0, 80), node.getBoundingClientRect()])
            .filter(([, box]) => box.width < least || box.height < least).map(([name]) => name)""",
        TARGET,
    )
    assert small == []


def test_many_moves_in_one_frame_are_drawn_once(at_start):
    host = at_start.host("00_start_here.draw_two_gaussians")
    drawn = host.evaluate(
        """async host => {
            const explorer = host.querySelector(".vae-explorer"), slider = host.querySelector("input");
            const next = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
            await next();
            const before = Number(explorer.dataset.frames);
            for (let value = 0; value < 40; value++) {
                slider.value = value;
                slider.dispatchEvent(new Event("input"));
            }
            await next();
            return Number(explorer.dataset.frames) - before;
        }"""
    )
    assert drawn == 1
    assert look(host)["readouts"][0] == "0.9"


# ---- stored positions -------------------------------------------------------------------------


def move(opened, host, row, key, times=1):
    """Presses a key on a control of the stored explorer."""
    host.locator(".vae-control").nth(row).locator("input, select").focus()
    for _ in range(times):
        opened.page.keyboard.press(key)
        opened.settle()


def test_a_stored_position_shows_its_own_picture_and_numbers(at_start):
    host = at_start.host(STORED)
    move(at_start, host, 0, "ArrowRight")
    seen, number = look(host), stored()["positions"].index([2, 0, 0])
    assert seen["readouts"] == ["5", "−0.5", "a"]
    assert seen["numbers"] == {"place": str(number), "sum": "2 nats"}
    assert seen["pictures"] == [stored()["frames"][number]]
    assert seen["status"] == ""


def test_a_line_that_does_not_hold_is_marked(at_start):
    host = at_start.host(STORED)
    move(at_start, host, 0, "End")
    assert look(host)["numbers"]["place"] == "3"
    assert look(host)["lines"] == ["−1.000000 ✓", "−3.500000 ✗ does not hold"]


def test_two_controls_are_combined_where_a_grid_is_stored(at_start):
    host = at_start.host(STORED)
    move(at_start, host, 0, "End")
    move(at_start, host, 1, "End")
    assert look(host)["readouts"] == ["10", "0.5", "a"]
    assert look(host)["status"] == ""


def test_where_a_position_is_not_stored_the_other_control_moves_and_it_is_told(at_start):
    host = at_start.host(STORED)
    move(at_start, host, 1, "End")
    move(at_start, host, 0, "ArrowRight")  # 5 is stored with −0.5 alone
    seen = look(host)
    assert seen["readouts"] == ["5", "−0.5", "a"]
    assert seen["status"].startswith("noise s went from 0.5 V to −0.5 V: with dimension d 5 ")


def test_a_list_changes_the_formulas_of_the_lines(at_start):
    host = at_start.host(STORED)
    formulas = host.locator(".vae-formula").last
    assert formulas.inner_text() == "≥ a"
    move(at_start, host, 2, "ArrowDown")
    assert formulas.inner_text() == "≥ b"
    assert (
        host.get_by_role("table", name="Road b (nats)").get_by_role("columnheader").inner_text()
        == "Road b (nats)"
    )


def test_the_page_says_what_is_stored_and_what_goes_together(at_start):
    remark = at_start.host(STORED).locator(".vae-remark").inner_text()
    assert "11 positions" in remark
    assert "dimension d with noise s" in remark


def test_a_note_of_the_description_takes_the_place_of_that_sentence(context, tmp_path):
    opened = Page(context, write_page(tmp_path, [stored() | {"note": "Nothing is trained here."}]))
    assert opened.host(STORED).locator(".vae-remark").inner_text() == "Nothing is trained here."
    opened.page.close()


def test_formulas_are_handed_to_mathjax_where_a_page_has_it(context, address):
    script = """window.MathJax = {
        startup: { promise: Promise.resolve() },
        typesetPromise: async nodes => { window.set = nodes.map(node => node.textContent); },
    }"""
    opened = Page(context, address, script)
    opened.host("02_elbo.elbo_and_gap")
    opened.page.wait_for_function("window.set")
    rows = next(view["rows"] for view in computed("02_elbo")["views"] if view["kind"] == "steps")
    assert opened.page.evaluate("window.set") == [rf"\(\displaystyle {row['latex']}\)" for row in rows]
    opened.page.close()


def test_without_mathjax_formulas_are_shown_as_tex(at_start):
    host = at_start.host("02_elbo.elbo_and_gap")
    assert host.locator(".vae-formula code").first.inner_text() == r"\log p(x)"


def test_a_limited_control_stops_where_the_other_one_stands(context, tmp_path):
    limited = stored()
    limited["controls"][1] |= {"values": [1, 2, 3], "texts": ["1", "2", "3"], "at_most": "dim", "unit": ""}
    limited["positions"] = [[i, j, 0] for i in range(4) for j in range(min(3, [1, 2, 5, 10][i]))]
    limited["positions"].sort(key=lambda position: position != [1, 0, 0])
    limited["shown"] = [limited["shown"][0]] * len(limited["positions"])
    opened = Page(context, write_page(tmp_path, [limited]))
    host = opened.host(STORED)
    move(opened, host, 1, "ArrowRight", times=4)
    assert look(host)["readouts"][:2] == ["2", "2"]
    move(opened, host, 0, "ArrowLeft")
    assert look(host)["readouts"][:2] == ["1", "1"]
    assert host.locator("input").nth(1).is_disabled()
    opened.page.close()


# ---- addresses --------------------------------------------------------------------------------


def hash_of(opened):
    return opened.page.evaluate("decodeURIComponent(location.hash)")


def test_a_move_is_kept_in_the_address_and_an_address_is_followed(at_start, context):
    host = at_start.host("01_bayes_rule.draw_posterior")
    by_keyboard(at_start, host.locator("input").first)
    at_start.page.keyboard.press("Home")
    expected = "#01_bayes_rule.draw_posterior?x=-0.5&noise_std=0.30&prior_std=1.0"
    lab.eventually(lambda: same(hash_of(at_start), expected))
    again = Page(context, at_start.page.url)
    there = again.page.locator('[data-explorer="01_bayes_rule.draw_posterior"]')
    again.page.wait_for_selector('.vae-live[data-explorer="01_bayes_rule.draw_posterior"]')
    again.settle()
    assert look(there) == look(host)
    assert abs(there.bounding_box()["y"]) < PROJECTOR[1], "the explorer is not on the screen"
    again.page.close()


def test_a_link_on_the_page_moves_the_explorer(at_start):
    host = at_start.host(STORED)
    at_start.go(f"#{STORED}?dim=10&noise=0.5")
    assert look(host)["readouts"] == ["10", "0.5", "a"]


def test_an_address_may_name_any_number_by_its_value(at_start):
    host = at_start.host("02_elbo.elbo_and_gap")
    at_start.go("#02_elbo.elbo_and_gap?mean=1&std=0.7")
    assert look(host)["readouts"] == ["1.0", "0.70"]


@pytest.mark.parametrize("query", ["dim=3", "dim=10&nose=0.5", "road=", "dim=%"])
def test_an_address_that_does_not_exist_gives_the_first_position_and_says_so(at_start, query):
    host = at_start.host(STORED)
    move(at_start, host, 0, "End")
    at_start.go(f"#{STORED}?{query}")
    seen = look(host)
    assert seen["readouts"] == ["2", "−0.5", "a"]
    assert (
        seen["status"]
        == f"The address names a position that does not exist ({query}); this is the first position."
    )


def test_an_address_that_is_not_stored_gives_the_nearest_and_says_so(at_start):
    host = at_start.host(STORED)
    at_start.go(f"#{STORED}?dim=5&noise=0.5")
    seen = look(host)
    assert seen["readouts"] == ["2", "0.5", "a"]
    assert seen["status"] == "dimension d went from 5 to 2: the position in the address is not stored."


def test_an_address_of_an_explorer_that_is_elsewhere_is_told(context, address):
    opened = Page(context, address + "#04_other.explorer?dim=5")
    opened.page.get_by_text(
        "The address names an explorer that is not on this page (04_other.explorer)."
    ).wait_for()
    opened.page.close()


def test_the_link_button_gives_the_address_of_the_position(at_start):
    host = at_start.host(STORED)
    move(at_start, host, 0, "End")
    host.get_by_role("button", name="link to this position").click()
    lab.eventually(
        lambda: told(host, r"^(The link to this position is copied|Copy the link from the field)\.$")
    )
    assert hash_of(at_start) == f"#{STORED}?dim=10&noise=-0.5&road=a"
    shown = host.locator(".vae-address")
    assert shown.count() == 0 or shown.input_value() == at_start.page.url


# ---- coupled controls -------------------------------------------------------------------------


def test_controls_that_mean_the_same_move_together_once_coupled(at_start):
    first, second = at_start.host(STORED), at_start.host("99_test.too")
    move(at_start, first, 0, "End")
    assert look(second)["readouts"][0] == "2"
    box = first.get_by_role(
        "checkbox", name="move dimension d and noise s and road in all explorers of this page"
    )
    box.check()
    move(at_start, first, 0, "Home")
    assert look(second)["readouts"][0] == "1"
    assert second.get_by_role("checkbox").is_checked()
    box.uncheck()
    move(at_start, first, 0, "End")
    assert look(second)["readouts"][0] == "1"


@NOTEBOOKS
def test_there_is_a_checkbox_only_where_something_can_be_coupled(at_start, notebook):
    found = at_start.host(key_of(computed(notebook))).get_by_role("checkbox").count()
    assert found == (notebook[:2] in ("03", "05"))  # both have a slider "mean μ", in different ranges


def test_a_coupled_control_with_another_range_goes_to_the_nearest_value(at_start):
    kl, path = (at_start.host(key_of(computed(name))) for name in COMPUTED if name[:2] in ("03", "05"))
    box = kl.get_by_role("checkbox")
    box.check()
    move(at_start, path, 0, "End")
    assert look(path)["readouts"][0] == look(kl)["readouts"][0] == "3.0"
    move(at_start, kl, 0, "ArrowLeft")
    assert look(path)["readouts"][0] == look(kl)["readouts"][0] == "2.9"
    move(at_start, kl, 0, "Home")
    assert (look(kl)["readouts"][0], look(path)["readouts"][0]) == ("−3.0", "0.0")
    box.uncheck()


# ---- tables -----------------------------------------------------------------------------------


def open_table(opened, host):
    """The table of an explorer as rows of texts, its caption first."""
    host.locator("summary").click()
    opened.settle()
    rows = host.locator(".vae-table tr").evaluate_all(
        "all => all.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    caption = host.locator("caption").inner_text()
    host.locator("summary").click()
    return caption, rows


def test_an_open_table_follows_the_address(at_start):
    key = "02_elbo.elbo_and_gap"
    host = at_start.host(key)
    move(at_start, host, 0, "ArrowRight")  # along the mean, then
    host.locator("summary").click()
    at_start.go(f"#{key}?mean=2.0&std=0.50")
    assert "with std of q at 0.50" in host.locator("caption").inner_text()
    host.locator("summary").click()


def test_a_table_holds_all_stored_positions(at_start):
    caption, rows = open_table(at_start, at_start.host(STORED))
    assert caption == "All 11 stored positions."
    assert rows[0] == ["dimension d", "noise s (V)", "road", "place", "sum"]
    assert len(rows) == 12
    assert rows[1] == ["2", "−0.5", "a", "0", "1 nats"]


def test_a_table_runs_along_the_control_that_was_moved_last(at_start):
    host = at_start.host("00_start_here.draw_two_gaussians")
    by_keyboard(at_start, host.locator("input").nth(1))
    at_start.settle()
    caption, rows = open_table(at_start, host)
    assert caption == "Along std σ of q, with mean μ of q at 1.5."
    assert [row[1] for row in rows[1:]] == computed("00_start_here")["controls"][1]["texts"]
    one = rows[1 + [row[1] for row in rows[1:]].index("1.00")]
    assert one == ["1.5", "1.00", "1.125 nats", "1.125 nats", "0.000 nats"]


def test_a_table_of_the_plane_holds_its_points(at_start):
    caption, rows = open_table(at_start, at_start.host(PLANE))
    assert caption == "The 300 points of the plane."
    assert len(rows) == 301


# ---- the latent plane -------------------------------------------------------------------------


@pytest.mark.parametrize("promise", ["decoder", "shown", "keys", "drag", "reset"])
def test_the_latent_plane_keeps_its_promises(at_start, promise):
    host = at_start.host(PLANE)
    host.locator(".latent-plane").scroll_into_view_if_needed()
    getattr(Plane(at_start.page), f"check_{promise}")()


def test_the_point_of_the_plane_is_in_the_address(at_start):
    at_start.host(PLANE)
    at_start.go(f"#{PLANE}?z1=0.50&z2=-1.25")
    Plane(at_start.page).check_at((0.5, -1.25))
    at_start.page.locator(".latent-plane").press("ArrowRight")
    lab.eventually(lambda: same(hash_of(at_start), f"#{PLANE}?z1=0.60&z2=-1.25"))


@pytest.mark.parametrize("query", ["z1=5", "z1=a", "z3=0"])
def test_a_point_off_the_plane_is_told(at_start, query):
    host = at_start.host(PLANE)
    at_start.go(f"#{PLANE}?z1=1")
    at_start.go(f"#{PLANE}?{query}")
    Plane(at_start.page).check_at((0.0, 0.0))
    assert f"does not exist ({query})" in host.locator(".vae-status").inner_text()


def test_a_stored_picture_is_enlarged_on_a_phone(context, tmp_path):
    wide = stored()
    wide["views"][0] |= {"width": 880, "height": 440}
    opened = Page(context, write_page(tmp_path, [wide]))
    opened.page.set_viewport_size(dict(zip(("width", "height"), PHONE, strict=True)))
    host = opened.host(STORED)
    image, button = host.locator("img.vae-picture"), host.get_by_role("button", name="larger picture")
    assert image.bounding_box()["width"] < PHONE[0]
    button.click()
    assert image.bounding_box()["width"] == 880
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    button.click()
    assert image.bounding_box()["width"] < PHONE[0]
    opened.page.close()


# ---- loading ----------------------------------------------------------------------------------


def test_data_are_loaded_only_when_a_reader_comes_near(context, address):
    opened = Page(context, address)
    opened.page.wait_for_selector(".vae-live")
    opened.settle()
    loaded = [url for url in opened.asked if "explorers/" in url]
    assert any("00_start_here" in url for url in loaded)
    assert not any("07_test" in url for url in loaded)
    opened.page.close()


def test_who_goes_by_keys_comes_into_an_explorer_that_was_not_loaded(context, address):
    opened = Page(context, address)
    opened.page.wait_for_selector(".vae-live")
    opened.page.locator(f'[data-explorer="{STORED}"]').evaluate("host => host.focus({ preventScroll: true })")
    opened.page.wait_for_selector(f'.vae-live[data-explorer="{STORED}"]')
    focused = opened.page.evaluate("document.activeElement.closest('.vae-control')?.dataset.name")
    assert focused == "dim"
    opened.page.close()


def broken(change):
    """A computed explorer whose description is not whole."""
    return computed("02_elbo") | change


@pytest.mark.parametrize(
    ("description", "why"),
    [
        (None, "its data, 99_test.gone.js, could not be read"),
        (broken({"parameters": {}}), "parameters: expected w, b, s, x, got no w, b, s, x"),
        (broken({"name": "other"}), "expected a module for 02_elbo.other, got none"),
        (broken({"kind": "odd"}), "kind: expected frames, computed or latent, got odd"),
        (broken({"look": {}}), ""),
    ],
)
def test_where_an_explorer_cannot_start_the_still_stays_and_a_sentence_says_why(
    context, tmp_path, description, why
):
    given = [description] if description else []
    opened = Page(context, write_page(tmp_path, given, missing="" if given else "99_test.gone"))
    problem = opened.page.get_by_role("alert")
    problem.wait_for()
    assert problem.inner_text().startswith(f"This explorer could not be started: {why}")
    assert opened.page.locator('.vae-web > img[alt="The first position."]').count() == 1
    opened.page.close()


# ---- the whole page ---------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["light", "dark"])
def whole(request, chromium, tmp_path_factory):
    """A page with all kinds of explorers in a reader's mode, all started and a table open."""
    descriptions = [*(computed(notebook) for notebook in COMPUTED), stored(), stored("too"), latent()]
    dark = request.param == "dark"
    address = write_page(tmp_path_factory.mktemp(request.param), descriptions, dark=dark)
    context = chromium.new_context(offline=True, color_scheme=request.param, reduced_motion="reduce")
    opened = Page(context, address)
    for description in descriptions:
        opened.host(key_of(description))
    for summary in opened.page.locator(".vae-table summary").all():
        summary.click()
    opened.settle()
    yield opened
    context.close()


def test_nothing_is_asked_of_another_host_and_nothing_complains(whole):
    assert whole.asked
    assert all(url.startswith(("file://", "data:")) for url in whole.asked)
    assert whole.complaints == []


def test_screen_readers_find_no_serious_fault(whole):
    if not AXE.is_file():
        lab.skip_or_fail("axe-core is not installed: npm install --prefix tests/browser")
    whole.page.set_viewport_size(dict(zip(("width", "height"), PROJECTOR, strict=True)))
    whole.settle()
    whole.page.evaluate(AXE.read_text(encoding="utf-8"))
    faults = whole.page.evaluate(
        """async () => {
            const answer = await axe.run(document, { resultTypes: ["violations"] });
            return answer.violations.filter(fault => ["critical", "serious"].includes(fault.impact))
                .flatMap(fault => fault.nodes.map(node => `${fault.id}: ${node.html.slice(0, 160)}`));
        }"""
    )
    assert faults == []


@pytest.mark.parametrize("size", [PHONE, PROJECTOR, ZOOMED], ids=["phone", "projector", "zoomed"])
def test_nothing_has_to_be_scrolled_sideways(whole, size):
    whole.page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    whole.settle()
    whole.settle()
    beyond = whole.page.evaluate(
        """() => {
            const scrolls = node => node.closest(".vae-table-room, .vae-formula");
            const edge = document.documentElement.clientWidth;
            const out = [...document.querySelectorAll("main *")]
                .filter(node => !scrolls(node) && node.getBoundingClientRect().right > edge + 1)
                .map(node => node.outerHTML.slice(0, 80));
            return [document.documentElement.scrollWidth - edge, ...out];
        }"""
    )
    assert beyond == [0]


def test_paper_and_type_are_the_same_in_both_modes(whole):
    colors = whole.page.evaluate(
        """() => [...document.querySelectorAll(".vae-live")].map(host =>
            [host, host.querySelector("summary"), host.querySelector("button")]
                .map(node => getComputedStyle(node).color).concat(getComputedStyle(host).backgroundColor))"""
    )
    assert all(each == [*3 * ["rgb(17, 17, 17)"], "rgb(255, 255, 255)"] for each in colors)


def told(host, pattern):
    assert re.search(pattern, look(host)["status"]), look(host)["status"]


def same(value: Any, expected: Any) -> None:
    assert value == expected
