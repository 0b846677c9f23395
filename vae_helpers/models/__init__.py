"""The VAE, its objectives, training and evaluation, in PyTorch."""

from vae_helpers.models.data import binarize, load_idx
from vae_helpers.models.evaluation import (
    active_units,
    gaps,
    importance_bounds,
    log_evidence_iwae,
    log_evidence_quadrature,
    quadrature,
)
from vae_helpers.models.objectives import elbo, iwae, iwae_for_training, kl_standard_normal, log_weights
from vae_helpers.models.storage import load, save
from vae_helpers.models.training import History, fit, mean_elbo, observed
from vae_helpers.models.vae import VAE, reparameterize

__all__ = [
    "VAE",
    "History",
    "active_units",
    "binarize",
    "elbo",
    "fit",
    "gaps",
    "importance_bounds",
    "iwae",
    "iwae_for_training",
    "kl_standard_normal",
    "load",
    "load_idx",
    "log_evidence_iwae",
    "log_evidence_quadrature",
    "log_weights",
    "mean_elbo",
    "observed",
    "quadrature",
    "reparameterize",
    "save",
]
