"""The exercises of notebook 7."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
import torch
from scipy import special
from torch import Tensor

from vae_helpers.checks.engine.calling import Failed, Student
from vae_helpers.checks.engine.exercise import Case, Exercise, Extremes, Mistake
from vae_helpers.checks.engine.report import Finding, Report, report
from vae_helpers.checks.exercises._models import encoded, in_torch, log_likelihood
from vae_helpers.checks.parts.elbo.probe_models import small_vae
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import Array


def _average_of_terms(std: float, *, mean_square=lambda std: 1 - std**2, one=1, half=0.5, unit=1) -> float:
    """½ (σ² + E[μ²] - 1 - log σ²), in a unit of so many nats."""
    return half * (std**2 + mean_square(std) - one - np.log(std**2)) / unit


check_cost_of_precision = Exercise(
    title="The cost of precision",
    takes="std, the σ of q for every image, between 0 and 1, while the average over images of μ² is 1 - σ²",
    returns="the average KL to N(0, 1), in nats, a number",
    source="Kingma & Welling 2014, appendix B, averaged over images",
    where="notebook 7, section 3",
    # The draws have the prior's mean square, and with it the prior's cross-entropy: its own entropy.
    truth=lambda std: scipy.stats.norm.entropy() - scipy.stats.norm.entropy(scale=std),
    program=_average_of_terms,
    cases=[(np.array(std),) for std in (0.5, 0.1, 0.9, 0.25, 0.015, 1e-3)],
    mistakes=[
        "Your value is twice the right one: the logarithm in the KL is that of σ², and it has a factor.",
        Mistake("half", half=1),
        "Your value is in bits; asked is nats.",
        Mistake("scale", unit=np.log(2)),
        "This is the KL of a latent whose mean never moves. What is the average of μ² here?",
        Mistake("term-missing", mean_square=lambda std: 0),
        "Here the means alone fill the prior. It is the draws whose mean square is 1.",
        Mistake("term-wrong", mean_square=lambda std: 1),
        "Your means have size 1 - σ. It is squares that add up to 1.",
        Mistake("term-wrong", mean_square=lambda std: (1 - std) ** 2),
        "Your value is too large by ½, each time. At σ = 1 q is the prior, and the KL is 0.",
        Mistake("constant", one=0),
    ],
)


_PERMUTED = "The latents in another order"
_STAYED = "Nothing has moved: the new model is the old one."
_FORGOTTEN = "One part was forgotten, so that encoder and decoder no longer speak of the same z."
_INVERTED = "An order and its inverse have changed places: which of j and order[j] is an old number?"
_STRANGE = "Some latents are not the old ones in any of these orders. Follow one latent's weights by hand."
_SAID_OF_PARTS = {
    "in the old order": ("term-missing", _FORGOTTEN),
    "the other way round": ("swapped", _INVERTED),
    "changed in another way": ("term-wrong", _STRANGE),
}


def check_permuted(fn: Callable[..., Any]) -> Report:
    """Checks a function that gives the latents of a VAE another order.

    Args:
        fn: takes a VAE with two hidden layers and order, an integer tensor with the numbers 0, …, d - 1;
            returns a VAE whose latent j is latent order[j] of the given one.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Kingma & Welling 2014, section 3 (prior and q are products over latents).
    """
    student, changed = Student(fn), False
    for order in map(torch.tensor, ([1, 2, 3, 0], [4, 0, 3, 9, 1, 8, 2, 6, 7, 5])):  # none like its inverse
        g = torch.Generator().manual_seed(len(order))
        model = VAE(len(order), hidden_dim=360, generator=g).eval()
        x, z = torch.randint(0, 2, (4, 784), generator=g).float(), torch.randn(4, len(order), generator=g)
        given = copy.deepcopy(model)
        seen = f"For a model with {len(order)} latents and order = {tuple(order.tolist())}:"
        try:
            moved = _what_moved(model, student.raw(given, order.clone()), order, x, z)
        except Failed as failed:
            return report(_PERMUTED, [failed.finding], "" if failed.finding.code == "not-attempted" else seen)
        hows = set(moved.values())
        if hows != {"right"}:
            said = [what for how, what in _SAID_OF_PARTS.items() if how in hows]
            if hows == {"in the old order"}:
                said = [("term-missing", _STAYED)]
            seen += " " + ", ".join(f"{part} {how}" for part, how in moved.items()) + "."
            return report(_PERMUTED, [Finding(*what, "notebook 7, section 2") for what in said], seen)
        changed |= not all(map(torch.equal, model.parameters(), given.parameters()))
    notes = ["your function changes the model that it is given; its caller may still need it."]
    return report(_PERMUTED, notes=notes if changed else [])


@torch.no_grad()
def _what_moved(old: VAE, new: Any, order: Tensor, x: Tensor, z: Tensor) -> dict[str, str]:
    """For each part of the new model, how the latents stand there; fails if it is no VAE of this size."""
    try:
        (mu, log_var), _ = new.encode(x), new.decode(z)
    except Exception as error:
        what = type(new).__name__
        text = f"Your function returns a {what} that cannot encode and decode like the VAE that it was given."
        raise Failed(Finding("error", text)) from error
    old_mu, old_log_var = old.encode(x)
    fits_in: dict[str, Callable[[Tensor], bool]] = {
        "the means": lambda p: _close(mu, old_mu[:, p]),
        "the log-variances": lambda p: _close(log_var, old_log_var[:, p]),
        "the decoder's inputs": lambda p: _close(new.decode(z[:, p]), old.decode(z)),
    }
    known = {"right": order, "in the old order": order.sort().values, "the other way round": order.argsort()}
    return {
        part: next((how for how, p in known.items() if fits(p)), "changed in another way")
        for part, fits in fits_in.items()
    }


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-4)


def _by_weights(z1: Array, z2: Array, a: float, *, weights=lambda a: (a, np.sqrt(1 - a**2))) -> Array:
    """The variances of independent draws add up, and the squares of the weights with them: to 1."""
    first, second = weights(a)
    return first * z1 + second * z2


_DRAWS = np.random.default_rng(7).standard_normal((2, 6, 3))

check_blend = Exercise(
    title="A point between two draws",
    takes="z1 and z2, independent draws of the prior (arrays or tensors of one shape), and a, from 0 to 1",
    returns="a z1 + b z2 with the b ≥ 0 for which this point has the prior's distribution",
    source="White 2016, section 2.1 (interpolation along arcs)",
    where="notebook 7, section 4",
    truth=lambda z1, z2, a: np.cos(np.arccos(a)) * z1 + np.sin(np.arccos(a)) * z2,
    program=_by_weights,
    cases=[
        (np.array([1.0]), np.array([1.0]), np.array(0.6)),
        (np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array(0.5)),
        (*_DRAWS[:, 0], np.array(0.0)),
        (*_DRAWS[:, 1], np.array(1.0)),
        (*_DRAWS[:, :3], np.array(0.28)),
        (*_DRAWS, np.array(0.9)),
    ],
    mistakes=[
        "This is the straight line: its weights add up to 1. What adds up for independent draws?",
        Mistake("std-for-var", weights=lambda a: (a, 1 - a)),
        "This is the variance that is left for z2. Which weight gives a draw that variance?",
        Mistake("var-for-std", weights=lambda a: (a, 1 - a**2)),
        "Here z1 is charged with a for its variance. What is the variance of a z1?",
        Mistake("term-wrong", weights=lambda a: (a, np.sqrt(1 - a))),
        "This point has the prior's distribution, but its weight on z1 is not the a that was given.",
        Mistake("term-wrong", weights=lambda a: np.sqrt([a, 1 - a])),
        Mistake("term-wrong", weights=lambda a: np.array([a, 1 - a]) / np.hypot(a, 1 - a)),
        "This point has the prior's distribution, but a was the weight of z1, not the way along the arc.",
        Mistake("term-wrong", weights=lambda a: (np.cos(np.pi * a / 2), np.sin(np.pi * a / 2))),
        "The variances are subtracted where they add up, so that your point lies too far out.",
        Mistake("term-wrong", weights=lambda a: (a, np.sqrt(1 + a**2))),
        "The two draws have changed places: a is the weight of z1.",
        Mistake("swapped", weights=lambda a: (np.sqrt(1 - a**2), a)),
        "The second draw comes with its full variance, and the first adds to it.",
        Mistake("term-scale", weights=lambda a: (a, 1)),
    ],
)


def _in_logarithms(
    *case: Array, shares=lambda junk: (1 - junk, junk), log=np.log, times=np.add, plus=np.logaddexp
) -> Array:
    """log((1 - junk) p + junk r): a product is a sum of logarithms, and a sum is their `logaddexp`."""
    log_p, log_r, junk = case
    of_model, of_junk = log(shares(junk))
    return plus(times(of_model, log_p), times(of_junk, log_r))


_LOGS = np.log(np.random.default_rng(8).uniform(0.02, 0.9, (2, 4)))

check_spoilt = Exercise(
    title="A model spoilt with junk",
    takes=(
        "log_p and log_r, the log-probabilities of each image under the model and under the junk, shape "
        "(batch,), in nats, and junk, the share of draws that are junk, between 0 and 1"
    ),
    returns="the log-probability of each image under the spoilt model, shape (batch,), in nats",
    source="Theis, van den Oord & Bethge 2016, section 3.2",
    where="notebook 7, section 4",
    truth=lambda log_p, log_r, junk: special.logsumexp([log_p, log_r], axis=0, b=[[1 - junk], [junk]]),
    program=_in_logarithms,
    cases=[
        (np.log([0.5]), np.log([0.1]), np.array(0.9)),
        (np.log([0.2, 0.1]), np.log([0.3, 0.8]), np.array(0.5)),
        (*_LOGS, np.array(0.25)),
        (*_LOGS[:, :3], np.array(0.05)),
        (np.array([-20.0, -3.0, -8.0]), np.array([-22.0, -30.0, -7.0]), np.array(0.9)),
    ],
    mistakes=[
        "Logarithms are averaged. An image can arise in two ways: what adds up?",
        Mistake("term-wrong", log=np.array, times=np.multiply, plus=np.add),
        "The shares are missing: your probabilities of all images add up to 2.",
        Mistake("term-missing", shares=lambda junk: (1, 1)),
        "This is the lower bound of section 4. The junk, too, gives each image some probability.",
        Mistake("term-missing", shares=lambda junk: (1 - junk, 0)),
        "The shares have changed places: junk is that of the junk.",
        Mistake("swapped", shares=lambda junk: (junk, 1 - junk)),
        "The shares multiply the logarithms; they belong to the probabilities.",
        Mistake("term-wrong", log=np.array, times=np.multiply),
        "The logarithm of a sum is taken for a sum of logarithms.",
        Mistake("term-wrong", plus=np.add),
    ],
    extremes=Extremes(
        cases=[
            (np.array([-900.0]), np.array([-1000.0]), np.array(0.9)),
            (np.array([-100.0, -2000.0]), np.array([-543.4, -800.0]), np.array(0.5)),
            (np.array([-800.0, -5.0]), np.array([-800.0, -3000.0]), np.array(0.1)),
        ],
        cause="Right for likely images. For others the probability is smaller than any number that a "
        "computer holds.",
    ),
)


def _by_ranks(model: VAE, x: Array, order: Tensor, eps: Array, fresh: Array) -> Array:
    """All numbers of latents at once, with SciPy's logistic distribution."""
    (mu, std), rank = encoded(model, x), np.argsort(order.numpy())
    on = rank < np.arange(len(rank) + 1)[:, None, None]
    return -log_likelihood(model, x, np.where(on, mu + std * eps, fresh)).mean(axis=-1)


