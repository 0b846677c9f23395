"""One JupyterLab, one Chromium and one web edition for a process' browser tests, or they are skipped."""

from dataclasses import dataclass, field
from typing import Any

import lab
import oracles
import pytest
from explorer_checks import Shown
from support import replay


def pytest_collection_modifyitems(config, items):
    """Leaves out the notebooks that a test with the mark `only` is not about."""
    others = [item for item in items if not _wanted(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in set(others)]


def _wanted(item):
    mark = item.get_closest_marker("only")
    return mark is None or item.callspec.params["notebook"].startswith(mark.args[0])


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with a copy of the notebooks, each with one more cell for the kernel to answer."""
    folder = tmp_path_factory.mktemp("lab")
    lab.copy_notebooks(folder)
    for name in lab.NOTEBOOKS:
        lab.append(folder / "notebooks" / f"{name}.ipynb", "1 + 1")
    return folder


@pytest.fixture(scope="session")
def chromium():
    """The one browser."""
    lab.skip_without_browser()
    with lab.browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def address(chromium, folder):
    """The address of the one server."""
    with lab.jupyterlab(folder) as address:
        yield address


@dataclass
class Notebook:
    """A notebook that is open in the browser."""

    name: str
    page: Any
    kernel: lab.Kernel
    console: list[str] = field(default_factory=list)

    def explorer(self, name):
        """An explorer by its name, with its oracle."""
        return Shown(self.page, self.kernel, name, oracles.find(self.name, name))

    def explorers(self):
        """All explorers of the notebook, in its kernel's order."""
        return [self.explorer(name) for name in self.kernel.ask("inside.describe()")]


@pytest.fixture(scope="session")
def open_notebook(chromium, address, folder):
    """Opens notebooks of the folder and runs all their cells."""

    def opened(name):
        page = chromium.new_page(viewport=lab.VIEWPORT)
        console = []
        page.on("console", lambda line: console.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: console.append(str(error)))
        lab.open_notebook(page, address, f"{name}.ipynb")
        notebook = Notebook(name, page, lab.Kernel(folder, address, f"{name}.ipynb"), console)
        lab.run_all(page)
        return notebook

    return opened


@pytest.fixture(scope="session", params=lab.NOTEBOOKS)
def notebook(request, open_notebook, folder):
    """Each notebook of the course, open, with all cells run once for all tests, nbval's too."""
    opened = open_notebook(request.param)
    lab.save(opened.page)
    replay.keep(request.config, opened.name, folder / "notebooks" / f"{opened.name}.ipynb")
    yield opened
    opened.page.close()
    opened.kernel.shut_down()  # one kernel at a time


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """What was drawn, for those who make the edition twice."""
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture(scope="session")
def edition(tmp_path_factory, cache):
    """The folder of the web edition."""
    from vae_helpers.site.build import MATHJAX, build

    if not (lab.ROOT / "docs" / MATHJAX).is_file():
        lab.skip_or_fail("MathJax is not installed: npm install --prefix docs")
    return build(tmp_path_factory.mktemp("edition") / "site", cache=cache)
