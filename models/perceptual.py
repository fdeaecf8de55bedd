"""The deep feature consistent VAE of Hou et al. 2017, arXiv:1610.00291, with fixed features.

The idea: reconstructions are compared by features of neighbourhoods, as an eye would, and not pixel
by pixel. The paper uses layers of a trained VGG net. To need no download, this model uses the edges
at three scales, and a coarse image. You can use any function: ``PerceptualDistance(lambda x:
net(x))``.
"""

import jax
import jax.numpy as jnp

from probvae import VAE, Variant, likelihoods, nets


def _edges(x: jax.Array) -> list[jax.Array]:
    """Return squashed differences of neighbours down and across at three scales, and a coarse image."""
    edges = []
    for _ in range(3):
        for steps in (jnp.diff(x, axis=1), jnp.diff(x, axis=2)):
            edges.append(jnp.tanh(4 * steps))
        x = (x[:, 1:] + x[:, :-1])[:, ::2] / 2
        x = (x[:, :, 1:] + x[:, :, :-1])[:, :, ::2] / 2
    return [*edges, x]


def perceptual(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    scale: float = 0.6,
) -> Variant:
    """Return a VAE for images whose likelihood is a distance of edges, in units of ``scale``."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.PerceptualDistance(_edges, scale=scale),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
