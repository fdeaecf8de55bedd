"""The standard normal prior."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class StandardNormal(AbstractDistributionPrior):
    r"""A standard normal prior, the default of ``VAE``.

    $p(z) = \mathrm{Normal}(z; 0, I)$.

    Reference: Kingma and Welling 2014, arXiv:1312.6114.
    """

    def distribution(self, scope: Scope) -> dist.Distribution:
        return dist.Normal(jnp.zeros(scope.latent_dim), 1.0).to_event(1)

    def __str__(self) -> str:
        return "Normal(0, I)"
