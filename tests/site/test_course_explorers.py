"""The explorers of the course as the web edition describes them; each notebook runs once for all tests."""

import base64
import io
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from support.cells import PATHS, read

from vae_helpers.pictures.plotting import ROLES
from vae_helpers.site import frames
from vae_helpers.site.description import COMPUTED, constants, describe
from vae_helpers.site.slices import Slicer, explorers
from vae_helpers.widgets.explorer import Explorer

TRIED = 4  # positions of each explorer whose frames are drawn here
NOTEBOOKS = [path.stem for path in PATHS]


class Seen:
    """An explorer of the course: what it showed at first, its description, and some stored positions."""

    def __init__(self, found):
        self.cell, self.words = found.place.cell, found.shown.still()[2]
        self.description = describe(found)
        self.pngs = [view.png for view in getattr(found.shown, "views", ()) if view.png]
        if self.description["kind"] != "frames":
            return
        if not isinstance(found.shown, Explorer):
            self.description |= frames.stored(found, self.description)
            return
        self.positions = frames.positions_of(
            self.description["controls"], frames.GRIDS.get(frames.key_of(found), ())
        )
        chosen = [
            *self.positions[:1],
            *self.positions[1 :: len(self.positions) // TRIED + 1],
            self.positions[-1],
        ]
        drawer = frames.Drawer()
        self.shown = {p: drawer.shown(found.shown.views, frames.values_at(found.shown, p)) for p in chosen}
        self.frames = drawer.frames


@pytest.fixture(scope="module")
def seen():
    """Gives the explorers of a notebook by their names; each notebook is run at its first use."""
    kept = {}

    def of(stem):
        if stem not in kept:
            (path,) = (path for path in PATHS if path.stem == stem)
            kept[stem] = {found.name: Seen(found) for found in Slicer(path).run(also=constants(stem))}
        return kept[stem]

    return of


def stored_words(stem):
    """The words in the stored outputs of the cells that make explorers, by cell."""
    cells = next(read(path) for path in PATHS if path.stem == stem).cells
    stills = [n for n, cell in enumerate(cells) if "vae-still" in str(cell.get("outputs"))]
    made = [
        n for n in stills if not cells[n].source.endswith(("doctor()", "Lab()"))
    ]  # which are no explorers
    return {
        n: next(o.data["text/plain"] for o in cells[n].outputs if "text/plain" in o.get("data", {}))
        for n in made
    }


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_the_slices_show_what_the_notebook_stores(seen, stem):
    assert {each.cell: each.words for each in seen(stem).values()} == stored_words(stem)


def test_the_slices_leave_no_figure_open(seen):
    for stem in NOTEBOOKS:
        seen(stem)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_the_names_that_are_read_are_those_of_the_explorers(seen, stem):
    (path,) = (path for path in PATHS if path.stem == stem)
    assert explorers(path) == {each.cell: name for name, each in seen(stem).items()}


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_a_description_is_json_of_the_contract(seen, stem):
    for name, each in seen(stem).items():
        told = json.loads(json.dumps(each.description, allow_nan=False))
        assert (told["notebook"], told["name"]) == (stem, name)
        if told["kind"] == "latent":
            assert set(told) == {"notebook", "name", "kind", "alt", "traits"}
            continue
        for control in told["controls"]:
            assert len(control["values"]) == len(control["texts"]) == len(set(control["texts"])) > 1
            assert 0 <= control["start"] < len(control["values"]) and control["kind"] in ("slider", "choice")
            assert not re.search(r"\d\.\d{7}", " ".join(control["texts"])) and control["label"]
        for view in told["views"]:
            assert view["kind"] != "picture" or view["alt"].strip() and view["width"] > view["height"] > 50


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_where_the_controls_begin_is_where_the_notebook_says(seen, stem):
    for each in seen(stem).values():
        if not each.words.startswith("sliders at"):
            continue
        places = [f"{c['label']} {c['texts'][c['start']]}" for c in each.description["controls"]]
        said = each.words.removeprefix("sliders at ").replace(" -", " −").split("; ")[: len(places)]
        assert [re.sub(r"\.?0+$", "", place) if "." in place else place for place in places] == [
            re.sub(r"\.?0+$", "", place) if "." in place else place for place in said
        ]


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_the_numbers_of_the_first_position_are_those_that_the_notebook_stores(seen, stem):
    for each in seen(stem).values():
        if each.description["kind"] != "frames" or not hasattr(each, "shown"):
            continue
        numbers = each.shown[each.positions[0]]["numbers"]
        groups = numbers if isinstance(numbers[0][0], list) else [numbers]
        texts = [", ".join(" ".join(pair) for pair in group) for group in groups]
        assert each.words.endswith("; ".join(texts))


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_the_first_frame_is_the_picture_of_the_explorer(seen, stem):
    for each in seen(stem).values():
        if not hasattr(each, "shown"):
            continue
        numbers = each.shown[each.positions[0]]["pictures"]
        views = [view for view in each.description["views"] if view["kind"] == "picture"]
        assert len(numbers) == len(each.pngs) == len(views) > 0
        for number, png, view in zip(numbers, each.pngs, views, strict=True):
            frame, drawn = pixels_of(each.frames[number]), plt.imread(io.BytesIO(png))
            drawn = np.round(255 * (drawn if drawn.ndim == 3 else np.stack([drawn] * 3, axis=-1)))
            assert drawn.shape == (view["height"], view["width"], 3)
            scale = view["height"] // len(frame) if view["pixels"] else 1
            frame = frame.repeat(scale, axis=0).repeat(scale, axis=1)
            assert np.abs(frame - drawn).max() <= 40 and np.sqrt(np.square(frame - drawn).mean()) < 3


def pixels_of(frame):
    head, _, coded = frame.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(coded))).convert("RGB"), dtype=float)


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_frames_at_other_positions_are_other_pictures(seen, stem):
    for each in seen(stem).values():
        if hasattr(each, "shown"):
            assert len(each.frames) == len(set(each.frames)) >= TRIED
            assert len({json.dumps(shown) for shown in each.shown.values()}) == len(each.shown)


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_each_value_of_each_control_is_stored_somewhere(seen, stem):
    for each in seen(stem).values():
        if not hasattr(each, "positions"):
            continue
        for number, control in enumerate(each.description["controls"]):
            reached = {position[number] for position in each.positions}
            assert reached == set(range(len(control["values"])))


