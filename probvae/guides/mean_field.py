"""The mean-field normal guide."""

import math
from dataclasses import dataclass

import jax
import numpyro.distributions as dist

from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape

_UNIT = math.log(math.expm1(1.0))  # softplus(_UNIT) = 1


@dataclass(frozen=True)
class MeanField(AbstractDistributionGuide):
    """q(z|x) = Normal(z; m(x), diag(s(x)^2)), with s = softplus(r(x) + softplus^-1(1)) + min_scale.

    The encoder gives m and r for each unit. An output r = 0 means a scale of 1, the prior's; softplus
    keeps a wild output from overflowing, as exp would.

    Args:
        min_scale: the smallest standard deviation, in the code's units.

    Reference: Kingma and Welling 2014, arXiv:1312.6114, section 3.
    """

    min_scale: float = 1e-5

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim, 2)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        loc, raw = outputs[..., 0], outputs[..., 1]
        return dist.Normal(loc, jax.nn.softplus(raw + _UNIT) + self.min_scale).to_event(1)

    def __str__(self) -> str:
        return "Normal(m(x), diag(s(x)^2))"
