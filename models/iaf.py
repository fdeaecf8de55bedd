"""The VAE with inverse autoregressive flow of Kingma et al. 2016, arXiv:1606.04934.

The idea: a normal draw passes through invertible autoregressive layers that depend on x, so that
q(z|x) can be correlated and skewed. A draw and its density take one pass.
"""

from probvae import VAE, Variant, flows, guides, likelihoods, nets


def iaf(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    depth: int = 2,
    made: tuple[int, ...] = (320,),
) -> Variant:
    """Return a VAE for binary data with ``depth`` flow layers of hidden sizes ``made``."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        posterior=guides.Flow(flows.Autoregressive(made), depth=depth),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
