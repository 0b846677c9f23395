"""The pages for lecturers say what the notebooks say: minutes, numbers, explorers, exercises."""

import re
from types import SimpleNamespace

import nbformat
import pytest
import reading_time
from support.cells import PATHS, read

from vae_helpers.pictures.plotting import COURSE
from vae_helpers.site import slices, teaching

PAGES = sorted((COURSE / "docs" / "teaching").glob("*.md"))
BY_THE_CLOCK = 90  # minutes of a lecture
LONGER = 1.5  # a room takes, than the computed minutes
PLANS = r"(?ms)^##+ (One lecture of 90 minutes|\d\. [^\n]+)\n(.*?)(?=^##|\Z)"


@pytest.fixture(scope="module")
def notebooks():
    return teaching.Notebooks(COURSE / "notebooks")


def source(name):
    return (COURSE / "docs" / "teaching" / f"{name}.md").read_text(encoding="utf-8")


def rows(text):
    """The rows of the tables of a page, without their heads."""
    found = [re.split(r" \| ", line.strip("| ")) for line in text.splitlines() if line.startswith("| ")]
    return [row for row in found if row[0] not in ("explorer", "exercise", "section", "notebook")]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_place_of_a_page_is_filled(path, notebooks):
    filled = notebooks.filled(path.read_text(encoding="utf-8"))
    places = r"\b(MINUTES|TOTAL|MAIN|DEEPER|WHOLE|SECTION|SLIDES|EXPLORER|EXERCISES|NOTEBOOKS)\b"
    assert not re.search(places, filled)


def test_the_contents_name_every_page():
    contents = (COURSE / "docs" / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^teaching/(\w+)$", contents, re.MULTILINE)) == {path.stem for path in PAGES}


# ---- plans ----------------------------------------------------------------------------------


def test_a_lecture_of_90_minutes_takes_90_minutes(notebooks):
    plans = re.findall(PLANS, source("plans"))
    assert len(plans) == 5
    for title, plan in plans:
        names = [name for row in rows(plan) for name in re.findall(r"MINUTES\(([^)]*)\)", row[-1])]
        assert names == [name for row in rows(plan) for name in re.findall(r"SECTION\(([^)]*)\)", row[0])]
        by_the_clock = LONGER * notebooks.minutes(*names)
        assert 0.75 * BY_THE_CLOCK <= by_the_clock <= BY_THE_CLOCK, f"{title}: {by_the_clock:.0f} minutes"
        assert "**TOTAL**" in plan


def test_minutes_are_those_of_the_formula(notebooks):
    cells = read(next(path for path in PATHS if path.stem.startswith("02"))).cells
    at = [n for n, cell in enumerate(cells) if re.match(r"## [45]\. ", cell.source)]
    assert notebooks.minutes("02/4") == pytest.approx(reading_time.minutes(cells[slice(*at)]))
    whole = reading_time.rounded(reading_time.minutes(reading_time.main_line(cells)))
    more = reading_time.rounded(reading_time.minutes(reading_time.deeper(cells)))
    assert notebooks.filled("MAIN(02) + DEEPER(02)") == f"{whole} + {more}"


def test_a_total_is_that_of_its_own_table(notebooks):
    one, two = notebooks.minutes("01/1"), notebooks.minutes("01/1", "01/2")
    filled = notebooks.filled("MINUTES(01/1) TOTAL MINUTES(01/1) MINUTES(01/2) TOTAL").split()
    assert [filled[1], filled[4]] == [f"{one:.0f}", f"{two:.0f}"]


def test_self_study_has_every_notebook():
    told = re.findall(
        r"^\| (\d+) · .*\| MAIN\((\d\d)\) \| DEEPER\((\d\d)\) \|$", source("plans"), re.MULTILINE
    )
    assert sorted(int(number) for number, *_ in told) == list(range(len(PATHS)))
    assert all(int(number) == int(main) == int(deeper) for number, main, deeper in told)


# ---- sliders --------------------------------------------------------------------------------


def test_before_each_slider_there_is_a_question():
    told = [row for row in rows(source("sliders")) if row[0].startswith("EXPLORER")]
    keys = [re.match(r"EXPLORER\(([\w.]+)", row[0])[1] for row in told]
    made = [f"{path.stem}.{name}" for path in PATHS for name in slices.explorers(path).values()]
    assert sorted(keys) == sorted(made)
    for key, (_, question, wrong, seen) in zip(keys, told, strict=True):
        assert question.endswith("?") and wrong.startswith('"') and len(seen.split()) > 8, key


# ---- misconceptions -------------------------------------------------------------------------


def test_each_misconception_is_answered_by_numbers_of_the_section_that_it_names(notebooks):
    items = re.split(r"(?m)^\d+\. ", source("misconceptions"))[1:]
    assert len(items) >= 25
    for item in items:
        assert item.startswith('**"'), item
        names = re.findall(r"SECTION\(([^)]*)\)", item)
        text = "\n".join(notebooks.section(name).text for name in names).replace("−", "-")
        numbers = re.findall(r"`([^`]+)`", item)
        assert names and numbers, item
        for number in numbers:
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", text), f"{number} is not in {names}"


# ---- exercises ------------------------------------------------------------------------------


def test_every_exercise_stands_at_its_level_once(notebooks):
    assert re.findall(r"EXERCISES\(([^)]*)\)", source("exercises")) == list(teaching.LEVELS)
    filled = "\n".join(notebooks.filled(f"EXERCISES({level})") for level in teaching.LEVELS)
    told = sorted(re.findall(r"^\| \[(\d+)\.(\d+) ", filled, re.MULTILINE))
    asked = sorted(
        (str(int(path.stem[:2])), number)
        for path in PATHS
        for number in re.findall(r"(?m)^\*\*Exercise (\d+) ", "\n".join(c.source for c in read(path).cells))
    )
    assert told == asked
    for row in rows(filled):
        assert re.fullmatch(r"`check_\w+`", row[1]) and len(row[2].split()) > 5, row


@pytest.mark.parametrize(
    ("words", "level"), [("warm-up", "warm-up"), ("stretch: an encoder", "stretch"), ("two gauges", "middle")]
)
def test_the_level_of_an_exercise(words, level):
    assert teaching.level_of(words) == level


# ---- what is not there ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SECTION(02/9)", "section: expected one of a notebook, such as 02/4, got 02/9"),
        ("MINUTES(12/1)", "section: expected .* got 12/1"),
        ("MAIN(12)", "notebook: expected one of 00, .* got 12"),
        ("EXPLORER(02_elbo.draw_nothing)", "explorer: expected one of notebook 02, got draw_nothing"),
        ("EXERCISES(hard)", "level: expected one of warm-up, middle, stretch, got hard"),
    ],
)
def test_a_page_that_speaks_of_what_is_not_there_is_refused(notebooks, text, message):
    with pytest.raises(ValueError, match=message):
        notebooks.filled(text)


def test_a_cell_of_two_sections_is_cut_between_them():
    cells = [
        nbformat.v4.new_markdown_cell("## 1. One\n\nA.\n\n## 2. Two\n\nB."),
        nbformat.v4.new_code_cell("1"),
    ]
    cells.append(nbformat.v4.new_markdown_cell("C.\n\n## Summary\n\nD."))
    found = {
        name: SimpleNamespace(title=part.title, text=part.text) for name, part in teaching._sections(cells)
    }
    assert [found[name].title for name in ("1", "2")] == ["1. One", "2. Two"]
    assert "B." not in found["1"].text and "D." not in found["2"].text and "C." in found["2"].text
