"""A flow of the standard normal as the prior."""

from dataclasses import dataclass, field

import jax.numpy as jnp
import numpyro.distributions as dist

from probvae import flows
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class Flow(AbstractDistributionPrior):
    """p(z): z = f^-1(e), e ~ Normal(0, I), f invertible layers; log p(z) = log N(f(z)) + log |df/dz|.

    The layers run in their fast direction when a code is scored.

    Args:
        layer: the kind of layer: ``flows.Coupling()`` (RealNVP), ``flows.SplineCoupling()``,
            ``flows.Autoregressive()`` (MAF: generation takes ``latent_dim`` passes a layer).
        depth: how many.

    Reference: Chen et al. 2017, arXiv:1611.02731 (an autoregressive flow as the prior); for the
    layers, their own.
    """

    layer: flows.AbstractLayer = field(default_factory=flows.Coupling)
    depth: int = 4

    def __post_init__(self) -> None:
        flows.check_flow(self)

    def distribution(self, scope: Scope) -> dist.Distribution:
        n = scope.latent_dim
        layers = flows.transforms(self.layer, self.depth, "prior$flow", n, training=scope.training)
        base = dist.Normal(jnp.zeros(n), 1.0).to_event(1)
        return dist.TransformedDistribution(base, [layer.inv for layer in reversed(layers)])

    def __str__(self) -> str:
        return f"f^-1(Normal(0, I)), f {self.depth} layers: {self.layer}"
