"""A kernel that dies under the reader's hand leaves a still picture, and the page says so."""

import os
import signal
from contextlib import contextmanager
from typing import NamedTuple

import lab
import pytest

NUM_SLIDERS = 3  # of notebook 1
GONE = "The kernel is gone."
CONTROLS = ".noUi-handle:visible, button:visible, select:visible"


@contextmanager
def mortal(open_notebook, folder):
    """Notebook 1 under a name of its own, with a kernel that may be killed; and the kernel's process."""
    path = folder / "notebooks" / "01_bayes_rule.ipynb"
    lab.append(path, "import os; os.getpid()", to=path.with_stem("01_dying"))
    notebook = open_notebook("01_dying")
    yield notebook.page, notebook.kernel.ask("__import__('os').getpid()")
    notebook.page.close()
    notebook.kernel.shut_down()


class Seen(NamedTuple):
    """What a page shows at one moment."""

    notes: list[str]
    num_controls: int
    num_stages: int
    picture_width: int  # 0 if the first picture is not visible


def look(page):
    stage = page.locator(".vae-stage").first
    picture = stage.locator("img.vae-picture").first
    return Seen(
        stage.locator(".vae-note:visible").all_inner_texts(),
        stage.locator(CONTROLS).count(),
        page.locator(".vae-stage").count(),
        picture.evaluate("image => image.naturalWidth") if picture.is_visible() else 0,
    )


@pytest.fixture(scope="module")
def killed(open_notebook, folder):
    """What is seen after the kernel was killed while a slider was dragged, and after all cells ran again."""
    with mortal(open_notebook, folder) as (page, process):
        handle = page.locator(".vae-stage .noUi-handle").first
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 40, y, steps=5)
        os.kill(process, signal.SIGKILL)
        page.mouse.move(x - 80, y, steps=20)
        page.mouse.up()
        lab.eventually(lambda: says(page, GONE))
        dead = look(page)
        page.get_by_role("button", name="Ok").click()  # JupyterLab's own word that the kernel restarts
        lab.eventually(lambda: idle(page))
        lab.run_all(page)
        lab.eventually(lambda: says_nothing(page))
        return dead, look(page)


def test_the_page_says_that_the_kernel_is_gone_and_where_the_slider_was(killed):
    (note,) = killed[0].notes
    assert note.startswith(f"{GONE} This is a still picture, at reading x")


def test_no_control_is_left_that_would_do_nothing(killed):
    assert killed[0].num_controls == 0


def test_the_picture_stays(killed):
    assert killed[0].picture_width > lab.SMALLEST_PICTURE


def test_cells_that_run_again_bring_the_sliders_back(killed):
    _, revived = killed
    assert revived.notes == [] and revived.num_stages == 1
    assert revived.num_controls == 2 * NUM_SLIDERS  # each with its reset button


def test_a_kernel_that_stays_silent(open_notebook, folder):
    with mortal(open_notebook, folder) as (page, process):
        os.kill(process, signal.SIGSTOP)  # alive, and says nothing
        page.locator(".vae-stage .noUi-handle").first.focus()
        page.keyboard.press("ArrowLeft")
        lab.eventually(lambda: says(page, "The kernel has not answered yet: it is busy, or gone."))


def says(page, words):
    (note,) = look(page).notes or [""]
    assert note.startswith(words)


def says_nothing(page):
    assert look(page).notes == []


def idle(page):
    assert lab.idle(page)
