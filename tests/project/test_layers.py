"""The layers of the package are its folders: who imports whom, read from the source and in a fresh Python."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.cells import PATHS, code_cells

import vae_helpers

PACKAGE = Path(vae_helpers.__file__).parent
# The one list of layers, lowest first, is the package's docstring; a layer imports from those before it.
LAYERS = re.search(r"^(\w+(?:, \w+)+)\. ", vae_helpers.__doc__, re.MULTILINE)[1].split(", ")
# What a layer may add to the libraries of those below it.
LIBRARIES = {
    "numerics": {"numpy", "scipy"},
    "models": {"torch", "safetensors", "tqdm"},
    "shipped": set(),
    "pictures": {"matplotlib", "cycler", "IPython", "PIL"},
    "experiments": {"distributed"},
    "widgets": {"ipywidgets", "anywidget", "traitlets", "psutil"},
    "checks": set(),
    "audit": {"pyro"},  # by the adapter to its models, where it is called
    "classroom": {"nbformat", "IPython", "psutil"},
    "site": {"nbformat", "PIL", "markdown_it", "mdit_py_plugins", "pygments"},
}
# Layers that are read without some of those below them.
WITHOUT = {
    "pictures": {"models", "shipped"},
    "widgets": {"experiments"},
    "checks": {"pictures", "experiments", "widgets"},
    "audit": {"pictures", "experiments", "widgets"},
    "classroom": {"experiments", "widgets"},
    "site": {"experiments", "audit"},
}
SOURCES = sorted(PACKAGE.rglob("*.py"))
IN_LAYERS = [path for path in SOURCES if path.parent != PACKAGE]


def layer(path):
    return path.relative_to(PACKAGE).parts[0]


def name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path):
    """The dotted names that a file imports, also inside functions; `from a import b` gives a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def inside(path):
    """The files of the package that a file imports; a name of a folder stands for its `__init__`."""
    found = set()
    for dotted in imports(path):
        parts = dotted.split(".")
        while parts[0] == "vae_helpers" and len(parts) > 1:
            place = PACKAGE.joinpath(*parts[1:])
            if place.with_suffix(".py").is_file() or (place / "__init__.py").is_file():
                is_file = place.with_suffix(".py").is_file()
                found.add(place.with_suffix(".py") if is_file else place / "__init__.py")
                break
            parts.pop()
    return found


def loaded(code):
    """The modules that a fresh Python has loaded after some code."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    run = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_every_folder_is_a_layer():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(LAYERS) == folders == set(LIBRARIES)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_the_package_itself_imports_nothing():
    assert not imports(PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", IN_LAYERS, ids=name)
def test_no_arrow_points_upwards(path):
    below = LAYERS[: LAYERS.index(layer(path)) + 1]
    assert {layer(other) for other in inside(path)} <= set(below) - WITHOUT.get(layer(path), set())


@pytest.mark.parametrize("path", IN_LAYERS, ids=name)
def test_a_layer_uses_its_libraries_and_those_below(path):
    below = LAYERS[: LAYERS.index(layer(path)) + 1]
    allowed = set().union(*(LIBRARIES[each] for each in below))
    outside = {dotted.split(".")[0] for dotted in imports(path)} - {"vae_helpers"}
    assert outside - sys.stdlib_module_names <= allowed


def test_no_file_imports_itself_by_a_detour():
    graph = {path: inside(path) - {path} for path in SOURCES}
    while leaves := [path for path, others in graph.items() if not others & graph.keys()]:
        for path in leaves:
            del graph[path]
    assert not graph, f"in a circle: {sorted(map(name, graph))}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_nothing_is_pickled(path):
    assert not {name.split(".")[0] for name in imports(path)} & {"pickle", "dill", "joblib", "shelve"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("torch", "save"), ("torch", "load")}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and node.value.value is False


# The source may be clean and a third package not: ask a fresh Python what it has loaded.
@pytest.mark.parametrize(
    "layer, absent",
    [
        ("numerics", {"torch", "matplotlib", "ipywidgets", "PIL", "IPython", "tqdm", "scipy.special"}),
        ("models", {"matplotlib", "ipywidgets", "anywidget", "PIL", "IPython"}),
        ("shipped", {"matplotlib", "ipywidgets", "anywidget", "PIL", "IPython"}),
        ("pictures", {"torch", "ipywidgets", "anywidget"}),  # matplotlib itself loads PIL
        ("experiments", {"matplotlib", "ipywidgets", "anywidget", "IPython", "distributed"}),
        ("experiments.point", {"matplotlib", "ipywidgets", "anywidget", "IPython", "distributed"}),
        ("experiments.sweep", {"ipywidgets", "anywidget", "distributed"}),
        ("widgets", {"torch", "scipy.special"}),
        ("checks", {"torch", "matplotlib", "ipywidgets", "scipy.stats"}),
        ("audit", {"matplotlib", "ipywidgets", "anywidget", "IPython", "pyro"}),
    ],
)
def test_a_layer_loads_nothing_of_the_others(layer, absent):
    found = loaded(f"import vae_helpers.{layer}")
    assert f"vae_helpers.{layer}" in found and not found & absent


@pytest.mark.parametrize("number", range(5))
def test_exercises_of_the_numpy_world_start_without_torch(number):
    found = loaded(f"import vae_helpers.checks.exercises.notebook_{number:02d}")
    assert not found & {"torch", "matplotlib", "ipywidgets"}


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_a_notebook_imports_from_the_layers_and_not_from_their_files(path):
    lines = re.findall(
        r"^from vae_helpers\.([\w.]+) import", "\n".join(c.source for c in code_cells(path)), re.M
    )
    assert lines and set(lines) <= {*LAYERS, f"checks.exercises.notebook_{path.stem[:2]}"}
