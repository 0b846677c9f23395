"""Draw functions leave no trace; what they draw is what they were given."""

import base64
import html
import io
import os
import re
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
from IPython.utils.capture import capture_output
from PIL import Image
from support.contrast import ENOUGH, contrast

import vae_helpers
from vae_helpers.pictures import plotting

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
        (np.ones((0, 784)), {}, ValueError, r"images: expected .*, got an empty array of shape \(0, 784\)"),
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


@pytest.mark.parametrize("radius", [0.1, 0.3, 1.0])
def test_points_of_a_spacing_are_that_far_apart_and_none_is_left_out_without_need(radius):
    points = np.random.default_rng(0).normal(size=(200, 2))
    points[150:] = points[:50]  # copies
    shown = np.array(plotting.spacing(points)) >= radius
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    apart = distance[np.ix_(shown, shown)]
    assert apart[~np.eye(len(apart), dtype=bool)].min() >= radius - 0.001
    assert distance[:, shown].min(axis=1).max() < radius + 0.001  # every other one is near one shown


def test_labelled_points_are_labels_where_there_is_room_and_dots_elsewhere(ax):
    points, labels = [[0, 0], [1, 0], [0.1, 0], [0, 2]], torch.tensor([3, 0, 9, 7])
    plotting.draw_labelled_points(ax, torch.tensor(points), labels, apart=0.5)
    assert {text.get_position(): text.get_text() for text in ax.texts} == {
        (0, 0): "3",
        (1, 0): "0",
        (0, 2): "7",
    }
    assert [text.get_color() for text in ax.texts] == [plotting.CLASS_COLORS[i] for i in (3, 0, 7)]
    (dot,) = ax.lines
    np.testing.assert_allclose(dot.get_xydata(), [[0.1, 0]])
    assert dot.get_color() == plotting.CLASS_COLORS[9]


