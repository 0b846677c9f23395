"""KL(N(mu, diag(exp(log_var))), N(0, I)), written by hand, mostly after public code."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from gallery._entry import right, wrong

# --- right ---------------------------------------------------------------------------------------


@right("kl", source="pytorch/examples vae/main.py, summed for each row")
def torch_classic(mu, log_var):
    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=1)


@right("kl", source="keras-team/keras variational_autoencoder.py")
def numpy_classic(mu, log_var):
    return -0.5 * np.sum(1 + log_var - np.square(mu) - np.exp(log_var), axis=-1)


@right("kl", source="wiseodd/generative-models #40")
def wiseodd_rearranged(mu, log_var):
    return 0.5 * torch.sum(torch.exp(log_var) + mu**2 - 1.0 - log_var, 1)


@right("kl", source="fastforwardlabs/vae-tf #3")
def via_log_sigma(mu, log_var):
    log_sigma = 0.5 * log_var
    return -0.5 * np.sum(1 + 2 * log_sigma - mu**2 - np.exp(2 * log_sigma), 1)


@right("kl", source="FluxML/model-zoo vae.jl after #147")
def flux_repaired(mu, log_var):
    log_s = log_var / 2
    return 0.5 * (np.exp(2.0 * log_s) + mu**2 - 1.0 - (2.0 * log_s)).sum(-1)


@right("kl", source="paruby/FactorVAE #1")
def minus_dimension_outside(mu, log_var):
    return 0.5 * (torch.sum(torch.exp(log_var) - log_var + mu**2, dim=1) - mu.shape[1])


@right("kl", source="FluxML/model-zoo #73, the formula of the report")
def log_ratio_of_sigmas(mu, log_var):
    sigma = np.sqrt(np.exp(log_var))
    return (np.log(1.0 / sigma) + (sigma**2 + mu**2) / 2 - 0.5).sum(axis=1)


@right("kl", source="openai/vdvae gaussian_analytical_kl")
def general_with_defaults(mu1, log_var1, mu2=0.0, logsigma2=0.0):
    logsigma1 = 0.5 * log_var1
    per_latent = (
        -0.5
        + logsigma2
        - logsigma1
        + 0.5 * (np.exp(logsigma1) ** 2 + (mu1 - mu2) ** 2) / np.exp(2 * logsigma2)
    )
    return per_latent.sum(axis=-1)


@right("kl", source="chainer/chainer #307")
def chainer_style(mean, ln_var):
    var = np.exp(ln_var)
    return (mean * mean + var - ln_var - 1).sum(axis=1) * 0.5


@right("kl", source="google/flax examples/vae")
def flax_style_vmap(mu, log_var):
    one = lambda mean, logvar: -0.5 * torch.sum(1 + logvar - torch.square(mean) - torch.exp(logvar))  # noqa: E731
    return torch.vmap(one)(mu, log_var)


@right("kl", source="hanzhanggit/StackGAN-v2 #30, with a sum")
def in_place_chain(mu, logvar):
    element = mu.pow(2).add_(logvar.exp()).mul_(-1).add_(1).add_(logvar)
    return torch.sum(element, dim=-1).mul_(-0.5)


@right("kl")
def torch_distributions(mu, log_var):
    q = Normal(mu, torch.exp(0.5 * log_var))
    return kl_divergence(q, Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum(-1)


@right("kl")
def torch_independent(mu, log_var):
    q = Independent(Normal(mu, log_var.mul(0.5).exp()), 1)
    p = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    return kl_divergence(q, p)


@right("kl")
def cross_entropy_minus_entropy(mu, log_var):
    cross = 0.5 * (np.log(2 * np.pi) + mu**2 + np.exp(log_var)).sum(-1)
    entropy = 0.5 * (1 + np.log(2 * np.pi) + log_var).sum(-1)
    return cross - entropy


@right("kl")
def two_loops(mu, log_var):
    out = np.zeros(len(mu))
    for i in range(len(mu)):
        for m, v in zip(mu[i], log_var[i], strict=True):
            out[i] += 0.5 * (math.exp(v) + m * m - 1 - v)
    return out


@right("kl")
def list_of_rows(mu, log_var):
    return [float(0.5 * sum(math.exp(v) + m**2 - 1 - v for m, v in zip(*row, strict=True))) for row in
            zip(mu.tolist(), log_var.tolist(), strict=True)]  # fmt: skip


@right("kl")
def einsum_and_dots(mu, log_var):
    ones = np.ones(mu.shape[-1])
    return 0.5 * (np.einsum("bi,bi->b", mu, mu) + np.exp(log_var) @ ones - log_var @ ones - ones.sum())


@right("kl")
def expm1_form(mu, log_var):
    return 0.5 * (mu * mu + np.expm1(log_var) - log_var).sum(-1)


@right("kl")
def trace_and_determinant(mu, log_var):
    def row(m, v):
        cov = np.diag(np.exp(v))
        return 0.5 * (np.trace(cov) + m @ m - len(m) - np.linalg.slogdet(cov)[1])

    return np.array([row(m, v) for m, v in zip(mu, log_var, strict=True)])


@right("kl")
def float32_result(mu, log_var):
    mu, log_var = mu.float(), log_var.float()
    return 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(dim=-1)


@right("kl")
def numpy_float32(mu, log_var):
    mu, log_var = np.float32(mu), np.float32(log_var)
    return -0.5 * np.sum(1 + log_var - mu**2 - np.exp(log_var), axis=1)


@right("kl", source="hwalsuklee style, with a guard too small to matter")
def harmless_epsilon(mu, log_var):
    sigma = torch.exp(0.5 * log_var)
    return 0.5 * torch.sum(mu.pow(2) + sigma.pow(2) - torch.log(sigma.pow(2) + 1e-20) - 1, dim=1)


@right("kl")
def apply_along_rows(mu, log_var):
    both = np.concatenate([mu, log_var], axis=1)
    d = mu.shape[1]
    return np.apply_along_axis(lambda r: 0.5 * (r[:d] @ r[:d] + np.sum(np.exp(r[d:]) - r[d:] - 1)), 1, both)


@right("kl")
def mean_times_dimension(mu, log_var):
    return mu.shape[-1] * (0.5 * (mu**2 + np.exp(log_var) - 1 - log_var)).mean(-1)


class KLDLoss(nn.Module):
    """A module with a reduction, as many libraries have it."""

    def __init__(self, reduction="none", base=1.0):
        super().__init__()
        self.reduction, self.base = reduction, base

    def forward(self, mu, log_var):
        kld = 0.5 * (mu**2 + log_var.exp() - self.base - log_var).sum(-1)
        return {"none": kld, "mean": kld.mean(), "sum": kld.sum()}[self.reduction]


right("kl", name="module_call")(KLDLoss())
wrong("kl", "batch-reduced", name="module_call_mean")(KLDLoss("mean"))
wrong("kl", "constant", name="module_without_the_one")(KLDLoss(base=0.0))


def _weighted(mu, log_var, beta):
    return -beta * 0.5 * (1 + log_var - mu**2 - np.exp(log_var)).sum(1)


right("kl", name="partial_beta_one")(partial(_weighted, beta=1.0))
wrong("kl", "scale", name="partial_beta_four", source="beta-VAE")(partial(_weighted, beta=4.0))
wrong("kl", "scale", name="weight_a_tenth", source="podgorskiy/VAE #1")(partial(_weighted, beta=0.1))
right("kl", name="lambda_numpy")(lambda m, v: np.add.reduce((m * m + np.exp(v) - v - 1) / 2, axis=1))


@right("kl")
def multivariate_normal(mu, log_var):
    q = MultivariateNormal(mu, scale_tril=torch.diag_embed((log_var / 2).exp()))
    eye = torch.eye(mu.shape[1], dtype=mu.dtype)
    return kl_divergence(q, MultivariateNormal(torch.zeros_like(mu), eye))


@right("kl", source="KarenUllrich/Tutorial_BayesianCompressionForDL #1, as repaired")
def bayesian_compression_repaired(mu, log_var):
    element = -0.5 * log_var + 0.5 * (log_var.exp() + mu.pow(2)) - 0.5
    return element.sum(1)


@right("kl", source="public loss: torch.sum(0.5 * (mean**2 + logvar.exp() - logvar) - 0.5)")
def half_inside_the_sum(mean, logvar):
    return torch.sum(0.5 * (mean**2 + logvar.exp() - logvar) - 0.5, dim=1)


@right("kl", source="loschmidt/vae-dehalogenases style")
def log_of_std_from_log_var(z_mu, z_log_var):
    z_std = z_log_var.mul(0.5).exp()
    return torch.sum(0.5 * (z_std**2 + z_mu**2 - 2 * torch.log(z_std) - 1), -1)


@right("kl")
@torch.no_grad()
def under_no_grad(mu, log_var):
    return 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(-1)


@right("kl")
@torch.inference_mode()
def under_inference_mode(mu, log_var):
    return torch.stack(
        [0.5 * (m @ m + v.exp().sum() - v.sum() - len(v)) for m, v in zip(mu, log_var, strict=True)]
    )


class Gaussian:
    """Keeps its parameters, as diffusers' DiagonalGaussianDistribution does (without its clamp)."""

    def __init__(self, mean, logvar):
        self.mean, self.logvar, self.var = mean, logvar, torch.exp(logvar)

    def kl(self):
        return 0.5 * torch.sum(torch.pow(self.mean, 2) + self.var - 1.0 - self.logvar, dim=[-1])


