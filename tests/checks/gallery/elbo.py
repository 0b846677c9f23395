"""The ELBO of each image: fn(log_px_z, kl) and fn(model, x), written by hand after public code."""

from __future__ import annotations

import math
import operator

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Normal, kl_divergence

from gallery._entry import right, wrong
from vae_helpers.models.objectives import elbo as library_elbo
from vae_helpers.models.objectives import iwae, kl_standard_normal, log_weights
from vae_helpers.models.vae import reparameterize

# --- fn(log_px_z, kl): right ---------------------------------------------------------------------

right("elbo", name="minus", source="public objectives: elbo = log_px_z - kl")(operator.sub)
right("elbo", name="minus_lambda")(lambda log_px_z, kl: log_px_z - kl)
right("elbo", name="minus_numpy")(lambda log_px_z, kl: np.subtract(log_px_z, kl))
right("elbo", name="minus_list")(
    lambda log_px_z, kl: [float(a) - float(b) for a, b in zip(log_px_z, kl, strict=True)]
)


right("elbo", name="minus_other_names")(lambda recon, kld: recon - kld)


@right("elbo")
def negative_of_the_loss(log_px_z, kl):
    loss = -log_px_z + kl
    return -loss


@right("elbo")
def beta_with_default(log_px_z, kl, beta=1.0):
    return log_px_z - beta * kl


# A KL divergence is never negative, so that its absolute value is itself.
@wrong("elbo", "", "unknown")
def absolute_kl(log_px_z, kl):
    return log_px_z - abs(kl)


# --- fn(log_px_z, kl): wrong ---------------------------------------------------------------------


@wrong("elbo", "kl-added", source="public loss: elbo = recon_loss + kl_error with recon_loss a likelihood")
def plus(log_px_z, kl):
    return log_px_z + kl


@wrong("elbo", "sign", source="public compute_loss: the negative ELBO under its name")
def the_loss(log_px_z, kl):
    return -log_px_z + kl


@wrong("elbo", "sign kl-added", source="EderSantana/gumbel #3: elbo = bce - KL")
def gumbel_minus_kl(log_px_z, kl):
    return -log_px_z - kl


@wrong("elbo", "batch-reduced")
def mean_over_batch(log_px_z, kl):
    return (log_px_z - kl).mean()


@wrong("elbo", "batch-reduced sign")
def mean_loss(log_px_z, kl):
    return -(log_px_z - kl).mean()


@wrong("elbo", "batch-reduced")
def sum_over_batch(log_px_z, kl):
    return sum(log_px_z) - sum(kl)


# One part is averaged over the batch, and the other broadcasts: the shape is right.
@wrong("elbo", "batch-reduced", "term-wrong", "unknown", "batch-reduced term-wrong",
       source="keras-team/keras #4538: K.flatten")  # fmt: skip
def likelihood_averaged(log_px_z, kl):
    return log_px_z.mean() - kl


@wrong("elbo", "batch-reduced", "term-wrong", "unknown", "batch-reduced term-wrong",
       source="public loss: recon for each image, KL as a mean")  # fmt: skip
def kl_averaged(log_px_z, kl):
    return log_px_z - kl.mean()


@wrong("elbo", "term-missing", source="facebookresearch/irmae #1: the KL is gone")
def likelihood_only(log_px_z, kl):
    return log_px_z


@wrong("elbo", "term-missing")
def kl_only(log_px_z, kl):
    return -kl


@wrong("elbo", "term-scale", source="beta-VAE, facebookresearch/irmae #1: beta = 0.1")
def beta_a_tenth(log_px_z, kl):
    return log_px_z - 0.1 * kl


@wrong("elbo", "term-scale", source="beta-VAE")
def beta_four(log_px_z, kl):
    return log_px_z - 4 * kl


@wrong("elbo", "term-scale")
def likelihood_weighted(log_px_z, kl):
    return 10 * log_px_z - kl


@wrong("elbo", "term-scale kl-added", "kl-added term-scale")
def kl_weighted_and_added(log_px_z, kl):
    return log_px_z + 0.5 * kl


@wrong("elbo", "half")
def everything_twice(log_px_z, kl):
    return 2 * (log_px_z - kl)


@wrong("elbo", "scale")
def in_bits(log_px_z, kl):
    return (log_px_z - kl) / math.log(2)


