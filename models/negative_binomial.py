"""A VAE for counts, after scVI: Lopez et al. 2018, Nature Methods 15:1053; preprint arXiv:1709.02082.

The idea: counts of one mean vary more than a Poisson's; the negative binomial has that variance as a
parameter, learned for each entry. The encoder sees log(1 + x). (scVI's library size: ``LibrarySize``.)
"""

import jax.numpy as jnp

from probvae import VAE, Variant, likelihoods, nets


def negative_binomial(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 10,
    hidden: tuple[int, ...] = (128,),
) -> Variant:
    """Return the VAE for counts."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.NegativeBinomial(),
        encoder=nets.InputTransform(nets.MLP(hidden), jnp.log1p),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
