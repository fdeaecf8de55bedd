"""The InfoVAE (MMD-VAE) of Zhao, Song and Ermon 2019, arXiv:1706.02262.

The idea: the KL of each datum penalises the information in its code, so the MMD-VAE (alpha = 1)
drops the KL and matches only the codes of all data together to the prior, by the maximum mean
discrepancy.
"""

from probvae import VAE, Variant, likelihoods, nets, objectives


def info_vae(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 8,
    hidden: tuple[int, ...] = (300, 300),
    lam: float = 100.0,
) -> Variant:
    """Return a VAE for binary data with the MMD weighted by ``lam``."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, objective=objectives.InfoVAE(lam=lam), epochs=100, batch_size=100)
