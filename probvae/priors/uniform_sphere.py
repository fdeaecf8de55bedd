"""A prior that is uniform on the unit sphere."""

from dataclasses import dataclass

import numpyro.distributions as dist

from probvae.distributions import SphericalUniform
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class UniformSphere(AbstractDistributionPrior):
    r"""A uniform distribution on the unit sphere. The matching guide is ``guides.PowerSpherical``.

    $p(z) = \Gamma(n/2) / (2 \pi^{n/2})$ for $|z| = 1$ in $R^n$, n = ``latent_dim``.

    Reference: Davidson et al. 2018, arXiv:1804.00891.
    """

    def distribution(self, scope: Scope) -> dist.Distribution:
        return SphericalUniform(scope.latent_dim)

    def __str__(self) -> str:
        return "Uniform on the unit sphere"
