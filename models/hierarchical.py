"""Two levels of codes with a VampPrior on top: Tomczak and Welling 2018, arXiv:1705.07120, section 3.

The idea: p(z1 | z2) is learned, so that the code next to the data need not be normal, and the top
prior is a mixture of q(z2 | x) at pseudo-inputs, which keeps the top code in use. The guide is
top-down (Sonderby et al. 2016, arXiv:1602.02282): q(z2 | x) q(z1 | x, z2).
"""

from probvae import VAE, Variant, guides, likelihoods, nets, priors


def hierarchical(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    between: tuple[int, ...] = (100,),
    components: int = 50,
) -> Variant:
    """Return a two-level VAE for binary data. ``between`` are the sizes of the nets of z1."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        prior=priors.TwoLevel(priors.VampPrior(components), nets.MLP(between)),
        posterior=guides.TwoLevelTopDown(nets.MLP(between)),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
