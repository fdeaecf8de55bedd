"""Counts whose variance is their mean."""

from dataclasses import dataclass, field

import jax
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.distributions import PoissonLogMean
from probvae.interfaces import AbstractLikelihood, Scope
from probvae.likelihoods.means import AbstractMean, FreeMean, check_mean
from probvae.typing import Shape


@dataclass(frozen=True)
class Poisson(AbstractLikelihood):
    """p(x|z) = prod_d mu_d^x_d exp(-mu_d) / x_d!, mu as the component ``mean`` says.

    Args:
        mean: ``FreeMean()``, or ``LibrarySize()`` where the context holds the log library size.

    Reference: Lopez et al. 2018, Nature Methods 15:1053, whose negative binomial it is the limit of.
    """

    support = constraints.nonnegative_integer
    data_range = (0.0, float("inf"))
    mean: AbstractMean = field(default_factory=FreeMean)

    def __post_init__(self) -> None:
        check_mean(self)

    def output_shape(self, event_shape: Shape) -> Shape:
        return event_shape

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return PoissonLogMean(self.mean(outputs, scope))

    def __str__(self) -> str:
        return f"Poisson(mu), {self.mean}"
