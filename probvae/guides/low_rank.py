"""The normal guide with a covariance of low rank plus a diagonal."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.checks import scale_bound
from probvae.distributions import bound_scale, check_bound
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class LowRank(AbstractDistributionGuide):
    """q(z|x) = Normal(z; m(x), diag(s(x)^2) + C(x) C(x)^T), C of shape n x ``rank``.

    The encoder gives, for each unit, m, r with log s = b tanh(r / 2b) as in ``MeanField``, and a row
    of C: between ``MeanField`` (rank 0) and ``FullRank`` in cost and in what it can be.

    Args:
        rank: columns of C.
        log_bound: b, the bound on |log s|, in nats of the code's units.

    Raises:
        ValueError: for a rank below 1, or a bound that is not positive.

    Reference: Ong, Nott and Smith 2018, arXiv:1701.03208 (the family; there not amortized).
    """

    rank: int = 2
    log_bound: float = scale_bound(10.0, looser=1.0)

    def __post_init__(self) -> None:
        check_bound(self, self.log_bound)
        if not isinstance(self.rank, int) or self.rank < 1:
            raise ValueError(f"LowRank(rank=...) expects a positive integer; got {self.rank!r}.")

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim, 2 + self.rank)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        variance = jnp.square(bound_scale(outputs[..., 1], self.log_bound))
        return dist.LowRankMultivariateNormal(outputs[..., 0], outputs[..., 2:], variance)

    def __str__(self) -> str:
        return f"Normal(m(x), diag(s(x)^2) + C(x) C(x)^T), C of rank {self.rank}"
