"""Functions restated from the VAE code of public repositories by somebody who had not read the checks.

Each keeps the formula of its source, right or faulty, in the closest of the five signatures; TensorFlow, JAX,
Keras, Chainer, Lua and Julia became PyTorch or NumPy. Where a stored excerpt named no repository, the source
says so. The entries from "variant" are students' errors made up for this file.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    Independent,
    Laplace,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from gallery._entry import right, wrong

# ------------------------------------------------------------------------------------------------ kl


class KLDLossNoReduction(nn.Module):
    def forward(self, mu, logvar):
        return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1)


right(
    "kl",
    name="wild_kl_module_no_reduction",
    source="nathanjpaek/kb-pilot: KernelBench/level9/6142_KLDLossWithStandardGaussianNoReduction.py",
)(KLDLossNoReduction())


def kl_multi(qm, qv, pm, pv):
    element_wise = 0.5 * (pv - qv + qv.exp() / pv.exp() + (qm - pm).pow(2) / pv.exp() - 1)
    return element_wise.sum(-1)


right("kl", name="wild_kl_partial_two_gaussians", source="ZhengyiLuo/PHC: phc/learning/loss_functions.py")(
    partial(kl_multi, pm=torch.zeros(()), pv=torch.zeros(()))
)


@right(
    "kl", source="taldatech/soft-intro-vae-pytorch: soft_intro_vae/train_soft_intro_vae.py (reduce='none')"
)
def wild_kl_log_var_first(logvar, mu, mu_o=0.0, logvar_o=0.0):
    mu_o, logvar_o = torch.tensor(mu_o), torch.tensor(logvar_o)
    spread = logvar.exp() / torch.exp(logvar_o)
    return -0.5 * (1 + logvar - logvar_o - spread - (mu - mu_o).pow(2) / torch.exp(logvar_o)).sum(1)


@right("kl", source="hhb072/IntroVAE: networks.py")
def wild_kl_in_place_chain(mu, logvar):
    v_kl = mu.pow(2).add_(logvar.exp()).mul_(-1).add_(1).add_(logvar)
    v_kl = v_kl.sum(dim=-1)
    return v_kl.mul(-0.5)


@right("kl", source="google/flax: examples/vae/train.py")
@torch.func.vmap
def wild_kl_vmap(mean, logvar):
    return -0.5 * torch.sum(1 + logvar - torch.square(mean) - torch.exp(logvar))


@right("kl", source="rtqichen/torchdiffeq: examples/latent_ode.py")
def wild_kl_numpy_normal_kl(mu1, lv1):
    mu1, lv1 = np.asarray(mu1), np.asarray(lv1)
    mu2, lv2 = np.zeros_like(mu1), np.zeros_like(lv1)
    v1, v2 = np.exp(lv1), np.exp(lv2)
    lstd1, lstd2 = lv1 / 2.0, lv2 / 2.0
    return (lstd2 - lstd1 + (v1 + (mu1 - mu2) ** 2.0) / (2.0 * v2) - 0.5).sum(-1)


@wrong("kl", "", "unknown", source="williamFalcon/pytorch-lightning-vae: vae.py")
def wild_kl_monte_carlo_one_draw(mu, log_var):
    std = torch.exp(log_var / 2)
    q, p = Normal(mu, std), Normal(torch.zeros_like(mu), torch.ones_like(std))
    z = q.rsample()
    return (q.log_prob(z) - p.log_prob(z)).sum(-1)


@wrong("kl", "", "unstable", source="hwalsuklee/tensorflow-mnist-CVAE: vae.py (issue 2)")
def wild_kl_epsilon_in_log(mu, log_var):
    sigma = torch.exp(0.5 * log_var)
    return 0.5 * torch.sum(mu.square() + sigma.square() - torch.log(1e-8 + sigma.square()) - 1, 1)


wrong("kl", "mean-latent", name="wild_kl_keras_mean", source="mkusner/grammarVAE#2")(
    lambda z_mean, z_log_var: -0.5 * torch.mean(1 + z_log_var - z_mean**2 - torch.exp(z_log_var), dim=-1)
)


class SelfLatentLoss(nn.Module):
    def forward(self, z_mean, z_log_sigma_sq):
        inner = torch.pow(z_mean, 2) + torch.exp(z_log_sigma_sq) - z_log_sigma_sq - 1
        return torch.mean(torch.sum(inner, 1))


wrong(
    "kl",
    "batch-reduced half",
    "batch-reduced scale",
    name="wild_kl_batch_mean_no_half",
    source="selfLatentLoss, an excerpt without its repository",
)(SelfLatentLoss())


@wrong(
    "kl",
    "mean-latent term-wrong",
    "mean-latent unknown",
    "unknown",
    source="deepchem/deepchem: deepchem/models/losses.py, VAE_KLDivergence (pull 4888)",
)
def wild_kl_log_var_read_as_sigma(logvar, mu):
    square = torch.square(logvar)
    return 0.5 * torch.mean(torch.square(mu) + square - torch.log(1e-20 + square) - 1, -1)


@wrong("kl", "term-missing", "constant term-missing", source="RasmussenLab/vamb: vamb/encode.py")
def wild_kl_only_mean(mu, logsigma):
    return 0.5 * (mu.pow(2)).sum(dim=1)


@wrong("kl", "constant", "term-scale", source="ericjang/draw#2 (one glimpse)")
def wild_kl_half_once_not_per_latent(mu, log_var, T=1):
    logsigma = log_var / 2
    mu2, sigma2 = torch.square(mu), torch.square(torch.exp(logsigma))
    return 0.5 * torch.sum(mu2 + sigma2 - 2 * logsigma, 1) - T * 0.5


@wrong("kl", "term-wrong", source="FluxML/model-zoo#73")
def wild_kl_log_sigma_squared(mu, log_var):
    log_sigma = np.asarray(log_var) / 2
    return 0.5 * np.sum(np.exp(2 * log_sigma) + np.asarray(mu) ** 2 - 1 + log_sigma**2, axis=-1)


wrong("kl", "term-sign", name="wild_kl_log_sigma_added", source="FluxML/model-zoo#147")(
    lambda *args: 0.5 * (torch.exp(2 * (args[1] / 2)) + args[0] ** 2 - 1 + 2 * (args[1] / 2)).sum(dim=1)
)


@wrong("kl", "term-scale", "half term-scale", source="SupaeroDataScience/deep-learning#6")
def wild_kl_half_on_some_terms(mu, log_var):
    sigma = torch.exp(0.5 * log_var)
    return torch.sum(mu**2 + sigma**2 - torch.log(sigma) - 1 / 2, dim=1)


@wrong(
    "kl",
    "batch-reduced log-std std-for-var",
    "batch-reduced std-for-var",
    "batch-reduced log-std",
    source="pyg-team/pytorch_geometric#1368",
)
def wild_kl_graph_vae_log_std(mu, log_var):
    logstd = 0.5 * log_var
    return -0.5 * torch.mean(torch.sum(1 + logstd - mu**2 - logstd.exp(), dim=1))


@wrong(
    "kl",
    "batch-reduced scale sign",
    "batch-reduced sign",
    source="tkipf/gae: gae/optimizer.py (issue 72)",
)
def wild_kl_gae_negative_over_nodes(z_mean, z_log_var):
    num_nodes = z_mean.shape[0]
    z_log_std = z_log_var / 2
    inner = 1 + 2 * z_log_std - torch.square(z_mean) - torch.square(torch.exp(z_log_std))
    return (0.5 / num_nodes) * torch.mean(torch.sum(inner, 1))


@wrong("kl", "sign std-for-var", "sign term-wrong", source="DaehanKim/vgae_pytorch#2 (per node)")
def wild_kl_negative_sigma_not_squared(mean, log_var):
    logstd = log_var / 2
    return 0.5 * (1 + 2 * logstd - mean**2 - torch.exp(logstd)).sum(1)


@wrong("kl", "batch-reduced log-std", source="hengdashi/EEG_Classification: src/vae/optimizer.py")
def wild_kl_batch_mean_log_var_doubled(mu, logvar):
    return -0.5 * torch.mean(torch.sum(1 + 2 * logvar - mu.pow(2) - logvar.exp().pow(2), 1))


@wrong(
    "kl",
    "shape term-missing",
    "constant shape term-missing",
    source="musyoku/chainer-gqn: generative_query_network/gqn/nn/chainer/functions.py",
)
def wild_kl_only_means_per_latent(mu, log_var):
    mu_p = torch.zeros_like(mu)
    return 0.5 * (mu - mu_p) ** 2


@wrong("kl", "batch-reduced", source="EDAPINENUT/GNTPP#4")
def wild_kl_total_spread_over_rows(mean, log_var):
    seq_onehots = torch.ones(mean.shape[0])
    return (-0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())) * seq_onehots


@wrong(
    "kl",
    "batch-reduced mean-latent term-missing",
    "batch-reduced mean-latent term-wrong",
    "batch-reduced mean-latent unknown",
    "error",
    "unknown",
    source="min9813/vae_practice: src/lib/lossfunction/kl_div.py",
)
def wild_kl_exp_in_place(q_mean, q_log_var):
    q_var = q_log_var.exp_()
    return -0.5 * torch.mean(1 + q_log_var - q_mean * q_mean - q_var)


@wrong("kl", "reverse", source="kumar-shridhar/PyTorch-BayesianCNN#28")
def wild_kl_prior_first(mu, log_var):
    mu_q, sig_q = torch.zeros_like(mu), torch.ones_like(mu)
    mu_p, sig_p = mu, torch.exp(0.5 * log_var)
    ratio = (sig_q / sig_p).pow(2)
    return 0.5 * (2 * torch.log(sig_p / sig_q) - 1 + ratio + ((mu_p - mu_q) / sig_p).pow(2)).sum(-1)


@wrong("kl", "term-wrong", "constant term-wrong", "unknown")
def wild_kl_prior_mean_a_tenth(mu, log_var):
    p = Normal(torch.full_like(mu, 0.1), torch.ones_like(mu))
    return kl_divergence(Normal(mu, torch.exp(log_var / 2)), p).sum(-1)


@wrong("kl", "scale")
def wild_kl_five_percent_less(mu, log_var):
    return -0.475 * (1 + log_var - mu**2 - log_var.exp()).sum(-1)


@wrong("kl", "unknown", source="hardmaru/WorldModelsExperiments: carracing/vae/vae.py (issue 8)")
def wild_kl_tolerance_floor(mu, log_var, kl_tolerance=0.5):
    z_size = mu.shape[-1]
    kl_loss = -0.5 * torch.sum(1 + log_var - torch.square(mu) - torch.exp(log_var), dim=1)
    return torch.clamp(kl_loss, min=kl_tolerance * z_size)


# ------------------------------------------------------------------------------------------ log_prob


class BetaTC:
    def log_density_gaussian(self, x, mu, logvar):
        norm = -0.5 * (math.log(2 * math.pi) + logvar)
        return norm - 0.5 * ((x - mu) ** 2 * torch.exp(-logvar))

    def total(self, x, mu, logvar):
        return self.log_density_gaussian(x, mu, logvar).sum(dim=1)


right("log_prob", name="wild_lp_method", source="AntixK/PyTorch-VAE: models/betatc_vae.py")(BetaTC().total)


@right("log_prob", source="y0ast/Variational-Autoencoder: VAE.py")
def wild_lp_numpy_theano(x, reconstructed_x, logvar_decoder):
    x, mean, logvar = (np.asarray(each) for each in (x, reconstructed_x, logvar_decoder))
    normaliser = -(0.5 * np.log(2 * np.pi) + 0.5 * logvar)
    return (normaliser - 0.5 * ((x - mean) ** 2 / np.exp(logvar))).sum(axis=1)


@right("log_prob", source="orybkin/sigma-vae-pytorch: model.py, gaussian_nll with the sign of a log-density")
def wild_lp_x_last(mu, log_var, x):
    log_sigma = log_var / 2
    nll = 0.5 * torch.pow((x - mu) / log_sigma.exp(), 2) + log_sigma + 0.5 * np.log(2 * np.pi)
    return -nll.sum(-1)


@right("log_prob", source="MultivariateNormal on diag_embed, an excerpt without its repository")
def wild_lp_multivariate_normal(x, mu, log_var):
    return MultivariateNormal(mu, scale_tril=torch.diag_embed(torch.exp(0.5 * log_var))).log_prob(x)


@wrong(
    "log_prob",
    "",
    "unstable",
    source="openai/spinningup: spinup/exercises/pytorch/problem_set_1_solutions/exercise1_1_soln.py",
)
def wild_lp_epsilon_beside_sigma(x, mu, log_var, EPS=1e-8):
    log_std = 0.5 * log_var
    pre_sum = -0.5 * (((x - mu) / (torch.exp(log_std) + EPS)) ** 2 + 2 * log_std + np.log(2 * np.pi))
    return pre_sum.sum(axis=-1)


def log_Normal_diag(x, mean, log_var, average=False, dim=None):
    log_normal = -0.5 * (log_var + torch.pow(x - mean, 2) / torch.exp(log_var))
    return torch.mean(log_normal, dim) if average else torch.sum(log_normal, dim)


wrong(
    "log_prob",
    "log-two-pi-missing",
    "constant",
    name="wild_lp_no_two_pi",
    source="jmtomczak/vae_vampprior: utils/distributions.py",
)(partial(log_Normal_diag, dim=1))

wrong(
    "log_prob",
    "log-two-pi-missing mean-pixels",
    "constant mean-pixels",
    name="wild_lp_no_two_pi_average",
    source="jmtomczak/vae_vampprior: utils/distributions.py (average=True)",
)(partial(log_Normal_diag, average=True, dim=1))


@wrong(
    "log_prob",
    "log-sigma-missing shape sign",
    source="musyoku/chainer-gqn: generative_query_network/gqn/nn/chainer/functions.py",
)
def wild_lp_nll_without_log_var(x, mu, ln_var):
    prec = torch.exp(-ln_var)
    diff = x - mu
    return 0.5 * (math.log(2 * math.pi) + prec * diff**2)


@wrong(
    "log_prob",
    "constant half sign",
    "constant scale",
    "constant scale sign",
    source="log_gauss with 0.798, an excerpt without its repository",
)
def wild_lp_0798(mu, logvar, x):
    return (0.798 + logvar + (x - mu).pow(2) / logvar.exp()).sum(-1)


@wrong("log_prob", "log-std", "term-scale", source="y0ast/VAE-Torch#5")
def wild_lp_half_on_log_sigma_too(x, mu, log_var):
    log_sigma = log_var / 2
    return torch.sum(-0.5 * (math.log(2 * math.pi) + log_sigma) - (x - mu) ** 2 / (2 * log_var.exp()), -1)


@wrong("log_prob", "log-std std-for-var", "std-for-var", "log-std", source="hill-a/stable-baselines#1060")
def wild_lp_std_taken_for_variance(x, mu, log_var):
    logstd = log_var / 2
    std = torch.exp(logstd)
    quad, norm = -torch.square(x - mu) / (2 * std), -0.5 * logstd - 0.5 * math.log(2 * np.pi)
    return torch.sum(quad + norm, dim=1)


@wrong("log_prob", "var-for-std", source="SamsungLabs/pytorch-ensembles#5")
def wild_lp_normal_of_variance(x, mu, log_var):
    return Independent(Normal(mu, log_var.exp()), 1).log_prob(x)


class GaussianLossReconstruction:
    def __call__(self, x, mu, log_var):
        sigma = torch.exp(log_var / 2)
        distance = (mu - x) ** 2 / (2.0 * sigma * sigma)
        return torch.sum(distance - torch.log(sigma) - 0.5 * math.log(2 * math.pi), dim=1)


wrong(
    "log_prob",
    "term-sign",
    name="wild_lp_distance_added",
    source="GaussianLossReconstruction, an excerpt without its repository",
)(GaussianLossReconstruction())


@wrong("log_prob", "constant", "term-scale", source="mori97/VaDE#5")
def wild_lp_two_pi_without_root(x, mu, log_var):
    sigma = torch.exp(0.5 * log_var)
    return torch.sum(-torch.log(2 * np.pi * sigma) - 0.5 * ((x - mu) / sigma) ** 2, dim=-1)


@wrong(
    "log_prob",
    "log-two-pi-missing mean-pixels sign",
    "constant mean-pixels sign",
    source="DL4Jets/DeepJetCore: modules/Losses.py",
)
def wild_lp_keras_nll_mean(y_true, x_pred, log_var):
    square = np.exp(np.asarray(log_var) / 2) ** 2
    return np.mean(
        0.5 * np.log(square) + (np.asarray(x_pred) - np.asarray(y_true)) ** 2 / square / 2.0, axis=-1
    )


@wrong("log_prob", "shape", source="createamind/ros_candy: src/candy/src/modules/utils/distribution.py")
def wild_lp_per_dimension(sample, mu, log_var):
    logsigma = 0.5 * log_var
    tmp = (sample - mu) * torch.exp(-logsigma)
    return -0.5 * (tmp**2 + 2 * logsigma + math.log(2 * np.pi))


@wrong("log_prob", "not-log")
def wild_lp_density(x, mu, log_var):
    sigma = torch.exp(0.5 * log_var)
    bell = torch.exp(-((x - mu) ** 2) / (2 * sigma**2))
    return (bell / (sigma * math.sqrt(2 * math.pi))).prod(-1)


@wrong("log_prob", "term-scale")
def wild_lp_distance_five_percent_more(x, mu, log_var):
    return (-0.5 * (math.log(2 * math.pi) + log_var) - 0.525 * (x - mu) ** 2 * torch.exp(-log_var)).sum(-1)


# ----------------------------------------------------------------------------------------- bernoulli


@right("bernoulli", source="ATML-2022-Group6/inference-suboptimality: utils.py (per image)")
def wild_be_jax_logaddexp(logit, target):
    logit, target = np.asarray(logit), np.asarray(target)
    bce_loss = np.maximum(logit, 0.0) - logit * target + np.logaddexp(0.0, -np.abs(logit))
    return -np.sum(bce_loss, axis=-1)


@right("bernoulli", source="jax-ml/jax: examples/mnist_vae.py (per image)")
def wild_be_jax_where(logits, x):
    signs = torch.where(x > 0.5, -1.0, 1.0)
    return -torch.sum(torch.logaddexp(torch.zeros(()), signs * logits), dim=-1)


class TorchBernoulli(nn.Module):
    def forward(self, x, x_logits):
        return Independent(Bernoulli(logits=x_logits), 1).log_prob(x)


right("bernoulli", name="wild_be_distribution", source="pyro-ppl/pyro: examples/vae/vae.py")(TorchBernoulli())

right(
    "bernoulli",
    name="wild_be_logits_first_lambda",
    source="y0ast/VAE-TensorFlow: main.py",
)(lambda x_logits, x: -F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").sum(1))


@wrong("bernoulli", "", "unstable", source="google/flax: examples/vae/train.py (per image)")
def wild_be_flax_expm1(logits, labels):
    logits = F.logsigmoid(logits)
    return torch.sum(labels * logits + (1.0 - labels) * torch.log(-torch.expm1(logits)), dim=-1)


@wrong(
    "bernoulli",
    "",
    "unstable",
    source="ELBO_loss of a DTU course solution, an excerpt without its repository",
)
def wild_be_bce_of_sigmoid(x, x_logits):
    likelihood = -F.binary_cross_entropy(torch.sigmoid(x_logits), x, reduction="none")
    return likelihood.view(likelihood.size(0), -1).sum(1)


@wrong("bernoulli", "unstable", source="aidanscannell/GPJax: gpjax/logdensities.py")
def wild_be_log_where(x, x_logits):
    p = torch.sigmoid(x_logits)
    return torch.log(torch.where(x == 1, p, 1 - p)).sum(-1)


@wrong(
    "bernoulli",
    "batch-reduced unstable",
    "batch-reduced",
    source="MordehayM/Latent-Dependency-Structure-with-IAF-Flow-optimization: model/loss.py",
)
def wild_be_masks_and_batch_mean(x, x_logits, EPSILON=1e-30):
    mu = torch.sigmoid(x_logits)
    one_mask, zero_mask = (x == 1.0).float(), (x == 0.0).float()
    log_p = torch.log(mu + EPSILON) * one_mask + torch.log(1.0 - mu + EPSILON) * zero_mask
    return torch.sum(log_p, dim=1).mean()


@wrong(
    "bernoulli",
    "batch-reduced probabilities-not-logits sign",
    "probabilities-not-logits sign",
    "batch-reduced probabilities-not-logits",
    "probabilities-not-logits",
    "error",
    source="a JAX VAE whose probabilities are called logits, an excerpt without its repository",
)
def wild_be_log_of_logits(logits, x):
    logits, x = np.asarray(logits), np.asarray(x)
    with np.errstate(all="ignore"):
        return -np.sum(x * np.log(logits) + (1 - x) * np.log(1 - logits))


@wrong("bernoulli", "probabilities-not-logits", source="itakurah/focal-loss-pytorch#5")
def wild_be_sigmoid_twice(x, x_logits):
    return -F.binary_cross_entropy_with_logits(torch.sigmoid(x_logits), x, reduction="none").sum(-1)


@wrong(
    "bernoulli",
    "batch-reduced mean-pixels sign targets-flipped",
    "batch-reduced mean-pixels sign targets-flipped unstable",
    source="fastai/fastbook#515",
)
def wild_be_flipped_batch_mean(inputs, targets):
    inputs = inputs.sigmoid()
    return -torch.where(targets == 1, 1 - inputs, inputs).log().mean()


@wrong(
    "bernoulli",
    "term-wrong",
    "probabilities-not-logits",
    "swapped",
    "unknown",
    source="autonomousvision/sledge#4 (per image)",
)
def wild_be_arguments_of_bce_swapped(x, x_logits):
    return -F.binary_cross_entropy_with_logits(x, x_logits, reduction="none").flatten(1).sum(1)


@wrong("bernoulli", "sign", "sign unstable", source="CocoGzh/scCorrector: scCorrect/net/loss.py")
def wild_be_loss_with_epsilon(x, x_logits):
    recon_x = torch.sigmoid(x_logits)
    return -torch.sum(x * torch.log(recon_x + 1e-8) + (1 - x) * torch.log(1 - recon_x + 1e-8), dim=-1)


@wrong(
    "bernoulli", "sign squared-error", "squared-error", source="L1aoXingyu/pytorch-beginner#34 (per image)"
)
def wild_be_mse_called_bce(x_logits, x):
    BCE = F.mse_loss(torch.sigmoid(x_logits), x, reduction="none")
    return BCE.sum(dim=1)


@wrong("bernoulli", "sign term-missing", "sign term-missing unstable")
def wild_be_only_ones(x, x_logits):
    return -(x * torch.log(torch.sigmoid(x_logits) + 1e-9)).sum(dim=1)


@wrong("bernoulli", "sign", "constant sign", source="kkahloots/Generative_Models: stats/losses.py")
def wild_be_minus_entropy_of_pixels(x, x_logits):
    dist = Bernoulli(probs=torch.clamp(x, 1e-6, 1 - 1e-6))
    loss_lower_bound = dist.entropy().sum(-1)
    ell = F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").sum(-1)
    return ell - loss_lower_bound


@wrong("bernoulli", "unknown", source="cunningham-lab/cb_and_cc: README.md")
def wild_be_continuous(x, x_logits):
    return ContinuousBernoulli(logits=x_logits).log_prob(x).sum(-1)


@wrong("bernoulli", "term-scale")
def wild_be_ones_five_percent_more(x, x_logits):
    weight = torch.full((x.shape[-1],), 1.05)
    loss = F.binary_cross_entropy_with_logits(x_logits, x, pos_weight=weight, reduction="none")
    return -loss.sum(-1)


# ------------------------------------------------------------------------------------ reparameterize


@torch.jit.script
def scripted(mu, logvar):
    std = torch.exp(0.5 * logvar)
    eps = torch.randn_like(std)
    z = mu + eps * std
    return z


right(
    "reparameterize",
    name="wild_re_jit",
    source="a scripted reparameterize, an excerpt without its repository",
)(scripted)


@right("reparameterize", source="1233chen/GenMo: train_utils.py")
def wild_re_in_place_std(mu, logvar):
    s_var = logvar.mul(0.5).exp_()
    eps = s_var.data.new(s_var.size()).normal_()
    return eps.mul(s_var).add_(mu)


@right("reparameterize", source="Ritam-M/BicycleGAN: Utils.py")
def wild_re_numpy_noise(mu, logvar):
    std = torch.exp(logvar / 2)
    sampled_z = torch.as_tensor(np.random.normal(0, 1, tuple(mu.shape)), dtype=mu.dtype)  # noqa: NPY002
    return sampled_z * std + mu


class GaussianSample(nn.Module):
    def forward(self, mu, log_var, eps):
        std = log_var.mul(0.5).exp_()
        return mu.addcmul(std, eps)


right(
    "reparameterize",
    name="wild_re_addcmul_module",
    source="GaussianSample with addcmul, an excerpt without its repository",
)(GaussianSample())


@right(
    "reparameterize",
    source="hunterheidenreich.com: posts/modern-variational-autoencoder-in-pytorch (there softplus)",
)
def wild_re_rsample_tril(mu, log_var):
    scale_tril = torch.diag_embed(torch.exp(0.5 * log_var))
    return MultivariateNormal(mu, scale_tril=scale_tril).rsample()


@wrong(
    "reparameterize",
    "",
    "error",
    source="wohlert/semi-supervised-pytorch: semi-supervised/layers/stochastic.py, Stochastic",
)
def wild_re_mu_in_place(mu, log_var):
    epsilon = torch.randn(mu.size())
    std = log_var.mul(0.5).exp_()
    return mu.addcmul_(std, epsilon)


@wrong("reparameterize", "var-for-std", source="rachtsingh/ibp_vae#3")
def wild_re_variance(mu, logvar):
    noise = mu.data.clone().normal_(0, 1)
    return mu + (noise * logvar.exp())


@wrong("reparameterize", "noise-not-normal", source="dferendo/RecommendationSystem#3: models/ListCVAE.py")
def wild_re_uniform(mu, log_variance):
    std = torch.exp(0.5 * log_variance)
    eps = torch.rand_like(std)
    return eps * std + mu


@wrong(
    "reparameterize",
    "std-missing",
    "not-differentiable std-missing",
    source="RasmussenLab/vamb: vamb/encode.py",
)
def wild_re_unit_noise(mu, logsigma):
    epsilon = torch.randn(mu.size(0), mu.size(1))
    epsilon.requires_grad = True
    return mu + epsilon


@wrong(
    "reparameterize",
    "noise-missing var-for-std",
    "noise-missing",
    "noise-not-normal var-for-std",
    "noise-not-normal",
    source="twairball/keras_lstm_vae#1",
)
def wild_re_epsilon_unused(z_mean, z_log_sigma, epsilon_std=1.0):
    epsilon = torch.normal(0.0, epsilon_std, z_mean.shape)  # noqa: F841
    return z_mean + torch.exp(z_log_sigma) * epsilon_std


@wrong(
    "reparameterize",
    "term-wrong",
    "unknown",
    source="forward of a DTU course solution, an excerpt without its repository",
)
def wild_re_softmax_sigma(mu, sigma_hat):
    with torch.no_grad():
        epsilon = torch.randn(mu.size(0), mu.size(1))
    sigma = F.softmax(sigma_hat, dim=-1)
    return mu + epsilon * sigma


@wrong("reparameterize", "not-differentiable", source="toshikwa/slac.pytorch: code/network/latent.py")
def wild_re_sample_not_rsample(mean, log_var):
    return Normal(loc=mean, scale=torch.exp(log_var / 2)).sample()


@wrong("reparameterize", "noise-not-normal", "term-scale", source="keras-team/keras#4211")
def wild_re_epsilon_std(z_mean, z_log_var, epsilon_std=0.01):
    epsilon = torch.normal(0.0, epsilon_std, z_mean.shape)
    return z_mean + torch.exp(z_log_var / 2) * epsilon


@wrong("reparameterize", "term-wrong", "unknown", source="wohlert/semi-supervised-pytorch#16")
def wild_re_softplus_log_var(mu, log_var):
    log_var = F.softplus(log_var)
    return mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)


class EagerNoise:
    """Its noise is drawn when it first sees a shape, and never again."""

    def __init__(self):
        self.noise = {}

    def __call__(self, mean, log_var):
        if mean.shape not in self.noise:
            self.noise[mean.shape] = torch.randn(mean.shape)
        return mean + torch.exp(0.5 * log_var) * self.noise[mean.shape]


wrong(
    "reparameterize",
    "",
    "unknown",
    "noise-not-normal",
    "noise-shared",
    name="wild_re_noise_drawn_once",
    source="tensorflow/tensorflow#36715",
)(EagerNoise())


@wrong("reparameterize", "noise-shared")
def wild_re_one_noise_for_all_rows(mu, log_var):
    return mu + torch.exp(0.5 * log_var) * torch.randn(mu.shape[-1])


@wrong("reparameterize", "term-wrong", "unknown")
def wild_re_quarter(mu, log_var, eps):
    return mu + torch.exp(log_var / 4) * eps


@wrong("reparameterize", "noise-not-normal")
def wild_re_laplace_of_unit_variance(mu, log_var):
    return mu + torch.exp(0.5 * log_var) * Laplace(0.0, math.sqrt(0.5)).sample(mu.shape)


# ---------------------------------------------------------------------------------------------- elbo


def _draw(mu, log_var):
    return mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)


def _log_px_z(x, x_logits):
    return -F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").sum(-1)


def _kl(mu, log_var):
    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=-1)


@right("elbo", source="hwalsuklee/tensorflow-mnist-CVAE: vae.py (per image)")
def wild_el_kl_first(kl, log_px_z):
    return np.asarray(log_px_z) - np.asarray(kl)


@right("elbo", source="avramandrei/OpenNIG: src/util/losses.py (per image, without the last minus)")
def wild_el_three_log_densities(model, x):
    def log_normal_pdf(sample, mean, logvar):
        log2pi = math.log(2.0 * np.pi)
        return torch.sum(-0.5 * ((sample - mean) ** 2.0 * torch.exp(-logvar) + logvar + log2pi), dim=1)

    mean, logvar = model.encode(x)
    z = _draw(mean, logvar)
    logpz, logqz_x = log_normal_pdf(z, torch.zeros(()), torch.zeros(())), log_normal_pdf(z, mean, logvar)
    return _log_px_z(x, model.decode(z)) + logpz - logqz_x


@right("elbo", source="deepmind/dm-haiku: examples/vae.py (per image)")
def wild_el_distributions_model_last(x, model):
    mu, log_var = model.encode(x)
    q = Independent(Normal(mu, torch.exp(log_var / 2)), 1)
    p = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    return Independent(Bernoulli(logits=model.decode(q.rsample())), 1).log_prob(x) - kl_divergence(q, p)


class ManyDraws:
    def __init__(self, nsamples):
        self.nsamples = nsamples

    def __call__(self, model, x):
        mu, log_var = model.encode(x)
        recon = [_log_px_z(x, model.decode(_draw(mu, log_var))) for _ in range(self.nsamples)]
        return torch.stack(recon, dim=1).mean(dim=1) - _kl(mu, log_var)


right("elbo", name="wild_el_mean_of_eight_draws", source="valdersoul/bn-vae: modules/vae.py")(ManyDraws(8))


@wrong("elbo", "unknown", source="scverse/scvi-tools#13")
def wild_el_importance_weighted(model, x, k=10):
    mu, log_var = model.encode(x)
    q, p = Normal(mu, torch.exp(log_var / 2)), Normal(0.0, 1.0)
    vae_losses = []
    for _ in range(k):
        z = q.rsample()
        vae_losses.append(-_log_px_z(x, model.decode(z)) - (p.log_prob(z) - q.log_prob(z)).sum(-1))
    return torch.logsumexp(-1 * torch.stack(vae_losses, dim=1), dim=1) - np.log(k)


@wrong("elbo", "", "not-differentiable", source="toshikwa/slac.pytorch: code/network/latent.py (one latent)")
def wild_el_sample_not_rsample(model, x):
    mu, log_var = model.encode(x)
    post, pri = Normal(mu, torch.exp(log_var / 2)), Normal(torch.zeros_like(mu), torch.ones_like(mu))
    z = post.sample()
    return _log_px_z(x, model.decode(z)) - kl_divergence(post, pri).sum(-1)


@wrong("elbo", "term-sign", "kl-added sign", source="EderSantana/gumbel#3")
def wild_el_cross_entropy_minus_kl(log_px_z, kl):
    bce = -log_px_z
    return bce - kl


wrong("elbo", "kl-added", name="wild_el_kl_taken_for_its_negative", source="keras-team/keras#6500")(
    lambda log_px_z, kl: -(-log_px_z - kl)
)


@wrong("elbo", "batch-reduced sign", source="pytorch/examples: vae/main.py")
def wild_el_pytorch_example(model, x):
    mu, logvar = model.encode(x)
    recon_x = torch.sigmoid(model.decode(_draw(mu, logvar)))
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


def weighted(log_px_z, kl, kld_weight):
    return log_px_z - kld_weight * kl


wrong("elbo", "term-scale", name="wild_el_kld_weight", source="AntixK/PyTorch-VAE: configs/vae.yaml")(
    partial(weighted, kld_weight=0.00025)
)


@wrong("elbo", "batch-reduced mean-latent sign", source="keras-team/keras-io#270")
def wild_el_keras_io(model, x):
    z_mean, z_log_var = model.encode(x)
    probabilities = torch.sigmoid(model.decode(_draw(z_mean, z_log_var)))
    reconstruction_loss = F.binary_cross_entropy(probabilities, x) * 28 * 28
    kl_loss = torch.mean(1 + z_log_var - z_mean.square() - torch.exp(z_log_var)) * -0.5
    return reconstruction_loss + kl_loss


@wrong("elbo", "mean-latent mean-pixels", source="keras-team/keras#6015 (the blog), with the sign of an ELBO")
def wild_el_keras_blog(model, x):
    z_mean, z_log_sigma = model.encode(x)
    x_logits = model.decode(_draw(z_mean, z_log_sigma))
    xent_loss = F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").mean(dim=-1)
    kl_loss = -0.5 * torch.mean(1 + z_log_sigma - z_mean.square() - z_log_sigma.exp(), dim=-1)
    return -(xent_loss + kl_loss)


@wrong("elbo", "mean-pixels", source="keras-team/keras#3373, with the sign of an ELBO")
def wild_el_original_dim_missing(x, model):
    z_mean, z_log_var = model.encode(x)
    x_logits = model.decode(_draw(z_mean, z_log_var))
    xent_loss = F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").mean(dim=-1)
    return -(xent_loss + _kl(z_mean, z_log_var))


@wrong(
    "elbo",
    "mean-latent mean-pixels sign term-wrong",
    "mean-latent mean-pixels sign unknown",
    "unknown",
    source="deepchem/deepchem: deepchem/models/losses.py, VAE_ELBO",
)
def wild_el_deepchem(model, x):
    mu, logvar = model.encode(x)
    reconstruction_x = torch.sigmoid(model.decode(_draw(mu, logvar)))
    BCE = torch.mean(F.binary_cross_entropy(reconstruction_x, x, reduction="none"), dim=-1)
    square = torch.square(logvar)
    KLD = 0.5 * torch.mean(torch.square(mu) + square - torch.log(1e-20 + square) - 1, -1)
    return BCE + KLD


@wrong("elbo", "noise-missing", source="dmis-lab/VAECox#6")
def wild_el_mean_decoded(model, x):
    mu, logvar = model.encode(x)
    z = _draw(mu, logvar)  # noqa: F841
    recon = model.decode(mu)
    return _log_px_z(x, recon) - _kl(mu, logvar)


@wrong(
    "elbo",
    "batch-reduced sign squared-error term-scale",
    source="TheRomanOne/ML_pipeline: loss_functions.py",
)
def wild_el_mse_and_most_of_kl(model, x):
    mu, logvar = model.encode(x)
    recon_x = torch.sigmoid(model.decode(_draw(mu, logvar)))
    recon_loss = F.mse_loss(recon_x, x, reduction="sum")
    kl_loss = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return recon_loss + 0.9 * kl_loss


class PythaeLoss:
    def __call__(self, model, x):
        mu, log_var = model.encode(x)
        recon_x = torch.sigmoid(model.decode(_draw(mu, log_var)))
        recon_loss = 0.5 * F.mse_loss(recon_x, x, reduction="none").sum(dim=-1)
        return -(recon_loss + _kl(mu, log_var))


wrong(
    "elbo",
    "squared-error",
    name="wild_el_half_mse",
    source="clementchadebec/benchmark_VAE: vae_model.py (per image, with the sign of an ELBO)",
)(PythaeLoss())


@wrong(
    "elbo",
    "log-std",
    "log-std var-for-std",
    source="ctallec/world-models: trainvae.py and models/vae.py (issue 13)",
)
def wild_el_log_var_read_as_log_sigma(model, x):
    mu, logsigma = model.encode(x)
    z = torch.randn_like(mu).mul(logsigma.exp()).add_(mu)
    KLD = -0.5 * torch.sum(1 + 2 * logsigma - mu.pow(2) - (2 * logsigma).exp(), dim=1)
    return _log_px_z(x, model.decode(z)) - KLD


@wrong("elbo", "noise-not-normal", "term-scale", source="keras-team/keras#4211, with the sign of an ELBO")
def wild_el_epsilon_std(model, x, epsilon_std=0.01):
    z_mean, z_log_var = model.encode(x)
    epsilon = torch.normal(0.0, epsilon_std, z_mean.shape)
    z = z_mean + torch.exp(z_log_var / 2) * epsilon
    return _log_px_z(x, model.decode(z)) - _kl(z_mean, z_log_var)


@wrong(
    "elbo",
    "term-wrong",
    "unknown",
    "sign term-wrong",
    "sign unknown",
    source="AntixK/PyTorch-VAE: models/beta_vae.py (loss_type='B')",
)
def wild_el_capacity(log_px_z, kl, gamma=10.0, C=25.0):
    recons_loss = -log_px_z
    return recons_loss + gamma * (kl - C).abs()


@wrong("elbo", "batch-reduced mean-latent", source="keras-team/keras#4538, with the sign of an ELBO")
def wild_el_flatten_over_the_batch(model, x):
    z_mean, z_log_var = model.encode(x)
    x_logits = model.decode(_draw(z_mean, z_log_var))
    xent_loss = x.shape[1] * F.binary_cross_entropy_with_logits(x_logits.flatten(), x.flatten())
    kl_loss = -0.5 * torch.mean(1 + z_log_var - z_mean.square() - z_log_var.exp(), dim=-1)
    return -(xent_loss + kl_loss)


@wrong("elbo", "scale", source="openai/vdvae#5")
def wild_el_bits_per_pixel(log_px_z, kl):
    return (log_px_z - kl) / (784 * math.log(2))


@wrong("elbo", "batch-reduced sign term-missing", source="NinelK/WavesProject: src/Models/vae_loss_model.py")
def wild_el_kl_commented_out(log_px_z, kl):
    BCE = (-log_px_z).mean()
    # KLD = kl.mean()
    return BCE  # + KLD


@wrong("elbo", "term-scale")
def wild_el_kl_five_percent_more(log_px_z, kl):
    return log_px_z - 1.05 * kl


@wrong("elbo", "noise-shared")
def wild_el_one_noise_for_all_images(model, x):
    mu, log_var = model.encode(x)
    z = mu + torch.exp(0.5 * log_var) * torch.randn(1, mu.shape[1])
    return _log_px_z(x, model.decode(z)) - _kl(mu, log_var)


@wrong("elbo", "noise-not-normal", "term-scale")
def wild_el_nine_tenths_of_sigma(model, x):
    mu, log_var = model.encode(x)
    z = mu + 0.9 * torch.exp(0.5 * log_var) * torch.randn_like(mu)
    return _log_px_z(x, model.decode(z)) - _kl(mu, log_var)
