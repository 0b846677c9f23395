"""How a notebook becomes slides: what is shown, what is left out, and what must be told of each cell."""

import re

import nbformat
import pytest
from support.cells import PATHS

from vae_helpers.site import slides

STREAM = nbformat.v4.new_output("stream", text="KL = 0.5\n")
PICTURE = nbformat.v4.new_output(
    "display_data", {"text/html": '<img alt="A line." src="_static/pictures/12_1.png">'}
)
EXPLORER = nbformat.v4.new_output(
    "display_data", {"text/html": '<div class="vae-web" data-explorer="12_made_up.turn"><img alt="A"></div>'}
)


def cell(source, kind, *outputs):
    made = nbformat.v4.new_code_cell(source, outputs=list(outputs)) if outputs else None
    made = made or nbformat.v4.new_markdown_cell(source)
    made.metadata["slideshow"] = {"slide_type": kind}
    return made


def code(source, kind="subslide", *outputs):
    made = nbformat.v4.new_code_cell(source, outputs=list(outputs))
    made.metadata["slideshow"] = {"slide_type": kind}
    return made


TITLE = cell("# 12 · Made up\n\n**Question.** What is shown?\n\n**Time.** 5 minutes.", "slide")


@pytest.fixture
def deck(tmp_path):
    """The slides of some cells behind a title, each as its HTML."""

    def made(*cells):
        path = tmp_path / "12_made_up.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[TITLE, *cells]), path)
        return re.findall(r"(?s)<section class.*?</section>", slides.deck(path))

    return made


def shown(slide):
    """A slide without the speaker's notes."""
    return re.sub(r'(?s)<aside class="notes">.*?</aside>', "", slide)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_cell_says_what_it_is_on_slides(path):
    cells = nbformat.read(path, as_version=4).cells
    kinds = [slides.slide_type(each) for each in cells]
    start = next(n for n, each in enumerate(cells) if each.source.startswith("## Exercises"))
    assert kinds[0] == "slide" and set(kinds[start:]) == {"skip"}  # exercises and Deeper are for the desk
    for each, kind in zip(cells, kinds, strict=True):
        if re.match(r"## \d+\. |## Summary", each.source):
            assert kind == "slide", each.id


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_section_figure_and_prediction_of_the_main_line_is_shown(path):
    lesson = []
    for each in nbformat.read(path, as_version=4).cells:
        if each.source.startswith("## Exercises"):
            break
        lesson.append(each)
    for each in lesson:
        has_picture = any("image/png" in output.get("data", {}) for output in each.get("outputs", ()))
        if has_picture or re.search(r"(?m)^(## \d+\. |\*\*Predict|## Summary)", each.source):
            assert slides.slide_type(each) != "skip", each.id


@pytest.mark.parametrize("metadata", [{}, {"slideshow": {}}, {"slideshow": {"slide_type": "-"}}])
def test_a_cell_that_does_not_say_so_is_refused(metadata):
    silent = nbformat.v4.new_markdown_cell("words", metadata=metadata)
    with pytest.raises(ValueError, match="slide_type: expected one of slide, subslide, .* got"):
        slides.slide_type(silent)


def test_the_title_has_its_question_alone(deck):
    (title,) = deck()
    assert "<h1>Made up</h1>" in title and "What is shown?" in title and "5 minutes" not in shown(title)


def test_a_skipped_cell_is_not_there(deck):
    made = deck(
        cell("**One** thing.", "subslide"), cell("**Two** things.", "skip"), code("print()", "skip", STREAM)
    )
    assert len(made) == 2 and "Two" not in "".join(made) and "KL = 0.5" not in "".join(made)


def test_each_heading_begins_a_slide_also_within_a_cell(deck):
    made = deck(cell("**A** word.\n\n## 1. First\n\nWords.\n\n### More\n\nWords.", "slide"))
    assert [bool(re.search("<h[23]>", shown(slide))) for slide in made] == [False, False, True, True]


