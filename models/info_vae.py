"""The InfoVAE (MMD-VAE) of Zhao, Song and Ermon 2019, arXiv:1706.02262.

The idea: a KL for each datum charges the code for what it says about x. Without it (alpha = 1) all
codes together are held to the prior, by the maximum mean discrepancy, and say what they can.
"""

from probvae import VAE, Variant, likelihoods, nets, objectives


def info_vae(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 8,
    hidden: tuple[int, ...] = (300, 300),
    lam: float = 100.0,
) -> Variant:
    """Return the VAE for binary data with the MMD weighted by ``lam``."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, objective=objectives.InfoVAE(lam=lam), epochs=100, batch_size=100)
