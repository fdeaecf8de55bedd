"""Data as a measure takes them: checked, and with the likelihood's own noise."""

from typing import Any

import jax

from probvae.checks import check_key
from probvae.evidence import Batch, check_density
from probvae.fitted import Fitted
from probvae.typing import RngKey


def apply_noise(fitted: Fitted, x: Any, rng_key: RngKey, *, least: int = 1) -> Batch:
    """Return checked data, seen once through the likelihood's own noise; raise for too few.

    Raises:
        ValueError: for data that do not fit or are too few, or a part that is no density.
    """
    check_key(rng_key)
    check_density(fitted.vae)
    data = fitted.check_data(x)
    if len(data.x) < least:
        raise ValueError(f"x expects at least {least} data here; got {len(data.x)}. Give more of them.")
    return data._replace(x=fitted.vae.observe(jax.random.fold_in(rng_key, len(data.x)), data.x))
