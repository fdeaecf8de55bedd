"""The conditional VAE: Sohn, Lee and Yan 2015; with labels also Kingma et al. 2014, arXiv:1406.5298.

The idea: what is known about a datum (here its class, one-hot) is told to encoder and decoder, so that
the code holds the rest (style) and a datum of any class can be asked for.
"""

from probvae import VAE, Variant, likelihoods, nets


def conditional(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    classes: int = 10,
) -> Variant:
    """Return the VAE for binary data given one of ``classes``, as a one-hot context."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        context_shape=(classes,),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
