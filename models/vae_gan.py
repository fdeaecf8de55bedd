"""The VAE-GAN of Larsen et al. 2016, arXiv:1512.09300.

The idea: the features of a discriminator, which learns to tell data from reconstructions and
samples, replace the pixels in the comparison of reconstructions. An error per pixel favours the
mean of all plausible images, which is blurred, and a discriminator recognises blur. It is not a
bound on log p(x).
"""

import jax
import optax

from probvae import VAE, Variant, likelihoods, nets, objectives


def vae_gan(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    features: float = 30.0,
    adversary: float = 1.0,
    discriminator: tuple[int, ...] = (256,),
    rate: float = 1e-3,
    discriminator_rate: float = 1e-3,
) -> Variant:
    """Return a VAE for real data whose likelihood is a distance in a discriminator's features."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Gaussian(scale=likelihoods.FixedScale(0.3)),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    rates = {"VAE": optax.adam(rate, b1=0.5), "D": optax.adam(discriminator_rate, b1=0.5)}
    optimizer = optax.multi_transform(
        rates, lambda params: {k: "D" if k.startswith("objective$") else "VAE" for k in params}
    )
    judge = objectives.Discriminator(nets.MLP(discriminator, jax.nn.leaky_relu))
    game = objectives.AdversarialELBO(features, adversary, discriminator=judge)
    return Variant(model, objective=game, optimizer=optimizer, epochs=100, batch_size=100)
