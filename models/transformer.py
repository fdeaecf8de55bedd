"""A VAE of vision transformers, Dosovitskiy et al. 2021, arXiv:2010.11929.

The idea: an image is a sequence of patches that attend to each other, with weights that patches
share. The size of the nets therefore depends on the features per patch, and not on the image.
"""

from probvae import VAE, Variant, likelihoods, nets


def transformer(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    patch: int = 2,
    hidden: int = 64,
    depth: int = 2,
    heads: int = 4,
) -> Variant:
    """Return a VAE for binary images. ``patch`` divides their sides."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.Transformer(patch, hidden, depth, heads),
        decoder=nets.TransformerDecoder(patch, hidden, depth, heads),
    )
    return Variant(model, epochs=100, batch_size=100)
