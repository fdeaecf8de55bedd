"""The FactorVAE of Kim and Mnih 2018, arXiv:1802.05983.

The idea: codes whose units are independent are worth a price on their dependence alone (the total
correlation), not on what they say about x; a net that learns to tell codes from codes whose units were
exchanged between data estimates it. (The paper's has six layers of 1000; its images are larger.)
"""

import jax
import optax

from probvae import VAE, Variant, likelihoods, nets, objectives


def factor_vae(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    gamma: float = 10.0,
    discriminator: tuple[int, ...] = (300, 300, 300),
    rate: float = 1e-3,
    discriminator_rate: float = 1e-3,
) -> Variant:
    """Return the VAE for binary data with ``gamma`` as the price of total correlation."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    rates = {"VAE": optax.adam(rate), "D": optax.adam(discriminator_rate, b1=0.5, b2=0.9)}
    optimizer = optax.multi_transform(
        rates, lambda params: {k: "D" if k.startswith("objective$") else "VAE" for k in params}
    )
    judge = nets.MLP(discriminator, jax.nn.leaky_relu)
    objective = objectives.FactorVAE(gamma, discriminator=judge)
    return Variant(model, objective=objective, optimizer=optimizer, epochs=100, batch_size=100)
