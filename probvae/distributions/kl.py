"""Closed forms of KL(q || p) that NumPyro lacks, registered with its ``kl_divergence``.

NumPyro's ``TraceMeanField_ELBO`` uses them, and so do the objectives of this package.
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
    """Return mean and scale of a normal with independent entries.

    Raises:
        NotImplementedError: for another distribution. NumPyro expects this error, and draws instead.
    """
    base = q.base_dist
    base = base.base_dist if isinstance(base, ExpandedDistribution) else base
    if not isinstance(base, Normal) or q.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    return jnp.broadcast_to(base.loc, q.shape()), jnp.broadcast_to(base.scale, q.shape())


# KL between normals q = N(m_q, Q) and p = N(m_p, P) in n dimensions is
#
#   (tr(P^-1 Q) + (m_q - m_p)^T P^-1 (m_q - m_p) - n + log det P - log det Q) / 2.
#
# The functions below differ in how they compute trace, square and determinants: no n x n matrix is
# inverted where one of the two is diagonal, and the Cholesky factor gives log det = 2 sum log diag.
def _normal_kl(
    trace: jax.Array, square: jax.Array, log_det_q: jax.Array, log_det_p: jax.Array, n: int
) -> jax.Array:
    return 0.5 * (trace + square - n + log_det_p - log_det_q)


@kl_divergence.register(MultivariateNormal, Independent)
def _full_to_diagonal(q: MultivariateNormal, p: Independent) -> jax.Array:
    loc, scale = _moments(p)
    trace = jnp.square(q.scale_tril / scale[..., None]).sum((-2, -1))
    log_det = 2 * jnp.log(jnp.diagonal(q.scale_tril, axis1=-2, axis2=-1)).sum(-1)
    square = jnp.square((q.loc - loc) / scale).sum(-1)
    return _normal_kl(trace, square, log_det, 2 * jnp.log(scale).sum(-1), q.event_shape[0])


@kl_divergence.register(LowRankMultivariateNormal, Independent)
def _low_rank_to_diagonal(q: LowRankMultivariateNormal, p: Independent) -> jax.Array:
    """Return the KL from N(loc, D + C C^T), with D diagonal and C of shape ``(n, rank)``."""
    # log det(D + C C^T) = log det D + log det(I + C^T D^-1 C), a determinant of rank x rank
    loc, scale = _moments(p)
    variance = q.cov_diag + jnp.square(q.cov_factor).sum(-1)
    inner = jnp.eye(q.cov_factor.shape[-1]) + jnp.einsum(
        "...ik,...i,...il->...kl", q.cov_factor, 1 / q.cov_diag, q.cov_factor
    )
    log_det = jnp.log(q.cov_diag).sum(-1) + jnp.linalg.slogdet(inner)[1]
    square = jnp.square((q.loc - loc) / scale).sum(-1)
    trace = (variance / jnp.square(scale)).sum(-1)
    return _normal_kl(trace, square, log_det, 2 * jnp.log(scale).sum(-1), q.event_shape[0])


@kl_divergence.register(Independent, MultivariateNormal)
def _diagonal_to_full(q: Independent, p: MultivariateNormal) -> jax.Array:
    loc, scale = _moments(q)
    white = solve_triangular(p.scale_tril, jnp.eye(p.event_shape[0]), lower=True)
    trace = jnp.square(white * scale[..., None, :]).sum((-2, -1))
    square = jnp.square(jnp.einsum("...ij,...j->...i", white, loc - p.loc)).sum(-1)
    log_det = 2 * jnp.log(jnp.diagonal(p.scale_tril, axis1=-2, axis2=-1)).sum(-1)
    return _normal_kl(trace, square, 2 * jnp.log(scale).sum(-1), log_det, p.event_shape[0])
