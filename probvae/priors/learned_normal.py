"""A normal prior with learned mean and scale."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class LearnedNormal(AbstractDistributionPrior):
    """p(z) = Normal(z; m, diag(s^2)), with m and s learned (started at 0 and 1).

    With a decoder that ends in no constraint this is the standard normal in other coordinates; it
    matters where the code's scale means something (committed rates, warm starts, swapped parts).
    """

    def distribution(self, scope: Scope) -> dist.Distribution:
        loc = numpyro.param("prior$loc", jnp.zeros(scope.latent_dim))
        scale = numpyro.param(
            "prior$scale", jnp.ones(scope.latent_dim), constraint=constraints.softplus_positive
        )
        return dist.Normal(loc, scale).to_event(1)

    def __str__(self) -> str:
        return "Normal(m, diag(s^2)), m and s learned"
