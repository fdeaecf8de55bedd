"""The VAE with controlled capacity of Burgess et al. 2018, arXiv:1804.03599.

The idea: a price gamma on |KL - C| holds the KL at a capacity C that rises during training, so that
the code acquires one factor after another without the loss of accuracy that a constant beta causes.
"""

import optax

from probvae import VAE, Variant, likelihoods, nets, objectives


def capacity(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    capacity: float = 25.0,
    gamma: float = 30.0,
    steps: int = 2000,
) -> Variant:
    """Return a VAE for binary data whose KL rises to ``capacity`` nats in ``steps`` steps."""
    capacity_schedule = optax.linear_schedule(0.0, capacity, steps)
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(
        model, objective=objectives.Capacity(capacity_schedule, gamma=gamma), epochs=100, batch_size=100
    )
