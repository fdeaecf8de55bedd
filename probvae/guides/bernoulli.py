"""A guide of independent bits."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist

from probvae.distributions import Bits
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class Bernoulli(AbstractDistributionGuide):
    r"""Independent bits: z is a vector of zeros and ones, as floats.

    $q(z|x) = \prod_i \mathrm{Bernoulli}(z_i; \sigma(l_i(x)))$, with the logits l from the encoder.

    For up to 10 bits, ``objectives.ELBO`` sums over all 2^D codes exactly. For more bits, use
    ``numpyro.infer.TraceGraph_ELBO`` (score function).

    Reference: Mnih and Gregor 2014, arXiv:1402.0030.
    """

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim,)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return Bits(outputs).to_event(1)

    def __str__(self) -> str:
        return "Bernoulli(sigmoid(l(x)))"
