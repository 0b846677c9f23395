"""Questions as Moodle XML: what `question/format/xml` of Moodle reads, a category for each notebook."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping, Sequence

from vae_helpers.classroom.bank.question import Option, Variant

COURSE = "Variational autoencoders"
_MARK = re.compile(r"<!-- python -m vae_helpers questions: .*; sha256 of what follows: ([0-9a-f]{64}) -->\n")
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<quiz>\n'
_FORMULA_OR_CODE = re.compile(r"\$([^$]+)\$|`([^`]+)`")


def document(banks: Mapping[str, Sequence[Sequence[Variant]]], about: str) -> str:
    """The whole file.

    Args:
        banks: for each notebook's two digits its questions, each as its variants.
        about: the choices that made it, for the comment at the top; no hyphens that would end the comment.

    Returns:
        XML, in which a line at the top has the checksum of all that follows it.
    """
    parts = []
    for notebook, questions in banks.items():
        parts.append(_category(notebook))
        for variants in questions:
            parts += [_question(variant, number) for number, variant in enumerate(variants, 1)]
    body = "\n".join(parts) + "\n</quiz>\n"
    digest = hashlib.sha256(body.encode("utf-8")).hexdigest()
    about = about.replace("--", "- ")
    return (
        f"{_HEAD}<!-- python -m vae_helpers questions: {about}; sha256 of what follows: {digest} -->\n{body}"
    )


def is_ours(text: str) -> bool:
    """Whether a file was written by `document` and not changed since."""
    found = _MARK.search(text)
    return found is not None and hashlib.sha256(text[found.end() :].encode("utf-8")).hexdigest() == found[1]


def as_html(text: str) -> str:
    r"""A text of a question as HTML: formulas between \( and \), code as <code>."""
    parts, end = [], 0
    for found in _FORMULA_OR_CODE.finditer(text):
        parts.append(html.escape(text[end : found.start()], quote=False))
        formula, code = found[1], found[2]
        inside = html.escape(formula or code, quote=False)
        parts.append(rf"\({inside}\)" if formula else f"<code>{inside}</code>")
        end = found.end()
    return "".join(parts) + html.escape(text[end:], quote=False)


def _cdata(text: str) -> str:
    return f"<![CDATA[{text}]]>"  # what `as_html` returns has no "]]>": it escapes that sign


def _text(tag: str, content: str, attributes: str = ' format="html"') -> str:
    return f"    <{tag}{attributes}>\n      <text>{content}</text>\n    </{tag}>"


def _paragraph(tag: str, text: str) -> str:
    return _text(tag, _cdata(f"<p>{as_html(text)}</p>"))


def _category(notebook: str) -> str:
    path = f"$course$/top/{COURSE}/Notebook {int(notebook)}"
    return "\n".join(
        [
            '  <question type="category">',
            _text("category", path, ""),
            _text("info", "", ' format="html"'),
            "    <idnumber></idnumber>",
            "  </question>",
        ]
    )


def _question(variant: Variant, number: int) -> str:
    question = variant.question
    kind = "numerical" if question.typed else "multichoice"
    asked = f"{variant.text} {_how_near(variant)}" if question.typed else variant.text
    where = f"Notebook {int(question.notebook)}, section {question.section}."
    options = (
        sorted(variant.options, key=lambda option: not option.right) if question.typed else variant.options
    )
    lines = [
        f'  <question type="{kind}">',
        _text("name", f"{question.key} ({number})", ""),
        _paragraph("questiontext", asked),
        _paragraph("generalfeedback", f"{variant.solution} {where}"),
        "    <defaultgrade>1.0000000</defaultgrade>",
        "    <penalty>0.3333333</penalty>",
        "    <hidden>0</hidden>",
        f"    <idnumber>{question.key}-{number}</idnumber>",
        *(() if question.typed else _choices()),
        *(_answer(option, variant) for option in options),
        *(_no_units() if question.typed else ()),
        *_tags(
            f"notebook {int(question.notebook)}",
            f"difficulty {question.level}",
            f"section {question.section}",
        ),
        "  </question>",
    ]
    return "\n".join(lines)


def _how_near(variant: Variant) -> str:
    unit = variant.question.unit
    near = f"$\\pm {variant.tolerance:.6g}$ is near enough." if variant.tolerance else "It is a whole number."
    return f"Give the number in {unit}; {near}" if unit else f"Give the number; {near}"


def _choices() -> list[str]:
    return [
        "    <single>true</single>",
        "    <shuffleanswers>true</shuffleanswers>",
        "    <answernumbering>abc</answernumbering>",
        "    <showstandardinstruction>0</showstandardinstruction>",
        *(_text(f"{which}feedback", "") for which in ("correct", "partiallycorrect", "incorrect")),
    ]


def _no_units() -> list[str]:
    """The four settings of a numerical question; 3 says that there is no field for a unit."""
    names = {"unitgradingtype": "0", "unitpenalty": "0.1000000", "showunits": "3", "unitsleft": "0"}
    return [f"    <{name}>{value}</{name}>" for name, value in names.items()]


def _answer(option: Option, variant: Variant) -> str:
    typed = variant.question.typed
    said = "" if option.right else f"<p>{as_html(option.said)}</p><p>({option.name})</p>"
    style = "moodle_auto_format" if typed else "html"
    lines = [
        f'    <answer fraction="{100 if option.right else 0}" format="{style}">',
        f"      <text>{option.number if typed else _cdata(f'<p>{as_html(option.text)}</p>')}</text>",
        '      <feedback format="html">',
        f"        <text>{_cdata(said) if said else ''}</text>",
        "      </feedback>",
        *([f"      <tolerance>{variant.tolerance:.6g}</tolerance>"] if typed else []),
        "    </answer>",
    ]
    return "\n".join(lines)


def _tags(*names: str) -> list[str]:
    return ["    <tags>", *(f"      <tag><text>{name}</text></tag>" for name in names), "    </tags>"]
