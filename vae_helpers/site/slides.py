"""The slides of the web edition: each notebook once more, as a lecture of its main line.

They are a view, not a copy. `metadata.slideshow.slide_type` of a cell says whether it is left out ("skip"),
begins a slide ("slide", "subslide") or comes by a click ("fragment"). Of prose a slide shows what a room can
read: headings, displayed formulas, lists, tables, predictions and their answers, the beginning of a caption,
and those sentences of a paragraph that define a word in bold or lead to a formula. The whole text of the
cells stands in the speaker's notes. Code is shown where it is short, its output always.
"""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import nbformat

REVEAL = Path("node_modules", "reveal.js")  # below docs/
_FILES = ("dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js", "LICENSE")
TYPES = ("slide", "subslide", "fragment", "skip", "notes")
MOST_CODE = 10  # lines that a slide shows
_CODE_COLUMNS = 84
_ROOM, _MOST_WORDS = 560, 70  # pixels of a slide of 720 for what is below its heading, and words
_LINE, _COLUMNS = 42, 76  # of prose: pixels a line, letters in one
_LEAD = 34  # words of the sentences that begin a paragraph or a caption
_CAPTION = re.compile(r"\*\*Figure \d+\.\d+\.\*\* ")
_END = re.compile(r"[.?!][)*\"”]*(?=\s+[A-Z(*\"“\0])")
_WHOLE = re.compile(r"\$[^$]+\$|`[^`]+`|\[[^\]]*\]\([^)]*\)")  # nothing in them ends a sentence
_QUESTION = "**Question.**"
_PAGE = """<!DOCTYPE html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · slides</title>
<link rel="stylesheet" href="../_static/reveal/reset.css">
<link rel="stylesheet" href="../_static/reveal/reveal.css">
<link rel="stylesheet" href="../_static/pygments.css">
<link rel="stylesheet" href="../_static/page.css">
<link rel="stylesheet" href="../_static/slides.css">
</head>
<body>
<main class="reveal"><div class="slides">
{slides}
</div></main>
<p class="chapter"><a href="../{name}.html">{title}</a></p>
<script src="../_static/slides.js"></script>
<script src="../_static/mathjax/tex-svg-full.js"></script>
<script src="../_static/reveal/reveal.js"></script>
<script src="../_static/reveal/notes.js"></script>
<script>showSlides();</script>
<script src="../_static/page.js"></script>
</body>
</html>
"""


class _Block(NamedTuple):
    """A part of a slide.

    Attributes:
        html: what is shown.
        height: pixels that it takes, at 1280 × 720, as far as can be told without a browser.
        words: of prose.
        kind: "text", "predict", "answer", "caption", "figure", or "h1" to "h3".
    """

    html: str
    height: float
    words: int = 0
    kind: str = "text"


@dataclass
class _Slide:
    kind: str = "text"
    begins_section: bool = False
    heading: str = ""
    shown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    height: float = 0
    words: int = 0


def make_all(source: Path, docs: Path) -> None:
    """Writes the slides of the notebooks, and what they need, where Sphinx takes files as they are.

    Args:
        source: the folder that Sphinx reads, with the notebooks as `notebooks.stage` has written them.
        docs: the course's folder with `node_modules`.

    Raises:
        FileNotFoundError: reveal.js is not there.
        ValueError: a cell without a type of slide.
    """
    static, folder = source / "_static" / "reveal", source / "_extra" / "slides"
    static.mkdir()
    folder.mkdir(parents=True)
    for name in _FILES:
        if not (docs / REVEAL / name).is_file():
            missing = docs / REVEAL / name
            raise FileNotFoundError(
                f"expected {missing}; npm install --prefix docs --ignore-scripts brings it"
            )
        shutil.copy(docs / REVEAL / name, static)
    for path in sorted(source.glob("[0-9]*.ipynb")):
        (folder / f"{path.stem}.html").write_text(deck(path), encoding="utf-8", newline="\n")