@wrong("elbo", "shape")
def with_a_column(log_px_z, kl):
    return (log_px_z - kl)[:, None]


# Every pair of rows: a matrix.
@wrong("elbo", "shape")
def outer_difference(log_px_z, kl):
    return log_px_z[:, None] - kl[None, :]


@wrong("elbo", "constant")
def off_by_one(log_px_z, kl):
    return log_px_z - kl + 1


@wrong("elbo", "unknown", "term-wrong", "not-log")
def exponential(log_px_z, kl):
    return np.exp(0.001 * (log_px_z - kl))


@wrong("elbo", "unknown", "term-wrong")
def product(log_px_z, kl):
    return log_px_z * kl


# --- fn(model, x): fragments ---------------------------------------------------------------------


def kl_by_hand(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)


def draw(mu, log_var):
    return mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)


def bernoulli_by_hand(model, x, z):
    return -F.binary_cross_entropy_with_logits(model.decode(z), x, reduction="none").sum(-1)


# --- fn(model, x): right -------------------------------------------------------------------------


@right("elbo")
def whole_by_hand(model, x):
    mu, log_var = model.encode(x)
    return bernoulli_by_hand(model, x, draw(mu, log_var)) - kl_by_hand(mu, log_var)


@right("elbo")
def whole_with_model_likelihood(model, x):
    mu, log_var = model.encode(x)
    return model.log_likelihood(x, draw(mu, log_var)) - kl_standard_normal(mu, log_var)


