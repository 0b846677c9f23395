"""The commands of the course: `python -m vae_helpers` lists them, and with a name runs one."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent / "shipped"


def commands() -> dict[str, str]:
    """What each command does, in a line: the modules of `shipped` that may be run, read and not imported."""
    found = {}
    for path in sorted(FOLDER.glob("[a-z]*.py")):
        source = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in source.body):
            found[path.stem] = ast.get_docstring(source).splitlines()[0]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Lists the commands, or hands the rest of the line to the one that is named."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    known = commands()
    if name in ("-h", "--help"):
        print("usage: python -m vae_helpers COMMAND …\n\nCommands (each tells more by --help):")
        for command, line in known.items():
            print(f"  {command:<12}{line}")
        return 0
    if name not in known:
        print(f"command: expected one of {', '.join(known)}, got {name!r}", file=sys.stderr)
        return 2
    return import_module(f"vae_helpers.shipped.{name}").main(rest)


if __name__ == "__main__":
    sys.exit(main())
