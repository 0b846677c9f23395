"""The exercises of notebook 6, beside `check_bernoulli` and `check_elbo`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy
import torch
from scipy import special
from torch.distributions import Normal, kl_divergence

from vae_helpers.checks.engine.exercise import Case, Exercise, Extremes, Mistake
from vae_helpers.checks.exercises._models import encoded, in_torch, log_likelihood, log_mean
from vae_helpers.checks.parts.elbo.probe_models import small_vae
from vae_helpers.models.vae import VAE
from vae_helpers.numerics._validate import Array


def _beta_by_reductions(data_dim: int, latent_dim: int, pixels: str, latents: str) -> float:
    """What one latent's KL weighs against one pixel: the reductions, taken of (1, 0, 0, …)."""
    reduce = {"sum": np.sum, "mean": np.mean}
    return float(reduce[latents](np.eye(1, latent_dim)) / reduce[pixels](np.eye(1, data_dim)))


def _beta_by_factors(
    data_dim: int, latent_dim: int, pixels: str, latents: str, *, mean="mean", of_D=1, of_d=-1, swap=False
) -> float:
    """A mean over D pixels divides what the KL is weighed against, one over d latents the KL itself."""
    if swap:
        data_dim, latent_dim = latent_dim, data_dim
    return (data_dim**of_D if pixels == mean else 1) * (latent_dim**of_d if latents == mean else 1)


check_hidden_beta = Exercise(
    title="The β in a loss",
    takes=(
        'the numbers data_dim and latent_dim, and pixels and latents, each "sum" or "mean": how the '
        "log-likelihood is reduced over pixels and the KL over latents"
    ),
    returns="the β of the β-VAE with proper sums that has the same minima, a number",
    source="Higgins et al. 2017, section 4.2, who normalise β by the two sizes",
    where="notebook 6, section 3",
    truth=_beta_by_reductions,
    program=_beta_by_factors,
    cases=[
        (4, 2, "sum", "sum"),
        (4, 2, "mean", "sum"),
        (4, 2, "sum", "mean"),
        (6, 3, "mean", "mean"),
        (784, 20, "mean", "mean"),
        (784, 20, "sum", "mean"),
        (100, 5, "mean", "sum"),
    ],
    mistakes=[
        "This is the weight of the log-likelihood against the KL. β is the other weight, once the "
        "log-likelihood stands there with weight 1.",
        Mistake("swapped", of_D=-1, of_d=1),
        "A mean over the latents changes nothing in your β, and yet it makes the KL smaller.",
        Mistake("term-missing", of_d=0),
        "A mean over the pixels changes nothing in your β, and yet it makes the log-likelihood smaller.",
        Mistake("term-missing", of_D=0),
        "A mean over the latents makes your β larger. Does it make the KL weigh more?",
        Mistake("term-wrong", of_d=1),
        "A mean over the pixels makes your β smaller. Against what is the KL weighed?",
        Mistake("term-wrong", of_D=-1),
        "Sum and mean have changed places: with two sums the loss is -ELBO itself.",
        Mistake("swapped", mean="sum"),
        "The two sizes have changed places: which of the sums has data_dim terms?",
        Mistake("swapped", swap=True),
    ],
)


_mean_image = partial(np.mean, axis=0)


def _cross_entropy(
    images: Array, *, probability=_mean_image, ink=1, empty=1, over_pixels=np.sum, over_images=np.mean
) -> float:
    """What the images cost when the decoder returns this probability for each pixel."""
    p = probability(images)
    cost = -ink * special.xlogy(images, p) - empty * special.xlogy(1 - images, 1 - p)
    return over_images(over_pixels(cost, axis=-1))


check_best_constant = Exercise(
    title="The best decoder that ignores z",
    takes="images of shape (N, D), with values in [0, 1]",
    returns="-log p(x) of the best decoder that ignores z on these images, in nats per image, a number",
    source="Cover & Thomas 2006, chapter 5 (the cost of a code is its entropy if the code fits)",
    where="notebook 6, section 4",
    truth=lambda images: scipy.stats.bernoulli.entropy(images.mean(axis=0)).sum(),  # knows that 0 log 0 = 0
    program=_cross_entropy,
    cases=[
        (np.array([[0.0, 1.0], [1.0, 0.0]]),),
        (np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]),),
        (np.array([[0.1, 0.9, 0.4], [0.3, 0.6, 0.4]]),),
        (np.random.default_rng(1).beta(0.4, 0.8, (7, 5)),),
        (np.random.default_rng(2).beta(0.5, 2.0, (30, 12)),),
    ],
    tolerance=3e-4,
    extremes=Extremes(
        cases=[
            (np.array([[0.0, 1.0], [0.0, 0.0]]),),
            (np.array([[1.0, 0.25], [1.0, 0.75]]),),
            (np.zeros((3, 4)),),
        ],
        cause="A pixel that is never inked, or always, makes it infinite or NaN, or costs too much.",
        tolerance=0.01,  # whoever keeps probabilities a thousandth away from 0 and 1 is right enough
    ),
    mistakes=[
        "The more pixels, the more an image costs; yours is averaged over them.",
        Mistake("mean-pixels", where="notebook 6, section 3", over_pixels=np.mean),
        "The cost of all images together is returned; asked is the cost of one, on average.",
        Mistake("batch-reduced", over_images=np.sum),
        "Only the inked pixels are charged. What does the model pay for a pixel that stays empty?",
        Mistake("term-missing", empty=0),
        "Only the empty pixels are charged. What does the model pay for a pixel that is inked?",
        Mistake("term-missing", ink=0),
        "This is the floor of section 4: what the tosses cost someone who knows each grey value. A "
        "decoder that ignores z does not know which image it is.",
        Mistake("term-wrong", where="notebook 6, section 4", probability=np.asarray),
        "Fair coins are one choice of constant logits, but not the best for these images.",
        Mistake("term-wrong", probability=lambda images: 0.5),
        "One probability serves all pixels. The decoder may return another logit for each.",
        Mistake("term-wrong", probability=np.mean),
        "The mean image is handed over as logits. Which logit has that probability?",
        Mistake("probabilities-not-logits", probability=lambda images: special.expit(_mean_image(images))),
    ],
)