@right("elbo")
def whole_distributions(model, x):
    mu, log_var = model.encode(x)
    q = Normal(mu, torch.exp(0.5 * log_var))
    log_px_z = Bernoulli(logits=model.decode(q.rsample())).log_prob(x).sum(-1)
    return log_px_z - kl_divergence(q, Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum(-1)


@right("elbo", source="public objectives: log p(x|z) + log p(z) - log q(z|x)")
def whole_monte_carlo(model, x):
    mu, log_var = model.encode(x)
    q = Normal(mu, torch.exp(0.5 * log_var))
    z = q.rsample()
    log_p_z = Normal(torch.zeros_like(z), torch.ones_like(z)).log_prob(z).sum(-1)
    return model.log_likelihood(x, z) + log_p_z - q.log_prob(z).sum(-1)


@right("elbo", source="tensorflow CVAE tutorial: compute_loss without its mean, with the sign turned")
def whole_tensorflow_tutorial(model, x):
    def log_normal_pdf(sample, mean, logvar):
        log2pi = math.log(2 * math.pi)
        return torch.sum(-0.5 * ((sample - mean) ** 2 * torch.exp(-logvar) + logvar + log2pi), dim=1)

    mean, logvar = model.encode(x)
    z = torch.randn_like(mean) * torch.exp(logvar * 0.5) + mean
    cross_ent = F.binary_cross_entropy_with_logits(model.decode(z), x, reduction="none")
    zero = torch.zeros_like(z)
    return -torch.sum(cross_ent, dim=1) + log_normal_pdf(z, zero, zero) - log_normal_pdf(z, mean, logvar)


@right("elbo")
def whole_library(model, x):
    return library_elbo(model, x).elbo


@right("elbo")
def whole_library_many_samples(model, x):
    return library_elbo(model, x, num_samples=16).elbo


@right("elbo")
def whole_log_weights(model, x):
    return log_weights(model, x, 4).mean(0)


@right("elbo")
def whole_iwae_of_one(model, x):
    return iwae(model, x, 1)


@right("elbo")
def whole_own_generator(model, x):
    mu, log_var = model.encode(x)
    z = reparameterize(mu, log_var, 3, torch.Generator().manual_seed(5))
    return model.log_likelihood(x, z).mean(0) - kl_standard_normal(mu, log_var)


@right("elbo", source="pytorch/examples: x.view(-1, 784)")
def whole_view_784(model, x):
    x = x.view(-1, 784)
    mu, log_var = model.encode(x)
    logits = model.decode(draw(mu, log_var)).view(-1, 784)
    return (x * logits - F.softplus(logits)).sum(1) - kl_by_hand(mu, log_var)


@right("elbo", source="keras: 784 * binary_crossentropy")
def whole_784_times_mean(model, x):
    mu, log_var = model.encode(x)
    bce = F.binary_cross_entropy_with_logits(model.decode(draw(mu, log_var)), x, reduction="none").mean(-1)
    return -(784 * bce + kl_by_hand(mu, log_var))


@right("elbo")
def whole_loop_over_samples(model, x):
    mu, log_var = model.encode(x)
    total = sum(model.log_likelihood(x, draw(mu, log_var)) for _ in range(5))
    return total / 5 - kl_by_hand(mu, log_var)


@right("elbo")
def whole_image_by_image(model, x):
    return torch.cat([whole_by_hand(model, row[None]) for row in x])


@right("elbo")
def whole_other_names(vae, batch):
    m, s = vae.encode(batch)
    a = vae.decode(m + s.mul(0.5).exp() * torch.randn(m.shape, dtype=m.dtype))
    return (batch * a - F.softplus(a) - 0).sum(1) - 0.5 * (m * m + s.exp() - s - 1).sum(1)


@right("elbo")
def whole_in_evaluation_mode(model, x):
    model.eval()
    return whole_by_hand(model, x)


@right("elbo")
def whole_library_noise(model, x):
    mu, log_var = model.encode(x)
    z = reparameterize(mu, log_var)[0]
    return model.log_likelihood(x, z).sub(kl_standard_normal(mu, log_var))


# The axis of samples is kept, with one sample: (1, batch).
@wrong("elbo", "shape", "")
def whole_one_sample_axis(model, x):
    mu, log_var = model.encode(x)
    return model.log_likelihood(x, reparameterize(mu, log_var)) - kl_standard_normal(mu, log_var)


# What the library returns is a tuple of three; its first entry is right.
@wrong("elbo", "", "error", "shape")
def whole_library_tuple(model, x):
    return library_elbo(model, x)


# A value for evaluation: right, and without a gradient.
@wrong("elbo", "not-differentiable", "")
def whole_under_no_grad(model, x):
    with torch.no_grad():
        return whole_by_hand(model, x)


# The sigmoid first is weak at extreme logits, which this model hardly has.
@wrong("elbo", "", "unstable", source="pytorch/examples vae/main.py, for each image")
def whole_bce_of_sigmoid(model, x):
    mu, log_var = model.encode(x)
    recon = torch.sigmoid(model.decode(draw(mu, log_var)))
    return -F.binary_cross_entropy(recon, x, reduction="none").sum(1) - kl_by_hand(mu, log_var)


# --- fn(model, x): wrong -------------------------------------------------------------------------


@wrong("elbo", "kl-added")
def whole_kl_added(model, x):
    mu, log_var = model.encode(x)
    return bernoulli_by_hand(model, x, draw(mu, log_var)) + kl_by_hand(mu, log_var)


@wrong("elbo", "kl-added", source="wiseodd/generative-models #43, as read by its report: -KL subtracted")
def whole_negative_kl(model, x):
    mu, log_var = model.encode(x)
    minus_kl = 0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=1)
    return model.log_likelihood(x, draw(mu, log_var)) - minus_kl


@wrong("elbo", "sign", source="pytorch/examples vae/main.py, for each image")
def whole_loss(model, x):
    mu, log_var = model.encode(x)
    return -bernoulli_by_hand(model, x, draw(mu, log_var)) + kl_by_hand(mu, log_var)


@wrong("elbo", "sign batch-reduced", source="pytorch/examples vae/main.py")
def whole_pytorch_example(model, x):
    mu, log_var = model.encode(x)
    bce = F.binary_cross_entropy_with_logits(
        model.decode(draw(mu, log_var)), x.view(-1, 784), reduction="sum"
    )
    kld = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
    return bce + kld


@wrong("elbo", "batch-reduced")
def whole_batch_mean(model, x):
    return library_elbo(model, x).elbo.mean()


# BCE summed over everything, KL averaged over the batch: two reductions in one line.
@wrong(
    "elbo",
    "sign batch-reduced",
    "sign batch-reduced term-scale",
    "batch-reduced",
    "batch-reduced unknown",
    source="public elbo_loss: reduction='sum' + kld.mean()",
)
def whole_mixed_reductions(model, x):
    mu, log_var = model.encode(x)
    bce = F.binary_cross_entropy_with_logits(model.decode(draw(mu, log_var)), x, reduction="sum")
    return bce + kl_by_hand(mu, log_var).mean()


