"""KL annealing, Bowman et al. 2016, arXiv:1511.06349.

The idea: at the start a code says nothing and its KL costs the same as ever, so that it is given up;
with a weight that rises from 0 to 1 the decoder first learns to use it. The end is the plain ELBO.
"""

import optax

from probvae import VAE, Variant, likelihoods, nets, objectives


def annealed(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    steps: int = 2000,
) -> Variant:
    """Return the VAE for binary data whose KL has its full weight after ``steps`` steps."""
    weight = optax.linear_schedule(0.0, 1.0, steps)
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, objective=objectives.ELBO(beta=weight), epochs=100, batch_size=100)
