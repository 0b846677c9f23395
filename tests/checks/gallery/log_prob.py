"""log N(x; mu, diag(exp(log_var))), summed over the last axis, written by hand after public code."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch.distributions import Independent, MultivariateNormal, Normal

from gallery._entry import right, wrong

LOG_2PI = math.log(2 * math.pi)

# --- right ---------------------------------------------------------------------------------------


@right("log_prob", source="tensorflow CVAE tutorial: log_normal_pdf")
def tensorflow_tutorial(sample, mean, logvar, raxis=1):
    log2pi = np.log(2.0 * np.pi)
    return np.sum(-0.5 * ((sample - mean) ** 2.0 * np.exp(-logvar) + logvar + log2pi), axis=raxis)


@right("log_prob", source="jmtomczak style: log_normal_diag(..., reduction='sum')")
def tomczak_style(x, mu, log_var, reduction="sum", dim=-1):
    pi = torch.tensor(np.pi)
    log_p = -0.5 * torch.log(2.0 * pi) - 0.5 * log_var - 0.5 * torch.exp(-log_var) * (x - mu) ** 2.0
    return log_p.mean(dim) if reduction == "avg" else log_p.sum(dim)


@right("log_prob", source="GuHY777/VaDE-pytorch #3")
def vade_gaussian(x, mu, log_sigma2):
    return -0.5 * torch.sum(np.log(np.pi * 2) + log_sigma2 + (x - mu).pow(2) / torch.exp(log_sigma2), 1)


@right("log_prob", source="corenel/pytorch-glow #1: logs is log σ")
def glow_logs(x, mu, log_var):
    logs = 0.5 * log_var
    return -0.5 * (logs * 2.0 + ((x - mu) ** 2) / torch.exp(logs * 2.0) + LOG_2PI).sum(dim=-1)


@right("log_prob", source="NVlabs/NVAE #42")
def nvae_normalized(samples, mu, log_var):
    sigma = torch.exp(0.5 * log_var)
    normalized = (samples - mu) / sigma
    return (-0.5 * normalized * normalized - 0.5 * LOG_2PI - torch.log(sigma)).sum(-1)


@right("log_prob", source="public script: -log(s) - ½log(2π) - (x - m)²/(2s²)")
def pure_python(x, mu, log_var):
    def one(xi, m, v):
        s = math.exp(v / 2)
        return -math.log(s) - 0.5 * math.log(2 * math.pi) - ((xi - m) ** 2) / (2 * s**2)

    rows = zip(x.tolist(), mu.tolist(), log_var.tolist(), strict=True)
    return [sum(one(*each) for each in zip(*row, strict=True)) for row in rows]


@right("log_prob")
def torch_normal(x, mu, log_var):
    return Normal(mu, log_var.div(2).exp()).log_prob(x).sum(-1)


@right("log_prob")
def torch_independent(x, mu, log_var):
    return Independent(Normal(mu, torch.sqrt(torch.exp(log_var))), 1).log_prob(x)


@right("log_prob")
def multivariate(x, mu, log_var):
    return MultivariateNormal(mu, scale_tril=torch.diag_embed(torch.exp(log_var / 2))).log_prob(x)


@right("log_prob")
def scipy_norm(x, mu, log_var):
    return stats.norm.logpdf(x, loc=mu, scale=np.exp(0.5 * log_var)).sum(axis=-1)


@right("log_prob", source="HIPS/autograd black_box_svi style: np.sum(norm.logpdf(…), axis=-1)")
def scipy_with_log_std(x, mu, log_var):
    log_std = 0.5 * log_var
    return np.sum(stats.norm.logpdf((x - mu) / np.exp(log_std)) - log_std, axis=-1)


@right("log_prob")
def dimension_times_constant(x, mu, log_var):
    d = x.shape[-1]
    return -0.5 * (d * LOG_2PI + log_var.sum(-1) + ((x - mu) ** 2 / np.exp(log_var)).sum(-1))


@right("log_prob")
def mahalanobis_einsum(x, mu, log_var):
    delta = x - mu
    return -0.5 * (
        np.einsum("bi,bi,bi->b", delta, delta, np.exp(-log_var))
        + np.einsum("bi->b", log_var)
        + x.shape[1] * np.log(2 * np.pi)
    )


@right("log_prob")
def with_precision(x, mu, log_var):
    precision = torch.reciprocal(log_var.exp())
    return 0.5 * (torch.log(precision) - math.log(2 * math.pi) - precision * torch.square(x - mu)).sum(1)


@right("log_prob")
def float32_log_prob(x, mu, log_var):
    x, mu, log_var = (each.float() for each in (x, mu, log_var))
    return -0.5 * (LOG_2PI + log_var + ((x - mu) * torch.exp(-0.5 * log_var)).square()).sum(-1)


@right("log_prob")
def nll_loss_with_tiny_eps(x, mu, log_var):
    nll = F.gaussian_nll_loss(mu, x, log_var.exp(), full=True, eps=1e-20, reduction="none")
    return nll.sum(-1).neg()


@right("log_prob")
def accumulated_in_a_loop(x, mu, log_var):
    total = np.zeros(x.shape[0])
    for j in range(x.shape[1]):
        total -= 0.5 * (np.log(2 * np.pi) + log_var[:, j] + (x[:, j] - mu[:, j]) ** 2 / np.exp(log_var[:, j]))
    return total


@right("log_prob")
def half_terms(x, mu, log_var):
    return (-0.5 * LOG_2PI - log_var / 2 - (x - mu) ** 2 / (2 * np.exp(log_var))).sum(-1)


right("log_prob", name="lambda_torch")(
    lambda x, m, v: -((x - m).pow(2) * (-v).exp() + v + LOG_2PI).sum(-1) / 2,
)

# --- wrong ---------------------------------------------------------------------------------------


@wrong("log_prob", "log-two-pi-missing", source="riannevdberg/sylvester-flows style: log_Normal_diag")
def vampprior_log_normal(x, mean, log_var, average=False, dim=1):
    log_normal = -0.5 * (log_var + torch.pow(x - mean, 2) / torch.exp(log_var))
    return torch.mean(log_normal, dim) if average else torch.sum(log_normal, dim)


@wrong("log_prob", "log-two-pi-missing mean-pixels", source="the same with average=True")
def vampprior_average(x, mean, log_var, average=True, dim=1):
    log_normal = -0.5 * (log_var + torch.pow(x - mean, 2) * torch.pow(torch.exp(log_var), -1))
    return torch.mean(log_normal, dim) if average else torch.sum(log_normal, dim)


@wrong(
    "log_prob", "sign log-two-pi-missing", "sign log-two-pi-missing unstable", source="F.gaussian_nll_loss"
)
def nll_loss_default(x, mu, log_var):
    return F.gaussian_nll_loss(mu, x, log_var.exp(), reduction="none").sum(-1)


@wrong("log_prob", "log-two-pi-missing", "log-two-pi-missing unstable")
def minus_nll_loss_default(x, mu, log_var):
    return -F.gaussian_nll_loss(mu, x, log_var.exp(), reduction="none").sum(-1)


# torch's own guard (variances are clamped at 1e-6) gives another number at log_var = -30.
@wrong("log_prob", "unstable", "")
def nll_loss_full(x, mu, log_var):
    return -F.gaussian_nll_loss(mu, x, log_var.exp(), full=True, reduction="none").sum(-1)


@wrong("log_prob", "sign log-two-pi-missing batch-reduced mean-pixels",
       "sign log-two-pi-missing batch-reduced mean-pixels unstable")  # fmt: skip
def nll_loss_mean(x, mu, log_var):
    return F.gaussian_nll_loss(mu, x, torch.exp(log_var))


@wrong("log_prob", "sign", source="chainer gaussian_nll, orybkin/sigma-vae-pytorch gaussian_nll")
def negative_log_likelihood(x, mu, log_var):
    log_sigma = log_var / 2
    nll = 0.5 * torch.pow((x - mu) / log_sigma.exp(), 2) + log_sigma + 0.5 * np.log(2 * np.pi)
    return nll.sum(-1)


@wrong("log_prob", "std-for-var", source="orybkin/sigma-vae-pytorch #11, as the report wants it")
def divided_by_sigma(x, mu, log_var):
    sigma = np.exp(0.5 * log_var)
    return -0.5 * (np.log(2 * np.pi) + log_var + (x - mu) ** 2 / sigma).sum(-1)


@wrong("log_prob", "std-for-var log-std", source="hill-a/stable-baselines #1060")
def stable_baselines(x, mu, log_var):
    logstd = 0.5 * log_var
    return -0.5 * (LOG_2PI + logstd + (x - mu) ** 2 / torch.exp(logstd)).sum(dim=-1)


@wrong("log_prob", "var-for-std", source="uzh-rpg/deep_uncertainty_estimation #5")
def normal_with_variance(x, mu, log_var):
    return Normal(mu, torch.exp(log_var)).log_prob(x).sum(-1)


@wrong("log_prob", "var-for-std")
def scipy_with_variance(x, mu, log_var):
    return stats.norm(mu, np.exp(log_var)).logpdf(x).sum(-1)


# The same number by another road: log_var read as log σ in both places.
@wrong("log_prob", "var-for-std", "log-std", source="openai/vdvae gaussian_log_prob(x, mu, logsigma)")
def logsigma_expected(x, mu, log_var):
    return (-log_var - 0.5 * math.log(2 * math.pi) - 0.5 * ((x - mu) / log_var.exp()) ** 2).sum(-1)


@wrong("log_prob", "log-std", source="Lasagne/Recipes #90, half of it")
def log_sigma_with_half(x, mu, log_var):
    sigma = np.exp(log_var / 2)
    return np.sum(-0.5 * (np.log(2 * np.pi) + np.log(sigma) + ((x - mu) / sigma) ** 2), axis=1)


@wrong("log_prob", "term-scale", source="toshikwa/slac.pytorch #15: -½ε² - log σ²")
def log_var_without_half(x, mu, log_var):
    noise = (x - mu) * torch.exp(-0.5 * log_var)
    return (-0.5 * noise.pow(2) - log_var).sum(-1) - 0.5 * math.log(2 * math.pi) * x.size(-1)


# Two of three terms without their ½: two terms doubled, or twice the value with one term halved.
@wrong(
    "log_prob",
    "term-scale constant",
    "half term-scale",
    source="public log_normal_diag: … - log_var - 2 log √2π",
)
def half_on_the_square_only(x, mean, log_var):
    log_norm = 0.5 * (-((x - mean) ** 2)) * (-log_var).exp() - log_var - 2 * math.log(math.sqrt(2 * math.pi))
    return torch.sum(log_norm, 1)


@wrong("log_prob", "term-scale", source="Lasagne style with the ½ of the square lost")
def half_lost_on_square(x, mu, log_var):
    return (-0.5 * LOG_2PI - 0.5 * log_var - (x - mu) ** 2 / np.exp(log_var)).sum(-1)


@wrong("log_prob", "term-sign")
def plus_square(x, mu, log_var):
    return (-0.5 * (LOG_2PI + log_var) + 0.5 * (x - mu) ** 2 / np.exp(log_var)).sum(-1)


# The log-variance enters with the wrong sign only.
@wrong("log_prob", "term-sign")
def plus_log_var(x, mu, log_var):
    return (-0.5 * LOG_2PI + 0.5 * log_var - 0.5 * (x - mu) ** 2 / np.exp(log_var)).sum(-1)


@wrong("log_prob", "log-sigma-missing", source="mori97/VaDE #5 family: the normalizer without σ")
def log_sigma_forgotten(x, mu, log_var):
    return -0.5 * (LOG_2PI + (x - mu) ** 2 * torch.exp(-log_var)).sum(-1)


@wrong("log_prob", "log-sigma-missing log-two-pi-missing", source="takuseno/d3rlpy #192, as repaired")
def only_the_square(x, mu, log_var):
    inv_std = torch.exp(-0.5 * log_var)
    return -0.5 * (((mu - x) ** 2) * (inv_std**2)).sum(dim=1)


# Six mistakes in one line; who finds most of them, or says that nothing fits, tells the truth.
@wrong(
    "log_prob",
    "log-sigma-missing log-two-pi-missing std-for-var half sign mean-pixels shape",
    "log-sigma-missing log-two-pi-missing std-for-var sign mean-pixels shape",
    "log-sigma-missing log-two-pi-missing std-for-var mean-pixels shape",
    "unknown shape",
    source="takuseno/d3rlpy #192",
)
def d3rlpy_original(x, mu, log_var):
    inv_std = torch.exp(-0.5 * log_var)
    return (((mu - x) ** 2) * inv_std).mean(dim=1, keepdim=True)


@wrong(
    "log_prob",
    "log-two-pi-missing log-sigma-missing half",
    "log-two-pi-missing log-sigma-missing scale",
    "log-two-pi-missing log-sigma-missing term-scale",
    source="squared Mahalanobis distance with a minus",
)
def minus_mahalanobis(x, mu, log_var):
    return -((x - mu) ** 2 / np.exp(log_var)).sum(-1)


@wrong("log_prob", "sign log-sigma-missing log-two-pi-missing", source="public loss: half a squared z-score")
def half_squared_score(x, mu, log_var):
    return 0.5 * ((x - mu) ** 2 / np.exp(log_var)).sum(-1)


@wrong("log_prob", "log-of-square", source="a bracket of log(2πσ²) closed too late")
def bracket_too_late(x, mu, log_var):
    var = np.exp(log_var)
    return -0.5 * np.log(2 * np.pi * var * ((x - mu) ** 2 / var)).sum(-1)


@wrong("log_prob", "log-of-square")
def log_of_everything(x, mu, log_var):
    return -0.5 * (LOG_2PI + log_var + torch.log((x - mu) ** 2 / log_var.exp())).sum(-1)


@wrong("log_prob", "mean-pixels", source="jmtomczak style: reduction='avg'")
def averaged(x, mu, log_var):
    return (-0.5 * (LOG_2PI + log_var + (x - mu) ** 2 * np.exp(-log_var))).mean(axis=-1)


@wrong("log_prob", "mean-pixels")
def distribution_mean(x, mu, log_var):
    return Normal(mu, torch.exp(0.5 * log_var)).log_prob(x).mean(-1)


@wrong("log_prob", "not-log")
def the_density(x, mu, log_var):
    return np.prod(stats.norm.pdf(x, mu, np.exp(0.5 * log_var)), axis=-1)


@wrong("log_prob", "not-log")
def exp_of_log_prob(x, mu, log_var):
    return torch.exp(Normal(mu, torch.exp(0.5 * log_var)).log_prob(x).sum(-1))


# Densities added over coordinates: not logarithms, and no density either.
@wrong("log_prob", "not-log", "unknown")
def sum_of_densities(x, mu, log_var):
    return stats.norm.pdf(x, mu, np.exp(0.5 * log_var)).sum(axis=-1)


@wrong("log_prob", "half")
def half_everywhere_lost(x, mu, log_var):
    return -(LOG_2PI + log_var + (x - mu) ** 2 / np.exp(log_var)).sum(-1)


@wrong("log_prob", "constant", source="log π for log 2π")
def log_pi(x, mu, log_var):
    return -0.5 * (np.log(np.pi) + log_var + (x - mu) ** 2 / np.exp(log_var)).sum(-1)


@wrong("log_prob", "constant", source="mori97/VaDE #5: 2πσ for √(2π)σ")
def log_two_pi_without_root(x, mu, log_var):
    sigma = torch.exp(0.5 * log_var)
    return (-torch.log(2 * math.pi * sigma) - 0.5 * ((x - mu) / sigma) ** 2).sum(1)


@wrong("log_prob", "constant", source="the constant once for a row instead of once for a coordinate")
def constant_once(x, mu, log_var):
    return -0.5 * (LOG_2PI + (log_var + (x - mu) ** 2 / np.exp(log_var)).sum(-1))


@wrong("log_prob", "constant term-sign", "constant")
def plus_log_two_pi(x, mu, log_var):
    return -0.5 * (-LOG_2PI + log_var + (x - mu) ** 2 / np.exp(log_var)).sum(-1)


@wrong("log_prob", "term-wrong", source="piEsposito/blitz-bayesian-deep-learning #14: σ for log σ")
def blitz_sigma_for_log_sigma(x, mu, log_var):
    sigma = torch.exp(log_var / 2)
    return (-math.log(math.sqrt(2 * math.pi)) - sigma - ((x - mu) ** 2) / (2 * sigma**2)).sum(-1)


@wrong("log_prob", "term-wrong")
def not_squared(x, mu, log_var):
    return -0.5 * (LOG_2PI + log_var + (x - mu) / np.exp(log_var)).sum(-1)


@wrong("log_prob", "term-wrong", source="a Laplace's distance in a Gaussian")
def absolute_distance(x, mu, log_var):
    return -0.5 * (LOG_2PI + log_var + torch.abs(x - mu) / torch.exp(0.5 * log_var)).sum(-1)


@wrong("log_prob", "term-wrong")
def multiplied_by_variance(x, mu, log_var):
    return -0.5 * (LOG_2PI + log_var + (x - mu) ** 2 * np.exp(log_var)).sum(-1)


# ((x - μ)/σ²)²: another function of σ, or σ² where σ belongs, in one of two places.
@wrong("log_prob", "term-wrong", "var-for-std")
def square_over_variance(x, mu, log_var):
    return -0.5 * (LOG_2PI + log_var + ((x - mu) / np.exp(log_var)) ** 2).sum(-1)


@wrong("log_prob", "unstable", source="public PPO agent: (x - mu)² / (var + 1e-8)")
def epsilon_in_denominator(x, mu, log_var):
    var = np.exp(log_var)
    return np.sum(-0.5 * (((x - mu) ** 2) / (var + 1e-8) + log_var + LOG_2PI), axis=-1)


@wrong("log_prob", "unstable", "not-log", source="log of a density that underflows")
def log_of_product(x, mu, log_var):
    with np.errstate(divide="ignore", under="ignore"):
        return np.log(np.prod(stats.norm.pdf(x, mu, np.exp(log_var / 2)), axis=-1))


@wrong("log_prob", "shape")
def elementwise(x, mu, log_var):
    return Normal(mu, torch.exp(0.5 * log_var)).log_prob(x)


@wrong("log_prob", "shape var-for-std")
def elementwise_variance(x, mu, log_var):
    return Normal(mu, torch.exp(log_var)).log_prob(x)


@wrong("log_prob", "shape", source="takuseno/d3rlpy #192, as proposed: keepdim")
def keepdims(x, mu, log_var):
    return -0.5 * (LOG_2PI + log_var + (x - mu) ** 2 / np.exp(log_var)).sum(axis=1, keepdims=True)


@wrong("log_prob", "batch-reduced")
def total(x, mu, log_var):
    return Normal(mu, torch.exp(0.5 * log_var)).log_prob(x).sum()


@wrong("log_prob", "batch-reduced mean-pixels")
def total_mean(x, mu, log_var):
    return np.mean(stats.norm.logpdf(x, mu, np.exp(0.5 * log_var)))


@wrong("log_prob", "batch-reduced")
def batch_mean(x, mu, log_var):
    return Normal(mu, torch.exp(0.5 * log_var)).log_prob(x).sum(-1).mean()


# The distance is not divided by σ²: another function of σ; and its sign is that of a loss.
@wrong(
    "log_prob",
    "sign log-sigma-missing log-two-pi-missing term-wrong",
    "sign log-sigma-missing log-two-pi-missing",
    "log-sigma-missing log-two-pi-missing term-wrong",
    "sign term-wrong",
    "unknown",
    source="ethanluoyc/pytorch-vae #3: a squared error for the likelihood",
)
def squared_error(x, mu, log_var):
    return 0.5 * F.mse_loss(mu, x, reduction="none").sum(-1)


@wrong("log_prob", "constant", source="public log_Normal: D log 2π in every coordinate, in many copies")
def dimension_in_every_coordinate(x, mu, log_var):
    d = x.shape[1]
    log_p = -0.5 * ((x - mu) ** 2.0 * torch.exp(-log_var) + log_var + d * np.log(2 * np.pi))
    return log_p.sum(-1)


@wrong("log_prob", "constant", source="piEsposito/blitz-bayesian-deep-learning #58: an extra -0.5")
def extra_half(x, mu, log_var):
    sigma = torch.exp(log_var / 2)
    log_sqrt2pi = math.log(math.sqrt(2 * math.pi))
    return (-log_sqrt2pi - torch.log(sigma) - ((x - mu) ** 2) / (2 * sigma**2) - 0.5).sum(-1)


# A bracket closes too early, and the logarithm comes into the denominator: no term is left as it was.
@wrong("log_prob", "unknown", "term-wrong", "log-sigma-missing term-wrong", "term-wrong constant",
       source="genjax-community/genjax #430")  # fmt: skip
def genjax_bracket(x, mu, log_var):
    std = np.exp(0.5 * log_var)
    z = (x - mu) / std
    return (-1.0 * (np.square(np.abs(z)) + np.log(2.0 * np.pi)) / (8 - np.log(std))).sum(-1)


# log_var read as a log-precision: the sign of one term turns, and the square is multiplied by σ².
@wrong(
    "log_prob", "term-sign term-wrong", "term-wrong", "unknown", source="public gaussian_nll(x, mu, logprec)"
)
def read_as_log_precision(x, mu, logprec):
    nll = 0.5 * np.log(2 * np.pi) - 0.5 * logprec + 0.5 * torch.exp(logprec) * (x - mu) ** 2
    return -nll.sum(-1)


@wrong(
    "log_prob",
    "log-two-pi-missing",
    source="public log_gaussian: -0.5 * logvar - 0.5 * (x - mu)² / exp(logvar)",
)
def log_gaussian_tensorflow(x, mu, logvar):
    return (-0.5 * logvar - 0.5 * np.square(x - mu) / np.exp(logvar)).sum(axis=-1)


@wrong(
    "log_prob", "sign log-two-pi-missing batch-reduced mean-pixels", source="public gaussian_nll(…).mean()"
)
def public_gaussian_nll(x, mu, logvar):
    return torch.mean((mu - x).pow(2) / (logvar.exp() * 2) + 0.5 * logvar)


@wrong("log_prob", "std-for-var", source="zblz/naima #253: σ for σ² in the exponent")
def naima_normal_prior(x, mu, log_var):
    sigma = np.exp(log_var / 2)
    return (-0.5 * np.log(2 * np.pi * sigma**2) - (x - mu) ** 2 / (2.0 * sigma)).sum(-1)


@right("log_prob", source="pytorch/pytorch #126532: torch's own formula, which was doubted")
def as_torch_writes_it(value, loc, log_var):
    scale = torch.exp(0.5 * log_var)
    element = -((value - loc) ** 2) / (2 * scale**2) - scale.log() - math.log(math.sqrt(2 * math.pi))
    return element.sum(-1)


@right("log_prob", source="genjax-community/genjax #474, as proposed")
def genjax_repaired(x, mu, log_var):
    std = np.exp(log_var / 2)
    z = (x - mu) / std
    return (-np.log(std) - 1 / 2 * np.log(2 * np.pi) - 1 / 2 * z**2).sum(-1)


@right("log_prob", source="normal_logpdf of several flow repositories")
def normal_logpdf(x, mu, logvar):
    c = torch.tensor([np.log(2.0 * np.pi)])
    return (-0.5 * (c + logvar) - (x - mu) ** 2.0 / (2.0 * torch.exp(logvar))).sum(1)
