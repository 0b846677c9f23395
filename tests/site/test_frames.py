"""Stored positions of explorers: which ones, what is seen there, how large, and what stops a build."""

import base64
import io
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from vae_helpers.site import description, frames
from vae_helpers.site.frames import Grid, make, make_all, positions_of
from vae_helpers.site.slices import Slicer

LINE = """
def draw(ax, slope):
    ax.plot([0, 1], [0, slope])
    ax.set(ylim=(-2, 2))
def report(slope, start): return {"end": start + slope, "kind": "rising" if slope > 0 else "falling"}
explore(
    plot(draw, alt="A line.", size=(3, 2)), numbers(report, digits=1), name="line",
    slope=slider("slope", 0.5, -1.0, 1.0, 0.5), start=stops("start", 2, [0, 2, 5]),
)
"""


def made(path):
    """The descriptions of a notebook's explorers, read from the scripts by their names."""
    return {name: read(text) for name, (text, _) in make(path).items()}


def read(script):
    return json.loads(re.fullmatch(r"vaeExplorer\((\{.*\})\);\n", script)[1])


def a_control(name, count, start=0, at_most="", first=0):
    return {"name": name, "values": list(range(first, first + count)), "start": start, "at_most": at_most}


# ---- positions --------------------------------------------------------------------------------


def test_each_control_moves_alone_from_the_first_position():
    positions = positions_of([a_control("a", 3, 1), a_control("b", 4, 2)])
    assert positions[0] == (1, 2)
    assert set(positions) == {(0, 2), (1, 2), (2, 2), (1, 0), (1, 1), (1, 3)}
    assert len(positions) == len(set(positions))


def test_a_grid_has_every_so_many_positions_from_the_first_one_and_both_ends():
    controls = [a_control("a", 8, 4), a_control("b", 2), a_control("c", 5, 4)]
    alone = set(positions_of(controls))
    positions = positions_of(controls, [Grid("a", "c", (3, 2))])
    grid = {(a, 0, c) for a in (0, 1, 4, 7) for c in (0, 2, 4)}
    assert set(positions) == alone | grid and positions[0] == (4, 0, 4)
    assert len(positions) == len(set(positions))


def test_a_full_grid_has_all_positions_of_two_controls():
    positions = positions_of([a_control("a", 4, 2), a_control("b", 3)], [Grid("b", "a")])
    assert sorted(positions) == [(a, b) for a in range(4) for b in range(3)]


def test_no_position_exceeds_its_limit():
    controls = [a_control("d", 3, 2, first=1), a_control("k", 4, 2, at_most="d", first=1)]
    positions = positions_of(controls, [Grid("d", "k")])
    assert sorted(positions) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    alone = positions_of(controls)  # k stands on 3, which only d = 3 allows: d takes it along
    assert sorted(alone) == [(0, 0), (1, 1), (2, 0), (2, 1), (2, 2)]


def test_whatever_a_control_can_reach_there_is_a_position_with_it():
    """What the page's rule needs: it shows the nearest position that has the moved control right there."""
    controls = [
        a_control("d", 5, 1, first=1),
        a_control("k", 6, 0, at_most="d", first=1),
        a_control("x", 3, 2),
    ]
    for grids in ((), (Grid("d", "k"),), (Grid("k", "x", (2, 2)), Grid("d", "x", (3, 1)))):
        positions = positions_of(controls, grids)
        assert {d for d, _, _ in positions} == set(range(5)) and {x for _, _, x in positions} == set(range(3))
        reached = {k for _, k, _ in positions}
        assert reached == (set(range(5)) if grids and grids[0].second == "k" else {0, 1})


