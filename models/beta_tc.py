"""The beta-TCVAE of Chen et al. 2018, arXiv:1802.04942.

The idea: the KL is a sum of the information in the code, the dependence between its units (total
correlation), and a KL per unit, and only the dependence is weighted by beta.
"""

from probvae import VAE, Variant, likelihoods, nets, objectives


def beta_tc(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    beta: float = 6.0,
) -> Variant:
    """Return a VAE for binary data with the total correlation weighted by ``beta``."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, objective=objectives.BetaTC(beta), epochs=100, batch_size=100)
