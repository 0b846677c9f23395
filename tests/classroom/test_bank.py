"""Each question of the bank against a second computation that shares no code with it."""

import itertools
import json
import math
import re

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats

from vae_helpers.classroom.bank import NOTEBOOKS, load
from vae_helpers.classroom.bank.mistakes import NAMES
from vae_helpers.classroom.bank.practice import SEED, VARIANTS
from vae_helpers.classroom.bank.question import call, draw, variants
from vae_helpers.shipped.recipes import FOLDER

SEEDS = 20
QUESTIONS = {question.key: question for bank in load().values() for question in bank}
ORACLES = {}  # by key: the answer, or the place of the statement that holds, and some numbers of slips
LOG_2 = math.log(2)


def oracle(key):
    def register(function):
        assert key not in ORACLES
        ORACLES[key] = function
        return function

    return register


def drawn(key, seeds=SEEDS):
    return [draw(QUESTIONS[key], np.random.default_rng(seed)) for seed in range(seeds)]


def normal(mean, std):
    return torch.distributions.Normal(
        torch.tensor(float(mean), dtype=torch.float64), torch.tensor(float(std), dtype=torch.float64)
    )


def kl(mu, std, mean=0.0, width=1.0):
    return torch.distributions.kl_divergence(normal(mu, std), normal(mean, width)).item()


def log_p(x, mean, std):
    return normal(mean, std).log_prob(torch.tensor(float(x), dtype=torch.float64)).item()


def over(f, mean, std):
    """E[f] under N(mean, std²), by adaptive quadrature."""
    return integrate.quad(
        lambda z: stats.norm.pdf(z, mean, std) * f(z), mean - 12 * std, mean + 12 * std, limit=200
    )[0]


def posterior(w, b, s, x):
    """By the joint covariance of (z, x), conditioned on x."""
    covariance = np.array([[1.0, w], [w, w * w + s * s]])
    gain = covariance[0, 1] / covariance[1, 1]
    return gain * (x - b), math.sqrt(1 - gain * covariance[1, 0])


def evidence(w, b, s, x):
    """log p(x), by an integral over z."""
    mean, std = posterior(w, b, s, x)
    ends = mean - 12 * std, mean + 12 * std
    area = integrate.quad(
        lambda z: math.exp(log_p(x, w * z + b, s) + log_p(z, 0, 1)), *ends, epsabs=0, points=[mean]
    )[0]
    return math.log(area)


def reconstruction(w, b, s, x, mu, std):
    """E_q[log p(x given z)], by the moments of z."""
    square = (x - b) ** 2 - 2 * (x - b) * w * mu + w * w * (mu**2 + std**2)
    return -0.5 * math.log(2 * math.pi) - math.log(s) - square / (2 * s * s)


def elbo(w, b, s, x, mu, std):
    return reconstruction(w, b, s, x, mu, std) - kl(mu, std)


# ---- notebook 1 ------------------------------------------------------------------------------


@oracle("01-spread-of-x")
def _(w, s):
    return math.hypot(w, s), {"stds-added": w + s, "no-root": w * w + s * s, "term-missing": s}


@oracle("01-log-evidence")
def _(w, b, s, x):
    return evidence(w, b, s, x), {
        "not-log": math.exp(evidence(w, b, s, x)),
        "term-missing": stats.norm.logpdf(x, b, s),
        "stds-added": stats.norm.logpdf(x, b, w + s),
        "log-two-pi-missing": -((x - b) ** 2) / 2 / (w * w + s * s) - math.log(w * w + s * s) / 2,
    }


@oracle("01-posterior-mean")
def _(w, b, s, x):
    exact = posterior(w, b, s, x)[0]
    naive = (x - b) / w
    return exact, {
        "prior-forgotten": naive,
        "ratio-upside-down": naive - exact,
        "bias-forgotten": posterior(w, 0, s, x)[0],
    }


@oracle("01-posterior-std")
def _(w, b, s, x):
    exact = posterior(w, b, s, x)[1]
    return exact, {
        "no-root": exact**2,
        "precision-for-variance": 1 / exact,
        "data-forgotten": 1,
        "prior-forgotten": s / w,
    }


@oracle("01-two-causes")
def _(w, b, s, x, z, other):
    likelihood = log_p(x, w * z + b, s) - log_p(x, w * other + b, s)
    prior = (other**2 - z**2) / 2
    return likelihood + prior, {
        "prior-forgotten": likelihood,
        "data-forgotten": prior,
        "sign": -likelihood - prior,
        "term-sign": likelihood - prior,
    }


@oracle("01-what-narrows")
def _(w, b, s, x, x2, b2, s2, w2):
    width = posterior(w, b, s, x)[1]
    others = (w, b, s, x2), (w, b2, s, x), (w, b, s2, x), (w2, b, s, x)
    (place,) = [i for i, world in enumerate(others) if posterior(*world)[1] < width - 1e-9]
    return place


@oracle("01-same-at-every-z")
def _(w, b, s, x, z):
    joint = log_p(x, w * z + b, s) + log_p(z, 0, 1)
    after = log_p(z, *posterior(w, b, s, x))
    return evidence(w, b, s, x), {
        "term-sign": joint + after,
        "term-missing": joint,
        "prior-forgotten": log_p(x, w * z + b, s) - after,
    }


