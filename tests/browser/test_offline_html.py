"""A notebook as one HTML file, by nbconvert with the course's configuration: read from the disk."""

import subprocess
import sys

import lab
import pytest

FORMULAS = "() => window.MathJax?.startup?.promise"
POOR = "[...document.images].filter(image => image.alt.split(' ').length < 3).length"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    if not (lab.ROOT / "docs" / "node_modules" / "mathjax").is_dir():
        lab.skip_or_fail("MathJax is not installed: npm install --prefix docs")
    out = tmp_path_factory.mktemp("html")
    options = ["--config", "docs/offline_html/config.py", "--output-dir", str(out)]
    command = [sys.executable, "-m", "nbconvert", *options, "notebooks/04_monte_carlo.ipynb"]
    done = subprocess.run(command, cwd=lab.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / "04_monte_carlo.html"


def test_the_file_has_its_formulas_pictures_and_words_and_asks_no_host(chromium, made):
    asked, errors = [], []
    page = chromium.new_page(viewport={"width": 1000, "height": 900})
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.goto(made.as_uri())
    page.wait_for_function(FORMULAS)
    page.evaluate("MathJax.startup.promise")
    assert [url for url in asked if not url.startswith("data:")] == [made.as_uri()] and errors == []
    assert page.locator("mjx-container svg").count() > 100 and page.locator("[data-mjx-error]").count() == 0
    assert page.locator("img").count() > 3 and page.evaluate(POOR) == 0
    page.close()


def test_links_to_other_notebooks_lead_to_their_files(made):
    text = made.read_text(encoding="utf-8")
    assert 'href="03_gaussian_kl.html' in text and '.ipynb"' not in text


def test_without_mathjax_it_is_told_in_a_line(tmp_path):
    (tmp_path / "docs").mkdir()
    config = lab.ROOT / "docs" / "offline_html" / "config.py"
    command = [sys.executable, "-m", "nbconvert", "--config", str(config), "none.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "npm install --prefix docs --ignore-scripts" in done.stderr and "Traceback" not in done.stderr
