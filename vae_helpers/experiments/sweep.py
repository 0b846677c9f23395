"""Many models over a grid, on all cores or a Dask cluster: latent dimension, β, hidden size, seed.

`python -m vae_helpers sweep` COSTS
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from dataclasses import fields
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vae_helpers.experiments.crews import ClusterCrew, LocalCrew
from vae_helpers.experiments.point import Point, settings_of, train_point
from vae_helpers.models._bar import bar
from vae_helpers.models.likelihoods import LIKELIHOODS
from vae_helpers.models.storage import whole_file
from vae_helpers.numerics._validate import as_number
from vae_helpers.pictures.plotting import use_style
from vae_helpers.shipped.recipes import exit_code, write_json

Row = dict[str, Any]  # what `train_point` returns
AXES = {field.name for field in fields(Point)}
MEASURES = ("test_elbo", "test_log_likelihood", "test_kl", "active_units", "train_elbo", "seconds")
LOOK = 2.0  # seconds after which it is asked again whether the cluster has grown
PRINTED = 40  # lines of a table that a screen still shows


class Folder:
    """What is kept of a sweep: `sweep.json`, and of each finished point a file in `points/`.

    Args:
        path: of the folder; made with the first thing that is written.
        settings: what all points share, by `settings_of`.

    Raises:
        ValueError: the folder holds another sweep, or something else.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.settings = path, settings
        if path.exists() and not path.is_dir():
            raise ValueError(f"folder: expected a folder, got the file {path}")
        if not (path / "sweep.json").is_file():
            if path.exists() and any(path.iterdir()):
                raise ValueError(f"folder: expected an empty one or one of this sweep, got {path}")
            return
        there = _read(path / "sweep.json")
        if other := [name for name in settings | there if settings.get(name) != there.get(name)]:
            raise ValueError(
                f"folder: {path} holds another sweep, with {other[0]} {there.get(other[0])!r} and not "
                f"{settings.get(other[0])!r}; give another folder, or the settings that it has"
            )

    def begin(self) -> None:
        """Makes it, if it is not there."""
        (self.path / "points").mkdir(parents=True, exist_ok=True)
        if not (self.path / "sweep.json").is_file():
            write_json(self.path / "sweep.json", self.settings)

    def holds(self, point: Point) -> bool:
        """Whether the point is finished, or has failed."""
        return self._file(point).is_file()

    def keep(self, row: Row) -> None:
        """Writes the row of a point; it is there as a whole or not at all."""
        write_json(self._file(_point(row)), row)

    def rows(self) -> list[Row]:
        """All rows, in the order of their points.

        Raises:
            ValueError: a file that holds something else.
        """
        rows = []
        for file in (self.path / "points").glob("*.json"):
            row = _read(file)
            if not row.keys() >= {field.name for field in fields(Point)} or self._file(_point(row)) != file:
                raise ValueError(
                    f"folder: expected the row of a point in {file}; delete it to have it made anew"
                )
            rows.append(row)
        return sorted(rows, key=_point)

    def _file(self, point: Point) -> Path:
        return self.path / "points" / f"{point.name}.json"


def grid(
    latent_dims: Iterable[int], hidden_dims: Iterable[int], betas: Iterable[float], seeds: Iterable[int]
) -> list[Point]:
    """All combinations, each once; those of one seed together, so that an early end leaves whole curves.

    Raises:
        TypeError, ValueError: as `Point`.
    """
    product = itertools.product(seeds, latent_dims, hidden_dims, betas)
    return list(dict.fromkeys(Point(d, hidden, beta, seed) for seed, d, hidden, beta in product))


def work_through(
    points: Iterable[Point],
    crew: LocalCrew | ClusterCrew,
    work: Callable[[Point], tuple[Any, ...]],
    keep: Callable[[Row], None],
    over: Callable[[], bool] = lambda: False,
) -> tuple[int, dict[Point, str]]:
    """Has all points worked on, as many at once as the crew can.

    Args:
        points: which.
        crew: who.
        work: for each point the function and its arguments, which give its row.
        keep: is given each row as it comes.
        over: whether to start no more.

    Returns:
        How many were not started, and why others have no row, such as that their workers were killed.

    Raises:
        ValueError: a worker cannot take part, or the scheduler is gone; all rows that came have been kept.
    """
    waiting, running, lost, refused = deque(points), {}, {}, None
    while running or (waiting and not refused and not over()):
        while waiting and not refused and len(running) < crew.slots() and not over():
            point = waiting.popleft()
            running[crew.submit(point.name, *work(point))] = point
        for future in wait(running, LOOK, FIRST_COMPLETED).done:
            point = running.pop(future)
            try:
                keep(future.result())
            except CancelledError:
                refused = ValueError("scheduler: it has gone; the same command goes on once it is back")
            except ValueError as error:
                refused = error  # what others are still working on is waited for
            except (RuntimeError, MemoryError, crew.lost) as error:
                lost[point] = f"{type(error).__name__}: {error}"
    if refused:
        raise refused
    return len(waiting), lost