@oracle("01-naive-monte-carlo")
def _(w, b, s, x, n, d):
    g = over(lambda z: stats.norm.pdf(x, w * z + b, s) ** 2, 0, 1) / math.exp(2 * evidence(w, b, s, x))
    one = math.sqrt(g**d - 1)
    return 100 * one / math.sqrt(n), {
        "one-draw": 100 * one,
        "linear-in-n": 100 * one / n,
        "wrong-dimension": 100 * math.sqrt((d * g - 1) / n),
    }


# ---- notebook 2 ------------------------------------------------------------------------------


@oracle("02-gap")
def _(w, b, s, x, mu, std):
    after = posterior(w, b, s, x)
    gap = evidence(w, b, s, x) - elbo(w, b, s, x, mu, std)
    return gap, {"reverse": kl(*after, mu, std), "prior-for-posterior": kl(mu, std), "half": 2 * gap}


@oracle("02-evidence-from-parts")
def _(w, b, s, x, mu, std):
    bound, truth = elbo(w, b, s, x, mu, std), evidence(w, b, s, x)
    return truth, {
        "term-sign": 2 * bound - truth,
        "prior-for-posterior": reconstruction(w, b, s, x, mu, std),
        "kl-added": truth + kl(mu, std),
    }


@oracle("02-elbo-by-hand")
def _(w, b, s, x, mu, std):
    by_integral = over(lambda z: log_p(x, w * z + b, s) + log_p(z, 0, 1) - log_p(z, mu, std), mu, std)
    return by_integral, {
        "kl-added": reconstruction(w, b, s, x, mu, std) + kl(mu, std),
        "noise-missing": reconstruction(w, b, s, x, mu, 0) - kl(mu, std),
        "term-missing": reconstruction(w, b, s, x, mu, std),
        "bound-for-truth": evidence(w, b, s, x),
    }


@oracle("02-trade")
def _(w, b, s, x, mu, std, mu2, std2):
    truth = evidence(w, b, s, x)
    before, after = elbo(w, b, s, x, mu, std), elbo(w, b, s, x, mu2, std2)
    return truth - after, {
        "term-sign": truth - 2 * before + after,
        "gap-kept": truth - before,
        "term-missing": abs(after - before),
    }


@oracle("02-jensen")
def _(low, high):
    low, high = mpmath.mpf(low), mpmath.mpf(high)
    outer, inner = mpmath.log((low + high) / 2), mpmath.log(mpmath.sqrt(low * high))
    return outer - inner, {"sign": inner - outer, "term-missing": outer, "density-of-averages": 0}


@oracle("02-mini-batch")
def _(n, batch):
    total = math.fsum(batch)
    # Averaged over all batches of four of any data, N/M times the sum of a batch is the sum of the data.
    data = [*batch, -90.0, -130.0]
    batches = [6 / 4 * sum(four) for four in itertools.combinations(data, 4)]
    assert math.isclose(sum(batches) / len(batches), sum(data))
    return n / 4 * total, {"not-scaled": total, "batch-reduced": total / 4, "scale": n * total}


@oracle("02-who-likes-what")
def _(w, b, s, x, mu, one, other):
    better = [
        reconstruction(w, b, s, x, mu, one) > reconstruction(w, b, s, x, mu, other),
        kl(mu, one) < kl(mu, other),
    ]
    return [[True, True], [False, False], [True, False], [False, True]].index(better)


# ---- notebook 3 ------------------------------------------------------------------------------


@oracle("03-kl-by-hand")
def _(mu, std):
    exact = kl(mu, std)
    return exact, {
        "half": 2 * exact,
        "constant": exact + 0.5,
        "std-for-var": exact + (std - std**2) / 2,
        "log-std": exact + math.log(std) / 2,
    }


@oracle("03-kl-of-latents")
def _(mu, std, d):
    exact = sum(map(kl, mu, std))
    return exact, {
        "mean-latent": exact / d,
        "half": 2 * exact,
        "constant": exact + (d - 1) / 2,
        "term-missing": exact - sum(m * m for m in mu) / 2,
    }


@oracle("03-kl-from-log-var")
def _(mu, log_var):
    exact = kl(mu, math.exp(log_var / 2))
    return exact, {
        "log-std": kl(mu, math.exp(log_var)),
        "term-sign": exact + log_var,
        "swapped": mu**2 - 1 - exact,
    }


@oracle("03-cross-entropy")
def _(mu, std):
    # of a uniform density with these moments: the shape must not matter
    width = math.sqrt(12) * std
    surprise = integrate.quad(lambda z: -log_p(z, 0, 1) / width, mu - width / 2, mu + width / 2)[0]
    half_log = math.log(2 * math.pi) / 2
    return surprise, {
        "log-two-pi-missing": surprise - half_log,
        "term-missing": surprise - mu**2 / 2,
        "term-scale": 2 * surprise - half_log,
    }


@oracle("03-entropy")
def _(mu, std):
    exact = normal(mu, std).entropy().item()
    return exact, {
        "sign": -exact,
        "constant": exact - 0.5,
        "log-two-pi-missing": exact - math.log(2 * math.pi) / 2,
    }