right("kl", name="method_of_a_distribution")(lambda mu, log_var: Gaussian(mu, log_var).kl())


# --- wrong ---------------------------------------------------------------------------------------


@wrong("kl", "sign", source="ssemeniuta/textvae #4 (the negative KL under the name kl)")
def negative_kl(mu, log_var):
    return 0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=1)


@wrong("kl", "sign", source="AntixK/PyTorch-VAE #68")
def logged_with_minus(mu, log_var):
    kld = -0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1)
    return -kld.detach()


@wrong("kl", "half", source="SupaeroDataScience/deep-learning #6, whole formula without its half")
def half_forgotten(mu, log_var):
    return -(1 + log_var - mu**2 - np.exp(log_var)).sum(axis=1)


# Two terms have their ½ and two have not: twice the KL with two terms halved, or the KL with two doubled.
@wrong(
    "kl",
    "term-scale",
    "half term-scale constant",
    "half log-std constant",
    "half log-std term-scale",
    "half term-scale",
    source="SupaeroDataScience/deep-learning #6",
)
def half_on_two_terms_only(mu, log_var):
    sigma = np.exp(0.5 * log_var)
    return (mu**2 + sigma**2 - np.log(sigma) - 0.5).sum(-1)


@wrong("kl", "batch-reduced", source="pytorch/examples vae/main.py")
def sum_over_everything(mu, log_var):
    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())