def slide_type(cell: nbformat.NotebookNode) -> str:
    """What a cell is on slides.

    Raises:
        ValueError: it does not say so, or by a word that is none of `TYPES`.
    """
    found = cell.metadata.get("slideshow", {}).get("slide_type")
    if found not in TYPES:
        raise ValueError(f"slide_type: expected one of {', '.join(TYPES)} in {cell.id}, got {found!r}")
    return found


def deck(path: Path) -> str:
    """The slides of a notebook, as a page of its own."""
    lecture = _Lecture()
    for cell in nbformat.read(path, as_version=4).cells:
        lecture.add(cell)
    title = f"{int(path.stem[:2])} · {lecture.title}"
    return _PAGE.format(title=title, name=path.stem, slides="\n".join(lecture.sections()))


class _Lecture:
    """Lays cells out on slides, one after the other."""

    def __init__(self) -> None:
        self._slides: list[_Slide] = []
        self._words = _Words()
        self.title = ""

    def add(self, cell: nbformat.NotebookNode) -> None:
        """The cell on a slide of its own, on the last one, or nowhere."""
        kind = slide_type(cell)
        if kind == "skip":
            return
        if kind == "notes":
            self._slides[-1].notes.append(self._words.whole(cell.source))
            return
        if kind != "fragment":
            self._slides.append(_Slide(begins_section=kind == "slide", heading=self._heading()))
        if cell.cell_type == "markdown":
            before = len(self._slides)
            for block in self._words.blocks(cell.source):
                self._place(block, by_click=kind == "fragment")
            self._slides[min(before, len(self._slides)) - 1].notes.append(self._words.whole(cell.source))
        else:
            for block in _code(cell):
                self._place(block, by_click=kind == "fragment")

    def _heading(self) -> str:
        """The name of the section, for slides that have no heading of their own."""
        return self._slides[-1].heading if self._slides else ""

    def _place(self, block: _Block, *, by_click: bool) -> None:
        last = self._slides[-1]
        full = last.height + block.height > _ROOM or last.words + block.words > _MOST_WORDS
        after_caption = last.kind == "caption" and block.kind != "caption"
        apart = block.kind in ("predict", "answer") or block.kind != last.kind == "answer"
        if last.shown and (full or apart or after_caption or block.kind in ("h1", "h2", "h3")):
            last = _Slide(begins_section=block.kind == "h2", heading=last.heading)
            self._slides.append(last)
            by_click = False  # a new slide is a click already
        if block.kind in ("h1", "h2"):
            last.heading = re.sub(r"<[^>]+>", "", block.html)
            last.begins_section = True
        if block.kind == "h1":
            self.title = last.heading
        elif not last.shown:
            last.kind = block.kind
        if block.kind in ("caption", "figure"):
            last.kind = block.kind
        classes = "fragment" if by_click else ""
        shown = f'<div class="{classes}">{block.html}</div>' if classes else block.html
        last.shown.append(shown)
        last.height += block.height
        last.words += block.words

    def sections(self) -> Iterator[str]:
        """Each slide as an element, those of one section in an element around them."""
        slides = [slide for slide in self._slides if slide.shown]
        for n, slide in enumerate(slides):
            if slide.begins_section:
                yield "</section>\n<section>" if n else "<section>"
            yield _section(slide)
        yield "</section>"


def _section(slide: _Slide) -> str:
    own = slide.shown[0].startswith(("<h1", "<h2"))
    where = "" if own else f'<p class="where">{slide.heading}</p>\n'
    notes = "".join(f'<aside class="notes">{text}</aside>\n' for text in ["\n".join(slide.notes)] if text)
    return f'<section class="{slide.kind}">\n{where}' + "\n".join(slide.shown) + f"\n{notes}</section>"


# ---- code and what it has shown -------------------------------------------------------------


def _code(cell: nbformat.NotebookNode) -> Iterator[_Block]:
    outputs = [block for output in cell.outputs for block in _output(output)]
    lines = cell.source.count("\n") + 1
    if lines <= MOST_CODE and all(block.kind == "text" for block in outputs):
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer

        shown = highlight(cell.source, PythonLexer(), HtmlFormatter(cssclass=f"highlight code{_long(cell.source)}"))
        yield _Block(shown, 31 * lines + 40)
    yield from outputs


