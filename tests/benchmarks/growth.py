"""How cost grows: seconds and memory against batch size, latents and draws, with the power of the growth."""

from __future__ import annotations

import sys

import numpy as np
import torch
from harness import Row, in_fresh_python, in_turn

from vae_helpers.models import VAE, binarize, fit, importance_bounds
from vae_helpers.shipped import load_mnist

BATCHES, LATENTS, DRAWS = (50, 100, 200, 400, 800), (2, 8, 32, 128, 512), (1, 4, 16)
NUM_IMAGES = 8000
SETTINGS = {"precision": torch.float32, "progress": False}


def measure(rounds: int) -> dict[str, list[Row]]:
    """An epoch of 8,000 images, and an evaluation of 100."""
    images = load_mnist("train")[0][:NUM_IMAGES]
    x = binarize(images[:100], torch.Generator().manual_seed(1))

    def epoch(latent_dim: int = 20, batch_size: int = 200, num_samples: int | None = None) -> float:
        options = SETTINGS | {"batch_size": batch_size, "num_samples": num_samples, "warmup": 0.0}
        return fit(VAE(latent_dim), images, 1, **options).seconds[0]

    def evaluate(latent_dim: int = 20, draws: int = 100) -> None:
        importance_bounds(VAE(latent_dim), x, (draws,), torch.Generator().manual_seed(2))

    def memory(work: str) -> float:
        # Not getrusage: its peak begins with that of the process that started this one.
        code = (
            "import torch; from pathlib import Path; "
            "from vae_helpers.models import VAE, fit, importance_bounds; "
            f"{work}; lines = Path('/proc/self/status').read_text().splitlines(); "
            "print(next(int(line.split()[1]) / 1024 for line in lines if line.startswith('VmHWM:')))"
        )
        return float(in_fresh_python(code))

    def of_bounds(draws: int) -> float:
        return memory(f"importance_bounds(VAE(20), torch.zeros(100, 784), ({draws},))")

    def of_training(batch_size: int) -> float:
        settings = f"1, batch_size={batch_size}, precision=torch.float32, progress=False"
        return memory(f"fit(VAE(20), torch.zeros({NUM_IMAGES}, 784), {settings})")

    series = {
        "Seconds of an epoch against the batch size": (BATCHES, lambda n: epoch(batch_size=n)),
        "Seconds of an epoch against the latent dimension": (LATENTS, lambda n: epoch(latent_dim=n)),
        "Seconds of an epoch against the draws for each image": (DRAWS, lambda n: epoch(num_samples=n)),
        "Seconds of importance bounds against the latent dimension": (
            LATENTS,
            lambda n: evaluate(latent_dim=n),
        ),
        "Seconds of importance bounds against the draws": (
            (100, 400, 1600),
            lambda n: evaluate(draws=n),
        ),
    }
    if sys.platform == "linux":  # which keeps the figure
        series["MB of importance bounds against the draws"] = ((100, 400, 1600), of_bounds)
        series["MB of a training against the batch size"] = ((200, 800, 3200), of_training)
    groups = {}
    for name, (sizes, run) in series.items():
        unit, warm_up = ("MB", False) if name.startswith("MB") else ("s", True)
        contestants = {f"{size:,}": lambda size=size, run=run: run(size) for size in sizes}
        rows = [Row(row.what, row.values, unit) for row in in_turn(contestants, rounds, warm_up)]
        slopes = [
            float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
            for seconds in zip(*(row.values for row in rows), strict=True)
        ]
        groups[name] = [*rows, Row("exponent of the growth", slopes, "")]
    return groups
