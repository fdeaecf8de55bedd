"""A normal prior that depends on the context."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpyro.distributions as dist

from probvae import nets
from probvae.checks import scale_bound
from probvae.distributions import check_bound, diagonal_normal
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class ConditionalNormal(AbstractDistributionPrior):
    """p(z | c) = Normal(z; m(c), diag(s(c)^2)), m and s by a net of the context c.

    log s = b tanh(r / 2b), r the net's second output for each unit. Needs ``VAE(context_shape=...)``.

    Args:
        net: a recipe of the net.
        log_bound: b, the bound on |log s|.

    Reference: Sohn, Lee and Yan 2015, "Learning structured output representation using deep
    conditional generative models".
    """

    net: nets.Recipe = nets.MLP((100,))
    log_bound: float = scale_bound(10.0, looser=1.0)

    def __post_init__(self) -> None:
        check_bound(self, self.log_bound)

    def distribution(self, scope: Scope) -> dist.Distribution:
        if not scope.context_shape:
            raise ValueError(
                "the prior ConditionalNormal is p(z | context), and this VAE has context_shape=(). Build it "
                "with VAE(..., context_shape=...), or take a prior without context such as "
                "priors.StandardNormal()."
            )
        shape = (scope.latent_dim, 2)
        net = nets.register("prior$net", self.net, scope.context_shape, shape, training=scope.training)
        return diagonal_normal(net(jnp.asarray(scope.context)), self.log_bound)

    def __str__(self) -> str:
        return "Normal(m(context), diag(s(context)^2))"
