"""Tests against broken code: one change in one place of a copy of the library, after which a test must fail.

The changes are those of mutmut: another operator, constant, word, default or argument, None for a value. It
leaves out functions with a decorator, so in the copy `@decorator` becomes an assignment below the function,
and `cache` is dropped, which would carry values from one broken program to the next. A change after which the
tests do not end counts as noticed. What no test notices stands in survivors.json, with the reason for each.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from difflib import ndiff
from pathlib import Path
from tempfile import TemporaryDirectory

import libcst

from trust.ledger import ROOT, Row

SURVIVORS = Path(__file__).parent / "survivors.json"
COPIED = ("vae_helpers", "tests", "notebooks", "figures", "docs", "README.md", "CONTRIBUTING.md")
CHECKS = "tests/checks/test_{}.py"
# They take seconds for each change that they do not notice, or another process, or fail on a busy machine.
LEFT_OUT = (
    "tests/checks/test_calling.py::test_an_answer_in_numpy_needs_no_torch",
    "tests/checks/test_calling.py::test_a_pause_hides_no_noise",
    "tests/checks/test_calling.py::test_the_same_check_says_the_same",
    "tests/checks/test_calling.py::test_exceptions_become_findings[error3]",
    "tests/models/test_evaluation.py::test_the_error_of_quadrature_on_digits",
    "tests/models/test_evaluation.py::test_gaps_find_the_better_of_two_maxima",
    "tests/models/test_evaluation.py::test_the_elbo_by_quadrature_of_digits_is_that_of_many_draws",
)
GROUPS = {  # files of the library that are changed together: the tests that are to notice it
    "vae_helpers/numerics/*.py": ["tests/numerics"],
    **{
        f"vae_helpers/models/{name}.py": [
            f"tests/models/test_{test}.py"
            for test in ("objectives", "evaluation", "likelihoods", "binarize", "defaults_and_edges")
        ]
        for name in ("objectives", "evaluation", "likelihoods")
    },
    **{
        f"vae_helpers/checks/engine/{name}.py": [CHECKS.format(test) for test in tests.split()]
        for name, tests in {
            "arguments": "orders calling",
            "calling": "orders calling",
            "codes": "report comparing exercise",
            "comparing": "report comparing exercise",
            "exercise": "report comparing exercise",
            "fitting": "fitting measuring",
            "formula": "term_by_term",
            "measuring": "fitting measuring",
            "report": "report comparing exercise",
            "same_noise": "noise_terms",
            "settings": "report comparing exercise",
        }.items()
    },
}
SETTINGS = """\
[tool.mutmut]
source_paths = ["vae_helpers"]
only_mutate = [{only!r}]
also_copy = {copied}
pytest_add_cli_args = {arguments}
pytest_add_cli_args_test_selection = {tests}
use_git_change_detection = false
track_dependencies = false

[tool.pytest.ini_options]
pythonpath = ["tests", "notebooks"]
markers = ["quick: of the quick loop", "only(number): of one notebook"]
"""
ARGUMENTS = [
    "-q",
    *(part for plugin in ("nbval", "xdist", "cacheprovider", "anyio") for part in ("-p", f"no:{plugin}")),
    *(f"--deselect={test}" for test in LEFT_OUT),
]
NOT_NOTICED = (0, 5, 33)  # mutmut's codes: all tests pass, or there are none
TOO_LONG = (36, 24, -24, 152, 255)


@dataclass(frozen=True)
class Mutant:
    """A change that was tried: in which function of which module, which line became which."""

    module: str
    function: str
    line: str
    becomes: str
    code: int | None  # as mutmut keeps it; None where it was not tried

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from others, wherever in the module it stands."""
        return self.module, self.line, self.becomes


def rows(share: float = 1.0) -> list[Row]:
    """How many changes of each module a test notices, all of them or a random share."""
    found = []
    with TemporaryDirectory() as folder:
        for only, tests in GROUPS.items():
            copy = Path(folder, re.sub(r"\W+", "_", only))
            prepare(copy, only, tests)
            run(copy, share)
            found += counted(tried(copy))
    return found


def prepare(copy: Path, only: str, tests: list[str]) -> None:
    """Makes a copy of the project in which functions have no decorators, with settings for mutmut."""
    copy.mkdir(parents=True)
    names = subprocess.run(["git", "ls-files", *COPIED], cwd=ROOT, capture_output=True, check=True, text=True)
    for name in filter(lambda name: (ROOT / name).is_file(), names.stdout.splitlines()):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    for path in copy.glob(only):
        path.write_text(undecorated(path.read_text(encoding="utf-8")), encoding="utf-8")
    also = [name for name in COPIED if name not in ("vae_helpers", "tests")]
    settings = SETTINGS.format(only=only, copied=also, arguments=ARGUMENTS, tests=tests)
    (copy / "pyproject.toml").write_text(settings, encoding="utf-8")


