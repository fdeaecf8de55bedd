"""What goes into the programs and into the nets: checked, filled, and joined."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from probvae.fields import shown
from probvae.typing import Shape


def checked(vae: Any, x: Any, context: Any, mask: Any) -> tuple[Any, Any, Any]:
    """Return (x, context, mask) as arrays: shapes checked, x real and filled where it is missing.

    Raises:
        ValueError: for a wrong shape, a context that is missing or unasked for, a mask without x.
    """
    x = None if x is None else _floating(shaped("x", x, vae.event_shape, "event_shape"))
    context = checked_context(vae, context, x)
    if mask is None:
        return x, context, None
    if x is None:
        raise ValueError("a mask says which entries of x are observed; got a mask and no x.")
    mask = shaped("mask", mask, vae.event_shape, "event_shape").astype(bool)
    _same_batch("mask", mask, x)
    if not vae.likelihood.factorises:
        raise ValueError(
            f"the likelihood {type(vae.likelihood).__name__} does not factorise over the entries of "
            "x, so a mask cannot leave entries out of it. Take one that does (Bernoulli, Gaussian)."
        )
    return jnp.where(mask, x, vae.likelihood.fill), context, mask


def checked_context(vae: Any, context: Any, x: jax.Array | None) -> jax.Array | None:
    """Return the context as an array with a row per datum, or None where the VAE takes none."""
    if context is None and vae.context_shape and not vae.prior.observes_context:
        raise ValueError(
            f"this VAE has context_shape={vae.context_shape}: give `context` of shape "
            f"{('batch', *vae.context_shape)}; got None."
        )
    if context is None:
        return None
    given = numbers("context", context)
    if not vae.context_shape:
        raise ValueError(
            f"got a context of shape {np.shape(given)}, but this VAE has context_shape=(). Build it "
            f"with VAE(..., context_shape={np.shape(given)[1:]})."
        )
    context = _floating(shaped("context", given, vae.context_shape, "context_shape"))
    if x is not None:
        _same_batch("context", context, x)
    return context


def check_key(rng_key: Any) -> None:
    """Raise unless ``rng_key`` is one typed key."""
    typed = isinstance(rng_key, jax.Array) and jnp.issubdtype(rng_key.dtype, jax.dtypes.prng_key)
    if not (typed and rng_key.shape == ()):
        raise TypeError(f"rng_key expects one typed key, jax.random.key(0); got {shown(rng_key)}.")


def numbers(name: str, value: Any) -> Any:
    """Return an array of real numbers, as NumPy's or JAX's; a traced one is passed.

    Raises:
        TypeError: for text, objects, complex numbers and what is no array.
        ValueError: for lists of several lengths.
    """
    if value is None or isinstance(value, str | bytes | dict | set):
        raise TypeError(f"{name} expects an array of numbers; got {shown(value)}.")
    try:
        array = value if isinstance(value, jax.Array) else np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name} expects an array of numbers; got a {type(value).__name__} that makes none "
            f"({error}). Give every row the same length: np.stack(rows)."
        ) from None
    real = (jnp.floating, jnp.integer, jnp.bool_)
    if not any(jnp.issubdtype(array.dtype, kind) for kind in real):
        raise TypeError(
            f"{name} expects numbers; got dtype {array.dtype}. Encode text or objects as numbers first."
        )
    return array if isinstance(array, jax.Array) else _native(array)


def _native(array: np.ndarray) -> np.ndarray:
    """Return an array as JAX takes it: in the machine's order of bytes, in double precision at most."""
    if array.dtype == np.longdouble and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def shaped(name: str, value: Any, shape: Shape, field: str) -> jax.Array:
    """Return an array of numbers of shape ``(batch, *shape)``; raise if it is another."""
    array = numbers(name, value)
    check_shape(name, array.shape, shape, field)
    return jnp.asarray(array)


def check_shape(name: str, got: Shape, shape: Shape, field: str) -> None:
    """Raise unless ``got`` is ``(batch, *shape)``, of one row or more."""
    if got[1:] == shape and len(got) == len(shape) + 1:
        if got[0] == 0:
            raise ValueError(f"{name} expects at least one row of shape {shape}; got shape {got}.")
        return
    fix = f"Reshape it, or build the VAE with {field}={got[1:]}."
    if got == shape:
        fix = f"Add the batch axis: {name}[None]."
    raise ValueError(
        f"{name} has shape {got}; expected (batch, {', '.join(map(str, shape))}), "
        f"for {field}={shape}. {fix}"
    )


def _same_batch(name: str, value: jax.Array, x: jax.Array) -> None:
    if value.shape[0] != x.shape[0]:
        raise ValueError(
            f"{name} has {value.shape[0]} rows and x has {x.shape[0]}; give one per datum."
        )


def _floating(x: jax.Array) -> jax.Array:
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.zeros(()).dtype)


def joined_shape(event_shape: Shape, extra: tuple[Shape, ...], *, spatial: bool) -> Shape:
    """Return the shape of a datum joined with what else the encoder is told (see ``join``)."""
    parts = (event_shape, *extra)
    if not extra:
        return event_shape
    if not spatial:
        return (sum(int(np.prod(part)) for part in parts),)
    if len(event_shape) > 3:
        raise ValueError(
            "the encoder is spatial: it reads a context or a mask as further channels of an image "
            f"(height, width[, channels]); got event_shape={event_shape}, which has {len(event_shape)} "
            "axes. Take an encoder that reads one vector, such as nets.MLP, or a net of your own "
            "without `spatial`."
        )
    grid = event_shape[:2]
    return (*grid, sum(_channels(part, grid) for part in parts))


def join(parts: list[jax.Array], *, spatial: bool) -> jax.Array:
    """Join arrays of one batch: into one vector or, for a spatial net, as channels of x's grid."""
    if len(parts) == 1:
        return parts[0]
    batch, grid = parts[0].shape[0], parts[0].shape[1:3]
    if not spatial:
        return jnp.concatenate([part.reshape(batch, -1) for part in parts], axis=-1)
    tiled = [part.reshape(batch, *_on_grid(part.shape[1:], grid), -1) for part in parts]
    tiled = [jnp.broadcast_to(part, (batch, *grid, part.shape[-1])) for part in tiled]
    return jnp.concatenate(tiled, axis=-1)


def _on_grid(shape: Shape, grid: Shape) -> Shape:
    return grid if shape[:2] == grid else (1, 1)


def _channels(shape: Shape, grid: Shape) -> int:
    rest = shape[2:] if shape[:2] == grid else shape
    return int(np.prod(rest))
