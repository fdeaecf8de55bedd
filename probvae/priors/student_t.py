"""A heavy-tailed prior."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class StudentT(AbstractDistributionPrior):
    """p(z) = prod_i t_nu(z_i), proportional to (1 + z_i^2 / nu)^(-(nu + 1) / 2), scale 1.

    Codes far out cost log z instead of z^2; nu -> infinity is the standard normal. Its KL is sampled.

    Args:
        nu: degrees of freedom, > 0.

    Raises:
        ValueError: for degrees of freedom that are not positive.

    Reference: Kim et al. 2024, arXiv:2312.01133 argue for t priors; theirs is jointly t with the data
    and trained by another divergence, here the entries are independent and the objective is yours.
    """

    nu: float = 5.0

    def __post_init__(self) -> None:
        if not self.nu > 0:
            raise ValueError(f"StudentT(nu=...) expects a positive number; got {self.nu!r}.")

    def distribution(self, scope: Scope) -> dist.Distribution:
        return dist.StudentT(self.nu, jnp.zeros(scope.latent_dim), 1.0).to_event(1)

    def __str__(self) -> str:
        return f"StudentT({self.nu:g}), independent entries"