@oracle("03-uniform")
def _(mu, std):
    width = math.sqrt(12) * std
    low, high = torch.tensor([mu - width / 2, mu + width / 2], dtype=torch.float64)
    uniform = torch.distributions.Uniform(low, high)
    exact = integrate.quad(
        lambda z: (-uniform.entropy().item() - log_p(z, 0, 1)) / width, low.item(), high.item()
    )[0]
    return exact, {
        "term-wrong": kl(mu, std),
        "term-missing": exact + uniform.entropy().item(),
        "term-sign": exact + 2 * uniform.entropy().item(),
    }


@oracle("03-two-gaussians")
def _(mu, std, mean, width):
    exact = kl(mu, std, mean, width)
    return exact, {"reverse": kl(mean, width, mu, std), "half": 2 * exact, "prior-for-posterior": kl(mu, std)}


@oracle("03-order")
def _(mu, std):
    there, back = kl(mu, std), kl(0, 1, mu, std)
    assert there >= 0 and back >= 0
    return 2 if math.isclose(there, back, abs_tol=1e-12) else int(back > there)


# ---- notebook 4 ------------------------------------------------------------------------------


@oracle("04-standard-error")
def _(sd, n):
    return math.sqrt(sd**2 / n), {"one-draw": sd, "linear-in-n": sd / n, "no-root": sd**2 / n}


@oracle("04-error-from-values")
def _(values):
    return stats.sem(values), {
        "term-wrong": stats.sem(values, ddof=0),
        "one-draw": stats.sem(values) * math.sqrt(5),
        "no-root": stats.sem(values) ** 2,
        "linear-in-n": stats.sem(values) / math.sqrt(5),
    }


@oracle("04-how-many-more")
def _(n, old, new):
    spread = old * math.sqrt(n)
    needed = next(k for k in itertools.count(n, n) if spread / math.sqrt(k) <= new * (1 + 1e-9))
    return needed, {"linear-in-n": n * old / new, "scale": n * (old / new) ** 3}


@oracle("04-draws-for-an-error")
def _(sd, error):
    needed = optimize.brentq(lambda n: sd / math.sqrt(n) - error, 1, 1e8)
    return needed, {"linear-in-n": sd / error, "scale": 4 * needed, "std-for-var": sd * sd / error}


@oracle("04-spread-of-log-ratio")
def _(mu, std):
    def log_ratio(z):
        return log_p(z, mu, std) - log_p(z, 0, 1)

    mean = over(log_ratio, mu, std)
    variance = over(lambda z: (log_ratio(z) - mean) ** 2, mu, std)
    return math.sqrt(variance), {
        "no-root": variance,
        "stds-added": abs(std**2 - 1) / math.sqrt(2) + abs(mu) * std,
    }


@oracle("04-how-many-errors-off")
def _(claim, n, mean, sd):
    found = stats.ttest_ind_from_stats(mean, sd, n, claim, 0.0, n, equal_var=False).statistic
    return abs(found), {"one-draw": abs(found) / math.sqrt(n), "linear-in-n": abs(found) * math.sqrt(n)}


@oracle("04-one-draw-elbo")
def _(w, b, s, x, mu, std, eps):
    def estimate(z):
        return stats.norm.logpdf(x, w * z + b, s) - kl(mu, std)

    return estimate(mu + std * eps), {
        "noise-missing": estimate(mu),
        "var-for-std": estimate(mu + std**2 * eps),
        "kl-added": estimate(mu + std * eps) + 2 * kl(mu, std),
        "term-wrong": over(estimate, mu, std),
    }


@oracle("04-which-scatters-less")
def _(w, b, s, x, mu, std):
    # Both are quadratics in ε: of a ε² + c ε the variance is 2 a² + c².
    a, c = -((w * std) ** 2) / (2 * s * s), w * std * (x - w * mu - b) / (s * s)
    closed = 2 * a * a + c * c
    sampled = 2 * (a + (1 - std**2) / 2) ** 2 + (c - mu * std) ** 2
    if math.isclose(sampled, closed, rel_tol=1e-9):
        return 3
    return 0 if sampled < 1e-10 else 1 if sampled < closed else 2


# ---- notebook 5 ------------------------------------------------------------------------------


