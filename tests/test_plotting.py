"""Draw functions leave no trace; what they draw is what they were given."""

import ast
import base64
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from IPython.utils.capture import capture_output

import vae_helpers
from vae_helpers import plotting

ROOT = Path(vae_helpers.__file__).parents[1]
GRID = np.linspace(-4, 4, 81)
DENSITY = np.exp(-(GRID**2) / 2) / np.sqrt(2 * np.pi)
IMAGES = np.arange(3 * 6).reshape(3, 6) / 18  # three images of 2 x 3 pixels


@pytest.fixture(autouse=True)
def tidy():
    with mpl.rc_context():
        yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.subplots()[1]


def draw_a_density(ax):
    plotting.draw_density(ax, GRID, DENSITY, "prior")


def draw_some_images(ax):
    plotting.draw_images(ax, IMAGES, num_cols=2, shape=(2, 3))


# --- pure drawing -----------------------------------------------------------------------


@pytest.mark.parametrize("draw", [draw_a_density, draw_some_images])
def test_drawing_leaves_no_trace(ax, draw):
    other = plt.figure()
    before = (plt.get_fignums(), plt.gcf(), dict(mpl.rcParams), GRID.copy(), DENSITY.copy(), IMAGES.copy())
    assert draw(ax) is None
    assert ax.has_data()
    assert (plt.get_fignums(), plt.gcf(), dict(mpl.rcParams)) == before[:3]
    assert not other.axes  # the current figure is not the one that was asked for
    for now, then in zip((GRID, DENSITY, IMAGES), before[3:], strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("role", plotting.ROLES)
def test_density_is_drawn_in_its_role(ax, role):
    plotting.draw_density(ax, GRID, DENSITY, role)
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([GRID, DENSITY]))
    assert line.get_label() == role
    assert line.get_color() == plotting.ROLES[role]["color"]
    (shade,) = ax.collections
    assert mpl.colors.same_color(shade.get_facecolor(), (line.get_color(), 0.08))
    (extent,) = (path.get_extents() for path in shade.get_paths())
    assert (extent.x0, extent.x1, extent.y0, extent.y1) == (-4, 4, 0, DENSITY.max())


def test_density_takes_its_own_label_and_lists_and_tensors(ax):
    plotting.draw_density(ax, GRID.tolist(), torch.tensor(DENSITY), "q", label="q(z given x)")
    assert [text.get_text() for text in ax.legend().get_texts()] == ["q(z given x)"]


def test_roles_differ_in_colour_and_in_line_style(ax):
    for role in plotting.ROLES:
        plotting.draw_density(ax, GRID, DENSITY, role)
    colors = {mpl.colors.to_hex(line.get_color()) for line in ax.lines}
    dashes = {str(line._dash_pattern) for line in ax.lines}  # as drawn: '--' and tuples alike
    assert len(colors) == len(dashes) == len(plotting.ROLES) == 7


def test_images_are_laid_out_row_after_row(ax):
    plotting.draw_images(ax, IMAGES, num_cols=2, shape=(2, 3))
    (picture,) = ax.images
    a, b, c = IMAGES.reshape(3, 2, 3)
    np.testing.assert_array_equal(picture.get_array(), np.block([[a, b], [c, np.zeros((2, 3))]]))
    assert picture.get_clim() == (0, 1)  # not stretched to the darkest pixel at hand
    assert picture.get_cmap().name == "gray_r"
    assert not ax.axison


@pytest.mark.parametrize(("num", "shape"), [(1, (28, 280)), (10, (28, 280)), (11, (56, 280))])
def test_images_are_digits_ten_in_a_row_unless_asked(ax, num, shape):
    plotting.draw_images(ax, torch.ones(num, 784))
    assert ax.images[0].get_array().shape == shape
    assert ax.images[0].get_array().sum() == num * 784