def test_a_paragraph_leaves_what_is_bold_and_what_leads_to_a_formula(deck):
    source = (
        "First. Second.\n\nNot this. The **bound** is. Nor this.\n\nNor this. It reads\n\n$$a = b$$ (eq-12-1)"
    )
    (_, slide) = deck(cell(source, "subslide"))
    assert [text for text in ("First.", "Second.", "Not this", "bound", "Nor this", "It reads", r"\[a = b\]")
            if text in shown(slide)] == ["First.", "Second.", "bound", "It reads", r"\[a = b\]"]  # fmt: skip
    assert "Not this" in slide and "Nor this" in slide  # in the notes


def test_a_prediction_and_its_answer_are_slides_of_their_own(deck):
    answer = "<details><summary>Answer</summary>\n\nThis one.\n\n</details>"
    source = f"**Lead.**\n\n**Predict.** Which?\n\n{answer}\n\n**After** it."
    made = deck(cell(source, "subslide"))
    assert [re.search('class="([^"]*)"', slide)[1] for slide in made] == [
        "text",
        "text",
        "predict",
        "answer",
        "text",
    ]
    assert "Answer.</strong> This one." in made[3] and "This one" not in shown(made[2])


def test_a_caption_begins_below_its_picture_by_a_click(deck):
    caption = "**Figure 12.1.** It rises. " + "It goes on and on, for many words more than a room reads. " * 3
    (_, slide) = deck(code("show()", "subslide", PICTURE), cell(caption, "fragment"))
    assert (
        slide.index("<img")
        < slide.index('<div class="fragment"')
        < slide.index("Figure 12.1.</strong> It rises.")
    )
    assert shown(slide).count("It goes on") < 3
    assert 'src="../_static/pictures/12_1.png"' in slide and 'alt="A line."' in slide


def test_an_explorer_is_alone_with_its_place(deck):
    made = deck(
        cell("A word.", "subslide"),
        code("explore()", "fragment", EXPLORER),
        cell("**Figure 12.1.** It.", "fragment"),
    )
    assert len(made) == 3 and 'data-explorer="12_made_up.turn"' in made[2] and "Figure" not in shown(made[2])


def test_short_code_stands_above_its_output_and_long_code_does_not(deck):
    (_, short), (_, long) = (
        deck(code("x = 1\n" * 9, "subslide", STREAM)),
        deck(code("x = 1\n" * 11, "subslide", STREAM)),
    )
    assert "highlight" in short and "highlight" not in long
    assert "KL = 0.5" in short and "KL = 0.5" in long


def test_what_does_not_fit_goes_on_the_next_slide(deck):
    many = "\n".join(
        f"**Word {n}** is a word that a room of students has to read before they may look at the next one."
        for n in range(9)
    )
    made = deck(cell(many.replace("\n", "\n\n"), "subslide"))
    assert len(made) > 2
    for slide in made[1:]:
        words = re.findall(r"[A-Za-z]+", re.sub("<[^>]+>", "", shown(slide)))
        assert len(words) <= slides._MOST_WORDS + 10
    assert [f"Word {n}" in "".join(map(shown, made)) for n in range(9)] == [True] * 9


def test_a_link_to_a_notebook_leads_to_its_page(deck):
    (_, slide) = deck(
        cell("See **this**: [notebook 2](02_elbo.ipynb), [its end](02_elbo.ipynb#summary).", "subslide")
    )
    assert re.findall('href="([^"]*)"', shown(slide)) == ["../02_elbo.html", "../02_elbo.html#summary"]


def test_a_name_in_bold_and_a_formula_end_no_sentence():
    text = "**Neither.** The line needs $p(x). Q$ alone. It is so (eq. 1 of `a. B`). Next"
    assert slides._sentences(text) == [
        "**Neither.** The line needs $p(x). Q$ alone.",
        "It is so (eq. 1 of `a. B`).",
        "Next",
    ]


def test_without_reveal_the_line_that_brings_it_is_told(tmp_path):
    (tmp_path / "_static").mkdir()
    with pytest.raises(FileNotFoundError, match="npm install --prefix docs"):
        slides.make_all(tmp_path, tmp_path / "docs")