def autograd(f, at):
    value = torch.tensor(float(at), dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(f(value), value)[0].item()


@oracle("05-draw")
def _(mu, log_var, eps):
    std = math.sqrt(math.exp(log_var))
    return stats.norm.ppf(stats.norm.cdf(eps), mu, std), {
        "var-for-std": mu + std**2 * eps,
        "std-missing": mu + eps,
        "noise-missing": mu,
        "swapped": mu + log_var * eps,
    }


@oracle("05-read-log-var")
def _(log_var, what):
    std = math.sqrt(math.exp(log_var))
    wanted = std**2 if "variance" in what else std
    numbers = [math.exp(log_var), math.exp(0.5 * log_var), 0.5 * log_var, 0.5 * math.exp(log_var)]
    (place,) = [i for i, number in enumerate(numbers) if math.isclose(number, wanted)]
    return place


@oracle("05-slope-by-log-var")
def _(mu, std):
    return autograd(lambda ell: mu**2 + torch.exp(ell), 2 * math.log(std)), {
        "term-wrong": autograd(lambda sigma: mu**2 + sigma**2, std),
        "swapped": autograd(lambda m: m**2 + std**2, mu),
    }


@oracle("05-score-of-one-draw")
def _(mu, std, eps):
    z = mu + std * eps
    score = autograd(
        lambda m: torch.distributions.Normal(m, std).log_prob(torch.tensor(z, dtype=torch.float64)), mu
    )
    return z**2 * score, {
        "other-estimator": autograd(torch.square, z),
        "term-missing": score,
        "std-for-var": z**2 * score * std,
    }


def variances(mu, std):
    """Of score function and path, by Gauss-Hermite quadrature."""
    eps, weight = np.polynomial.hermite_e.hermegauss(20)
    weight = weight / weight.sum()
    z = mu + std * eps
    return [weight @ (g - weight @ g) ** 2 for g in (z**2 * eps / std, 2 * z)]


@oracle("05-path-variance")
def _(mu, std):
    score, path = variances(mu, std)
    return path, {
        "other-estimator": score,
        "std-for-var": math.sqrt(path),
        "scale": path / 2,
        "term-wrong": path + 4 * mu**2,
    }


@oracle("05-score-costs")
def _(mu, std):
    score, path = variances(mu, std)
    return score / path, {
        "linear-in-n": math.sqrt(score / path),
        "scale": (score / path) ** 2,
        "term-missing": over(lambda z: z**4 * (z - mu) ** 2 / std**4, mu, std) / path,
    }


@oracle("05-cut-path")
def _(w, b, s, x, mu, std):
    def bound(m, draw_of_z):
        eps, weight = np.polynomial.hermite_e.hermegauss(5)  # exact: the log-likelihood is a quadratic
        q = torch.distributions.Normal(m, torch.tensor(std, dtype=torch.float64))
        z = draw_of_z(m + std * torch.tensor(eps))
        share = torch.tensor(weight / weight.sum())
        likelihood = (
            share * torch.distributions.Normal(w * z + b, s).log_prob(torch.tensor(x, dtype=torch.float64))
        ).sum()
        return likelihood - torch.distributions.kl_divergence(q, normal(0, 1))

    cut, whole = (
        autograd(lambda m, keep=keep: bound(m, keep), mu) for keep in (torch.Tensor.detach, torch.clone)
    )
    return cut, {"not-differentiable": whole, "term-sign": -cut, "swapped": whole - cut, "term-missing": 0}


@oracle("05-missing-half")
def _(w, b, s, x, mu, std):
    returned = over(lambda z: log_p(x, w * z + b, s), mu, std**2) - kl(mu, std)
    excess = returned - elbo(w, b, s, x, mu, std)
    return excess, {
        "sign": -excess,
        "half": 2 * excess,
        "noise-missing": reconstruction(w, b, s, x, mu, 0) - reconstruction(w, b, s, x, mu, std),
    }


# ---- notebook 6 ------------------------------------------------------------------------------


def bernoulli(x, logits):
    coins = torch.distributions.Bernoulli(logits=torch.tensor(logits, dtype=torch.float64))
    return coins.log_prob(torch.tensor(x, dtype=torch.float64)).sum().item()


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.array(logits)))


@oracle("06-fair-coins")
def _(d):
    return -stats.bernoulli.logpmf([1] * d, 0.5).sum(), {
        "mean-pixels": LOG_2,
        "wrong-unit": d,
        "half": d * math.log(4),
    }


@oracle("06-one-pixel")
def _(x, a):
    exact = stats.bernoulli.logpmf(x, sigmoid(a))
    return exact, {
        "targets-flipped": stats.bernoulli.logpmf(1 - x, sigmoid(a)),
        "not-log": math.exp(exact),
        "sign": -exact,
        "squared-error": -((x - sigmoid(a)) ** 2),
    }


@oracle("06-some-pixels")
def _(x, logits, d):
    exact = bernoulli(x, logits)
    return exact, {
        "mean-pixels": exact / d,
        "targets-flipped": bernoulli([1 - v for v in x], logits),
        "squared-error": -sum((v - p) ** 2 for v, p in zip(x, sigmoid(logits), strict=True)),
        "term-missing": sum(math.log(p) for v, p in zip(x, sigmoid(logits), strict=True) if v),
    }


@oracle("06-hidden-beta")
def _(d, latents, pixel, kl):
    # What one nat of one latent weighs in the loss against one nat of one pixel.
    cross_entropy = torch.ones(d, dtype=torch.float64, requires_grad=True)
    rate = torch.ones(latents, dtype=torch.float64, requires_grad=True)
    reduce = {"averaged": torch.mean, "summed": torch.sum}
    grads = torch.autograd.grad(reduce[pixel](cross_entropy) + reduce[kl](rate), [cross_entropy, rate])
    beta = (grads[1][0] / grads[0][0]).item()
    return beta, {"ratio-upside-down": 1 / beta, "beta-forgotten": 1}


@oracle("06-ledger")
def _(lik, rate):
    return lik - rate, {"kl-added": lik + rate, "term-missing": lik, "sign": rate - lik}


@oracle("06-gaussian-pixels")
def _(d, error, s):
    x = np.zeros(d)
    x[0] = math.sqrt(error)  # the same squared distance, all in one pixel
    exact = stats.norm.logpdf(x, 0, s).sum()
    return exact, {
        "mean-pixels": exact / d,
        "log-sigma-missing": exact + d * math.log(s),
        "log-two-pi-missing": exact + d / 2 * math.log(2 * math.pi),
        "std-for-var": exact + error / (2 * s * s) - error / (2 * s),
    }


