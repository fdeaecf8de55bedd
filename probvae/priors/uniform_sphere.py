"""The uniform distribution on the sphere as the prior."""

from dataclasses import dataclass

import numpyro.distributions as dist

from probvae.distributions import SphericalUniform
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class UniformSphere(AbstractDistributionPrior):
    """p(z) = Gamma(n/2) / (2 pi^(n/2)) on |z| = 1 in R^n; with ``guides.PowerSpherical``.

    Reference: Davidson et al. 2018, arXiv:1804.00891.
    """

    def distribution(self, scope: Scope) -> dist.Distribution:
        return SphericalUniform(scope.latent_dim)

    def __str__(self) -> str:
        return "Uniform on the unit sphere"
