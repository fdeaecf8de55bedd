"""The linear VAE: probabilistic PCA, Tipping and Bishop 1999, and Lucas et al. 2019, arXiv:1911.02469.

The idea: without hidden layers, a VAE is principal component analysis (PCA) with noise, whose best
solution is known exactly. With affine nets and one learned scale, log p(x) has a closed form and the
ELBO no spurious maxima. You can therefore separate errors of inference from limits of the model.
"""

import optax

from probvae import VAE, Variant, likelihoods, nets


def linear_vae(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 2,
    start_scale: float = 0.5,
) -> Variant:
    """Return probabilistic PCA as a VAE. sigma starts at ``start_scale`` in the data's units."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Gaussian(scale=likelihoods.LearnedScale(start=start_scale)),
        encoder=nets.Linear(),
        decoder=nets.Linear(),
    )
    return Variant(model, optimizer=optax.adam(1e-2), epochs=100, batch_size=100)
