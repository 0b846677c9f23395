"""Helpers of the course on variational autoencoders. Each folder is a layer:

numerics, models, shipped, pictures, experiments, widgets, checks, audit, classroom, site. A layer imports
from those before it in this list. Import the layer that you need (`from vae_helpers.numerics import
gaussian`): nothing is imported here, so that the NumPy notebooks start without PyTorch.
"""

__version__ = "1.0.0"
