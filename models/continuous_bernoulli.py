"""The VAE for data in [0, 1] of Loaiza-Ganem and Cunningham 2019, arXiv:1907.06845.

The idea: the Bernoulli formula on grey levels is no density, since it does not integrate to 1; with
its normalising constant, a function of the decoder's output, it is, and bounds on it mean something.
"""

from probvae import VAE, Variant, likelihoods, nets


def continuous_bernoulli(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
) -> Variant:
    """Return the VAE for grey levels in [0, 1]."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.ContinuousBernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
