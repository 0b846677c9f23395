"""Estimates against what they estimate: bias, coverage, gradients, the order of the bounds, seeds.

Unbiased means: the mean of all repetitions within four of its standard errors of the exact value, which comes
from a closed form or an integral. That would refuse a right estimator once in 16,000 times, and misses one
that is off by seven standard errors once in a thousand; the rows say how much that is.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from scipy import stats
from support.cells import PATHS, code_cells
from support.worlds import generator, linear_world, log_joint, small_vae, small_x
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn.utils import parameters_to_vector

from trust.ledger import ROOT, Row
from vae_helpers.audit import audit, course_vae
from vae_helpers.checks.parts.reparameterize import check_reparameterize
from vae_helpers.models import (
    elbo,
    importance_bounds,
    iwae,
    iwae_for_training,
    kl_standard_normal,
    log_evidence_iwae,
    reparameterize,
)
from vae_helpers.models.likelihoods import binarize
from vae_helpers.numerics import estimate, gaussian, importance_gap, kl_standard_normal_mc

REPETITIONS = 10_000
ROOM = 4.0  # standard errors
SEEN = ROOM + stats.norm.isf(1e-3)  # standard errors that are missed once in a thousand
COVERED = (0.94, 0.96)
COUNTS = (1, 2, 5, 20, 100)
HEAVIER = 1.01
OFF = 0.04  # of σ, which `check_reparameterize` says that it sees
GAUSSIANS = {"one latent": ([0.7], [-1.0]), "three": ([0.7, -0.4, 0.0], [-1.0, 0.5, 0.0])}


def rows(share: float = 1.0) -> Iterator[Row]:
    """What was tried with estimates; each row as soon as it is known."""
    num = max(100, round(REPETITIONS * share))
    yield from closed_forms(num)
    yield from bounds(num)
    yield from gradients(num)
    yield from checks(max(5, round(400 * share)))
    yield from audits(max(2, round(100 * share)))
    yield seeded(max(1, round(5 * share)))


# --- bias and coverage --------------------------------------------------------------------------------


def unbiased(what: str, repeated: np.ndarray, truth: np.ndarray | float, unit: str = "nats") -> Row:
    """A row for an estimator whose repetitions stand along the first axis."""
    error = stats.sem(repeated, axis=0)
    away = np.abs(repeated.mean(axis=0) - truth) / np.maximum(error, 1e-12)
    return Row(
        f"{what}: unbiased",
        repeated.size,
        "values",
        int(np.sum(~(away <= ROOM))),  # NaN is no estimate
        f"at most {np.max(away):.1f} standard errors away; sees {SEEN * np.max(error):.2g} {unit}".rstrip(),
    )


def covered(what: str, low: np.ndarray, high: np.ndarray, truth: float) -> Row:
    """A row for the share of intervals that hold the truth, which has to be 94 to 96 %."""
    share = np.mean((low <= truth) & (truth <= high))
    room = 3 * math.sqrt(0.95 * 0.05 / len(low)) if len(low) < REPETITIONS else 0.0  # of a share of the run
    failed = not COVERED[0] - room <= share <= COVERED[1] + room
    return Row(
        f"{what}: the 95 % interval", len(low), "repetitions", len(low) * failed, f"{share:.1%} hold it"
    )


def closed_forms(num: int) -> Iterator[Row]:
    """Means of draws, the KL by Monte Carlo, coins and Gaussian draws."""
    rng = np.random.default_rng(0)
    for count in (3, 30, 1000):
        found = estimate(rng.normal(1.5, 2.0, (count, num)))
        yield covered(f"`estimate` of {count} normal draws", *found.interval, 1.5)
    yield unbiased("`estimate`, its standard error squared, 30 draws",
                   estimate(rng.normal(1.5, 2.0, (30, num))).standard_error ** 2, 4 / 30, "")  # fmt: skip
    for name, (mu, log_var) in GAUSSIANS.items():
        exact = float(gaussian.kl_standard_normal(mu, log_var))
        found = kl_standard_normal_mc(np.tile(mu, (num, 1)), np.array(log_var), 1000, rng)
        yield unbiased(f"`kl_standard_normal_mc`, {name}", found.mean, exact)
        yield covered(f"`kl_standard_normal_mc`, {name}", *found.interval, exact)
    grey = torch.linspace(0.02, 0.98, 20)
    yield unbiased(
        "`binarize`, 20 greys", binarize(grey.expand(num, 20), generator()).numpy(), grey.numpy(), ""
    )
    mu, log_var = torch.tensor([[0.5, -2.0]]).double(), torch.tensor([[1.0, -3.0]]).double()
    z = reparameterize(mu, log_var, num, generator())[:, 0]
    yield unbiased("`reparameterize`, means", z.numpy(), mu[0].numpy(), "")
    yield unbiased("`reparameterize`, variances", ((z - mu[0]) ** 2).numpy(), log_var[0].exp().numpy(), "")


# --- bounds -------------------------------------------------------------------------------------------


@torch.no_grad()
def bounds(num: int) -> Iterator[Row]:
    """ELBO and importance-weighted bounds in the linear world and of a curved decoder."""
    world, model, x = linear_world(1, 4)
    x = x[:1]
    rows_of_one = x.expand(num, -1)
    mu, log_var = (part.item() for part in model.encode(x))
    mean, cov = (part.item() for part in world.posterior(x[0].numpy()))
    log_evidence = world.log_evidence(x[0].numpy()).item()
    gap = importance_gap(mu, math.exp(log_var / 2), COUNTS, mean, math.sqrt(cov))
    exact = dict(zip(COUNTS, log_evidence - gap, strict=True))
    yield unbiased(
        "`elbo`, one draw", elbo(model, rows_of_one, generator=generator(1)).elbo.numpy(), exact[1]
    )
    for k in COUNTS:
        found = iwae(model, rows_of_one, k, generator(k)).numpy()
        yield unbiased(f"`iwae`, k = {k}, as an estimator of the exact bound", found, exact[k])
    found = log_evidence_iwae(model, rows_of_one, 20, generator(7)).numpy()
    yield unbiased("`log_evidence_iwae`, k = 20, as an estimator of the exact bound", found, exact[20])
    shared = importance_bounds(model, rows_of_one, COUNTS, generator(8))
    for k in COUNTS:
        yield unbiased(f"`importance_bounds`, k = {k}", shared[k].numpy(), exact[k])
    falls = sum(not exact[few] <= exact[more] for few, more in pairwise(COUNTS))
    rises = [(shared[more] - shared[few]).numpy() for few, more in pairwise(COUNTS)]  # by the same draws
    falls += sum(not rise.mean() >= -ROOM * stats.sem(rise) for rise in rises)
    values = ", ".join(f"{exact[k]:.4f}" for k in COUNTS)
    what = "Bounds do not fall as k grows: exactly, and by draws within four standard errors"
    yield Row(what, 2 * len(rises), "steps", falls, f"exactly {values} nats for k = {str(COUNTS)[1:-1]}")
    for likelihood in ("bernoulli", "gaussian"):
        model, x = _curved(likelihood)
        sampled = elbo(model, x.expand(num, -1), generator=generator(2)).elbo
        yield unbiased(
            f"`elbo`, {likelihood} pixels and a curved decoder", sampled.numpy(), _exact_elbo(model, x).item()
        )


def _curved(likelihood: str) -> tuple[torch.nn.Module, Tensor]:
    model = small_vae(likelihood, latent_dim=1).double()
    return model, small_x(model)[:1]


def _exact_elbo(model: torch.nn.Module, x: Tensor) -> Tensor:
    """By Gauss-Hermite nodes, with a gradient."""
    nodes, weight = np.polynomial.hermite_e.hermegauss(80)
    eps, weight = torch.from_numpy(nodes), torch.from_numpy(weight / weight.sum())
    mu, log_var = model.encoder(x).chunk(2, dim=-1)
    q = Normal(mu, torch.exp(log_var / 2))
    z = mu + q.stddev * eps[:, None, None]
    prior = Normal(0.0, 1.0)
    log_likelihood = log_joint(model, x, z) - prior.log_prob(z).sum(dim=-1)
    return (weight[:, None] * log_likelihood).sum() - kl_divergence(q, prior).sum()


# --- gradients ----------------------------------------------------------------------------------------


def gradients(num: int) -> Iterator[Row]:
    """Every estimator of a gradient against the gradient of the exact bound, entry by entry."""
    for likelihood in ("bernoulli", "gaussian"):
        model, x = _curved(likelihood)
        exact = _gradient(model, _exact_elbo(model, x))
        found = _repeated(model, lambda m, rows, g: elbo(m, rows, generator=g).elbo, x, num)
        yield unbiased(f"Gradient of `elbo`, {likelihood} pixels", found, exact, "nats per unit")
    for k in COUNTS[:4]:
        _, model, x = linear_world(1, 4)
        x = x[:1]
        exact = _gradient(model, _exact_bound(model, x, k))
        for estimator in (iwae, iwae_for_training):
            found = _repeated(model, lambda m, rows, g, e=estimator, k=k: e(m, rows, k, g), x, num)
            yield unbiased(f"Gradient of `{estimator.__name__}`, k = {k}", found, exact, "nats per unit")
    (source,) = [cell.source for cell in code_cells(PATHS[5]) if "def estimates(" in cell.source]
    names = {"np": np}
    exec(source, names)  # notebook 5's own two estimators
    mu, std = 2.0, 0.7
    score, path = names["estimates"](mu, std, np.random.default_rng(5).standard_normal(100 * num))
    yield unbiased("Notebook 5's score-function estimator of the slope", score, 2 * mu, "")
    yield unbiased("Notebook 5's path estimator of the slope", path, 2 * mu, "")


def _gradient(model: torch.nn.Module, value: Tensor) -> np.ndarray:
    grads = torch.autograd.grad(value, list(model.parameters()), allow_unused=True)
    pairs = zip(grads, model.parameters(), strict=True)
    return parameters_to_vector([torch.zeros_like(p) if g is None else g for g, p in pairs]).numpy()


def _repeated(model: torch.nn.Module, bound: Callable[..., Tensor], x: Tensor, num: int) -> np.ndarray:
    """Gradients, each the mean over 100 copies of the image, (num / 100, weights)."""
    g, copies = generator(6), x.expand(100, -1)
    return np.stack([_gradient(model, bound(model, copies, g).mean()) for _ in range(max(30, num // 100))])


def _exact_bound(model: torch.nn.Module, x: Tensor, k: int) -> Tensor:
    """E[log of the mean of k weights] by two nested integrals, with a gradient.

    log S = ∫ (exp(-t) - exp(-t S)) dt / t, as in `importance_gap`, but written once more, over standard
    normal noise and with log p(x) left in.
    """
    u = torch.linspace(-10, 10, 2001, dtype=torch.float64)
    weight = torch.exp(Normal(0.0, 1.0).log_prob(u)) * (u[1] - u[0])
    mu, log_var = model.encoder(x).chunk(2, dim=-1)
    q = Normal(mu, torch.exp(log_var / 2))
    z = mu + q.stddev * u[:, None, None]
    log_weight = (log_joint(model, x, z) - q.log_prob(z).sum(dim=-1))[:, 0]
    scale = log_weight.detach().max()
    step = 0.05
    log_t = torch.arange(-60.0, 8.0, step, dtype=torch.float64)
    phi = (weight * torch.exp(-torch.exp(log_t[:, None] + log_weight - scale))).sum(dim=1)
    return scale + step * (torch.exp(-k * torch.exp(log_t)) - phi**k).sum()


# --- checks of answers --------------------------------------------------------------------------------


def checks(num: int) -> Iterator[Row]:
    """What the check of notebook 5's draws says of right answers and of a σ that is a little off."""

    def answer(off: float, seed: int) -> Callable[..., Tensor]:
        g = generator(seed)

        def draw(mu: Tensor, log_var: Tensor) -> Tensor:
            noise = torch.randn(mu.shape, generator=g, dtype=mu.dtype)
            return mu + (1 + off) * torch.exp(log_var / 2) * noise

        return draw

    alarms = sum(bool(check_reparameterize(answer(0.0, seed)).codes) for seed in range(num))
    yield Row("`check_reparameterize` takes right draws, of fresh noise each time", num, "answers", alarms)
    missed = sum(not check_reparameterize(answer(OFF, seed)).codes for seed in range(num))
    yield Row(f"`check_reparameterize` finds a σ that is off by {OFF:.0%}", num, "answers", missed)


