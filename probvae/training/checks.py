"""Everything that can be wrong with what `fit` is given, found before anything is compiled."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from probvae import inputs
from probvae.data import Cast
from probvae.evidence import Batch
from probvae.fields import check_function, shown
from probvae.inputs import check_key
from probvae.training.in_support import check_observation, check_values
from probvae.typing import Shape

MOST = 2**31
AS_IT_IS = Cast()


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


def checked_batch(vae: Any, given: Any, name: str, observation: Any) -> Batch:
    """Return data as a ``Batch`` that fits the VAE: shape, dtype, finiteness, range."""
    batch = given if isinstance(given, Batch) else Batch(given)
    x = _checked_array(vae, batch.x, name)
    inputs.check_shape(name, x.shape, vae.event_shape, "event_shape")
    check_observation(observation, x)
    mask = None if batch.mask is None else _checked_mask(batch.mask, f"{name} mask")
    told = None if batch.context is None else inputs.numbers(f"{name} context", batch.context)
    some: Any = (x, told, mask)
    inputs.checked(vae, *(a[:1] if np.ndim(a) else a for a in some))
    for what, array in (("context", told), ("mask", mask)):
        if array is not None and len(array) != len(x):
            raise ValueError(
                f"{name}: {what} has {len(array)} rows and x has {len(x)}; give one per datum."
            )
    context = None if told is None else _finite(np.asarray(told), f"{name} context")
    _check_labels(vae, context)
    x = np.where(mask, x, np.asarray(vae.likelihood.fill, x.dtype)) if mask is not None else x
    check_values(vae, _finite(x, name), mask, name, observation)
    return Batch(x, context, mask)


def checked_context(vae: Any, context: Any) -> jax.Array | None:
    """Return the context to generate with, as an array; None without one."""
    rows = inputs.checked_context(vae, context, None)
    _check_labels(vae, rows)
    _check_known("context", rows)
    return rows


def checked_inputs(vae: Any, x: Any, context: Any, mask: Any) -> tuple[Any, Any, Any]:
    """Return (x, context, mask) as ``inputs.checked`` does; what is not traced is finite, too."""
    if mask is not None and not isinstance(mask, jax.core.Tracer):
        mask = _checked_mask(mask, "mask")
    found = inputs.checked(vae, x, context, mask)
    for name, array in zip(("x", "context"), found, strict=False):
        _check_known(name, array)
    return found


def checked_codes(z: Any, dim: int) -> Any:
    """Return codes ``(n, dim)``; raise for others, and where they are not finite."""
    codes = inputs.shaped("z", z, (dim,), "latent_dim")
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
        _finite(np.asarray(array), name)


def _check_labels(vae: Any, context: Any) -> None:
    """Raise unless a context that is what is known of a discrete site is one-hot, or zeros."""
    if context is None or not vae.prior.observes_context:
        return
    rows = np.asarray(context)
    odd = ~((rows == 0) | (rows == 1)).all(-1) | (rows.sum(-1) > 1)
    if odd.any():
        row = int(odd.argmax())
        raise ValueError(
            f"the prior {type(vae.prior).__name__} reads labels from the context: each row is one-hot, "
            f"or zeros where the label is not known; got {rows[row]} in row {row}. Take "
            "np.eye(classes)[label], times 0 where there is none."
        )


def checked_missing(vae: Any, x: Any, context: Any, mask: Any) -> Batch:
    """Return data with missing entries as a ``Batch`` that fits; what stands there is not looked at."""
    mask, x = _checked_mask(mask, "mask"), np.asarray(inputs.numbers("x", x))
    for name, array in (("mask", mask), ("x", x)):
        inputs.check_shape(name, array.shape, vae.event_shape, "event_shape")
    if len(mask) != len(x):
        raise ValueError(f"mask has {len(mask)} rows and x has {len(x)}; give one per datum.")
    seen = np.where(mask, x, vae.likelihood.fill)
    return checked_batch(vae, Batch(seen, context, mask), "x", AS_IT_IS)


def _checked_array(vae: Any, value: Any, name: str) -> np.ndarray:
    if value is None or isinstance(value, str | dict):
        raise TypeError(f"{name} expects an array (n, *event_shape); got {value!r}.")
    x = np.asarray(inputs.numbers(name, value))
    if x.size == 0 or x.ndim == 0:
        raise ValueError(
            f"{name} expects at least one datum of shape {vae.event_shape}; got shape {x.shape}."
        )
    return in_precision(x)


def in_precision(x: np.ndarray) -> np.ndarray:
    """Return float64 as float32, where that is what JAX computes in."""
    return x.astype(np.float32) if x.dtype == np.float64 and jnp.zeros(()).dtype == np.float32 else x


def _checked_mask(mask: Any, name: str) -> np.ndarray:
    found = np.asarray(inputs.numbers(name, mask))
    if not ((found == 0) | (found == 1)).all():
        raise ValueError(
            f"{name} expects True where x is observed and False where not; got other numbers. Take "
            "np.isfinite(x), or mask > 0."
        )
    return found.astype(bool)


def _finite(x: np.ndarray, name: str) -> np.ndarray:
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row = int(np.argmax(~np.isfinite(x.reshape(len(x), -1)).all(axis=1)))
        count = int((~np.isfinite(x)).sum())
        raise ValueError(
            f"{name} holds {count} values that are NaN or infinite, the first in row {row}; expected "
            "finite numbers. Drop or fill them, or say that they are missing: Batch(x, mask=...)."
        )
    return x
