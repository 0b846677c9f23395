"""What travels to the page: the decoder's very weights, and a file that needs nothing else."""

import base64
import io
import json
import os
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import traitlets
from matplotlib.text import Text
from support import worlds

from vae_helpers.pictures.plotting import CLASS_COLORS, spacing
from vae_helpers.shipped.pretrained import load_pretrained
from vae_helpers.widgets import stage
from vae_helpers.widgets.latent.explorer import HERE, LatentExplorer

ALT = "Digits on a plane."
SCRIPT, STYLE = ((HERE / name).read_text(encoding="utf-8") for name in ("explorer.js", "explorer.css"))


def small_vae(**options):
    return worlds.small_vae(**{"hidden_dim": 5, "num_hidden": 2, "data_dim": 784} | options)


def points(n=12):
    mu = torch.randn(n, 2, generator=worlds.generator(1))
    return mu, torch.arange(n) % 10


def an_explorer(model=None, **options):
    mu, labels = points()
    return LatentExplorer(model or small_vae(), mu, labels, alt=ALT, **options)


def decoded(traits, z):
    """The decoder by the bytes alone, in NumPy: what the script does."""
    values, sizes = np.frombuffer(traits["weights"], "<f2").astype(np.float64), traits["sizes"]
    act = {
        "tanh": np.tanh,
        "relu": lambda a: np.maximum(a, 0),
        "gelu": lambda a: 0.5 * a * (1 + torch.erf(torch.tensor(a) / 2**0.5).numpy()),
    }[traits["activation"]]
    h, start = np.asarray(z, dtype=np.float64), 0
    for i, (cols, rows) in enumerate(zip(sizes, sizes[1:], strict=False)):
        weight = values[start : start + rows * cols].reshape(rows, cols)
        bias = values[start + rows * cols : start + rows * cols + rows]
        start += rows * cols + rows
        h = weight @ h + bias
        h = act(h) if i < len(sizes) - 2 else 1 / (1 + np.exp(-h))
    assert start == len(values)
    return h


def traits_of(explorer):
    return {name: getattr(explorer, name) for name in ("weights", "sizes", "activation")}


@pytest.mark.parametrize("activation", ["gelu", "tanh", "relu"])
@pytest.mark.parametrize("num_hidden", [1, 2, 3])
def test_bytes_are_the_decoder(activation, num_hidden):
    model = small_vae(activation=activation, num_hidden=num_hidden).half().float()
    explorer = an_explorer(model)
    assert explorer.sizes == [2, *[5] * num_hidden, 784] and explorer.activation == activation
    for z in ([0.0, 0.0], [1.5, -2.0], [-3.9, 3.9]):
        with torch.no_grad():
            expected = model.mean(torch.tensor([z]))[0]
        np.testing.assert_allclose(decoded(traits_of(explorer), z), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["digits_2", "latent_2"])
def test_shipped_models_travel_without_rounding(name):
    model = load_pretrained(name)
    explorer = an_explorer(model)
    linear = [part for part in model.decoder if isinstance(part, torch.nn.Linear)]
    flat = torch.cat([part.detach().flatten() for layer in linear for part in (layer.weight, layer.bias)])
    np.testing.assert_array_equal(np.frombuffer(explorer.weights, "<f2").astype(np.float32), flat)
    with torch.no_grad():
        expected = model.mean(torch.tensor([[0.7, -1.1]]))[0]
    np.testing.assert_allclose(decoded(traits_of(explorer), [0.7, -1.1]), expected, atol=1e-6)


def test_means_and_classes_travel_too():
    mu, labels = points()
    explorer = LatentExplorer(small_vae(), mu.double().requires_grad_(), labels, alt=ALT, z=(1, -2))
    np.testing.assert_array_equal(np.frombuffer(explorer.points, "<f4").reshape(-1, 2), mu)
    assert explorer.labels == labels.tolist() and explorer.z == [1.0, -2.0]
    assert explorer.spacing == spacing(mu)
    names = {"weights", "sizes", "activation", "points", "spacing", "labels", "colors", "limit", "z"}
    assert names <= set(explorer.keys)


