"""Bounds on logarithms, which keep densities and gradients finite for any output of a net."""

import jax
import jax.numpy as jnp


def bound_scale(r: jax.Array, bound: float) -> jax.Array:
    r"""Return s with $\log s = b \tanh(r / (2 b))$. For $|r| \ll b$, r is the log variance.

    Args:
        r: an array of any shape.
        bound: b, the bound on $|\log s|$, in nats.
    """
    return jnp.exp(bound * jnp.tanh(r / (2 * bound)))


def soft_clip(
    x: jax.typing.ArrayLike, low: jax.typing.ArrayLike, high: jax.typing.ArrayLike
) -> jax.Array:
    """Return x itself within [low, high], and values within 1 of the interval for any other x.

    At a distance t from the interval the slope is $1 / (1 + t)^2$. It never vanishes, so gradient steps
    lead back from any distance. (With ``jnp.clip`` the gradient would be 0.)
    """
    inside = jnp.clip(x, low, high)
    beyond = x - inside
    return inside + beyond / (1 + jnp.abs(beyond))