def audits(num: int) -> Iterator[Row]:
    """What an audit says of a right loss and of one whose KL weighs a little more, by other draws."""
    model = small_vae(data_dim=12)
    x = small_x(model, 64)

    def mistakes(weight: float, seed: int) -> list[str]:
        def loss(x: Tensor) -> Tensor:
            mu, log_var = model.encode(x)
            z = mu + torch.exp(log_var / 2) * torch.randn_like(mu)
            return (weight * kl_standard_normal(mu, log_var) - model.log_likelihood(x, z)).mean()

        found = audit(
            **course_vae(model),
            images=x,
            loss=loss,
            effort="quick",
            generator=generator(seed),
            progress=False,
        )
        return [mistake.code for mistake in found.mistakes]

    alarms = sum(bool(mistakes(1.0, seed)) for seed in range(num))
    yield Row("`audit` takes the loss of a right VAE, by other draws each time", num, "audits", alarms)
    missed = sum(mistakes(HEAVIER, seed) != ["term-scale"] for seed in range(num))
    yield Row(f"`audit` finds a KL that weighs {HEAVIER - 1:.0%} too much", num, "audits", missed)


# --- seeds --------------------------------------------------------------------------------------------

TRAIN = """
import sys, torch
from vae_helpers.models import VAE, fit
torch.set_num_threads(int(sys.argv[1]))
g = torch.Generator().manual_seed(int(sys.argv[2]))
images = torch.rand(2000, 784, generator=g).round()
model = VAE(2, 400, generator=g)
fit(model, images, 3, generator=g, progress=False)
print(torch.nn.utils.parameters_to_vector(model.parameters()).double().detach().numpy().tobytes().hex())
"""
THREADS = 1e-4  # by which weights may differ at another number of threads


def seeded(num: int) -> Row:
    """Trainings again, in other processes: the same bits, and nearly so at another number of threads."""
    failed, worst = 0, 0.0
    for seed in range(num):
        first, again, other = (_trained(threads, seed) for threads in (1, 1, 2))
        worst = max(worst, float(np.abs(first - other).max()))
        failed += int(not np.array_equal(first, again) or np.abs(first - other).max() > THREADS)
    what = (
        f"A seeded training again: the same bits; at two threads instead of one, weights within {THREADS:g}"
    )
    return Row(what, num, "trainings", failed, f"at two threads at most {worst:.2g} apart")


def _trained(threads: int, seed: int) -> np.ndarray:
    command = [sys.executable, "-c", TRAIN, str(threads), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return np.frombuffer(bytes.fromhex(done.stdout.strip()))
