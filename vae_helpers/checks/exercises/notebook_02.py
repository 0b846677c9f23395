"""The exercises of notebook 2; the first of them uses `check_elbo`."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy
from scipy.special import softmax

from vae_helpers.checks.engine.exercise import AnyOf, Exercise, Mistake
from vae_helpers.checks.exercises._shared import Z, mean_and_std
from vae_helpers.numerics import gaussian
from vae_helpers.numerics._validate import Array
from vae_helpers.numerics.linear_gaussian import LinearGaussian

WEIGHT, BIAS, NOISE_STD = 1.2, 0.5, 0.6  # the world of the notebook
WORLD = LinearGaussian(WEIGHT, BIAS, NOISE_STD)
GAIN = WEIGHT / (WEIGHT**2 + NOISE_STD**2)  # its posterior is N(GAIN (x - BIAS), POSTERIOR_STD²)
POSTERIOR_STD = NOISE_STD / np.hypot(WEIGHT, NOISE_STD)


def _with_entropy_in_closed_form(
    mean_log_joint: float, std: float, *, counts=1, log_2pi=gaussian.LOG_2PI, square=1, log_std=1
) -> float:
    """The entropy is ½ log 2π + ½ + log σ: the squared distance from the mean averages to σ²."""
    return mean_log_joint + counts * (0.5 * log_2pi + 0.5 * square + log_std * np.log(std))


check_elbo_from_joint = Exercise(
    title="The ELBO from the joint",
    takes="mean_log_joint, E_q[log p(x, z)] in nats, and std, two floats",
    returns="E_q[log p(x, z) - log q(z)] for q = N(mean, std²), a number in nats, by a closed form",
    source="Kingma & Welling 2014, eq. 2 and appendix B",
    where="notebook 2, section 5",
    truth=lambda mean_log_joint, std: (
        mean_log_joint - gaussian.expectation(scipy.stats.norm(0, std).logpdf, 0, std)
    ),
    program=_with_entropy_in_closed_form,
    cases=[(0.0, 1.0), (-3.0, 0.8), (-1.5, 0.2), (-40.0, 3.0), (2.5, 1.7)],
    mistakes=[
        "The entropy has the wrong sign: your value rises when q shrinks to a point.",
        Mistake("term-sign", counts=-1),
        "The log of q does not enter. Without it the best guess would be a single point.",
        Mistake("term-missing", counts=0),
        "This is -log q at the mean of q. What does the squared distance from it average to?",
        Mistake("constant", square=0),
        "The constant with 2π is not there.",
        Mistake("log-two-pi-missing", log_2pi=0),
        "The width of q does not enter: this is right for std = 1 alone.",
        Mistake("log-sigma-missing", log_std=0),
        "The logarithm of the width counts half. Is it the logarithm of σ or of σ²?",
        Mistake("log-std", log_std=0.5),
        "The logarithm of the width counts twice. Is it the logarithm of σ or of σ²?",
        Mistake("log-std", log_std=2),
        "The entropy counts twice: a factor ½ is lost.",
        Mistake("term-scale", counts=2),
    ],
)


def _on_a_grid(x: float, num_pixels: int) -> tuple[float, float]:
    """The best q is p(z) p(x given z)^(1/D), normalised: what is maximised is -KL(q, that) + constant."""
    return mean_and_std(Z, scipy.stats.norm.logpdf(Z) + WORLD.log_likelihood(x, Z[:, None]) / num_pixels)


def _by_larger_noise(x: float, num_pixels: int, *, times=float, std=np.sqrt) -> tuple[float, float]:
    """To divide the exponent of p(x given z) by D is to multiply the noise variance: the posterior then."""
    noise_var = NOISE_STD**2 * times(num_pixels)
    return WEIGHT / (WEIGHT**2 + noise_var) * (x - BIAS), std(1 / (1 + WEIGHT**2 / noise_var))


check_slipped_guess = Exercise(
    title="Averaged over the pixels",
    takes="x, a float, and num_pixels, an int D",
    returns=(
        "the mean and the standard deviation of the q that maximises E_q[log p(x given z)]/D - KL(q, p(z)), "
        "in the world of the notebook (w = 1.2, b = 0.5, s = 0.6); an error of 0.002 passes, so that it may "
        "be found numerically"
    ),
    source="notebook 2, section 1, with the likelihood scaled",
    where="notebook 2, section 6",
    truth=_on_a_grid,
    program=_by_larger_noise,
    cases=[(2.0, 1), (2.0, 4), (-1.0, 10), (3.5, 100), (2.0, 784)],
    tolerance=2e-3,
    mistakes=[
        "This is the posterior, the best q of the true ELBO. Is neither term divided by the number of "
        "pixels, or both?",
        Mistake("term-missing", times=lambda num_pixels: 1),
        "The divergence is divided instead of the reconstruction: your q moves away from the prior.",
        Mistake("swapped", times=lambda num_pixels: 1 / num_pixels),
        "This is the prior. The reconstruction counts little, but it still counts.",
        Mistake("term-missing", times=lambda num_pixels: np.inf),
        "The noise s is multiplied by the number of pixels; the log-likelihood contains s².",
        Mistake("std-for-var", times=np.square),
        "The second number is the variance of q; the standard deviation is asked for.",
        Mistake("var-for-std", std=float),
        "The two numbers have changed places: the mean comes first.",
        Mistake("swapped", then=lambda mean_and_std: mean_and_std[::-1]),
        "The mean is right; the standard deviation is still that of the posterior.",
        Mistake("term-wrong", std=lambda variance: POSTERIOR_STD),
        "The standard deviation is right; the mean is still that of the posterior.",
        Mistake("term-wrong", instead=lambda x, D: (GAIN * (x - BIAS), _by_larger_noise(x, D)[1])),
        "The standard deviation is right; the mean is that of the posterior, divided.",
        Mistake("term-wrong", instead=lambda x, D: (GAIN * (x - BIAS) / D, _by_larger_noise(x, D)[1])),
    ],
)


def _over_the_posterior(x: float, mean: float, std: float, *, prior=1) -> float:
    """The average by its definition, a sum over z; the prior gives each z its weight all the same."""
    log_prior, log_likelihood = scipy.stats.norm.logpdf(Z), WORLD.log_likelihood(x, Z[:, None])
    log_ratio = log_likelihood + prior * log_prior - scipy.stats.norm.logpdf(Z, mean, std)
    return float(softmax(log_prior + log_likelihood) @ log_ratio)


def _evidence_and_gap(x: float, mean: float, std: float, *, evidence=1, gap=1, swap=False) -> float:
    """log p(x) + KL(posterior, q), since log p(x, z) = log p(x) + log p(z given x)."""
    posterior, q = ([GAIN * (x - BIAS)], 2 * np.log(POSTERIOR_STD)), ([mean], 2 * np.log(std))
    kl = gaussian.kl_diagonal(*q, *posterior) if swap else gaussian.kl_diagonal(*posterior, *q)
    return float(evidence * WORLD.log_evidence(x) + gap * kl)


check_upper_bound = Exercise(
    title="A bound from above",
    takes="x, mean and std, three floats",
    returns=(
        "E[log p(x, z) - log q(z)] over z ~ p(z given x), the posterior, for q = N(mean, std²) in the world "
        "of the notebook (w = 1.2, b = 0.5, s = 0.6), a number in nats"
    ),
    source="Bayes' rule under the average over the posterior, notebook 2, section 4",
    where="notebook 2, section 4",
    truth=_over_the_posterior,
    program=_evidence_and_gap,
    cases=[(2.0, 0.3, 0.8), (2.0, 1.0, 0.3), (0.5, -1.0, 2.0), (-1.0, -0.5, 0.5), (3.0, 0.0, 1.0)],
    mistakes=[
        "This is the ELBO: the average over q. Here the posterior is what you average over.",
        Mistake("reverse", swap=True, gap=-1),
        "The constant is right, and a divergence is added, but its two densities are in the other order. "
        "Over which one is the average?",
        Mistake("reverse", swap=True),
        "The divergence has the wrong sign: your value lies below log p(x).",
        Mistake("term-sign", gap=-1),
        "This is log p(x), whatever q is. The guess q must enter.",
        Mistake("term-missing", gap=0),
        "This is the gap alone. What is it a distance from?",
        Mistake("term-missing", evidence=0),
        "The log of the prior is not there: a joint density has two factors.",
        Mistake("term-missing", instead=partial(_over_the_posterior, prior=0)),
    ],
)


def _vertex_of_a_parabola(weight: float, data: Array) -> float:
    """With every q fixed, the ELBO is quadratic in the weight: three of its values tell where it peaks."""
    x = data[:, None]
    mean, cov = LinearGaussian(weight, BIAS, NOISE_STD).posterior(x)
    q = mean, np.log(np.diag(cov))
    left, middle, right = (LinearGaussian(w, BIAS, NOISE_STD).elbo(x, *q).sum() for w in (-1, 0, 1))
    return float(0.5 * (left - right) / (left - 2 * middle + right))


def _by_regression(
    weight: float, data: Array, *, first_bias=BIAS, second_bias=BIAS, spread=lambda n, var: n * var
) -> float:
    """First the mean and variance of every posterior, then the weight at which the derivative vanishes."""
    var = 1 / (1 + weight**2 / NOISE_STD**2)
    means = var * weight / NOISE_STD**2 * (data - first_bias)
    return (data - second_bias) @ means / (means @ means + spread(len(data), var))


def _where_the_rounds_end(weight: float, data: Array) -> float:
    return np.sign(weight) * np.sqrt(max(np.mean((data - BIAS) ** 2) - NOISE_STD**2, 0))


check_em_step = Exercise(
    title="One round of EM",
    takes="weight, a float, and data, shape (N,), in NumPy or PyTorch (whichever it can)",
    returns=(
        "the weight of the decoder that maximises the ELBO of the data set when every q is the posterior "
        "under the old weight, a number; b = 0.5 and s = 0.6 stay"
    ),
    source="Neal & Hinton 1998",
    where="notebook 2, section 5",
    truth=_vertex_of_a_parabola,
    program=_by_regression,
    cases=[
        (1.0, np.array([1.5, 2.0])),
        (0.3, np.array([-1.1, -0.2, 0.4, 1.3, 2.0, 2.9])),
        (1.2, np.array([0.1, 0.9, 2.5])),
        (-0.8, np.array([-2.0, 1.0, 0.0, 3.0])),
        (2.0, np.array([0.2, 0.6, 1.9, -0.4, 0.8])),
    ],
    mistakes=[
        "Each latent is taken for known: only the mean of its posterior enters, not its spread.",
        Mistake("term-missing", spread=lambda n, var: 0),
        "The posterior variance enters once, not once for each datum.",
        Mistake("term-scale", spread=lambda n, var: var),
        "The spread of the posterior enters by its standard deviation.",
        Mistake("std-for-var", spread=lambda n, var: n * np.sqrt(var)),
        "The bias is not taken off the data in the second step.",
        Mistake("term-missing", second_bias=0),
        "The bias is not taken off the data in the first step.",
        Mistake("term-missing", first_bias=0),
        "The bias is not taken off the data, in neither step.",
        Mistake("term-missing", first_bias=0, second_bias=0),
        "Your function gives the old weight back: the second step is missing.",
        Mistake("term-missing", instead=lambda weight, data: weight),
        "This is where the rounds end, the best weight of all. One round is asked for.",
        Mistake("term-wrong", instead=_where_the_rounds_end, then=AnyOf(float, abs)),
    ],
)
