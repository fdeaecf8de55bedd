"""A guide that is a normalizing flow of a normal."""

from dataclasses import dataclass, field

import jax
import numpyro.distributions as dist

from probvae import flows
from probvae.checks import PositiveFloat, PositiveInt, scale_bound
from probvae.distributions import diagonal_normal
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class Flow(AbstractDistributionGuide):
    r"""A normalizing flow of a diagonal normal, with layers f that depend on x through h(x).

    $z = f(e; h(x))$, $e \sim \mathrm{Normal}(m(x), \mathrm{diag}(s(x)^2))$.

    For each unit the encoder returns m, r with $\log s = b \tanh(r / 2b)$ as in ``MeanField``, and one
    entry of h, which every layer reads. With layers at the identity this guide equals ``MeanField``.

    A ``VampPrior`` evaluates the density at codes that this guide did not draw. Then
    ``flows.Autoregressive`` must be inverted, which takes ``latent_dim`` passes for each pseudo-input.
    A coupling layer takes one pass.

    Args:
        layer: the kind of layer, such as ``flows.Autoregressive()`` (IAF) or ``flows.Coupling()``.
        depth: the number of layers.
        log_bound: b, the bound on $|\log s|$, in nats.

    Reference: Rezende and Mohamed 2015, arXiv:1505.05770. Kingma et al. 2016, arXiv:1606.04934.
    """

    layer: flows.AbstractLayer = field(default_factory=flows.Autoregressive)
    depth: PositiveInt = 2
    log_bound: PositiveFloat = scale_bound(10.0, looser=1.0)

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
        # outputs: (batch, n, 3), for m, r and h
        base = diagonal_normal(outputs[..., :2], self.log_bound)
        return dist.TransformedDistribution(base, layers)

    def __str__(self) -> str:
        return f"f(Normal(m(x), diag(s(x)^2)); h(x)), f {self.depth} layers: {self.layer}"
