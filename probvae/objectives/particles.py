"""Terms of several particles (draws of z), and the power mean that bounds take over them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from probvae.objectives.terms import Terms
from probvae.typing import RngKey


def over_particles(
    read: Callable[..., Terms], rng_key: RngKey, num_particles: int, *rows: jax.Array
) -> Terms:
    """Return terms with a leading axis of particles.

    Args:
        read: a function of a key, and of one row of each array in ``rows``.
        rng_key: split over the particles, unless there is just one.
        num_particles: the number of particles.
        rows: arrays with a leading axis of particles.
    """
    if num_particles > 1:
        return jax.vmap(read)(jax.random.split(rng_key, num_particles), *rows)
    # No vmap over a single particle: it would cost 9 % of a step.
    particle = read(rng_key, *(each[0] for each in rows))
    return jax.tree.map(lambda a: jnp.asarray(a)[None], particle)


def log_power_mean(log_weight: jax.Array, alpha: float) -> jax.Array:
    r"""Return $\log(\mathrm{mean}_k w_k^{1 - \alpha}) / (1 - \alpha)$ over the first axis.

    At alpha = 1 it is the mean of log w, the limit.
    """
    # Weights are relative to the largest w (alpha < 1) or the smallest (alpha > 1), so no power
    # overflows. With expm1 and log1p nothing cancels as alpha approaches 1, where both go to 0.
    if alpha == 1:
        return log_weight.mean(0)
    start = jax.lax.stop_gradient((jnp.max if alpha < 1 else jnp.min)(log_weight, axis=0))
    mean = jnp.expm1((1 - alpha) * (log_weight - start)).mean(0)
    return start + jnp.log1p(mean) / (1 - alpha)
