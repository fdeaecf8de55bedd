"""The size of the gradient at each step, where it may be too large to be squared."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

# Losses below it have no such gradient: it would have to be 1e13 times the loss. Looking at every
# gradient costs 8 to 10 % of a step of a small MLP on a CPU; behind this condition, nothing.
LARGE_LOSS = 1e6
GRADIENT = "gradient"  # the name of the squared norm among a step's numbers


class Watched(NamedTuple):
    """The state of an optimizer, and the squared norm of the last gradient: 0 after a small loss."""

    inner: Any
    squared_norm: jax.Array


def watch_gradient(optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Return the same optimizer, which keeps the squared norm of the gradient in its state.

    Above 1.8e19 the square of a gradient is infinite in float32. Adam divides by its root, and
    ``optax.clip_by_global_norm`` by the norm: the parameters stand still, while loss and update are
    finite. The updates are those of ``optimizer``, bit for bit.
    """
    inner = optax.with_extra_args_support(optimizer)

    def start(params: Any) -> Watched:
        return Watched(inner.init(params), jnp.zeros(()))

    def update(
        gradient: Any, state: Watched, params: Any = None, *, value: Any, **extra: Any
    ) -> tuple[Any, Watched]:
        is_large = ~(jnp.abs(value) < LARGE_LOSS)  # nan, too
        norm = jax.lax.cond(is_large, _squared_norm, lambda _: jnp.zeros(()), gradient)
        updates, after = inner.update(gradient, state.inner, params, value=value, **extra)
        return updates, Watched(after, norm)

    return optax.GradientTransformationExtraArgs(start, update)


def _squared_norm(gradient: Any) -> jax.Array:
    squares = [jnp.square(leaf).sum() for leaf in jax.tree.leaves(gradient)]
    return jnp.stack([square.astype(float) for square in squares]).sum()


def squared_norm(optim_state: Any) -> jax.Array:
    """Return the squared norm of the last gradient, from the state of NumPyro's optimizer."""
    _, (_, state) = optim_state
    return state.squared_norm