@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        (np.ones((3, 5)), {}, ValueError, r"images: expected shape \(n, 784\) for \(28, 28\), got \(3, 5\)"),
        (np.ones((3, 28, 28)), {}, ValueError, r"images: expected .*, got \(3, 28, 28\)"),
        (np.ones(784), {}, ValueError, r"images: expected .*, got \(784,\)"),
        (np.ones((0, 784)), {}, ValueError, r"images: expected .*, got \(0, 784\)"),
        (np.ones((3, 784)), {"shape": (2, 3)}, ValueError, r"images: expected shape \(n, 6\) for \(2, 3\)"),
        (np.ones((3, 784)), {"num_cols": 0}, ValueError, "num_cols: expected at least 1, got 0"),
        (np.ones((3, 784)), {"num_cols": 2.5}, TypeError, "num_cols: expected a whole number, got 2.5"),
    ],
)
def test_images_that_do_not_fit_are_refused(ax, images, options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        plotting.draw_images(ax, images, **options)
    assert not ax.images


def test_unknown_role_is_refused(ax):
    with pytest.raises(ValueError, match="^role: expected one of prior, .*, gap, got 'encoder'$"):
        plotting.draw_density(ax, GRID, DENSITY, "encoder")
    assert not ax.lines


# --- style ------------------------------------------------------------------------------


def test_use_style_sets_the_look_of_the_course():
    with mpl.rc_context(mpl.rcParamsDefault):
        plotting.use_style()
        fig, ax = plt.subplots()
        visible = {side for side, spine in ax.spines.items() if spine.get_visible()}
        assert visible == {"left", "bottom"}
        assert tuple(fig.get_size_inches()) == (7, 3.6)
        assert fig.get_constrained_layout()
        cycle = [entry["color"] for entry in mpl.rcParams["axes.prop_cycle"]]
        assert cycle == [role["color"] for role in plotting.ROLES.values()]


# --- showing ----------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """IPython as a notebook sets it up: figures are shown as PNG."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    select_figure_formats(shell, {"png"})
    yield shell
    InteractiveShell.clear_instance()


def test_show_displays_one_picture_with_its_text_and_closes_the_figure(shell):
    fig, ax = plt.subplots()
    other = plt.figure()
    draw_a_density(ax)
    with capture_output() as captured:
        assert plotting.show(fig, "A bell curve over z.") is None
    (output,) = captured.outputs
    assert output.metadata["image/png"]["alt"] == "A bell curve over z."
    assert "image/png" in output.data
    assert plt.get_fignums() == [other.number]


def test_a_text_is_given_back():
    assert plotting.check_alt("A bell curve over z.") == "A bell curve over z."


@pytest.mark.parametrize("alt", ["", " \n", None, 3, b"A bell curve."])
def test_what_says_nothing_is_no_text(alt):
    with pytest.raises(ValueError, match="^alt: expected a sentence that says what the picture shows, got "):
        plotting.check_alt(alt)


@pytest.mark.parametrize("alt", ["", " ", "\n\t"])
def test_show_refuses_an_empty_text(alt):
    fig = plt.figure()
    with pytest.raises(ValueError, match="^alt: expected a sentence"):
        plotting.show(fig, alt)


# --- layers -----------------------------------------------------------------------------


def imported(path):
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in names}


def test_only_the_widget_layer_names_ipywidgets():
    found = {path.stem: imported(path) for path in (ROOT / "vae_helpers").glob("*.py")}
    assert "matplotlib" in found["plotting"]
    top = {stem for stem, names in found.items() if "ipywidgets" in names}
    assert top == {"controls", "views", "widgets", "live_training"}


def run_python(code):
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [("derivation", {"torch", "ipywidgets", "matplotlib", "IPython"}), ("plotting", {"torch", "ipywidgets"})],
)
def test_pictures_load_neither_torch_nor_widgets(module, forbidden):
    loaded = set(run_python(f"import sys, vae_helpers.{module}; print(*sys.modules)").split())
    assert f"vae_helpers.{module}" in loaded
    assert not loaded & forbidden


def test_importing_changes_no_style():
    before = "import matplotlib as mpl; before = dict(mpl.rcParams); "
    assert run_python(before + "import vae_helpers.plotting; print(before == dict(mpl.rcParams))") == "True\n"


def test_show_picture_carries_the_picture_and_its_text(shell):
    path = ROOT / "figures" / "graphical_model.png"
    with capture_output() as captured:
        plotting.show_picture(path, "A graphical model of z and x.")
    (output,) = captured.outputs
    assert output.metadata["image/png"]["alt"] == "A graphical model of z and x."
    assert base64.b64decode(output.data["image/png"]) == path.read_bytes()


def test_show_picture_refuses_an_empty_text_and_a_missing_file():
    with pytest.raises(ValueError, match="^alt: expected a sentence"):
        plotting.show_picture(ROOT / "figures" / "graphical_model.png", " ")
    with pytest.raises(FileNotFoundError):
        plotting.show_picture(ROOT / "figures" / "no_such.png", "Nothing to be seen.")
