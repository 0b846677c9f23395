"""The exercises of notebook 9."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import integrate, optimize

from vae_helpers.checks.engine.exercise import AnyOf, Exercise, Mistake
from vae_helpers.numerics._validate import Array

SPECTRUM = np.array([6.0, 4.0, 2.5, 1.5, 0.8, 0.4, 0.2, 0.1])


def _alive_by_search(eigenvalues: Array, noise_std: float, beta: float, num_latents: int) -> int:
    """By trying which share of each variance is best left over; of a dead direction it is all."""
    share = np.geomspace(1e-4, 1, 4001)[:, None]
    loss = eigenvalues * share / (2 * noise_std**2) - beta * 0.5 * np.log(share)
    return min(np.sum(share[loss.argmin(axis=0)] < 1), num_latents)


def _alive_by_level(*case: Any, order=np.sort, cap=True, alive=np.greater, weight=1, power=2) -> int:
    """How many of the largest eigenvalues, one for each latent, stand above the water level."""
    eigenvalues, noise_std, beta, num_latents = case
    descending = -order(-eigenvalues)
    return np.sum(alive(descending[: num_latents if cap else None], beta**weight * noise_std**power))


check_num_alive = Exercise(
    title="How many are alive",
    takes=(
        "eigenvalues, the variances of the data along their principal directions, shape (D,), in any order; "
        "noise_std, the s of the decoder; beta, the weight of the KL; and num_latents"
    ),
    returns="how many latents a linear VAE keeps alive at the optimum",
    source="Lucas et al. 2019; Tipping & Bishop 1999 (the best weights)",
    where="notebook 9, section 2",
    truth=_alive_by_search,
    program=_alive_by_level,
    cases=[
        (np.array([4.0, 1.0]), 0.5, 1.0, 2),
        (np.array([0.3, 6.0, 2.0, 0.9]), 0.6, 4.0, 2),
        (SPECTRUM, 0.7, 1.0, 3),
        (SPECTRUM, 1.7, 0.5, 8),
        (np.array([0.05, 0.02, 0.01]), 0.5, 2.0, 3),
        (np.array([5.0, 3.0, 0.7, 0.45, 0.15]), 0.4, 2.0, 5),
        (np.array([5.0, 3.0, 0.7, 0.45, 0.15]), 2.0, 0.1, 5),
    ],
    mistakes=[
        "The eigenvalues are variances, and they are compared with a standard deviation.",
        Mistake("std-for-var", power=1),
        "β is squared together with s. What does it multiply?",
        Mistake("std-for-var", weight=2),
        "The weight β is not used.",
        Mistake("term-missing", weight=0),
        "You count directions. There may be more of them than latents.",
        Mistake("term-missing", cap=False),
        "The water falls where it should rise: a larger β makes the KL dearer.",
        Mistake("term-wrong", weight=-1),
        "These are the dead directions.",
        Mistake("swapped", alive=np.less_equal, cap=False),
        "You look at the first eigenvalues in the list. Need they be the largest?",
        Mistake("term-wrong", order=np.array),
    ],
)


def _noise_by_search(eigenvalues: Array, num_latents: int) -> float:
    """The s² of the highest log-evidence; a latent describes all of its direction that exceeds s²."""
    lam = np.sort(eigenvalues)
    has_latent = np.arange(len(lam)) >= len(lam) - num_latents

    def cost(s2: float) -> float:
        variance = np.where(has_latent, np.maximum(lam, s2), s2)
        return (np.log(variance) + lam / variance).sum()

    return optimize.fminbound(cost, lam[0], lam[-1], xtol=1e-9)


def _noise_by_average(
    eigenvalues: Array, num_latents: int, *, order=np.sort, left=lambda lam, d: lam[d:], average=np.mean
) -> float:
    """The average of the eigenvalues for which no latent is left."""
    descending = -order(-eigenvalues)
    return average(left(descending, num_latents))


check_noise_to_learn = Exercise(
    title="The noise that is learned",
    takes="eigenvalues, shape (D,), in any order, and num_latents, smaller than D",
    returns="the s² that maximises the ELBO of a linear VAE, together with the best weights for it",
    source="Tipping & Bishop 1999 (the best noise variance); Lucas et al. 2019",
    where="notebook 9, section 2",
    truth=_noise_by_search,
    program=_noise_by_average,
    cases=[
        (np.array([3.0, 1.0, 0.5]), 1),
        (np.array([0.2, 0.6, 5.0, 0.1]), 2),
        (SPECTRUM, 3),
        (np.sort(SPECTRUM), 6),
        (np.array([1.0, 9.0, 0.3, 2.0, 0.04]), 1),
    ],
    tolerance=1e-3,
    mistakes=[
        "The variance that is left over is spread over all directions, also those that latents describe.",
        Mistake("term-wrong", left=lambda lam, d: np.append(np.zeros(d), lam[d:])),
        "This is all of the variance that is left over. s² is the noise of one direction.",
        Mistake("batch-reduced", average=np.sum),
        "These are the directions that the latents describe; the noise has to explain the others.",
        Mistake("swapped", left=lambda lam, d: lam[:d]),
        "You look at the last eigenvalues in the list. Need they be the smallest?",
        Mistake("term-wrong", order=np.array),
        "With this noise the largest variance that is left over is just explained; the others, being "
        "smaller, are not.",
        Mistake("term-wrong", left=lambda lam, d: lam[d]),
        "With this noise the last of your latents is just about to die.",
        Mistake("term-wrong", left=lambda lam, d: lam[d - 1]),
        "This is the best noise without latents.",
        Mistake("term-wrong", left=lambda lam, d: lam),
    ],
)


def _by_axes(kl: Array, free: float, *, average=np.mean, axis=0, limit=np.maximum, total=np.sum) -> float:
    return total(limit(average(kl, axis), free))


KL = np.random.default_rng(9).gamma(0.8, 0.5, (6, 4)) * np.array([2.0, 0.1, 0.6, 0.02])

check_counted_rate = Exercise(
    title="The rate that is counted",
    takes="kl, the KL of each image and latent, shape (batch, d), and free_bits, nats for each latent",
    returns="the rate that enters the loss under free bits, a number",
    source="Kingma et al. 2016, eq. 15",
    where="notebook 9, section 5",
    truth=lambda kl, free_bits: sum(max(sum(latent) / len(latent), free_bits) for latent in kl.T),
    program=_by_axes,
    cases=[
        (np.array([[0.9, 0.0], [0.3, 0.2]]), 0.25),
        (np.array([[0.1, 2.0, 0.05], [0.5, 1.0, 0.0]]), 0.4),
        (KL, 0.1),
        (KL, 0.5),
        (KL[:, :3], 0.0),
        (3 * KL, 0.25),
        (0.1 * KL, 0.5),
    ],
    mistakes=[
        "Each image has free bits of its own here. First comes the average over the batch.",
        Mistake("term-wrong", axis=(), total=lambda counted: counted.sum(axis=1).mean()),
        "The free bits are given once, for all latents together.",
        Mistake("term-wrong", limit=lambda rate, free: max(rate.sum(), free)),
        "The latents share their free bits, so that one that says much uses those of the dead.",
        Mistake("term-wrong", limit=lambda rate, free: max(rate.sum(), free * len(rate))),
        "Here the rate has an upper limit. Free bits are a lower one.",
        Mistake("swapped", limit=np.minimum),
        "This differs from what is asked by a constant: the free bits themselves, d times.",
        Mistake("term-missing", limit=lambda rate, free: np.maximum(rate - free, 0)),
        "A latent below the limit counts nothing here, so that the loss jumps at the limit.",
        Mistake("term-missing", limit=lambda rate, free: rate * (rate > free)),
        "This is the rate itself: nothing is free.",
        Mistake("term-missing", limit=lambda rate, free: rate),
        "The rate is a sum over latents, not an average.",
        Mistake("mean-latent", total=np.mean, where="notebook 6, section 3"),
        "The limit is compared with the sum over the batch, not with the average.",
        Mistake("batch-reduced", average=np.sum),
        "The axes have changed places: rows are images, columns are latents.",
        Mistake("swapped", axis=1),
    ],
)


def _lost_by_integral(eigenvalues: Array, noise_var: float, beta: float) -> float:
    """What each further bit of weight costs, as long as the direction is alive."""
    spans = [np.minimum([1, beta], lam / noise_var) for lam in eigenvalues]
    return sum(integrate.quad(lambda t: 0.5 - 0.5 / t, *span)[0] for span in spans)


def _lost_by_difference(
    eigenvalues: Array, noise_var: float, beta: float, *, distortion=1, noise=0, rate=1, weight=0, best=1
) -> float:
    """Distortion + rate at the weight β, less that at the weight 1; noise and weight are powers of β."""

    def cost(beta: float) -> float:
        left = np.minimum(eigenvalues, beta * noise_var)
        distortions = left / (2 * noise_var * beta**noise)
        return np.sum(distortion * distortions + rate * beta**weight * 0.5 * np.log(eigenvalues / left))

    return cost(beta) - best * cost(1.0)


def _lost_by_count(eigenvalues: Array, noise_var: float, beta: float, *, above=lambda beta: 0) -> float:
    """As if every direction that is counted lost what one loses that is alive at both weights."""
    return np.sum(eigenvalues > above(beta) * noise_var) * 0.5 * (beta - 1 - np.log(beta))


check_elbo_lost = Exercise(
    title="The ELBO that β costs",
    takes="eigenvalues, shape (D,), in any order; noise_var, the decoder's s²; and beta, the KL's weight",
    returns="how many nats training with β costs the ELBO of a linear VAE with D latents, a number",
    source="Alemi et al. 2018 (D + R at different β); Cover & Thomas 2006, chapter 10 (the Gaussian curve)",
    where="notebook 9, section 2",
    truth=_lost_by_integral,
    program=_lost_by_difference,
    cases=[
        (np.array([4.0]), 1.0, 2.0),
        (np.array([0.5, 3.0]), 0.4, 0.5),
        (SPECTRUM, 0.5, 4.0),
        (np.sort(SPECTRUM), 0.3, 0.1),
        (np.array([2.0, 0.1]), 0.5, 16.0),
    ],
    mistakes=[
        "You compare the β-weighted objective with the ELBO. How good is the trained model by the ELBO?",
        Mistake("term-wrong", weight=1),
        "The noise of the decoder stays s²: only the training looks as if it were β s².",
        Mistake("term-wrong", noise=1),
        "This is the rate that is saved; distortion is paid for it.",
        Mistake("term-missing", distortion=0, rate=-1),
        "This is the distortion that is paid; rate is saved by it.",
        Mistake("term-missing", rate=0),
        "This is minus the ELBO without its constant. Asked is how far it lies from the best.",
        Mistake("term-missing", best=0),
        "Right for directions that are alive at both weights. Some drown, or come up, in between.",
        Mistake("term-wrong", instead=_lost_by_count, above=AnyOf(float, lambda beta: 1)),
        "Right for directions that are alive at both weights. Some are dead.",
        Mistake("term-wrong", instead=_lost_by_count),
    ],
)


def _price_by_search(data_var: float, noise_var: float, free_bits: float) -> float:
    """By trying every share of the variance that may be left over."""
    share = np.append(np.geomspace(1e-6, 1, 200_001), np.exp(-2 * free_bits))
    distortion, rate = data_var * share / (2 * noise_var), -0.5 * np.log(share)
    trained = np.argmin(distortion + np.maximum(rate, free_bits))
    return (distortion + rate)[trained] - np.min(distortion + rate)


def _price_by_rates(
    data_var: float, noise_var: float, free_bits: float, *, power=2, distortion=1, trained=max
) -> float:
    """-ELBO at the rate to which free bits train, above that at the best rate."""

    def cost(rate: float) -> float:
        return distortion * data_var * np.exp(-power * rate) / (2 * noise_var) + rate

    best = max(0.5 * np.log(data_var / noise_var), 0.0)
    return cost(trained(best, free_bits)) - cost(best)


check_price_of_free_bits = Exercise(
    title="The price of free bits",
    takes="data_var (λ, of one direction), noise_var (s², of the decoder), free_bits (nats, of one latent)",
    returns="how many nats the ELBO lies below its maximum where the loss with free bits is at its minimum",
    source="Kingma et al. 2016, eq. 15 (free bits); Cover & Thomas 2006, chapter 10 (the Gaussian curve)",
    where="notebook 9, section 5",
    truth=_price_by_search,
    program=_price_by_rates,
    cases=[
        (0.5, 1.0, 0.25),
        (4.0, 1.0, 0.1),
        (1.2, 1.0, 0.5),
        (0.1, 0.5, 1.0),
        (3.0, 0.5, 2.0),
        (0.9, 0.3, 0.02),
    ],
    mistakes=[
        "This is the rate that is paid. The latent also says something for it, which saves distortion.",
        Mistake("term-missing", distortion=0),
        "A latent that is worth more than its free bits does not stop at them.",
        Mistake("term-wrong", trained=lambda best, free: free),
        "Being alive is not enough: is the best rate of this latent above its free bits?",
        Mistake("term-wrong", trained=lambda best, free: best if best > 0 else free),
        "A rate of r nats leaves the share exp(−2r) of the variance.",
        Mistake("std-for-var", power=1),
        "The free bits do not come on top of what the latent says anyway.",
        Mistake("term-wrong", trained=lambda best, free: best + free),
        "A price is positive: free bits cannot raise the highest ELBO.",
        Mistake("sign", then=np.negative),
    ],
)
