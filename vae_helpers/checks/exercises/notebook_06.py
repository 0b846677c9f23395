"""The checks of notebook 6's exercises, beside `check_bernoulli` and `check_elbo`."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special, stats

from vae_helpers.checks.engine.exercise import Extremes, Mistake, Task, check_task
from vae_helpers.checks.engine.report import Report
from vae_helpers.checks.parts.elbo.probe_models import on_copies, small_vae
from vae_helpers.models.vae import VAE

Array = NDArray[np.float64]


def check_hidden_beta(fn: Callable[..., Any]) -> Report:
    """Checks a function for the weight on the KL that a choice of sums and means amounts to.

    Args:
        fn: takes data_dim and latent_dim (numbers), and pixels and latents, each "sum" or "mean": how
            the log-likelihood is reduced over pixels and the KL over latents. Returns the β of the
            β-VAE with proper sums that has the same minima, a number.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Higgins et al. 2017, section 4.2, who normalise β by the two sizes.
    """
    return check_task(fn, HIDDEN_BETA)


def check_best_constant(fn: Callable[..., Any]) -> Report:
    """Checks a function for what the best decoder costs that ignores z.

    Args:
        fn: takes images of shape (N, D), with values in [0, 1]; returns -log p(x) of the best such model
            on these images, in nats per image, a number.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Cover & Thomas 2006, theorem 5.4.3 (the cost of a code is its entropy if the code fits).
    """
    return check_task(fn, BEST_CONSTANT)


def check_tighter_bound(fn: Callable[..., Any]) -> Report:
    """Checks a function for the importance-weighted bound with given noise.

    Args:
        fn: takes a Bernoulli VAE, x of shape (batch, D) and standard normal noise eps of shape
            (num_samples, batch, d); returns the bound on log p(x) that these draws give, in nats,
            shape (batch,).

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Burda, Grosse & Salakhutdinov 2016, eq. 8.
    """
    return check_task(on_copies(fn), _tighter_bound_task())


def _beta(data_dim: float, latent_dim: float, pixels: str, latents: str) -> float:
    """What one latent's KL weighs against one pixel: the reductions, taken of (1, 0, 0, …)."""
    reduce = {"sum": np.sum, "mean": np.mean}
    return float(reduce[latents](np.eye(1, int(latent_dim))) / reduce[pixels](np.eye(1, int(data_dim))))


HIDDEN_BETA = Task(
    exercise="The β in a loss",
    answer=_beta,
    cases=[
        (4, 2, "sum", "sum"),
        (4, 2, "mean", "sum"),
        (4, 2, "sum", "mean"),
        (6, 3, "mean", "mean"),
        (784, 20, "mean", "mean"),
        (784, 20, "sum", "mean"),
        (100, 5, "mean", "sum"),
    ],
    names=("data_dim", "latent_dim", "pixels", "latents"),
    mistakes=[
        Mistake(
            "swapped",
            lambda *case: 1 / _beta(*case),
            "This is the weight of the log-likelihood against the KL. β is the other weight, once the "
            "log-likelihood stands there with weight 1.",
        ),
        Mistake(
            "term-missing",
            lambda n, d, pixels, latents: n if pixels == "mean" else 1,
            "A mean over the latents changes nothing in your β, and yet it makes the KL smaller.",
        ),
        Mistake(
            "term-missing",
            lambda n, d, pixels, latents: 1 / d if latents == "mean" else 1,
            "A mean over the pixels changes nothing in your β, and yet it makes the log-likelihood smaller.",
        ),
        Mistake(
            "term-wrong",
            lambda n, d, pixels, latents: (n if pixels == "mean" else 1) * (d if latents == "mean" else 1),
            "A mean over the latents makes your β larger. Does it make the KL weigh more?",
        ),
        Mistake(
            "term-wrong",
            lambda n, d, pixels, latents: (
                (1 / n if pixels == "mean" else 1) / (d if latents == "mean" else 1)
            ),
            "A mean over the pixels makes your β smaller. Against what is the KL weighed?",
        ),
        Mistake(
            "swapped",
            lambda n, d, pixels, latents: (n if pixels == "sum" else 1) / (d if latents == "sum" else 1),
            "Sum and mean have changed places: with two sums the loss is -ELBO itself.",
        ),
        Mistake(
            "swapped",
            lambda n, d, pixels, latents: (d if pixels == "mean" else 1) / (n if latents == "mean" else 1),
            "The two sizes have changed places: which of the sums has data_dim terms?",
        ),
    ],
    where="notebook 6, section 3",
)


