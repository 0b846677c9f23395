"""A VAE that is trained in the page, beside the exact log p(x)."""
