"""A projector, its zooms and both themes; a notebook that was saved and is opened again; keys."""

import shutil
from typing import Any, NamedTuple

import lab
import layout
import pytest

AXE = lab.HERE / "node_modules" / "axe-core" / "axe.min.js"
PROJECTOR = layout.SCREENS[0]
THEMES = ("JupyterLab Light", "JupyterLab Dark")
SETTLED = 500  # milliseconds in which a page takes its new shape
NOTICED = 1500  # milliseconds in which JupyterLab would mark a notebook as changed


@pytest.fixture(scope="session")
def fresh(chromium, address):
    """Opens a notebook in a new page, as a lecturer does who comes back to it."""
    pages = []

    def opened(name):
        page = chromium.new_page(viewport=lab.VIEWPORT)
        pages.append(page)
        lab.open_notebook(page, address, f"{name}.ipynb")
        return page

    yield opened
    for page in pages:
        page.close()


# ---- whatever the zoom and the theme --------------------------------------------------------


class Screen(NamedTuple):
    page: Any
    is_projector: bool


@pytest.fixture(scope="module")
def again(notebook, fresh):
    """The notebook in a second page, with the kernel that it has; opened once."""
    shown = notebook.page.locator(".vae-stage").count()
    lab.save(notebook.page)
    page = fresh(notebook.name)
    lab.eventually(lambda: same(page.locator(".vae-stage").count(), shown))  # the kernel's own, again
    yield page
    page.close()


@pytest.fixture(scope="module", params=layout.SCREENS, ids=lambda size: f"{size[0]}x{size[1]}")
def screen(request, notebook, again):
    """That page at a certain size and in a certain theme, as when a lecturer zooms."""
    *size, theme = request.param
    lab.set_theme(again, theme)
    lab.set_size(again, *size)
    again.wait_for_timeout(SETTLED)
    lab.eventually(lambda: all_drawn(again))
    if request.param == PROJECTOR:
        lab.toggle_files(again)  # this time with the list of files
        again.wait_for_timeout(SETTLED)
    yield Screen(again, request.param == PROJECTOR)
    lab.set_theme(again, PROJECTOR[-1])
    if request.param == PROJECTOR:
        lab.toggle_files(again)
    if request.param == layout.SCREENS[-1]:
        again.close()  # a page that is open draws what the next tests move
    for explorer in notebook.explorers():  # the arrow keys may have moved a slider at its end
        for name in explorer.controls:
            explorer.reset(name)


def test_nothing_is_cut_off(screen):
    assert layout.cut_off(screen.page) == []


def test_nothing_is_pale(screen):
    assert layout.low_contrast(screen.page) == []


def test_what_moves_and_what_is_moved_are_seen_together(screen):
    assert layout.unseen(screen.page, whole=screen.is_projector) == []


def test_no_cell_complains_on_any_screen(screen):
    assert lab.errors(screen.page) == []


# ---- saved, and opened again without its kernel ---------------------------------------------


@pytest.fixture(scope="module")
def opened_only(notebook, fresh, folder):
    """A copy of the saved notebook under another name, only opened; opened once."""
    lab.save(notebook.page)
    name = f"{notebook.name}_reopened"
    shutil.copy(folder / "notebooks" / f"{notebook.name}.ipynb", folder / "notebooks" / f"{name}.ipynb")
    page = fresh(name)
    yield page
    page.close()


@pytest.fixture(scope="module", params=THEMES)
def reopened(request, opened_only):
    """That copy in a certain theme."""
    lab.set_theme(opened_only, request.param)
    opened_only.wait_for_timeout(NOTICED)
    yield opened_only
    lab.set_theme(opened_only, PROJECTOR[-1])
    if request.param == THEMES[-1]:
        opened_only.close()


def test_what_is_only_opened_stays_unchanged(reopened):
    assert not lab.changed(reopened)


def test_reopened_it_shows_no_dead_widget(reopened):
    assert reopened.locator(".vae-stage, .noUi-handle").count() == 0
    assert reopened.get_by_text("Error displaying widget").count() == 0


def test_reopened_it_shows_a_still_in_place_of_each_widget(notebook, reopened):
    stills = reopened.locator(".vae-still").all()
    assert len(stills) == notebook.page.locator(".vae-stage").count()
    for still in stills:
        still.scroll_into_view_if_needed()
        assert still.is_visible() and "Run this cell" in still.inner_text()


