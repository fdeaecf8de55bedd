"""A committed rate, after the delta-VAE of Razavi et al. 2019, arXiv:1901.03416.

The idea: the prior's entries are correlated and the guide's are not, so that every q(z|x) is at
least delta nats away from the prior. The code cannot collapse under the plain ELBO.
"""

from probvae import VAE, Variant, likelihoods, nets, priors


def committed_rate(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    delta: float = 5.0,
) -> Variant:
    """Return a VAE for binary data whose KL is at least ``delta`` nats."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        prior=priors.AutoregressiveNormal(delta),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
