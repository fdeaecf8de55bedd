"""A table of mixed columns, after HI-VAE: Nazabal et al. 2020, arXiv:1807.03653.

The idea: each column has a likelihood of its own type, log p(x) is per row in the units of the file,
and missing cells are a mask. Here the nets have an affine part, which alone is factor analysis.
"""

from probvae import VAE, Variant, data, recommend_training


def table(table: data.Table, *, latent_dim: int = 0) -> Variant:
    """Return a VAE for a table. ``latent_dim=0`` chooses the number of units by the columns."""
    return recommend_training(VAE.for_table(table, latent_dim=latent_dim or None), table)
