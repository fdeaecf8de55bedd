"""Mixtures of one family, with the fast form where the components are diagonal normals."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

ERROR = 2.5e-4  # nats that the matrix products may lose
SMALL = 256  # entries of the means up to which the exact form is as fast


class NormalMixture(dist.MixtureSameFamily):
    """sum_k w_k Normal(z; m_k, diag(s_k^2)), for one mixture of batch shape ().

    NumPyro's own form makes an array (batch, K, D), and its gradient is 80 times as slow as here for
    K = 500 and D = 40. See ``_squared_distances`` for the digits.
    """

    def component_log_probs(self, value: jax.Array) -> jax.Array:
        """Return log w_k + log Normal(value; m_k, diag(s_k^2)), of shape ``(..., K)``."""
        normal = self.component_distribution.base_dist
        k, d = normal.loc.shape
        value = jnp.asarray(value)
        square = _compute_squared_distances(value.reshape(-1, d), normal.loc, 1 / normal.scale)
        log_normaliser = jnp.log(normal.scale).sum(-1) + 0.5 * d * math.log(2 * math.pi)
        log_w = jax.nn.log_softmax(self.mixing_distribution.logits)
        return log_w - log_normaliser - 0.5 * square.reshape(*value.shape[:-1], k)


def _compute_squared_distances(z: jax.Array, m: jax.Array, rate: jax.Array) -> jax.Array:
    """Return sum_d ((z_id - m_kd) rate_kd)^2, ``(rows, K)``.

    Matrix products are fast: z^2 P' - 2 z (m P)' + sum_d m_kd^2 P_kd with P = rate^2. But near a
    component the terms cancel, whose size is that of sum_d m_kd^2 P_kd, with m counted from the mean
    of all m_k: the spread over the scale, squared. They err by about twice the precision of a
    number of that size. Where that is too much (in float32: from 1,000 on, as 32 units at scales of
    0.2 of the spread), the differences are taken first, one unit after the other.
    """
    if m.size <= SMALL:
        return _distances_by_differences(z, m, rate)
    largest = jnp.square((m - m.mean(0)) * rate).sum(-1).max()
    sharp = largest > ERROR / (2 * jnp.finfo(m.dtype).eps)
    return jax.lax.cond(sharp, _distances_by_differences, _distances_by_products, z, m, rate)


def _distances_by_products(z: jax.Array, m: jax.Array, rate: jax.Array) -> jax.Array:
    centre, precision = m.mean(0), rate**2
    z, m = z - centre, m - centre
    square = _product(z**2, precision) - 2 * _product(z, m * precision) + (m**2 * precision).sum(-1)
    return jnp.maximum(square, 0.0)


def _distances_by_differences(z: jax.Array, m: jax.Array, rate: jax.Array) -> jax.Array:
    """One unit at a time, computed again on the way back: no array ``(rows, K, D)`` is held."""

    def add(total: jax.Array, unit: tuple) -> tuple[jax.Array, None]:
        z_d, m_d, rate_d = unit
        return total + jnp.square((z_d[:, None] - m_d) * rate_d), None

    start = jnp.zeros((len(z), len(m)), jnp.result_type(z, m))
    return jax.lax.scan(jax.checkpoint(add), start, (z.T, m.T, rate.T))[0]


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)


def mixture(logits: jax.Array, components: dist.Distribution) -> dist.Distribution:
    """Return sum_k w_k p_k(z), w = softmax(logits).

    Args:
        logits: ``(*batch, K)``: a mixture, or a batch of them.
        components: of batch shape ``(*batch, K)``.
    """
    base: Any = getattr(components, "base_dist", None)
    diagonal = isinstance(components, dist.Independent) and type(base) is dist.Normal
    plain = diagonal and base.loc.shape == base.scale.shape == (*logits.shape, *components.event_shape)
    family = NormalMixture if plain and logits.ndim == 1 else dist.MixtureSameFamily
    return family(dist.Categorical(logits=logits), components)
