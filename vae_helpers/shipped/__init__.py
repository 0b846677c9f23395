"""What is on disk with the course, images and trained models, and the commands that make the models."""

from vae_helpers.shipped.burda import load_log, load_test_nll, load_trained
from vae_helpers.shipped.images import FASHION, load_idx, load_mnist
from vae_helpers.shipped.mistakes import load_mistakes
from vae_helpers.shipped.pretrained import BETAS, LATENT_DIMS, RECIPES, REMEDIES, SEEDS, load_pretrained
from vae_helpers.shipped.spread import SPREAD_SEEDS, load_spread
