"""The normal guide with a full covariance."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.distributions import bounded_scale, check_bound
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class FullRank(AbstractDistributionGuide):
    """q(z|x) = Normal(z; m(x), L(x) L(x)^T), L lower triangular with diagonal s(x).

    The encoder gives, in this order, m (n), r (n) with log s = b tanh(r / 2b) as in ``MeanField``, and
    the n (n - 1) / 2 entries of L below the diagonal, row by row.

    Args:
        log_bound: b, the bound on |log s|, in nats of the code's units.

    Reference: Kingma and Welling 2019, arXiv:1906.02691, section 2.5.1.
    """

    log_bound: float = 10.0

    def __post_init__(self) -> None:
        check_bound(self, self.log_bound)

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim * (latent_dim + 3) // 2,)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        n = scope.latent_dim
        m, r, below = outputs[..., :n], outputs[..., n : 2 * n], outputs[..., 2 * n :]
        diagonal = bounded_scale(r, self.log_bound)[..., None] * jnp.eye(n)
        rows, columns = jnp.tril_indices(n, -1)
        return dist.MultivariateNormal(m, scale_tril=diagonal.at[..., rows, columns].set(below))

    def __str__(self) -> str:
        return "Normal(m(x), L(x) L(x)^T)"
