"""The engine of the bank of questions, the Moodle file and the command that writes it."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from vae_helpers.__main__ import main
from vae_helpers.classroom import bank, questions
from vae_helpers.classroom.bank import mistakes, moodle, practice
from vae_helpers.classroom.bank.question import (
    Question,
    Slip,
    Statement,
    between,
    draw,
    pick,
    some,
    variants,
)
from vae_helpers.pictures.plotting import COURSE

SLIPS = [
    Slip("half", "The ½ is lost: $<a>$.", lambda a: 2 * a),
    Slip("sign", "The sign.", lambda a: -a),
    Slip("constant", "Off by 5.", lambda a, b: a + 5 + 0 * b),
]
STATEMENTS = [
    Statement("It is above 0.", lambda a: a > 0, "sign", "It is not."),
    Statement("It is below 0.", lambda a: a < 0, "sign", "It is not below."),
    Statement("It is $<a>$ squared, `a**2`.", lambda a: a == a**2, "half", "No."),
]


def question(**changed):
    """A question that asks for a number, or in which something is changed."""
    parts = {
        "key": "03-a-number",
        "section": 1,
        "level": 1,
        "text": "Is $a = <a>$, `b` $< <b>$ & more?",
        "draw": lambda rng: {"a": between(rng, 1, 4, 0.5), "b": int(rng.integers(10, 20))},
        "answer": lambda a: a,
        "slips": SLIPS,
        "solution": "It is $<answer>$, and half of it $<(half)>$.",
        "steps": {"half": lambda a: -a / 2},
    }
    return Question(**parts | changed)


def stated(**changed):
    return question(
        **{"answer": None, "slips": (), "statements": STATEMENTS, "steps": {}, "solution": "<answer>"}
        | changed
    )


# ---- the engine ------------------------------------------------------------------------------


def test_a_variant_has_its_numbers_everywhere():
    variant = draw(question(), np.random.default_rng(0))
    a, b = variant.values["a"], variant.values["b"]
    assert variant.text == f"Is $a = {a:g}$, `b` $< {b}$ & more?"
    assert variant.solution == f"It is ${a:.3f}$, and half of it $({-a / 2:g})$."
    shown = {option.name: option for option in variant.options}
    assert shown[""].text == f"${a:.3f}$ nats" and shown[""].right
    assert shown["half"].said == f"The ½ is lost: ${a:g}$." and shown["sign"].number == f"{-a:.3f}"


def test_the_same_seed_gives_the_same_variants_and_fewer_are_the_first_of_more():
    one = question()
    assert variants(one, 4, 7) == variants(one, 4, 7)
    assert [v.text for v in variants(one, 3, 7)] == [v.text for v in variants(one, 6, 7)][:3]
    assert [v.text for v in variants(one, 6, 7)] != [v.text for v in variants(one, 6, 8)]


def test_variants_differ():
    assert len({v.text for v in variants(question(), 20, 0)}) == 20


def test_hundreds_of_variants_are_found():
    many = question(draw=lambda rng: {"a": between(rng, 1, 4, 0.001), "b": int(rng.integers(10, 20))})
    assert len(variants(many, 700, 0)) == 700


def test_another_process_draws_the_same():
    code = """if True:
        from vae_helpers.classroom.bank import load, question
        print(question.variants(load(["03"])["03"][0], 1, 5)[0].text)"""
    env = os.environ | {"PYTHONHASHSEED": "7"}
    ended = subprocess.run([sys.executable, "-c", code], cwd=COURSE, env=env, capture_output=True, text=True)
    here = variants(bank.load(["03"])["03"][0], 1, 5)[0].text
    assert ended.stdout.strip() == here, ended.stderr


def test_options_come_in_every_order():
    rng = np.random.default_rng(0)
    places = {[o.right for o in draw(question(), rng).options].index(True) for _ in range(60)}
    assert places == {0, 1, 2, 3}


def test_numbers_that_look_alike_are_drawn_anew():
    one = question(draw=lambda rng: {"a": pick(rng, 0.0, 0.001, 2.0), "b": 1})
    rng = np.random.default_rng(0)
    assert {draw(one, rng).values["a"] for _ in range(30)} == {2.0}


@pytest.mark.parametrize(
    "broken",
    [
        question(draw=lambda rng: {"a": 0.0, "b": 1}),
        question(answer=lambda a: float("nan")),
        question(slips=[*SLIPS, Slip("scale", "Infinite.", lambda a: np.inf)]),
        stated(draw=lambda rng: {"a": 1.0, "b": 1}),  # two statements hold
        stated(draw=lambda rng: {"a": np.nan, "b": 1}),  # none does
    ],
)
def test_a_question_that_never_comes_out_is_named(broken):
    with pytest.raises(ValueError, match="draw: expected answers that can be told apart.*03-a-number"):
        draw(broken, np.random.default_rng(0))


def test_more_variants_than_there_are_is_refused():
    few = question(draw=lambda rng: {"a": pick(rng, 1.0, 2.0), "b": 1})
    with pytest.raises(ValueError, match="count: expected at most 2 variants of 03-a-number, got 3"):
        variants(few, 3, 0)


def test_the_statement_that_holds_is_the_answer():
    variant = draw(stated(draw=lambda rng: {"a": -2.0, "b": 1}), np.random.default_rng(0))
    right = [option for option in variant.options if option.right]
    assert [option.text for option in right] == ["It is below 0."] == [variant.solution]
    assert {(option.name, option.said) for option in variant.options if not option.right} == {
        ("sign", "It is not."),
        ("half", "No."),
    }


def test_a_function_without_a_parameter_that_it_may_lack_has_its_default():
    one = question(answer=lambda a, c=3: a + c, slips=SLIPS)
    variant = draw(one, np.random.default_rng(0))
    assert next(o.number for o in variant.options if o.right) == f"{variant.values['a'] + 3:.3f}"


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"key": "3-a"}, "key: expected two digits"),
        ({"level": 4}, "level: expected 1, 2 or 3, got 4"),
        ({"slips": SLIPS[:2]}, "slips: expected at least 3, got 2"),
        ({"slips": [*SLIPS, SLIPS[0]]}, "slips: expected different names"),
        (
            {"slips": [*SLIPS, Slip("no-such-name", "", lambda: 0)]},
            "name: expected a key of CODES or of NAMES",
        ),
        ({"answer": None}, "answer: expected it with slips, or statements alone"),
        ({"statements": STATEMENTS}, "answer: expected it with slips, or statements alone"),
    ],
)
def test_a_question_that_is_not_whole_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        question(**changed)


def test_a_text_that_names_no_parameter_is_refused():
    with pytest.raises(ValueError, match="text: expected the name of a parameter, got <c> in 03-a-number"):
        draw(question(text="<c>?"), np.random.default_rng(0))


@pytest.mark.parametrize("bad", [None, 3, np.random.RandomState(0)])
def test_only_a_generator_draws(bad):
    with pytest.raises(TypeError, match="rng: expected numpy.random.default_rng"):
        draw(question(), bad)


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one_variant(count):
    with pytest.raises(ValueError, match="count: expected at least 1"):
        variants(question(), count, 0)


def test_large_numbers_have_commas_and_zero_has_no_sign():
    one = question(
        answer=lambda: 12345.678,
        digits=1,
        slips=[
            replace(s, value=v)
            for s, v in zip(SLIPS, (lambda: -0.04, lambda: 1234, lambda: -1e6), strict=True)
        ],
    )
    variant = draw(one, np.random.default_rng(0))
    assert {option.text for option in variant.options} == {
        "$12{,}345.7$ nats",
        "$0.0$ nats",
        "$1234.0$ nats",
        "$-1{,}000{,}000.0$ nats",
    }


def test_zeros_at_the_end_of_the_decimals_may_be_left_out():
    wrong = [
        replace(s, value=v)
        for s, v in zip(SLIPS, (lambda: -0.00004, lambda: -20000, lambda: 39.2), strict=True)
    ]
    one = question(answer=lambda: 0.0625, slips=wrong, digits=4, trim=True, unit="")
    variant = draw(one, np.random.default_rng(0))
    assert {option.number for option in variant.options} == {"0.0625", "0", "-20000", "39.2"}
    assert {option.text for option in variant.options} == {"$0.0625$", "$0$", "$-20{,}000$", "$39.2$"}
    assert variant.solution.startswith("It is $0.0625$")


def test_zero_has_no_sign_wherever_it_is_shown():
    rng = np.random.default_rng(0)
    steps = [between(rng, -0.6, 0.6, 0.3) for _ in range(100)] + [*some(rng, 5, -0.6, 0.6, 0.3)]
    assert {str(value) for value in steps} == {"-0.6", "-0.3", "0.0", "0.3", "0.6"}
    one = question(text="<zero>, <none>?", steps={"half": lambda: -0.0, "none": lambda: [-0.0, -1e-9]})
    one = replace(one, draw=lambda rng: question().draw(rng) | {"zero": -0.0})
    variant = draw(one, rng)
    assert variant.text == "0, 0, -0.000000001?" and variant.solution.endswith("half of it $0$.")


def test_a_step_has_four_decimals_and_below_a_tenth_four_digits():
    numbers = [-22.38196, 0.1234567, 0.01234567, 103.0]
    one = question(text="<half>?", steps={"half": lambda: numbers})
    assert draw(one, np.random.default_rng(0)).text == "-22.382, 0.1235, 0.01235, 103?"


def test_draws_have_the_decimals_of_their_step_and_keep_to_their_ends():
    rng = np.random.default_rng(0)
    found = {between(rng, 0.1, 0.5, 0.1) for _ in range(200)}
    assert found == {0.1, 0.2, 0.3, 0.4, 0.5}
    assert all(len(set(some(rng, 5, 0.1, 0.5, 0.1))) == 5 for _ in range(20))


def test_a_name_of_the_checks_keeps_its_meaning():
    assert not set(mistakes.NAMES) & set(mistakes.CODES)
    assert mistakes.meaning("half") == mistakes.CODES["half"].meaning
    with pytest.raises(ValueError, match="name: expected a key of CODES or of NAMES, got 'typo'"):
        mistakes.meaning("typo")


@pytest.mark.parametrize("strange", ["10", "3", "", "00"])
def test_a_notebook_without_questions_is_refused(strange):
    with pytest.raises(ValueError, match=f"notebook: expected one of 01, .*, 09, got '{strange}'"):
        bank.load(["03", strange])


# ---- Moodle ----------------------------------------------------------------------------------

# What Moodle 4 reads (question/format/xml/format.php: import_headers, import_multichoice, import_numerical)
# and writes in this order (writequestion); the fractions are those that its list of grades has at 0 and 1.
COMMON = "name questiontext generalfeedback defaultgrade penalty hidden idnumber".split()
CHOICE = [
    *("single", "shuffleanswers", "answernumbering", "showstandardinstruction"),
    *("correctfeedback", "partiallycorrectfeedback", "incorrectfeedback"),
]
UNITS = "unitgradingtype unitpenalty showunits unitsleft".split()
TAGS = {"p", "code"}


def written(seed=0, count=2, notebooks=("03", "06", "08")):
    drawn = {
        name: [variants(one, count, seed) for one in asked] for name, asked in bank.load(notebooks).items()
    }
    return moodle.document(drawn, "a test"), drawn


@pytest.fixture(scope="module")
def document():
    return written(count=3, notebooks=bank.NOTEBOOKS)


def check_html(text):
    """HTML of a few tags, well formed, with formulas between brackets that match."""
    root = ET.fromstring(f"<div>{text}</div>")
    assert {node.tag for node in root.iter()} <= TAGS | {"div"}
    plain = "".join(root.itertext())
    assert "$" not in plain and "`" not in plain, plain
    assert re.sub(r"\\\((?:(?!\\[()]).)*\\\)", "", plain, flags=re.DOTALL).count("\\") == 0, plain


def check_text(node, html=True):
    (inner,) = node.findall("text")
    if html:
        assert node.get("format") == "html"
        check_html(inner.text or "")
    return inner.text or ""


def check_question(node):
    kind = node.get("type")
    assert kind in ("multichoice", "numerical")
    middle, end = (CHOICE, []) if kind == "multichoice" else ([], UNITS)
    answers = node.findall("answer")
    assert [child.tag for child in node] == [*COMMON, *middle, *["answer"] * len(answers), *end, "tags"]
    assert 0 < len(check_text(node.find("name"), html=False)) <= 255
    assert check_text(node.find("questiontext")) and check_text(node.find("generalfeedback"))
    assert float(node.findtext("defaultgrade")) == 1 and node.findtext("hidden") == "0"
    assert 0 <= float(node.findtext("penalty")) <= 1
    assert 0 < len(node.findtext("idnumber")) <= 100
    fractions = [float(answer.get("fraction")) for answer in answers]
    assert sorted(fractions) == [0.0] * (len(answers) - 1) + [100.0] and len(answers) >= 3
    for answer, fraction in zip(answers, fractions, strict=True):
        said = check_text(answer.find("feedback"))
        assert bool(said) == (fraction == 0)
        if kind == "multichoice":
            assert [child.tag for child in answer] == ["text", "feedback"] and answer.get("format") == "html"
            check_html(answer.findtext("text"))
        else:
            assert [child.tag for child in answer] == ["text", "feedback", "tolerance"]
            assert answer.get("format") == "moodle_auto_format"
            assert re.fullmatch(r"-?\d+(\.\d+)?", answer.findtext("text"))
            assert re.fullmatch(r"\d+(\.\d+)?", answer.findtext("tolerance"))
    if kind == "multichoice":
        assert node.findtext("single") == node.findtext("shuffleanswers") == "true"
        assert node.findtext("answernumbering") in ("none", "abc", "ABCD", "123", "iii", "IIII")
        assert len({answer.findtext("text") for answer in answers}) == len(answers)
    else:
        assert fractions[0] == 100 and node.findtext("showunits") == "3"  # the first that fits counts
        spans = sorted((float(a.findtext("text")), float(a.findtext("tolerance"))) for a in answers)
        assert all(a + s < b - t for (a, s), (b, t) in zip(spans, spans[1:], strict=False))
    assert all(0 < len(tag.findtext("text")) <= 50 for tag in node.find("tags"))


def test_the_file_is_what_moodle_reads(document):
    text, drawn = document
    root = ET.fromstring(text.encode("utf-8"))
    assert root.tag == "quiz" and {node.tag for node in root} == {"question"}
    category, asked = None, []
    for node in root:
        if node.get("type") == "category":
            category = check_text(node.find("category"), html=False)
            assert category.startswith("$course$/") and [c.tag for c in node] == [
                "category",
                "info",
                "idnumber",
            ]
            continue
        check_question(node)
        idnumber = node.findtext("idnumber")
        assert category.endswith(f"/Notebook {int(idnumber[:2])}")
        asked.append(idnumber)
    expected = [
        f"{v.question.key}-{i}" for each in drawn.values() for vs in each for i, v in enumerate(vs, 1)
    ]
    assert asked == expected and len(set(asked)) == len(asked)


def test_what_is_read_back_is_what_was_drawn(document):
    text, drawn = document
    nodes = [node for node in ET.fromstring(text.encode("utf-8")) if node.get("type") != "category"]
    for node, variant in zip(nodes, (v for each in drawn.values() for vs in each for v in vs), strict=True):
        right = [a for a in node.findall("answer") if a.get("fraction") == "100"][0].findtext("text")
        (option,) = [option for option in variant.options if option.right]
        assert right == (option.number if variant.question.typed else f"<p>{moodle.as_html(option.text)}</p>")
        for option in variant.options:
            if not option.right:
                said = f"<p>{moodle.as_html(option.said)}</p><p>({option.name})</p>"
                assert said in [a.findtext("feedback/text") for a in node.findall("answer")]
        assert moodle.as_html(variant.solution) in node.findtext("generalfeedback/text")
        assert f"section {variant.question.section}." in node.findtext("generalfeedback/text")


def test_formulas_code_and_signs_are_escaped():
    assert moodle.as_html(r"Is $a < b & c$, `x < y` & $-$ELBO > 1?") == (
        r"Is \(a &lt; b &amp; c\), <code>x &lt; y</code> &amp; \(-\)ELBO &gt; 1?"
    )


def test_the_end_of_a_section_of_cdata_in_a_text_does_no_harm():
    one = draw(question(text="Is `x[y[0]]>1`, $<a>$?"), np.random.default_rng(0))
    text = moodle.document({"03": [[one]]}, "a -- test")
    asked = ET.fromstring(text.encode("utf-8")).findall("question")[1].findtext("questiontext/text")
    assert "<code>x[y[0]]&gt;1</code>" in asked
    raw = draw(question(text="Is ]]> $<a>$?"), np.random.default_rng(0))
    assert ET.fromstring(moodle.document({"03": [[raw]]}, "t").encode("utf-8")) is not None


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    assert written()[0] == written()[0]
    assert written()[0] != written(seed=1)[0]


def test_a_file_knows_whether_it_was_changed():
    text, _ = written(notebooks=["03"])
    assert moodle.is_ours(text)
    assert not moodle.is_ours(text.replace("nats", "bits", 1)) and not moodle.is_ours("<quiz></quiz>")


# ---- the command -----------------------------------------------------------------------------


def test_the_command_writes_the_notebooks_that_are_asked_for(tmp_path, capsys):
    out = tmp_path / "bank.xml"
    assert (
        main(["questions", "--out", str(out), "--notebook", "05", "02", "--variants", "2", "--seed", "4"])
        == 0
    )
    count = 2 * sum(len(asked) for asked in bank.load(["02", "05"]).values())
    assert capsys.readouterr().out == f"{out}: {count} questions\n"
    text = out.read_text(encoding="utf-8")
    assert "notebooks 02 05, variants 2, seed 4" in text and "Notebook 3" not in text
    assert text.count('type="category"') == 2
    before = out.read_bytes()
    assert (
        main(["questions", "--out", str(out), "--notebook", "02", "05", "--variants", "2", "--seed", "4"])
        == 0
    )
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["bank.xml"]


@pytest.mark.parametrize("found", ["<quiz></quiz>", "notes", "", "changed"])
def test_a_file_of_someone_else_or_one_that_was_changed_is_left_alone(tmp_path, capsys, found):
    out = tmp_path / "bank.xml"
    if found == "changed":
        questions.write(out, notebooks=["03"], variants=1)
        found = out.read_text(encoding="utf-8").replace("nats", "bits", 1)
    out.write_text(found, encoding="utf-8")
    assert main(["questions", "--out", str(out), "--notebook", "03"]) == 2
    assert out.read_text(encoding="utf-8") == found and "out: expected no file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["bank.xml"]


def test_a_folder_is_not_overwritten_and_a_missing_one_is_named(tmp_path, capsys):
    assert main(["questions", "--out", str(tmp_path), "--notebook", "03"]) == 2
    assert main(["questions", "--out", str(tmp_path / "no" / "bank.xml"), "--notebook", "03"]) == 2
    assert "out: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line, message",
    [
        (["--notebook", "10"], "notebook: expected one of"),
        (["--variants", "0", "--notebook", "03"], "count: expected at least 1, got 0"),
        (["--seed", "-1", "--notebook", "03"], "seed: expected at least 0, got -1"),
        (["--variants", "100000", "--notebook", "03"], "count: expected at most"),
    ],
)
def test_bad_options_write_nothing(tmp_path, capsys, line, message):
    assert main(["questions", "--out", str(tmp_path / "bank.xml"), *line]) == 2
    assert message in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_an_error_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    out = tmp_path / "bank.xml"
    questions.write(out, notebooks=["03"], variants=1)
    before = out.read_bytes()
    monkeypatch.setattr(moodle, "document", lambda *_: "<quiz>\ud800")  # cannot be encoded
    with pytest.raises(UnicodeEncodeError):
        questions.write(out, notebooks=["03"], variants=2)
    assert out.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["bank.xml"]


# ---- the data of the practice page -----------------------------------------------------------


def test_the_page_is_handed_all_questions_in_ascii():
    text = practice.script()
    assert text.isascii() and text == practice.script()
    rows = json.loads(text.removeprefix("window.vaePractice = ").removesuffix(";\n"))
    asked = [one for each in bank.load().values() for one in each]
    assert [row["key"] for row in rows] == [one.key for one in asked]
    for row, one in zip(rows, asked, strict=True):
        assert len(row["variants"]) == practice.VARIANTS and row["typed"] == one.typed
        for shown, variant in zip(
            row["variants"], variants(one, practice.VARIANTS, practice.SEED), strict=True
        ):
            assert shown["text"] == variant.text and shown["solution"] == variant.solution
            assert [o["text"] for o in shown["options"]] == [o.text for o in variant.options]
            assert [o.get("right", False) for o in shown["options"]] == [o.right for o in variant.options]
            assert all(("said" in o) != o.get("right", False) for o in shown["options"])


def test_every_question_stands_under_a_section_that_its_notebook_has():
    lines = practice.sections(COURSE / "notebooks").splitlines()
    assert any(
        line.startswith("- [Notebook 3, section 4. Many latents](03_gaussian_kl.ipynb#4-many-latents)")
        for line in lines
    )
    assert any(
        line.endswith("(08_how_tight_is_the_bound.ipynb#2--on-a-grid)") for line in lines
    )  # no formula
    assert len(lines) == len({(one.notebook, one.section) for each in bank.load().values() for one in each})


def test_a_section_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(practice, "load", lambda: {"03": (question(section=9),)})
    with pytest.raises(ValueError, match="section: expected one of 03_gaussian_kl.ipynb, .*, got 9"):
        practice.sections(COURSE / "notebooks")
