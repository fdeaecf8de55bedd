"""Mixtures of one family, with a fast density for diagonal normals."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

ERROR = 2.5e-4  # nats that the matrix products may lose
SMALL = 256  # entries of the means: up to here, differences are as fast as products


class NormalMixture(dist.MixtureSameFamily):
    r"""$\sum_k w_k \, \mathrm{Normal}(z; m_k, \mathrm{diag}(s_k^2))$, a mixture of batch shape ().

    NumPyro's version makes an array ``(batch, K, D)``. Its gradient is 80 times slower for K = 500 and
    D = 40.
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
    """Return sum_d ((z_id - m_kd) rate_kd)^2, ``(rows, K)``."""
    # The fast way is three matrix products: z^2 P' - 2 z (m P)' + sum_d m_kd^2 P_kd with P = rate^2.
    # Near a component these terms cancel. They are as large as sum_d m_kd^2 P_kd, the squared ratio of
    # spread to scale if m is centred, and the result has about twice the rounding error of that number.
    # If this is above ERROR (in float32, from 1,000 on: for example 32 units whose scale is 0.2 of the
    # spread), the differences are computed first, one unit after another.
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
    """Sum over one unit at a time. The gradient computes it again: no array ``(rows, K, D)``."""

    def add(total: jax.Array, unit: tuple) -> tuple[jax.Array, None]:
        z_d, m_d, rate_d = unit
        return total + jnp.square((z_d[:, None] - m_d) * rate_d), None

    start = jnp.zeros((len(z), len(m)), jnp.result_type(z, m))
    return jax.lax.scan(jax.checkpoint(add), start, (z.T, m.T, rate.T))[0]


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)


def mixture(logits: jax.Array, components: dist.Distribution) -> dist.Distribution:
    r"""Return $\sum_k w_k p_k(z)$ with $w = \mathrm{softmax}(logits)$.

    Args:
        logits: ``(*batch, K)``, for one mixture or a batch of mixtures.
        components: of batch shape ``(*batch, K)``.
    """
    base: Any = getattr(components, "base_dist", None)
    diagonal = isinstance(components, dist.Independent) and type(base) is dist.Normal
    plain = diagonal and base.loc.shape == base.scale.shape == (*logits.shape, *components.event_shape)
    family = NormalMixture if plain and logits.ndim == 1 else dist.MixtureSameFamily
    return family(dist.Categorical(logits=logits), components)
