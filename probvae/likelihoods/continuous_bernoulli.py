"""Grey levels in [0, 1]."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae import distributions
from probvae.interfaces import AbstractLikelihood, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class ContinuousBernoulli(AbstractLikelihood):
    """p(x|z) = prod_d C(lambda_d) lambda_d^x_d (1 - lambda_d)^(1 - x_d), lambda = sigmoid(f(z)).

    For x in [0, 1]: the Bernoulli likelihood that is often given grey values, with the constant C
    that makes it a density there.

    Reference: Loaiza-Ganem and Cunningham 2019, arXiv:1907.06845.
    """

    support = constraints.unit_interval
    data_range = (0.0, 1.0)

    def output_shape(self, event_shape: Shape) -> Shape:
        return event_shape

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return distributions.ContinuousBernoulli(outputs)

    def __str__(self) -> str:
        return "ContinuousBernoulli(logits = f(z))"
