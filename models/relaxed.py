"""A VAE with relaxed bits: Maddison et al. 2017, arXiv:1611.00712. Jang et al. 2017, arXiv:1611.01144.

The idea: a logistic draw divided by a temperature has a sigmoid that is nearly a bit, and that has
a gradient. Prior and guide are densities of the relaxed code, so the ELBO is exact for the relaxed
model.
"""

from probvae import VAE, Variant, guides, likelihoods, nets, priors


def relaxed(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (300, 300),
    prior_temperature: float = 0.5,
    temperature: float = 2 / 3,
) -> Variant:
    """Return a VAE for binary data with ``latent_dim`` relaxed bits, at the paper's temperatures."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        prior=priors.RelaxedBernoulli(temperature=prior_temperature),
        posterior=guides.RelaxedBernoulli(temperature),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