@oracle("06-best-noise")
def _(d, error):
    s = optimize.brentq(lambda s: error / s**3 - d / s, 1e-3, 100)  # where the slope vanishes
    return s, {
        "no-root": s**2,
        "not-divided": math.sqrt(error),
        "scale": s / math.sqrt(2),
        "std-for-var": s / math.sqrt(d),
    }


@oracle("06-what-squared-error-assumes")
def _(beta):
    # (squared error + beta KL) / beta = squared error / (2 s²) + KL
    s = mpmath.sqrt(mpmath.mpf(beta) / 2)
    return s, {
        "no-root": s**2,
        "term-scale": math.sqrt(beta),
        "ratio-upside-down": 1 / (2 * s),
        "beta-forgotten": math.sqrt(0.5),
    }


@oracle("06-entropy-floor")
def _(grey):
    exact = sum(
        torch.distributions.Bernoulli(torch.tensor(p, dtype=torch.float64)).entropy().item() for p in grey
    )
    return exact, {
        "term-missing": 0,
        "mean-pixels": exact / 4,
        "wrong-unit": exact / LOG_2,
        "density-of-averages": 4 * stats.bernoulli.entropy(sum(grey) / 4),
    }


# ---- notebook 7 ------------------------------------------------------------------------------


@oracle("07-gain-per-latent")
def _(low, high, worse, better):
    gain = worse - better
    return gain / (high - low), {
        "not-divided": gain,
        "wrong-dimension": gain / high,
        "sign": -gain / (high - low),
    }


@oracle("07-rate-in-bits")
def _(rate, latents):
    bits = math.log2(math.exp(rate))
    return bits, {"ratio-upside-down": rate * LOG_2, "wrong-unit": rate, "mean-latent": bits / latents}


@oracle("07-idle-latent")
def _(mu):
    return kl(mu, 1), {"term-missing": 0, "half": 2 * kl(mu, 1), "sign": -kl(mu, 1)}


@oracle("07-active-units")
def _(variances, d):
    active = len([v for v in variances if v > 0.01])
    return active, {
        "all-counted": d,
        "swapped": d - active,
        "term-scale": len([v for v in variances if v > 0.1]),
    }


@oracle("07-cost-of-precision")
def _(std):
    mean = math.sqrt(1 - std**2)
    exact = (kl(mean, std) + kl(-mean, std)) / 2
    return exact, {
        "half": 2 * exact,
        "wrong-unit": exact / LOG_2,
        "term-missing": kl(0, std),
        "term-wrong": kl(1, std),
    }


@oracle("07-between-two-draws")
def _(a, d):
    # As a sum of squares it is a scaled chi-square, whose mean SciPy knows.
    exact = stats.chi2(d, scale=a**2 + (1 - a) ** 2).mean()
    return exact, {
        "stds-added": d,
        "term-missing": a**2 * d,
        "term-wrong": math.sqrt(exact),
        "std-for-var": sum([math.hypot(a, 1 - a)] * d),
    }


@oracle("07-spoilt")
def _(log_p, junk):
    before = mpmath.exp(mpmath.mpf(log_p))
    fall = log_p - mpmath.log((1 - mpmath.mpf(junk)) * before)
    return fall, {"swapped": -math.log(junk), "not-log": junk, "density-of-averages": -junk * log_p}


@oracle("07-more-latents")
def _(low, high):
    rows = spread()
    small, large = ([run["elbo"] for run in rows[f"latent_{d}"]["figures"]] for d in (low, high))
    if all(b > a for a in small for b in large):
        return 0
    return 1 if all(b < a for a in small for b in large) else 2


def spread():
    return json.loads((FOLDER / "spread.json").read_text(encoding="utf-8"))


# ---- notebook 8 ------------------------------------------------------------------------------


@oracle("08-bound-of-some-draws")
def _(log_r, k):
    mean = mpmath.fsum(mpmath.exp(v) for v in log_r) / k
    return mpmath.log(mean), {
        "density-of-averages": sum(log_r) / k,
        "constant": mpmath.log(mean * k),
        "term-missing": max(log_r),
        "not-log": mean,
    }


def missed(mean, std, centre, width, k, runs=200_000):
    """log p(x) - L_k by simulation, and its standard error."""
    z = mean + std * np.random.default_rng(3).standard_normal((runs, k))
    ratio = stats.norm.pdf(z, centre, width) / stats.norm.pdf(z, mean, std)
    values = -np.log(ratio.mean(axis=1))
    return values.mean(), values.std() / math.sqrt(runs)


