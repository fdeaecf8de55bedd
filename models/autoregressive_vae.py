"""The PixelVAE of Gulrajani et al. 2017, arXiv:1611.05013, with one level of latents.

The idea: given the code, each pixel depends on the pixels before it, through a few masked
convolutions that also see f(z), so that the code need only describe what is global. With fewer
layers the code holds more information.
"""

from probvae import VAE, Variant, likelihoods, nets


def autoregressive_vae(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    channels: tuple[int, ...] = (32, 32),
    kernel: int = 5,
    features: int = 4,
) -> Variant:
    """Return a VAE for binary images. A pixel sees ``features`` maps and the pixels before it."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Autoregressive(
            nets.MaskedConv(channels, kernel=kernel), features=features
        ),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
