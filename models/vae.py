"""The variational autoencoder of Kingma and Welling 2014, arXiv:1312.6114.

The idea: one net, the encoder, turns each x into a range of likely codes z, and a second net, the
decoder, turns a code back into x. Both learn together to make log p(x), the score of the data under
the model, as large as they can. Technically, both maximise one bound on log p(x) with the gradient of
a reparametrised draw of z.
"""

from probvae import VAE, Variant, likelihoods, nets


def vae(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 20,
    hidden: tuple[int, ...] = (500,),
) -> Variant:
    """Return a VAE for binary data: ReLU nets, a standard normal prior."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=128)
