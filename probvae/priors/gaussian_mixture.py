"""A learned mixture of normals as the prior."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.checks import check_components
from probvae.distributions import mixture
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class GaussianMixture(AbstractDistributionPrior):
    """p(z) = sum_k w_k Normal(z; m_k, diag(s_k^2)), all learned.

    Means start at draws of Normal(0, I) that differ with the key, scales at 1, weights equal.

    Args:
        components: the number K of components.

    Reference: Dilokthanakul et al. 2016, arXiv:1611.02648; the "mixture of Gaussians" prior of
    Tomczak and Welling 2018, arXiv:1705.07120.
    """

    components: int = 10

    def __post_init__(self) -> None:
        check_components(self)

    def distribution(self, scope: Scope) -> dist.Distribution:
        shape = (self.components, scope.latent_dim)
        logits = numpyro.param("prior$logits", jnp.zeros(self.components))
        loc = numpyro.param("prior$loc", lambda key: jax.random.normal(key, shape))
        scale = numpyro.param("prior$scale", jnp.ones(shape), constraint=constraints.softplus_positive)
        return mixture(logits, dist.Normal(loc, scale).to_event(1))

    def __str__(self) -> str:
        return f"sum_k w_k Normal(m_k, diag(s_k^2)), k = 1..{self.components}, learned"
