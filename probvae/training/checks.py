"""Everything that can be wrong with what `fit` is given, found before anything is compiled."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from probvae import inputs
from probvae.fields import check_function, shown
from probvae.inputs import check_key
from probvae.typing import Shape

MOST = 2**31


def check_options(vae: Any, rng_key: Any, optimizer: Any, epochs: Any, batch_size: Any) -> None:
    """Raise unless the options of ``fit`` are of their kinds."""
    check_vae("fit", vae)
    check_key(rng_key)
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            f"optimizer expects an optax optimizer such as optax.adam(1e-3); got {optimizer!r}."
        )
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        check_count(name, value)


def check_vae(name: str, vae: Any) -> None:
    """Raise unless ``vae`` is a VAE."""
    from probvae.vae import VAE

    if not isinstance(vae, VAE):
        raise TypeError(f"{name} expects a probvae.VAE; got {shown(vae)}.")


def checked_values(values: Any, like: Any) -> Any:
    """Return values by site; raise unless they are those of a fitted VAE's sites."""
    if not isinstance(values, Mapping) or values.keys() != like.keys():
        got = sorted(values) if isinstance(values, Mapping) else shown(values)
        raise ValueError(f"values expects one for each site, {sorted(like)}; got {got}.")
    return values


def check_fitted(fitted: Any) -> None:
    """Raise unless ``fitted`` is what ``fit`` returns."""
    from probvae.training.fitted import Fitted

    if not isinstance(fitted, Fitted):
        raise TypeError(f"fitted expects what fit(...) or load(...) returned; got {shown(fitted)}.")


def check_count(name: str, value: Any) -> None:
    """Raise unless ``value`` is a positive integer, of a size that an array can have."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} expects a positive integer; got {shown(value)}.")
    if value >= MOST:
        raise ValueError(f"{name} expects a positive integer below 2^31; got {value}. Take fewer.")


def check_draws(rng_key: Any, **counts: Any) -> None:
    """Raise unless there is a key, and each count of what is to be drawn is a positive integer."""
    check_key(rng_key)
    for name, count in counts.items():
        check_count(name, count)


def check_batch_size(batch_size: int, n: int) -> None:
    """Raise if a batch is larger than the data."""
    if batch_size > n:
        raise ValueError(
            f"batch_size={batch_size} is larger than the data, which have {n} rows: no batch would "
            f"ever be full. Take batch_size <= {n}."
        )


def checked_codes(z: Any, dim: int) -> Any:
    """Return codes ``(n, dim)``; raise for others, and where they are not finite."""
    codes = inputs.numbers("z", z)
    inputs.check_shape("z", codes.shape, (dim,), "latent_dim")
    _check_known("z", codes)
    return codes


def checked_ends(vae: Any, start: Any, end: Any, path: Any, context: Any) -> tuple:
    """Return the ends of a path as arrays, and what both are told; raise where they are not one row."""
    check_function("path", path, 0, 0, 0, such_as="paths.spherical")
    a, b = (_row(n, x, vae.event_shape, "event_shape") for n, x in (("start", start), ("end", end)))
    told = None if context is None else _row("context", context, vae.context_shape, "context_shape")
    return a, b, told


def _row(name: str, value: Any, shape: Shape, field: str) -> jax.Array:
    row = inputs.numbers(name, value)
    if row.shape != shape:
        raise ValueError(
            f"{name} has shape {row.shape}; expected one of shape {shape}, for {field}={shape}. "
            "Give one row and not a batch of them: x[0]."
        )
    return jnp.asarray(row)


def _check_known(name: str, array: Any) -> None:
    if array is not None and not isinstance(array, jax.core.Tracer):
        bad = ~np.isfinite(np.asarray(array).reshape(len(array), -1))
        if bad.any():
            raise ValueError(
                f"{name} holds {int(bad.sum())} values that are NaN or infinite, the first in row "
                f"{int(bad.any(axis=1).argmax())}; expected finite numbers. Drop those rows."
            )