@pytest.mark.parametrize(
    "grid, message",
    [
        (Grid("a", "c"), "grid: expected controls among a, b, got 'c'"),
        (Grid("a", "b", (1, 0)), "grid: expected every first, second, … position of b, got 0"),
    ],
)
def test_grids_that_cannot_be(grid, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        positions_of([a_control("a", 3), a_control("b", 3)], [grid])


def test_the_grids_are_of_explorers_that_there_are():
    from support.cells import PATHS

    from vae_helpers.site.slices import explorers

    keys = {f"{path.stem}.{name}" for path in PATHS for name in explorers(path).values()}
    assert set(frames.GRIDS) <= keys - set(description.COMPUTED) and set(description.COMPUTED) <= keys


# ---- what is seen there -----------------------------------------------------------------------


def test_each_position_has_its_numbers_and_its_picture(notebook):
    path = notebook(LINE)
    (told,) = made(path).values()
    slopes, starts = [c["values"] for c in told["controls"]]
    assert len(told["positions"]) == len(told["shown"]) == 5 + 3 - 1
    for (i, j), shown in zip(told["positions"], told["shown"], strict=True):
        end, kind = slopes[i] + starts[j], "rising" if slopes[i] > 0 else "falling"
        assert shown["numbers"] == [["end", f"{end:.1f} nats".replace("-", "−")], ["kind", kind]]
        (number,) = shown["pictures"]
        height = heights_at_the_end(told["frames"][number])
        assert abs(height - slopes[i]) < 0.06
    assert len(told["frames"]) == 5  # one for each slope, whatever the start is


def heights_at_the_end(frame):
    """Where the line of LINE ends, read from the picture: its colour in the rightmost column."""
    picture = np.asarray(
        Image.open(io.BytesIO(base64.b64decode(frame.partition(",")[2]))).convert("RGB"), float
    )
    ink = np.abs(picture - [0x1F, 0x77, 0xB4]).max(axis=2) < 60
    frame_of_axes = picture.max(axis=2) < 90
    bottom, top = np.flatnonzero(frame_of_axes[:, frame_of_axes.sum(axis=0).argmax()])[[-1, 0]]
    columns = np.flatnonzero(ink.any(axis=0))
    row = np.flatnonzero(ink[:, columns[-2]]).mean()
    return 2 - 4 * (row - top) / (bottom - top)


def test_frames_lose_nothing_that_is_seen(notebook):
    (found,) = Slicer(notebook(LINE)).run()
    view = found.shown.views[0]
    told = frames.as_frame(view)
    assert told.startswith("data:image/webp;base64,")
    data = base64.b64decode(told.partition(",")[2])
    assert data[12:16] == b"VP8L"  # lossless
    few = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)
    drawn = 255 * plt.imread(io.BytesIO(view.png))[..., :3]
    assert few.shape == drawn.shape and np.abs(few - drawn).max() < 30
    assert (few[0, 0] == 255).all()  # white paper stays white


def test_images_are_stored_without_their_scale(notebook):
    path = notebook(
        """
        import numpy as np
        def images(a): return np.linspace(0, a, 2 * 25).reshape(1, 2, 5, 5)
        explore(pictures(images, alt="Grey.", scale=4), name="grey", a=stops("a", 1.0, [0.5, 1.0]))
        """
    )
    (told,) = made(path).values()
    (view,) = told["views"]
    assert (view["pixels"], view["width"], view["height"]) == (True, 48, 24)
    dark, light = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(told["frames"][shown["pictures"][0]][23:]))))
        for shown in told["shown"]
    )
    assert dark.shape == (6, 12, 3)  # five pixels of an image and one of paper, both ways
    grey = np.concatenate([255 * (1 - np.linspace(0, 1, 50).reshape(2, 5, 5))[i] for i in (0, 1)], axis=1)
    shown = np.concatenate([dark[:5, :5, 0], dark[:5, 6:11, 0]], axis=1)
    assert np.abs(shown - grey).max() <= 5 and light.mean() > dark.mean()


def test_nothing_is_drawn_twice(notebook):
    path = notebook(
        """
        calls = []
        def draw(ax, slope):
            calls.append(slope)
            ax.plot([0, slope])
        def report(start): return {"start": start}
        """,
        LINE[LINE.index("explore") :].replace("numbers(report, digits=1)", "numbers(report)"),
    )
    (found,) = Slicer(path).run()
    before = len(found.namespace["calls"])
    frames.stored(found, description.describe(found))
    assert sorted(found.namespace["calls"][before:]) == [-1.0, -0.5, 0.0, 0.5, 1.0]


def test_pictures_that_are_the_same_are_stored_once(notebook):
    (told,) = made(notebook(LINE.replace("[0, slope]", "[0, abs(slope)]"))).values()
    pictures = {told["positions"][k][0]: shown["pictures"] for k, shown in enumerate(told["shown"])}
    assert pictures[0] == pictures[4] != pictures[1] == pictures[3] and len(told["frames"]) == 3


