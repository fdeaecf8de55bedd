"""A small model for a run that an earlier version saved."""

from probvae import VAE, nets


def tiny(event_shape, *, latent_dim: int = 2, hidden: tuple[int, ...] = (4,)):
    """Return a small VAE."""
    return VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        encoder=nets.MLP(hidden),
        decoder=nets.MLP(hidden),
    )
