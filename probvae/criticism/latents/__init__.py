"""Measures of the latent space: active units, ELBO decomposition, prior gap, disentanglement."""