@oracle("08-which-bound")
def _(mean, std, centre, width, evidence, few, many):
    simulated, error = missed(mean, std, centre, width, many, runs=400_000 // many)
    return (evidence - simulated, 5 * error), {
        "bound-for-truth": evidence,
        "other-bound": evidence - kl(mean, std, centre, width),
    }


@oracle("08-more-draws")
def _(mean, std, centre, width, k):
    return (
        0
        if (mean, std) == (centre, width)
        else 1
        if missed(mean, std, centre, width, k, 20_000)[0] < kl(mean, std, centre, width)
        else 3
    )


@oracle("08-grid")
def _(weight, s, x, step):
    weight, x = np.array(weight), np.array(x)
    exact = stats.multivariate_normal(np.zeros(3), weight @ weight.T + s**2 * np.eye(3)).logpdf(x)
    return exact, {
        "no-step": exact - 2 * math.log(step),
        "wrong-dimension": exact - math.log(step),
        "term-sign": exact - 4 * math.log(step),
    }


@oracle("08-two-gaps")
def _(w, b, s, x, mu, std, off):
    best, own = elbo(w, b, s, x, mu, std), elbo(w, b, s, x, off, std)
    truth = evidence(w, b, s, x)
    return best - own, {
        "approximation-for-amortization": truth - best,
        "not-divided": truth - own,
        "sign": own - best,
    }


@oracle("08-correlated-posterior")
def _(rho):
    cov = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64)
    target = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=torch.float64), cov)

    def loss(log_var):
        q = torch.distributions.MultivariateNormal(target.mean, torch.diag(torch.tensor(np.exp(log_var))))
        return torch.distributions.kl_divergence(q, target).item()

    exact = optimize.minimize(
        loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12}
    ).fun
    return exact, {"half": 2 * exact, "reverse": loss([0.0, 0.0]), "term-missing": 0}


@oracle("08-small-and-many")
def _(ratio, shift, k):
    # by the closed form of section 1, at v = 1
    variance = ratio**2 / math.sqrt(2 * ratio**2 - 1) * math.exp(shift**2 / (2 * ratio**2 - 1)) - 1
    return variance / (2 * k), {
        "half": variance / k,
        "one-draw": variance / 2,
        "linear-in-n": variance / (2 * k * k),
    }


@oracle("08-draws-that-it-takes")
def _(mean, std, centre, width):
    there, back = kl(centre, width, mean, std), kl(mean, std, centre, width)
    return math.exp(there), {
        "reverse": math.exp(back),
        "term-wrong": there,
        "wrong-unit": math.exp(there * LOG_2),
    }


# ---- notebook 9 ------------------------------------------------------------------------------


@oracle("09-best-weight")
def _(data_var, s):
    exact = math.sqrt(data_var - s * s)
    return exact, {
        "no-root": exact**2,
        "stds-added": math.sqrt(data_var) - s,
        "term-missing": math.sqrt(data_var),
    }


@oracle("09-rate-of-a-latent")
def _(data_var, s):
    # averaged over the data: the posterior of the best model against the prior
    w = math.sqrt(data_var - s * s)
    exact = over(lambda x: kl(*posterior(w, 0, s, x)), 0, math.sqrt(data_var))
    return exact, {
        "half": 2 * exact,
        "wrong-unit": exact / LOG_2,
        "std-for-var": 0.5 * math.log(data_var / s),
    }


@oracle("09-how-many-alive")
def _(eigenvalues, s, beta):
    # A latent lives if a small weight pays: the slope of distortion + β rate by the variance w² at w = 0.
    alive = sum(-v / (2 * s * s) + beta / 2 < 0 for v in eigenvalues)
    assert alive == sum(v > beta * s * s for v in eigenvalues)
    return alive, {
        "beta-forgotten": sum(v > s * s for v in eigenvalues),
        "std-for-var": sum(v > beta * s for v in eigenvalues),
        "swapped": len(eigenvalues) - alive,
    }


@oracle("09-total-rate")
def _(eigenvalues, s, beta):
    # the rate at the minimum of distortion + β rate, each direction by a search over what is left of it
    def rate(value):
        cost = optimize.minimize_scalar(
            lambda r: value * math.exp(-2 * r) / (2 * s * s) + beta * r,
            bounds=(0, 12),
            method="bounded",
            options={"xatol": 1e-10},
        )
        return cost.x

    exact = sum(map(rate, eigenvalues))
    return exact, {"half": 2 * exact, "term-sign": sum(0.5 * math.log(v / beta / s**2) for v in eigenvalues)}


@oracle("09-same-level")
def _(s, other):
    return (s / other) ** 2, {"std-for-var": s / other, "ratio-upside-down": (other / s) ** 2}


@oracle("09-cost-of-beta")
def _(data_var, s, beta):
    def minus_elbo(weight):  # of the best model for this weight, by a search over its rate
        found = optimize.minimize_scalar(
            lambda r: data_var * math.exp(-2 * r) / (2 * s * s) + weight * r,
            bounds=(0, 12),
            method="bounded",
            options={"xatol": 1e-12},
        ).x
        return data_var * math.exp(-2 * found) / (2 * s * s) + found

    lost = minus_elbo(beta) - minus_elbo(1.0) if data_var > s * s else None
    return lost, {"half": 2 * lost, "sign": -lost, "term-missing": (beta - 1) / 2}


@oracle("09-free-bits")
def _(kls, free, d):
    counted = torch.tensor(kls, dtype=torch.float64).clamp(min=free).sum().item()
    return counted, {
        "term-missing": math.fsum(kls),
        "mean-latent": counted / d,
        "limit-turned": math.fsum(kls) + d * free - counted,
        "term-wrong": counted - d * free,
    }


@oracle("09-weighted-objective")
def _(w, b, s, x, mu, std, beta):
    value = over(lambda z: log_p(x, w * z + b, s), mu, std) - beta * kl(mu, std)
    above = value - evidence(w, b, s, x)
    return 1 if abs(above) < 1e-7 else 0 if above > 0 else 2


