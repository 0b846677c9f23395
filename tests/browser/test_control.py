"""The checks can fail: in a copy of a notebook with one wire cut, with a wrong number, with an error."""

from contextlib import contextmanager

import lab
import layout
import oracles
import pytest
from explorer_checks import Shown

IMPATIENCE = 2.0  # seconds that a check may take to fail
# One explorer that obeys and complains, and others that are broken in one way each. A `broken`
# explorer must not pass the check of the same name.
CELLS = (
    """
from vae_helpers.widgets import stage
stage.ON_STAGE["draw_posterior"].controls["x"].input.unobserve_all()
""",
    """
def draw_line(ax, height):
    if height > 2.5:
        raise ValueError("height: too <high>")
    ax.plot([0, 1], [height, height])
    ax.set(ylim=(-3, 3))
explore(plot(draw_line, alt="A line at the height of the slider."),
        numbers(lambda height: {"twice": 2 * height}, unit=""), height=slider("height", 2.0, -3.0, 3.0, 0.5))
""",
    """
explore(plot(draw_line, alt="A line at the height of the slider."),
        numbers(lambda height: {"twice": -2 * height}, unit=""), name="wrong_sign",
        height=slider("height", 1.0, -2.0, 2.0, 0.5))
""",
    """
forgetful = explore(plot(lambda ax, height, seen=[]: (seen.append(height), ax.plot([0, len(seen)])),
                         alt="A picture that depends on what came before."), name="forgetful",
                    height=slider("height", 1.0, -2.0, 2.0, 0.5))
forgetful
""",
    """
explore(plot(lambda ax, height: ax.plot([0, 1]), alt="A picture that does not move."), name="frozen",
        height=slider("height", 1.0, -2.0, 2.0, 0.5))
""",
    """
wide = explore(plot(draw_line, alt="A line at the height of the slider."), name="wide",
               height=slider("height of a line that is drawn", 1.0, -2.0, 2.0, 0.5))
wide.controls["height"].input.style.description_width = "3em"
wide.views[0]._image.layout.min_width = "1700px"
wide
""",
)


def twice(height):
    return {"twice": 2 * height}


@pytest.fixture(scope="module")
def broken(open_notebook, folder):
    """Notebook 1 with cells at its end that break it."""
    path = folder / "notebooks" / "01_bayes_rule.ipynb"
    lab.append(path, *CELLS, to=path.with_stem("01_broken"))
    notebook = open_notebook("01_broken")
    yield notebook
    notebook.page.close()
    notebook.kernel.shut_down()


@contextmanager
def fails(match):
    """A check must fail here, and need not be waited for: what is broken stays broken."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(AssertionError, match=match):
        patch.setattr(lab, "PATIENCE", IMPATIENCE)
        yield


def test_without_observe_the_check_fails(broken):
    explorer = broken.explorer("draw_posterior")
    explorer.check_key("noise_std")
    explorer.check_reset("noise_std")
    for check in (explorer.check_key, explorer.check_burst, explorer.check_drag):
        with fails("posterior mean"):
            check("x")
        explorer.reset("x")


def test_without_observe_the_picture_is_not_the_right_one(broken):
    explorer = broken.explorer("draw_posterior")
    explorer.settled()
    explorer.oracle = lambda **_: explorer.look()["numbers"]  # one that believes every number
    with fails("not that of"):
        explorer.check_key("x")


def test_a_wrong_number_is_found(broken):
    explorer = Shown(broken.page, broken.kernel, "wrong_sign", twice)
    with fails("twice is '-2.000', not 2.00000"):
        explorer.settled()


def test_a_missing_number_is_found(broken):
    explorer = Shown(broken.page, broken.kernel, "draw_line", lambda height: {})
    with fails(r"\{'twice'\} is not set\(\)"):
        explorer.settled()


def test_a_picture_of_the_past_is_found(broken):
    explorer = Shown(broken.page, broken.kernel, "forgetful", lambda height: {})
    with fails("not that of"):
        explorer.settled()


def test_a_picture_that_stays_is_found(broken):
    explorer = Shown(broken.page, broken.kernel, "frozen", lambda height: {})
    for check in (explorer.check_key, explorer.check_drag):
        with fails("has not changed"):
            check("height")


def test_what_is_too_wide_is_found(broken):
    lines = layout.cut_off(broken.page)
    assert any("over the right edge" in line and "vae-picture" in line for line in lines), lines
    assert any("cut off: " in line and "height of a line" in line for line in lines), lines
    assert not any("reading x" in line for line in lines), lines


def test_what_is_pale_is_found(broken):
    assert layout.low_contrast(broken.page) == []
    pale = broken.page.add_style_tag(content=".vae-number b { color: #777 }")
    lines = layout.low_contrast(broken.page)
    pale.evaluate("style => style.remove()")
    assert lines and all(line.startswith("4.48: ") for line in lines)


def test_what_is_off_the_screen_is_found(broken):
    tall = broken.page.add_style_tag(content=".vae-explorer-draw_line .vae-controls { margin-bottom: 900px }")
    lines = layout.unseen(broken.page, whole=False)
    tall.evaluate("style => style.remove()")
    assert any("height: " in line for line in lines) and not any("reading x" in line for line in lines), lines
    broken.explorer("draw_posterior").reset("x")
    broken.kernel.ask("inside.reset('draw_line')")


def test_a_picture_without_a_text_is_found(broken):
    explorer = Shown(broken.page, broken.kernel, "draw_line", twice)
    explorer.settled()
    change = "(element, words) => { element.querySelector('img').alt = words }"
    explorer.element.evaluate(change, "")
    with fails("a picture without a text"):
        explorer.settled()
    explorer.element.evaluate(change, "A line at the height of the slider.")
    explorer.settled()


def test_an_explorer_without_oracle_is_found():
    with fails("has no oracle"):
        oracles.find("01_bayes_rule", "draw_line")


def test_an_error_appears_in_the_page_and_vanishes(broken):
    explorer = Shown(broken.page, broken.kernel, "draw_line", twice)
    message = explorer.element.locator(".vae-error")
    explorer.check_key("height")
    explorer.press("height", "ArrowRight")
    lab.eventually(lambda: said(message, "⚠ Not drawn. ValueError: height: too <high>"))
    assert explorer.look()["numbers"] == {"twice": "6.000"}  # what can be shown is shown
    assert lab.errors(broken.page) == []
    with fails("too <high>"):
        explorer.settled()
    explorer.press("height", "ArrowLeft")
    lab.eventually(lambda: said(message, ""))
    explorer.settled()
    explorer.check_reset("height")


@pytest.fixture
def no_chromium(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.delenv("VAE_BROWSER_TESTS", raising=False)


def test_without_a_chromium_the_tests_skip_with_a_reason(no_chromium):
    with pytest.raises(pytest.skip.Exception, match="no Chromium is installed"):
        lab.skip_without_browser()


def test_where_browser_tests_are_required_they_fail_without_a_chromium(no_chromium, monkeypatch):
    monkeypatch.setenv("VAE_BROWSER_TESTS", "required")
    with pytest.raises(pytest.fail.Exception, match="no Chromium is installed"):
        lab.skip_without_browser()


def said(message, text):
    assert message.inner_text().strip() == text
