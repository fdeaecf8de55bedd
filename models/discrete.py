"""A VAE with a code of bits, after Mnih and Gregor 2014, arXiv:1402.0030.

The idea: each code is a few bits, and the ELBO sums over all 2^D codes (D at most 10), weighted by
q. Draws of bits have no gradient, so the paper estimates one with the score function. The sum needs
no draws.
"""

from probvae import VAE, Variant, guides, likelihoods, nets, priors


def discrete(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 8,
    hidden: tuple[int, ...] = (300, 300),
) -> Variant:
    """Return a VAE for binary data with ``latent_dim`` bits, each with a learned probability."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        prior=priors.Bernoulli(learned=True),
        posterior=guides.Bernoulli(),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
