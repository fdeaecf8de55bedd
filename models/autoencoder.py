"""The plain autoencoder, after Ghosh et al. 2020, arXiv:1903.12436, without their regularisers.

The idea: a code is one point and has no KL, so the reconstructions show what a VAE loses to its KL.
There is no density: log p(x) raises an error. To generate data, fit a prior to the codes afterwards
(``probvae.refit``).
"""

from probvae import VAE, Variant, guides, likelihoods, nets, objectives


def autoencoder(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
) -> Variant:
    """Return an autoencoder for binary data: cross-entropy, and no KL."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        posterior=guides.PointMass(),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, objective=objectives.ELBO(beta=0.0), epochs=100, batch_size=100)
