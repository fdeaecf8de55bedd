"""The transformer VAE of faces of a tutorial (Frans, github.com/kvfrans/notes), after arXiv:2010.11929.

The idea: patches that attend to each other encode a face as 64 numbers, through one learned token,
and decode it from them, and the decoder returns a scale for each pixel in addition to its mean. The
tutorial's own loss is not a bound. ``inference/celebahq.py`` compares with it.
"""

import optax

from probvae import VAE, Variant, likelihoods, nets


def transformer_vae(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 64,
    patch: int = 8,
    hidden: int = 256,
    depth: int = 4,
    heads: int = 4,
) -> Variant:
    """Return a VAE for images in [0, 1], 64 x 64 by default. ``patch`` divides their sides."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Gaussian(scale=likelihoods.PixelScale()),
        encoder=nets.Transformer(patch, hidden, depth, heads),
        decoder=nets.TransformerDecoder(patch, hidden, depth, heads),
    )
    return Variant(model, optimizer=optax.adam(3e-4), epochs=225, batch_size=64)
