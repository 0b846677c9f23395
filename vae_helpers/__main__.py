"""The commands of the course: `python -m vae_helpers` lists them, and with a name runs one."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

LAYERS = ("shipped", "experiments", "audit", "classroom", "site")  # those that hold commands


class Command(NamedTuple):
    """A module that may be run.

    Attributes:
        module: its dotted name.
        about: what it does, in a line.
    """

    module: str
    about: str


def commands() -> dict[str, Command]:
    """Each command by its name: the modules with a `main`, read and not imported.

    Its name is that of the module, or of the layer where the module is the layer's `__main__`.
    """
    found = {}
    for layer in LAYERS:
        folder = Path(__file__).parent / layer
        for path in [*sorted(folder.glob("[a-z]*.py")), *folder.glob("__main__.py")]:
            source = ast.parse(path.read_text(encoding="utf-8"))
            if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in source.body):
                about = ast.get_docstring(source).splitlines()[0]
                name = layer if path.stem == "__main__" else path.stem
                found[name] = Command(f"vae_helpers.{layer}.{path.stem}", about)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Lists the commands, or hands the rest of the line to the one that is named."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    known = commands()
    if name in ("-h", "--help"):
        print("usage: python -m vae_helpers COMMAND …\n\nCommands (each tells more by --help):")
        for command, (_, about) in known.items():
            print(f"  {command:<12}{about}")
        return 0
    if name not in known:
        print(f"command: expected one of {', '.join(known)}, got {name!r}", file=sys.stderr)
        return 2
    return import_module(known[name].module).main(rest)


if __name__ == "__main__":
    sys.exit(main())
