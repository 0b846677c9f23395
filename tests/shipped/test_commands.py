"""The commands of the course, as a reader starts them: `python -m vae_helpers …`."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from vae_helpers.__main__ import commands, main

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "burda",
    "pretrained",
    "spread",
    "records",
    "sweep",
    "audit",
    "edition",
    "grade",
    "questions",
    "site",
]
EACH_COMMAND = pytest.mark.parametrize("name", COMMANDS)


def python(*line):
    """A process of its own, in the course's folder."""
    return subprocess.run([sys.executable, *line], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")


def test_the_commands_are_the_modules_that_make_something():
    assert list(commands()) == COMMANDS


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_without_a_name_each_command_is_listed_in_a_line(arguments, capsys):
    assert main(arguments) == 0
    _, heading, *lines = filter(None, capsys.readouterr().out.splitlines())
    assert heading.startswith("Commands")
    for name, line in zip(COMMANDS, lines, strict=True):
        about = import_module(commands()[name].module).__doc__.splitlines()[0]
        assert line.split(maxsplit=1) == [name, about] and len(line) <= 120


@EACH_COMMAND
def test_each_command_tells_its_options(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: python -m vae_helpers {name}" in capsys.readouterr().out


@EACH_COMMAND
def test_a_command_is_given_the_rest_of_the_line_and_gives_the_exit_code(name, monkeypatch):
    lines = []
    monkeypatch.setattr(f"{commands()[name].module}.main", lambda line: lines.append(line) or 130)
    assert main([name, "vae", "--evaluate"]) == 130
    assert lines == [["vae", "--evaluate"]]


@EACH_COMMAND
def test_a_command_refuses_a_name_that_it_does_not_know(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "nonesuch"])
    assert ended.value.code == 2
    assert "nonesuch" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["typo", "images", "recipes", "point", "__init__", ""])
def test_an_unknown_command_is_refused_with_the_known_ones(name, capsys):
    assert main([name]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"command: expected one of {', '.join(COMMANDS)}, got {name!r}\n"
    assert captured.out == ""


@pytest.mark.parametrize("arguments, code", [(["typo"], 2), ([], 0)])
def test_the_exit_code_reaches_the_shell(arguments, code):
    assert python("-m", "vae_helpers", *arguments).returncode == code


def test_listing_the_commands_needs_no_pytorch():
    code = (
        "import sys; sys.modules['torch'] = None; from vae_helpers.__main__ import main; sys.exit(main([]))"
    )
    ended = python("-c", code)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("option", ["-O", "-OO"])
@EACH_COMMAND
def test_help_without_docstrings(name, option):
    done = python(option, "-m", "vae_helpers", name, "--help")
    assert done.returncode == 0 and f"usage: python -m vae_helpers {name}" in done.stdout, done.stderr
