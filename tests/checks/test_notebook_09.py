"""The checks of notebook 9: right answers in several styles, and mistakes written as students write them."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize

from vae_helpers.checks.exercises.notebook_09 import (
    check_counted_rate,
    check_elbo_lost,
    check_noise_to_learn,
    check_num_alive,
    check_price_of_free_bits,
)
from vae_helpers.numerics.linear_gaussian import LinearGaussian

LOG_NOISE = (-6, 3)  # where the best log s² of every case lies
SEARCHED = 2e-3  # how exactly a search over three parameters finds the minimum of a loss with a kink
TO_THE_END = {"xatol": 1e-10, "fatol": 1e-14, "maxiter": 20_000, "maxfev": 20_000}


def data_with_variances(lam):
    """Rows with the mean 0 and the covariance diag(lam), exactly."""
    x = np.sqrt(len(lam) * np.diag(lam))
    return np.concatenate([x, -x])


# --- How many are alive ------------------------------------------------------------------------


def alive_by_loop(eigenvalues, noise_std, beta, num_latents):
    count = 0
    for value in sorted(eigenvalues, reverse=True)[:num_latents]:
        if value > beta * noise_std * noise_std:
            count += 1
    return count


@pytest.mark.parametrize(
    "fn",
    [
        alive_by_loop,
        lambda lam, s, b, d: min(d, int(np.count_nonzero(np.asarray(lam) > b * s**2))),
        lambda lam, s, b, d: (torch.sort(lam, descending=True).values[:d] > b * s**2).sum(),
        lambda lam, s, b, d: int((np.log(np.sort(lam)[::-1][:d] / (b * s**2)) > 0).sum()),
    ],
)
def test_right_counts_pass(fn):
    assert check_num_alive(fn).passed


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda lam, s, b, d: min(d, (np.asarray(lam) > b * s).sum()), "std-for-var"),
        (lambda lam, s, b, d: min(d, (np.asarray(lam) > (b * s) ** 2).sum()), "std-for-var"),
        (lambda lam, s, b, d: min(d, (np.asarray(lam) > s**2).sum()), "term-missing"),
        (lambda lam, s, b, d: (np.asarray(lam) > b * s**2).sum(), "term-missing"),
        (lambda lam, s, b, d: min(d, (np.asarray(lam) > s**2 / b).sum()), "term-wrong"),
        (lambda lam, s, b, d: (np.asarray(lam) < b * s**2).sum(), "swapped"),
        (lambda lam, s, b, d: (np.asarray(lam)[:d] > b * s**2).sum(), "term-wrong"),
        (lambda lam, s, b, d: d, "unknown"),
        (lambda lam, s, b, d: np.asarray(lam) > b * s**2, "error"),
    ],
)
def test_wrong_counts_are_named(fn, code):
    assert check_num_alive(fn).codes == {code}


@pytest.mark.parametrize("case", check_num_alive.cases)
def test_the_count_is_that_of_the_eigenvalues_above_the_level(case):
    assert check_num_alive.truth(*case) == alive_by_loop(*case)


# --- The noise that is learned -----------------------------------------------------------------


@pytest.mark.parametrize(
    "fn",
    [
        lambda lam, d: np.sort(lam)[: len(lam) - d].mean(),
        lambda lam, d: torch.sort(lam, descending=True).values[d:].mean(),
        lambda lam, d: sum(sorted(lam, reverse=True)[d:]) / (len(lam) - d),
    ],
)
def test_right_noise_passes(fn):
    assert check_noise_to_learn(fn).passed


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda lam, d: np.sort(lam)[::-1][d:].sum() / len(lam), "term-wrong"),
        (lambda lam, d: np.sort(lam)[::-1][d:].sum(), "batch-reduced"),
        (lambda lam, d: np.sort(lam)[::-1][:d].mean(), "swapped"),
        (lambda lam, d: lam[d:].mean(), "term-wrong"),
        (lambda lam, d: np.sort(lam)[::-1][d], "term-wrong"),
        (lambda lam, d: np.sort(lam)[::-1][d - 1], "term-wrong"),
        (lambda lam, d: np.mean(lam), "term-wrong"),
        (lambda lam, d: math.sqrt(np.sort(lam)[::-1][d:].mean()), "std-for-var"),
        (lambda lam, d: np.log(np.sort(lam)[::-1][d:].mean()), "not-log"),
        (lambda lam, d: np.sort(lam)[::-1][d:], "shape"),
        (lambda lam, d: 0.5, "unknown"),
    ],
)
def test_wrong_noise_is_named(fn, code):
    assert check_noise_to_learn(fn).codes == {code}


@pytest.mark.parametrize("case", check_noise_to_learn.cases)
def test_the_learned_noise_is_the_best_of_the_exact_evidence(case):
    lam, d = np.sort(case[0])[::-1], case[1]
    x = data_with_variances(lam)

    def mean_log_evidence(s2):
        weight = np.diag(np.sqrt(np.maximum(lam - s2, 0)))[:, :d]
        return LinearGaussian(weight, 0.0, math.sqrt(s2)).log_evidence(x).mean()

    best = optimize.minimize_scalar(
        lambda t: -mean_log_evidence(math.exp(t)), bounds=LOG_NOISE, method="bounded"
    )
    assert check_noise_to_learn.truth(*case) == pytest.approx(math.exp(best.x), rel=1e-3)


# --- The rate that is counted ------------------------------------------------------------------


@pytest.mark.parametrize(
    "fn",
    [
        lambda kl, free: np.maximum(np.mean(kl, axis=0), free).sum(),
        lambda kl, free: kl.mean(dim=0).clamp(min=float(free)).sum(),
        lambda kl, free: sum(max(float(np.mean(column)), free) for column in np.transpose(kl)),
        lambda kl, free: len(kl[0]) * free + np.maximum(np.mean(kl, axis=0) - free, 0).sum(),
    ],
)
def test_right_counted_rates_pass(fn):
    assert check_counted_rate(fn).passed


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda kl, free: np.maximum(kl, free).sum(axis=1).mean(), "term-wrong"),
        (lambda kl, free: np.maximum(kl.sum(axis=1).mean(), free), "term-wrong"),
        (lambda kl, free: np.maximum(kl.mean(axis=0).sum(), free * kl.shape[1]), "term-wrong"),
        (lambda kl, free: np.minimum(kl.mean(axis=0), free).sum(), "swapped"),
        (lambda kl, free: np.maximum(kl.mean(axis=0) - free, 0).sum(), "term-missing"),
        (lambda kl, free: sum(m for m in kl.mean(axis=0) if m > free), "term-missing"),
        (lambda kl, free: kl.sum(axis=1).mean(), "term-missing"),
        (lambda kl, free: np.maximum(kl.mean(axis=0), free).mean(), "mean-latent"),
        (lambda kl, free: np.maximum(kl.sum(axis=0), free).sum(), "batch-reduced"),
        (lambda kl, free: np.maximum(kl.mean(axis=1), free).sum(), "swapped"),
        (lambda kl, free: np.maximum(kl.mean(axis=0), free), "shape"),
        (lambda kl, free: -np.maximum(kl.mean(axis=0), free).sum(), "sign"),
        (lambda kl, free: np.maximum(kl.mean(axis=0), free).sum() / np.log(2), "scale"),
    ],
)
def test_wrong_counted_rates_are_named(fn, code):
    assert check_counted_rate(fn).codes == {code}


@pytest.mark.parametrize("case", check_counted_rate.cases)
def test_the_counted_rate_is_that_of_pytorch(case):
    kl, free_bits = case
    clamped = torch.from_numpy(kl).mean(dim=0).clamp(min=free_bits).sum()
    assert check_counted_rate.truth(kl, free_bits) == pytest.approx(clamped.item(), abs=1e-12)


# --- The ELBO that β costs ---------------------------------------------------------------------


def minus_elbo(lam, s2, beta):
    left = np.minimum(lam, beta * s2)
    return (left / (2 * s2) + 0.5 * np.log(lam / left)).sum()


def lost_by_tensors(lam, s2, beta):
    left, best = torch.clamp(lam, max=beta * s2), torch.clamp(lam, max=s2)
    return ((left - best) / (2 * s2) + 0.5 * torch.log(best / left)).sum()


def lost_by_loop(lam, s2, beta):
    total = 0.0
    for value in lam:
        rates = [max(0.0, 0.5 * math.log(value / level)) for level in (beta * s2, s2)]
        left = [min(value, level) for level in (beta * s2, s2)]
        total += (left[0] - left[1]) / (2 * s2) + rates[0] - rates[1]
    return total


@pytest.mark.parametrize(
    "fn",
    [lambda lam, s2, b: minus_elbo(lam, s2, b) - minus_elbo(lam, s2, 1.0), lost_by_tensors, lost_by_loop],
)
def test_right_losses_pass(fn):
    assert check_elbo_lost(fn).passed


def weighted(lam, s2, beta):
    left = np.minimum(lam, beta * s2)
    return (left / (2 * s2) + beta * 0.5 * np.log(lam / left)).sum()


def rate(lam, s2, beta):
    return 0.5 * np.log(np.maximum(lam / (beta * s2), 1)).sum()


def distortion(lam, s2, beta):
    return np.minimum(lam, beta * s2).sum() / (2 * s2)


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda lam, s2, b: weighted(lam, s2, b) - weighted(lam, s2, 1.0), "term-wrong"),
        (lambda lam, s2, b: minus_elbo(lam, b * s2, 1.0) - minus_elbo(lam, s2, 1.0), "term-wrong"),
        (lambda lam, s2, b: rate(lam, s2, 1.0) - rate(lam, s2, b), "term-missing"),
        (lambda lam, s2, b: distortion(lam, s2, b) - distortion(lam, s2, 1.0), "term-missing"),
        (lambda lam, s2, b: minus_elbo(lam, s2, b), "term-missing"),
        (lambda lam, s2, b: (lam > b * s2).sum() * (b - 1 - np.log(b)) / 2, "term-wrong"),
        (lambda lam, s2, b: (lam > s2).sum() * (b - 1 - np.log(b)) / 2, "term-wrong"),
        (lambda lam, s2, b: len(lam) * (b - 1 - np.log(b)) / 2, "term-wrong"),
        (lambda lam, s2, b: minus_elbo(lam, s2, 1.0) - minus_elbo(lam, s2, b), "sign"),
        (lambda lam, s2, b: 2 * (minus_elbo(lam, s2, b) - minus_elbo(lam, s2, 1.0)), "half"),
        (lambda lam, s2, b: (minus_elbo(lam, s2, b) - minus_elbo(lam, s2, 1.0)) / np.log(2), "scale"),
        (lambda lam, s2, b: b - 1, "unknown"),
    ],
)
def test_wrong_losses_are_named(fn, code):
    assert check_elbo_lost(fn).codes == {code}


@pytest.mark.parametrize("case", check_elbo_lost.cases)
def test_the_loss_is_that_of_the_exact_elbo(case):
    lam, s2, beta = case
    x = data_with_variances(lam)

    def elbo(level):  # the optimum of an ordinary world whose noise is the level
        w = np.sqrt(np.maximum(lam - level, 0))
        var = level / (w**2 + level)
        world = LinearGaussian(np.diag(w), 0.0, math.sqrt(s2))
        return world.elbo(x, x * w / (w**2 + level), np.log(var)).mean()

    assert check_elbo_lost.truth(*case) == pytest.approx(elbo(s2) - elbo(beta * s2), abs=1e-6)


# --- The price of free bits --------------------------------------------------------------------


def price_in_steps(data_var, noise_var, free_bits):
    best = max(0.0, 0.5 * math.log(data_var / noise_var))
    if best >= free_bits:
        return 0.0
    cost = [r + data_var * math.exp(-2 * r) / (2 * noise_var) for r in (free_bits, best)]
    return cost[0] - cost[1]


def price_in_one(lam, s2, free):
    best = max(0.0, math.log(lam / s2) / 2)
    at = max(best, free)
    return at - best + lam / (2 * s2) * (math.exp(-2 * at) - math.exp(-2 * best))


@pytest.mark.parametrize("fn", [price_in_steps, price_in_one])
def test_right_prices_pass(fn):
    assert check_price_of_free_bits(fn).passed


def cost(lam, s2, r):
    return r + lam * math.exp(-2 * r) / (2 * s2)


def best_rate(lam, s2):
    return max(0.0, 0.5 * math.log(lam / s2))


@pytest.mark.parametrize(
    "fn, code",
    [
        (lambda lam, s2, free: max(0.0, free - best_rate(lam, s2)), "term-missing"),
        (lambda lam, s2, free: cost(lam, s2, free) - cost(lam, s2, best_rate(lam, s2)), "term-wrong"),
        (
            lambda lam, s2, free: 0.0 if lam > s2 else cost(lam, s2, free) - cost(lam, s2, 0.0),
            "term-wrong",
        ),
        (
            lambda lam, s2, free: (
                cost(lam, s2, free + best_rate(lam, s2)) - cost(lam, s2, best_rate(lam, s2))
            ),
            "term-wrong",
        ),
        (lambda lam, s2, free: -price_in_steps(lam, s2, free), "sign"),
        (lambda lam, s2, free: 2 * price_in_steps(lam, s2, free), "half"),
        (lambda lam, s2, free: price_in_steps(lam, s2, free) / math.log(2), "scale"),
        (lambda lam, s2, free: free, "unknown"),
        (lambda lam, s2, free: 0.0, "unknown"),
    ],
)
def test_wrong_prices_are_named(fn, code):
    assert check_price_of_free_bits(fn).codes == {code}


@pytest.mark.parametrize("case", check_price_of_free_bits.cases)
def test_the_price_is_that_of_the_trained_world(case):
    """By a search over the weight, the encoder's slope and log-variance in the exact world."""
    lam, s2, free = case

    def parts(theta):
        w, v, log_var = theta
        left = (1 - w * v) ** 2 * lam + math.exp(log_var) * w**2
        return left / (2 * s2), 0.5 * (math.exp(log_var) + v**2 * lam - 1 - log_var)

    def loss(theta, free):
        distortion, rate = parts(theta)
        return distortion + max(rate, free)

    def searched(free):
        starts = [(0.5, 0.5, -0.5), (1.5, 0.6, -2.0), (0.1, 0.1, -0.1)]
        minima = [
            optimize.minimize(loss, start, args=(free,), method="Nelder-Mead", options=TO_THE_END)
            for start in starts
        ]
        return min(minima, key=lambda minimum: minimum.fun)

    with_free, without = searched(free), searched(0.0)
    price = sum(parts(with_free.x)) - without.fun
    assert check_price_of_free_bits.truth(*case) == pytest.approx(price, abs=SEARCHED)
