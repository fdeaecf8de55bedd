"""What goes into the programs and into the nets: checked, filled, and joined."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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
    if not vae.context_shape:
        raise ValueError(
            f"got a context of shape {np.shape(context)}, but this VAE has context_shape=(). Build it "
            f"with VAE(..., context_shape={np.shape(context)[1:]})."
        )
    context = _floating(shaped("context", context, vae.context_shape, "context_shape"))
    if x is not None:
        _same_batch("context", context, x)
    return context


def shaped(name: str, value: Any, shape: Shape, field: str) -> jax.Array:
    """Return an array of shape ``(batch, *shape)``; raise if it has another."""
    check_shape(name, np.shape(value), shape, field)
    return jnp.asarray(value)


def check_shape(name: str, got: Shape, shape: Shape, field: str) -> None:
    """Raise unless ``got`` is ``(batch, *shape)``."""
    if got[1:] == shape and len(got) == len(shape) + 1:
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
