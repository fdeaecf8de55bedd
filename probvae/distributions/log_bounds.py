"""Bounds on logarithms: a wild output of a net gives a finite density and a finite gradient."""

import math

import jax
import jax.numpy as jnp


def bound_scale(r: jax.Array, bound: float) -> jax.Array:
    """Return s with log s = b tanh(r / 2b): r is the log variance where it is small against b.

    Args:
        r: of any shape.
        bound: b, in nats of the code's units.
    """
    return jnp.exp(bound * jnp.tanh(r / (2 * bound)))


def check_bound(part: object, log_bound: float) -> None:
    """Raise unless a part's bound on |log s| is positive.

    Args:
        part: whose bound it is, for the error.
        log_bound: the bound.

    Raises:
        ValueError: for a bound that is not positive and finite.
    """
    if not 0 < log_bound < math.inf:
        raise ValueError(f"{type(part).__name__} expects log_bound > 0 and finite; got {log_bound!r}.")


def soft_clip(
    x: jax.typing.ArrayLike, low: jax.typing.ArrayLike, high: jax.typing.ArrayLike
) -> jax.Array:
    """Return x itself within [low, high], and values within 1 of the interval for any other x.

    At a distance t from the interval the slope is 1 / (1 + t)^2. It never vanishes, so that a
    gradient step leads back from any distance. (Under ``jnp.clip`` the gradient would be 0 there.)
    """
    inside = jnp.clip(x, low, high)
    beyond = x - inside
    return inside + beyond / (1 + jnp.abs(beyond))