def test_several_numbers_views_stay_apart(notebook):
    path = notebook(
        """
        def one(a): return {"one": a}
        def two(a): return {"two": 2 * a}
        explore(numbers(one, unit=""), numbers(two, unit=""), a=stops("a", 1, [1, 2]))
        """
    )
    (told,) = made(path).values()
    assert told["shown"][1]["numbers"] == [[["one", "2.000"]], [["two", "4.000"]]]
    assert "pictures" not in told["shown"][0] and told["frames"] == []


def test_formulas_that_change_come_as_sets(notebook):
    path = notebook(
        """
        from vae_helpers.pictures import Derivation
        def derive(road, a):
            chain = Derivation(f"Road {road}").line("a", a)
            return chain.line(road, lambda: 1.0 * a, "=", "same") if road == "b" else chain.line("c", a + 1.0)
        explore(steps(derive), name="roads", road=choice("road", "b", "bc"), a=stops("a", 1, [1, 2]))
        """
    )
    (told,) = made(path).values()
    (view,) = told["views"]
    assert "rows" not in view and view["titles"] == ["Road b (nats)", "Road c (nats)"]
    assert [[row["latex"] for row in rows] for rows in view["rowsets"]] == [["a", "b"], ["a", "c"]]
    road = [told["controls"][0]["texts"][i] for i, _ in told["positions"]]
    assert [("bc"[shown["rows"]], shown["steps"][1][1]) for shown in told["shown"]] == [
        (letter, letter == "b") for letter in road
    ]


def test_combined_controls_are_told(notebook, monkeypatch):
    monkeypatch.setitem(frames.GRIDS, "90_made.line", (Grid("slope", "start"),))
    (told,) = made(notebook(LINE)).values()
    assert told["combine"] == [["slope", "start"]] and len(told["positions"]) == 15 == len(told["shown"])


def test_a_live_training_with_losses_of_one_setting(notebook):
    path = notebook(
        """
        from vae_helpers.widgets import train_live
        losses = [200.0, 150.0, 100.0]
        def train(d, on_step=None): return None
        train_live(train, losses=losses, alt="It falls.", d=stops("dimension d", 5, [2, 5]))
        """
    )
    ((name, told),) = made(path).items()
    assert name == "90_made.train_live.js" and told["controls"][0]["values"] == [5]
    assert told["shown"] == [
        {"pictures": [0], "numbers": [["steps", "3"], ["−ELBO of the last 20 steps", "150.0 nats"]]}
    ]
    assert "dimension d 5" in told["note"]


# ---- what stops a build -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "old, new, error",
    [
        ("ax.plot([0, 1]", "slope < 0 and 1 / 0; ax.plot([0, 1]", "ZeroDivisionError: division by zero"),
        (
            '{"end": start',
            '{"end": float("nan") if slope < 0 else start',
            "ValueError: end: expected a number",
        ),
        ('{"end": start', '{"end": [][int(slope < 0):][0] if slope < 0 else start', "IndexError: .*"),
    ],
)
def test_a_function_that_fails_somewhere_is_named_with_the_position(notebook, old, new, error):
    with pytest.raises(ValueError, match=rf"^90_made.line at slope = -1.0, start = 2: {error}"):
        make(notebook(LINE.replace(old, new)))


def test_a_formula_that_fails_is_found_in_a_computed_explorer_too(notebook, monkeypatch):
    monkeypatch.setitem(description.COMPUTED, "90_made.line", ())
    path = notebook(LINE.replace('{"end": start', '{"end": 1 / (slope - 1) if slope == 1 else start'))
    with pytest.raises(ValueError, match="^90_made.line at slope = 1.0, start = 2: ZeroDivisionError"):
        make(path)
    told = made(notebook(LINE))["90_made.line.js"]
    assert told["kind"] == "computed" and "frames" not in told


def test_a_computed_derivation_whose_lines_change_is_refused(notebook, monkeypatch):
    monkeypatch.setitem(description.COMPUTED, "90_made.road", ())
    path = notebook(
        """
        from vae_helpers.pictures import Derivation
        def draw(ax, a): ax.plot([0, a])
        def derive(a): return Derivation("Road").line(f"{a}", a).line("a", a)
        explore(plot(draw, alt="A line."), steps(derive), name="road", a=stops("a", 1, [1, 2]))
        """
    )
    with pytest.raises(ValueError, match="^90_made.road: expected a derivation with the same lines"):
        make(path)


