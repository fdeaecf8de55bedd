"""The VAE for data in [0, 1] of Loaiza-Ganem and Cunningham 2019, arXiv:1907.06845.

The idea: a normalising constant, a function of the decoder's output, turns the Bernoulli formula
into a density on [0, 1]. Without it, the formula does not integrate to 1 for grey levels, and
"bounds" on it have no meaning.
"""

from probvae import VAE, Variant, likelihoods, nets


def continuous_bernoulli(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
) -> Variant:
    """Return a VAE for grey levels in [0, 1]."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.ContinuousBernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
