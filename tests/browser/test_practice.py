"""The practice page of the web edition: each question graded by mouse and by keyboard, links, looks."""

import json
import re

import lab
import pytest
from site_pages import read_page
from test_site import AXE, PHONE, PROJECTOR, REFLOW, SETTLED, Reader

STARTS = "window.vaePractice = "


class Practice(Reader):
    """The page, its questions as data, and a reader's hands."""

    def __init__(self, chromium, edition, size=PROJECTOR, **options):
        super().__init__(chromium, edition, "practice", size, **options)
        text = (edition / "_static" / "practice_data.js").read_text(encoding="utf-8")
        self.questions = json.loads(text.removeprefix(STARTS).removesuffix(";\n"))
        self.result = self.page.locator(".practice-result")
        self.settle()

    def settle(self):
        """Waits until MathJax has set what was put in last."""
        self.page.wait_for_function(
            r"() => ![...document.querySelectorAll('.practice-math')].some("
            r"(node) => node.getClientRects().length && /\$[^$]+\$/.test(node.textContent))"
        )

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()
        self.settle()

    def choose(self, notebook="", level=""):
        self.page.get_by_label("Notebook").select_option(notebook)
        self.page.get_by_label("Difficulty").select_option(level)
        self.settle()

    def shown(self):
        """The question that is on the screen, and its variant."""
        key, number = self.page.locator("fieldset").get_attribute("data-variant").rsplit(".", 1)
        (question,) = [one for one in self.questions if one["key"] == key]
        return question, question["variants"][int(number)]

    def answer(self, text_or_place, check=True):
        """Answers by the mouse, or by typing into a field that was clicked."""
        if isinstance(text_or_place, str):
            self.page.locator(".practice input[type=text]").click()
            self.page.keyboard.press("Control+A")
            self.page.keyboard.press("Delete")
            self.page.keyboard.type(text_or_place)
        else:
            self.page.locator(".practice-option").nth(text_or_place).click()
        if check:
            self.press("Check")

    def verdict(self):
        return self.result.get_attribute("data-verdict")

    def score(self):
        return self.page.locator(".practice-score").inner_text()