def _column_by_column(
    *case: Any,
    on=lambda order, k: order[:k],
    off=lambda eps, fresh: fresh,
    noise=1,
    power=0.5,
    per_pixel=False,
    images=torch.mean,
) -> Tensor:
    """From a copy of the prior's draws, whose first k columns in the order are overwritten by those of q."""
    model, x, order, eps, fresh = in_torch(*case)
    mu, log_var = model.encode(x)
    z, distortions = mu + noise * torch.exp(power * log_var) * eps, []
    for k in range(len(order) + 1):
        mixed = off(eps, fresh).clone()
        mixed[:, on(order, k)] = z[:, on(order, k)]
        distortions.append(-images(model.log_likelihood(x, mixed)) / (x.shape[-1] if per_pixel else 1))
    return torch.stack(distortions)


_RNG = np.random.default_rng(7)  # draws the cases in the order in which they stand below


def _draws(seed: int, order: list[int], data_dim: int, batch: int) -> Case:
    x = _RNG.integers(0, 2, (batch, data_dim)).astype(float)
    noise = _RNG.standard_normal((2, batch, len(order)))
    return small_vae(len(order), data_dim, seed), x, torch.tensor(order), *noise


check_switched_on = Exercise(
    title="One latent after another",
    takes=(
        "a Bernoulli VAE; x of shape (batch, D); order, an integer tensor, the latent that is switched on "
        "first standing first; eps and fresh, both (batch, d), standard normal noise for the draw from q and "
        "for the latents that are left to the prior"
    ),
    returns="the average distortion -log p(x given z) in nats per image with 0, …, d latents on: (d + 1,)",
    source="Alemi et al. 2018, section 2 (distortion)",
    where="notebook 7, section 3",
    truth=_by_ranks,
    program=_column_by_column,
    cases=[
        _draws(1, [1, 0], 4, 2),
        _draws(2, [2, 0, 1], 6, 3),
        _draws(3, [1, 3, 0, 2], 8, 5),
        _draws(4, [3, 4, 0, 2, 1], 12, 9),
    ],
    kinds=("torch float32",),
    mistakes=[
        "The latents are switched on from the other end: order begins with the first.",
        Mistake("swapped", on=lambda order, k: order.flip(0)[:k]),
        "On and off have changed places: with 0 latents on, all of z is left to the prior.",
        Mistake("swapped", on=lambda order, k: order[k:]),
        "Only one latent is on at a time. Those that were switched on before stay on.",
        Mistake("term-missing", on=lambda order, k: order[max(k - 1, 0) : k]),
        "The latents are switched on by their number; order is not used.",
        Mistake("term-wrong", on=lambda order, k: torch.arange(k)),
        "Order is read the wrong way round: it lists latents, and not the rank of each.",
        Mistake("term-wrong", on=lambda order, k: order.argsort()[:k]),
        "Latents that are off stand at 0. Left to the prior, they vary from image to image.",
        Mistake("noise-missing", off=lambda eps, fresh: torch.zeros_like(fresh)),
        "Latents that are on stand at the mean of q; asked is a draw.",
        Mistake("noise-missing", noise=0, where="notebook 6, section 5"),
        "The noise of q is used for the prior too; fresh is not used.",
        Mistake("noise-shared", off=lambda eps, fresh: eps),
        "The noise is scaled by σ², not by σ.",
        Mistake("var-for-std", power=1, where="notebook 5, section 5"),
        "The distortion is averaged over the pixels.",
        Mistake("mean-pixels", per_pixel=True, where="notebook 6, section 3"),
        "The distortion of all images together is returned.",
        Mistake("batch-reduced", images=torch.sum),
    ],
)
