"""Latent space: active units, ELBO decomposition, disentanglement."""
