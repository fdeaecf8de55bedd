"""The sigma-VAE of Rybkin, Daniilidis and Levine 2021, arXiv:2006.13202.

The idea: at each step, the scale of the normal p(x|z) is its maximum-likelihood value, the root
mean squared error. It needs neither tuning nor learning.
"""

from probvae import VAE, Variant, likelihoods, nets


def sigma_vae(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
) -> Variant:
    """Return a VAE with the analytic optimum as its scale."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Gaussian(scale=likelihoods.OptimalScale()),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