@oracle("09-best-elbo")
def _(b1, b2, b3, b4):
    rows = spread()
    means = [np.mean([run["elbo"] for run in rows[f"beta_{beta:g}"]["figures"]]) for beta in (b1, b2, b3, b4)]
    return int(np.argmax(means))


# ---- the tests -------------------------------------------------------------------------------


def test_there_are_seven_questions_to_each_notebook_and_sixty_three_in_all():
    bank = load()
    assert tuple(bank) == NOTEBOOKS and len(QUESTIONS) >= 63
    for notebook, questions in bank.items():
        assert len(questions) >= 7 and {question.notebook for question in questions} == {notebook}
        assert {question.level for question in questions} == {1, 2, 3}, notebook
    assert sum(map(len, bank.values())) == len(QUESTIONS)


def test_every_question_has_a_second_computation():
    assert set(ORACLES) == set(QUESTIONS)


@pytest.mark.parametrize("key", QUESTIONS)
def test_the_answer_is_what_another_program_computes(key):
    question = QUESTIONS[key]
    for variant in drawn(key):
        found = call(ORACLES[key], variant.values)
        (right,) = [option for option in variant.options if option.right]
        if question.statements:
            shown = [option.text for option in variant.options]
            true = _filled_as_shown(question, found, variant)
            assert right.text == true and shown.count(true) == 1, variant.text
            continue
        answer, slips = found
        answer, error = answer if isinstance(answer, tuple) else (answer, 0.0)
        close(right.number, answer, question.digits, variant.text, error)
        by_name = {option.name: option for option in variant.options if not option.right}
        for name, number in slips.items():
            close(by_name[name].number, number, question.digits, f"{name}: {variant.text}")


def close(printed, number, digits, where, error=0.0):
    """The printed number is the other one, rounded."""
    assert (
        abs(float(printed) - float(number)) <= 0.5 * 10.0**-digits * (1 + 1e-6) + 1e-9 * abs(number) + error
    ), where


def _filled_as_shown(question, place, variant):
    """The text of a statement with the parameters that it names."""

    def shown(found):
        value = variant.values[found[1]]
        return str(value) if isinstance(value, int) else np.format_float_positional(value, trim="-")

    return re.sub(r"<(\w+)>", shown, question.statements[place].text)


@pytest.mark.parametrize("key", QUESTIONS)
def test_options_can_be_told_apart_and_every_word_is_filled_in(key):
    question = QUESTIONS[key]
    for variant in drawn(key):
        assert sum(option.right for option in variant.options) == 1
        assert 3 <= len(variant.options) <= 5
        assert len({option.text for option in variant.options}) == len(variant.options)
        if not question.statements:
            numbers = [float(option.number) for option in variant.options]
            gaps = [abs(a - b) for a, b in itertools.combinations(numbers, 2)]
            assert min(gaps) > 2 * variant.tolerance
        texts = [
            variant.text,
            variant.solution,
            *(o.text for o in variant.options),
            *(o.said for o in variant.options),
        ]
        for text in texts:
            assert not re.search(r"<\(?\w+\)?>|\bnan\b|\binf\b", text), text
            assert text.count("$") % 2 == 0 and text.count("`") % 2 == 0, text
            for formula in re.findall(r"\$([^$]+)\$", text):
                assert formula.count("{") == formula.count("}"), text


@pytest.mark.parametrize("key", QUESTIONS)
def test_a_question_is_short_and_a_teacher_speaks_in_sentences(key):
    question = QUESTIONS[key]
    for variant in drawn(key, 3):
        assert len(variant.text.split()) <= 90 and variant.text.endswith("?"), variant.text
        for option in variant.options:
            if not option.right:
                assert re.match(r"[A-Z$`]", option.said) and option.said.endswith((".", "?")), option.said
    assert question.solution.rstrip("$").endswith((".", "<answer>")), question.solution


@pytest.mark.parametrize("key", [key for key, question in QUESTIONS.items() if question.statements])
def test_which_statement_holds_depends_on_the_numbers(key):
    true = {next(o.text for o in v.options if o.right) for v in drawn(key, 60)}
    assert len(true) >= 2


def test_no_name_of_a_mistake_stands_unused():
    used = {one.name for question in QUESTIONS.values() for one in (*question.slips, *question.statements)}
    assert set(NAMES) <= used


def test_a_solution_names_the_answer():
    assert [key for key, question in QUESTIONS.items() if "<answer>" not in question.solution] == []


# ---- the numbers that are printed ------------------------------------------------------------