@wrong("kl", "batch-reduced", source="AntixK/PyTorch-VAE vanilla_vae.py")
def batch_mean_of_sums(mu, log_var):
    return torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0)


@wrong("kl", "batch-reduced", source="public loss: (-0.5 * (1 + …)).mean(dim=0).sum()")
def batch_mean_first(mu, log_var):
    return (-0.5 * (1 + log_var - mu * mu - log_var.exp())).mean(dim=0).sum()


@wrong("kl", "batch-reduced mean-latent", source="keras-team/keras-io #270")
def keras_io_reduce_mean(mu, log_var):
    kl = 1 + log_var - np.square(mu) - np.exp(log_var)
    return np.mean(kl) * -0.5


@wrong(
    "kl", "batch-reduced mean-latent sign", source="keras-team/keras-io #270, the repair that was proposed"
)
def keras_io_mean_positive_half(mu, log_var):
    return 0.5 * np.mean(1 + log_var - np.square(mu) - np.exp(log_var))


@wrong("kl", "batch-reduced mean-latent", source="podgorskiy/VAE #1")
def mean_of_means(mu, log_var):
    return -0.5 * torch.mean(torch.mean(1 + log_var - mu.pow(2) - log_var.exp(), 1))


@wrong("kl", "mean-latent", source="maxhodak/keras-molecules #59, mkusner/grammarVAE #2")
def keras_molecules(mu, log_var):
    return -0.5 * np.mean(1 + log_var - np.square(mu) - np.exp(log_var), axis=-1)


@wrong("kl", "mean-latent scale", source="keras-team/keras variational_autoencoder_deconv.py (5e-4 for 0.5)")
def keras_five_e_minus_four(mu, log_var):
    return -5e-4 * np.mean(1 + log_var - np.square(mu) - np.exp(log_var), axis=-1)


@wrong("kl", "batch-reduced scale", source="pytorch/examples #290, #294")
def divided_by_pixels(mu, log_var):
    kld = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
    return kld / (mu.shape[0] * 784)


@wrong("kl", "scale", source="pytorch/examples #234, for each row")
def row_divided_by_pixels(mu, log_var):
    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), 1) / 784


