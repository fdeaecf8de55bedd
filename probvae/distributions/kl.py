"""Closed forms of KL(q || p) that NumPyro lacks, told to NumPyro's own ``kl_divergence``.

A pair that is registered here is known to every reader: our objectives and ``TraceMeanField_ELBO``.
"""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from numpyro.distributions import (
    ExpandedDistribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    kl_divergence,
)


def _moments(q: Independent) -> tuple[jax.Array, jax.Array]:
    """Mean and scale of a normal with independent entries; NumPyro asks for this error otherwise."""
    base = q.base_dist
    base = base.base_dist if isinstance(base, ExpandedDistribution) else base
    if not isinstance(base, Normal) or q.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    return jnp.broadcast_to(base.loc, q.shape()), jnp.broadcast_to(base.scale, q.shape())


def _from_normal(
    trace: jax.Array, square: jax.Array, log_det_q: jax.Array, log_det_p: jax.Array, n: int
) -> jax.Array:
    """(tr(P^-1 Q) + |P^-1/2 (m_q - m_p)|^2 - n + log det P - log det Q) / 2."""
    return 0.5 * (trace + square - n + log_det_p - log_det_q)


@kl_divergence.register(MultivariateNormal, Independent)
def _full_to_diagonal(q: MultivariateNormal, p: Independent) -> jax.Array:
    loc, scale = _moments(p)
    trace = jnp.square(q.scale_tril / scale[..., None]).sum((-2, -1))
    log_det = 2 * jnp.log(jnp.diagonal(q.scale_tril, axis1=-2, axis2=-1)).sum(-1)
    square = jnp.square((q.loc - loc) / scale).sum(-1)
    return _from_normal(trace, square, log_det, 2 * jnp.log(scale).sum(-1), q.event_shape[0])


@kl_divergence.register(LowRankMultivariateNormal, Independent)
def _low_rank_to_diagonal(q: LowRankMultivariateNormal, p: Independent) -> jax.Array:
    """KL with log det(D + C C^T) = log det D + log det(I + C^T D^-1 C)."""
    loc, scale = _moments(p)
    variance = q.cov_diag + jnp.square(q.cov_factor).sum(-1)
    inner = jnp.eye(q.cov_factor.shape[-1]) + jnp.einsum(
        "...ik,...i,...il->...kl", q.cov_factor, 1 / q.cov_diag, q.cov_factor
    )
    log_det = jnp.log(q.cov_diag).sum(-1) + jnp.linalg.slogdet(inner)[1]
    square = jnp.square((q.loc - loc) / scale).sum(-1)
    trace = (variance / jnp.square(scale)).sum(-1)
    return _from_normal(trace, square, log_det, 2 * jnp.log(scale).sum(-1), q.event_shape[0])


@kl_divergence.register(Independent, MultivariateNormal)
def _diagonal_to_full(q: Independent, p: MultivariateNormal) -> jax.Array:
    loc, scale = _moments(q)
    white = solve_triangular(p.scale_tril, jnp.eye(p.event_shape[0]), lower=True)
    trace = jnp.square(white * scale[..., None, :]).sum((-2, -1))
    square = jnp.square(jnp.einsum("...ij,...j->...i", white, loc - p.loc)).sum(-1)
    log_det = 2 * jnp.log(jnp.diagonal(p.scale_tril, axis1=-2, axis2=-1)).sum(-1)
    return _from_normal(trace, square, 2 * jnp.log(scale).sum(-1), log_det, p.event_shape[0])
