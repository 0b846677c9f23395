"""The checks of notebook 2: right answers pass in any style, and each mistake is told by its name."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from torch.distributions import Normal, kl_divergence

from vae_helpers.checks import check_elbo
from vae_helpers.checks.exercises.notebook_02 import (
    check_elbo_from_joint,
    check_em_step,
    check_slipped_guess,
    check_upper_bound,
)

W, B, S = 1.2, 0.5, 0.6  # the world of the notebook


def posterior(x, weight=W, noise_std=S):
    """Mean and variance, by conditioning the joint Gaussian of z and x."""
    gain = weight / (weight**2 + noise_std**2)
    return gain * (x - B), 1 - gain * weight


# --- From the two parts (the check itself is tested elsewhere) -----------------------------------


def test_elbo_of_batch():
    assert check_elbo(lambda log_px_z, kl: log_px_z - kl).passed
    assert check_elbo(lambda log_px_z, kl: log_px_z + kl).codes == {"kl-added"}
    assert check_elbo(lambda log_px_z, kl: kl - log_px_z).codes == {"sign"}
    assert check_elbo(lambda log_px_z, kl: (log_px_z - kl).mean()).codes == {"batch-reduced"}


# --- The ELBO from the joint ---------------------------------------------------------------------


def with_scipys_entropy(mean_log_joint, std):
    return mean_log_joint + stats.norm(5, std).entropy()


def with_torchs_entropy(mean_log_joint, std):
    return torch.tensor([mean_log_joint]) + Normal(torch.zeros(1), std).entropy()


def by_hand(mean_log_joint, std):
    return mean_log_joint + (1 + math.log(2 * math.pi)) / 2 + math.log(std)


@pytest.mark.parametrize("answer", [with_scipys_entropy, with_torchs_entropy, by_hand])
def test_elbo_from_joint_in_any_style(answer):
    report = check_elbo_from_joint(answer)
    assert report.passed, report


def test_elbo_from_joint_reference():
    for case in check_elbo_from_joint.cases:
        assert check_elbo_from_joint.truth(*case) == pytest.approx(with_scipys_entropy(*case), abs=1e-9)


JOINT_WRONG = {
    "entropy subtracted": (lambda j, s: j - 0.5 * math.log(2 * math.pi * math.e * s**2), "term-sign"),
    "nothing added": (lambda j, s: j, "term-missing"),
    "at the mean": (lambda j, s: j - stats.norm.logpdf(0, 0, s), "constant"),
    "no 2 pi": (lambda j, s: j + 0.5 * (1 + math.log(s**2)), "log-two-pi-missing"),
    "no width": (lambda j, s: j + 0.5 * math.log(2 * math.pi * math.e), "log-sigma-missing"),
    "log std": (lambda j, s: j + 0.5 * math.log(2 * math.pi * math.e * s), "log-std"),
    "log of σ⁴": (lambda j, s: j + 0.5 * math.log(2 * math.pi * math.e * s**4), "log-std"),
    "no half": (lambda j, s: j + math.log(2 * math.pi * math.e * s**2), "term-scale"),
    "sign": (lambda j, s: -by_hand(j, s), "sign"),
    "half": (lambda j, s: 2 * by_hand(j, s), "half"),
    "1 for ½": (lambda j, s: by_hand(j, s) + 0.5, "constant"),
    "the width itself": (lambda j, s: j + s, "unknown"),
}


@pytest.mark.parametrize("answer, code", JOINT_WRONG.values(), ids=JOINT_WRONG.keys())
def test_elbo_from_joint_mistakes(answer, code):
    assert check_elbo_from_joint(answer).codes == {code}


# --- Averaged over the pixels --------------------------------------------------------------------


def slipped_score(x, num_pixels, mean, std):
    square = (x - B - W * mean) ** 2 + (W * std) ** 2
    return -square / (2 * S**2) / num_pixels - (std**2 + mean**2 - 1) / 2 + math.log(std)


def numerically(x, num_pixels):
    found = optimize.minimize(lambda p: -slipped_score(x, num_pixels, p[0], math.exp(p[1])), [0.5, -0.5])
    return found.x[0], math.exp(found.x[1])


def by_nelder_and_mead(x, num_pixels):
    def loss(parameters):
        mean, std = parameters
        return np.inf if std <= 0 else -slipped_score(x, num_pixels, mean, std)

    return optimize.minimize(loss, [0.0, 1.0], method="Nelder-Mead").x


def by_precision_in_torch(x, num_pixels):
    precision = torch.tensor(1 + W**2 / (S**2 * num_pixels))
    return W * (x - B) / (S**2 * num_pixels) / precision, precision.rsqrt()


@pytest.mark.parametrize("answer", [numerically, by_nelder_and_mead, by_precision_in_torch])
def test_slipped_guess_in_any_style(answer):
    report = check_slipped_guess(answer)
    assert report.passed, report


def test_slipped_guess_reference():
    for case in check_slipped_guess.cases:
        assert check_slipped_guess.truth(*case) == pytest.approx(numerically(*case), abs=1e-4)


def with_root(mean, var):
    return mean, math.sqrt(var)


SLIPPED_WRONG = {
    "no slip": (lambda x, n: with_root(*posterior(x)), "term-missing"),
    "divergence divided": (lambda x, n: with_root(*posterior(x, noise_std=S / math.sqrt(n))), "swapped"),
    "prior": (lambda x, n: (0, 1), "term-missing"),
    "noise times D": (lambda x, n: with_root(*posterior(x, noise_std=S * n)), "std-for-var"),
    "variance": (lambda x, n: posterior(x, noise_std=S * math.sqrt(n)), "var-for-std"),
    "old width": (lambda x, n: (numerically(x, n)[0], posterior(x)[1] ** 0.5), "term-wrong"),
    "old mean": (lambda x, n: (posterior(x)[0], numerically(x, n)[1]), "term-wrong"),
    "mean over D": (lambda x, n: (posterior(x)[0] / n, numerically(x, n)[1]), "term-wrong"),
    "half": (lambda x, n: 2 * np.array(numerically(x, n)), "half"),
    "mean alone": (lambda x, n: numerically(x, n)[0], "shape"),
    "other order": (lambda x, n: numerically(x, n)[::-1], "swapped"),
    "noise squared": (lambda x, n: with_root(*posterior(x, noise_std=S**2 * math.sqrt(n))), "unknown"),
}


@pytest.mark.parametrize("answer, code", SLIPPED_WRONG.values(), ids=SLIPPED_WRONG.keys())
def test_slipped_guess_mistakes(answer, code):
    assert check_slipped_guess(answer).codes == {code}


# --- A bound from above --------------------------------------------------------------------------


def log_evidence(x):
    return stats.norm.logpdf(x, B, math.hypot(W, S))


def with_torchs_divergence(x, mean, std):
    true = Normal(posterior(x)[0], posterior(x)[1] ** 0.5)
    return kl_divergence(true, Normal(mean, std)) + log_evidence(x)


def with_an_integral(x, mean, std):
    true = stats.norm(*with_root(*posterior(x)))

    def integrand(z):
        log_joint = stats.norm.logpdf(x, W * z + B, S) + stats.norm.logpdf(z)
        return true.pdf(z) * (log_joint - stats.norm.logpdf(z, mean, std))

    return [integrate.quad(integrand, true.mean() - 10, true.mean() + 10, points=[true.mean()])[0]]


def with_a_grid(x, mean, std):
    z = np.linspace(-9, 9, 3001)
    log_joint = stats.norm.logpdf(x, W * z + B, S) + stats.norm.logpdf(z)
    chance = np.exp(log_joint) / np.exp(log_joint).sum()
    return chance @ (log_joint - stats.norm.logpdf(z, mean, std))


@pytest.mark.parametrize("answer", [with_torchs_divergence, with_an_integral, with_a_grid])
def test_upper_bound_in_any_style(answer):
    report = check_upper_bound(answer)
    assert report.passed, report


def test_upper_bound_reference():
    for case in check_upper_bound.cases:
        assert check_upper_bound.truth(*case) == pytest.approx(with_a_grid(*case), abs=1e-9)
        assert check_upper_bound.truth(*case) > log_evidence(case[0])


def kl(mean_q, std_q, mean_p, std_p):
    return ((std_q / std_p) ** 2 - 1 + ((mean_q - mean_p) / std_p) ** 2) / 2 - math.log(std_q / std_p)


def forward(x, mean, std):
    return kl(*with_root(*posterior(x)), mean, std)


def backward(x, mean, std):
    return kl(mean, std, *with_root(*posterior(x)))


def prior_forgotten(x, mean, std):
    true, var = posterior(x)
    log_prior = -0.5 * (math.log(2 * math.pi) + true**2 + var)
    return log_evidence(x) + forward(x, mean, std) - log_prior


UPPER_WRONG = {
    "the ELBO": (lambda x, m, s: log_evidence(x) - backward(x, m, s), "reverse"),
    "the other divergence": (lambda x, m, s: log_evidence(x) + backward(x, m, s), "reverse"),
    "subtracted": (lambda x, m, s: log_evidence(x) - forward(x, m, s), "term-sign"),
    "the evidence": (lambda x, m, s: log_evidence(x), "term-missing"),
    "the gap": (forward, "term-missing"),
    "no prior": (prior_forgotten, "term-missing"),
    "sign": (lambda x, m, s: -log_evidence(x) - forward(x, m, s), "sign"),
    "half": (lambda x, m, s: 2 * (log_evidence(x) + forward(x, m, s)), "half"),
    "variance as width": (lambda x, m, s: log_evidence(x) + kl(*posterior(x), m, s), "unknown"),
}


@pytest.mark.parametrize("answer, code", UPPER_WRONG.values(), ids=UPPER_WRONG.keys())
def test_upper_bound_mistakes(answer, code):
    assert check_upper_bound(answer).codes == {code}


# --- One round of EM -----------------------------------------------------------------------------


def round_by_formula(weight, data, bias=B, spread=None):
    means, var = posterior(data, weight)
    return ((data - bias) * means).sum() / (
        (means**2).sum() + (len(data) * var if spread is None else spread)
    )


def round_by_loops(weight, data):
    above = below = 0.0
    for x in data:
        mean, var = posterior(float(x), weight)
        above, below = above + (x - B) * mean, below + mean**2 + var
    return above / below


def round_by_search(weight, data):
    means, var = posterior(data, weight)

    def loss(new):
        return ((data - B - new * means) ** 2).sum() + len(data) * new**2 * var

    return optimize.minimize_scalar(loss).x


def round_in_torch(weight, data):
    means, var = posterior(data, weight)
    new = torch.linalg.lstsq(
        torch.cat([means, torch.full_like(means, var**0.5)])[:, None],
        torch.cat([data - B, torch.zeros_like(data)])[:, None],
    )
    return new.solution


@pytest.mark.parametrize("answer", [round_by_formula, round_by_loops, round_by_search, round_in_torch])
def test_em_step_in_any_style(answer):
    report = check_em_step(answer)
    assert report.passed, report


def test_em_step_reference():
    for weight, data in check_em_step.cases:
        assert check_em_step.truth(weight, data) == pytest.approx(round_by_formula(weight, data), abs=1e-9)


def many_rounds(weight, data):
    for _ in range(200):
        weight = round_by_formula(weight, data)
    return weight


def bias_left_in_the_first_step(weight, data):
    gain, var = weight / (weight**2 + S**2), S**2 / (weight**2 + S**2)
    means = gain * data
    return ((data - B) @ means) / (means**2 + var).sum()


EM_WRONG = {
    "to the end": (many_rounds, "term-wrong"),
    "no spread": (lambda w, x: round_by_formula(w, x, spread=0), "term-missing"),
    "spread once": (lambda w, x: round_by_formula(w, x, spread=posterior(x, w)[1]), "term-scale"),
    "std": (lambda w, x: round_by_formula(w, x, spread=len(x) * posterior(x, w)[1] ** 0.5), "std-for-var"),
    "bias left in": (lambda w, x: round_by_formula(w, x, bias=0), "term-missing"),
    "bias left in first": (bias_left_in_the_first_step, "term-missing"),
    "bias nowhere": (lambda w, x: round_by_formula(w, x + B), "term-missing"),
    "no step": (lambda w, x: w, "term-missing"),
    "the end": (lambda w, x: math.sqrt(((x - B) ** 2).mean() - S**2), "term-wrong"),
    "sign": (lambda w, x: -round_by_formula(w, x), "sign"),
    "half": (lambda w, x: 2 * round_by_formula(w, x), "half"),
    "regression": (lambda w, x: ((x - B) * posterior(x, w)[0]).mean(), "unknown"),
}


@pytest.mark.parametrize("answer, code", EM_WRONG.values(), ids=EM_WRONG.keys())
def test_em_step_mistakes(answer, code):
    report = check_em_step(answer)
    assert report.codes == {code}, report
