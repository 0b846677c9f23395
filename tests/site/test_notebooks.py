"""How a notebook becomes a page: equations labelled, pictures beside it, what is missing refused."""

import base64
import io

import nbformat
import pytest
from PIL import Image

from vae_helpers.site import notebooks

BADGE = 30  # pixels of the strip above a still picture


def coded(width=40, height=50):
    file = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def picture(alt="A white sheet of paper.", source=None, more=""):
    source = f"data:image/png;base64,{coded()}" if source is None else source
    return f'<img alt="{alt}"{more} src="{source}">'


def displayed(html):
    return nbformat.v4.new_output("display_data", {"text/html": html, "image/png": coded()})


@pytest.fixture
def staged(tmp_path):
    """Stages a notebook of some cells and gives the cells that Sphinx would read."""

    def stage(*cells, explorers=None, name="12_made_up"):
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), path)
        (tmp_path / "source").mkdir(exist_ok=True)
        notebooks.stage(path, tmp_path / "source", explorers or {})
        return nbformat.read(tmp_path / "source" / path.name, as_version=4).cells

    return stage


def markdown(source):
    return nbformat.v4.new_markdown_cell(source)


def code(*outputs):
    return nbformat.v4.new_code_cell("1", outputs=list(outputs))


def test_equations_are_labelled_in_their_order(staged):
    cells = staged(
        markdown("# 12 · Title"), markdown("$$a = b$$\n\nand\n\n$$\nc\n= d .$$"), markdown("$$e$$")
    )
    assert cells[1].source == "$$\na = b\n$$ (eq-12-1)\n\nand\n\n$$\nc\n= d .\n$$ (eq-12-2)"
    assert cells[2].source == "$$\ne\n$$ (eq-12-3)"


def test_dollars_in_code_and_in_a_line_stay(staged):
    source = "a price of $$ and $x$\n\n```\n$$a$$\n```\n"
    assert staged(markdown("# 12 · T"), markdown(source))[1].source == source


def test_an_equation_that_other_pages_know_has_its_name(staged, monkeypatch):
    monkeypatch.setattr(notebooks, "EQUATIONS", {"known": ("12", "a =")})
    assert staged(markdown("# 12 · T"), markdown("$$a = b$$"))[1].source.endswith("$$ (known)")


def test_a_known_equation_that_is_gone_fails(staged, monkeypatch):
    monkeypatch.setattr(notebooks, "EQUATIONS", {"known": ("12", "a =")})
    with pytest.raises(ValueError, match="EQUATIONS: .* 12, got none like known"):
        staged(markdown("# 12 · T"), markdown("$$b = a$$"))


def test_the_title_loses_its_number_and_gains_the_notebook(staged):
    source = staged(markdown("# 12 · Title\n\nWords."))[0].source
    assert source.startswith("# Title\n\nWords.") and 'href="_static/notebooks/12_made_up.ipynb"' in source


def test_a_picture_goes_beside_the_page_with_its_size_and_words(staged, tmp_path):
    cell = staged(markdown("# 12 · T"), code(displayed(picture(more=' width="20"'))))[1]
    assert cell.outputs[0].data == {
        "text/html": '<img alt="A white sheet of paper." width="20" height="25" loading="lazy" '
        'src="_static/pictures/12_1.png">'
    }
    with Image.open(tmp_path / "source" / "_static" / "pictures" / "12_1.png") as stored:
        assert stored.size == (40, 50)


def test_an_explorer_becomes_a_place_with_its_picture_without_the_strip(staged, tmp_path):
    still = f'<div class="vae-still"><p>Run this cell</p>{picture()}</div>'
    cell = staged(markdown("# 12 · T"), code(displayed(still)), explorers={1: "turn"})[1]
    shown = cell.outputs[0].data["text/html"]
    assert shown.startswith('<div class="vae-web" data-explorer="12_made_up.turn"><img alt="A white sheet')
    assert "Run this cell" not in shown
    with Image.open(tmp_path / "source" / "_static" / "pictures" / "12_1.png") as stored:
        assert stored.size == (40, 50 - BADGE)


@pytest.mark.parametrize("alt", ["", "  "])
def test_a_picture_without_words_fails(staged, alt):
    with pytest.raises(ValueError, match="12_made_up: picture 1 has no alt text"):
        staged(markdown("# 12 · T"), code(displayed(picture(alt=alt))))


def test_a_picture_from_elsewhere_fails(staged):
    with pytest.raises(ValueError, match="expected the picture in the notebook, got 'https://"):
        staged(markdown("# 12 · T"), code(displayed(picture(source="https://example.org/a.png"))))


def test_text_and_streams_stay_as_they_are(staged):
    stream = nbformat.v4.new_output("stream", text="KL = 0.5\n")
    assert staged(markdown("# 12 · T"), code(stream))[1].outputs == [stream]


def test_what_is_true_of_a_running_notebook_alone_is_exchanged(staged, monkeypatch):
    monkeypatch.setattr(notebooks, "REWORDED", {"12": (("the button below", "a button of the notebook"),)})
    source = "(in a running notebook both\nsliders move) and the button below trains"
    cells = staged(markdown("# 12 · T"), markdown(source))
    assert cells[1].source == "(both\nsliders move) and a button of the notebook trains"


def test_words_to_be_exchanged_that_are_gone_fail(staged, monkeypatch):
    monkeypatch.setattr(notebooks, "REWORDED", {"12": (("the button below", ""),)})
    with pytest.raises(ValueError, match="REWORDED: expected in notebook 12, got no .'the button below'"):
        staged(markdown("# 12 · T"))


def test_nobody_is_asked_to_run_a_cell_of_a_page(staged):
    answer = displayed("<div><b>not attempted yet</b> <code>not-attempted</code> run the cell again</div>")
    panel = displayed('<div class="vae-still"><p>Run this cell: a panel</p></div>')
    shown = [cell.outputs[0].data["text/html"] for cell in staged(code(answer), code(panel))]
    assert "Answer it in the notebook" in shown[0] and "a panel that looks at this machine" in shown[1]
    assert not any("un the cell" in words or "un this cell" in words for words in shown)
