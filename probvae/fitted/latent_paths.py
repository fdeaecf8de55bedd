"""Paths between two codes, for interpolation."""

import jax
import jax.numpy as jnp

from probvae.typing import Scalar


def straight(a: jax.Array, b: jax.Array, t: Scalar) -> jax.Array:
    """Return $(1 - t) a + t b$."""
    return (1 - t) * a + t * b


def spherical(a: jax.Array, b: jax.Array, t: Scalar) -> jax.Array:
    r"""Return the point at t on the great circle from a to b (slerp). Its length is interpolated too.

    $$\frac{\sin((1 - t) w)}{\sin w} a + \frac{\sin(t w)}{\sin w} b$$

    Here $w$ is the angle between a and b. Draws of a normal lie near a sphere, which a straight path
    leaves. If a and b are parallel, the path is straight.

    Reference: White 2016, arXiv:1609.04468.
    """
    norms = jnp.linalg.norm(a) * jnp.linalg.norm(b)
    cos = jnp.clip((a @ b) / jnp.maximum(norms, 1e-12), -1.0, 1.0)
    angle = jnp.arccos(cos)
    sin = jnp.sin(angle)
    # Both branches of `where` are differentiated, so neither may divide by 0.
    safe = jnp.where(sin > 1e-4, sin, 1.0)
    curved = (jnp.sin((1 - t) * angle) * a + jnp.sin(t * angle) * b) / safe
    return jnp.where(sin > 1e-4, curved, straight(a, b, t))
