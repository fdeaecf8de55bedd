"""Everything that can be wrong with what `fit` is given, found before anything is compiled."""

from typing import Any

import optax

from probvae.checks import check_key, check_positive_integer
from probvae.vae import check_vae


def check_options(vae: Any, rng_key: Any, optimizer: Any, epochs: Any, batch_size: Any) -> None:
    """Raise unless the options of ``fit`` are of their kinds."""
    check_vae("fit", vae)
    check_key(rng_key)
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            f"optimizer expects an optax optimizer such as optax.adam(1e-3); got {optimizer!r}."
        )
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        check_positive_integer(name, value)


def check_batch_size(batch_size: int, n: int) -> None:
    """Raise if a batch is larger than the data."""
    if batch_size > n:
        raise ValueError(
            f"batch_size={batch_size} is larger than the data, which have {n} rows: no batch would "
            f"ever be full. Take batch_size <= {n}."
        )