# Solutions that calculate in words: the answer from the numbers that they name before it.
IN_WORDS = {
    "01-two-causes": lambda likelihoods, priors: likelihoods + priors,
    "02-elbo-by-hand": lambda rec, rate: rec - rate,
    "03-kl-of-latents": lambda *each: math.fsum(each),
    "03-uniform": lambda cross, own: cross - own,
    "04-one-draw-elbo": lambda z, log_likelihood, rate: log_likelihood - rate,
    "05-score-costs": lambda score, path: score / path,
    "06-some-pixels": lambda *each: math.fsum(each),
    "09-total-rate": lambda level, *each: math.fsum(each),
}
# Those whose formula of the answer has letters, or gives its square.
NOT_WORKED_OUT = {
    *("04-spread-of-log-ratio", "05-cut-path", "06-best-noise", "06-entropy-floor", "06-hidden-beta"),
    *("06-what-squared-error-assumes", "07-active-units", "07-between-two-draws", "08-bound-of-some-draws"),
    *("08-which-bound", "09-free-bits", "09-how-many-alive", "09-same-level"),
}
TEX = [
    (r"\{,\}|\\big|\s", ""),
    (r"\\cdot", "*"),
    (r"\\tfrac12", "0.5*"),
    (r"\\t?frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))"),
    (r"\\log2\\pi", "log(2*pi)"),
    (r"\\log([\d.]+(?:\^2)?)", r"log(\1)"),
    (r"\\sqrt(\d)", r"sqrt(\1)"),
    (r"e\^\{([^{}]*)\}", r"exp(\1)"),
    (r"\^\{([^{}]*)\}", r"^(\1)"),
    (r"\\(log|sqrt|pi)", r"\1"),
    (r"[\[{]", "("),
    (r"[\]}]", ")"),
    (r"([\d)])(?=[a-z(])", r"\1*"),
    (r"\^", "**"),
]


def calculated(formula):
    """The value of a formula in TeX that has numbers only; None for another one."""
    for pattern, put in TEX:
        formula = re.sub(pattern, put, formula)
    if not re.fullmatch(r"(?:log|exp|sqrt|pi|[-+*/().\d])+", formula):
        return None
    return eval(formula, {name: getattr(math, name) for name in ("log", "exp", "sqrt", "pi")})


def named(solution):
    """The numbers of a solution in their order: whole formulas, or what follows the last = of one."""
    ends = [
        formula.rpartition("=")[2].replace("{,}", "").strip()
        for formula in re.findall(r"\$([^$]+)\$", solution)
    ]
    return [
        float(number)
        for end in ends
        if re.fullmatch(r"-?[\d.]+(?:, -?[\d.]+)*", end)
        for number in end.split(", ")
    ]


def worked_out(key, variant):
    """What the printed numbers of a solution give; None where it does not calculate."""
    if key in IN_WORDS:
        return IN_WORDS[key](*named(variant.solution)[:-1])
    if key == "01-naive-monte-carlo":
        return 100 * calculated(re.search(r"\$([^$]+)\$", variant.solution)[1])
    (answer,) = [option.text.split("$")[1] for option in variant.options if option.right]
    for formula in re.findall(r"\$([^$]+)\$", variant.solution):
        *_, way, end = ["", *formula.split("=")]
        if end.strip() == answer and way:
            return calculated(way)
    return None


@pytest.mark.parametrize("key", [key for key, one in QUESTIONS.items() if not one.statements])
def test_the_printed_numbers_of_a_solution_give_its_answer(key):
    unit = 10.0 ** -QUESTIONS[key].digits
    for variant in [*drawn(key), *variants(QUESTIONS[key], VARIANTS, SEED)]:
        (answer,) = [float(option.number) for option in variant.options if option.right]
        found = worked_out(key, variant)
        assert found is None or abs(found - answer) <= unit * (1 + 1e-9), (found, variant.solution)


def test_which_solutions_are_worked_out():
    asked = {key for key, one in QUESTIONS.items() if not one.statements}
    assert {key for key in asked if worked_out(key, drawn(key, 1)[0]) is None} == NOT_WORKED_OUT


@pytest.mark.parametrize("key", QUESTIONS)
def test_no_zero_has_a_sign_and_no_noise_of_a_computation_is_printed(key):
    for variant in [*drawn(key), *variants(QUESTIONS[key], VARIANTS, SEED)]:
        for text in [variant.text, variant.solution, *(o.text + o.said for o in variant.options)]:
            assert not re.search(r"(?<![\d.])-0(?:\.0+)?(?![\d.])", text), text
            assert not re.search(r"0\.0{7}", text), text


def test_an_estimate_that_does_not_scatter_is_said_to_scatter_by_zero():
    exact = [v for v in drawn("04-which-scatters-less", 40) if "no spread at all" in v.solution]
    assert exact and all("$0$ nats (all sampled)" in variant.solution for variant in exact)


def test_the_error_of_an_estimate_by_draws_of_the_prior_is_below_the_whole():
    for variant in drawn("01-naive-monte-carlo", 60):
        assert 0 < float(next(o.number for o in variant.options if o.right)) < 100


def test_a_hidden_beta_is_printed_in_full_and_without_zeros_at_its_end():
    found = [option.number for variant in drawn("06-hidden-beta", 60) for option in variant.options]
    assert {"0.0625", "784", "1"} <= set(found)
    assert all(float(number) > 0 and not re.search(r"\.\d*0$", number) for number in found)
    totals = [o.text for v in drawn("02-mini-batch") for o in v.options if o.right]
    assert all(re.fullmatch(r"\$-[\d{,}]+\$ nats", text) for text in totals)


def test_variants_do_not_ask_for_the_same():
    for variant in drawn("05-read-log-var", 60):
        assert "log\\sigma" not in variant.text
    shown = variants(QUESTIONS["08-draws-that-it-takes"], VARIANTS, SEED)
    assert len({frozenset(option.text for option in variant.options) for variant in shown}) == VARIANTS
