"""The semi-amortized VAE of Kim et al. 2018, arXiv:1802.02550.

The idea: a few gradient steps on the datum's own ELBO improve the encoder's q(z|x), and training
differentiates through these steps. What the encoder cannot express is then not lost.
"""

from probvae import VAE, Variant, guides, likelihoods, nets


def semi_amortized(
    event_shape: tuple[int, ...],
    *,
    latent_dim: int = 16,
    hidden: tuple[int, ...] = (300, 300),
    steps: int = 5,
) -> Variant:
    """Return a VAE for binary data with ``steps`` inner steps for each datum."""
    model = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        posterior=guides.SemiAmortized(steps=steps),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
    return Variant(model, epochs=100, batch_size=100)