@pytest.fixture
def practice(chromium, edition):
    reader = Practice(chromium, edition)
    yield reader
    assert reader.complaints == []
    assert [url for url in reader.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    reader.close()


def check_words(node, text):
    """What stands between the formulas of a text is on the screen, in this order."""
    seen = re.sub(r"\s+", " ", node.inner_text())
    at = 0
    for part in re.split(r"\$[^$]+\$|`", text):
        part = re.sub(r"\s+", " ", part).strip()
        found = seen.find(part, at)
        assert found >= 0, f"{part!r} is not in {seen!r}"
        at = found + len(part)


def typed(option):
    return f"{option['number']:.10g}"


def test_every_question_is_graded_by_the_mouse(practice):
    assert len(practice.questions) >= 63
    heading = practice.page.locator(".practice h2")
    for number, question in enumerate(practice.questions, 1):
        asked, variant = practice.shown()
        assert asked is question
        about = f"notebook {question['notebook']}, difficulty {question['level']}"
        assert heading.inner_text() == f"Question {number} of {len(practice.questions)}: {about}"
        check_words(practice.page.locator("legend"), variant["text"])
        assert practice.verdict() is None and practice.result.inner_text() == ""
        options = variant["options"]
        places = sorted(range(len(options)), key=lambda place: options[place].get("right", False))
        for place in places:  # the right one comes last
            option = options[place]
            practice.answer(typed(option) if question["typed"] else place)
            if option.get("right"):
                assert practice.verdict() == "right"
                check_words(practice.result, "Right. " + variant["solution"])
            else:
                assert practice.verdict() == "wrong"
                check_words(practice.result, f"Not right. {option['said']} Its name: {option['name']}")
        link = practice.result.locator("a")
        assert link.inner_text() == f"notebook {question['notebook']}, section {question['section']}"
        assert link.get_attribute("href").startswith(f"{question['notebook']:02d}_")
        practice.press("Next question")
    assert practice.score() == f"This visit: 0 of {len(practice.questions)} right at the first answer."
    assert practice.shown()[0] is practice.questions[0]
    assert practice.page.locator("mjx-merror, [data-mjx-error]").count() == 0


def test_every_question_is_answered_by_the_keyboard(practice):
    page = practice.page
    page.get_by_role("button", name="Next question").focus()
    for question in [*practice.questions[1:], practice.questions[0]]:
        page.keyboard.press("Enter")  # on "Next question"
        practice.settle()
        asked, variant = practice.shown()
        assert asked is question and page.evaluate("document.activeElement.tagName") == "H2"
        for _ in range(9):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.name") == "answer":
                break
        (place,) = [i for i, option in enumerate(variant["options"]) if option.get("right")]
        if question["typed"]:
            page.keyboard.type(typed(variant["options"][place]))
        else:
            page.keyboard.press("Space")
            for _ in range(place):
                page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        practice.settle()
        assert practice.verdict() == "right", question["key"]
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent") == "Next question":
                break
    every = len(practice.questions)
    assert practice.score() == f"This visit: {every} of {every} right at the first answer."


def test_another_one_has_other_numbers_and_the_first_comes_back(practice):
    question, first = practice.shown()
    seen = [first["text"]]
    for _ in question["variants"][1:]:
        practice.press("Another one like it")
        again, variant = practice.shown()
        check_words(practice.page.locator("legend"), variant["text"])
        assert again is question
        seen.append(variant["text"])
    assert len(set(seen)) == len(seen) > 3
    practice.press("Another one like it")
    assert practice.shown() == (question, first)


def test_the_first_answer_counts(practice):
    question, variant = practice.shown()
    right = [bool(option.get("right")) for option in variant["options"]].index(True)
    wrong = 1 if right == 0 else 0
    assert not question["typed"] and practice.score() == "This visit: no answer yet."
    practice.press("Check")
    assert practice.verdict() == "none" and practice.score() == "This visit: no answer yet."
    for place in (wrong, right, right):
        practice.answer(place)
        assert practice.score() == "This visit: 0 of 1 right at the first answer."
    practice.press("Another one like it")
    _, variant = practice.shown()
    practice.answer([bool(option.get("right")) for option in variant["options"]].index(True))
    assert practice.score() == "This visit: 1 of 2 right at the first answer."


def test_the_choice_of_notebook_and_difficulty(practice):
    for notebook in range(1, 10):
        for level in ("", 1, 2, 3):
            practice.choose(str(notebook), str(level))
            fits = [q for q in practice.questions if q["notebook"] == notebook and level in ("", q["level"])]
            assert f"Question 1 of {len(fits)}:" in practice.page.locator(".practice h2").inner_text()
            assert practice.shown()[0] is fits[0]
    practice.press("Previous question")
    assert practice.shown()[0] is fits[-1]


def to_typed(practice):
    while not practice.shown()[0]["typed"]:
        practice.press("Next question")
    _, variant = practice.shown()
    return variant, next(option for option in variant["options"] if option.get("right"))


def test_numbers_are_read_as_people_write_them(practice):
    variant, option = to_typed(practice)
    number = option["number"]
    near = number + 0.9 * variant["tolerance"]
    for text in (f"{number}", f" {near:.6f} ".replace("-", "\u2212"), f"{near:.6f}".replace(".", ",")):
        practice.answer(text)
        assert practice.verdict() == "right", text
    for text in ("", "x", "1e", "--1", "1.2.3"):
        practice.answer(text)
        assert practice.verdict() == "none", text
    for text in (f"{number + 1.1 * variant['tolerance']:.6f}", "987654"):
        practice.answer(text)
        assert practice.verdict() == "wrong" and "none of the known mistakes" in practice.result.inner_text()


def test_thousands_may_have_commas(practice):
    practice.choose("2")
    while practice.shown()[0]["key"] != "02-mini-batch":
        practice.press("Next question")
    _, variant = practice.shown()
    (right,) = [option for option in variant["options"] if option.get("right")]
    practice.answer(f"{right['number']:,.1f}")
    assert practice.verdict() == "right"


def test_a_wrong_answer_unfolds_its_solution_and_leads_to_its_section(practice):
    practice.choose("3")
    _, option = to_typed(practice)
    _, variant = practice.shown()
    practice.answer("987654")
    assert not practice.result.locator("details .practice-math").is_visible()
    practice.result.locator("summary").click()
    practice.settle()
    check_words(practice.result.locator("details"), variant["solution"])
    href = practice.result.locator("a").get_attribute("href")
    practice.result.locator("a").click()
    practice.page.wait_for_url(f"**/{href}")
    assert practice.page.locator(f"[id='{href.partition('#')[2]}']").count() == 1


def test_every_link_of_the_page_is_there(practice, edition):
    targets = {f"{q['notebook']}.{q['section']}" for q in practice.questions}
    found = {}
    for href, words in practice.page.locator(".bd-article a").evaluate_all(
        "links => links.map(link => [link.getAttribute('href'), link.textContent.trim()])"
    ):
        if match := re.match(r"Notebook (\d), section (\d+)\. ", words):
            file, _, anchor = href.partition("#")
            assert file.startswith(f"0{match[1]}_") and anchor in read_page(edition / file).anchors, href
            found[f"{match[1]}.{match[2]}"] = href
    assert set(found) == targets


@pytest.mark.parametrize("size", [PROJECTOR, PHONE], ids=["projector", "phone"])
def test_it_can_be_read_by_everyone(chromium, edition, size):
    if not AXE.is_file():
        lab.skip_or_fail("axe-core is not installed: npm install --prefix tests/browser")
    reader = Practice(chromium, edition, size)
    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for notebook, place in (("2", 2), ("6", 0), ("9", 1)):  # long formulas, a field, many options
        reader.choose(notebook)
        for _ in range(place):
            reader.press("Next question")
        question, variant = reader.shown()
        reader.answer("987654" if question["typed"] else 0)
        if reader.result.locator("summary").count():
            reader.result.locator("summary").click()
        for mode in ("light", "dark"):
            reader.page.emulate_media(color_scheme=mode, reduced_motion="reduce")
            reader.page.evaluate(SETTLED)
            assert reader.faults("mjx-container") == [], (question["key"], mode)
        assert reader.page.evaluate(over) <= 0
    reader.page.set_viewport_size(REFLOW)
    reader.page.evaluate(SETTLED)
    assert reader.page.evaluate(over) <= 0
    assert reader.complaints == []
    reader.close()


def test_no_question_is_wider_than_a_phone(chromium, edition):
    reader = Practice(chromium, edition, PHONE)
    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    hidden = """() => [...document.querySelectorAll(".practice-math")].filter((node) =>
        node.scrollWidth > node.clientWidth + 1 && node.tabIndex !== 0).map((node) => node.textContent)"""
    for question in reader.questions:
        _, variant = reader.shown()
        right = next(i for i, option in enumerate(variant["options"]) if option.get("right"))
        reader.answer(typed(variant["options"][right]) if question["typed"] else right)
        assert reader.verdict() == "right"
        reader.page.evaluate(SETTLED)
        assert reader.page.evaluate(over) <= 0 and reader.page.evaluate(hidden) == [], question["key"]
        reader.press("Next question")
    reader.close()


def test_without_javascript_the_page_says_so(chromium, edition):
    context = chromium.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(f"file://{edition}/practice.html")
    assert page.locator(".bd-article h1").inner_text().startswith("Practice")
    assert "need JavaScript" in page.locator(".practice").inner_text()
    assert "How it is graded" in page.locator(".bd-article").inner_text()
    context.close()
