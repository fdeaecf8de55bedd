"""A VAE with the absolute error, after Kingma and Welling 2014, arXiv:1312.6114, section 2.4.

The idea: under a Laplace p(x|z) the decoder returns a median instead of a mean, so that a few
extreme values have little influence. It is the L1 loss with its constant and its scale, in nats.
"""

from probvae import VAE, Variant, likelihoods, nets


def laplace(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    start_scale: float = 0.3,
) -> Variant:
    """Return a VAE with one learned scale b, which starts at ``start_scale`` in the data's units."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Laplace(likelihoods.LearnedScale(start=start_scale)),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
