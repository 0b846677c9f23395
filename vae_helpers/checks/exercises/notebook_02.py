"""Checks of the exercises of notebook 2; the first of them uses `check_elbo`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_helpers.checks.engine.exercise import Mistake, Task, check_task
from vae_helpers.checks.engine.report import Report
from vae_helpers.numerics import gaussian
from vae_helpers.numerics.linear_gaussian import LinearGaussian

Array = NDArray[np.float64]
WEIGHT, BIAS, NOISE_STD = 1.2, 0.5, 0.6  # the world of the notebook


# --- Exercise 2 ----------------------------------------------------------------------------------


def check_elbo_from_joint(fn: Callable[..., Any]) -> Report:
    """Checks a function for the ELBO in its first form, given the average of the log joint density.

    Args:
        fn: takes mean_log_joint, E_q[log p(x, z)] in nats, and std, two floats, and returns
            E_q[log p(x, z) - log q(z)] for q = N(mean, std²), a number in nats, by a closed form.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Kingma & Welling 2014, eq. 2 and appendix B.
    """
    return check_task(fn, ELBO_FROM_JOINT)


def _entropy(std: float) -> float:
    """The average of -log q over q, by quadrature."""
    return -gaussian.expectation(lambda z: gaussian.log_prob(z[:, None], 0.0, 2 * np.log(std)), 0.0, std)


def _joint_plus(extra: Callable[[float], float]) -> Callable[[float, float], float]:
    return lambda mean_log_joint, std: mean_log_joint + extra(std)


ELBO_FROM_JOINT = Task(
    exercise="The ELBO from the joint",
    answer=_joint_plus(_entropy),
    cases=[(0.0, 1.0), (-3.0, 0.8), (-1.5, 0.2), (-40.0, 3.0), (2.5, 1.7)],
    names=("mean_log_joint", "std"),
    mistakes=[
        Mistake(
            "term-sign",
            _joint_plus(lambda std: -_entropy(std)),
            "The entropy has the wrong sign: your value rises when q shrinks to a point.",
        ),
        Mistake(
            "term-missing",
            _joint_plus(lambda std: 0.0),
            "The log of q does not enter. Without it the best guess would be a single point.",
        ),
        Mistake(
            "constant",
            _joint_plus(lambda std: float(np.log(std)) + 0.5 * gaussian.LOG_2PI),
            "This is -log q at the mean of q. What does the squared distance from it average to?",
        ),
        Mistake(
            "log-two-pi-missing",
            _joint_plus(lambda std: float(np.log(std)) + 0.5),
            "The constant with 2π is not there.",
        ),
        Mistake(
            "log-sigma-missing",
            _joint_plus(lambda std: _entropy(1.0)),
            "The width of q does not enter: this is right for std = 1 alone.",
        ),
        Mistake(
            "log-std",
            _joint_plus(lambda std: _entropy(std) - 0.5 * float(np.log(std))),
            "The logarithm of the width counts half. Is it the logarithm of σ or of σ²?",
        ),
        Mistake(
            "log-std",
            _joint_plus(lambda std: _entropy(std) + float(np.log(std))),
            "The logarithm of the width counts twice. Is it the logarithm of σ or of σ²?",
        ),
        Mistake(
            "term-scale",
            _joint_plus(lambda std: 2 * _entropy(std)),
            "The entropy counts twice: a factor ½ is lost.",
        ),
    ],
    where="notebook 2, section 5",
)


# --- Exercise 3 ----------------------------------------------------------------------------------


def check_slipped_guess(fn: Callable[..., Any]) -> Report:
    """Checks a function for the best Gaussian q when the reconstruction is divided by a number of pixels.

    Args:
        fn: takes x, a float, and num_pixels, an int D, and returns the mean and the standard deviation
            of the q that maximises E_q[log p(x given z)]/D - KL(q, p(z)), in the world of the notebook
            (w = 1.2, b = 0.5, s = 0.6); an error of 0.002 passes, so that it may be found numerically.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: notebook 2, section 1, with the likelihood scaled.
    """
    return check_task(fn, SLIPPED_GUESS)


def _slipped(x: float, num_pixels: int) -> tuple[float, float]:
    """The slip divides the exponent of p(x given z) by D: as much noise variance would do the same."""
    return _posterior(x, NOISE_STD * num_pixels**0.5)


def _posterior(x: float, noise_std: float) -> tuple[float, float]:
    mean, cov = LinearGaussian(WEIGHT, BIAS, noise_std).posterior(x)
    return float(mean[0]), float(np.sqrt(cov[0, 0]))


def _slipped_variance(x: float, num_pixels: int) -> tuple[float, float]:
    mean, std = _slipped(x, num_pixels)
    return mean, std**2


SLIPPED_GUESS = Task(
    exercise="Averaged over the pixels",
    answer=_slipped,
    cases=[(2.0, 1), (2.0, 4), (-1.0, 10), (3.5, 100), (2.0, 784)],
    names=("x", "num_pixels"),
    mistakes=[
        Mistake(
            "term-missing",
            lambda x, num_pixels: _posterior(x, NOISE_STD),
            "This is the posterior, the best q of the true ELBO. Is neither term divided by the number of "
            "pixels, or both?",
        ),
        Mistake(
            "swapped",
            lambda x, num_pixels: _posterior(x, NOISE_STD / num_pixels**0.5),
            "The divergence is divided instead of the reconstruction: your q moves away from the prior.",
        ),
        Mistake(
            "term-missing",
            lambda x, num_pixels: (0.0, 1.0),
            "This is the prior. The reconstruction counts little, but it still counts.",
        ),
        Mistake(
            "std-for-var",
            lambda x, num_pixels: _posterior(x, NOISE_STD * num_pixels),
            "The noise s is multiplied by the number of pixels; the log-likelihood contains s².",
        ),
        Mistake(
            "var-for-std",
            _slipped_variance,
            "The second number is the variance of q; the standard deviation is asked for.",
        ),
        Mistake(
            "swapped",
            lambda x, num_pixels: _slipped(x, num_pixels)[::-1],
            "The two numbers have changed places: the mean comes first.",
        ),
        Mistake(
            "term-wrong",
            lambda x, num_pixels: (_slipped(x, num_pixels)[0], _posterior(x, NOISE_STD)[1]),
            "The mean is right; the standard deviation is still that of the posterior.",
        ),
        Mistake(
            "term-wrong",
            lambda x, num_pixels: (_posterior(x, NOISE_STD)[0], _slipped(x, num_pixels)[1]),
            "The standard deviation is right; the mean is still that of the posterior.",
        ),
        Mistake(
            "term-wrong",
            lambda x, num_pixels: (_posterior(x, NOISE_STD)[0] / num_pixels, _slipped(x, num_pixels)[1]),
            "The standard deviation is right; the mean is that of the posterior, divided.",
        ),
    ],
    where="notebook 2, section 6",
    tolerance=2e-3,
)


# --- Exercise 4 ----------------------------------------------------------------------------------


def check_upper_bound(fn: Callable[..., Any]) -> Report:
    """Checks a function for the average of log p(x, z) - log q(z) over the posterior.

    Args:
        fn: takes x, mean and std, three floats, and returns E[log p(x, z) - log q(z)] over
            z ~ p(z given x), for q = N(mean, std²) in the world of the notebook (w = 1.2, b = 0.5,
            s = 0.6), a number in nats.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Bayes' rule under the average over the posterior, notebook 2, section 4.
    """
    return check_task(fn, UPPER_BOUND)


def _log_ratio(x: float, mean: float, std: float) -> Callable[[Array], Array]:
    """log p(x, z) - log q(z), as a function of z."""
    world = LinearGaussian(WEIGHT, BIAS, NOISE_STD)
    return lambda z: (
        world.log_likelihood(x, z[:, None])
        + gaussian.log_prob(z[:, None], 0.0, 0.0)
        - gaussian.log_prob(z[:, None], mean, 2 * np.log(std))
    )


def _upper(x: float, mean: float, std: float) -> float:
    return gaussian.expectation(_log_ratio(x, mean, std), *_posterior(x, NOISE_STD))


def _lower(x: float, mean: float, std: float) -> float:
    return gaussian.expectation(_log_ratio(x, mean, std), mean, std)


def _evidence(x: float) -> float:
    return float(LinearGaussian(WEIGHT, BIAS, NOISE_STD).log_evidence(x))


UPPER_BOUND = Task(
    exercise="A bound from above",
    answer=_upper,
    cases=[(2.0, 0.3, 0.8), (2.0, 1.0, 0.3), (0.5, -1.0, 2.0), (-1.0, -0.5, 0.5), (3.0, 0.0, 1.0)],
    names=("x", "mean", "std"),
    mistakes=[
        Mistake(
            "reverse",
            _lower,
            "This is the ELBO: the average over q. Here the posterior is what you average over.",
        ),
        Mistake(
            "reverse",
            lambda x, mean, std: 2 * _evidence(x) - _lower(x, mean, std),
            "The constant is right, and a divergence is added, but its two densities are in the other order. "
            "Over which one is the average?",
        ),
        Mistake(
            "term-sign",
            lambda x, mean, std: 2 * _evidence(x) - _upper(x, mean, std),
            "The divergence has the wrong sign: your value lies below log p(x).",
        ),
        Mistake(
            "term-missing",
            lambda x, mean, std: _evidence(x),
            "This is log p(x), whatever q is. The guess q must enter.",
        ),
        Mistake(
            "term-missing",
            lambda x, mean, std: _upper(x, mean, std) - _evidence(x),
            "This is the gap alone. What is it a distance from?",
        ),
        Mistake(
            "term-missing",
            lambda x, mean, std: gaussian.expectation(
                lambda z: (
                    LinearGaussian(WEIGHT, BIAS, NOISE_STD).log_likelihood(x, z[:, None])
                    - gaussian.log_prob(z[:, None], mean, 2 * np.log(std))
                ),
                *_posterior(x, NOISE_STD),
            ),
            "The log of the prior is not there: a joint density has two factors.",
        ),
    ],
    where="notebook 2, section 4",
)


# --- Exercise 5 ----------------------------------------------------------------------------------


def check_em_step(fn: Callable[..., Any]) -> Report:
    """Checks a function for one round of the EM algorithm on the decoder's weight.

    Args:
        fn: takes weight, a float, and data, shape (N,), as a NumPy array or a PyTorch tensor (whichever
            it can); returns the weight that maximises the ELBO of the data set when every q is the
            posterior under the old weight, a number; b = 0.5 and s = 0.6 stay.

    Returns:
        A `Report`; its codes are explained in `vae_helpers.checks.CODES`.

    Raises:
        TypeError: fn is not a function.

    Source: Neal & Hinton 1998, section 2.
    """
    return check_task(fn, EM_STEP)


def _best_weight(weight: float, data: Array) -> float:
    """The vertex of a parabola: with q fixed, the ELBO is quadratic in the weight."""
    x = data[:, None]
    mean, cov = LinearGaussian(weight, BIAS, NOISE_STD).posterior(x)
    log_var = np.log(np.diag(cov))
    left, middle, right = (
        LinearGaussian(w, BIAS, NOISE_STD).elbo(x, mean, log_var).sum() for w in (-1.0, 0.0, 1.0)
    )
    return float(0.5 * (left - right) / (left - 2 * middle + right))


def _step(weight: float, data: Array, bias: float = BIAS, spread: float | None = None) -> float:
    """The round for another bias in the second step, or with another sum of the posterior variances."""
    mean, cov = LinearGaussian(weight, BIAS, NOISE_STD).posterior(data[:, None])
    means, total = mean[:, 0], len(data) * float(cov[0, 0]) if spread is None else spread * float(cov[0, 0])
    return float(((data - bias) * means).sum() / ((means**2).sum() + total))


EM_STEP = Task(
    exercise="One round of EM",
    answer=_best_weight,
    cases=[
        (1.0, np.array([1.5, 2.0])),
        (0.3, np.array([-1.1, -0.2, 0.4, 1.3, 2.0, 2.9])),
        (1.2, np.array([0.1, 0.9, 2.5])),
        (-0.8, np.array([-2.0, 1.0, 0.0, 3.0])),
        (2.0, np.array([0.2, 0.6, 1.9, -0.4, 0.8])),
    ],
    names=("weight", "data"),
    mistakes=[
        Mistake(
            "term-missing",
            lambda weight, data: _step(weight, data, spread=0),
            "Each latent is taken for known: only the mean of its posterior enters, not its spread.",
        ),
        Mistake(
            "term-scale",
            lambda weight, data: _step(weight, data, spread=1),
            "The posterior variance enters once, not once for each datum.",
        ),
        Mistake(
            "std-for-var",
            lambda weight, data: _step(
                weight, data, spread=len(data) / (1 + (weight / NOISE_STD) ** 2) ** -0.5
            ),
            "The spread of the posterior enters by its standard deviation.",
        ),
        Mistake(
            "term-missing",
            lambda weight, data: _step(weight, data, bias=0.0),
            "The bias is not taken off the data in the second step.",
        ),
        Mistake(
            "term-missing",
            lambda weight, data: _step(weight, data + BIAS, bias=2 * BIAS),
            "The bias is not taken off the data in the first step.",
        ),
        Mistake(
            "term-missing",
            lambda weight, data: _step(weight, data + BIAS),
            "The bias is not taken off the data, in neither step.",
        ),
        Mistake(
            "term-missing",
            lambda weight, data: weight,
            "Your function gives the old weight back: the second step is missing.",
        ),
        *(
            Mistake(
                "term-wrong",
                lambda weight, data, s=sign: (
                    s(weight) * np.sqrt(max(np.mean((data - BIAS) ** 2) - NOISE_STD**2, 0))
                ),
                "This is where the rounds end, the best weight of all. One round is asked for.",
            )
            for sign in (np.sign, np.ones_like)  # the rounds keep the weight's sign, a formula may not
        ),
    ],
    where="notebook 2, section 5",
)
