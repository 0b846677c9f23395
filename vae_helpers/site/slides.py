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
_ROOM, _MOST_WORDS = 590, 75  # pixels of a slide of 720 for what is below its heading, and words
_LINE, _COLUMNS = 42, 76  # of prose: pixels a line, letters in one
_PICTURE = 320  # pixels that a picture has at least; it takes what is left
_EXPLORER, _HEADING = 560, 30
_LEAD = 34  # words of the sentences that begin a paragraph or a caption
_CAPTION = re.compile(r"\*\*Figure \d+\.\d+\.\*\* ")
_END = re.compile(r"[.?!][)*\"”]*(?=\s+[A-Z(*\"“\0])")
_WHOLE = re.compile(r"\$[^$]+\$|`[^`]+`|\[[^\]]*\]\([^)]*\)")  # nothing in them ends a sentence
_LINK = re.compile(r'href="(\d\d_\w+)\.ipynb')  # of a notebook to another
_QUESTION = "**Question.**"
_PAGE = """<!DOCTYPE html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · slides</title>
<link rel="icon" href="data:,">
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
        kind: "text", "predict", "answer", "caption", "figure", "explorer", or "h1" to "h3".
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
    cells = nbformat.read(path, as_version=4).cells
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        lecture.add(
            cell, leads_on=after is not None and after.cell_type == "code" and slide_type(after) != "skip"
        )
    title = f"{int(path.stem[:2])} · {lecture.title}"
    return _PAGE.format(title=title, name=path.stem, slides="\n".join(lecture.sections()))


class _Lecture:
    """Lays cells out on slides, one after the other."""

    def __init__(self) -> None:
        self._slides: list[_Slide] = []
        self._words = _Words()
        self.title = ""

    def add(self, cell: nbformat.NotebookNode, *, leads_on: bool) -> None:
        """The cell on a slide of its own, on the last one, or nowhere; `leads_on`: code follows."""
        kind = slide_type(cell)
        if kind == "skip":
            return
        if kind == "notes":
            self._slides[-1].notes.append(self._words.whole(cell.source))
            return
        by_click = kind == "fragment"
        if not by_click:
            self._begin(begins_section=kind == "slide")
        if cell.cell_type == "markdown":
            blocks, first = self._words.blocks(cell.source, leads_on=leads_on), len(self._slides) - 1
        else:
            blocks, first = _code(cell), None
            if self._slides[-1].height + sum(block.height for block in blocks) > _ROOM:
                self._begin()
                by_click = False
        for block in blocks:
            self._place(block, by_click=by_click)
        if first is not None:
            self._slides[first].notes.append(self._words.whole(cell.source))

    def _begin(self, *, begins_section: bool = False) -> _Slide:
        """A new slide, with the name of the section for when it has no heading of its own."""
        heading = self._slides[-1].heading if self._slides else ""
        self._slides.append(_Slide(begins_section=begins_section, heading=heading))
        return self._slides[-1]

    def _place(self, block: _Block, *, by_click: bool) -> None:
        last = self._slides[-1]
        if block.kind == "caption" and last.kind == "explorer":
            return  # it tells of the first position, in the room that the explorer needs; the notes have it
        full = last.height + block.height > _ROOM or last.words + block.words > _MOST_WORDS
        apart = block.kind in ("predict", "answer") or block.kind != last.kind == "answer"
        done = last.kind in ("caption", "explorer") and block.kind != "caption"
        has_more = last.height > _HEADING  # than a heading, which is not left alone
        with_picture = block.kind == "caption" and last.kind == "figure"  # which leaves it the room
        if (has_more and not with_picture and (full or apart or done)) or (
            last.shown and block.kind in ("h1", "h2", "h3")
        ):
            last, by_click = self._begin(), False  # a new slide is a click already
        if block.kind in ("h1", "h2"):
            last.heading = re.sub(r"<[^>]+>", "", block.html)
            last.begins_section = True
        if block.kind == "h1":
            self.title = last.heading
        elif not last.shown:
            last.kind = block.kind
        if block.kind in ("caption", "figure", "explorer"):
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
    section = f'<section class="{slide.kind}">\n{where}' + "\n".join(slide.shown) + f"\n{notes}</section>"
    section = _LINK.sub(r'href="../\1.html', section)
    return section.replace('href="_static/', 'href="../_static/').replace('href="slides/', 'href="')


# ---- code and what it has shown -------------------------------------------------------------


def _code(cell: nbformat.NotebookNode) -> list[_Block]:
    """What a cell has shown, below its code if both fit on a slide."""
    outputs = [block for output in cell.outputs for block in _output(output)]
    lines = cell.source.count("\n") + 1
    height = 31 * lines + 40
    fits = height + sum(block.height for block in outputs) <= _ROOM
    if lines <= MOST_CODE and fits and all(block.kind == "text" for block in outputs):
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer

        shown = highlight(
            cell.source, PythonLexer(), HtmlFormatter(cssclass=f"highlight code{_long(cell.source)}")
        )
        outputs.insert(0, _Block(shown, height))
    return outputs


def _output(output: nbformat.NotebookNode) -> Iterator[_Block]:
    data = output.get("data", {})
    shown = "".join(data.get("text/html", ""))
    if 'class="vae-web"' in shown:
        yield _Block(_beside(shown), _EXPLORER, kind="explorer")
    elif "<img " in shown:
        yield _Block(f'<div class="figure">{_beside(shown)}</div>', _PICTURE, kind="figure")
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

    def blocks(self, source: str, *, leads_on: bool = False) -> list[_Block]:
        """What slides show of a cell; `leads_on`: its last words lead to code that is shown."""
        parts = list(self._parts(source))
        blocks: list[_Block] = []
        is_title, in_answer, opens = parts[:1] and parts[0][0] == "h1", False, True
        for n, (kind, content) in enumerate(parts):
            if kind == "answer":
                in_answer, opens = content, True
            elif kind in ("h1", "h2", "h3"):
                blocks.append(
                    _Block(f"<{kind}>{self._inline(_heading(content))}</{kind}>", _HEADING, kind=kind)
                )
                opens = True
            elif kind == "other":
                continue  # code in words
            elif kind != "p":
                blocks.append(self._made(kind, content, "answer" if in_answer else "text"))
                opens = opens and kind != "list"
            elif in_answer:
                label = "" if blocks and blocks[-1].kind == "answer" else "**Answer.** "
                blocks.append(self._text(label + content, "answer"))
            elif is_title:
                if content.startswith(_QUESTION):
                    blocks.append(self._text(content.removeprefix(_QUESTION)))
            elif _CAPTION.match(content):
                sentences = _sentences(content)
                blocks.append(self._text(" ".join(sentences[: _lead(sentences)]), "caption"))
                opens = False
            elif content.startswith("**Predict"):
                blocks.append(self._text(content, "predict"))
            else:
                after = parts[n + 1][0] if n + 1 < len(parts) else "code" if leads_on else ""
                chosen = _chosen(content, after in ("formula", "list", "table"), opens or after == "code")
                blocks += map(self._text, chosen)
                opens = False
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
        height = 36 * -(-size // 92) + 14 if kind == "caption" else _LINE * -(-size // _COLUMNS) + 16
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
        return _Block(
            made, sum(_LINE * (1 + len(item) // _COLUMNS) + 8 for item in items), _count(text), role
        )


def _row_height(row: str) -> float:
    cells = [re.sub(r"<[^>]+>", "", cell) for cell in row.split("</t")[:-1]]
    columns = 96 // max(1, len(cells))  # letters that a cell has room for
    return 46 + 33 * max((len(cell.strip()) // columns for cell in cells), default=0)


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
    whole = [re.sub("\0", lambda _: next(rest), piece) for piece in pieces if piece]
    joined: list[str] = []
    for piece in whole:
        if joined and re.fullmatch(r"\*\*[^*]+\*\*", joined[-1]):  # a name in bold is no sentence
            joined[-1] += f" {piece}"
        else:
            joined.append(piece)
    return joined


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
