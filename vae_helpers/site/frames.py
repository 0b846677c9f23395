"""What explorers show at stored positions, made by the notebooks' own functions, as scripts beside the pages.

A page cannot call Python. For an explorer that no formula of the page replaces, the positions that a reader
can reach are drawn here: each control alone from the first position, and of some pairs of controls a grid.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import math
import os
import platform
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import vae_helpers
from vae_helpers.models.storage import whole_file
from vae_helpers.site.description import (
    constants,
    control_of,
    describe,
    key_of,
    numbers_at,
    size_of,
    steps_at,
    stored_trainings,
    values_at,
)
from vae_helpers.site.slices import Found, Slicer, code_of
from vae_helpers.widgets.explorer import Explorer
from vae_helpers.widgets.live_training import draw_losses
from vae_helpers.widgets.views import Numbers, Picture, Pictures, Steps, View, decimals, plot

MOST_BYTES = 3_000_000  # of all explorers of one page, as they are loaded
_COLORS, _GREYS = 64, 32  # of a drawing and of images: as many as the eye tells apart, a third of the bytes
_WINDOW = 20  # steps whose mean a training tells, as in the curve


class Grid(NamedTuple):
    """Two controls that can be combined.

    Attributes:
        first, second: their names.
        every: of which so many positions one is stored, counted from the first position of the explorer.
    """

    first: str
    second: str
    every: tuple[int, int] = (1, 1)


# Which controls can be combined, by what the explorer teaches.
GRIDS: dict[str, tuple[Grid, ...]] = {
    # The last line of every road is the same ELBO, whatever q is; and the gap closes where both fit.
    "02_elbo.draw_road": (
        Grid("road", "mean", (1, 3)),
        Grid("road", "std", (1, 3)),
        Grid("mean", "std", (5, 5)),
    ),
    # How many draws a dimension needs: the picture's one question.
    "04_monte_carlo.draw_error_bars": (Grid("num_samples", "dim"),),
    # The latents of each model in the order of their KL; from any digit to any other.
    "07_latent_dimension.dashboard": (
        Grid("latent_dim", "latent"),
        Grid("latent_dim", "first"),
        Grid("latent_dim", "second"),
        Grid("first", "second"),
    ),
    # How fast the bound rises with k for a q that is beside, or too narrow.
    "08_how_tight_is_the_bound.exact_bound": (Grid("mean", "k", (5, 1)), Grid("std", "k", (3, 1))),
    # The water level is the product of both.
    "09_collapse_and_beta.draw_water": (Grid("s2", "beta"),),
    # What each mistake does to the bound for an image near the prior's mean and far from it.
    "10_spot_the_mistake.draw_mistake": (Grid("mistake", "x", (1, 5)), Grid("mistake", "s", (1, 4))),
}
# The notebooks that take longest come first, so that the processes end together.
_LONGEST = ("07", "08", "04", "10", "09", "02", "06")


class Made(NamedTuple):
    """A script that was made.

    Attributes:
        key: notebook and name of the explorer, such as "04_monte_carlo.draw_error_bars".
        kind: "frames", "computed" or "latent".
        positions: how many are stored.
        pictures: how many different ones.
        bytes: of the script.
    """

    key: str
    kind: str
    positions: int
    pictures: int
    bytes: int


def make_all(
    notebooks: str | Path, out: str | Path, workers: int = 2, cache: str | Path | None = None
) -> list[Made]:
    """Writes the scripts of all explorers, `NOTEBOOK.NAME.js`; the same input gives the same bytes.

    Args:
        notebooks: the folder of the notebooks.
        out: an existing folder.
        workers: processes, each with a whole notebook at a time; 1 works in this one.
        cache: a folder that keeps the scripts of a notebook as long as nothing that they rest on changes;
            it is made if it is not there. None: all are drawn.

    Returns:
        What was made, in the order of the notebooks.

    Raises:
        FileNotFoundError: there is no notebook, or no folder `out`.
        ValueError: a function fails at a position, or a page would be too large; the message names it.
        RuntimeError: a cell of a notebook fails.
    """
    paths, out = sorted(Path(notebooks).glob("[0-9]*.ipynb")), Path(out)
    if not paths:
        raise FileNotFoundError(f"notebooks: expected a folder with notebooks, got {notebooks}")
    if not out.is_dir():
        raise FileNotFoundError(f"out: expected an existing folder, got {out}")
    if workers < 1:
        raise ValueError(f"workers: expected at least 1, got {workers}")
    kept = {path: _Kept(path, Path(cache)) for path in paths} if cache is not None else {}
    scripts = {path: held for path, each in kept.items() if (held := each.read())}
    missing = [path for path in paths if path not in scripts]
    missing.sort(key=lambda path: [not path.stem.startswith(begin) for begin in _LONGEST])
    if missing:
        with _one_thread_each(), _pool(min(workers, len(missing))) as run:
            for path, made in zip(missing, run(make, missing), strict=True):
                scripts[path] = made
                if path in kept:
                    kept[path].write(made)
    found = []
    for path in paths:
        for name, (text, made) in scripts[path].items():
            with whole_file(out / name) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="\n")
            found.append(made)
    return found


def make(path: str | Path) -> dict[str, tuple[str, Made]]:
    """The scripts of a notebook's explorers with what is in them, by the names of their files.

    Raises:
        ValueError: a function fails at a position, or the page would be too large; the message names it.
        RuntimeError: a cell of the notebook fails.
    """
    scripts: dict[str, tuple[str, Made]] = {}
    for found in Slicer(path).run(also=constants(Path(path).stem)):
        described = describe(found)
        if described["kind"] == "frames":
            described |= stored(found, described)
        elif described["kind"] == "computed":
            _check_numbers(found, described["controls"])
        text = f"vaeExplorer({json.dumps(described, separators=(',', ':'), allow_nan=False)});\n"
        counts = len(described.get("positions", ())), len(described.get("frames", ()))
        scripts[f"{key_of(found)}.js"] = text, Made(key_of(found), described["kind"], *counts, len(text))
    _check_size(Path(path).stem, {made.key: made.bytes for _, made in scripts.values()})
    return scripts


def _check_numbers(found: Found, controls: list[dict[str, Any]]) -> None:
    """Raises ValueError for a function that fails, which nobody would see where the page computes."""
    _, _, rowsets = _draw(found, _alone(controls), pictures=False)
    if len(rowsets) > 1:
        raise ValueError(f"{key_of(found)}: expected a derivation with the same lines at each position")


def _check_size(page: str, sizes: dict[str, int]) -> None:
    if (together := sum(sizes.values())) > MOST_BYTES:
        parts = ", ".join(f"{key.partition('.')[2]} {size:,}" for key, size in sizes.items())
        raise ValueError(
            f"{page}: expected at most {MOST_BYTES:,} bytes of explorers on a page, got {together:,} "
            f"({parts}); a coarser grid in GRIDS has less"
        )


# ---- positions ------------------------------------------------------------------------------


def positions_of(controls: list[dict[str, Any]], grids: Iterable[Grid] = ()) -> list[tuple[int, ...]]:
    """The positions that are stored, the first one first: numbers of the controls' values.

    Args:
        controls: as of a description.
        grids: the pairs that can be combined.

    Raises:
        ValueError: a grid names something that is no control, or not every first, second, … position.
    """
    found = dict.fromkeys(_alone(controls))
    names = [control["name"] for control in controls]
    for grid in grids:
        for name, every in zip(grid[:2], grid.every, strict=True):
            if name not in names:
                raise ValueError(f"grid: expected controls among {', '.join(names)}, got {name!r}")
            if every < 1:
                raise ValueError(f"grid: expected every first, second, … position of {name}, got {every}")
        first, second = (names.index(name) for name in grid[:2])
        rows, columns = (
            _thinned(controls[i], every) for i, every in zip((first, second), grid.every, strict=True)
        )
        found |= dict.fromkeys(
            _moved(controls, {first: row, second: column}) for row in rows for column in columns
        )
    return [position for position in found if _is_reached(controls, position)]


def _alone(controls: list[dict[str, Any]]) -> list[tuple[int, ...]]:
    """Each control alone from the first position, which comes first."""
    start = _moved(controls, {})
    moves = [
        _moved(controls, {i: k}) for i, control in enumerate(controls) for k in range(len(control["values"]))
    ]
    return [position for position in dict.fromkeys([start, *moves]) if _is_reached(controls, position)]


def _moved(controls: list[dict[str, Any]], to: dict[int, int]) -> tuple[int, ...]:
    """Some controls elsewhere, the others at their start or as near to it as what limits them allows."""
    position = [to.get(i, control["start"]) for i, control in enumerate(controls)]
    names = [control["name"] for control in controls]
    for i, control in enumerate(controls):
        if control["at_most"] and i not in to:
            by = names.index(control["at_most"])
            high = controls[by]["values"][position[by]]
            position[i] = max((k for k in range(position[i] + 1) if control["values"][k] <= high), default=0)
    return tuple(position)


def _thinned(control: dict[str, Any], every: int) -> list[int]:
    """Every so many positions from the first one, and both ends."""
    last, start = len(control["values"]) - 1, control["start"]
    return sorted({*range(start % every, last + 1, every), 0, last})


def _is_reached(controls: list[dict[str, Any]], position: tuple[int, ...]) -> bool:
    """Whether no control exceeds the one that limits it."""
    values = {control["name"]: control["values"][k] for control, k in zip(controls, position, strict=True)}
    return all(values[c["name"]] <= values[c["at_most"]] for c in controls if c["at_most"])


# ---- what is seen there ---------------------------------------------------------------------


def stored(found: Found, described: dict[str, Any]) -> dict[str, Any]:
    """What a description of the kind "frames" has besides controls and views.

    Raises:
        ValueError: a function fails at a position; the message names explorer and position.
    """
    if not isinstance(found.shown, Explorer):
        return _stored_training(found)
    grids = GRIDS.get(key_of(found), ())
    positions = positions_of(described["controls"], grids)
    shown, frames, rowsets = _draw(found, positions)
    parts = {"combine": [list(grid[:2]) for grid in grids], "positions": [list(each) for each in positions]}
    if len(rowsets) > 1:  # the formulas themselves depend on a control
        sets = {"titles": [title for title, _ in rowsets], "rowsets": [rows for _, rows in rowsets]}
        views = [view | sets if view["kind"] == "steps" else view for view in described["views"]]
        for view in views:
            if view["kind"] == "steps":
                del view["rows"]
        parts["views"] = views
    return parts | {"shown": shown, "frames": frames}


def _draw(
    found: Found, positions: list[tuple[int, ...]], pictures: bool = True
) -> tuple[list[dict[str, Any]], list[str], list[tuple[str, list[dict[str, str]]]]]:
    """What is shown at each position; the different pictures; the different sets of formulas."""
    explorer, drawer = found.shown, Drawer(pictures)
    shown = []
    for position in positions:
        values = values_at(explorer, position)
        try:
            shown.append(drawer.shown(explorer.views, values))
        except Exception as error:  # whatever a notebook's function raises is told with its place
            place = ", ".join(f"{name} = {value}" for name, value in values.items())
            raise ValueError(f"{key_of(found)} at {place}: {type(error).__name__}: {error}") from error
    return shown, drawer.frames, drawer.rowsets


class Drawer:
    """Shows views at one position after another, and draws nothing twice."""

    def __init__(self, pictures: bool = True) -> None:
        self.frames: list[str] = []
        self.rowsets: list[tuple[str, list[dict[str, str]]]] = []
        self._pictures, self._numbers_of_frames = pictures, {}
        self._seen: dict[tuple[int, tuple[tuple[str, Any], ...]], Any] = {}

    def shown(self, views: Iterable[View], values: dict[str, Any]) -> dict[str, Any]:
        """What a page shows at these values."""
        parts: dict[type, list[Any]] = {Picture: [], Numbers: [], Steps: []}
        for number, view in enumerate(views):
            kind = next(kind for kind in parts if isinstance(view, kind))
            if kind is Picture and not self._pictures:
                continue
            seen = number, tuple(view.takes(values).items())
            if seen not in self._seen:
                self._seen[seen] = self._look(view, values)
            parts[kind].append(self._seen[seen])
        (pictures, numbers, steps), told = parts.values(), {}
        if pictures:
            told["pictures"] = pictures
        if numbers:
            told["numbers"] = numbers if len(numbers) > 1 else numbers[0]
        if steps:
            ((told["rows"], told["steps"]),) = steps
        return told

    def _look(self, view: View, values: dict[str, Any]) -> Any:
        if isinstance(view, Steps):
            title, rows, texts = steps_at(view, values)
            if (title, rows) not in self.rowsets:
                self.rowsets.append((title, rows))
            return self.rowsets.index((title, rows)), texts
        view.update(values)
        return numbers_at(view) if isinstance(view, Numbers) else self._number_of(as_frame(view))

    def _number_of(self, frame: str) -> int:
        if frame not in self._numbers_of_frames:
            self._numbers_of_frames[frame] = len(self.frames)
            self.frames.append(frame)
        return self._numbers_of_frames[frame]


def as_frame(view: Picture) -> str:
    """The picture of a view as the address of a lossless WebP in few colours; images without their scale."""
    with Image.open(io.BytesIO(view.png)) as picture:
        picture.load()
    if isinstance(view, Pictures):
        grey = np.asarray(picture.convert("L"))[:: view._scale, :: view._scale]
        steps = 255 / (_GREYS - 1)
        few = Image.fromarray(np.rint(np.rint(grey / steps) * steps).astype(np.uint8))
    else:
        few = picture.convert("RGB").quantize(
            _COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
    file = io.BytesIO()
    few.convert("RGB").save(file, "webp", lossless=True, method=4, quality=75)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _stored_training(found: Found) -> dict[str, Any]:
    """The curves of the trainings that the notebook has stored, for a page on which nothing trains."""
    trainings, first = stored_trainings(found)
    ((name, control),) = found.shown.controls.items()
    told = control_of(name, control)
    kept = [k for k, value in enumerate(told["values"]) if value in trainings]
    if first not in [told["values"][k] for k in kept]:
        raise ValueError(
            f"{key_of(found)}: expected stored losses for positions of {name}, got {list(trainings)}"
        )
    told |= {part: [told[part][k] for k in kept] for part in ("values", "texts")}
    told["start"] = told["values"].index(first)
    order = sorted(range(len(kept)), key=lambda k: k != told["start"])
    views, shown, frames = [], [], []
    for k in order:
        losses = trainings[told["values"][k]]
        view = plot(draw_losses, alt=found.shown.still()[1], size=(8.8, 3.2))
        view.update({"losses": losses})
        shown.append({"pictures": [len(frames)], "numbers": _numbers_of_training(losses)})
        frames.append(as_frame(view))
        views.append(view)
    width, height = size_of(views[0])
    picture = {"kind": "picture", "alt": views[0].alt, "title": "", "pixels": False}
    several = " and ".join(f"{told['label']} {text}" for text in told["texts"])
    return {
        "controls": [told],
        "views": [
            picture | {"width": width, "height": height},
            {"kind": "numbers", "unit": "nats", "digits": 1},
        ],
        "note": "On this page nothing is trained. It shows the short trainings that the notebook holds: "
        f"{several}. In the notebook the button trains any of them.",
        "combine": [],
        "positions": [[k] for k in order],
        "shown": shown,
        "frames": frames,
    }


def _numbers_of_training(losses: list[float]) -> list[list[str]]:
    recent = decimals(math.fsum(losses[-_WINDOW:]) / len(losses[-_WINDOW:]), 1)
    return [["steps", str(len(losses))], [f"−ELBO of the last {_WINDOW} steps", f"{recent} nats"]]


# ---- processes and the cache ----------------------------------------------------------------


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Lets the libraries of processes that start now use one thread each, as these share the cores."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ |= dict.fromkeys(names, "1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _pool(workers: int) -> Iterator[Any]:
    """`map` in so many processes, which begin anew: a copy of this one would have its threads' locks."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield pool.map
        except BaseException:
            pool.shutdown(cancel_futures=True)  # what has not begun need not begin
            raise


