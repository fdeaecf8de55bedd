"""KL annealing, Bowman et al. 2016, arXiv:1511.06349.

The idea: the weight of the KL rises from 0 to 1, so that the decoder first learns to use the code.
With the full KL from the start, a code that carries no information yet costs as much as ever, and
the model gives it up. The last steps maximise the plain ELBO.
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
    """Return a VAE for binary data whose KL has its full weight after ``steps`` steps."""
    weight = optax.linear_schedule(0.0, 1.0, steps)
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, objective=objectives.ELBO(beta=weight), epochs=100, batch_size=100)
