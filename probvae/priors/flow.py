"""A prior that is a normalizing flow."""

from dataclasses import dataclass, field

import jax.numpy as jnp
import numpyro.distributions as dist

from probvae import flows
from probvae.checks import PositiveInt
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class Flow(AbstractDistributionPrior):
    r"""A normalizing flow: invertible layers f map the code to a standard normal.

    $z = f^{-1}(e)$, $e \sim \mathrm{Normal}(0, I)$, so that
    $\log p(z) = \log \mathrm{Normal}(f(z); 0, I) + \log |\det df/dz|$. Scoring a code runs the layers
    in their fast direction.

    Args:
        layer: the kind of layer: ``flows.Coupling()`` (RealNVP), ``flows.SplineCoupling()``, or
            ``flows.Autoregressive()`` (MAF, where a draw takes ``latent_dim`` passes per layer).
        depth: the number of layers.

    Reference: Chen et al. 2017, arXiv:1611.02731 (an autoregressive flow as the prior). Each layer
    names its own paper.
    """

    layer: flows.AbstractLayer = field(default_factory=flows.Coupling)
    depth: PositiveInt = 4

    def distribution(self, scope: Scope) -> dist.Distribution:
        n = scope.latent_dim
        layers = flows.transforms(self.layer, self.depth, "prior$flow", n, training=scope.training)
        base = dist.Normal(jnp.zeros(n), 1.0).to_event(1)
        return dist.TransformedDistribution(base, [layer.inv for layer in reversed(layers)])

    def __str__(self) -> str:
        return f"f^-1(Normal(0, I)), f {self.depth} layers: {self.layer}"
