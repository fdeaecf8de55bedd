"""Entries that take one of K levels."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.distributions import CategoricalLevels
from probvae.interfaces import AbstractLikelihood, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class Categorical(AbstractLikelihood):
    """p(x|z) = prod_d softmax(f_d(z))_(x_d), for x_d in {0, ..., K - 1}.

    The nets see the level as a number. Levels may be names without an order, so ``reconstruct`` gives
    the most probable one, and ``fitted.probabilities(x)`` that of each. For ordered levels the mean is
    ``fitted.decode(z).mean``.

    Args:
        levels: K.

    Raises:
        ValueError: for fewer than two levels.

    Reference: van den Oord et al. 2016, arXiv:1601.06759, section 3.3.
    """

    levels: int

    def __post_init__(self) -> None:
        if not isinstance(self.levels, int) or self.levels < 2:
            raise ValueError(f"Categorical(levels=...) expects at least 2; got {self.levels!r}.")
        object.__setattr__(self, "support", constraints.integer_interval(0, self.levels - 1))
        object.__setattr__(self, "data_range", (0.0, float(self.levels - 1)))

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, self.levels)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return CategoricalLevels(outputs)

    def __str__(self) -> str:
        return f"Categorical(logits = f(z)), {self.levels} levels"