def run(copy: Path, share: float = 1.0) -> None:
    """Lets mutmut try the changes, or a random share of them.

    Raises:
        RuntimeError: it did not get to the end, for instance as the tests fail without any change.
    """
    names = [] if share == 1 else _sampled(copy, share)
    command = [str(Path(sys.executable).with_name("mutmut")), "run", *names]
    done = subprocess.run(
        command, cwd=copy, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:2])}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def tried(copy: Path) -> list[Mutant]:
    """The changes, and what came of each."""
    return [mutant for meta in sorted(copy.glob("mutants/**/*.py.meta")) for mutant in _of(meta, copy)]


def counted(mutants: list[Mutant]) -> list[Row]:
    """A row for each module."""
    known = {(entry["module"], entry["line"], entry["becomes"]) for entry in survivors()}
    found = []
    for module in dict.fromkeys(mutant.module for mutant in mutants):
        here = [m for m in mutants if m.module == module]
        ran = [m for m in here if m.code is not None]
        what = f"`{module}`, changed in one place: a test fails"
        if not ran:
            found.append(Row(what, 0, "changes", 0, f"{len(here):,} not tried yet"))
            continue
        left = [m for m in ran if m.code in NOT_NOTICED]
        words = [f"{100 * (1 - len(left) / len(ran)):.1f} % noticed"]
        if late := sum(m.code in TOO_LONG for m in ran):
            words.append(f"{late} by tests that did not end")
        if len(ran) < len(here):
            words.append(f"{len(here) - len(ran):,} more not tried")
        if unknown := sum(m.key not in known for m in left):
            words.append(f"{unknown} without a known reason")
        found.append(Row(what, len(ran), "changes", len(left), "; ".join(words)))
    return found


def survivors() -> list[dict[str, str]]:
    """The changes that no test notices: module, function, line, what it becomes, and why."""
    return json.loads(SURVIVORS.read_text(encoding="utf-8"))


def undecorated(source: str) -> str:
    """The source with `f = decorator(f)` below each function in place of `@decorator` above it."""
    return libcst.parse_module(source).visit(_Undecorated()).code


class _Undecorated(libcst.CSTTransformer):
    LEFT_ALONE = ("staticmethod", "classmethod", "abstractmethod")  # mutmut knows the first two
    DROPPED = ("cache", "lru_cache")

    def leave_FunctionDef(self, original_node, updated_node):
        if len(updated_node.decorators) != 1:
            return updated_node
        decorator = libcst.Module([]).code_for_node(updated_node.decorators[0].decorator)
        if decorator in self.LEFT_ALONE:
            return updated_node
        plain = updated_node.with_changes(decorators=[], lines_after_decorators=[])
        if decorator.partition("(")[0] in self.DROPPED:
            return plain
        name = updated_node.name.value
        return libcst.FlattenSentinel([plain, libcst.parse_statement(f"{name} = ({decorator})({name})")])


def _sampled(copy: Path, share: float) -> list[str]:
    """Names of some of mutmut's changes, at least one of each file that it can change."""
    from mutmut import configuration
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.utils.format_utils import get_mutant_name

    rng, names = random.Random(0), []
    with chdir(copy):
        configuration.reset_config()
        for path in (path for path in Path().glob("vae_helpers/**/*.py") if _is_changed(path)):
            mutants = mutate_file_contents(str(path), path.read_text(encoding="utf-8")).mutant_names
            some = rng.sample(mutants, min(len(mutants), max(1, round(share * len(mutants)))))
            names += [get_mutant_name(path, name) for name in some]
        configuration.reset_config()
    return names


def _is_changed(path: Path) -> bool:
    from mutmut.configuration import config

    return config().should_mutate(path)


def _of(meta: Path, copy: Path) -> Iterator[Mutant]:
    """The changes of a file."""
    path = meta.with_suffix("")
    codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
    texts: dict[str, list[str]] = {}

    class Functions(libcst.CSTVisitor):
        def visit_FunctionDef(self, node):
            if "__mutmut_" in node.name.value:
                text = libcst.Module([]).code_for_node(node).strip()
                texts[node.name.value] = text.replace(node.name.value, "", 1).splitlines()
            return False

    libcst.parse_module(path.read_text(encoding="utf-8")).visit(Functions())
    for key, code in codes.items():
        name = key.rpartition(".")[2]
        function = name.rpartition("__mutmut_")[0]
        before, after = _differing(texts[f"{function}__mutmut_orig"], texts[name])
        plain = function.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
        yield Mutant(str(path.relative_to(copy / "mutants")), plain, before, after, code)


def _differing(before: list[str], after: list[str]) -> tuple[str, str]:
    """The lines that differ, without the spaces before them."""
    lines = [line for line in ndiff(before, after) if line[0] in "+-"]
    texts = (" ".join(line[1:].strip() for line in lines if line[0] == sign).strip() for sign in "-+")
    return next(texts), next(texts)
