"""A likelihood of binary data: independent Bernoulli entries."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.distributions import BernoulliLogits
from probvae.interfaces import AbstractLikelihood, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class Bernoulli(AbstractLikelihood):
    r"""Independent binary entries, x in {0, 1}.

    $p(x|z) = \prod_d \mathrm{Bernoulli}(x_d; \sigma(f_d(z)))$.

    The decoder returns logits f(z), so no probability is ever clipped.

    Reference: Kingma and Welling 2014, arXiv:1312.6114, appendix C.1.

    Examples:
        >>> from probvae import likelihoods
        >>> print(likelihoods.Bernoulli())
        Bernoulli(logits = f(z))
    """

    support = constraints.boolean
    data_range = (0.0, 1.0)

    def output_shape(self, event_shape: Shape) -> Shape:
        return event_shape

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return BernoulliLogits(outputs)

    def __str__(self) -> str:
        return "Bernoulli(logits = f(z))"