@wrong("kl", "std-for-var", source="pytorch/examples #225, as the report reads the code")
def sigma_not_squared(mu, log_var):
    sigma = torch.exp(0.5 * log_var)
    return -0.5 * torch.sum(1 + torch.log(sigma**2) - mu**2 - sigma, dim=1)


@wrong("kl", "std-for-var", source="DaehanKim/vgae_pytorch #2")
def vgae_log_std(mu, log_var):
    logstd = 0.5 * log_var
    return -0.5 * (1 + 2 * logstd - mu**2 - torch.exp(logstd)).sum(1)


@wrong("kl", "log-std std-for-var", source="public helper gauss_unitgauss_kl(mu, sigma)")
def unit_gauss_with_sigma(mu, log_var):
    sigma = torch.exp(log_var / 2)
    return -0.5 * torch.sum(1 + torch.log(sigma) - mu**2 - sigma, dim=1)


@wrong("kl", "log-std", source="ikostrikov/TensorFlow-VAE-GAN-DRAW #15, the repair that was proposed")
def log_of_sigma(mu, log_var):
    std = np.exp(log_var / 2)
    return np.sum(0.5 * (mu**2 + std**2 - np.log(std) - 1.0), axis=-1)


@wrong(
    "kl", "log-std batch-reduced", source="public encoder: -0.5 * (1 + log(sigma) - mu**2 - sigma**2).sum()"
)
def log_of_sigma_summed(mu, log_var):
    sigma = torch.exp(log_var / 2)
    return -0.5 * (1 + torch.log(sigma) - mu**2 - sigma**2).sum()


@wrong("kl", "log-std", source="zfjsail/gae-pytorch optimizer.py: its logvar is log σ")
def log_var_read_as_log_std(mu, log_var):
    return -0.5 * torch.sum(1 + 2 * log_var - mu.pow(2) - log_var.exp().pow(2), 1)


@wrong("kl", "log-std", source="public encoders: Normal(mu, torch.exp(log_var))")
def distributions_with_variance(mu, log_var):
    return kl_divergence(Normal(mu, log_var.exp()), Normal(0.0, 1.0)).sum(-1)


# 1/n² for 1/n: an average over the batch and another factor, or simply a reduction.
@wrong(
    "kl",
    "log-std batch-reduced scale",
    "log-std batch-reduced",
    source="zfjsail/gae-pytorch, tkipf/gae #20",
)
def vgae_over_nodes(mu, log_var):
    return -0.5 / len(mu) * torch.mean(torch.sum(1 + 2 * log_var - mu.pow(2) - log_var.exp().pow(2), 1))


# Σσ² with log σ read from log_var, Σlog σ² without: one term is another function, or half of "log-std".
@wrong("kl", "term-wrong", "log-std", source="public loss: 1 + log(σ) - μ² - σ², its log σ taken for log_var")
def variance_squared(mu, log_var):
    return -0.5 * np.sum(1 + log_var - mu**2 - np.exp(log_var) ** 2, axis=1)


@wrong("kl", "term-scale", source="VAENAR-TTS #8, as the report wants it")
def log_term_doubled(mu, log_var):
    return -0.5 * torch.sum(1 + 2 * log_var - mu.pow(2) - log_var.exp(), dim=-1)


@wrong("kl", "term-wrong", source="FluxML/model-zoo #73: logσ.^2 for 2logσ, after #147's other mistake")
def flux_square_of_log(mu, log_var):
    log_s = 0.5 * log_var
    return 0.5 * (np.exp(2 * log_s) + mu**2 - 1 - log_s**2).sum(-1)


# The other sign is gone into the square as well, so that only one term is seen to be wrong.
@wrong("kl", "term-wrong", "term-wrong term-sign", source="FluxML/model-zoo vae.jl before #76")
def flux_original(mu, log_var):
    log_s = 0.5 * log_var
    return 0.5 * (np.exp(2 * log_s) + mu**2 - 1 + log_s**2).sum(-1)


@wrong("kl", "term-sign", source="FluxML/model-zoo #147: + 2logσ")
def flux_plus_log(mu, log_var):
    log_s = 0.5 * log_var
    return 0.5 * (np.exp(2 * log_s) + mu**2 - 1 + 2 * log_s).sum(-1)


