"""The layers of the package: who may import whom, read from the source and tried in a fresh Python."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vae_helpers"
# Lowest first; a module may import from its own layer and from those above it in this table.
LAYERS = {
    "numerics": ["_folder", "_validate", "gaussian", "linear_gaussian", "monte_carlo"],
    "models": [
        "_bar",
        "_validate_torch",
        "data",
        "models",
        "objectives",
        "storage",
        "training",
        "evaluation",
        "pretrained",
        "likelihood",
    ],
    "pictures": ["derivation", "plotting"],
    "widgets": [
        "stage",
        "controls",
        "views",
        "widgets",
        "live_training",
        "latent_explorer",
        "doctor",
        "checks",
    ],
}
OUTSIDE = {
    "numerics": {"numpy", "scipy"},
    "models": {"numpy", "scipy", "torch", "safetensors", "tqdm"},
    "pictures": {"numpy", "scipy", "torch", "matplotlib", "cycler", "IPython", "PIL"},
    "widgets": {
        "numpy",
        "scipy",
        "torch",
        "matplotlib",
        "ipywidgets",
        "anywidget",
        "traitlets",
        "PIL",
        "psutil",
    },
}
SOURCES = sorted(PACKAGE.rglob("*.py"))
LAYER_OF = {module: layer for layer, modules in LAYERS.items() for module in modules}


def module(path):
    """The module of the table that a file is, or is a part of."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


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


def test_every_module_has_a_layer():
    assert {module(path) for path in SOURCES} - {"__init__"} == set(LAYER_OF)


def test_the_package_itself_imports_nothing():
    assert not imports(PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", [p for p in SOURCES if module(p) in LAYER_OF], ids=name)
def test_imports_stay_inside_the_layers(path):
    layer = LAYER_OF[module(path)]
    order = list(LAYERS)
    names = {tuple(name.split(".")) for name in imports(path)}
    inside = {name[1] for name in names if name[0] == "vae_helpers"}
    if module(path) == "checks":  # exercises are checked without widgets
        inside -= {"checks"}
        assert not inside & (set(LAYERS["widgets"]) | set(LAYERS["pictures"]))
    below = {module for lower in order[: order.index(layer) + 1] for module in LAYERS[lower]}
    assert inside <= below
    outside = {name[0] for name in names} - {"vae_helpers"} - sys.stdlib_module_names
    assert outside <= OUTSIDE[layer]


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_nothing_is_pickled(path):
    assert not {name.split(".")[0] for name in imports(path)} & {"pickle", "dill", "joblib", "shelve"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("torch", "save"), ("torch", "load")}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and node.value.value is False


@pytest.mark.parametrize(
    "layer, absent",
    [
        ("numerics", {"torch", "matplotlib", "ipywidgets", "anywidget", "PIL", "IPython", "tqdm"}),
        ("models", {"matplotlib", "ipywidgets", "anywidget", "PIL", "IPython"}),
        ("pictures", {"ipywidgets", "anywidget"}),  # matplotlib itself loads PIL
    ],
)
def test_a_layer_loads_nothing_of_the_others(layer, absent):
    # The source may be clean and a third package not: ask a fresh Python what it has loaded.
    modules = ", ".join(f"vae_helpers.{name}" for name in LAYERS[layer])
    code = f"import {modules}, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    loaded = set(run.stdout.split())
    assert f"vae_helpers.{LAYERS[layer][-1]}" in loaded and not loaded & absent


def test_checks_of_the_first_notebooks_start_without_torch():
    code = "import vae_helpers.checks, vae_helpers.checks.notebook_04, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert not set(run.stdout.split()) & {"torch", "matplotlib", "ipywidgets"}