def summarize(rows: Iterable[Row]) -> list[Row]:
    """Means over seeds, and standard deviations.

    Args:
        rows: as of `train_point`.

    Returns:
        For each latent dimension, hidden size and β, in this order: how many `seeds` there are and how many
        of them `failed`, and of each measure the mean over the others and its `…_spread` (the standard
        deviation from seed to seed, None for fewer than two). ELBO and its parts are in nats per image.
    """
    groups: dict[tuple[int, int, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["latent_dim"], row["hidden_dim"], row["beta"]), []).append(row)
    table = []
    for (latent_dim, hidden_dim, beta), group in sorted(groups.items()):
        good = [row for row in group if "failed" not in row]
        line = {"latent_dim": latent_dim, "hidden_dim": hidden_dim, "beta": beta}
        line |= {"seeds": len(group), "failed": len(group) - len(good)}
        for measure in MEASURES:
            values = [row[measure] for row in good]
            line[measure] = statistics.fmean(values) if values else None
            line[f"{measure}_spread"] = statistics.stdev(values) if len(values) > 1 else None
        table.append(line)
    return table


def draw_sweep(figure: Figure, table: list[Row]) -> None:
    """Draws the ELBO against the latent dimension, and distortion against rate.

    A colour for each β, a kind of line for each hidden size, bars for the spread over seeds; against the rate,
    the dots grow with the latent dimension.

    Args:
        figure: an empty one.
        table: as `summarize` returns it; lines without a mean are left out.
    """
    elbo, plane = figure.subplots(1, 2)
    table = [line for line in table if line["test_elbo"] is not None]
    dims, betas, sizes = (sorted({line[n] for line in table}) for n in ("latent_dim", "beta", "hidden_dim"))
    shade = mpl.colormaps["viridis"]  # without its brightest end, which is lost on white
    colors = {beta: shade(0.8 * k / max(1, len(betas) - 1)) for k, beta in enumerate(betas)}
    kinds = dict(zip(sizes, itertools.cycle([("-", "o"), ("--", "s"), (":", "^"), ("-.", "D")])))
    dots = dict(zip(dims, np.linspace(15, 90, len(dims)), strict=True))
    for beta, size in itertools.product(betas, sizes):
        curve = [line for line in table if (line["beta"], line["hidden_dim"]) == (beta, size)]
        mean = {name: [line[name] for line in curve] for name in ("latent_dim", *MEASURES)}
        spread = {name: [line[f"{name}_spread"] or 0 for line in curve] for name in MEASURES}
        distortion = [-value for value in mean["test_log_likelihood"]]
        color, (dash, marker) = colors[beta], kinds[size]
        look = {"color": color, "linestyle": dash, "linewidth": 1.6, "elinewidth": 1.1, "capsize": 3}
        elbo.errorbar(
            mean["latent_dim"], mean["test_elbo"], spread["test_elbo"], marker=marker, markersize=5, **look
        )
        plane.errorbar(mean["test_kl"], distortion, spread["test_log_likelihood"], spread["test_kl"], **look)
        area = [dots[d] for d in mean["latent_dim"]]
        plane.scatter(mean["test_kl"], distortion, area, [color], marker=marker)
    elbo.set_xscale("log")
    elbo.set_xticks(dims, [str(d) for d in dims])
    elbo.minorticks_off()
    elbo.set(xlabel="latent dimension", ylabel="ELBO (nats)", title="Test images: mean and spread over seeds")
    plane.set(
        xlabel="rate: KL (nats)", ylabel="distortion (nats)", title="The larger the dot, the more latents"
    )
    for ax in (elbo, plane):
        ax.grid(alpha=0.25)
        ax.title.set_fontsize(12)
    handles = [Line2D([], [], color=color, label=f"β = {beta:g}") for beta, color in colors.items()]
    handles += [
        Line2D([], [], color="0.3", linestyle=dash, marker=marker, markersize=5, label=f"{size} hidden units")
        for size, (dash, marker) in kinds.items()
    ]
    figure.legend(handles=handles, loc="outside right upper", fontsize=10)


