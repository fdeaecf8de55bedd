"""A heavy-tailed prior, after Kim et al. 2024, arXiv:2312.01133 (t3VAE).

The idea: a code far from 0 costs log |z| under a t prior and z^2 / 2 under a normal, so that rare
data keep separate codes. In the paper p(x, z) is one joint t. Here only p(z) is a t, entry by
entry.
"""

from probvae import VAE, Variant, likelihoods, nets, priors


def student_t(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    nu: float = 5.0,
    start_scale: float = 0.3,
) -> Variant:
    """Return a VAE for real data with a t prior of ``nu`` degrees of freedom."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        prior=priors.StudentT(nu),
        likelihood=likelihoods.Gaussian(scale=likelihoods.LearnedScale(start=start_scale)),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