def _cost_of_the_mean(images: Array) -> float:
    """The sum of the entropies of D coins (by SciPy, which knows that 0 log 0 = 0)."""
    return float(stats.bernoulli.entropy(np.mean(images, axis=0)).sum())


def _entropy(lam: Array) -> Array:
    return special.entr(lam) + special.entr(1 - lam)


BEST_CONSTANT = Task(
    exercise="The best decoder that ignores z",
    answer=_cost_of_the_mean,
    cases=[
        (np.array([[0.0, 1.0], [1.0, 0.0]]),),
        (np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]),),
        (np.array([[0.1, 0.9, 0.4], [0.3, 0.6, 0.4]]),),
        (np.random.default_rng(1).beta(0.4, 0.8, (7, 5)),),
        (np.random.default_rng(2).beta(0.5, 2.0, (30, 12)),),
    ],
    names=("images",),
    mistakes=[
        Mistake(
            "mean-pixels",
            lambda images: _entropy(images.mean(axis=0)).mean(),
            "The more pixels, the more an image costs; yours is averaged over them.",
            "notebook 6, section 3",
        ),
        Mistake(
            "batch-reduced",
            lambda images: len(images) * _cost_of_the_mean(images),
            "The cost of all images together is returned; asked is the cost of one, on average.",
        ),
        Mistake(
            "term-missing",
            lambda images: special.entr(images.mean(axis=0)).sum(),
            "Only the inked pixels are charged. What does the model pay for a pixel that stays empty?",
        ),
        Mistake(
            "term-missing",
            lambda images: special.entr(1 - images.mean(axis=0)).sum(),
            "Only the empty pixels are charged. What does the model pay for a pixel that is inked?",
        ),
        Mistake(
            "term-wrong",
            lambda images: _entropy(images).sum(axis=-1).mean(),
            "This is the floor of section 1: what the tosses cost someone who knows each grey value. A "
            "decoder that ignores z does not know which image it is.",
            "notebook 6, section 1",
        ),
        Mistake(
            "term-wrong",
            lambda images: images.shape[1] * np.log(2),
            "Fair coins are one choice of constant logits, but not the best for these images.",
        ),
        Mistake(
            "term-wrong",
            lambda images: images.shape[1] * float(_entropy(images.mean())),
            "One probability serves all pixels. The decoder may return another logit for each.",
        ),
        Mistake(
            "probabilities-not-logits",
            lambda images: np.logaddexp(0, m := images.mean(axis=0)).sum() - (m * m).sum(),
            "The mean image is handed over as logits. Which logit has that probability?",
        ),
    ],
    extremes=Extremes(
        cases=[
            (np.array([[0.0, 1.0], [0.0, 0.0]]),),
            (np.array([[1.0, 0.25], [1.0, 0.75]]),),
            (np.zeros((3, 4)),),
        ],
        cause="A pixel that is never inked, or always, makes it infinite or NaN, or costs too much.",
        tolerance=0.01,  # whoever keeps probabilities a thousandth away from 0 and 1 is right enough
    ),
    where="notebook 6, section 4",
    tolerance=3e-4,
)


class _Parts(NamedTuple):
    """What stands under the logarithm of the bound, by SciPy in float64: each (num_samples, batch)."""

    log_px: Array
    log_pz: Array
    log_q: Array
    kl: Array


def _parts(
    model: VAE, x: Array, eps: Array, power: float = 0.5, pixels: Callable[..., Any] = np.sum
) -> _Parts:
    exact = copy.deepcopy(model).double()
    with torch.no_grad():
        mu, log_var = (part.numpy() for part in exact.encode(torch.from_numpy(x)))
        z = mu + np.exp(power * log_var) * eps
        a = exact.decode(torch.from_numpy(z)).numpy()
    std = np.exp(0.5 * log_var)
    log_px = pixels(np.where(x == 1, stats.logistic.logcdf(a), stats.logistic.logsf(a)), axis=-1)
    log_pz, log_q = stats.norm.logpdf(z).sum(axis=-1), stats.norm.logpdf(z, mu, std).sum(axis=-1)
    kl = 0.5 * (std**2 + mu**2 - 1 - log_var).sum(axis=-1)
    return _Parts(log_px, log_pz, log_q, np.broadcast_to(kl, log_px.shape))