@wrong("kl", "term-sign sign", source="ericjang/draw style, brackets lost")
def exp_with_plus(mu, log_var):
    return 0.5 * torch.sum(1 + log_var - mu.pow(2) + log_var.exp(), dim=1)


@wrong("kl", "constant", source="ericjang/draw #6: T for the number of latents")
def constant_of_time_steps(mu, log_var, steps=10):
    return 0.5 * np.sum(mu**2 + np.exp(log_var) - log_var, 1) - steps * 0.5


@wrong("kl", "constant")
def one_outside_the_sum(mu, log_var):
    return 0.5 * (torch.sum(torch.exp(log_var) + mu**2 - log_var, dim=1) - 1)


@wrong("kl", "constant")
def one_missing(mu, log_var):
    return 0.5 * (np.exp(log_var) + mu**2 - log_var).sum(axis=1)


@wrong("kl", "constant term-sign")
def plus_one(mu, log_var):
    return 0.5 * (np.exp(log_var) + mu**2 + 1 - log_var).sum(axis=1)


@wrong("kl", "constant", source="chainer style with only one of the two halves bracketed")
def one_for_a_half(mu, log_var):
    return (0.5 * np.exp(log_var) + 0.5 * mu**2 - 0.5 * log_var - 1).sum(axis=1)


@wrong("kl", "term-missing", source="public loss: 0.5 * torch.sum(torch.exp(log_var) - 1 - log_var)")
def mean_missing(mu, log_var):
    return 0.5 * torch.sum(torch.exp(log_var) - 1 - log_var, dim=-1)


@wrong("kl", "term-missing")
def variance_missing(mu, log_var):
    return 0.5 * torch.sum(mu**2 - 1 - log_var, dim=-1)


@wrong("kl", "term-missing")
def log_missing(mu, log_var):
    return 0.5 * torch.sum(mu**2 + log_var.exp() - 1, dim=-1)


# Only ½Σμ² is left: three terms are gone, which nobody would call exact.
@wrong(
    "kl",
    "term-missing constant",
    "term-missing",
    "unknown",
    source="CompVis/vunet #4, fixed covariance",
)
def only_squared_means(mu, log_var):
    return 0.5 * (mu**2).sum(-1)


@wrong("kl", "term-wrong")
def mean_not_squared(mu, log_var):
    return -0.5 * torch.sum(1 + log_var - mu - log_var.exp(), dim=1)


@wrong("kl", "term-wrong")
def mean_absolute(mu, log_var):
    return -0.5 * torch.sum(1 + log_var - mu.abs(), dim=1) + 0.5 * log_var.exp().sum(1)


@wrong("kl", "term-scale")
def bracket_lost_on_mean(mu, log_var):
    return (0.5 * (np.exp(log_var) - 1 - log_var) + mu**2).sum(1)


@wrong("kl", "swapped", source="../shared/notes/000: -½Σ(1 + σ² - μ² - log σ²)")
def notes_swapped(mu, log_var):
    var = np.exp(log_var)
    return -0.5 * (1 + var - mu**2 - np.log(var)).sum(axis=1)


@wrong("kl", "swapped batch-reduced")
def swapped_and_summed(mu, log_var):
    return (-0.5 * (1 + log_var.exp() - mu.pow(2) - log_var)).sum()


@wrong("kl", "reverse", source="arguments of kl_divergence exchanged")
def reversed_distributions(mu, log_var):
    q = Normal(mu, torch.exp(0.5 * log_var))
    return kl_divergence(Normal(torch.zeros_like(mu), torch.ones_like(mu)), q).sum(dim=-1)


@wrong("kl", "reverse")
def reversed_by_hand(mu, log_var):
    return 0.5 * (log_var + (1 + mu**2) / np.exp(log_var) - 1).sum(-1)


@wrong("kl", "reverse mean-latent")
def reversed_mean(mu, log_var):
    return 0.5 * (log_var + (1 + mu**2) * np.exp(-log_var) - 1).mean(-1)


@wrong("kl", "unstable", source="hwalsuklee/tensorflow-mnist-CVAE #2: log(1e-8 + σ²)")
def epsilon_inside_log(mu, log_var):
    var = np.exp(log_var)
    return 0.5 * np.sum(np.square(mu) + var - np.log(1e-8 + var) - 1, 1)


