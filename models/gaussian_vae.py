"""A VAE for real-valued data, after Kingma and Welling 2014, arXiv:1312.6114.

The idea: p(x|z) is normal, and its scale, one number, is learned with the nets. The weight of the
log-likelihood against the KL is therefore estimated, and you need not choose it.
"""

from probvae import VAE, Variant, likelihoods, nets


def gaussian_vae(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    start_scale: float = 0.3,
) -> Variant:
    """Return a VAE with one learned scale, which starts at ``start_scale`` in the data's units."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Gaussian(scale=likelihoods.LearnedScale(start=start_scale)),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