def test_the_point_can_be_set_and_has_two_coordinates():
    explorer = an_explorer()
    explorer.z = [0.5, 0.25]
    assert explorer.z == [0.5, 0.25]
    with pytest.raises(traitlets.TraitError):
        explorer.z = [0.5]


MU, LABELS = points()


@pytest.mark.parametrize(
    "model, mu, labels, error, message",
    [
        (
            {"latent_dim": 3},
            MU,
            LABELS,
            ValueError,
            "model: expected 2 latents, .*, got 3, bernoulli and 784",
        ),
        ({"likelihood": "gaussian"}, MU, LABELS, ValueError, "model: .*, got 2, gaussian and 784"),
        ({"data_dim": 6}, MU, LABELS, ValueError, "model: .*, got 2, bernoulli and 6"),
        ({"decoder": "convolutional"}, MU, LABELS, ValueError, "model: .* connected .*, got a convolutional"),
        ({}, torch.zeros(12, 3), LABELS, ValueError, r"mu: expected shape \(batch, 2\), got \(12, 3\)"),
        ({}, torch.zeros(2), LABELS, ValueError, r"mu: expected shape \(batch, 2\), got \(2,\)"),
        ({}, torch.full((12, 2), np.nan), LABELS, ValueError, "mu: expected finite numbers"),
        ({}, MU, LABELS[:-1], ValueError, r"labels: expected a class .* of 12 points, got .* \(11,\)"),
        ({}, MU, LABELS[:, None], ValueError, r"labels: expected a class .*, got .* \(12, 1\)"),
        ({}, MU, LABELS + 1, ValueError, r"labels: expected a class of 0 to 9 .*, got \[10\]"),
        ({}, MU, LABELS - 1, ValueError, r"labels: expected a class of 0 to 9 .*, got \[-1\]"),
        ({}, MU, LABELS + 0.5, ValueError, r"labels: expected a class of 0 to 9 .*, got \[0.5, "),
    ],
)
def test_what_is_refused(model, mu, labels, error, message):
    with pytest.raises(error, match=f"^{message}"):
        LatentExplorer(small_vae(**model), mu, labels, alt=ALT)


def test_an_empty_text_is_refused():
    with pytest.raises(ValueError, match="^alt: expected a sentence"):
        LatentExplorer(small_vae(), MU, LABELS, alt=" ")


@pytest.mark.parametrize("limit", [3, 4])
def test_the_still_picture_shows_the_plane_of_the_page(monkeypatch, limit):
    explorer, ends, real = an_explorer(), [], plt.Axes.set
    explorer.limit = limit

    def spying(ax, **options):
        ends.extend(options[name] for name in ("xlim", "ylim") if name in options)
        return real(ax, **options)

    monkeypatch.setattr(plt.Axes, "set", spying)
    explorer.still()
    assert ends == [(-limit, limit)] * 2


def test_the_page_is_sent_its_colours_and_limit_and_has_none_of_its_own():
    explorer = an_explorer()
    assert explorer.colors == list(CLASS_COLORS) and explorer.limit == 4
    assert not [color for color in CLASS_COLORS if color in SCRIPT + STYLE and color != "#555555"]


@pytest.fixture
def page(tmp_path):
    explorer = an_explorer(z=(0.5, -1.0))
    explorer.save_html(tmp_path / "plane.html", title="A <plane> & more")
    return explorer, (tmp_path / "plane.html").read_text(encoding="utf-8")


def traits_in(text):
    """What a page holds in place of a kernel."""
    return json.loads(re.search(r"^const traits = (\{.*\});$", text, flags=re.MULTILINE)[1])


