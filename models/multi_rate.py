"""The multi-rate VAE of Bae et al. 2022, arXiv:2212.03905.

The idea: each datum draws its own beta, which encoder and decoder see, so that one model covers
every beta and one fit gives a whole rate-distortion curve. In the paper log beta gates every layer.
Here it is one more input of both nets.
"""

from probvae import VAE, Variant, likelihoods, nets, objectives


def multi_rate(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    low: float = 0.01,
    high: float = 10.0,
) -> Variant:
    """Return a VAE for binary data whose context is log beta, from log ``low`` to log ``high``."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        context_shape=(1,),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, objective=objectives.MultiRate(low, high), epochs=100, batch_size=100)
