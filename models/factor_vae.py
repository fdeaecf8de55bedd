"""The FactorVAE of Kim and Mnih 2018, arXiv:1802.05983.

The idea: only the dependence between the units of the code (the total correlation) has an extra
price, and a discriminator estimates it. The discriminator learns to tell codes from codes whose
units were permuted between data. (The paper's has six layers of 1000, for larger images.)
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
    """Return a VAE for binary data with ``gamma`` as the price of total correlation."""
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
