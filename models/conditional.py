"""The conditional VAE: Sohn, Lee and Yan 2015, and with labels Kingma et al. 2014, arXiv:1406.5298.

The idea: encoder and decoder see a context (here the class, one-hot), so that the code holds the
rest (style) and you can generate data of any class.
"""

from probvae import VAE, Variant, likelihoods, nets


def conditional(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    classes: int = 10,
) -> Variant:
    """Return a VAE for binary data given one of ``classes``, as a one-hot context."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        context_shape=(classes,),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
