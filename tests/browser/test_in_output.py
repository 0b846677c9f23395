"""Where a script reaches no other output, as in Colab and VS Code, ipywidgets alone moves the pictures."""

import lab
import pytest
from playwright.sync_api import expect

HANDLE = ".noUi-handle"


@pytest.fixture(scope="module")
def notebook(open_notebook, folder):
    """Notebook 2, told before anything else that its widgets stand in the outputs."""
    path = folder / "notebooks" / "02_elbo.ipynb"
    copy = path.with_stem("02_in_output")
    lab.append(path, to=copy)
    first = lab.nbformat.read(copy, 4)
    code = next(cell for cell in first.cells if cell.cell_type == "code")
    code.source = "import os; os.environ['VAE_WIDGETS'] = 'output'\n" + code.source
    lab.nbformat.write(first, copy)
    opened = open_notebook("02_in_output")
    yield opened
    opened.page.close()
    opened.kernel.shut_down()


def test_each_explorer_stands_in_its_output_and_no_script_moves_it(notebook):
    page = notebook.page
    assert page.locator(".vae-stage, .vae-still").count() == 0
    shown = notebook.kernel.ask("list(__import__('vae_helpers.widgets.stage').widgets.stage.ON_STAGE)")
    assert page.locator(".jp-OutputArea-output .vae-explorer").count() == len(shown) > 1
    assert not lab.errors(page)


def test_a_key_on_a_slider_moves_picture_and_numbers(notebook):
    explorer = notebook.page.locator(".vae-explorer").first
    handle = explorer.locator(HANDLE).first
    handle.scroll_into_view_if_needed()
    shown = lambda: (explorer.locator("img").first.get_attribute("src"), explorer.inner_text())  # noqa: E731
    before = shown()
    handle.focus()
    handle.press("ArrowRight")
    lab.eventually(lambda: shown()[0] != before[0] and shown()[1] != before[1])
    expect(explorer.locator("img").first).to_be_visible()