def _output(output: nbformat.NotebookNode) -> Iterator[_Block]:
    data = output.get("data", {})
    shown = "".join(data.get("text/html", ""))
    if 'class="vae-web"' in shown:
        yield _Block(_beside(shown), 440, kind="figure")
    elif "<img " in shown:
        yield _Block(f'<div class="figure">{_beside(shown)}</div>', 440, kind="figure")
    elif shown:
        yield _Block(f'<div class="table">{shown}</div>', 44 * shown.count("<tr") + 40)
    elif "text/latex" in data:
        yield _Block(rf"<div>\[{html.escape(data['text/latex'].strip('$'))}\]</div>", 90)
    else:
        text = (output.get("text") or data.get("text/plain", "")).strip("\n")
        height = 31 * (text.count("\n") + 1) + 30
        yield _Block(f'<pre class="printed{_long(text)}">{html.escape(text)}</pre>', height)


def _long(text: str) -> str:
    """A class for text whose lines ask for smaller letters."""
    return " long" if max(map(len, text.splitlines()), default=0) > _CODE_COLUMNS else ""


def _beside(shown: str) -> str:
    """Pictures lie beside the pages, a folder above the slides."""
    return shown.replace('src="_static/', 'src="../_static/').replace(' loading="lazy"', "")


# ---- words ----------------------------------------------------------------------------------


