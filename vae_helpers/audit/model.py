"""How good a model is: its ELBO, log p(x) between bounds, its gaps, and whether q is calibrated."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_helpers.audit.bounds import amortization, annealed_bound, bracket
from vae_helpers.audit.calibration import pareto_k, ranks
from vae_helpers.audit.report import Figure
from vae_helpers.audit.subject import Subject
from vae_helpers.models.evaluation import active_units, gaps, quadrature
from vae_helpers.models.objectives import kl_standard_normal
from vae_helpers.numerics.monte_carlo import estimate

NATS = "nats per image"
_CHUNK = 2**20  # numbers in the decoder's output at a time
FAR_APART = 1.0  # nats between two bounds that should enclose a number
TOO_HEAVY = 0.7  # the Pareto k of importance weights from which their mean says little


class Effort(NamedTuple):
    """How many draws and images are taken.

    Attributes:
        draws: of z for each image, for its ELBO and the importance-weighted bound.
        images: those whose gaps are sought, at most.
        simulated: images simulated from the model, whose log p(x) is bounded from both sides.
        chains: annealed chains for each of them.
        temperatures: of such a chain.
        steps: of the search for the best Gaussian of an image.
        pairs: latents and images simulated from the model for the calibration of q.
        num_grid: points of a grid over the plane, on each axis.
    """

    draws: int
    images: int
    simulated: int
    chains: int
    temperatures: int
    steps: int
    pairs: int
    num_grid: int


EFFORTS = {
    "quick": Effort(100, 20, 40, 4, 60, 100, 500, 200),
    "default": Effort(500, 50, 100, 8, 160, 200, 1000, 300),
    "thorough": Effort(2000, 200, 400, 16, 300, 400, 4000, 600),
}
LEAPFROG = 3
Done = Callable[[float], object]


class Plan(NamedTuple):
    """What will be done, and how long that takes.

    Attributes:
        effort: how many draws and images.
        draws, simulated, gaps, plane: seconds of each part; 0 for one that is left out.
    """

    effort: Effort
    draws: float
    simulated: float
    gaps: float
    plane: float

    @property
    def seconds(self) -> float:
        """The sum of all parts."""
        return self.draws + self.simulated + self.gaps + self.plane


def plan(subject: Subject, x: Tensor, train: Tensor | None, effort: Effort) -> Plan:
    """Times the model on a few images, and says how long everything will take.

    Args:
        subject: the model.
        x: images, (n, D).
        train: images that it was trained on, or None.
        effort: how many draws and images are taken.
    """
    rows = max(8, min(512, _CHUNK // subject.data_dim))
    batch = x[torch.arange(rows, device=x.device) % len(x)]
    z = torch.zeros(rows, subject.latent_dim, dtype=x.dtype, device=x.device)
    forward = _quickest(lambda: subject.log_likelihood(batch, z)) / rows
    backward = 0.0
    if subject.differentiable:
        backward = _quickest(lambda: _slope(subject, batch, z)) / rows
    num = len(x) + (0 if train is None else len(train))
    few = min(effort.images, len(x))
    pilot = effort.temperatures / 4 + 10
    of_simulated = effort.chains * effort.temperatures + effort.temperatures + 4 * pilot
    of_real = effort.chains * effort.temperatures + 4 * pilot
    in_plane = subject.latent_dim <= 2
    points = effort.num_grid**subject.latent_dim if in_plane else 0
    search = few * (2 * 10**subject.latent_dim if in_plane else 8) * effort.steps
    return Plan(
        effort,
        draws=(num * effort.draws + effort.simulated * effort.draws) * forward * 1.2,
        simulated=effort.simulated * of_simulated * LEAPFROG * backward,
        gaps=search * backward + (0 if in_plane else few * of_real * LEAPFROG * backward),
        plane=points * (forward + len(x) * subject.data_dim * 1e-11),
    )


def _quickest(call: Callable[[], object]) -> float:
    """Seconds of the quickest of three calls after one that may prepare."""
    times = []
    for _ in range(4):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def _slope(subject: Subject, x: Tensor, z: Tensor) -> Tensor:
    with torch.enable_grad():
        z = z.clone().requires_grad_()
        return torch.autograd.grad(subject.log_likelihood(x, z).sum(), z)[0]


def figures(
    subject: Subject, x: Tensor, train: Tensor | None, plan: Plan, generator: torch.Generator, done: Done
) -> tuple[dict[str, Figure], list[str]]:
    """All figures of a model, and remarks on them.

    Args:
        subject: the model, in evaluation mode.
        x: images, (n, D).
        train: images that it was trained on, or None.
        plan: how many draws and images are taken.
        generator: where the draws come from.
        done: is told the seconds that a finished part was to take.
    """
    effort, notes = plan.effort, _remarks(subject, x)
    draws = draw(subject, x, effort.draws, generator)
    found = _of_draws(draws, effort)
    if train is not None:
        found |= _of_training(draws, draw(subject, train, effort.draws, generator))
    done(plan.draws)
    found |= _of_encoder(subject, x)
    on_device = torch.Generator(x.device).manual_seed(
        torch.randint(2**62, (), generator=generator, device="cpu").item()
    )
    if subject.latent_dim <= 2:
        found |= _of_plane(quadrature(subject, x, effort.num_grid))
        done(plan.plane)
    if not subject.has_sample:
        return found, [*notes, "the likelihood cannot be sampled from: nothing could be simulated."]
    z, simulated = subject.simulate(effort.pairs, generator)
    found |= _of_ranks(subject, z, simulated)
    if not subject.differentiable:
        notes.append(
            "no gradient passes through decode, so that log p(x) could not be bounded from above, nor the "
            "gaps be told apart."
        )
        return found, notes
    z, simulated = z[: effort.simulated], simulated[: effort.simulated]
    found |= _of_simulated(subject, z, simulated, effort, generator, on_device)
    done(plan.simulated)
    few, apart = x[: effort.images], found["simulated_log_evidence_above"].value
    apart -= found["simulated_log_evidence_below"].value
    if apart > FAR_APART:
        notes.append(
            f"the bounds of simulated images are {apart:.2g} nats apart: some chains miss their posterior, "
            "and what rests on such chains may be too low by as much."
        )
    if subject.latent_dim <= 2:
        found |= _of_gaps_in_the_plane(subject, few, effort)
    else:
        found |= _of_gaps(subject, few, effort, on_device)
    done(plan.gaps)
    return found, notes


def _remarks(subject: Subject, x: Tensor) -> list[str]:
    notes = []
    if subject.likelihood == "bernoulli" and not ((x == 0) | (x == 1)).all():
        notes.append(
            "the images are grey: for these the cross-entropy is a number, but no log-likelihood: the "
            "figures in nats are to be compared with their like alone. "
            "Published figures are for black-and-white images (vae_helpers.models.binarize)."
        )
    if subject.decoder_gives == "logits":
        output = subject.decode(subject.encode(x[:100])[0])
        if output.min() >= 0 and output.max() <= 1:
            notes.append(
                'all logits lie between 0 and 1, as probabilities do: is decoder_gives="probabilities" meant?'
            )
    return notes


# ---- by draws from q ------------------------------------------------------------------------


class Draws(NamedTuple):
    """Of each image, by draws from its q: all float64.

    Attributes:
        rate: KL(q(z given x), p(z)), (n,).
        log_likelihood: log p(x given z), (draws, n).
        log_weight: log p(x, z) - log q(z given x), (draws, n).
    """

    rate: Tensor
    log_likelihood: Tensor
    log_weight: Tensor

    @property
    def elbo(self) -> Tensor:
        """The ELBO of each image, with the KL in closed form, (n,)."""
        return self.log_likelihood.mean(0) - self.rate

    @property
    def noise(self) -> float:
        """The standard error of the mean ELBO over these images, from the draws."""
        num, images = self.log_likelihood.shape
        return math.sqrt(self.log_likelihood.var(0).sum() / num) / images

    @property
    def bound(self) -> Tensor:
        """The importance-weighted bound of each image, by all draws, (n,)."""
        return torch.logsumexp(self.log_weight, 0) - math.log(len(self.log_weight))

    @property
    def noise_of_bound(self) -> float:
        """The standard error of its mean, by the delta method."""
        weights = torch.softmax(self.log_weight, 0) * len(self.log_weight)
        return math.sqrt((weights.var(0) / len(weights)).sum()) / weights.shape[1]


def draw(subject: Subject, x: Tensor, num: int, generator: torch.Generator) -> Draws:
    """Draws z from q for each image, so many at a time as fit into memory."""
    size = max(1, min(len(x), 100, _CHUNK // subject.data_dim))
    step = max(1, _CHUNK // (size * subject.data_dim))
    parts = []
    for batch in x.split(size):
        mu, log_var = subject.encode(batch)
        std, of_batch = torch.exp(0.5 * log_var), []
        for start in range(0, num, step):
            eps = subject.randn(min(step, num - start), *mu.shape, generator=generator)
            z = mu + std * eps
            log_likelihood = subject.log_likelihood(batch, z).double()
            log_ratio = 0.5 * (eps.double() ** 2 - z.double() ** 2 + log_var.double()).sum(-1)
            of_batch.append(torch.stack([log_likelihood, log_likelihood + log_ratio]))
        rate = kl_standard_normal(mu.double(), log_var.double())
        parts.append((rate, *torch.cat(of_batch, dim=1)))
    rates, likelihoods, weights = zip(*parts, strict=True)
    return Draws(torch.cat(rates), torch.cat(likelihoods, 1), torch.cat(weights, 1))


def _of_draws(draws: Draws, effort: Effort) -> dict[str, Figure]:
    num = effort.draws
    over_images = _over_images(draws.elbo)
    elbo = f"{num} draws of each image and the KL in closed form; the error is that of the draws, "
    elbo += f"other images would change it by ± {over_images:.2g}"
    tails = pareto_k(draws.log_weight.cpu().numpy())
    heavy = float(np.mean(tails > TOO_HEAVY))
    below = f"importance-weighted bound of {num} draws; its expectation is at most log p(x)"
    return {
        "negative_elbo": Figure(-draws.elbo.mean().item(), draws.noise, NATS, elbo),
        "rate": Figure(draws.rate.mean().item(), None, NATS, "KL(q, prior) in closed form"),
        "distortion": Figure(
            -draws.log_likelihood.mean().item(), draws.noise, NATS, "-log p(x given z), by the same draws"
        ),
        "log_evidence_below": Figure(draws.bound.mean().item(), draws.noise_of_bound, NATS, below),
        "pareto_k": Figure(
            float(np.median(tails)),
            None,
            "no unit",
            f"tail of an image's weights, the median; above {TOO_HEAVY} for {100 * heavy:.0f} % of them, "
            "whose bounds may be far too low",
        ),
    }


def _over_images(values: Tensor) -> float:
    return float(estimate(values.cpu().numpy()).standard_error)


def _of_training(test: Draws, train: Draws) -> dict[str, Figure]:
    apart = (train.elbo.mean() - test.elbo.mean()).item()
    error = math.hypot(_over_images(test.elbo), _over_images(train.elbo))
    how = "-ELBO of the images minus that of the training images; the error is that of other images"
    return {
        "negative_elbo_train": Figure(
            -train.elbo.mean().item(), train.noise, NATS, "of the training images, in the same way"
        ),
        "overfitting": Figure(apart, error, NATS, how),
    }


# ---- by the encoder alone, and by simulation --------------------------------------------------


def _of_encoder(subject: Subject, x: Tensor) -> dict[str, Figure]:
    active = int(active_units(subject, x).sum())
    how = f"of {subject.latent_dim}: the variance of mu over the images exceeds 0.01"
    return {"active_units": Figure(float(active), None, "latents", how)}


def _of_ranks(subject: Subject, z: Tensor, x: Tensor) -> dict[str, Figure]:
    found = ranks(subject, x, z)
    off = int((np.asarray(found.p_value) < 1e-3 / subject.latent_dim).sum())
    spread = np.asarray(found.rms)
    worst = int(np.abs(np.log(spread)).argmax())
    how = (
        f"rms of (z - mu) / std over {len(x)} simulated images and all latents, 1 for a posterior, above 1 "
        f"where q is too narrow; {spread[worst]:.3g} for latent {worst}; ranks are not uniform for {off} of "
        f"{subject.latent_dim} latents"
    )
    error = float(np.sqrt((np.asarray(found.rms_error) ** 2).sum())) / len(spread)
    return {"calibration": Figure(float(np.sqrt(np.mean(spread**2))), error, "no unit", how)}


def _of_simulated(
    subject: Subject,
    z: Tensor,
    x: Tensor,
    effort: Effort,
    generator: torch.Generator,
    on_device: torch.Generator,
) -> dict[str, Figure]:
    """log p(x) of simulated images between two bounds, and what the ELBO and the importance samples lose."""
    bounds = bracket(subject, x, z, effort.chains, effort.temperatures, LEAPFROG, on_device)
    draws = draw(subject, x, effort.draws, generator)
    lower, upper = bounds.lower.mean().item(), bounds.upper.mean().item()
    num = len(x)
    low_error = math.sqrt((bounds.lower_error**2).sum()) / num
    high_error = math.sqrt((bounds.upper_error**2).sum()) / num
    middle, width = (lower + upper) / 2, abs(upper - lower) / 2
    noise = max(low_error, high_error)  # all but one of their chains are the same
    worst = (bounds.upper - bounds.lower).max().item()
    how = f"annealed chains of {num} images simulated from the model, {{}} (bidirectional Monte Carlo)"
    between = (
        f"the error is half the distance of the bounds, at most {worst:.2g} for an image, and their noise"
    )
    return {
        "simulated_log_evidence_below": Figure(lower, low_error, NATS, how.format("from q to the posterior")),
        "simulated_log_evidence_above": Figure(upper, high_error, NATS, how.format("and back from it")),
        "simulated_gap": Figure(
            middle - draws.elbo.mean().item(),
            width + math.hypot(noise, draws.noise),
            NATS,
            f"log p(x) - ELBO of these images; {between}",
        ),
        "importance_shortfall": Figure(
            middle - draws.bound.mean().item(),
            width + math.hypot(noise, draws.noise_of_bound),
            NATS,
            f"by which {effort.draws} importance samples of these images fall short of log p(x); {between}",
        ),
    }


# ---- gaps -------------------------------------------------------------------------------------


def _of_plane(evidence: object) -> dict[str, Figure]:
    error = evidence.error.max().item()
    how = "by quadrature over all latents; the error is the largest of an image"
    return {"log_evidence": Figure(evidence.log_evidence.mean().item(), error, NATS, how)}


def _of_gaps_in_the_plane(subject: Subject, x: Tensor, effort: Effort) -> dict[str, Figure]:
    with torch.enable_grad():
        found = gaps(subject, x, steps=effort.steps, num_grid=effort.num_grid)
    return _two_gaps(
        found.approximation.mean().item(),
        found.amortization.mean().item(),
        (None, None),
        f"of {len(x)} images, by quadrature; other images would change it by ± "
        f"{_over_images(found.approximation):.2g}",
    )


def _of_gaps(subject: Subject, x: Tensor, effort: Effort, generator: torch.Generator) -> dict[str, Figure]:
    search = amortization(subject, x, effort.steps, 100, generator)
    evidence = annealed_bound(subject, x, effort.chains, effort.temperatures, LEAPFROG, generator)
    num = len(x)
    error = math.sqrt((search.gap_error**2).sum()) / num
    of_evidence = math.sqrt((evidence.lower_error**2 + search.best_elbo_error**2).sum()) / num
    below = math.sqrt((evidence.lower_error**2).sum()) / num
    how = f"annealed chains from q of {num} images, whose expectation is at most log p(x); the ELBO of these "
    how += f"is {search.elbo.mean().item():.4g}"
    return {
        "log_evidence_annealed": Figure(evidence.lower.mean().item(), below, NATS, how),
        **_two_gaps(
            (evidence.lower - search.best_elbo).mean().item(),
            search.gap.mean().item(),
            (of_evidence, error),
            f"of these {num} images; the error is that of the draws, other images would change it by ± "
            f"{_over_images(evidence.lower - search.best_elbo):.2g}",
        ),
    }


def _two_gaps(
    approximation: float, amortization: float, errors: tuple[float | None, float | None], how: str
) -> dict[str, Figure]:
    best = "the best diagonal Gaussian of each image that a search finds"
    return {
        "approximation_gap": Figure(
            approximation, errors[0], NATS, f"log p(x) minus the ELBO of {best}, {how}"
        ),
        "amortization_gap": Figure(
            amortization,
            errors[1],
            NATS,
            "what that Gaussian's ELBO has more than the encoder's, of the same images",
        ),
    }
