"""Checks of exercises that say which mistake was made, not only that one was made."""

from vae_helpers.checks.engine.codes import CODES
from vae_helpers.checks.engine.report import Report
from vae_helpers.checks.parts.bernoulli import check_bernoulli
from vae_helpers.checks.parts.elbo.check import check_elbo
from vae_helpers.checks.parts.kl import check_kl
from vae_helpers.checks.parts.log_prob import check_log_prob
from vae_helpers.checks.parts.reparameterize import check_reparameterize

__all__ = [
    "CODES",
    "Report",
    "check_bernoulli",
    "check_elbo",
    "check_kl",
    "check_log_prob",
    "check_reparameterize",
]
