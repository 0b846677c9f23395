"""The minutes of a notebook, counted by hand, and the places where they are written."""

import pytest
import reading_time
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

OPENING = "# 3 · Title\n\n**Time.** 1 minutes to read, 1 more for Deeper, 10 seconds to run."


def test_only_prose_counts_as_words():
    text = "Two words $x = y$ and [a link](https://example.org/long-path).\n\n$$\\int f$$\n\n| a | table |\n"
    text += "```python\ncode = 1\n```\n"
    text += "<details><summary>Answer</summary>\n\nfolded\n\n<details>deep</details>\n</details>"
    assert reading_time.words(text) == 5


def test_a_minute_is_180_words_or_ten_lines():
    cells = [new_markdown_cell("word " * 90), new_code_cell("x = 1\n\n" * 20)]
    assert reading_time.minutes(cells) == 2.5


@pytest.fixture
def notebook():
    """A main line of 5.6 minutes, two sections of Deeper of 4.0 and 1.0 minutes, and references."""
    return new_notebook(
        cells=[
            new_markdown_cell(OPENING),
            new_code_cell("x = 1\n" * 55),
            new_markdown_cell("## Deeper"),
            new_markdown_cell("### One (9 minutes)\n\nBeginning."),
            new_code_cell("x = 1\n" * 39),
            new_markdown_cell("### Two\n\nText."),
            new_code_cell("x = 1\n" * 8),
            new_markdown_cell("## References\n\n" + "word " * 900),
        ]
    )


def test_minutes_are_written_where_they_are_told(notebook):
    reading_time.write_minutes(notebook)
    assert "**Time.** 10 minutes to read, 5 more for Deeper, 10 seconds to run." in notebook.cells[0].source
    assert notebook.cells[3].source == "### One (4 minutes)\n\nBeginning."
    assert notebook.cells[5].source == "### Two (1 minute)\n\nText."
    before = [cell.source for cell in notebook.cells]
    reading_time.write_minutes(notebook)
    assert [cell.source for cell in notebook.cells] == before


def test_the_map_tells_both_times(notebook):
    first = new_notebook(
        cells=[new_markdown_cell("| [3 · Title](03_title.ipynb) | Why? | 30 min | 10 seconds |")]
    )
    reading_time.write_minutes(notebook)
    for _ in range(2):
        reading_time.write_map(first, {"03": notebook})
        assert first.cells[0].source == "| [3 · Title](03_title.ipynb) | Why? | 10 + 5 min | 10 seconds |"


def test_a_notebook_without_its_heading_is_refused(notebook):
    del notebook.cells[2]
    with pytest.raises(ValueError, match="expected a cell that begins with '## Deeper'"):
        reading_time.write_minutes(notebook)
