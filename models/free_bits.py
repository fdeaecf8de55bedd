"""The VAE with free bits, Kingma et al. 2016, arXiv:1606.04934, section 3 and appendix C.8.

The idea: the first lambda nats of each unit's KL are free, so that no unit collapses before the
decoder has learned to use it.
"""

from probvae import VAE, Variant, likelihoods, nets, objectives


def free_bits(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    lam: float = 0.25,
) -> Variant:
    """Return a VAE for binary data with ``lam`` free nats in each unit."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, objective=objectives.FreeBits(lam), epochs=100, batch_size=100)