class _Kept:
    """The scripts of a notebook in a folder, for as long as nothing that they rest on changes."""

    def __init__(self, notebook: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._key = folder / f"{notebook.stem}.json", fingerprint(notebook)

    def read(self) -> dict[str, tuple[str, Made]]:
        """The scripts; none if there are none, or none of use."""
        try:
            held = json.loads(self._path.read_text(encoding="utf-8"))
            fits = held["key"] == self._key
            return (
                {name: (text, Made(*made)) for name, (text, made) in held["scripts"].items()} if fits else {}
            )
        except (
            FileNotFoundError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
        ):  # written by something else
            return {}

    def write(self, scripts: dict[str, tuple[str, Made]]) -> None:
        """Puts them in the place of earlier ones."""
        with whole_file(self._path) as temporary:
            temporary.write_text(json.dumps({"key": self._key, "scripts": scripts}), encoding="utf-8")


def fingerprint(path: str | Path) -> str:
    """Tells apart whatever the scripts of a notebook rest on: its code, the helpers, weights, libraries."""
    seen = hashlib.sha256(_fingerprint_of_all().encode())
    for cell, source in code_of(path).items():
        seen.update(f"{cell} {source}\0".encode())
    return seen.hexdigest()


@functools.cache
def _fingerprint_of_all() -> str:
    package, seen = Path(vae_helpers.__file__).parent, hashlib.sha256()
    for each in sorted(package.rglob("*")):
        if each.suffix == ".py":
            seen.update(f"{each.relative_to(package)} {each.read_text(encoding='utf-8')}\0".encode())
        elif each.is_relative_to(package / "shipped") and each.is_file() and "__pycache__" not in each.parts:
            seen.update(f"{each.relative_to(package)} {each.stat().st_size}\0".encode())
    for library in ("numpy", "scipy", "matplotlib", "torch", "pillow", "ipywidgets"):
        seen.update(f"{library} {version(library)}\0".encode())
    seen.update(platform.python_version().encode())
    return seen.hexdigest()