class _Words:
    """Reads Markdown as the pages do, and leaves of it what a slide shows."""

    def __init__(self) -> None:
        from markdown_it import MarkdownIt
        from mdit_py_plugins.dollarmath import dollarmath_plugin

        self._markdown = MarkdownIt("commonmark").enable("table")
        self._markdown.use(dollarmath_plugin, allow_labels=True, renderer=_formula)
        self._markdown.add_render_rule("math_block_label", self._without_label)

    @staticmethod
    def _without_label(_self: object, tokens: list, index: int, *_: object) -> str:
        return rf"<div>\[{html.escape(tokens[index].content)}\]</div>"

    def whole(self, source: str) -> str:
        """The text as it is, for the speaker's notes."""
        return self._markdown.render(source)

    def blocks(self, source: str) -> list[_Block]:
        """What slides show of a cell."""
        parts = list(self._parts(source))
        opening = parts and parts[0][0] == "h1"
        blocks, in_answer = [], False
        for (kind, content), (after, _) in zip(parts, [*parts[1:], ("", "")], strict=True):
            if kind == "answer":
                in_answer = content
            elif kind in ("h1", "h2", "h3"):
                blocks.append(_Block(f"<{kind}>{self._inline(_heading(content))}</{kind}>", 30, kind=kind))
            elif kind == "p" and in_answer:
                label = "" if blocks and blocks[-1].kind == "answer" else "**Answer.** "
                blocks.append(self._text(label + content, "answer"))
            elif kind == "p" and _CAPTION.match(content):
                sentences = _sentences(content)
                blocks.append(self._text(" ".join(sentences[: _lead(sentences)]), "caption"))
            elif kind == "p" and opening:
                if content.startswith(_QUESTION):
                    blocks.append(self._text(content.removeprefix(_QUESTION)))
            elif kind == "p" and content.startswith("**Predict"):
                blocks.append(self._text(content, "predict"))
            elif kind == "p":
                opens = not any(block.kind in ("text", "caption") for block in blocks)
                for text in _chosen(content, after in ("formula", "list", "table"), opens):
                    blocks.append(self._text(text))
            else:
                blocks.append(self._made(kind, content, "answer" if in_answer else "text"))
        return blocks

    def _parts(self, source: str) -> Iterator[tuple[str, str]]:
        """The kind of each part of a text, with its Markdown, or with its HTML where it is shown whole."""
        tokens = self._markdown.parse(source)
        n = 0
        while n < len(tokens):
            token, end = tokens[n], n
            if token.nesting == 1:
                end = next(k for k in range(n + 1, len(tokens)) if tokens[k].level == token.level)
            if token.type in ("heading_open", "paragraph_open"):
                yield token.tag, tokens[n + 1].content
            elif token.type == "html_block":
                yield "answer", "<summary>Answer" in token.content
            else:
                kind = {"math_block": "formula", "math_block_label": "formula", "table_open": "table"}
                kind |= {"bullet_list_open": "list", "ordered_list_open": "list"}
                made = self._markdown.renderer.render(tokens[n : end + 1], self._markdown.options, {})
                yield kind.get(token.type, "other"), made
            n = end + 1

    def _inline(self, text: str) -> str:
        return self._markdown.renderInline(text)

    def _text(self, text: str, kind: str = "text") -> _Block:
        size = len(re.sub(r"\]\([^)]*\)|\\[a-zA-Z]+|[{}$*]", "", text))
        height = _LINE * -(-size // _COLUMNS) + 16
        shown = self._inline(text)
        shown = f'<p class="{kind}">{shown}</p>' if kind != "text" else f"<p>{shown}</p>"
        return _Block(shown, height, _count(text), kind)

    def _made(self, kind: str, made: str, role: str) -> _Block:
        text = re.sub(r"<[^>]+>|\\\(.*?\\\)", " ", made)
        if kind == "formula":
            return _Block(made, 70 + 50 * made.count(r"\\") + 30 * made.count("brace"), 0, role)
        if kind == "table":
            rows = re.findall(r"<tr>(.*?)</tr>", made, re.DOTALL)
            return _Block(f'<div class="table">{made}</div>', sum(map(_row_height, rows)), 0, role)
        items = re.findall(r"<li>(.*?)</li>", made, re.DOTALL)
        return _Block(made, sum(_LINE * (1 + len(item) // _COLUMNS) + 8 for item in items), _count(text), role)


def _row_height(row: str) -> float:
    longest = max(len(re.sub(r"<[^>]+>", "", cell)) for cell in row.split("</t"))
    return 42 + 28 * (longest // 60)


def _formula(content: str, options: dict) -> str:
    made = html.escape(content)
    return rf"\[{made}\]" if options["display_mode"] else rf"\({made}\)"


def _heading(text: str) -> str:
    """Without the number of the notebook, which stands at the foot of each slide."""
    return re.sub(r"^\d+ · ", "", text)


def _count(text: str) -> int:
    return len(re.findall(r"[A-Za-z][\w'’-]*", re.sub(r"\$[^$]*\$|\]\([^)]*\)", " ", text)))


def _sentences(text: str) -> list[str]:
    """A paragraph in its sentences."""
    kept = _WHOLE.findall(text)
    masked = _WHOLE.sub("\0", text)
    ends = [found.end() for found in _END.finditer(masked)]
    pieces = [masked[begin:end].strip() for begin, end in zip([0, *ends], [*ends, None], strict=True)]
    rest = iter(kept)
    return [re.sub("\0", lambda _: next(rest), piece) for piece in pieces if piece]


def _lead(sentences: list[str]) -> int:
    """How many sentences begin a paragraph on a slide: one at least, and not many words."""
    words = [sum(map(_count, sentences[: n + 1])) for n in range(len(sentences))]
    return max(1, sum(count <= _LEAD for count in words))


def _chosen(text: str, leads_on: bool, opens: bool) -> Iterable[str]:
    """The sentences of a paragraph that a slide shows, in their order; neighbours stay together."""
    sentences = _sentences(text)
    wanted = {n for n, sentence in enumerate(sentences) if "**" in sentence}
    if leads_on:
        wanted.add(len(sentences) - 1)
    if opens:
        wanted |= set(range(_lead(sentences)))
    runs: list[list[str]] = []
    for n in sorted(wanted):
        if runs and n - 1 in wanted:
            runs[-1].append(sentences[n])
        else:
            runs.append([sentences[n]])
    return [" ".join(run) for run in runs]