# ---- explorers that a page computes -----------------------------------------------------------


def test_the_closed_forms_are_those_of_five_notebooks(seen):
    kinds = {
        f"{stem}.{name}": each.description["kind"] for stem in NOTEBOOKS for name, each in seen(stem).items()
    }
    assert {key for key, kind in kinds.items() if kind == "computed"} == set(COMPUTED)
    assert [key for key, kind in kinds.items() if kind == "latent"] == ["07_latent_dimension.latent_explorer"]


@pytest.mark.parametrize(
    "stem, name, parameters",
    [
        ("00_start_here", "draw_two_gaussians", {}),
        ("01_bayes_rule", "draw_posterior", {"weight": 0.4, "bias": 1.0}),
        ("02_elbo", "elbo_and_gap", {"w": 1.2, "b": 0.5, "s": 0.6, "x": 2.0}),
        ("03_gaussian_kl", "draw_q", {}),
    ],
)
def test_constants_of_the_notebook(seen, stem, name, parameters):
    assert seen(stem)[name].description["parameters"] == parameters


def test_the_noise_of_the_sample_paths_is_the_one_that_is_drawn(seen):
    noise = seen("05_reparameterization")["draw_sample_path"].description["parameters"]["noise"]
    expected = np.random.default_rng(5).normal(2.0, 1.0, size=1000)[:15] - 2.0
    np.testing.assert_allclose(noise, expected, atol=1e-12)


def test_the_look_is_that_of_the_roles(seen):
    look = seen("01_bayes_rule")["draw_posterior"].description["look"]
    assert {role: style["color"] for role, style in look.items()} == {r: s["color"] for r, s in ROLES.items()}
    figure, ax = plt.subplots()
    for role, style in ROLES.items():  # as Matplotlib draws them
        (line,) = ax.plot([0, 1], linewidth=1, **style)
        pattern = line._dash_pattern[1]
        assert look[role]["dash"] == (list(pattern) if pattern else [])
    plt.close(figure)


def test_a_derivation_has_its_lines(seen):
    (steps,) = [v for v in seen("02_elbo")["elbo_and_gap"].description["views"] if v["kind"] == "steps"]
    assert steps["title"] == "Road e: average a constant (nats)"
    assert [row["relation"] for row in steps["rows"]] == ["", "=", "=", "=", "=", "≥"]
    assert steps["rows"][1] == {
        "relation": "=",
        "latex": r"\mathbb{E}_q[\log p(x)]",
        "reason": "average over q",
    }


# ---- explorers with a kind of their own --------------------------------------------------------


def test_the_latent_explorer_has_the_point_and_the_digits_of_the_notebook(seen):
    told = seen("07_latent_dimension")["latent_explorer"].description
    traits = told["traits"]
    assert traits["z"] == [0.0, 0.0] and len(traits["labels"]) == 1000 and traits["sizes"][::3] == [2, 784]
    assert len(base64.b64decode(traits["points"])) == 1000 * 2 * 4 and "1,000 digits" in told["alt"]


def test_the_traits_are_those_of_the_page_that_the_explorer_saves(tmp_path):
    import torch

    from vae_helpers.models import VAE
    from vae_helpers.site.description import traits_of
    from vae_helpers.widgets import LatentExplorer

    model = VAE(2, hidden_dim=3, generator=torch.Generator().manual_seed(1))
    explorer = LatentExplorer(model, torch.tensor([[0.5, -1.0]]), torch.tensor([3]), alt="A plane.")
    explorer.save_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert json.loads(re.search(r"const traits = (\{.*\});", page)[1]) == traits_of(explorer)


def test_the_live_training_shows_the_trainings_that_the_notebook_holds(seen):
    each = seen("07_latent_dimension")["train_live"]
    (control,) = each.description["controls"]
    assert control["name"] == "latent_dim" and control["values"] == [10, 50] and control["start"] == 0
    assert (
        each.description["positions"] == [[0], [1]]
        and "dimension d 10 and dimension d 50" in each.description["note"]
    )
    assert [shown["numbers"][0] for shown in each.description["shown"]] == [["steps", "100"]] * 2
    assert len(set(each.description["frames"])) == 2


def test_the_formulas_of_a_road_are_those_of_the_road(seen):
    each = seen("02_elbo")["draw_road"]
    assert each.description["controls"][0]["texts"] == [*"abcde", "wrong (KL added)"]
    number_of_lines = [5, 5, 5, 5, 6, 2]
    roads = {road for road, _, _ in each.shown}
    assert len(roads) > 2
    for (road, _, _), shown in each.shown.items():
        assert len(shown["steps"]) == number_of_lines[road]
        assert [holds for _, holds in shown["steps"]] == [True, *[road < 5] * (number_of_lines[road] - 1)]
