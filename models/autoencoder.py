"""The plain autoencoder, as baseline: Ghosh et al. 2020, arXiv:1903.12436, without its regularisers.

The idea: a code is one point and costs nothing, so that nothing is lost to noise, and nothing says how
likely a datum or a code is: log p(x) is refused, and to generate, a prior is fitted to the codes
afterwards (``probvae.refit``). What the VAE's reconstructions lack against these is the KL's price.
"""

from probvae import VAE, Variant, guides, likelihoods, nets, objectives


def autoencoder(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
) -> Variant:
    """Return the autoencoder for binary data: cross-entropy, and no KL."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        posterior=guides.PointMass(),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, objective=objectives.ELBO(beta=0.0), epochs=100, batch_size=100)
