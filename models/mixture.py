"""Clusters by a mixture prior, after Jiang et al. 2017, arXiv:1611.05148 (VaDE).

The idea: p(z) is a learned mixture of normals, so that data form clusters without labels.
``fitted.responsibilities(x)`` is p(component | x). In the paper the prior starts from a pretrained
model. Here it has its own learning rate instead.
"""

import optax

from probvae import VAE, Variant, likelihoods, nets, priors


def mixture(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 10,
    hidden: tuple[int, ...] = (300, 300),
    components: int = 10,
    prior_rate: float = 1e-2,
) -> Variant:
    """Return a VAE for binary data with ``components`` clusters."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        prior=priors.GaussianMixture(components),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    rates = {"prior": optax.adam(prior_rate), "nets": optax.adam(1e-3)}
    optimizer = optax.multi_transform(
        rates, lambda params: {k: "prior" if k.startswith("prior$") else "nets" for k in params}
    )
    return Variant(model, optimizer=optimizer, epochs=100, batch_size=100)
