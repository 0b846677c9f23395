"""One check for each part of a VAE."""