def _bound_by_scipy(model: VAE, x: Array, eps: Array) -> Array:
    """By densities in float64: the logistic distribution's tails are the probabilities of the pixels."""
    mu, std = encoded(model, x)
    z = mu + std * eps
    log_densities = (scipy.stats.norm.logpdf(z) - scipy.stats.norm.logpdf(z, mu, std)).sum(axis=-1)
    return special.logsumexp(log_likelihood(model, x, z) + log_densities, axis=0, b=1 / len(eps))


def _bound_by_torch(
    *case: Any, noise=1, power=0.5, per_pixel=False, prior=1, q=-1, kl=0, average=log_mean
) -> torch.Tensor:
    """The average of p(x given z) p(z)^prior q(z)^q exp(-kl KL) in float64: of the ratio for 1, -1 and 0."""
    model, x, eps = in_torch(*case)
    mu, log_var = model.encode(x)
    p_z, q_z = Normal(0.0, 1.0), Normal(mu, torch.exp(log_var / 2))
    z = mu + noise * torch.exp(power * log_var) * eps
    log_px = model.log_likelihood(x, z) / (x.shape[-1] if per_pixel else 1)
    log_densities = prior * p_z.log_prob(z) + q * q_z.log_prob(z) - kl * kl_divergence(q_z, p_z)
    return average(log_px + log_densities.sum(dim=-1))


_RNG = np.random.default_rng(6)  # draws the cases in the order in which they stand below


def _draws(seed: int, data_dim: int, num_samples: int, batch: int, latent_dim: int) -> Case:
    x = _RNG.integers(0, 2, (batch, data_dim)).astype(float)
    return small_vae(latent_dim, data_dim, seed), x, _RNG.standard_normal((num_samples, batch, latent_dim))


check_tighter_bound = Exercise(
    title="The bound by many draws",
    takes="a Bernoulli VAE, x of shape (batch, D) and standard normal noise eps, (num_samples, batch, d)",
    returns="the importance-weighted bound on log p(x) that these draws give, in nats, shape (batch,)",
    source="Burda, Grosse & Salakhutdinov 2016, eq. 8",
    where="notebook 6, section 2",
    truth=_bound_by_scipy,
    program=_bound_by_torch,
    kinds=("torch float32",),
    cases=[_draws(1, 4, 1, 2, 1), _draws(2, 5, 2, 3, 2), _draws(3, 6, 5, 3, 2), _draws(4, 8, 20, 4, 3)],
    extremes=Extremes(
        cases=[_draws(5, 784, 5, 2, 2)],
        cause="It is right for images of a few pixels and breaks down at 784, where a probability is smaller "
        "than any number that a computer can hold.",
    ),
    mistakes=[
        "The logarithms are averaged. That is the ELBO once more, by several draws, and no tighter.",
        Mistake("term-wrong", average=partial(torch.mean, dim=0)),
        "This is the ELBO, averaged over several draws: each draw is under a logarithm of its own.",
        Mistake("term-wrong", prior=0, q=0, kl=1, average=partial(torch.mean, dim=0)),
        "The KL is an average over all z. Under the logarithm each draw needs the ratio at its own place.",
        Mistake("term-wrong", prior=0, q=0, kl=1),
        "The ratios are added up and not averaged, so that your value grows with each draw.",
        Mistake("term-missing", average=partial(torch.logsumexp, dim=0)),
        "Only the likelihood stands under the logarithm: right for draws from the prior, not for these.",
        Mistake("term-missing", prior=0, q=0),
        "The prior is missing: the numerator is the joint density of x and z.",
        Mistake("term-missing", prior=0),
        "Nothing is divided by: the draws come from q, and each must be weighed by how likely q made it.",
        Mistake("term-missing", q=0),
        "The density of q multiplies where it should divide.",
        Mistake("term-sign", q=1),
        "Prior and q have changed places in the ratio.",
        Mistake("term-sign", prior=-1, q=1),
        "The noise is scaled by σ², not by σ, so that the draws are not from q.",
        Mistake("var-for-std", where="notebook 5, section 5", power=1),
        "The log-likelihood is averaged over the pixels.",
        Mistake("mean-pixels", where="notebook 6, section 3", per_pixel=True),
        "The noise is not used: z is always the mean of q.",
        Mistake("noise-missing", where="notebook 5, section 2", noise=0),
        "This is an estimate of p(x); asked is its logarithm.",
        Mistake("not-log", then=torch.exp),
    ],
)
