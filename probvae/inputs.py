"""What goes into the programs and into the nets: checked, filled, and joined."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from probvae.containers import to_numbers
from probvae.typing import Shape


def check_inputs(vae: Any, x: Any, context: Any, mask: Any) -> tuple[Any, Any, Any]:
    """Return (x, context, mask) as arrays: shapes checked, x real and filled where it is missing.

    Raises:
        ValueError: for a wrong shape, a context that is missing or unasked for, a mask without x.
    """
    x = None if x is None else _floating(check_array("x", x, vae.event_shape, "event_shape"))
    context = check_context(vae, context, x)
    if mask is None:
        return x, context, None
    if x is None:
        raise ValueError("a mask says which entries of x are observed; got a mask and no x.")
    mask = check_array("mask", mask, vae.event_shape, "event_shape").astype(bool)
    check_same_rows("mask", len(mask), len(x))
    check_can_mask(vae)
    return jnp.where(mask, x, vae.likelihood.fill), context, mask


def check_can_mask(vae: Any) -> None:
    """Raise unless the likelihood can leave out single entries of x."""
    if not vae.likelihood.factorises:
        raise ValueError(
            f"the likelihood {type(vae.likelihood).__name__} does not factorise over the entries of "
            "x, so a mask cannot leave entries out of it. Take one that does (Bernoulli, Gaussian)."
        )


def check_context(vae: Any, context: Any, x: jax.Array | None) -> jax.Array | None:
    """Return the context as an array with a row per datum, or None where the VAE takes none."""
    if context is None:
        check_context_shape(vae, None)
        return None
    given = to_numbers("context", context)
    check_context_shape(vae, given.shape)
    if x is not None:
        check_same_rows("context", len(given), len(x))
    return _floating(_on_device(given))


def check_context_shape(vae: Any, got: Shape | None, name: str = "context") -> None:
    """Raise unless a context of shape ``got``, or none, is what the VAE takes."""
    if got is None:
        if vae.context_shape and not vae.prior.observes_context:
            raise ValueError(
                f"this VAE has context_shape={vae.context_shape}: give `context` of shape "
                f"{('batch', *vae.context_shape)}; got None."
            )
        return
    if vae.context_shape:
        check_shape(name, got, vae.context_shape, "context_shape")
        return
    shape = got[1:] or (1,)
    column = "" if len(got) != 1 else f", and give {_last_word(name)}[:, None]"
    raise ValueError(
        f"got a context of shape {got}, but this VAE has context_shape=(). Build it with "
        f"VAE(..., context_shape={shape}){column}."
    )


def check_array(name: str, value: Any, shape: Shape, field: str) -> jax.Array:
    """Return an array of numbers of shape ``(batch, *shape)``; raise if it is another."""
    array = to_numbers(name, value)
    check_shape(name, array.shape, shape, field)
    return _on_device(array)


def _on_device(array: Any) -> jax.Array:
    """Return JAX's array. ``jnp.asarray`` would compile a program for each new shape."""
    return array if isinstance(array, jax.Array) else jax.device_put(array)


def check_shape(name: str, got: Shape, shape: Shape, field: str) -> None:
    """Raise unless ``got`` is ``(batch, *shape)``, of one row or more."""
    if got[1:] == shape and len(got) == len(shape) + 1:
        if got[0] == 0:
            raise ValueError(f"{name} expects at least one row of shape {shape}; got shape {got}.")
        return
    raise ValueError(
        f"{name} has shape {got}; expected (batch, {', '.join(map(str, shape))}), "
        f"for {field}={shape}. {_reshape_remedy(_last_word(name), got, shape, field)}"
    )


def _last_word(name: str) -> str:
    """Return what code would call something: "mask" for the mask of the training data."""
    first, *_, last = [*name.split(), name.split()[-1]]
    return last if last in ("mask", "context") else first


def _reshape_remedy(name: str, got: Shape, shape: Shape, field: str) -> str:
    """Return how an array of shape ``got`` becomes one of ``(batch, *shape)``."""
    if name == "mask":
        lead = "A mask has a value per entry of x, true where the entry is observed. "
        axes = ", ".join([":" if len(got) == 1 else "...", *["None"] * (len(shape) + 1 - len(got))])
        if not got or len(got) > len(shape):
            return f"{lead}Give it the shape of x."
        return f"{lead}To repeat it over the other axes: np.broadcast_to(mask[{axes}], x.shape)."
    if field == "context_shape" and len(got) == 1:
        one_hot = f"One-hot columns of integer codes: np.eye({max(shape[0], 2)})[{name}]"
        return f"{one_hot}. One number per row: {name}[:, None]." if shape == (1,) else f"{one_hot}."
    if got == shape and shape != (1,):
        return f"Add the batch axis: {name}[None]."
    if len(got) == 1:
        column = f"One number per row: {name}[:, None]"
        return f"{column}." if shape == (1,) else f"{column}, and build the VAE with {field}=(1,)."
    if not got:
        return "Give an array with a row per datum."
    if np.prod(got[1:], dtype=int) == np.prod(shape, dtype=int):
        return f"Reshape it: {name}.reshape({', '.join(map(str, (-1, *shape)))})."
    return f"Reshape it, or build the VAE with {field}={got[1:]}."


def check_same_rows(name: str, rows: int, rows_of_x: int) -> None:
    """Raise unless something has a row for each row of x."""
    if rows != rows_of_x:
        raise ValueError(f"{name} has {rows} rows and x has {rows_of_x}; give one per datum.")


def _floating(x: jax.Array) -> jax.Array:
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.zeros(()).dtype)


def join_shapes(event_shape: Shape, extra: tuple[Shape, ...], *, spatial: bool) -> Shape:
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


def join_inputs(parts: list[jax.Array], *, spatial: bool) -> jax.Array:
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