def test_page_holds_everything_and_asks_for_nothing(page):
    explorer, text = page
    assert not re.search(r"https?://|\bsrc\s*=|\bhref\s*=|@import|\burl\(|\bimport\b|\bfetch\b|XMLHttp", text)
    assert "/*" not in re.sub(r"/\*\*? .*?\*/", "", text) and "export default" not in text
    assert "<title>A &lt;plane&gt; &amp; more</title>" in text
    assert STYLE in text
    assert text.count("const explorer =") == 1 and "function makeDecoder" in text
    traits = traits_in(text)
    for name in ("weights", "points"):
        assert base64.b64decode(traits[name]) == getattr(explorer, name)
    for name in ("sizes", "activation", "spacing", "labels", "colors", "limit", "z"):
        assert traits[name] == getattr(explorer, name)


def test_page_gives_the_script_all_that_it_asks_for(page):
    _, text = page
    assert set(re.findall(r'model\.get\("(\w+)"\)', SCRIPT)) == set(traits_in(text))
    calls = set(re.findall(r"\bmodel\.(\w+)\(", SCRIPT))
    stand_in = re.search(r"^const model = \{(.*?)^\};", text, flags=re.MULTILINE | re.DOTALL)[1]
    assert calls <= set(re.findall(r"\b(\w+)(?=:|\()", stand_in))


@pytest.mark.parametrize("old", [False, True])
def test_page_is_whole_or_not_there(tmp_path, monkeypatch, old):
    path = tmp_path / "plane.html"
    if old:
        path.write_text("old", encoding="utf-8")

    def no_replace(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", no_replace)
    with pytest.raises(OSError, match="disk full"):
        an_explorer().save_html(path)
    assert [p.name for p in tmp_path.iterdir()] == (["plane.html"] if old else [])
    assert not old or path.read_text(encoding="utf-8") == "old"


def test_page_into_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="^path: expected an existing folder, got .*nowhere"):
        an_explorer().save_html(str(tmp_path / "nowhere" / "plane.html"))


def stored(explorer):
    data, metadata = explorer._repr_mimebundle_(include=None, exclude=None)
    assert set(data) == {"text/plain", "text/html", "image/png"} and metadata == {"image/png": {"alt": ALT}}
    return data["text/plain"], plt.imread(io.BytesIO(base64.b64decode(data["image/png"])))


def test_output_holds_a_still_picture_and_no_widget():
    explorer = an_explorer(z=(0.5, -1.25))
    words, before = stored(explorer)
    assert words == "latent plane with the point at (0.50, -1.25)"
    assert before.shape[:2] == (stage.BADGE_HEIGHT + 520, 880) and plt.get_fignums() == []
    assert explorer._stage.view == explorer.model_id and explorer._stage.alts == [ALT]
    explorer.z = [2.0, 2.0]
    _, after = stored(explorer)
    assert (np.abs(after - before) > 0.1).any()


def test_digits_of_the_still_picture_can_be_read_where_it_is_crowded(monkeypatch):
    mu = torch.randn(500, 2, generator=worlds.generator()) / 4
    explorer = LatentExplorer(small_vae(), mu, torch.arange(500) % 10, alt=ALT)
    boxes, draw = [], Text.draw

    def recording(text, renderer, *args, **kwargs):
        if text.get_text() in "0123456789" and text.get_text() and text.get_path_effects():
            boxes.append(text.get_window_extent(renderer).frozen())
        return draw(text, renderer, *args, **kwargs)

    monkeypatch.setattr(Text, "draw", recording)
    explorer.still()
    middles = np.array([[(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2] for box in boxes])
    distance = np.linalg.norm(middles[:, None] - middles, axis=-1) + 1e3 * np.eye(len(middles))
    assert len(boxes) > 15 and distance.min() > max(box.width for box in boxes) + 2


def test_still_picture_leaves_out_what_lies_outside_the_plane():
    far = torch.cat([MU, torch.tensor([[9.0, 9.0], [4.5, 0.0]])])
    explorer = LatentExplorer(small_vae(), far, torch.cat([LABELS, torch.tensor([1, 2])]), alt=ALT)
    assert explorer.still() == an_explorer().still()
