"""Checks of exercises that say which mistake was made, not only that one was made."""

from vae_helpers.checks.bernoulli import check_bernoulli
from vae_helpers.checks.codes import CODES
from vae_helpers.checks.elbo import check_elbo
from vae_helpers.checks.kl import check_kl
from vae_helpers.checks.log_prob import check_log_prob
from vae_helpers.checks.reparameterize import check_reparameterize
from vae_helpers.checks.report import Report

__all__ = [
    "CODES",
    "Report",
    "check_bernoulli",
    "check_elbo",
    "check_kl",
    "check_log_prob",
    "check_reparameterize",
]
