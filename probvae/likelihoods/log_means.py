"""The log mean of counts and of positive numbers: its parameters, its bounds and its initial value."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro

from probvae.distributions import soft_clip
from probvae.interfaces import Scope

MIN_F, MAX_F = -15.0, 15.0  # of f without training data: means from e^-15 to e^15 times e^m
MARGIN = 1.0  # of log mu above the log of the largest value of the training data
LOG_MEAN, LARGEST = "likelihood$log_mean", "likelihood$largest"


def register_log_mean(f: jax.Array, scope: Scope) -> jax.Array:
    """Return m + f, with f softly clipped, from the decoder's outputs f ``(batch, *event_shape)``.

    m is a parameter with one number per entry. The exponential of a very large output would exceed
    float32, and so would its gradient: that is why f has bounds.
    """
    # `largest` is a parameter so that it is saved with the others. No gradient moves it.
    m = numpyro.param(LOG_MEAN, jnp.zeros(scope.event_shape))
    largest = numpyro.param(LARGEST, jnp.full(scope.event_shape, MAX_F))
    return m + soft_clip(f, MIN_F, jax.lax.stop_gradient(largest))


def start_log_mean(m: np.ndarray, log_largest: np.ndarray) -> dict[str, np.ndarray]:
    """Return initial values: m, and the bound on f that keeps the mean near the largest value.

    Args:
        m: log of the data's mean, ``(*event_shape,)``.
        log_largest: log of the largest value of each entry, ``(*event_shape,)``.
    """
    dtype = jnp.zeros(()).dtype
    bound = np.clip(log_largest - m, 0.0, MAX_F - MARGIN) + MARGIN
    return {LOG_MEAN: m.astype(dtype), LARGEST: bound.astype(dtype)}