def test_a_page_that_is_too_large_is_refused(notebook, monkeypatch):
    path = notebook(LINE, LINE.replace('"line"', '"other"'))
    sizes = {name: len(text) for name, (text, _) in make(path).items()}
    monkeypatch.setattr(frames, "MOST_BYTES", sum(sizes.values()))
    assert {name: len(text) for name, (text, _) in make(path).items()} == sizes
    monkeypatch.setattr(frames, "MOST_BYTES", sum(sizes.values()) - 1)
    with pytest.raises(
        ValueError, match=r"^90_made: expected at most .* bytes .* got .* \(line .*, other .*\)"
    ):
        make(path)


# ---- files ------------------------------------------------------------------------------------


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_scripts_are_the_same_to_the_byte_in_this_and_in_other_processes(notebook, tmp_path, out):
    notebook(LINE, name="90_made")
    notebook(LINE.replace('"line"', '"other"'), name="91_made")
    found = make_all(tmp_path, out, workers=1)
    first = contents(out)
    assert list(first) == ["90_made.line.js", "91_made.other.js"]
    assert make_all(tmp_path, out, workers=2) == found and contents(out) == first
    for name, each in zip(first, found, strict=True):
        told = read(first[name].decode("utf-8"))
        assert each == (name[:-3], "frames", len(told["positions"]), len(told["frames"]), len(first[name]))


def test_the_text_of_a_script_is_plain_ascii_on_one_line(notebook, tmp_path, out):
    notebook(LINE.replace("slope = ", "").replace('"slope"', '"slope µ </script>"'))
    make_all(tmp_path, out, workers=1)
    (text,) = contents(out).values()
    assert (
        text.decode("ascii").count("\n") == 1
        and "slope µ </script>" in read(text.decode())["controls"][0]["label"]
    )


def test_a_failure_leaves_no_half_of_a_build(notebook, tmp_path, out):
    notebook(LINE, name="90_made")
    notebook(LINE.replace("ax.plot(", "slope > 0.9 and 1 / 0; ax.plot("), name="91_made")
    for workers in (1, 2):
        with pytest.raises(ValueError, match="^91_made.line at slope = 1.0"):
            make_all(tmp_path, out, workers=workers)
        assert not contents(out)


def test_the_cache_is_used_until_something_changes(notebook, tmp_path, out, monkeypatch):
    path, kept = notebook(LINE), tmp_path / "kept"
    found = make_all(tmp_path, out, workers=1, cache=kept)
    first, again = contents(out), []
    monkeypatch.setattr(frames, "make", lambda path: again.append(path) or make(path))
    assert make_all(tmp_path, out, workers=1, cache=kept) == found and not again
    assert contents(out) == first and [each.name for each in kept.iterdir()] == ["90_made.json"]

    notebook("# a comment is code as well\n" + LINE)
    make_all(tmp_path, out, workers=1, cache=kept)
    assert again == [path] and contents(out) == first
    for damage in ("", "{", "[]", '{"key": 1}', '{"scripts": 1}'):
        (kept / "90_made.json").write_text(damage, encoding="utf-8")
        make_all(tmp_path, out, workers=1, cache=kept)
        assert contents(out) == first
    assert again == [path] * 6


def test_a_text_beside_the_code_does_not_change_the_fingerprint(notebook):
    path = notebook(LINE)
    before = frames.fingerprint(path)
    told = json.loads(path.read_text(encoding="utf-8"))
    told["cells"].append({"cell_type": "markdown", "source": "words"})
    path.write_text(json.dumps(told), encoding="utf-8")
    assert frames.fingerprint(path) == before
    told["cells"][1]["source"] += "\n1"
    path.write_text(json.dumps(told), encoding="utf-8")
    assert frames.fingerprint(path) != before


def test_what_make_all_refuses(notebook, tmp_path, out):
    with pytest.raises(FileNotFoundError, match="^notebooks: expected a folder with notebooks"):
        make_all(out, out)
    notebook(LINE)
    with pytest.raises(FileNotFoundError, match="^out: expected an existing folder"):
        make_all(tmp_path, tmp_path / "none")
    with pytest.raises(ValueError, match="^workers: expected at least 1, got 0"):
        make_all(tmp_path, out, workers=0)
