"""The VAE with a VampPrior, Tomczak and Welling 2018, arXiv:1705.07120.

The idea: the best prior for the ELBO is the average of q(z|x) over the data, and a mixture of
q(z|u_k) over a few learned pseudo-inputs u_k approximates it with the same encoder. Here, unlike in
the paper, the pseudo-inputs have their own learning rate: a few thousand small steps hardly move
them.
"""

import optax

from probvae import VAE, Variant, likelihoods, nets, priors


def vampprior(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    components: int = 50,
    pseudo_input_rate: float = 1e-2,
) -> Variant:
    """Return a VAE for binary data with ``components`` pseudo-inputs and gated nets."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        prior=priors.VampPrior(components=components),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.GatedMLP(hidden),
        decoder=nets.GatedMLP(hidden),
    )
    rates = {"prior": optax.adam(pseudo_input_rate), "nets": optax.adam(1e-3)}
    optimizer = optax.multi_transform(
        rates, lambda params: {k: "prior" if k.startswith("prior$") else "nets" for k in params}
    )
    return Variant(model, optimizer=optimizer, epochs=100, batch_size=100)
