"""Normals from the raw outputs of a net, with scales that a wild output cannot break."""

import math

import jax
import jax.numpy as jnp
import numpyro.distributions as dist


def bounded_scale(r: jax.Array, bound: float) -> jax.Array:
    """Return s with log s = b tanh(r / 2b): r is the log variance where it is small against b.

    Args:
        r: of any shape.
        bound: b, in nats of the code's units.
    """
    return jnp.exp(bound * jnp.tanh(r / (2 * bound)))


def diagonal_normal(outputs: jax.Array, bound: float) -> dist.Distribution:
    """Normal(m, diag(s^2)) from outputs ``(..., n, 2)``: m, and r of ``bounded_scale`` by ``bound``."""
    m, r = outputs[..., 0], outputs[..., 1]
    return dist.Normal(m, bounded_scale(r, bound)).to_event(1)


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
