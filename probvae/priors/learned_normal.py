"""A normal prior with learned mean and scale."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class LearnedNormal(AbstractDistributionPrior):
    r"""A normal prior with learned mean m (starts at 0) and scale s (starts at 1).

    $p(z) = \mathrm{Normal}(z; m, \mathrm{diag}(s^2))$.

    For a decoder whose first layer is affine this is the standard normal in other coordinates. Use it
    where the scale of the code matters, as in committed rates, warm starts or exchanged parts.
    """

    def distribution(self, scope: Scope) -> dist.Distribution:
        loc = numpyro.param("prior$loc", jnp.zeros(scope.latent_dim))
        scale = numpyro.param(
            "prior$scale", jnp.ones(scope.latent_dim), constraint=constraints.softplus_positive
        )
        return dist.Normal(loc, scale).to_event(1)

    def __str__(self) -> str:
        return "Normal(m, diag(s^2)), m and s learned"
