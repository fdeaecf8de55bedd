"""A VAE on the sphere: Davidson et al. 2018, arXiv:1804.00891 (power spherical: arXiv:2006.04437).

The idea: codes are directions, |z| = 1, with a uniform prior, which has no centre that attracts all
codes. This suits data on loops, and comparisons by angle.
"""

from probvae import VAE, Variant, guides, likelihoods, nets, priors


def spherical(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
) -> Variant:
    """Return a VAE for binary data with codes on the unit sphere in ``latent_dim`` dimensions."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        prior=priors.UniformSphere(),
        posterior=guides.PowerSpherical(),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