def test_reopened_its_pictures_are_there_and_have_a_text(reopened):
    for image in reopened.locator(".vae-still img").all():
        image.scroll_into_view_if_needed()
        assert image.evaluate("image => image.naturalWidth") > lab.SMALLEST_PICTURE
        assert image.get_attribute("alt")


def test_reopened_nothing_is_pale(reopened):
    assert layout.low_contrast(reopened) == []


# ---- keys and screen readers ----------------------------------------------------------------


def test_keys_of_a_control_never_reach_the_notebook(notebook):
    page = notebook.page
    cells = page.locator(".jp-Cell").count()
    prompts = page.locator(".jp-InputPrompt").all_inner_texts()
    controls = page.locator(".vae-stage").locator(
        ".noUi-handle, select, button:enabled:visible, .latent-plane"
    )
    for control in controls.element_handles():
        keys = ["b", "a", "x", "d", "d", "z", "ArrowDown", "ArrowUp"]
        if control.evaluate("node => node.tagName") != "BUTTON":  # which Enter presses, as it should
            keys += ["Enter", "Shift+Enter", "Control+Enter"]
        for key in keys:
            control.focus()
            page.keyboard.press(key)
        focused = "node => node === document.activeElement"
        assert control.evaluate(focused), "a key has moved the focus away"
    page.wait_for_timeout(SETTLED)
    assert page.locator(".jp-Cell").count() == cells
    assert page.locator(".jp-InputPrompt").all_inner_texts() == prompts
    for explorer in notebook.explorers():
        for name in explorer.controls:
            explorer.reset(name)
        if not explorer.live:
            explorer.settled()


def test_a_list_is_moved_by_the_arrow_keys(notebook):
    for explorer in notebook.explorers():
        for name in explorer.lists():
            before, options = explorer.settled(), explorer.controls[name]["options"]
            chosen = options.index(before["controls"][name]["readout"])
            explorer.row(name).locator("select").focus()
            notebook.page.keyboard.press("ArrowDown" if chosen + 1 < len(options) else "ArrowUp")
            by = 1 if chosen + 1 < len(options) else -1
            after = explorer.arrived(name, chosen + by)
            explorer.check_changed(name, before, after)
            explorer.check_reset(name)


def test_screen_readers_find_no_serious_fault(notebook):
    if not AXE.is_file():
        lab.skip_or_fail("axe-core is not installed: npm install --prefix tests/browser")
    page = notebook.page
    page.evaluate(AXE.read_text(encoding="utf-8"))
    faults = page.evaluate(
        """async () => {
            const outputs = { include: [".jp-OutputArea-output"] }; // explorers and figures
            const answer = await axe.run(outputs, { resultTypes: ["violations"] });
            return answer.violations.filter(fault => ["critical", "serious"].includes(fault.impact))
                .flatMap(fault => fault.nodes.map(node => `${fault.id}: ${node.html.slice(0, 160)}`));
        }"""
    )
    assert faults == []


@pytest.mark.only("00")
def test_the_doctor_sees_its_own_slider_moved(notebook):
    panel = notebook.page.locator(".vae-doctor")
    lab.eventually(lambda: holds(panel, "✓ sliders in the page: anywidget and ipywidgets both answer"))
    panel.locator(".noUi-handle").focus()
    notebook.page.keyboard.press("Home")
    notebook.page.keyboard.press("ArrowRight")
    lab.eventually(lambda: holds(panel, "✓ the slider below: moved, and the kernel reads 1"))
    assert "✓ All is well: this machine runs the course." in panel.inner_text()
    assert "✗" not in panel.inner_text()


def all_drawn(page):
    """Raises unless every picture of every explorer is there."""
    wrong = page.evaluate(
        """() => [...document.querySelectorAll(".vae-stage img.vae-picture")]
            .filter(image => image.getClientRects().length && !image.naturalWidth).length"""
    )
    assert wrong == 0
    assert (
        page.locator(".vae-explorer, .latent-explorer, .vae-doctor, .lab").count()
        == page.locator(".vae-stage").count()
    )


def holds(panel, words):
    assert words in panel.inner_text()


def same(value, expected):
    assert value == expected