@wrong("elbo", "term-missing", source="a public elbo_loss: loss = log_px  # + kl")
def whole_without_kl(model, x):
    return bernoulli_by_hand(model, x, draw(*model.encode(x)))


@wrong("elbo", "term-missing")
def whole_only_kl(model, x):
    return -kl_by_hand(*model.encode(x))


@wrong("elbo", "term-scale", source="beta-VAE")
def whole_beta(model, x):
    return library_elbo(model, x, beta=4.0).elbo


# Twice the KL: its ½ is lost, or β = 2.
@wrong("elbo", "term-scale", "half")
def whole_half_forgotten(model, x):
    mu, log_var = model.encode(x)
    kl = -(1 + log_var - mu**2 - log_var.exp()).sum(-1)
    return model.log_likelihood(x, draw(mu, log_var)) - kl


@wrong("elbo", "term-scale", source="pytorch/examples #290: the KL by 784, the likelihood a sum")
def whole_kl_over_pixels(model, x):
    mu, log_var = model.encode(x)
    return bernoulli_by_hand(model, x, draw(mu, log_var)) - kl_by_hand(mu, log_var) / 784


@wrong("elbo", "half")
def whole_twice(model, x):
    return 2 * whole_by_hand(model, x)


@wrong("elbo", "scale")
def whole_bits(model, x):
    return whole_by_hand(model, x) / math.log(2)


# Everything by the number of pixels: bits per dimension without the bits.
@wrong("elbo", "scale", "mean-pixels term-scale", "scale mean-pixels")
def whole_per_pixel(model, x):
    return whole_by_hand(model, x) / x.shape[-1]


@wrong("elbo", "mean-pixels", source="keras-team/keras #3383")
def whole_mean_pixels(model, x):
    mu, log_var = model.encode(x)
    log_px_z = -F.binary_cross_entropy_with_logits(model.decode(draw(mu, log_var)), x, reduction="none").mean(
        -1
    )
    return log_px_z - kl_by_hand(mu, log_var)


@wrong("elbo", "mean-latent", source="keras-team/keras-io #270, maxhodak/keras-molecules #59")
def whole_mean_latent(model, x):
    mu, log_var = model.encode(x)
    kl = -0.5 * torch.mean(1 + log_var - mu**2 - log_var.exp(), dim=-1)
    return bernoulli_by_hand(model, x, draw(mu, log_var)) - kl


@wrong("elbo", "mean-latent mean-pixels", source="blog.keras.io: both are means")
def whole_both_means(model, x):
    mu, log_var = model.encode(x)
    log_px_z = -F.binary_cross_entropy_with_logits(model.decode(draw(mu, log_var)), x, reduction="none").mean(
        -1
    )
    return log_px_z + 0.5 * torch.mean(1 + log_var - mu**2 - log_var.exp(), dim=-1)


@wrong("elbo", "noise-missing", source="DESIGN: decode-the-mean reported as a bound")
def whole_decodes_the_mean(model, x):
    mu, log_var = model.encode(x)
    return model.log_likelihood(x, mu) - kl_by_hand(mu, log_var)


@wrong("elbo", "var-for-std", source="rachtsingh/ibp_vae #3")
def whole_variance_as_std(model, x):
    mu, log_var = model.encode(x)
    z = mu + log_var.exp() * torch.randn_like(mu)
    return model.log_likelihood(x, z) - kl_by_hand(mu, log_var)


# The same in both places, as in many encoders: Normal(mu, exp(log_var)).
@wrong(
    "elbo",
    "var-for-std log-std",
    "log-std var-for-std",
    "var-for-std",
    source="Normal(mu, torch.exp(log_var))",
)
def whole_variance_everywhere(model, x):
    mu, log_var = model.encode(x)
    q = Normal(mu, torch.exp(log_var))
    return model.log_likelihood(x, q.rsample()) - kl_divergence(q, Normal(0.0, 1.0)).sum(-1)


@wrong("elbo", "squared-error", source="ethanluoyc/pytorch-vae #3: F.mse_loss for the likelihood")
def whole_squared_error(model, x):
    mu, log_var = model.encode(x)
    recon = torch.sigmoid(model.decode(draw(mu, log_var)))
    return -((recon - x) ** 2).sum(-1) - kl_by_hand(mu, log_var)


