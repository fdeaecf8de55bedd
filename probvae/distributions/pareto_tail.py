"""The shape of a generalized Pareto distribution that is fitted to the largest importance weights."""

import math

import jax
import jax.numpy as jnp

LEAST_WEIGHTS = 100  # the fit is of the largest fifth: 20 points
ROUNDING = 1e-4  # nats. float32 log weights of a few hundred nats differ by so much from rounding alone
VANISHING = -80.0  # exp(-80) is near the least number of float32


def pareto_tail_shape(log_weights: jax.Array) -> jax.Array:
    r"""Return k-hat of unnormalised log weights ``(S,)``: a number, inside a compiled program.

    It is the shape k of a generalized Pareto distribution of the excesses of the largest weights. The
    estimator is that of Zhang and Stephens 2009 with the prior of Vehtari et al. 2024. It has three
    special values:

    - -inf if the largest weights are equal.
    - inf if a few weights hold all the mass.
    - nan if no fit is possible: fewer than 100 weights, weights that are nan or all zero, or a tail
      with mostly ties.

    The weights may be in single precision. ``criticism.pareto_shape`` makes the same fit in double
    precision, by ArviZ.

    Args:
        log_weights: unnormalised log weights ``(S,)``, in nats.

    Reference: Vehtari et al. 2024, arXiv:1507.02646, section 3; Zhang and Stephens 2009, Technometrics.
    """
    size = log_weights.shape[0]
    if size < LEAST_WEIGHTS:
        return jnp.full((), jnp.nan)
    tail_size = int(3 * size**0.5) if size > 225 else size // 5
    largest = log_weights.max()
    # (tail_size + 1,), largest first. The last one is the cutoff, the largest weight below the tail.
    top = jax.lax.top_k(log_weights - largest, tail_size + 1)[0]
    tail, cutoff = top[:-1][::-1], top[-1]  # the tail from its least weight to its largest
    quartile = int(tail_size / 4 + 0.5) - 1
    excess = jnp.exp(tail) - jnp.exp(cutoff)
    few, tied = tail[quartile] < VANISHING, excess[quartile] <= 0.0
    shape = _fit_shape(jnp.where(few | tied, jnp.linspace(0.1, 1.0, tail_size), excess), quartile)
    rounding = ROUNDING + 64 * jnp.finfo(log_weights.dtype).eps * jnp.abs(largest)
    shape = jnp.where(tied, jnp.nan, shape)
    shape = jnp.where(few, jnp.inf, shape)
    shape = jnp.where(tail[0] >= -rounding, -jnp.inf, shape)
    return jnp.where(jnp.isfinite(largest) & ~jnp.isnan(log_weights).any(), shape, jnp.nan)


def _fit_shape(excess: jax.Array, quartile: int) -> jax.Array:
    """Return the shape of excesses ``(n,)`` > 0 in rising order."""
    # With the scale s, b = -k / s. The posterior mean of b on a grid is weighted by the profile
    # likelihood of b, in which k has its maximum: k(b) = mean log(1 - b x). The prior of k counts as
    # ten data with k = 0.5.
    n = excess.shape[0]
    grid_size = 30 + math.isqrt(n)
    grid = jnp.arange(1, grid_size + 1) - 0.5
    b = (1 - jnp.sqrt(grid_size / grid)) / (3 * excess[quartile]) + 1 / excess[-1]  # (grid_size,)
    k = jnp.log1p(-b[:, None] * excess).mean(1)
    weights = jax.nn.softmax(n * (jnp.log(-b / k) - k - 1))
    k_hat = jnp.log1p(-(weights * b).sum() * excess).mean()
    return (n * k_hat + 10 * 0.5) / (n + 10)
