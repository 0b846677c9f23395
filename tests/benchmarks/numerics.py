"""NumPy: closed forms beside torch.distributions, and the memory of a Monte Carlo estimate."""

from __future__ import annotations

import tracemalloc

import numpy as np
import torch
from harness import Claim, Row, in_turn, ratio
from torch.distributions import Normal, kl_divergence

from vae_helpers.numerics import gaussian
from vae_helpers.numerics.monte_carlo import kl_standard_normal_mc

SHAPE = (20_000, 50)


def peak(num_samples: int) -> float:
    """The most memory of an estimate of the KL in MB."""
    tracemalloc.start()
    kl_standard_normal_mc(np.ones(10), np.zeros(10), num_samples, np.random.default_rng(1))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 2**20


def discard(result: object) -> None:
    """Keeps the result from being taken for a measured number."""


def measure(rounds: int) -> dict[str, list[Row]]:
    """Closed forms per number, and memory against the number of draws."""
    rng = np.random.default_rng(1)
    mu, log_var, x = rng.normal(size=SHAPE), rng.normal(size=SHAPE), rng.normal(size=SHAPE)
    of_torch = [torch.from_numpy(array) for array in (mu, log_var, x)]

    standard = Normal(torch.zeros(()), torch.ones(()))

    def normal() -> Normal:
        return Normal(of_torch[0], torch.exp(0.5 * of_torch[1]))

    rows = in_turn(
        {
            "KL, ours": lambda: discard(gaussian.kl_standard_normal(mu, log_var)),
            "KL, torch.distributions": lambda: discard(kl_divergence(normal(), standard).sum(-1)),
            "log-density, ours": lambda: discard(gaussian.log_prob(x, mu, log_var)),
            "log-density, torch.distributions": lambda: discard(normal().log_prob(of_torch[2]).sum(-1)),
        },
        rounds,
    )
    rows = [Row(row.what, [1e9 * value / mu.size for value in row.values], "ns") for row in rows]
    few, many = (Row(f"{n:,} draws of 10 latents", [peak(n)], "MB") for n in (10**5, 10**6))
    growth = Claim("memory with ten times the draws", [many.median / few.median], at_most=1.1)
    return {
        f"Closed forms per number, float64, shape {SHAPE}": [
            *rows,
            ratio("torch.distributions over ours, KL", rows[1], rows[0]),
            ratio("torch.distributions over ours, log-density", rows[3], rows[2]),
        ],
        "Memory of a Monte Carlo KL": [few, many, growth],
    }
