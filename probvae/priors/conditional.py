"""A normal prior whose mean and scale depend on the context."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpyro.distributions as dist

from probvae import nets
from probvae.checks import PositiveFloat, scale_bound
from probvae.distributions import diagonal_normal
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class ConditionalNormal(AbstractDistributionPrior):
    r"""A normal prior whose mean and scale are a net's outputs for the context c.

    $p(z|c) = \mathrm{Normal}(z; m(c), \mathrm{diag}(s(c)^2))$, with $\log s = b \tanh(r / 2b)$. For
    each unit the net returns m and r. The prior needs ``VAE(context_shape=...)``.

    Args:
        net: a recipe of the net.
        log_bound: b, the bound on $|\log s|$.

    Reference: Sohn, Lee and Yan 2015, "Learning structured output representation using deep
    conditional generative models".
    """

    net: nets.Recipe = nets.MLP((100,))
    log_bound: PositiveFloat = scale_bound(10.0, looser=1.0)

    def distribution(self, scope: Scope) -> dist.Distribution:
        if not scope.context_shape:
            raise ValueError(
                "the prior ConditionalNormal expects a context; got context_shape=(). Build "
                "VAE(..., context_shape=...), or use a prior such as priors.StandardNormal()."
            )
        shape = (scope.latent_dim, 2)  # m and r for each unit
        net = nets.register("prior$net", self.net, scope.context_shape, shape, training=scope.training)
        return diagonal_normal(net(jnp.asarray(scope.context)), self.log_bound)

    def __str__(self) -> str:
        return "Normal(m(context), diag(s(context)^2))"