@wrong(
    "elbo",
    "squared-error mean-pixels",
    "squared-error",
    source="F.mse_loss(recon_x, x, reduction='mean') + KL",
)
def whole_mse_mean(model, x):
    mu, log_var = model.encode(x)
    recon = torch.sigmoid(model.decode(draw(mu, log_var)))
    return -F.mse_loss(recon, x, reduction="none").mean(-1) - kl_by_hand(mu, log_var)


@wrong(
    "elbo",
    "probabilities-not-logits",
    source="Lightning-AI/pytorch-lightning #18272, facebookresearch/fvcore #126",
)
def whole_sigmoid_twice(model, x):
    mu, log_var = model.encode(x)
    recon = torch.sigmoid(model.decode(draw(mu, log_var)))
    return -F.binary_cross_entropy_with_logits(recon, x, reduction="none").sum(-1) - kl_by_hand(mu, log_var)


@wrong("elbo", "probabilities-not-logits")
def whole_logits_clamped(model, x):
    mu, log_var = model.encode(x)
    p = model.decode(draw(mu, log_var)).clamp(1e-5, 1 - 1e-5)
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1) - kl_by_hand(mu, log_var)


@wrong("elbo", "noise-shared", source="public Julia VAE: one draw for the whole batch")
def whole_noise_shared(model, x):
    mu, log_var = model.encode(x)
    z = mu + torch.exp(0.5 * log_var) * torch.randn(mu.shape[-1], dtype=mu.dtype)
    return model.log_likelihood(x, z) - kl_by_hand(mu, log_var)


@wrong("elbo", "noise-not-normal", source="public VAEs: torch.rand_like(std)")
def whole_uniform_noise(model, x):
    mu, log_var = model.encode(x)
    z = mu + torch.exp(0.5 * log_var) * torch.rand_like(mu)
    return model.log_likelihood(x, z) - kl_by_hand(mu, log_var)


# std-missing is not among the ELBO's codes; that σ is wrong in the noise is what counts.
@wrong("elbo", "std-missing", "unknown", "var-for-std", "noise-not-normal", "term-wrong")
def whole_unit_noise(model, x):
    mu, log_var = model.encode(x)
    return model.log_likelihood(x, mu + torch.randn_like(mu)) - kl_by_hand(mu, log_var)


@wrong("elbo", "not-differentiable", source="AntixK/PyTorch-VAE #12: sample() for rsample()")
def whole_sample(model, x):
    mu, log_var = model.encode(x)
    z = Normal(mu, torch.exp(0.5 * log_var)).sample()
    return model.log_likelihood(x, z) - kl_by_hand(mu, log_var)


@wrong("elbo", "not-differentiable")
def whole_detached(model, x):
    mu, log_var = model.encode(x)
    z = draw(mu, log_var).detach()
    return model.log_likelihood(x, z) - kl_by_hand(mu, log_var)


@wrong("elbo", "std-for-var", source="pytorch/examples #225")
def whole_sigma_in_kl(model, x):
    mu, log_var = model.encode(x)
    kl = 0.5 * (mu**2 + torch.exp(0.5 * log_var) - 1 - log_var).sum(-1)
    return model.log_likelihood(x, draw(mu, log_var)) - kl


@wrong("elbo", "log-std")
def whole_log_sigma_in_kl(model, x):
    mu, log_var = model.encode(x)
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - 0.5 * log_var).sum(-1)
    return model.log_likelihood(x, draw(mu, log_var)) - kl


@wrong("elbo", "constant")
def whole_one_missing_in_kl(model, x):
    mu, log_var = model.encode(x)
    kl = 0.5 * (mu**2 + log_var.exp() - log_var).sum(-1)
    return model.log_likelihood(x, draw(mu, log_var)) - kl


@wrong("elbo", "term-sign", source="FluxML/model-zoo #147")
def whole_log_sign_in_kl(model, x):
    mu, log_var = model.encode(x)
    kl = 0.5 * (mu**2 + log_var.exp() - 1 + log_var).sum(-1)
    return model.log_likelihood(x, draw(mu, log_var)) - kl


@wrong("elbo", "swapped")
def whole_swapped_in_kl(model, x):
    mu, log_var = model.encode(x)
    kl = -0.5 * (1 + log_var.exp() - mu**2 - log_var).sum(-1)
    return model.log_likelihood(x, draw(mu, log_var)) - kl


