"""The sigma-VAE of Rybkin, Daniilidis and Levine 2021, arXiv:2006.13202.

The idea: the scale of the normal p(x|z) is at each step its maximum-likelihood value, the root mean
squared error, so that it needs neither tuning nor learning.
"""

from probvae import VAE, Variant, likelihoods, nets


def sigma_vae(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
) -> Variant:
    """Return the VAE with the analytic optimum as its scale."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Gaussian(scale=likelihoods.OptimalScale()),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