@pytest.mark.parametrize(
    ("points", "labels", "message"),
    [
        (np.ones((2, 3)), [0, 1], r"points: expected shape \(n, 2\), got \(2, 3\)"),
        (np.ones((2, 2)), [0], r"labels: expected a class of 0 to 9 for each of 2 points, got shape \(1,\)"),
        (np.ones((2, 2)), [0, 10], r"labels: expected a class of 0 to 9 for each of 2 points, got \[10\]"),
    ],
)
def test_points_that_do_not_fit_are_refused(ax, points, labels, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        plotting.draw_labelled_points(ax, points, labels)
    assert not ax.texts and not ax.lines


@pytest.mark.parametrize("color", plotting.CLASS_COLORS)
def test_colours_of_classes_are_dark_enough_for_text_on_white(color):
    assert contrast(mpl.colors.to_rgb(color)) >= ENOUGH


@pytest.mark.parametrize(
    ("ink", "paper", "ratio"), [("k", "w", 21), ("w", "k", 21), ("#777777", "w", 4.48), ("r", "b", 2.15)]
)
def test_contrast_is_that_of_published_examples(ink, paper, ratio):
    assert contrast(mpl.colors.to_rgb(ink), mpl.colors.to_rgb(paper)) == pytest.approx(ratio, abs=0.005)


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


def posterior_on_paper():
    """The pixels of a figure that names no colour but those of the roles."""
    fig, ax = plt.subplots()
    plotting.draw_density(ax, GRID, DENSITY, "posterior", label="posterior")
    ax.set(title="title", xlabel="x", ylabel="y")
    ax.grid(True)
    ax.legend()
    fig.canvas.draw()
    return np.asarray(fig.canvas.buffer_rgba()).copy()


@pytest.mark.parametrize("style", ["dark_background", "Solarize_Light2", "ggplot", "grayscale"])
def test_a_style_that_an_editor_has_set_changes_nothing(style):
    with mpl.rc_context(mpl.rcParamsDefault):
        plotting.use_style()
        expected, settings = posterior_on_paper(), dict(mpl.rcParams)
    with mpl.rc_context(mpl.rcParamsDefault):
        plt.style.use(style)
        plotting.use_style()
        assert {name for name, value in mpl.rcParams.items() if value != settings[name]} <= {"backend"}
        np.testing.assert_array_equal(posterior_on_paper(), expected)
    assert (expected[..., :3] == 255).all(axis=-1).mean() > 0.5  # white paper


# --- showing ----------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """IPython that knows no figures: its own formatter for them is there with some backends only."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    yield shell
    InteractiveShell.clear_instance()


def picture_of(output):
    """The pixels of an output's PNG, and the text that its HTML gives to the same PNG."""
    (alt,) = re.findall(r'^<img alt="([^"]*)".* src="data:image/png;base64,', output.data["text/html"])
    assert output.data["text/html"].endswith(f'base64,{output.data["image/png"]}">')
    png = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
    return np.asarray(png.convert("RGB")).astype(float), html.unescape(alt)


def test_show_displays_one_picture_with_its_text_and_closes_the_figure(shell):
    fig, ax = plt.subplots(facecolor="#ffeedd")
    other = plt.figure()
    draw_a_density(ax)
    with capture_output() as captured:
        assert plotting.show(fig, 'A "bell" curve <over> z.') is None
    (output,) = captured.outputs
    assert output.metadata["image/png"]["alt"] == 'A "bell" curve <over> z.'
    pixels, alt = picture_of(output)
    assert alt == 'A "bell" curve <over> z.'
    assert pixels.std() > 1 and pixels[2, 2].tolist() == [0xFF, 0xEE, 0xDD]
    assert plt.get_fignums() == [other.number]


@pytest.mark.parametrize("backend", ["agg", "svg", "pdf"])
def test_show_stores_the_picture_with_any_backend(backend):
    code = (
        "import matplotlib.pyplot as plt; from IPython.utils.capture import capture_output;"
        "from IPython.core.interactiveshell import InteractiveShell; InteractiveShell.instance();"
        "from vae_helpers.pictures.plotting import show; fig, ax = plt.subplots(); ax.plot([0, 1]);\n"
        "with capture_output() as captured: show(fig, 'A line.')\n"
        "print(captured.stdout, *sorted(captured.outputs[0].data), captured.outputs[0].data['image/png'][:8])"
    )
    env = os.environ | {"MPLBACKEND": backend}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert run.stdout.split() == ["image/png", "text/html", "text/plain", "iVBORw0K"], run.stderr


def test_few_colours_are_enough(shell):
    fig, ax = plt.subplots()
    for role in plotting.ROLES:
        plotting.draw_density(ax, GRID, DENSITY + len(ax.lines) / 9, role)
    file = io.BytesIO()
    fig.savefig(file, format="png", dpi=fig.dpi, bbox_inches="tight")
    with capture_output() as captured:
        plotting.show(fig, "Seven bell curves.")
    pixels, _ = picture_of(captured.outputs[0])
    full = np.asarray(Image.open(file).convert("RGB")).astype(float)
    assert np.abs(pixels - full).mean() < 1 and np.abs(pixels - full).max() < 32
    assert len(captured.outputs[0].data["image/png"]) < 0.7 * len(base64.b64encode(file.getvalue()))


def test_show_refuses_what_is_no_figure():
    with pytest.raises(TypeError, match="^fig: expected a matplotlib Figure, got ndarray$"):
        plotting.show(np.ones(3), "A picture.")


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


# --- what stays as it was, and where files lie ---------------------------------------------


def run_python(code):
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout


def test_importing_changes_no_style():
    before = "import matplotlib as mpl; before = dict(mpl.rcParams); "
    assert (
        run_python(before + "import vae_helpers.pictures.plotting; print(before == dict(mpl.rcParams))")
        == "True\n"
    )


@pytest.mark.parametrize("path", ["figures/graphical_model.png", ROOT / "figures" / "graphical_model.png"])
def test_show_picture_finds_the_picture_from_any_folder(shell, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with capture_output() as captured:
        plotting.show_picture(path, "A graphical model of z and x.")
    (output,) = captured.outputs
    assert output.metadata["image/png"] == {"alt": "A graphical model of z and x.", "width": 800}
    assert ' width="800" ' in output.data["text/html"]
    pixels, alt = picture_of(output)
    assert alt == "A graphical model of z and x."
    stored = Image.open(ROOT / "figures" / "graphical_model.png").convert("RGB")
    assert np.abs(pixels - np.asarray(stored)).mean() < 1


def test_show_picture_refuses_an_empty_text_and_a_missing_file():
    with pytest.raises(ValueError, match="^alt: expected a sentence"):
        plotting.show_picture("figures/graphical_model.png", " ")
    with pytest.raises(FileNotFoundError, match="^path: expected a file of the course in .*, got 'figures'$"):
        plotting.show_picture("figures", "A folder, and not a picture.")


@pytest.mark.parametrize("option, told", [("-O", True), ("-B", False)])
def test_asserts_that_are_off_are_told(option, told):
    code = "from vae_helpers.pictures import use_style; use_style()"
    done = subprocess.run([sys.executable, option, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and ("asserts of the notebooks check nothing" in done.stderr) == told