@wrong("elbo", "reverse")
def whole_reverse_kl(model, x):
    mu, log_var = model.encode(x)
    q, p = Normal(mu, torch.exp(0.5 * log_var)), Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return model.log_likelihood(x, q.rsample()) - kl_divergence(p, q).sum(-1)


# A tighter bound than the ELBO, and another quantity.
@wrong("elbo", "unknown", "")
def whole_iwae(model, x):
    return iwae(model, x, 50)


# Summed over the pixels in the end, this counts the KL 784 times.
@wrong("elbo", "shape", "shape term-scale")
def whole_pixels_unsummed(model, x):
    mu, log_var = model.encode(x)
    log_px_z = -F.binary_cross_entropy_with_logits(model.decode(draw(mu, log_var)), x, reduction="none")
    return log_px_z - kl_by_hand(mu, log_var)[:, None]


@wrong("elbo", "shape")
def whole_samples_unsummed(model, x):
    mu, log_var = model.encode(x)
    z = reparameterize(mu, log_var, 7)
    return model.log_likelihood(x, z) - kl_by_hand(mu, log_var)


@wrong("elbo", "error", source="asyml/texar-pytorch #251: one size for another")
def whole_wrong_size(model, x):
    mu, log_var = model.encode(x)
    return model.log_likelihood(x, torch.cat([mu, log_var], -1))


@wrong("elbo", "error")
def whole_wrong_method(model, x):
    return model.loss_function(x)


@right("elbo", source="public objectives: log p(x|z) + log p(z) + the entropy of q")
def whole_with_entropy(model, x):
    mu, log_var = model.encode(x)
    z = draw(mu, log_var)
    prior_log_prob = -0.5 * torch.sum(z.pow(2) + math.log(2 * math.pi), -1)
    entropy = 0.5 * torch.sum(1 + math.log(2 * math.pi) + log_var, -1)
    return bernoulli_by_hand(model, x, z) + prior_log_prob + entropy


@right("elbo", source="public exercise: kl = log_qz - log_pz; elbo = log_px - kl")
def whole_course_exercise(model, x):
    mu, log_var = model.encode(x)
    qz = Normal(mu, log_var.mul(0.5).exp())
    pz = Normal(torch.zeros_like(mu), torch.ones_like(mu))
    z = qz.rsample()
    px = Bernoulli(logits=model.decode(z))
    each = px.log_prob(x), pz.log_prob(z), qz.log_prob(z)
    log_px, log_pz, log_qz = (one.flatten(1).sum(1) for one in each)
    kl = log_qz - log_pz
    return log_px - kl


# The entropy lacks its log 2π, the prior has it.
@wrong("elbo", "constant", source="public objectives: entropy = 0.5 * torch.sum(1 + torch.log(sigma.pow(2)))")
def whole_entropy_without_two_pi(model, x):
    mu, log_var = model.encode(x)
    z = draw(mu, log_var)
    prior_log_prob = -0.5 * torch.sum(z.pow(2) + math.log(2 * math.pi), -1)
    return bernoulli_by_hand(model, x, z) + prior_log_prob + 0.5 * torch.sum(1 + log_var, -1)


# A floor under the KL: where the KL is above it, the ELBO is right.
@wrong("elbo", "", "unknown", "term-wrong", source="AppliedDataSciencePartners/WorldModels #12: KL_TOLERANCE")
def whole_kl_tolerance(model, x):
    mu, log_var = model.encode(x)
    kl = torch.clamp(kl_by_hand(mu, log_var), min=0.5 * mu.shape[-1])
    return model.log_likelihood(x, draw(mu, log_var)) - kl


# log q and log p have changed places in the Monte Carlo KL.
@wrong("elbo", "kl-added", source="log q(z|x) - log p(z) written the other way round")
def whole_monte_carlo_exchanged(model, x):
    mu, log_var = model.encode(x)
    q = Normal(mu, torch.exp(0.5 * log_var))
    z = q.rsample()
    log_p_z = Normal(torch.zeros_like(z), torch.ones_like(z)).log_prob(z).sum(-1)
    return model.log_likelihood(x, z) - log_p_z + q.log_prob(z).sum(-1)


