"""The checks of notebook 7's exercises."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special, stats

from vae_helpers.checks.engine.calling import Failed, Student
from vae_helpers.checks.engine.exercise import Extremes, Mistake, Task, check_task
from vae_helpers.checks.engine.report import Finding, Report, report
from vae_helpers.checks.parts.elbo.probe_models import on_copies, small_vae
from vae_helpers.models.vae import VAE
from vae_helpers.numerics import gaussian

Array = NDArray[np.float64]


def check_cost_of_precision(fn: Callable[..., Any]) -> Report:
    """Checks a function for the average KL of a latent that fills the prior.

    Args:
        fn: takes std, the σ of q for every image, between 0 and 1, while the average over images of
            μ² is 1 - σ²; returns the average KL to N(0, 1), in nats, a number.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Kingma & Welling 2014, appendix B, averaged over images.
    """
    return check_task(fn, COST_OF_PRECISION)


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
    for model, order, x, z in _models_to_permute():
        given = copy.deepcopy(model)
        seen = f"For a model with {len(order)} latents and order = {tuple(order.tolist())}"
        try:
            moved = _what_moved(model, student.raw(given, order.clone()), order, x, z)
        except Failed as failed:
            not_attempted = failed.finding.code == "not-attempted"
            return report(PERMUTED, [failed.finding], "" if not_attempted else f"{seen}:")
        if set(moved.values()) != {"right"}:
            described = ", ".join(f"{part} {how}" for part, how in moved.items())
            return report(PERMUTED, _how_it_moved(moved), f"{seen}: {described}.")
        old, new = model.state_dict(), given.state_dict()
        changed |= not all(torch.equal(old[name], new[name]) for name in old)
    notes = ["your function changes the model that it is given; its caller may still need it."]
    return report(PERMUTED, notes=notes if changed else [])


def check_blend(fn: Callable[..., Any]) -> Report:
    """Checks a function for a point between two draws of the prior that is again such a draw.

    Args:
        fn: takes z1 and z2, independent draws of the prior, arrays or tensors of one shape, and a, the
            weight of z1, from 0 to 1; returns a z1 + b z2 with the b ≥ 0 for which this point has the
            prior's distribution.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: White 2016, section 2.1 (interpolation along arcs).
    """
    return check_task(fn, BLEND)


def check_spoilt(fn: Callable[..., Any]) -> Report:
    """Checks a function for the log-evidence of a model that is spoilt with junk.

    Args:
        fn: takes log_p and log_r, the log-probabilities of each image under the model and under the junk,
            shape (batch,), in nats, and junk, the share of draws that are junk, between 0 and 1;
            returns the log-probability of each image under the spoilt model, shape (batch,), in nats.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Theis, van den Oord & Bethge 2016, section 3.2.
    """
    return check_task(fn, SPOILT)


def check_switched_on(fn: Callable[..., Any]) -> Report:
    """Checks a function for the distortion while the latents are switched on one after another.

    Args:
        fn: takes a Bernoulli VAE; x of shape (batch, D); order, an integer tensor, the latent that is
            switched on first standing first; eps and fresh, both (batch, d), standard normal noise for the
            draw from q and for the latents that are left to the prior. Returns the average distortion
            -log p(x given z) in nats per image with the first 0, 1, …, d latents on, shape (d + 1,).

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Alemi et al. 2018, section 2 (distortion).
    """
    return check_task(on_copies(fn), _switched_on_task())


def _average_kl(std: float, second_moment: float | None = None) -> float:
    """The mean of the exact KLs of two images, with means of opposite sign."""
    second_moment = 1 - std**2 if second_moment is None else second_moment
    mu = np.sqrt(second_moment) * np.array([[-1.0], [1.0]])
    return float(gaussian.kl_standard_normal(mu, np.full((2, 1), 2 * np.log(std))).mean())


COST_OF_PRECISION = Task(
    exercise="The cost of precision",
    answer=_average_kl,
    cases=[(np.array(std),) for std in (0.5, 0.1, 0.9, 0.25, 0.015, 1e-3)],
    names=("std",),
    mistakes=[
        Mistake(
            "half",
            lambda std: 2 * _average_kl(std),
            "Your value is twice the right one: the logarithm in the KL is that of σ², and it has a factor.",
        ),
        Mistake(
            "scale",
            lambda std: _average_kl(std) / np.log(2),
            "Your value is in bits; asked is nats.",
        ),
        Mistake(
            "term-missing",
            lambda std: _average_kl(std, 0.0),
            "This is the KL of a latent whose mean never moves. What is the average of μ² here?",
        ),
        Mistake(
            "term-wrong",
            lambda std: _average_kl(std, 1.0),
            "Here the means alone fill the prior. It is the draws whose mean square is 1.",
        ),
        Mistake(
            "term-wrong",
            lambda std: _average_kl(std, (1 - std) ** 2),
            "Your means have size 1 - σ. It is squares that add up to 1.",
        ),
        Mistake(
            "constant",
            lambda std: _average_kl(std) + 0.5,
            "Your value is too large by ½, each time. At σ = 1 q is the prior, and the KL is 0.",
        ),
    ],
    where="notebook 7, section 3",
)

PERMUTED = "The latents in another order"


@functools.cache
def _models_to_permute() -> list[tuple[VAE, torch.Tensor, torch.Tensor, torch.Tensor]]:
    cases = []
    for order in ([1, 2, 3, 0], [4, 0, 3, 9, 1, 8, 2, 6, 7, 5]):  # no order is like its inverse
        g = torch.Generator().manual_seed(len(order))
        model = VAE(len(order), hidden_dim=360, generator=g).eval()
        x = torch.randint(0, 2, (4, 784), generator=g).float()
        cases.append((model, torch.tensor(order), x, torch.randn(4, len(order), generator=g)))
    return cases


def _what_moved(old: VAE, new: Any, order: torch.Tensor, x: torch.Tensor, z: torch.Tensor) -> dict[str, str]:
    """For each part of the new model, which permutation the latents have undergone there.

    Raises:
        Failed: the new model is no VAE, or one of another size.
    """
    try:
        with torch.no_grad():
            mu, log_var = new.encode(x)
            new.decode(z)
    except Exception as error:
        what = type(new).__name__
        text = f"Your function returns a {what} that cannot encode and decode like the VAE that it was given."
        raise Failed(Finding("error", text)) from error
    with torch.no_grad():
        old_mu, old_log_var = old.encode(x)
        logits = old.decode(z)
        matches: dict[str, Callable[[torch.Tensor], bool]] = {
            "the means": lambda p: _close(mu, old_mu[:, p]),
            "the log-variances": lambda p: _close(log_var, old_log_var[:, p]),
            "the decoder's inputs": lambda p: _close(new.decode(z[:, p]), logits),
        }
        known = {
            "right": order,
            "in the old order": order.sort().values,
            "the other way round": order.argsort(),
        }
        return {
            part: next((how for how, p in known.items() if matches_in(p)), "changed in another way")
            for part, matches_in in matches.items()
        }


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-4)


def _how_it_moved(moved: dict[str, str]) -> list[Finding]:
    where = "notebook 7, section 2"
    hows = set(moved.values())
    if hows == {"in the old order"}:
        return [Finding("term-missing", "Nothing has moved: the new model is the old one.", where)]
    findings = []
    if "in the old order" in hows:
        text = "One part was forgotten, so that encoder and decoder no longer speak of the same z."
        findings.append(Finding("term-missing", text, where))
    if "the other way round" in hows:
        text = "An order and its inverse have changed places: which of j and order[j] is an old number?"
        findings.append(Finding("swapped", text, where))
    if "changed in another way" in hows:
        text = (
            "Some latents are not the old ones in any of these orders. Follow one latent's weights by hand."
        )
        findings.append(Finding("term-wrong", text, where))
    return findings


def _blend_with(
    weight: Callable[[float], float], first: Callable[[float], float] = float
) -> Callable[..., Array]:
    return lambda z1, z2, a: first(a) * z1 + weight(a) * z2


def _length_of_straight(a: float) -> float:
    return float(np.hypot(a, 1 - a))


_DRAWS = np.random.default_rng(7).standard_normal((2, 6, 3))
BLEND = Task(
    exercise="A point between two draws",
    answer=_blend_with(lambda a: float(np.sin(np.arccos(a)))),
    cases=[
        (np.array([1.0]), np.array([1.0]), np.array(0.6)),
        (np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array(0.5)),
        (*_DRAWS[:, 0], np.array(0.0)),
        (*_DRAWS[:, 1], np.array(1.0)),
        (*_DRAWS[:, :3], np.array(0.28)),
        (*_DRAWS, np.array(0.9)),
    ],
    names=("z1", "z2", "a"),
    mistakes=[
        Mistake(
            "std-for-var",
            _blend_with(lambda a: 1 - a),
            "This is the straight line: its weights add up to 1. What adds up for independent draws?",
        ),
        Mistake(
            "var-for-std",
            _blend_with(lambda a: 1 - a**2),
            "This is the variance that is left for z2. Which weight gives a draw that variance?",
        ),
        Mistake(
            "term-wrong",
            _blend_with(lambda a: np.sqrt(1 - a)),
            "Here z1 is charged with a for its variance. What is the variance of a z1?",
        ),
        Mistake(
            "term-wrong",
            _blend_with(lambda a: np.sqrt(1 - a), np.sqrt),
            "This point has the prior's distribution, but its weight on z1 is not the a that was given.",
        ),
        Mistake(
            "term-wrong",
            lambda z1, z2, a: (a * z1 + (1 - a) * z2) / _length_of_straight(a),
            "This point has the prior's distribution, but its weight on z1 is not the a that was given.",
        ),
        Mistake(
            "term-wrong",
            _blend_with(lambda a: np.sin(np.pi * a / 2), lambda a: np.cos(np.pi * a / 2)),
            "This point has the prior's distribution, but a was the weight of z1, not the way along the arc.",
        ),
        Mistake(
            "term-wrong",
            _blend_with(lambda a: np.sqrt(1 + a**2)),
            "The variances are subtracted where they add up, so that your point lies too far out.",
        ),
        Mistake(
            "swapped",
            lambda z1, z2, a: a * z2 + np.sqrt(1 - a**2) * z1,
            "The two draws have changed places: a is the weight of z1.",
        ),
        Mistake(
            "term-scale",
            _blend_with(lambda a: 1.0),
            "The second draw comes with its full variance, and the first adds to it.",
        ),
    ],
    where="notebook 7, section 4",
)


def _mixed(log_p: Array, log_r: Array, junk: float) -> Array:
    """Two weighted terms under one logarithm, by SciPy."""
    terms, weights = np.stack([log_p, log_r]), np.array([[1 - junk], [junk]])
    return special.logsumexp(terms, axis=0, b=weights)


_LOGS = np.log(np.random.default_rng(8).uniform(0.02, 0.9, (2, 4)))
SPOILT = Task(
    exercise="A model spoilt with junk",
    answer=_mixed,
    cases=[
        (np.log([0.5]), np.log([0.1]), np.array(0.9)),
        (np.log([0.2, 0.1]), np.log([0.3, 0.8]), np.array(0.5)),
        (*_LOGS, np.array(0.25)),
        (*_LOGS[:, :3], np.array(0.05)),
        (np.array([-20.0, -3.0, -8.0]), np.array([-22.0, -30.0, -7.0]), np.array(0.9)),
    ],
    names=("log_p", "log_r", "junk"),
    mistakes=[
        Mistake(
            "term-wrong",
            lambda log_p, log_r, junk: (1 - junk) * log_p + junk * log_r,
            "Logarithms are averaged. An image can arise in two ways: what adds up?",
        ),
        Mistake(
            "term-missing",
            lambda log_p, log_r, junk: np.logaddexp(log_p, log_r),
            "The shares are missing: your probabilities of all images add up to 2.",
        ),
        Mistake(
            "term-missing",
            lambda log_p, log_r, junk: log_p + np.log1p(-junk),
            "This is the lower bound of section 4. The junk, too, gives each image some probability.",
        ),
        Mistake(
            "swapped",
            lambda log_p, log_r, junk: _mixed(log_p, log_r, 1 - junk),
            "The shares have changed places: junk is that of the junk.",
        ),
        Mistake(
            "term-wrong",
            lambda log_p, log_r, junk: np.logaddexp((1 - junk) * log_p, junk * log_r),
            "The shares multiply the logarithms; they belong to the probabilities.",
        ),
        Mistake(
            "term-wrong",
            lambda log_p, log_r, junk: log_p + log_r + np.log(junk * (1 - junk)),
            "The logarithm of a sum is taken for a sum of logarithms.",
        ),
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
    where="notebook 7, section 4",
)


def _distortions(
    model: VAE,
    x: Array,
    order: torch.Tensor,
    eps: Array,
    fresh: Array,
    *,
    power: float = 0.5,
    on: Callable[[Array, int], Array] = np.less,
    pixels: Callable[..., Any] = np.sum,
    images: Callable[..., Any] = np.mean,
) -> Array:
    """By each latent's rank, in float64, with SciPy's logistic distribution."""
    exact = copy.deepcopy(model).double()
    rank = np.argsort(order.numpy())
    with torch.no_grad():
        mu, log_var = (part.numpy() for part in exact.encode(torch.from_numpy(x)))
        z = mu + np.exp(power * log_var) * eps
        mixed = np.stack([np.where(on(rank, k), z, fresh) for k in range(len(rank) + 1)])
        a = exact.decode(torch.from_numpy(mixed)).numpy()
    log_px = np.where(x == 1, stats.logistic.logcdf(a), stats.logistic.logsf(a))
    return -images(pixels(log_px, axis=-1), axis=-1)


def _otherwise(**how: Any) -> Callable[..., Array]:
    return functools.partial(_distortions, **how)


def _flipped(model: VAE, x: Array, order: torch.Tensor, eps: Array, fresh: Array) -> Array:
    return _distortions(model, x, order.flip(0), eps, fresh)


def _by_number(model: VAE, x: Array, order: torch.Tensor, eps: Array, fresh: Array) -> Array:
    return _distortions(model, x, order.sort().values, eps, fresh)


def _ranks_for_order(model: VAE, x: Array, order: torch.Tensor, eps: Array, fresh: Array) -> Array:
    return _distortions(model, x, order.argsort(), eps, fresh)


def _off_at_zero(model: VAE, x: Array, order: torch.Tensor, eps: Array, fresh: Array) -> Array:
    return _distortions(model, x, order, eps, np.zeros_like(fresh))


def _on_at_mean(model: VAE, x: Array, order: torch.Tensor, eps: Array, fresh: Array) -> Array:
    return _distortions(model, x, order, np.zeros_like(eps), fresh)


def _one_noise_for_both(model: VAE, x: Array, order: torch.Tensor, eps: Array, fresh: Array) -> Array:
    return _distortions(model, x, order, eps, eps)


_MISTAKES_IN_SWITCHING: Sequence[Mistake] = [
    Mistake(
        "swapped", _flipped, "The latents are switched on from the other end: order begins with the first."
    ),
    Mistake(
        "swapped",
        _otherwise(on=lambda rank, k: rank >= k),
        "On and off have changed places: with 0 latents on, all of z is left to the prior.",
    ),
    Mistake(
        "term-missing",
        _otherwise(on=lambda rank, k: rank == k - 1),
        "Only one latent is on at a time. Those that were switched on before stay on.",
    ),
    Mistake("term-wrong", _by_number, "The latents are switched on by their number; order is not used."),
    Mistake(
        "term-wrong",
        _ranks_for_order,
        "Order is read the wrong way round: it lists latents, and not the rank of each.",
    ),
    Mistake(
        "noise-missing",
        _off_at_zero,
        "Latents that are off stand at 0. Left to the prior, they vary from image to image.",
    ),
    Mistake(
        "noise-missing",
        _on_at_mean,
        "Latents that are on stand at the mean of q; asked is a draw.",
        "notebook 6, section 5",
    ),
    Mistake(
        "noise-shared", _one_noise_for_both, "The noise of q is used for the prior too; fresh is not used."
    ),
    Mistake(
        "var-for-std", _otherwise(power=1.0), "The noise is scaled by σ², not by σ.", "notebook 5, section 6"
    ),
    Mistake(
        "mean-pixels",
        _otherwise(pixels=np.mean),
        "The distortion is averaged over the pixels.",
        "notebook 6, section 3",
    ),
    Mistake("batch-reduced", _otherwise(images=np.sum), "The distortion of all images together is returned."),
]


@functools.cache
def _switched_on_task() -> Task:
    rng = np.random.default_rng(7)

    def case(seed: int, order: list[int], data_dim: int, batch: int) -> tuple[Any, ...]:
        x = rng.integers(0, 2, (batch, data_dim)).astype(float)
        noise = rng.standard_normal((2, batch, len(order)))
        return small_vae(len(order), data_dim, seed), x, torch.tensor(order), *noise

    return Task(
        exercise="One latent after another",
        answer=_distortions,
        cases=[
            case(1, [1, 0], 4, 2),
            case(2, [2, 0, 1], 6, 3),
            case(3, [1, 3, 0, 2], 8, 5),
            case(4, [3, 4, 0, 2, 1], 12, 9),
        ],
        names=("model", "x", "order", "eps", "fresh"),
        mistakes=_MISTAKES_IN_SWITCHING,
        where="notebook 7, section 3",
        kinds=("torch float32",),
    )
