"""The VAE, its objectives, training and evaluation, in PyTorch."""

from vae_helpers.models.evaluation import (
    active_units,
    elbo_quadrature,
    gaps,
    importance_bounds,
    log_evidence_iwae,
    log_evidence_quadrature,
    quadrature,
)
from vae_helpers.models.likelihoods import binarize
from vae_helpers.models.objectives import elbo, iwae, iwae_for_training, kl_standard_normal, log_weights
from vae_helpers.models.storage import load, save
from vae_helpers.models.training import History, fit, mean_elbo, observed
from vae_helpers.models.vae import VAE, reparameterize