# Only the prior's density, without q's: the entropy of q is missing.
@wrong(
    "elbo",
    "term-missing",
    "term-missing constant",
    "term-wrong",
    "unknown",
    source="log p(x|z) + log p(z), the log of the joint density",
)
def whole_joint_only(model, x):
    mu, log_var = model.encode(x)
    z = draw(mu, log_var)
    return model.log_likelihood(x, z) - 0.5 * (z**2 + math.log(2 * math.pi)).sum(-1)


@wrong(
    "elbo",
    "sign batch-reduced squared-error",
    "squared-error batch-reduced",
    source="public loss_function: F.mse_loss(…, reduction='sum') + KLD",
)
def whole_public_mse(model, x):
    mu, log_var = model.encode(x)
    recon = torch.sigmoid(model.decode(draw(mu, log_var)))
    return F.mse_loss(recon, x, reduction="sum") + kl_by_hand(mu, log_var).sum()


@wrong("elbo", "batch-reduced sign mean-pixels mean-latent", source="keras-team/keras-io #270, blog.keras.io")
def whole_keras_means(model, x):
    mu, log_var = model.encode(x)
    bce = F.binary_cross_entropy_with_logits(model.decode(draw(mu, log_var)), x)
    return bce - 0.5 * torch.mean(1 + log_var - mu**2 - log_var.exp())


@wrong("elbo", "batch-reduced not-differentiable", "batch-reduced")
def whole_sample_and_mean(model, x):
    mu, log_var = model.encode(x)
    z = Normal(mu, torch.exp(0.5 * log_var)).sample()
    return (model.log_likelihood(x, z) - kl_by_hand(mu, log_var)).mean()


@wrong("elbo", "var-for-std mean-latent")
def whole_two_mistakes(model, x):
    mu, log_var = model.encode(x)
    z = mu + log_var.exp() * torch.randn_like(mu)
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).mean(-1)
    return model.log_likelihood(x, z) - kl


@wrong("elbo", "sign half", "sign term-scale", "sign half term-scale", source="a KL without its ½ in a loss")
def whole_loss_without_half(model, x):
    mu, log_var = model.encode(x)
    kl = (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
    return (
        F.binary_cross_entropy_with_logits(model.decode(draw(mu, log_var)), x, reduction="none").sum(-1) + kl
    )


# A part of the value is reduced over the batch, and joined to what is not.
@wrong("elbo", "batch-reduced", source="keras-team/keras #4538: KL averaged over the batch")
def parts_kl_of_the_batch(log_px_z, kl):
    return log_px_z - kl.mean()


@wrong("elbo", "batch-reduced", source="public VAEs: kl.mean() beside a log-likelihood of each row")
def whole_kl_mean_alone(model, x):
    mu, log_var = model.encode(x)
    return model.log_likelihood(x, draw(mu, log_var)) - kl_by_hand(mu, log_var).mean()


@wrong("elbo", "batch-reduced", source="public VAEs: kl.sum() beside a log-likelihood of each row")
def whole_kl_sum_alone(model, x):
    mu, log_var = model.encode(x)
    return model.log_likelihood(x, draw(mu, log_var)) - kl_by_hand(mu, log_var).sum()


@wrong("elbo", "batch-reduced mean-pixels", source="public VAEs: default BCE beside a KL of each row")
def whole_default_bce(model, x):
    mu, log_var = model.encode(x)
    bce = F.binary_cross_entropy_with_logits(model.decode(draw(mu, log_var)), x)
    return -bce - kl_by_hand(mu, log_var)


@wrong("elbo", "not-differentiable", source="variant: only mu is cut off")
def whole_mu_detached(model, x):
    mu, log_var = model.encode(x)
    return model.log_likelihood(x, draw(mu.detach(), log_var)) - kl_by_hand(mu, log_var)


@wrong("elbo", "noise-shared sign batch-reduced", source="variant: one draw for the batch, in a loss")
def whole_shared_loss(model, x):
    mu, log_var = model.encode(x)
    z = mu + torch.exp(0.5 * log_var) * torch.randn(mu.shape[-1], dtype=mu.dtype)
    return (kl_by_hand(mu, log_var) - model.log_likelihood(x, z)).mean()


@wrong("elbo", "targets-flipped", source="variant: white and black exchanged")
def whole_targets_flipped(model, x):
    mu, log_var = model.encode(x)
    return model.log_likelihood(1 - x, draw(mu, log_var)) - kl_by_hand(mu, log_var)
