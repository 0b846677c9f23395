"""The still pictures: each has a script beside it that draws it again, legibly and in full."""

import importlib.util
import itertools
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
from matplotlib.patches import FancyBboxPatch

FOLDER = Path(__file__).parents[2] / "figures"
SCRIPTS = sorted(p for p in FOLDER.glob("[a-z]*.py") if p.stem != "make_all")
MAX_BYTES = 300_000
# Pictures are compared by the means of blocks of 8 × 8 pixels, of 255. The whole picture shifted by
# one pixel gives 32, one letter changed 41 or more; over all pixels a changed sign is only 0.006.
BLOCK, MAX_DIFFERENCE = 8, 35

each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
NO_DIAGRAMS = {"manifold", "cost_growth"}
each_diagram = pytest.mark.parametrize(
    "script", [p for p in SCRIPTS if p.stem not in NO_DIAGRAMS], ids=lambda p: p.stem
)


@pytest.fixture
def load(monkeypatch):
    """Imports a script of the folder, which finds `_draw` beside itself as when it is run."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "_draw", raising=False)

    def load_script(path):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load_script
    sys.modules.pop("_draw", None)


def read(path):
    return matplotlib.image.imread(path).astype(float) * 255


def block_means(image):
    height, width = (side // BLOCK for side in image.shape[:2])
    image = image[: height * BLOCK, : width * BLOCK]
    return image.reshape(height, BLOCK, width, BLOCK, -1).mean(axis=(1, 3))


def assert_same(path, other):
    old, new = read(path), read(other)
    assert old.shape == new.shape
    assert np.abs(block_means(old) - block_means(new)).max() < MAX_DIFFERENCE


def page(load, script):
    """The script's picture as a matplotlib figure, drawn but not written."""
    module = load(script)
    return sys.modules["_draw"].render(module.draw, module.SIZE)


def test_pictures_and_scripts_come_in_pairs():
    pictures = {p.stem for p in FOLDER.iterdir() if p.suffix in {".png", ".jpg", ".svg", ".gif"}}
    assert pictures == {p.stem for p in SCRIPTS} and pictures


@each_script
def test_script_draws_the_stored_picture(script, load, tmp_path):
    stored = script.with_suffix(".png")
    before = stored.read_bytes()
    load(script).main(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [stored.name], "one picture, and no temporary file"
    assert stored.read_bytes() == before, "the stored picture must not be touched"
    assert_same(stored, tmp_path / stored.name)


@each_script
def test_picture_is_not_blank(script):
    assert (read(script.with_suffix(".png"))[..., :3].mean(axis=-1) < 128).mean() > 0.01


@each_script
def test_picture_is_small_and_tells_nothing_of_its_maker(script):
    content = script.with_suffix(".png").read_bytes()
    assert len(content) < MAX_BYTES
    assert b"tEXt" not in content and b"Software" not in content


@each_diagram
def test_words_are_legible_whole_and_apart(script, load):
    fig = page(load, script)
    texts = fig.axes[0].texts
    places = [(text.get_text(), text.get_window_extent()) for text in texts]
    assert len(places) >= 5
    assert min(text.get_fontsize() for text in texts) >= 12
    margin = 0.1 * fig.dpi
    width, height = fig.get_size_inches() * fig.dpi
    for words, place in places:
        assert margin <= place.x0 and place.x1 <= width - margin, f"cut off: {words!r}"
        assert margin <= place.y0 and place.y1 <= height - margin, f"cut off: {words!r}"
    for (one, here), (other, there) in itertools.combinations(places, 2):
        assert not here.overlaps(there), f"{one!r} overlaps {other!r}"


@each_diagram
def test_words_do_not_cross_the_edge_of_a_box(script, load):
    ax = page(load, script).axes[0]
    boxes = [p.get_window_extent() for p in ax.patches if isinstance(p, FancyBboxPatch)]
    assert boxes
    for text in ax.texts:
        place = text.get_window_extent()
        for box in boxes:
            inside = box.x0 < place.x0 and place.x1 < box.x1 and box.y0 < place.y0 and place.y1 < box.y1
            assert inside or not box.overlaps(place), f"{text.get_text()!r} crosses the edge of its box"


@each_script
def test_readers_settings_change_nothing(script, load, tmp_path):
    theirs = {"font.size": 20, "font.family": "serif", "savefig.facecolor": "red", "savefig.bbox": "tight"}
    with mpl.rc_context(theirs):
        load(script).main(tmp_path)
        assert mpl.rcParams["font.size"] == 20, "the reader's settings must come back"
    assert_same(script.with_suffix(".png"), tmp_path / f"{script.stem}.png")


@each_script
def test_failure_leaves_the_picture_and_no_temporary_file(script, load, tmp_path, monkeypatch):
    module, picture = load(script), tmp_path / f"{script.stem}.png"
    picture.write_bytes(b"as it was")

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        module.main(tmp_path)
    assert list(tmp_path.iterdir()) == [picture] and picture.read_bytes() == b"as it was"
