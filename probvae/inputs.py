"""Checks of the programs' inputs x, context and mask, and how nets get them in one array."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.containers import to_numbers
from probvae.faq import cite
from probvae.interfaces import AbstractVAE
from probvae.typing import ArrayLike, DataLike, Shape


class Inputs(NamedTuple):
    """Checked inputs of a program: arrays, or None."""

    x: jax.Array | None
    context: jax.Array | None
    mask: jax.Array | None


def check_inputs(
    vae: AbstractVAE, x: DataLike | None, context: DataLike | None, mask: DataLike | None
) -> Inputs:
    """Return x, context and mask as arrays. x is real, and filled where it is missing.

    Raises:
        ValueError: for a wrong shape, a context that is missing or unexpected, or a mask without x.
    """
    x = None if x is None else _floating(check_array("x", x, vae.event_shape, "event_shape"))
    context = check_context(vae, context, x)
    if mask is None:
        return Inputs(x, context, None)
    if x is None:
        raise ValueError("mask expects x, whose observed entries it marks; got x=None.")
    mask = check_array("mask", mask, vae.event_shape, "event_shape").astype(bool)
    check_same_rows("mask", len(mask), len(x))
    check_can_mask(vae)
    return Inputs(jnp.where(mask, x, vae.likelihood.fill), context, mask)


def check_can_mask(vae: AbstractVAE) -> None:
    """Raise unless the likelihood can ignore single entries of x."""
    if not vae.likelihood.factorises:
        raise ValueError(
            f"a mask needs a likelihood that factorises over the entries of x, such as Bernoulli or "
            f"Gaussian; got {type(vae.likelihood).__name__}. {cite('mask-not-possible')}"
        )


def check_context(vae: AbstractVAE, context: DataLike | None, x: jax.Array | None) -> jax.Array | None:
    """Return the context as an array with a row per datum, or None for a VAE without one."""
    if context is None:
        check_context_shape(vae, None)
        return None
    array = to_numbers("context", context)
    check_context_shape(vae, array.shape)
    if x is not None:
        check_same_rows("context", len(array), len(x))
    return _floating(_on_device(array))


def check_context_shape(vae: AbstractVAE, got: Shape | None, name: str = "context") -> None:
    """Raise unless the VAE expects a context of shape ``got``, or None for no context."""
    if got is None:
        if vae.context_shape and not vae.prior.observes_context:
            raise ValueError(
                f"context expects shape {('batch', *vae.context_shape)}, as this VAE has "
                f"context_shape={vae.context_shape}; got None. {cite('context-missing')}"
            )
        return
    if vae.context_shape:
        check_shape(name, got, vae.context_shape, "context_shape")
        return
    shape = got[1:] or (1,)
    column = "" if len(got) != 1 else f", and use {_variable(name)}[:, None]"
    raise ValueError(
        f"got a context of shape {got}, but this VAE has context_shape=(). Build it with "
        f"VAE(..., context_shape={shape}){column}."
    )


def check_array(name: str, value: DataLike, shape: Shape, field: str) -> jax.Array:
    """Return an array of numbers of shape ``(batch, *shape)``. Raise for another shape."""
    array = to_numbers(name, value)
    check_shape(name, array.shape, shape, field)
    return _on_device(array)


def _on_device(array: ArrayLike) -> jax.Array:
    """Return JAX's array. ``jnp.asarray`` would compile a program for each new shape."""
    return array if isinstance(array, jax.Array) else jax.device_put(array)


def check_shape(name: str, got: Shape, shape: Shape, field: str) -> None:
    """Raise unless ``got`` is ``(batch, *shape)`` with at least one row."""
    if got[1:] == shape and len(got) == len(shape) + 1:
        if got[0] == 0:
            raise ValueError(f"{name} expects at least one row of shape {shape}; got shape {got}.")
        return
    variable = _variable(name)
    if len(got) > 2 and (*got[2:], got[1]) == shape:
        remedy = (  # a reshape would mix the entries
            f"Its axes have another order, such as channels first: np.moveaxis({variable}, 1, -1). "
            f"{cite('channels-first')}"
        )
    else:
        remedy = f"{_reshape_remedy(variable, got, shape, field)} {cite('wrong-shape')}"
    raise ValueError(
        f"{name} has shape {got}; expected (batch, {', '.join(map(str, shape))}), "
        f"for {field}={shape}. {remedy}"
    )


def _variable(name: str) -> str:
    """Return a variable's name for code in a remedy, such as ``mask`` for ``"train mask"``."""
    first, *_, last = [*name.split(), name.split()[-1]]
    return last if last in ("mask", "context") else first


def _reshape_remedy(name: str, got: Shape, shape: Shape, field: str) -> str:
    """Return the advice that turns an array of shape ``got`` into one of ``(batch, *shape)``."""
    if name == "mask":
        lead = "A mask has a value for each entry of x, True where it is observed. "
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
        return "Use an array with a row per datum."
    if np.prod(got[1:], dtype=int) == np.prod(shape, dtype=int):
        return f"Reshape it: {name}.reshape({', '.join(map(str, (-1, *shape)))})."
    return f"Reshape it, or build the VAE with {field}={got[1:]}."


def check_same_rows(name: str, rows: int, rows_of_x: int) -> None:
    """Raise unless an array has a row for each row of x."""
    if rows != rows_of_x:
        raise ValueError(
            f"{name} expects a row for each of the {rows_of_x} rows of x; got {rows} rows."
        )


def _floating(x: jax.Array) -> jax.Array:
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.zeros(()).dtype)


def join_shapes(event_shape: Shape, extra: tuple[Shape, ...], *, spatial: bool) -> Shape:
    """Return the shape of a net's input: of a datum joined with context and mask (``join_inputs``)."""
    parts = (event_shape, *extra)
    if not extra:
        return event_shape
    if not spatial:
        return (sum(int(np.prod(part)) for part in parts),)
    if len(event_shape) > 3:
        raise ValueError(
            "this encoder reads a context or a mask as channels of an image (height, width[, "
            f"channels]); got event_shape={event_shape} with {len(event_shape)} axes. Use an encoder "
            "that reads one vector, such as nets.MLP, or your own net without `spatial`."
        )
    grid = event_shape[:2]
    return (*grid, sum(_channels(part, grid) for part in parts))


def join_inputs(parts: list[jax.Array], *, spatial: bool) -> jax.Array:
    """Join arrays of one batch into vectors, or for a spatial net into channels on the grid of x."""
    if len(parts) == 1:
        return parts[0]
    batch, grid = parts[0].shape[0], parts[0].shape[1:3]
    if not spatial:
        return jnp.concatenate([part.reshape(batch, -1) for part in parts], axis=-1)
    # A mask already lies on the grid. Each entry of a context becomes a constant channel.
    tiled = [part.reshape(batch, *_on_grid(part.shape[1:], grid), -1) for part in parts]
    tiled = [jnp.broadcast_to(part, (batch, *grid, part.shape[-1])) for part in tiled]
    return jnp.concatenate(tiled, axis=-1)


def _on_grid(shape: Shape, grid: Shape) -> Shape:
    return grid if shape[:2] == grid else (1, 1)


def _channels(shape: Shape, grid: Shape) -> int:
    rest = shape[2:] if shape[:2] == grid else shape
    return int(np.prod(rest))
