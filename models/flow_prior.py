"""The VAE with a flow as its prior, Chen et al. 2017, arXiv:1611.02731 (couplings: arXiv:1605.08803).

The idea: the prior is a learned, invertible map of the standard normal, so it takes the shape of
the codes of all data. The KL becomes smaller, and samples come from where codes are.
"""

from probvae import VAE, Variant, flows, likelihoods, nets, priors


def flow_prior(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    depth: int = 4,
    coupling: tuple[int, ...] = (100,),
) -> Variant:
    """Return a VAE for binary data with ``depth`` coupling layers, of hidden sizes ``coupling``."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        prior=priors.Flow(flows.Coupling(nets.MLP(coupling)), depth=depth),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