@wrong("kl", "unstable", source="ikostrikov/TensorFlow-VAE-GAN-DRAW: log(stddev + epsilon)")
def epsilon_beside_sigma(mu, log_var):
    std = torch.exp(0.5 * log_var)
    return (0.5 * (mu**2 + std**2 - 2.0 * torch.log(std + 1e-8) - 1.0)).sum(-1)


@wrong("kl", "unstable", source="public vae_loss: torch.clamp(sigma, min=1e-6)")
def sigma_clamped(mu, log_var):
    sigma2 = torch.exp(0.5 * log_var).clamp(min=1e-6).pow(2)
    return torch.sum(0.5 * (mu.pow(2) + sigma2 - torch.log(sigma2) - 1.0), dim=1)


@wrong("kl", "unstable", source="public loss: torch.clamp(kl_loss, min=0, max=100)")
def kl_clamped(mu, log_var):
    kl = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=1)
    return torch.clamp(kl, min=0, max=1000)


# A guard that many call good practice; still, it is another function outside of [-10, 10].
@wrong("kl", "unstable", "", source="vanderschaarlab/synthcity #331; donut_loss_fn")
def log_var_clamped(mu, log_var):
    v = log_var.clamp(-10, 10)
    return 0.5 * (mu.pow(2) + v.exp() - 1 - v).sum(-1)


@wrong("kl", "unstable", "", source="huggingface/diffusers DiagonalGaussianDistribution")
def diffusers_clamp(mu, log_var):
    v = torch.clamp(log_var, -30.0, 20.0)
    return 0.5 * torch.sum(torch.pow(mu, 2) + torch.exp(v) - 1.0 - v, dim=-1)


# Free bits change small KLs only: no term is wrong, and no single number says it.
@wrong("kl", "unknown", "term-wrong", source="free bits: torch.clamp(kl_per_dim, min=free_bits)")
def free_bits(mu, log_var):
    per_latent = -0.5 * (1 + log_var - mu.pow(2) - log_var.exp())
    return torch.clamp(per_latent, min=0.5).sum(-1)


# The prior N(0, e²) for N(0, 1): 1/e² on two terms and another constant.
@wrong(
    "kl",
    "term-scale constant",
    "term-scale constant scale",
    "unknown",
    "term-scale",
    source="wyu-du/GP-VAE #10, as proposed; log_normal(z, 0, ones_like(log_std))",
)
def prior_log_std_one(mu, log_var):
    prior = Normal(torch.zeros_like(mu), torch.exp(torch.ones_like(mu)))
    return kl_divergence(Normal(mu, torch.exp(0.5 * log_var)), prior).sum(-1)


@wrong("kl", "term-wrong", "unknown", source="masato-ka/airc-rl-agent #43: softplus for exp")
def softplus_variance(mu, log_var):
    var = torch.nn.functional.softplus(log_var)
    return 0.5 * (mu**2 + var - 1 - log_var).sum(-1)


@wrong("kl", "shape", source="chainer/chainer #2519: reduce='no'")
def elementwise(mu, log_var):
    return -0.5 * (1 + log_var - mu.pow(2) - log_var.exp())


@wrong("kl", "shape half")
def elementwise_half(mu, log_var):
    return mu**2 + np.exp(log_var) - log_var - 1


@wrong("kl", "shape")
def keepdim(mu, log_var):
    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=1, keepdim=True)


# One number for each latent: the wrong axis is a wrong shape, and a sum over the batch.
@wrong("kl", "shape", "batch-reduced", "shape batch-reduced")
def summed_over_the_wrong_axis(mu, log_var):
    return -0.5 * np.sum(1 + log_var - np.square(mu) - np.exp(log_var), axis=0)


@wrong("kl", "constant sign", source="several at once")
def negative_without_one(mu, log_var):
    return 0.5 * (log_var - mu**2 - np.exp(log_var)).sum(-1)


@wrong("kl", "half sign", source="tkipf/gae #72 without its half")
def double_negative(mu, log_var):
    return np.sum(1 + log_var - mu**2 - np.exp(log_var), 1)


# log of a variance that was never exponentiated: NaN wherever log_var < 0.
@wrong(
    "kl", "error", "unknown", "term-wrong", "swapped", source="graviraja/pytorch-sample-codes #2, as proposed"
)
def log_var_read_as_variance(mu, log_var):
    return 0.5 * torch.sum(-torch.log(log_var) + mu**2 - 1.0 + log_var, dim=1)


