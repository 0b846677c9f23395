"""The checks of notebook 9's exercises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import integrate

from vae_helpers.checks.engine.exercise import Mistake, Task, check_task
from vae_helpers.checks.engine.report import Report

Array = NDArray[np.float64]


def check_num_alive(fn: Callable[..., Any]) -> Report:
    """Checks a function for the number of latents that a linear VAE keeps alive.

    Args:
        fn: takes eigenvalues, the variances of the data along their principal directions, shape (D,),
            in any order; noise_std, the s of the decoder; beta, the weight of the KL; and num_latents.
            Returns how many latents are alive at the optimum.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Lucas et al. 2019; Tipping & Bishop 1999 (the best weights).
    """
    return check_task(fn, NUM_ALIVE)


def check_noise_to_learn(fn: Callable[..., Any]) -> Report:
    """Checks a function for the noise variance that a linear VAE with given latents would learn.

    Args:
        fn: takes eigenvalues, shape (D,), in any order, and num_latents, smaller than D; returns the s²
            that maximises the ELBO, together with the best weights for it.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Tipping & Bishop 1999 (the best noise variance); Lucas et al. 2019.
    """
    return check_task(fn, NOISE_TO_LEARN)


def check_counted_rate(fn: Callable[..., Any]) -> Report:
    """Checks a function for the rate that is counted under free bits.

    Args:
        fn: takes kl, the KL of each image and latent, shape (batch, d), and free_bits, the nats that
            each latent has for nothing; returns the rate that enters the loss, a number.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Kingma et al. 2016, eq. 15.
    """
    return check_task(fn, COUNTED_RATE)


def check_elbo_lost(fn: Callable[..., Any]) -> Report:
    """Checks a function for what training with a weight β costs a linear VAE, in ELBO.

    Args:
        fn: takes eigenvalues, shape (D,), in any order; noise_var, the s² of the decoder; and beta, the
            weight of the KL in training; returns how many nats the ELBO of the β-optimum lies below
            the best ELBO, a number. There are as many latents as directions.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Alemi et al. 2018 (distortion plus rate at different β); Cover & Thomas 2006,
    section 10.3 (the curve for Gaussian data).
    """
    return check_task(fn, ELBO_LOST)


def check_price_of_free_bits(fn: Callable[..., Any]) -> Report:
    """Checks a function for what free bits cost the ELBO in a world with one direction and one latent.

    Args:
        fn: takes data_var, the variance λ of the data; noise_var, the s² of the decoder; and free_bits,
            the nats that the latent has for nothing; returns how many nats the ELBO lies below its
            maximum when the loss with free bits is at its minimum, a number.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Kingma et al. 2016, eq. 15 (free bits); Cover & Thomas 2006, section 10.3 (the Gaussian curve).
    """
    return check_task(fn, PRICE_OF_FREE_BITS)


def _objective_gain(lam: float, level: float) -> float:
    """How much the best log-evidence of a direction exceeds that without a latent, by a search on w²."""
    w2 = np.concatenate([[0.0], np.geomspace(1e-4, 1e4, 4001)])
    return float(np.max(-0.5 * (np.log1p(w2 / level) + lam / (w2 + level) - lam / level)))


def _alive(eigenvalues: Array, noise_std: float, beta: float, num_latents: int) -> float:
    gains = [_objective_gain(float(lam), float(beta * noise_std**2)) for lam in np.ravel(eigenvalues)]
    return float(min(sum(gain > 0 for gain in gains), num_latents))


def _count(level: Callable[[float, float], float], limited: bool = True) -> Callable[..., float]:
    def answer(eigenvalues: Array, noise_std: float, beta: float, num_latents: int) -> float:
        found = np.sum(eigenvalues > level(noise_std, beta))
        return float(min(found, num_latents) if limited else found)

    return answer


NUM_ALIVE = Task(
    exercise="How many are alive",
    answer=_alive,
    cases=[
        (np.array([4.0, 1.0]), 0.5, 1.0, 2),
        (np.array([0.3, 6.0, 2.0, 0.9]), 0.6, 4.0, 2),
        (np.array([6.0, 4.0, 2.5, 1.5, 0.8, 0.4, 0.2, 0.1]), 0.7, 1.0, 3),
        (np.array([6.0, 4.0, 2.5, 1.5, 0.8, 0.4, 0.2, 0.1]), 1.7, 0.5, 8),
        (np.array([0.05, 0.02, 0.01]), 0.5, 2.0, 3),
        (np.array([5.0, 3.0, 0.7, 0.45, 0.15]), 0.4, 2.0, 5),
        (np.array([5.0, 3.0, 0.7, 0.45, 0.15]), 2.0, 0.1, 5),
    ],
    names=("eigenvalues", "noise_std", "beta", "num_latents"),
    mistakes=[
        Mistake(
            "std-for-var",
            _count(lambda s, beta: beta * s),
            "The eigenvalues are variances, and they are compared with a standard deviation.",
        ),
        Mistake(
            "std-for-var",
            _count(lambda s, beta: (beta * s) ** 2),
            "β is squared together with s. What does it multiply?",
        ),
        Mistake("term-missing", _count(lambda s, beta: s**2), "The weight β is not used."),
        Mistake(
            "term-missing",
            _count(lambda s, beta: beta * s**2, limited=False),
            "You count directions. There may be more of them than latents.",
        ),
        Mistake(
            "term-wrong",
            _count(lambda s, beta: s**2 / beta),
            "The water falls where it should rise: a larger β makes the KL dearer.",
        ),
        Mistake(
            "swapped",
            lambda eigenvalues, s, beta, num_latents: float(np.sum(eigenvalues <= beta * s**2)),
            "These are the dead directions.",
        ),
        Mistake(
            "term-wrong",
            lambda eigenvalues, s, beta, num_latents: float(np.sum(eigenvalues[:num_latents] > beta * s**2)),
            "You look at the first eigenvalues in the list. Need they be the largest?",
        ),
    ],
    where="notebook 9, section 2",
)


def _learned(eigenvalues: Array, num_latents: int) -> float:
    """The s² of the highest log-evidence, by a search that narrows down."""
    lam = np.sort(np.ravel(eigenvalues))[::-1].astype(float)
    low, high = np.log(lam[-1]) - 1, np.log(lam[0]) + 1
    for _ in range(60):
        grid = np.linspace(low, high, 41)
        v = np.exp(grid)[:, None]  # the noise; alive directions are fitted exactly
        variance = np.where(np.arange(len(lam)) < num_latents, np.maximum(lam, v), v)
        best = int(np.argmin((np.log(variance) + lam / variance).sum(axis=1)))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 40)]
    return float(np.exp((low + high) / 2))


def _sorted(eigenvalues: Array) -> Array:
    return np.sort(np.ravel(eigenvalues))[::-1]


_SPECTRUM = np.array([6.0, 4.0, 2.5, 1.5, 0.8, 0.4, 0.2, 0.1])
NOISE_TO_LEARN = Task(
    exercise="The noise that is learned",
    answer=_learned,
    cases=[
        (np.array([3.0, 1.0, 0.5]), 1),
        (np.array([0.2, 0.6, 5.0, 0.1]), 2),
        (_SPECTRUM, 3),
        (_SPECTRUM[::-1].copy(), 6),
        (np.array([1.0, 9.0, 0.3, 2.0, 0.04]), 1),
    ],
    names=("eigenvalues", "num_latents"),
    mistakes=[
        Mistake(
            "term-wrong",
            lambda eigenvalues, d: np.sum(_sorted(eigenvalues)[d:]) / len(eigenvalues),
            "The variance that is left over is spread over all directions, also those that latents describe.",
        ),
        Mistake(
            "batch-reduced",
            lambda eigenvalues, d: np.sum(_sorted(eigenvalues)[d:]),
            "This is all of the variance that is left over. s² is the noise of one direction.",
        ),
        Mistake(
            "swapped",
            lambda eigenvalues, d: np.mean(_sorted(eigenvalues)[:d]),
            "These are the directions that the latents describe; the noise has to explain the others.",
        ),
        Mistake(
            "term-wrong",
            lambda eigenvalues, d: np.mean(eigenvalues[d:]),
            "You look at the last eigenvalues in the list. Need they be the smallest?",
        ),
        Mistake(
            "term-wrong",
            lambda eigenvalues, d: _sorted(eigenvalues)[d],
            "With this noise the largest variance that is left over is just explained; the others, being "
            "smaller, are not.",
        ),
        Mistake(
            "term-wrong",
            lambda eigenvalues, d: _sorted(eigenvalues)[d - 1],
            "With this noise the last of your latents is just about to die.",
        ),
        Mistake(
            "term-wrong",
            lambda eigenvalues, d: np.mean(eigenvalues),
            "This is the best noise without latents.",
        ),
    ],
    where="notebook 9, section 2",
    tolerance=1e-3,
)


def _counted(kl: Array, free_bits: float) -> float:
    """One latent after another, by what it is above or below."""
    total = 0.0
    for column in np.transpose(kl):
        mean = sum(column) / len(column)
        total += mean if mean > free_bits else free_bits
    return float(total)


_KL = np.random.default_rng(9).gamma(0.8, 0.5, (6, 4)) * np.array([2.0, 0.1, 0.6, 0.02])
COUNTED_RATE = Task(
    exercise="The rate that is counted",
    answer=_counted,
    cases=[
        (np.array([[0.9, 0.0], [0.3, 0.2]]), 0.25),
        (np.array([[0.1, 2.0, 0.05], [0.5, 1.0, 0.0]]), 0.4),
        (_KL, 0.1),
        (_KL, 0.5),
        (_KL[:, :3], 0.0),
        (3 * _KL, 0.25),
        (0.1 * _KL, 0.5),
    ],
    names=("kl", "free_bits"),
    mistakes=[
        Mistake(
            "term-wrong",
            lambda kl, free: np.maximum(kl, free).sum(axis=1).mean(),
            "Each image has free bits of its own here. First comes the average over the batch.",
        ),
        Mistake(
            "term-wrong",
            lambda kl, free: np.maximum(kl.mean(axis=0).sum(), free),
            "The free bits are given once, for all latents together.",
        ),
        Mistake(
            "term-wrong",
            lambda kl, free: np.maximum(kl.mean(axis=0).sum(), free * kl.shape[1]),
            "The latents share their free bits, so that one that says much uses those of the dead.",
        ),
        Mistake(
            "swapped",
            lambda kl, free: np.minimum(kl.mean(axis=0), free).sum(),
            "Here the rate has an upper limit. Free bits are a lower one.",
        ),
        Mistake(
            "term-missing",
            lambda kl, free: np.maximum(kl.mean(axis=0) - free, 0.0).sum(),
            "This differs from what is asked by a constant: the free bits themselves, d times.",
        ),
        Mistake(
            "term-missing",
            lambda kl, free: np.where(kl.mean(axis=0) > free, kl.mean(axis=0), 0.0).sum(),
            "A latent below the limit counts nothing here, so that the loss jumps at the limit.",
        ),
        Mistake(
            "term-missing",
            lambda kl, free: kl.mean(axis=0).sum(),
            "This is the rate itself: nothing is free.",
        ),
        Mistake(
            "mean-latent",
            lambda kl, free: np.maximum(kl.mean(axis=0), free).mean(),
            "The rate is a sum over latents, not an average.",
            "notebook 6, section 3",
        ),
        Mistake(
            "batch-reduced",
            lambda kl, free: np.maximum(kl.sum(axis=0), free).sum(),
            "The limit is compared with the sum over the batch, not with the average.",
        ),
        Mistake(
            "swapped",
            lambda kl, free: np.maximum(kl.mean(axis=1), free).sum(),
            "The axes have changed places: rows are images, columns are latents.",
        ),
    ],
    where="notebook 9, section 5",
)


def _lost(eigenvalues: Array, noise_var: float, beta: float) -> float:
    """As the integral of what each further bit of weight costs, as long as the direction is alive."""
    total = 0.0
    for lam in np.ravel(eigenvalues):
        drowns = float(lam / noise_var)
        low, high = min(1.0, drowns), min(float(beta), drowns)
        total += integrate.quad(lambda t: 0.5 - 0.5 / t, low, high)[0]
    return total


def _parts(eigenvalues: Array, s2: float, beta: float) -> tuple[float, float]:
    left = np.minimum(eigenvalues, beta * s2)
    return float(np.sum(left) / (2 * s2)), float(np.sum(0.5 * np.log(eigenvalues / left)))


def _sum_of_parts(eigenvalues: Array, s2: float, beta: float, weight: float = 1.0) -> float:
    distortion, rate = _parts(eigenvalues, s2, beta)
    return distortion + weight * rate


ELBO_LOST = Task(
    exercise="The ELBO that β costs",
    answer=_lost,
    cases=[
        (np.array([4.0]), 1.0, 2.0),
        (np.array([0.5, 3.0]), 0.4, 0.5),
        (_SPECTRUM, 0.5, 4.0),
        (_SPECTRUM[::-1].copy(), 0.3, 0.1),
        (np.array([2.0, 0.1]), 0.5, 16.0),
    ],
    names=("eigenvalues", "noise_var", "beta"),
    mistakes=[
        Mistake(
            "term-wrong",
            lambda lam, s2, beta: _sum_of_parts(lam, s2, beta, beta) - _sum_of_parts(lam, s2, 1.0),
            "You compare the β-weighted objective with the ELBO. How good is the trained model by the ELBO?",
        ),
        Mistake(
            "term-wrong",
            lambda lam, s2, beta: _sum_of_parts(lam, beta * s2, 1.0) - _sum_of_parts(lam, s2, 1.0),
            "The noise of the decoder stays s²: only the training looks as if it were β s².",
        ),
        Mistake(
            "term-missing",
            lambda lam, s2, beta: _parts(lam, s2, 1.0)[1] - _parts(lam, s2, beta)[1],
            "This is the rate that is saved; distortion is paid for it.",
        ),
        Mistake(
            "term-missing",
            lambda lam, s2, beta: _parts(lam, s2, beta)[0] - _parts(lam, s2, 1.0)[0],
            "This is the distortion that is paid; rate is saved by it.",
        ),
        Mistake(
            "term-missing",
            lambda lam, s2, beta: _sum_of_parts(lam, s2, beta),
            "This is minus the ELBO without its constant. Asked is how far it lies from the best.",
        ),
        Mistake(
            "term-wrong",
            lambda lam, s2, beta: float(np.sum(lam > beta * s2)) * 0.5 * (beta - 1 - np.log(beta)),
            "Right for directions that are alive at both weights. Some drown, or come up, in between.",
        ),
        Mistake(
            "term-wrong",
            lambda lam, s2, beta: float(np.sum(lam > s2)) * 0.5 * (beta - 1 - np.log(beta)),
            "Right for directions that are alive at both weights. Some drown, or come up, in between.",
        ),
        Mistake(
            "term-wrong",
            lambda lam, s2, beta: len(lam) * 0.5 * (beta - 1 - np.log(beta)),
            "Right for directions that are alive at both weights. Some are dead.",
        ),
    ],
    where="notebook 9, section 2",
)


def _price(data_var: float, noise_var: float, free_bits: float) -> float:
    """By a search over the share of the variance that is left over."""
    lam, s2 = float(data_var), float(noise_var)
    share = np.concatenate([np.geomspace(1e-6, 1, 200_001), [np.exp(-2 * float(free_bits))]])
    rate, distortion = -0.5 * np.log(share), lam * share / (2 * s2)
    trained = np.argmin(distortion + np.maximum(rate, float(free_bits)))
    cost = distortion + rate
    return float(cost[trained] - cost.min())


def _price_at(lam: float, s2: float, rate: float) -> float:
    """−ELBO at a given rate, above that of the best."""
    best = max(0.5 * np.log(lam / s2), 0.0)
    return float(lam / (2 * s2) * (np.exp(-2 * rate) - np.exp(-2 * best)) + rate - best)


PRICE_OF_FREE_BITS = Task(
    exercise="The price of free bits",
    answer=_price,
    cases=[
        (0.5, 1.0, 0.25),
        (4.0, 1.0, 0.1),
        (1.2, 1.0, 0.5),
        (0.1, 0.5, 1.0),
        (3.0, 0.5, 2.0),
        (0.9, 0.3, 0.02),
    ],
    names=("data_var", "noise_var", "free_bits"),
    mistakes=[
        Mistake(
            "term-missing",
            lambda lam, s2, free: max(free - max(0.5 * np.log(lam / s2), 0.0), 0.0),
            "This is the rate that is paid. The latent also says something for it, which saves distortion.",
        ),
        Mistake(
            "term-wrong",
            lambda lam, s2, free: _price_at(lam, s2, free),
            "A latent that is worth more than its free bits does not stop at them.",
        ),
        Mistake(
            "term-wrong",
            lambda lam, s2, free: 0.0 if lam > s2 else _price_at(lam, s2, free),
            "Being alive is not enough: is the best rate of this latent above its free bits?",
        ),
        Mistake(
            "term-wrong",
            lambda lam, s2, free: (
                max(lam / (2 * s2) * np.exp(-2 * free) + free - lam / (2 * s2) if lam <= s2 else 0.0, 0.0)
                * (lam <= s2)
            ),
            "Being alive is not enough: is the best rate of this latent above its free bits?",
        ),
        Mistake(
            "std-for-var",
            lambda lam, s2, free: float(
                lam / (2 * s2) * (np.exp(-r) - np.exp(-best)) + r - best
                if (best := max(0.5 * np.log(lam / s2), 0.0)) < (r := free)
                else 0.0
            ),
            "A rate of r nats leaves the share exp(−2r) of the variance.",
        ),
        Mistake(
            "term-wrong",
            lambda lam, s2, free: _price_at(lam, s2, max(0.5 * np.log(lam / s2), 0.0) + free),
            "The free bits do not come on top of what the latent says anyway.",
        ),
        Mistake(
            "sign",
            lambda lam, s2, free: -_price(lam, s2, free),
            "A price is positive: free bits cannot raise the highest ELBO.",
        ),
    ],
    where="notebook 9, section 5",
)
