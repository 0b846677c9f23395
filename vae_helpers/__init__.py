"""Helpers of the course on variational autoencoders: numerics, models, pictures, widgets and checks.

Import the module that you need (`from vae_helpers import gaussian`): nothing is imported here,
so that the NumPy notebooks start without PyTorch.
"""

__version__ = "0.5.0"
