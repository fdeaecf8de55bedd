"""A prior of independent bits."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from probvae.checks import OpenUnitInterval
from probvae.distributions import Bits
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class Bernoulli(AbstractDistributionPrior):
    r"""Independent bits: the code is a vector of ``latent_dim`` zeros and ones, as floats.

    $p(z) = \prod_i p_i^{z_i} (1 - p_i)^{1 - z_i}$.

    Args:
        probability: $p_i$, or its initial value if it is learned.
        learned: learn $p_i$ for each bit.

    Reference: Mnih and Gregor 2014, arXiv:1402.0030.
    """

    probability: OpenUnitInterval = 0.5
    learned: bool = False

    def distribution(self, scope: Scope) -> dist.Distribution:
        start = math.log(self.probability / (1 - self.probability))
        logits = jnp.full(scope.latent_dim, start)
        return Bits(numpyro.param("prior$logits", logits) if self.learned else logits).to_event(1)

    def __str__(self) -> str:
        return "Bernoulli(p), learned" if self.learned else f"Bernoulli({self.probability:g})"
