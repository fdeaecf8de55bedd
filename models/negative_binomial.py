"""A VAE for counts, after scVI: Lopez et al. 2018, Nature Methods 15:1053, preprint arXiv:1709.02082.

The idea: the variance of counts often exceeds their mean, and the negative binomial has a parameter
for it, learned for each entry. The encoder sees log(1 + x). (For scVI's library size, use
``LibrarySize``.)
"""

import jax.numpy as jnp

from probvae import VAE, Variant, likelihoods, nets


def negative_binomial(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 10,
    hidden: tuple[int, ...] = (128,),
) -> Variant:
    """Return a VAE for counts."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.NegativeBinomial(),
        encoder=nets.InputTransform(nets.MLP(hidden), jnp.log1p),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
