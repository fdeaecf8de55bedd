"""Data as the measures of this folder score them: checked, and with the likelihood's own noise."""

import jax
import numpy as np

from probvae.checks import check_key
from probvae.evidence import Batch, check_density
from probvae.fitted import Fitted
from probvae.typing import DataLike, RngKey


def observe(
    fitted: Fitted,
    x: DataLike,
    rng_key: RngKey,
    *,
    least: int = 1,
    guide: bool = True,
    fold: bool = True,
) -> Batch:
    """Check data, and apply the likelihood's own noise (``Spread``) once. Most likelihoods have none.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        least: the fewest rows that the measure can use.
        guide: whether the measure needs the density of the guide, too.
        fold: whether the key of the noise is ``fold_in(rng_key, n)``. You can then use ``rng_key``
            again for the rows, whose keys are ``fold_in(rng_key, 0)`` to ``fold_in(rng_key, n - 1)``.

    Raises:
        ValueError: for invalid data, too few rows, or a part that has no density.
    """
    check_key(rng_key)
    check_density(fitted.vae, guide=guide)
    data = fitted.check_data(x)
    n = len(data.x)
    if n < least:
        raise ValueError(f"x expects at least {least} rows here; got {n}. Use more data.")
    noise_key = jax.random.fold_in(rng_key, n) if fold else rng_key
    return data._replace(x=np.asarray(fitted.vae.observe(noise_key, data.x)))
