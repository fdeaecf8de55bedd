"""Paths between two codes, for interpolation."""

from typing import Any

import jax
import jax.numpy as jnp


def straight(a: jax.Array, b: jax.Array, t: Any) -> jax.Array:
    """Return (1 - t) a + t b."""
    return (1 - t) * a + t * b


def spherical(a: jax.Array, b: jax.Array, t: Any) -> jax.Array:
    """Return the point at t on the great circle from a to b, its length interpolated too (slerp).

    sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b, with w the angle between a and b. Draws of a
    normal lie near a sphere; a straight path leaves it. Parallel codes fall back to the straight one.

    Reference: White 2016, arXiv:1609.04468.
    """
    norms = jnp.linalg.norm(a) * jnp.linalg.norm(b)
    cos = jnp.clip((a @ b) / jnp.maximum(norms, 1e-12), -1.0, 1.0)
    angle = jnp.arccos(cos)
    sin = jnp.sin(angle)
    safe = jnp.where(sin > 1e-4, sin, 1.0)
    curved = (jnp.sin((1 - t) * angle) * a + jnp.sin(t * angle) * b) / safe
    return jnp.where(sin > 1e-4, curved, straight(a, b, t))