def main(arguments: list[str] | None = None) -> int:
    """Trains what is missing of the grid on the command line, and writes table and picture."""
    parser = argparse.ArgumentParser(
        "python -m vae_helpers sweep",
        usage="%(prog)s [--folder OUT] [--scheduler ADDRESS] [options, see --help]",
        description=__doc__.splitlines()[0],
    )
    axes = {"latent_dims": (int, [2, 5, 10, 20, 50]), "hidden_dims": (int, [400])}
    axes |= {"betas": (float, [1.0]), "seeds": (int, [1, 2, 3])}
    for name, (kind, default) in axes.items():
        text = f"of the grid; {' '.join(f'{value:g}' for value in default)} by default"
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kind, nargs="+", default=default, metavar="N", help=text
        )
    parser.add_argument("--epochs", type=int, default=10, metavar="N", help="of each training; 10 by default")
    parser.add_argument("--likelihood", choices=list(LIKELIHOODS), default="bernoulli", help="of the pixels")
    parser.add_argument("--num-images", type=int, metavar="N", help="train on the first N images alone")
    parser.add_argument("--data", help="a folder with files in MNIST's format, in sight of every worker")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("sweep"),
        metavar="OUT",
        help="where the results are kept; ./sweep",
    )
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="after which no model is begun")
    parser.add_argument("--workers", type=int, metavar="N", help="processes; one for each core by default")
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster, such as tcp://10.0.0.1:8786"
    )
    options = parser.parse_args(arguments)
    return exit_code(lambda: _run(options), parser, "model")


def _run(options: argparse.Namespace) -> int:
    started = time.monotonic()
    budget = None if options.budget is None else 60 * as_number("budget", options.budget, minimum=0)
    if options.scheduler is not None and options.workers is not None:
        raise ValueError("workers: expected none beside a scheduler, whose cluster has its own")
    points = grid(options.latent_dims, options.hidden_dims, options.betas, options.seeds)
    data = None if options.data is None else str(Path(options.data).resolve())
    settings = settings_of(options.epochs, options.likelihood, options.num_images, data)
    folder = Folder(options.folder, settings)
    waiting = [point for point in points if not folder.holds(point)]
    crew = LocalCrew(options.workers) if options.scheduler is None else ClusterCrew(options.scheduler)
    try:
        folder.begin()
        with bar(progress=True, total=len(points), initial=len(points) - len(waiting), unit="model") as shown:

            def keep(row: Row) -> None:
                folder.keep(row)
                shown.set_postfix_str(_point(row).name)
                shown.update()

            left, lost = work_through(
                waiting,
                crew,
                lambda point: (train_point, point, settings, data),
                keep,
                lambda: budget is not None and time.monotonic() - started >= budget,
            )
    finally:
        crew.close()
    _report(folder)
    for point, reason in lost.items():
        print(f"{point.name}: no result, {reason}", file=sys.stderr)
    if left or lost:
        print(f"{left + len(lost)} of {len(points)} models are left; the same command goes on with them")
    return 1 if lost else 0


def _report(folder: Folder) -> None:
    """Writes and prints the table of all that the folder holds, and draws the picture."""
    rows = folder.rows()
    if not rows:
        return
    table = summarize(rows)
    with whole_file(folder.path / "table.csv") as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    with whole_file(folder.path / "sweep.png") as temporary, mpl.rc_context():
        use_style()
        figure = Figure(figsize=(11, 4.2))
        draw_sweep(figure, table)
        figure.savefig(temporary, format="png", dpi=150)
    print("latents hidden      β seeds        test ELBO   log-likelihood            KL   active  seconds")
    for line in table[:PRINTED]:
        cells = [f"{line['latent_dim']:7}{line['hidden_dim']:7}{line['beta']:7g}{line['seeds']:6}"]
        for name, width, digits in (("test_elbo", 17, 2), ("test_log_likelihood", 17, 2), ("test_kl", 14, 2)):
            cells.append(f"{_with_spread(line, name, digits):>{width}}")
        cells += [f"{_with_spread(line, 'active_units', 1, spread=False):>9}"]
        cells += [f"{_with_spread(line, 'seconds', 1, spread=False):>9}"]
        print("".join(cells) + (f"  {line['failed']} failed" if line["failed"] else ""))
    if len(table) > PRINTED:
        print(f"… {len(table) - PRINTED} lines more in table.csv")
    for row in rows:
        if "failed" in row:
            print(f"{_point(row).name} failed: {row['failed']}")
    print(f"in nats per image, mean ± spread over seeds; written to {folder.path}: table.csv, sweep.png")


def _with_spread(line: Row, name: str, digits: int, spread: bool = True) -> str:
    if line[name] is None:
        return "–"
    around = line[f"{name}_spread"]
    return f"{line[name]:.{digits}f}" + (f" ± {around:.{digits}f}" if spread and around is not None else "")


def _point(row: Row) -> Point:
    return Point(*(row[field.name] for field in fields(Point)))


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"folder: expected JSON in {file}, got {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"folder: expected an object of JSON in {file}, got {type(content).__name__}")
    return content
