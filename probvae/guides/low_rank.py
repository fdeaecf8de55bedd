"""A normal guide whose covariance is a diagonal plus a matrix of low rank."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.checks import PositiveFloat, PositiveInt, scale_bound
from probvae.distributions import bound_scale
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class LowRank(AbstractDistributionGuide):
    r"""A normal whose covariance is a diagonal plus a matrix of low rank.

    $q(z|x) = \mathrm{Normal}(z; m(x), \mathrm{diag}(s(x)^2) + C(x) C(x)^T)$, C of shape (n, ``rank``).

    For each unit the encoder returns m, r with $\log s = b \tanh(r / 2b)$ as in ``MeanField``, and one
    row of C. In cost and flexibility the guide lies between ``MeanField`` (rank 0) and ``FullRank``.

    Args:
        rank: the number of columns of C.
        log_bound: b, the bound on $|\log s|$, in nats.

    Reference: Ong, Nott and Smith 2018, arXiv:1701.03208 (the same family, without an encoder).
    """

    rank: PositiveInt = 2
    log_bound: PositiveFloat = scale_bound(10.0, looser=1.0)

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim, 2 + self.rank)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        variance = jnp.square(bound_scale(outputs[..., 1], self.log_bound))
        return dist.LowRankMultivariateNormal(outputs[..., 0], outputs[..., 2:], variance)

    def __str__(self) -> str:
        return f"Normal(m(x), diag(s(x)^2) + C(x) C(x)^T), C of rank {self.rank}"
