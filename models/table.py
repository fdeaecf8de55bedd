"""A table of mixed columns: a likelihood for each column by its type, and a mask of missing cells."""

import optax

from probvae import VAE, Variant, data


def table(table: data.Table, *, latent_dim: int = 0) -> Variant:
    """Return a VAE for a table. ``latent_dim=0`` chooses the number of units by the columns."""
    return Variant(VAE.for_table(table, latent_dim=latent_dim or None), optimizer=optax.adam(1e-3))
