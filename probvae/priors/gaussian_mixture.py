"""A learned mixture of normals as the prior."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.checks import PositiveInt
from probvae.distributions import mixture
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class GaussianMixture(AbstractDistributionPrior):
    r"""A mixture of K normals, with learned weights, means and scales.

    $p(z) = \sum_k w_k \mathrm{Normal}(z; m_k, \mathrm{diag}(s_k^2))$.

    The means start at draws of Normal(0, I) that depend on the key, the scales at 1, and the weights
    at 1/K.

    Args:
        components: K, the number of components.

    Reference: Dilokthanakul et al. 2016, arXiv:1611.02648. It is also the "mixture of Gaussians" prior
    of Tomczak and Welling 2018, arXiv:1705.07120.
    """

    components: PositiveInt = 10

    def distribution(self, scope: Scope) -> dist.Distribution:
        # Means start at different places: components with equal means would receive equal gradients.
        shape = (self.components, scope.latent_dim)
        logits = numpyro.param("prior$logits", jnp.zeros(self.components))
        loc = numpyro.param("prior$loc", lambda key: jax.random.normal(key, shape))
        scale = numpyro.param("prior$scale", jnp.ones(shape), constraint=constraints.softplus_positive)
        return mixture(logits, dist.Normal(loc, scale).to_event(1))

    def __str__(self) -> str:
        return f"sum_k w_k Normal(m_k, diag(s_k^2)), k = 1..{self.components}, learned"
