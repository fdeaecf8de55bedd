"""The spread VAE of Zhang, Hayes, Bird, Habib and Barber 2020, arXiv:1811.08968.

The idea: the same noise, added to data and model, gives both a density, also for a deterministic
decoder and data on a surface, where no likelihood exists. The noisy distributions are equal only if
the distributions are.
"""

from probvae import VAE, Variant, data, likelihoods, nets


def spread(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    noise: float = 0.3,
) -> Variant:
    """Return a VAE with a deterministic decoder and noise of scale ``noise``, in the data's units."""
    likelihood = likelihoods.Spread(likelihoods.Delta(), noise=data.GaussianNoise(noise))
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihood,
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
