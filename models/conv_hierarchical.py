"""Two levels of codes with convolutional nets: Tomczak and Welling 2018, arXiv:1705.07120, section 3.

The idea: as `hierarchical.py`, but for images, with nets that share their weights between places.
In the paper, convolutions are gated, and some keep the size (`nets.GatedConv`). Here each halves or
doubles it, which is faster.
"""

from probvae import VAE, Variant, guides, likelihoods, nets, priors


def conv_hierarchical(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    channels: tuple[int, ...] = (32, 64),
    between: tuple[int, ...] = (100,),
    components: int = 50,
) -> Variant:
    """Return a two-level VAE for binary images. ``between`` are the sizes of the nets of z1."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        prior=priors.TwoLevel(priors.VampPrior(components), nets.MLP(between)),
        posterior=guides.TwoLevelTopDown(nets.MLP(between)),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.Conv(channels),
        decoder=nets.ConvDecoder(channels[::-1]),
    )
    return Variant(model, epochs=100, batch_size=100)
