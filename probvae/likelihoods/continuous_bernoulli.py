"""A likelihood of grey levels in [0, 1]: independent continuous Bernoulli entries."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae import distributions
from probvae.interfaces import AbstractLikelihood, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class ContinuousBernoulli(AbstractLikelihood):
    r"""Independent entries in [0, 1], each with a continuous Bernoulli distribution.

    $p(x|z) = \prod_d C(\lambda_d) \lambda_d^{x_d} (1 - \lambda_d)^{1 - x_d}$, with
    $\lambda = \sigma(f(z))$.

    The Bernoulli formula is often used for grey levels, where it does not integrate to 1. The constant
    $C(\lambda)$ makes it a density.

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
