"""What a sweep says: means and spreads over seeds, as a file, on the screen and as a picture."""

from __future__ import annotations

import csv
import itertools
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vae_helpers.experiments.point import Row
from vae_helpers.models.storage import whole_file
from vae_helpers.pictures.plotting import use_style

Line = dict[str, Any]  # of a table, by `summarize`
MEASURES = ("test_elbo", "test_log_likelihood", "test_kl", "active_units", "train_elbo", "seconds")
PRINTED = 40  # lines of a table that a screen still shows


def summarize(rows: Iterable[Row]) -> list[Line]:
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


def draw_curves(figure: Figure, table: list[Line]) -> None:
    """Draws the ELBO against the latent dimension, and distortion against rate.

    A colour for each β, a kind of line for each hidden size, bars for the spread over seeds. Against the
    rate, dots grow with the latent dimension.

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


def draw_sweep(path: Path, table: list[Line]) -> None:
    """Writes the picture of `draw_curves` as a PNG, whole or not at all; Matplotlib's settings stay.

    Args:
        path: of the file.
        table: as `summarize` returns it.
    """
    with mpl.rc_context(), whole_file(path) as temporary:
        use_style()
        figure = Figure(figsize=(11, 4.2))
        draw_curves(figure, table)
        figure.savefig(temporary, format="png", dpi=150)


def write_table(path: Path, table: list[Line]) -> None:
    """Writes the table as comma-separated values, whole or not at all.

    Args:
        path: of the file.
        table: as `summarize` returns it, not empty.
    """
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


def print_table(table: list[Line]) -> None:
    """Prints as much of the table as a screen shows.

    Args:
        table: as `summarize` returns it.
    """
    print("latents hidden      β seeds        test ELBO   log-likelihood            KL   active  seconds")
    for line in table[:PRINTED]:
        cells = [f"{line['latent_dim']:7}{line['hidden_dim']:7}{line['beta']:7g}{line['seeds']:6}"]
        for name, width in (("test_elbo", 17), ("test_log_likelihood", 17), ("test_kl", 14)):
            spread = "" if line[f"{name}_spread"] is None else f" ± {line[f'{name}_spread']:.2f}"
            cells.append(f"{'–' if line[name] is None else f'{line[name]:.2f}{spread}':>{width}}")
        for name in ("active_units", "seconds"):
            cells.append(f"{'–' if line[name] is None else f'{line[name]:.1f}':>9}")
        print("".join(cells) + (f"  {line['failed']} failed" if line["failed"] else ""))
    if len(table) > PRINTED:
        print(f"… {len(table) - PRINTED} lines more in table.csv")
