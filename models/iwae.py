"""The importance-weighted autoencoder of Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519.

The idea: the log of a mean of K importance weights is a bound on log p(x) that increases with K,
and q need only cover the posterior, not equal it. The encoder's gradient is DReG
(arXiv:1810.04152), whose signal does not vanish as K grows.
"""

from probvae import VAE, Variant, likelihoods, nets, objectives


def iwae(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    num_particles: int = 10,
) -> Variant:
    """Return a VAE for binary data, trained with the bound of ``num_particles`` draws."""
    bound = objectives.IWAE(num_particles, estimator=objectives.DReG())
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, objective=bound, epochs=100, batch_size=100)
