"""The beta-VAE of Higgins et al. 2017 (ICLR), explained by Burgess et al. 2018, arXiv:1804.03599.

The idea: if each nat of the KL costs beta > 1, the model spends nats only where they improve
reconstructions most, which favours codes of independent factors. The price is less accurate
reconstructions, and a value that is no longer a tight bound on log p(x).
"""

from probvae import VAE, Variant, likelihoods, nets, objectives


def beta_vae(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    beta: float = 4.0,
) -> Variant:
    """Return a VAE for binary data with the KL weighted by ``beta``."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, objective=objectives.ELBO(beta=beta), epochs=100, batch_size=100)