@wrong("kl", "error", source="spmallick/learnopencv #620")
def undefined_name(mean, log_var):
    return -0.5 * np.sum(1 + var - np.square(mean) - np.exp(log_var), axis=1)  # noqa: F821


@wrong("kl", "log-std", source="KarenUllrich/Tutorial_BayesianCompressionForDL #1")
def bayesian_compression(mu, log_var):
    element = -log_var + 0.5 * (log_var.exp().pow(2) + mu.pow(2)) - 0.5
    return element.sum(1)


@wrong(
    "kl",
    "batch-reduced mean-latent half",
    source="public voice conversion: (-1 - logvar + exp + mean**2).mean()",
)
def voice_conversion_mean(mean, logvar):
    return (-1 - logvar + torch.exp(logvar) + mean**2).mean()


@wrong("kl", "batch-reduced mean-latent", source="public training_step: sum / self.n_latent")
def sum_over_number_of_latents(mu, logvar):
    return 0.5 * torch.sum(mu.pow(2) + logvar.exp() - logvar - 1) / mu.shape[1]


@wrong("kl", "half", source="public VAEBase: kl = -torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1)")
def vae_base(mu, logvar):
    return -torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1)


# log_var taken for σ: two terms are other functions, and they belong together.
@wrong("kl", "term-wrong", "unknown", source="public loss: logvar.pow(2) - torch.log(logvar.pow(2))")
def log_var_read_as_sigma(mu, logvar):
    return 0.5 * torch.sum(mu.pow(2) + logvar.pow(2) - torch.log(logvar.pow(2)) - 1, dim=1)


# One term is another function, and one that grows beyond what a basis of terms would hold.
@wrong("kl", "term-wrong", "unknown", source="public prior_zero_one: torch.exp(lv**2.0)")
def square_in_the_exponent(mu, lv):
    return torch.sum(0.5 * (mu**2 + torch.exp(lv**2.0) - lv - 1), -1)


# Only the cross-entropy: the log-variance is missing, and log 2π stands where -1 belongs.
@wrong("kl", "term-missing constant", source="pluskid/Mocha.jl #117: log(2pi) in, log(sigma) out")
def cross_entropy_only(mu, log_var):
    return 0.5 * (np.log(2 * np.pi) + mu**2 + np.exp(log_var)).sum(-1)


@wrong("kl", "constant", source="entropy without its log 2π beside a prior with it")
def entropy_without_two_pi(mu, log_var):
    cross = 0.5 * (np.log(2 * np.pi) + mu**2 + np.exp(log_var)).sum(-1)
    return cross - 0.5 * (1 + log_var).sum(-1)


@wrong("kl", "sign term-sign", "term-sign sign", source="half of the signs turned: -0.5 * (1 - logvar + …)")
def minus_with_log_turned(mu, log_var):
    return 0.5 * np.sum(1 - log_var - mu**2 - np.exp(log_var), axis=1)


@wrong("kl", "batch-reduced sign", source="tkipf/gae #72: cost -= kl, the KL's sign turned")
def gae_kl(mu, log_var):
    log_std = 0.5 * log_var
    return 0.5 * torch.mean(torch.sum(1 + 2 * log_std - mu**2 - torch.exp(log_std).square(), 1))


@wrong("kl", "error", source="CompVis/stable-diffusion #849: dim=[1, 2, 3], written for pictures")
def axes_of_a_picture(mean, logvar):
    return 0.5 * torch.sum(torch.pow(mean, 2) + logvar.exp() - 1.0 - logvar, dim=[1, 2, 3])


@wrong("kl", "constant", source="a dimension written as a number: - 20 / 2")
def hard_coded_dimension(mu, log_var):
    return 0.5 * (np.exp(log_var) - log_var + mu**2).sum(axis=1) - 20 / 2


@wrong("kl", "scale", source="public loss: KLD weighted with kld_weight = 0.00025 (M/N), AntixK/PyTorch-VAE")
def small_weight(mu, log_var):
    return 0.00025 * -0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1)


@wrong("kl", "sign half batch-reduced")
def three_at_once(mu, log_var):
    return torch.sum(1 + log_var - mu.pow(2) - log_var.exp())


@wrong(
    "kl", "scale", "scale batch-reduced", "batch-reduced", source="public VAEs: KLD /= batch size, per row"
)
def divided_by_the_batch(mu, log_var):
    return 0.5 * (np.exp(log_var) + mu**2 - 1 - log_var).sum(axis=1) / len(mu)
