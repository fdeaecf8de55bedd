"""A likelihood of whole numbers: the mass of the numbers that round to them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import jax
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.checks import Requirement
from probvae.distributions import RoundedLogNormal, RoundedNormal
from probvae.distributions.rounded import positive_whole, whole
from probvae.interfaces import AbstractLikelihood, InitialValues, Scope
from probvae.likelihoods.gaussian import Gaussian
from probvae.likelihoods.log_normal import LogNormal
from probvae.likelihoods.scales import OptimalScale
from probvae.likelihoods.standardized import Standardized
from probvae.typing import Shape


def _can_round(likelihood: AbstractLikelihood) -> bool:
    inner = likelihood.base if isinstance(likelihood, Standardized) else likelihood
    return isinstance(inner, Gaussian | LogNormal) and not isinstance(inner.scale, OptimalScale)


@dataclass(frozen=True)
class Rounded(AbstractLikelihood):
    r"""A likelihood of whole numbers, such as weights in grams or the day of a date.

    $p(x|z) = \prod_d (F_d(x_d + 1/2 | z) - F_d(x_d - 1/2 | z))$, with the distribution function F of
    the base.

    A density of whole numbers is misleading: it grows without bound where a number repeats. This is a
    probability, at most 1. In the limit of a large scale, its logarithm is that of the base's density.

    Args:
        base: ``Gaussian(...)`` for whole numbers or ``LogNormal(...)`` for those from 1 on, or
            ``Standardized`` of one of them.

    Reference: Heitjan 1989, Inference from grouped continuous data, Statistical Science 4. Theis, van
    den Oord and Bethge 2016, arXiv:1511.01844, section 3.1, for densities of discrete data.

    Examples:
        >>> from probvae import likelihoods
        >>> print(likelihoods.Rounded(likelihoods.Gaussian()))
        Normal(f(z), sigma^2), sigma learned, rounded to whole numbers
    """

    base: Annotated[
        AbstractLikelihood,
        Requirement("Gaussian(...), LogNormal(...), or Standardized of one of them", _can_round),
    ]

    def __post_init__(self) -> None:
        is_real = self.base.support is constraints.real
        object.__setattr__(self, "support", whole if is_real else positive_whole)
        object.__setattr__(self, "data_range", self.base.data_range)
        object.__setattr__(self, "fill", self.base.fill)

    def output_shape(self, event_shape: Shape) -> Shape:
        return self.base.output_shape(event_shape)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        p = self.base.distribution(outputs, scope)
        kind = RoundedLogNormal if isinstance(p, dist.LogNormal) else RoundedNormal
        return kind(p.loc, p.scale)

    @property
    def encoder_view(self) -> Callable[[jax.Array], jax.Array] | None:
        return self.base.encoder_view

    @property
    def initial_values(self) -> InitialValues | None:
        return self.base.initial_values

    def __str__(self) -> str:
        return f"{self.base}, rounded to whole numbers"
