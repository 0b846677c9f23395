"""One script out of several modules, for pages that cannot import: those opened from a folder, and anywidget.

The modules stay small and are tested one by one; a page opened as `file://` may load no module, and
anywidget takes a single text. So the modules are written into one scope, each after those it imports.
For this to be safe they keep to a few forms, and whatever else is met is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_IMPORT = re.compile(r'import \{ *(\w+(?: *, *\w+)*),? *\} from "(\./[\w./-]+\.js)";')
_EXPORT = re.compile(r"export (?=(?:async )?function\b|const\b|class\b)")
_DEFAULT = re.compile(r"export default (?=[\w{])")
_DECLARATION = re.compile(r"^(?:export )?(?:(?:async )?function\b\s*\*?\s*|class\s+)([\w$]+)", re.MULTILINE)
_VARIABLES = re.compile(r"^(?:export )?(?:const|let|var)\b", re.MULTILINE)
# What a slash follows where it begins a regular expression and does not divide.
_BEFORE_REGEX = re.compile(r"(?:^|[(,=:\[!&|?{};+\-*%<>~^]|\breturn|\btypeof|=>)\s*$")


def join_modules(path: str | Path) -> str:
    r"""One module without imports: the modules that this one imports, and then itself.

    A module may hold, at the beginning of a line, `import { a, b } from "./x.js";` on one line and without
    another name, `export function`, `export const`, `export class` and, the module at `path` alone, one
    `export default`, which stays. Its other names at the top must differ from those of all that are joined.

    Args:
        path: the module from which to start.

    Returns:
        The text of an ES module; `export` stands only before `default`.

    Raises:
        ValueError: an import or export of another form, a file that is not there, a name that a module does
            not export or that two modules declare, modules that import each other in a circle.
    """
    path = Path(path).resolve()
    modules: dict[Path, _Module] = {}
    _collect(path, modules, ())
    owners: dict[str, Path] = {}
    for module in modules.values():
        for name in module.names:
            if owners.setdefault(name, module.path) != module.path:
                raise ValueError(
                    f"path: expected names that differ, got {name!r} in {owners[name].name} and in "
                    f"{module.path.name}"
                )
        if module.default and module.path != path:
            raise ValueError(f"path: expected no 'export default' in {module.path.name}, which is imported")
    return "\n".join(module.body for module in modules.values())


def as_classic_script(path: str | Path, name: str) -> str:
    """The joined modules as a script that a page opened from a folder may load.

    Args:
        path: the module from which to start, which has an `export default`.
        name: the one global name that the script makes; its value is what the module exports by default.

    Returns:
        The text of a classic script.

    Raises:
        ValueError: as `join_modules`, a name that is none, or no `export default`.
    """
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z_]\w*", name)):
        raise ValueError(f"name: expected a name of JavaScript, got {name!r}")
    text = join_modules(path)
    places = [match.start() for match in re.finditer(r"^export default ", _blank(text), re.MULTILINE)]
    if len(places) != 1:
        raise ValueError(f"path: expected one 'export default' in {Path(path).name}, got {len(places)}")
    before, after = text[: places[0]], text[places[0] + len("export default ") :]
    return (
        f'var {name} = (function () {{\n"use strict";\n{before}const {name}Default = {after}\n'
        f"return {name}Default;\n}})();\n"
    )


class _Module:
    """A module's text, what it imports, and the names that it declares at the top."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text(encoding="utf-8")
        blank = _blank(text)
        self.imports: list[tuple[list[str], Path]] = []
        cuts: list[tuple[int, int]] = []
        exported: set[int] = set()
        self.default = False
        for match in re.finditer(r"^(import|export)\b(?! *\()", blank, re.MULTILINE):
            at = match.start()
            line = text[at:].split("\n", 1)[0]
            if found := _IMPORT.fullmatch(line.rstrip()):
                names = [part.strip() for part in found[1].split(",")]
                self.imports.append((names, (path.parent / found[2]).resolve()))
                cuts.append((at, at + len(line) + 1))
            elif _EXPORT.match(text, at):
                cuts.append((at, at + len("export ")))
                exported.add(at)
            elif _DEFAULT.match(text, at) and not self.default:
                self.default = True
            else:
                raise ValueError(
                    f"path: expected an import or export of a known form, got {line!r} in {path.name}"
                )
        declared = list(_declared(blank))
        self.names = {name for _, name in declared}
        self.exports = {name for at, name in declared if at in exported}
        self.body = _without(text, cuts)


