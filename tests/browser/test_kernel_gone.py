"""A kernel that dies under the reader's hand leaves a still picture, and the page says so."""

import os
import signal

import lab
import pytest


@pytest.fixture
def dying(open_notebook, folder):
    """Notebook 1 under a name of its own, with a kernel that may be killed."""
    path = folder / "notebooks" / "01_bayes_rule.ipynb"
    lab.append(path, "import os; os.getpid()", to=path.with_stem("01_dying"))
    notebook = open_notebook("01_dying")
    yield notebook
    notebook.page.close()
    notebook.kernel.shut_down()


def test_killed_while_a_slider_is_dragged(dying):
    page, stage = dying.page, dying.page.locator(".vae-stage").first
    pid = dying.kernel.ask("__import__('os').getpid()")
    handle = stage.locator(".noUi-handle").first
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 40, y, steps=5)
    os.kill(pid, signal.SIGKILL)
    page.mouse.move(x - 80, y, steps=20)
    page.mouse.up()
    lab.eventually(lambda: says(stage, "The kernel is gone. This is a still picture, at reading x"))
    assert stage.locator(".noUi-handle:visible, button:visible, select:visible").count() == 0
    picture = stage.locator("img.vae-picture").first
    assert picture.is_visible() and picture.evaluate("image => image.naturalWidth") > 100
    page.get_by_role("button", name="Ok").click()  # JupyterLab's own word that the kernel restarts
    lab.eventually(lambda: idle(page))
    lab.run_all(page)
    lab.eventually(lambda: says(page.locator(".vae-stage").first, ""))
    assert page.locator(".vae-stage .noUi-handle:visible").count() == 3
    assert page.locator(".vae-stage").count() == 1


def test_a_kernel_that_stays_silent(dying):
    page, stage = dying.page, dying.page.locator(".vae-stage").first
    os.kill(dying.kernel.ask("__import__('os').getpid()"), signal.SIGSTOP)  # alive, and says nothing
    handle = stage.locator(".noUi-handle").first
    handle.focus()
    page.keyboard.press("ArrowLeft")
    lab.eventually(lambda: says(stage, "The kernel has not answered yet: it is busy, or gone."))


def says(stage, words):
    shown = stage.locator(".vae-note:visible").all_inner_texts()
    assert (shown == []) if not words else (len(shown) == 1 and shown[0].startswith(words)), shown


def idle(page):
    assert lab.idle(page)
