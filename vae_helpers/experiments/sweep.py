"""Many models over a grid, on all cores or a Dask cluster: latent dimension, β, hidden size, seed.

`python -m vae_helpers sweep --latent-dims 2 5 10 --betas 0.5 1 --seeds 1 2 3` trains every combination,
shows a bar over all of them, and writes `table.csv` and `sweep.png` with the mean and the spread over
seeds. Each finished model leaves one small file in `--folder`; so the same command goes on after an
interruption, and one with more values adds to the same sweep. A training that diverged is kept as failed
and not repeated, since it would diverge again (to repeat it, delete its file); a model whose process is
killed each time leaves none, and is tried again by the next command.

With `--scheduler tcp://host:8786` the workers of a Dask cluster do the work. They need this package and,
with `--data`, that folder; one with other images or other versions is refused. The figures are the same
bit for bit for the same seeds on the same kind of processor, wherever a model is trained: each has
generators of its own and one thread. Files are written by the machine alone that starts the sweep.
Whoever reaches a Dask scheduler can run programs on its workers: keep it in a network of your own.

What 10,000 models cost, at 10 epochs of all 60,000 images, 400 hidden units and 20 latents, measured:

- A model takes a core of a server 65 seconds, all 180 core-hours: 90 hours on two cores, 45 minutes on
  256 workers with one thread each (`dask worker ADDRESS --nworkers 64 --nthreads 1` on four machines).
- A worker needs 0.8 GB of memory at most. Of this 0.2 are the images, which it reads from its own disk, once.
- Over the wire go 1.1 kB to a model and 0.2 back, 13 MB in all. The way there and back takes 11 ms on
  one machine, of which Dask's pages give its scheduler 1; 256 workers ask it for four models a second.
- The folder holds 250 bytes for each, 2.5 MB in all (40 in blocks of 4 kB), and no weights: a model can
  be made again from its seeds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from vae_helpers.experiments.cluster import ClusterCrew
from vae_helpers.experiments.point import Point, Row, settings_of, train_point
from vae_helpers.experiments.table import draw_sweep, print_table, summarize, write_table
from vae_helpers.models._bar import bar
from vae_helpers.models.likelihoods import LIKELIHOODS
from vae_helpers.numerics._validate import as_number, path_option
from vae_helpers.shipped.crew import LocalCrew
from vae_helpers.shipped.recipes import exit_code, write_json

AXES = {field.name for field in fields(Point)}
LOOK = 2.0  # seconds after which it is asked again whether the cluster has grown


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
) -> tuple[int, dict[str, list[Point]]]:
    """Has all points worked on, as many at once as the crew can.

    Args:
        points: which.
        crew: who.
        work: for each point the function and its arguments, which give its row.
        keep: is given each row as it comes.
        over: whether to start no more.

    Returns:
        How many were not started, and by the reason, such as workers that were killed, those without a row.

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
            except ImportError as error:
                refused = ValueError(f"scheduler: expected the course on each of its workers, got: {error}")
            except ValueError as error:
                refused = error  # what others are still working on is waited for
            except (RuntimeError, MemoryError, crew.lost) as error:
                lost.setdefault(f"{type(error).__name__}: {error}".splitlines()[0], []).append(point)
    if refused:
        raise refused
    return len(waiting), lost


def main(arguments: list[str] | None = None) -> int:
    """Trains what is missing of the grid on the command line, and writes table and picture."""
    parser = argparse.ArgumentParser(
        "python -m vae_helpers sweep",
        usage="%(prog)s [--folder OUT] [--scheduler ADDRESS] [options, see --help]",
        description=(__doc__ or "").partition("\n")[0],
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
        type=path_option,
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
    finished = {_point(row) for row in folder.rows()}
    waiting = [point for point in points if point not in finished]
    crew = LocalCrew(options.workers) if options.scheduler is None else ClusterCrew(options.scheduler)
    try:
        folder.begin()
        done = {"total": len(points), "initial": len(points) - len(waiting)}
        with bar(progress=True, **done, unit="model", mininterval=0) as shown:

            def keep(row: Row) -> None:
                folder.keep(row)
                shown.set_postfix_str(_point(row).name, refresh=False)
                shown.update()

            left, lost = work_through(
                waiting,
                crew,
                lambda point: (train_point, asdict(point), settings, data),
                keep,
                lambda: budget is not None and time.monotonic() - started >= budget,
            )
    finally:
        crew.close()
    if rows := folder.rows():
        table = summarize(rows)
        write_table(folder.path / "table.csv", table)
        draw_sweep(folder.path / "sweep.png", table)
        print_table(table)
        for row in rows:
            if "failed" in row:
                print(f"{_point(row).name} failed: {row['failed']}")
        print(f"in nats per image, mean ± spread over seeds; table.csv and sweep.png are in {folder.path}")
    for reason, these in lost.items():
        print(f"no result for {len(these)}, such as {these[0].name}: {reason}", file=sys.stderr)
    if left := left + sum(map(len, lost.values())):
        print(f"{left} of {len(points)} models are left; the same command goes on with them")
    return 1 if lost else 0


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
