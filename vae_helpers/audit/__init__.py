"""Is a VAE right? One call that reads the number which it logs, and measures the model."""

from vae_helpers.audit.adapters import (
    course_vae,
    keras_pair,
    lightning,
    pyro_pair,
    pytorch_example,
    pytorch_vae,
)
from vae_helpers.audit.bounds import bracket
from vae_helpers.audit.calibration import pareto_k
from vae_helpers.audit.report import Audit, Check, Figure
from vae_helpers.audit.run import audit

__all__ = [
    "Audit",
    "Check",
    "Figure",
    "audit",
    "bracket",
    "course_vae",
    "keras_pair",
    "lightning",
    "pareto_k",
    "pyro_pair",
    "pytorch_example",
    "pytorch_vae",
]
