"""The check of an ELBO: its formula, its sampling, and its use of a model."""
