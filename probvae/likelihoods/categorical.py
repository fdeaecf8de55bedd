"""A likelihood of entries that take one of K levels."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.checks import IntAboveOne
from probvae.distributions import CategoricalLevels
from probvae.interfaces import AbstractLikelihood, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class Categorical(AbstractLikelihood):
    r"""Independent entries with K levels, $x_d \in \{0, \ldots, K - 1\}$.

    $p(x|z) = \prod_d \mathrm{softmax}(f_d(z))_{x_d}$.

    The nets see the level as a number. Levels may be names without an order. ``reconstruct`` therefore
    returns the most probable level, and ``fitted.probabilities(x)`` the probability of each. If your
    levels are ordered, ``fitted.decode(z).mean`` is their mean.

    Args:
        levels: K.

    Reference: van den Oord et al. 2016, arXiv:1601.06759, section 3.3.
    """

    levels: IntAboveOne

    def __post_init__(self) -> None:
        # They depend on K, so they cannot be class attributes as in other likelihoods.
        object.__setattr__(self, "support", constraints.integer_interval(0, self.levels - 1))
        object.__setattr__(self, "data_range", (0.0, float(self.levels - 1)))

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, self.levels)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return CategoricalLevels(outputs)

    def __str__(self) -> str:
        return f"Categorical(logits = f(z)), {self.levels} levels"
