"""The questions as data of the web edition's practice page, and the sections that answer them as links."""

from __future__ import annotations

import json
import re
from pathlib import Path

from vae_helpers.classroom.bank import load
from vae_helpers.classroom.bank.question import Question, Variant, variants

VARIANTS = 6  # of each question
SEED = 0
_HEADING = re.compile(r"(?m)^## (\d+)\. (.+)$")


def script() -> str:
    """A script that hands the page all variants of all questions; ASCII, and the same every time."""
    banks = load().values()
    questions = [
        _described(question, variants(question, VARIANTS, SEED)) for bank in banks for question in bank
    ]
    lines = ",\n".join(json.dumps(one, ensure_ascii=True, separators=(",", ":")) for one in questions)
    return f"window.vaePractice = [\n{lines}\n];\n"


def sections(folder: Path) -> str:
    """The sections that answer questions as a list in Markdown, each a link to its place.

    Args:
        folder: where the notebooks are.

    Raises:
        ValueError: a question names a section that its notebook does not have.
    """
    lines = []
    for notebook, bank in load().items():
        path = next(folder.glob(f"{notebook}_*.ipynb"))
        titles = _titles(path)
        for section in sorted({question.section for question in bank}):
            if section not in titles:
                raise ValueError(f"section: expected one of {path.name}, {sorted(titles)}, got {section}")
            title = f"{section}. {titles[section]}"
            lines.append(f"- [Notebook {int(notebook)}, section {title}]({path.name}#{_anchor(title)})")
    return "\n".join(lines)


def _titles(path: Path) -> dict[int, str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return {int(number): title for number, title in _HEADING.findall(prose)}


def _anchor(title: str) -> str:
    """The name of a heading's place, as MyST makes it: formulas leave nothing but the spaces beside them."""
    words = re.sub(r"\$[^$]+\$", "", title).lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def _described(question: Question, drawn: list[Variant]) -> dict[str, object]:
    return {
        "key": question.key,
        "notebook": int(question.notebook),
        "section": question.section,
        "level": question.level,
        "typed": question.typed,
        "unit": question.unit,
        "variants": [_drawn(variant) for variant in drawn],
    }


def _drawn(variant: Variant) -> dict[str, object]:
    options = []
    for option in variant.options:
        one: dict[str, object] = {"text": option.text}
        one |= {"right": True} if option.right else {"name": option.name, "said": option.said}
        options.append(one | ({"number": float(option.number)} if variant.question.typed else {}))
    found = {"text": variant.text, "options": options, "solution": variant.solution}
    return found | ({"tolerance": float(f"{variant.tolerance:.6g}")} if variant.question.typed else {})
