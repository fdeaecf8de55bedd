"""The guide that is a flow of a normal."""

from dataclasses import dataclass, field

import jax
import numpyro.distributions as dist

from probvae import flows
from probvae.checks import scale_bound
from probvae.distributions import check_bound, diagonal_normal
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class Flow(AbstractDistributionGuide):
    """q(z|x): z = f(e; h(x)), e ~ Normal(m(x), diag(s(x)^2)), f invertible layers.

    The encoder gives, for each unit, m, r with log s = b tanh(r / 2b) as in ``MeanField``, and one
    entry of h, which every layer is told. With layers at the identity this is ``MeanField``.

    Under a ``VampPrior`` the density is needed at codes that this guide did not draw: then
    ``flows.Autoregressive`` is inverted, ``latent_dim`` passes for each pseudo-input; a coupling
    layer costs one pass.

    Args:
        layer: the kind of layer: ``flows.Autoregressive()`` (IAF), ``flows.Coupling()``, ...
        depth: how many.
        log_bound: b, the bound on |log s|, in nats of the code's units.

    Reference: Rezende and Mohamed 2015, arXiv:1505.05770; Kingma et al. 2016, arXiv:1606.04934.
    """

    layer: flows.AbstractLayer = field(default_factory=flows.Autoregressive)
    depth: int = 2
    log_bound: float = scale_bound(10.0, looser=1.0)

    def __post_init__(self) -> None:
        flows.check_flow(self)
        check_bound(self, self.log_bound)

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim, 3)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        layers = flows.transforms(
            self.layer,
            self.depth,
            "guide$flow",
            scope.latent_dim,
            outputs[..., 2],
            training=scope.training,
        )
        base = diagonal_normal(outputs[..., :2], self.log_bound)
        return dist.TransformedDistribution(base, layers)

    def __str__(self) -> str:
        return f"f(Normal(m(x), diag(s(x)^2)); h(x)), f {self.depth} layers: {self.layer}"
