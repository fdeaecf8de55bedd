"""A heavy-tailed prior: independent Student t entries."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.checks import PositiveFloat
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class StudentT(AbstractDistributionPrior):
    r"""A heavy-tailed prior: independent entries with a Student t distribution of scale 1.

    $p(z) = \prod_i t_\nu(z_i)$, where $t_\nu(z) \propto (1 + z^2 / \nu)^{-(\nu + 1) / 2}$.

    A code far from 0 costs about $\log |z|$ instead of $z^2 / 2$. For $\nu \to \infty$ the prior is the
    standard normal. The KL to a normal guide has no closed form and is sampled.

    Args:
        nu: degrees of freedom.

    Reference: Kim et al. 2024, arXiv:2312.01133, argue for t priors. Their prior is jointly t with the
    data and trained with another divergence. Here the entries are independent, and you choose the
    objective.
    """

    nu: PositiveFloat = 5.0

    def distribution(self, scope: Scope) -> dist.Distribution:
        return dist.StudentT(self.nu, jnp.zeros(scope.latent_dim), 1.0).to_event(1)

    def __str__(self) -> str:
        return f"StudentT({self.nu:g}), independent entries"
