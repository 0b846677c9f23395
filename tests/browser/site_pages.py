"""The web edition as files: what a page links to, shows, and calls its equations."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Read(HTMLParser):
    """The links, pictures, anchors, explorers and numbers of equations of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links, self.loads, self.anchors, self.explorers = [], [], set(), []
        self.pictures: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if known.get("id"):
            self.anchors.add(known["id"])
        if tag == "a" and known.get("href"):
            self.links.append(known["href"])
        if tag == "link" and "stylesheet" in (known.get("rel") or ""):
            self.loads.append(known["href"])
        if tag in ("script", "img") and known.get("src"):
            self.loads.append(known["src"])
        if tag == "img":
            self.pictures.append((known.get("src") or "", known.get("alt") or ""))
        if known.get("data-explorer"):
            self.explorers.append(known["data-explorer"])


def read_page(path: Path) -> _Read:
    """What stands in a page."""
    read = _Read()
    read.feed(path.read_text(encoding="utf-8"))
    return read


def broken_links(folder: Path) -> list[str]:
    """Each link to a file or a place of the edition that is not there, and each file that a page lacks."""
    pages = {path.name: read_page(path) for path in sorted(folder.glob("*.html"))}
    wrong = []
    for name, page in pages.items():
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loads:
                    wrong.append(f"{name} loads {link}")
                continue
            target = unquote(parts.path) or name
            if not (folder / target).is_file():
                wrong.append(f"{name}: no file {target}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                wrong.append(f"{name}: no place {link}")
    return wrong