def _collect(path: Path, modules: dict[Path, _Module], above: tuple[Path, ...]) -> _Module:
    """Puts a module behind those that it imports, each once."""
    if path in above:
        circle = " → ".join(each.name for each in (*above[above.index(path) :], path))
        raise ValueError(f"path: expected modules that do not import each other, got {circle}")
    if path in modules:
        return modules[path]
    if not path.is_file():
        by = f", which {above[-1].name} imports" if above else ""
        raise ValueError(f"path: expected a file, got {path}{by}")
    module = _Module(path)
    for names, other in module.imports:
        missing = set(names) - _collect(other, modules, (*above, path)).exports
        if missing:
            raise ValueError(
                f"path: expected {other.name} to export what {path.name} imports, "
                f"got no {sorted(missing)[0]!r}"
            )
    modules[path] = module
    return module


def _without(text: str, cuts: list[tuple[int, int]]) -> str:
    for start, end in reversed(cuts):
        text = text[:start] + text[end:]
    return text


def _declared(blank: str) -> Iterator[tuple[int, str]]:
    """Where a declaration at the top begins, and the name: one for each that it declares."""
    for match in _DECLARATION.finditer(blank):
        yield match.start(), match[1]
    for match in _VARIABLES.finditer(blank):
        for name in _variables(blank, match.end()):
            yield match.start(), name


def _variables(blank: str, at: int) -> Iterator[str]:
    """The names of `a = …, { b, c: d } = …, e = …;` from the place `at` on."""
    depth, pattern, waiting = 0, False, True  # waiting: what comes next is a name or a pattern of names
    while at < len(blank):
        char = blank[at]
        if char in "([{":
            pattern, depth = pattern or (waiting and depth == 0), depth + 1
        elif char in ")]}":
            depth -= 1
            if not depth and pattern:
                pattern = waiting = False
        elif char == ";" and not depth:
            return
        elif char == "," and not depth:
            waiting = True
        elif waiting and (name := re.compile(r"[A-Za-z_$][\w$]*").match(blank, at)):
            renamed = re.compile(r"\s*:").match(blank, name.end())
            if not (pattern and renamed):
                yield name[0]
            waiting = pattern
            at = name.end()
            continue
        at += 1


def _blank(text: str) -> str:
    """The text with spaces, just as many, for what stands in comments, strings and regular expressions."""
    out, at = [], 0
    while at < len(text):
        end = _end_of_literal(text, at)
        out.append(text[at] if end == at else re.sub(r"[^\n]", " ", text[at:end]))
        at = max(end, at + 1)
    return "".join(out)


_STRING = re.compile(r"""(["'])(?:\\.|(?!\1)[^\\\n])*\1""")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/\w*")


def _end_of_literal(text: str, at: int) -> int:
    """Where the comment, string, template or regular expression ends that begins here; `at` if none does."""
    if text[at] == "`":
        return _end_of_template(text, at + 1)
    found = None
    if text[at] in "\"'":
        found = _STRING.match(text, at)
    elif text[at] == "/":
        found = _COMMENT.match(text, at)
        if not found and _BEFORE_REGEX.search(text, max(0, at - 40), at):
            found = _REGEX.match(text, at)
    return found.end() if found else at


def _end_of_template(text: str, at: int) -> int:
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text[at] == "`":
            return at + 1
        elif text.startswith("${", at):
            at = _end_of_braces(text, at + 2)
        else:
            at += 1
    return at


def _end_of_braces(text: str, at: int) -> int:
    depth = 1
    while at < len(text) and depth:
        end = _end_of_literal(text, at)
        if end == at:
            depth += (text[at] == "{") - (text[at] == "}")
            end = at + 1
        at = end
    return at
