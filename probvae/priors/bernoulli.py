"""Independent bits as the prior."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from probvae.distributions import Bits
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class Bernoulli(AbstractDistributionPrior):
    """p(z) = prod_i p_i^z_i (1 - p_i)^(1 - z_i), z a vector of ``latent_dim`` bits (floats 0 and 1).

    Args:
        probability: p_i, or where it starts.
        learned: learn p_i for each bit.

    Raises:
        ValueError: for a probability outside (0, 1).

    Reference: Mnih and Gregor 2014, arXiv:1402.0030.
    """

    probability: float = 0.5
    learned: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise ValueError(
                f"Bernoulli(probability=...) expects a number in (0, 1); got {self.probability!r}."
            )

    def distribution(self, scope: Scope) -> dist.Distribution:
        start = math.log(self.probability / (1 - self.probability))
        logits = jnp.full(scope.latent_dim, start)
        return Bits(numpyro.param("prior$logits", logits) if self.learned else logits).to_event(1)

    def __str__(self) -> str:
        return "Bernoulli(p), learned" if self.learned else f"Bernoulli({self.probability:g})"