def _log_mean(log_ratio: Array) -> Array:
    return special.logsumexp(log_ratio, axis=0, b=1 / len(log_ratio))


def _bound(model: VAE, x: Array, eps: Array) -> Array:
    p = _parts(model, x, eps)
    return _log_mean(p.log_px + p.log_pz - p.log_q)


def _bound_of(
    combine: Callable[[_Parts], Array], power: float = 0.5, pixels: Callable[..., Any] = np.sum
) -> Callable[..., Array]:
    """The bound with another ratio, or with other parts."""
    return lambda model, x, eps: _log_mean(combine(_parts(model, x, eps, power, pixels)))


def _ratio(p: _Parts) -> Array:
    return p.log_px + p.log_pz - p.log_q


_MISTAKES_IN_THE_BOUND = [
    Mistake(
        "term-wrong",
        lambda *case: _ratio(_parts(*case)).mean(axis=0),
        "The logarithms are averaged. That is the ELBO once more, by several draws, and no tighter.",
    ),
    Mistake(
        "term-wrong",
        lambda *case: (p := _parts(*case)).log_px.mean(axis=0) - p.kl[0],
        "This is the ELBO, averaged over several draws: each draw is under a logarithm of its own.",
    ),
    Mistake(
        "term-wrong",
        lambda *case: _log_mean((p := _parts(*case)).log_px - p.kl),
        "The KL is an average over all z. Under the logarithm each draw needs the ratio at its own place.",
    ),
    Mistake(
        "term-missing",
        lambda *case: special.logsumexp(_ratio(_parts(*case)), axis=0),
        "The ratios are added up and not averaged, so that your value grows with each draw.",
    ),
    Mistake(
        "term-missing",
        _bound_of(lambda p: p.log_px),
        "Only the likelihood stands under the logarithm: right for draws from the prior, not for these.",
    ),
    Mistake(
        "term-missing",
        _bound_of(lambda p: p.log_px - p.log_q),
        "The prior is missing: the numerator is the joint density of x and z.",
    ),
    Mistake(
        "term-missing",
        _bound_of(lambda p: p.log_px + p.log_pz),
        "Nothing is divided by: the draws come from q, and each must be weighed by how likely q made it.",
    ),
    Mistake(
        "term-sign",
        _bound_of(lambda p: p.log_px + p.log_pz + p.log_q),
        "The density of q multiplies where it should divide.",
    ),
    Mistake(
        "term-sign",
        _bound_of(lambda p: p.log_px - p.log_pz + p.log_q),
        "Prior and q have changed places in the ratio.",
    ),
    Mistake(
        "var-for-std",
        _bound_of(_ratio, power=1.0),
        "The noise is scaled by σ², not by σ, so that the draws are not from q.",
        "notebook 5, section 6",
    ),
    Mistake(
        "mean-pixels",
        _bound_of(_ratio, pixels=np.mean),
        "The log-likelihood is averaged over the pixels.",
        "notebook 6, section 3",
    ),
    Mistake(
        "noise-missing",
        lambda model, x, eps: _bound(model, x, np.zeros_like(eps)),
        "The noise is not used: z is always the mean of q.",
        "notebook 5, section 3",
    ),
    Mistake(
        "not-log",
        lambda *case: np.exp(_bound(*case)),
        "This is an estimate of p(x); asked is its logarithm.",
    ),
]


@functools.cache
def _tighter_bound_task() -> Task:
    """The exercise with a few pixels, and with 784 of them at the extreme."""
    rng = np.random.default_rng(6)

    def case(seed: int, data_dim: int, num_samples: int, batch: int, latent_dim: int) -> tuple[Any, ...]:
        x = rng.integers(0, 2, (batch, data_dim)).astype(float)
        return small_vae(latent_dim, data_dim, seed), x, rng.standard_normal((num_samples, batch, latent_dim))

    moderate = [case(1, 4, 1, 2, 1), case(2, 5, 2, 3, 2), case(3, 6, 5, 3, 2), case(4, 8, 20, 4, 3)]
    return Task(
        exercise="The bound by many draws",
        answer=_bound,
        cases=moderate,
        names=("model", "x", "eps"),
        mistakes=_MISTAKES_IN_THE_BOUND,
        where="notebook 6, section 5",
        kinds=("torch float32",),
        extremes=Extremes(
            [case(5, 784, 5, 2, 2)],
            cause="It is right for images of a few pixels and breaks down at 784, where a probability is "
            "smaller than any number that a computer can hold.",
        ),
    )
