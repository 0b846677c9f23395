"""Σ x a - softplus(a), the Bernoulli log-likelihood from logits, written by hand after public code."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import expit, log_expit
from torch.distributions import Bernoulli, Independent

from gallery._entry import right, wrong

# --- right ---------------------------------------------------------------------------------------


@right("bernoulli")
def bce_with_logits(x, x_logits):
    return -F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").sum(-1)


@right("bernoulli")
def negative_bce_module(x, x_logits):
    return torch.nn.BCEWithLogitsLoss(reduction="none")(x_logits, x).sum(dim=1).neg()


@right("bernoulli")
def softplus_form(x, x_logits):
    return (x * x_logits - F.softplus(x_logits)).sum(-1)


@right("bernoulli", source="public Bernoulli: log_probs0 * (1 - x) + log_probs1 * x")
def two_softplus(x, x_logits):
    return (-F.softplus(x_logits) * (1 - x) - F.softplus(-x_logits) * x).sum(-1)


@right("bernoulli", source="HIPS/autograd variational_autoencoder.py, with targets in {-1, 1}")
def autograd_logaddexp(targets, unnormalized_logprobs):
    t2 = targets * 2 - 1
    return np.sum(-np.logaddexp(0, -unnormalized_logprobs * t2), axis=-1)


@right("bernoulli", source="google/flax examples/vae, negative")
def flax_log_sigmoid(x, logits):
    log_p = F.logsigmoid(logits)
    return torch.sum(x * log_p + (1.0 - x) * F.logsigmoid(-logits), dim=-1)


@right("bernoulli")
def numpy_logaddexp(x, x_logits):
    return (x * x_logits - np.logaddexp(0, x_logits)).sum(axis=1)


@right("bernoulli")
def scipy_log_expit(x, x_logits):
    return (x * log_expit(x_logits) + (1 - x) * log_expit(-x_logits)).sum(-1)


@right(
    "bernoulli", source="tensorflow sigmoid_cross_entropy_with_logits: max(a, 0) - a x + log(1 + exp(-|a|))"
)
def tensorflow_form(x, a):
    return -(np.maximum(a, 0) - a * x + np.log1p(np.exp(-np.abs(a)))).sum(-1)


@right("bernoulli")
def torch_bernoulli(x, x_logits):
    return Bernoulli(logits=x_logits).log_prob(x).sum(-1)


@right("bernoulli")
def torch_independent(x, x_logits):
    return Independent(Bernoulli(logits=x_logits), 1).log_prob(x)


@right("bernoulli")
def where_the_pixel_is_one(x, x_logits):
    return torch.where(x > 0.5, F.logsigmoid(x_logits), F.logsigmoid(-x_logits)).sum(-1)


@right("bernoulli")
def loop_of_floats(x, x_logits):
    def one(t, a):
        return t * a - (max(a, 0.0) + math.log1p(math.exp(-abs(a))))

    return [sum(one(t, a) for t, a in zip(*row, strict=True)) for row in
            zip(x.tolist(), x_logits.tolist(), strict=True)]  # fmt: skip


@right("bernoulli")
def einsum_form(x, x_logits):
    return torch.einsum("bi,bi->b", x, x_logits) - F.softplus(x_logits).sum(1)


@right("bernoulli")
def float32_form(x, x_logits):
    x, x_logits = x.float(), x_logits.float()
    return -F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").sum(-1)


@right("bernoulli", source="keras: original_dim * binary_crossentropy, with the dimension of the data")
def mean_times_pixels(x, x_logits):
    return -x.shape[-1] * F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").mean(-1)


@right("bernoulli")
def two_class_softmax(x, x_logits):
    log_p = torch.log_softmax(torch.stack([torch.zeros_like(x_logits), x_logits], -1), -1)
    return log_p.gather(-1, x.long().unsqueeze(-1)).squeeze(-1).sum(-1)


@right("bernoulli")
def cumulative_logsumexp(x, a):
    return (x * a).sum(-1) - torch.logsumexp(torch.stack((torch.zeros_like(a), a)), 0).sum(-1)


# Exact up to a logit of 709, where exp overflows: a matter of how extreme a logit may be.
@wrong("bernoulli", "", "unstable")
def log_one_plus_exp(x, x_logits):
    return (x * x_logits - np.log1p(np.exp(x_logits))).sum(-1)


# --- wrong ---------------------------------------------------------------------------------------


@wrong("bernoulli", "sign", source="every loss that calls it a log-likelihood")
def the_loss(x, x_logits):
    return F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").sum(-1)


@wrong("bernoulli", "sign")
def the_loss_in_numpy(x, x_logits):
    return np.sum(np.logaddexp(0, x_logits) - x * x_logits, axis=-1)


@wrong("bernoulli", "mean-pixels", source="keras-team/keras #3383 without its repair, negative")
def averaged(x, x_logits):
    return -F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").mean(-1)


@wrong("bernoulli", "sign mean-pixels", source="keras-team/keras #3383")
def keras_binary_crossentropy(x, x_logits):
    return np.mean(np.logaddexp(0, x_logits) - x * x_logits, axis=-1)


# 784 pixels in a formula that is given another number of them: right only where that number is 784.
@wrong("bernoulli", "mean-pixels scale", "scale", "", source="keras-team/keras: 784 written as a number")
def hard_coded_784(x, x_logits):
    return -784 * F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").mean(-1)


@wrong("bernoulli", "batch-reduced sign")
def reduction_sum(x, x_logits):
    return F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum")


@wrong("bernoulli", "batch-reduced sign", source="y0ast/VAE-TensorFlow style: sum / batch")
def sum_over_batch_size(x, x_logits):
    return F.binary_cross_entropy_with_logits(x_logits, x, reduction="sum") / x.size(0)


@wrong("bernoulli", "batch-reduced sign mean-pixels", source="pytorch/examples #234: the default reduction")
def reduction_mean(x, x_logits):
    return F.binary_cross_entropy_with_logits(x_logits, x)


@wrong("bernoulli", "batch-reduced", source="FluxML/model-zoo logp_x_z: a sum over the batch")
def flux_sum(x, x_logits):
    return torch.sum(Bernoulli(logits=x_logits).log_prob(x))


@wrong("bernoulli", "probabilities-not-logits", source="facebookresearch/fvcore #126: sigmoid twice")
def sigmoid_twice(x, x_logits):
    probs = torch.sigmoid(x_logits)
    return -F.binary_cross_entropy_with_logits(probs, x, reduction="none").sum(-1)


@wrong("bernoulli", "probabilities-not-logits sign", source="Lightning-AI/pytorch-lightning #18272")
def sigmoid_twice_loss(x, x_logits):
    return F.binary_cross_entropy_with_logits(torch.sigmoid(x_logits), x, reduction="none").sum(-1)


@wrong("bernoulli", "probabilities-not-logits", source="jmtomczak/vae_vampprior log_Bernoulli, given logits")
def clamped_logits_as_probabilities(x, mean):
    probs = torch.clamp(mean, min=1e-5, max=1.0 - 1e-5)
    return torch.sum(x * torch.log(probs) + (1.0 - x) * torch.log(1.0 - probs), -1)


@wrong("bernoulli", "probabilities-not-logits")
def clipped_in_numpy(x, x_logits):
    p = np.clip(x_logits, 1e-7, 1 - 1e-7)
    return np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=-1)


# NaN wherever a logit is outside of (0, 1): what logits-for-probabilities gives without a clamp.
@wrong("bernoulli", "probabilities-not-logits", "error", "unknown", source="hwalsuklee #2 with logits")
def log_of_logits(x, x_logits):
    return torch.sum(x * torch.log(x_logits) + (1 - x) * torch.log(1 - x_logits), 1)


# torch refuses what is not in [0, 1].
@wrong("bernoulli", "error", "probabilities-not-logits", source="nadavbh12/VQ-VAE #14: tanh, not sigmoid")
def bce_of_logits(x, x_logits):
    return -F.binary_cross_entropy(x_logits, x, reduction="none").sum(-1)


@wrong("bernoulli", "targets-flipped")
def targets_exchanged(x, x_logits):
    return (x * F.logsigmoid(-x_logits) + (1 - x) * F.logsigmoid(x_logits)).sum(-1)


@wrong("bernoulli", "targets-flipped")
def white_digits(x, x_logits):
    return -F.binary_cross_entropy_with_logits(x_logits, 1 - x, reduction="none").sum(-1)


@wrong("bernoulli", "targets-flipped sign")
def flipped_loss(x, x_logits):
    return np.sum(np.logaddexp(0, x_logits) - (1 - x) * x_logits, axis=1)


# Data for logits and logits for data: Σ x a - softplus(x), whose second term is another function.
@wrong("bernoulli", "term-wrong", "swapped", "unknown", "probabilities-not-logits",
       source="autonomousvision/sledge #4: arguments exchanged")  # fmt: skip
def arguments_exchanged(x, x_logits):
    return -F.binary_cross_entropy_with_logits(x, x_logits, reduction="none").sum(-1)


@wrong("bernoulli", "term-missing", source="categorical cross-entropy for two classes: only x log p")
def only_ones(x, x_logits):
    return (x * F.logsigmoid(x_logits)).sum(-1)


@wrong("bernoulli", "term-missing")
def only_zeros(x, x_logits):
    return ((1 - x) * log_expit(-np.asarray(x_logits))).sum(-1)


@wrong("bernoulli", "term-missing")
def only_the_product(x, x_logits):
    return (x * x_logits).sum(-1)


# x a is gone; or, of x log p + (1 - x) log(1 - p), one half has lost its weight and the other is gone.
@wrong("bernoulli", "term-missing", "term-wrong")
def only_softplus(x, x_logits):
    return -np.logaddexp(0, x_logits).sum(-1)


# (1 - x) forgotten: log(1 - p) counts at every pixel.
@wrong("bernoulli", "term-wrong", "term-missing", "unknown")
def weight_of_zeros_missing(x, x_logits):
    return (x * F.logsigmoid(x_logits) + F.logsigmoid(-x_logits)).sum(-1)


# Right where x = 1; log ½ where x = 0, whatever the logit says.
@wrong(
    "bernoulli",
    "term-wrong",
    "term-missing",
    "unknown",
    source="HIPS/autograd's form, given targets in {0, 1}",
)
def autograd_with_zero_one(targets, unnormalized_logprobs):
    return np.sum(-np.logaddexp(0, -unnormalized_logprobs * targets), axis=-1)


# Its sigmoid is ½(tanh(a) + 1), the logistic function of 2a.
@wrong("bernoulli", "term-wrong", "unknown", "term-scale", source="HIPS/autograd: def sigmoid(x)")
def autograd_sigmoid(x, x_logits):
    return (2 * x * x_logits - np.logaddexp(0, 2 * x_logits)).sum(-1)


@wrong("bernoulli", "squared-error", source="public loss: a squared error with σ² = ½")
def minus_squared_error(x, x_logits):
    return -((x - expit(x_logits)) ** 2).sum(-1)


@wrong("bernoulli", "squared-error", "squared-error half", "squared-error scale")
def minus_half_squared_error(x, x_logits):
    return -0.5 * ((x - torch.sigmoid(x_logits)) ** 2).sum(-1)


@wrong("bernoulli", "squared-error", "squared-error sign", source="AntixK/PyTorch-VAE: F.mse_loss")
def mse_of_probabilities(x, x_logits):
    return F.mse_loss(torch.sigmoid(x_logits), x, reduction="none").sum(-1)


@wrong("bernoulli", "squared-error", "squared-error probabilities-not-logits", "squared-error sign",
       "squared-error sign probabilities-not-logits")  # fmt: skip
def mse_of_logits(x, x_logits):
    return F.mse_loss(x_logits, x, reduction="none").sum(-1)


@wrong(
    "bernoulli",
    "squared-error mean-pixels",
    "squared-error mean-pixels sign",
    "squared-error sign",
    "squared-error",
)
def mse_mean(x, x_logits):
    return torch.mean((x - torch.sigmoid(x_logits)) ** 2, dim=-1)


@wrong("bernoulli", "unstable", source="every log(sigmoid(a)): 1 - p is 0 from a = 37 on")
def naive_log_sigmoid(x, x_logits):
    p = torch.sigmoid(x_logits)
    return (x * torch.log(p) + (1 - x) * torch.log(1 - p)).sum(-1)


# From a logit of 37 on it says -100 for what is -37; where logits stay small, many would call it right.
@wrong("bernoulli", "unstable", "", source="pytorch/examples vae/main.py, which cuts the logarithm at -100")
def bce_of_sigmoid(x, x_logits):
    return -F.binary_cross_entropy(torch.sigmoid(x_logits), x, reduction="none").sum(-1)


@wrong("bernoulli", "unstable", source="public loss: torch.log(x_hat + eps)")
def epsilon_in_logs(x, x_logits):
    p = expit(x_logits)
    return np.sum(x * np.log(p + 1e-12) + (1 - x) * np.log(1 - p + 1e-12), axis=1)


@wrong("bernoulli", "unstable", source="jmtomczak: clamp(p, 1e-5, 1 - 1e-5), with the sigmoid")
def clamped_probabilities(x, x_logits):
    p = torch.clamp(torch.sigmoid(x_logits), 1e-5, 1 - 1e-5)
    return torch.sum(x * torch.log(p) + (1.0 - x) * torch.log(1.0 - p), -1)


@wrong("bernoulli", "unstable")
def bernoulli_of_probs(x, x_logits):
    return Bernoulli(probs=torch.sigmoid(x_logits)).log_prob(x).sum(-1)


@wrong("bernoulli", "not-log")
def the_probability(x, x_logits):
    p = expit(x_logits)
    return np.prod(p**x * (1 - p) ** (1 - x), axis=-1)


@wrong("bernoulli", "not-log")
def exp_of_log(x, x_logits):
    return torch.exp(Bernoulli(logits=x_logits).log_prob(x).sum(-1))


@wrong("bernoulli", "not-log", "unknown", "not-log term-missing")
def sum_of_probabilities(x, x_logits):
    p = expit(x_logits)
    return np.sum(x * p + (1 - x) * (1 - p), axis=-1)


@wrong("bernoulli", "scale", source="bits instead of nats")
def bits(x, x_logits):
    return -F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").sum(-1) / math.log(2)


@wrong("bernoulli", "scale mean-pixels sign")
def bits_per_pixel(x, x_logits):
    return F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").mean(-1) / math.log(2)


@wrong("bernoulli", "half")
def twice(x, x_logits):
    return 2 * Bernoulli(logits=x_logits).log_prob(x).sum(-1)


@wrong("bernoulli", "term-sign")
def softplus_added(x, x_logits):
    return (x * x_logits + F.softplus(x_logits)).sum(-1)


@wrong("bernoulli", "shape")
def elementwise(x, x_logits):
    return Bernoulli(logits=x_logits).log_prob(x)


@wrong("bernoulli", "shape sign")
def elementwise_loss(x, x_logits):
    return F.binary_cross_entropy_with_logits(x_logits, x, reduction="none")


@wrong("bernoulli", "shape")
def keepdim(x, x_logits):
    return (x * x_logits - np.logaddexp(0, x_logits)).sum(1, keepdims=True)


@wrong("bernoulli", "batch-reduced mean-pixels")
def mean_of_log_prob(x, x_logits):
    return Bernoulli(logits=x_logits).log_prob(x).mean()


@wrong("bernoulli", "unstable", source="public sigmoid_cross_entropy_with_logits: log(p + 1e-7)")
def epsilon_seven(x, x_logits):
    p = torch.sigmoid(x_logits)
    return (x * torch.log(p + 1e-7) + (1 - x) * torch.log(1 - p + 1e-7)).sum(-1)


@wrong("bernoulli", "sign", source="public log_probs: x log(1 + exp(-a)) + (1 - x) log(1 + exp(a))")
def two_softplus_without_minus(x, x_logits):
    return (x * F.softplus(-x_logits) + (1 - x) * F.softplus(x_logits)).sum(-1)


@wrong("bernoulli", "mean-pixels batch-reduced sign scale", "batch-reduced sign scale mean-pixels",
       source="AppliedDataSciencePartners/WorldModels #12: 10 times a mean")  # fmt: skip
def ten_times_the_mean(x, x_logits):
    return 10 * F.binary_cross_entropy_with_logits(x_logits, x)


@wrong("bernoulli", "squared-error", "squared-error probabilities-not-logits",
       source="TimyadNyda/Variational-Lstm-Autoencoder #8: a squared error of the raw output")  # fmt: skip
def minus_square_of_logits(x, x_logits):
    return -((x - x_logits) ** 2).sum(axis=1)


@right("bernoulli", source="public log_bernoulli(x, logit)")
def log_bernoulli(x, logit):
    return -F.binary_cross_entropy_with_logits(logit, x, reduction="none").sum(-1)


@right(
    "bernoulli", source="public BCE on the GPU: targets softplus(-a) + (1 - targets) softplus(a), negative"
)
def numpy_softplus_pair(x, x_logits):
    softplus = lambda a: np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))  # noqa: E731
    return -(x * softplus(-x_logits) + (1 - x) * softplus(x_logits)).sum(-1)


@wrong("bernoulli", "squared-error", source="public VAEs: a unit Gaussian around the sigmoid")
def unit_gaussian(x, x_logits):
    return torch.distributions.Normal(torch.sigmoid(x_logits), 1.0).log_prob(x).sum(-1)
