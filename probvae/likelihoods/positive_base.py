"""The base class of likelihoods of positive numbers: the support, and the encoder's view."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from numpyro.distributions import constraints

from probvae.interfaces import AbstractLikelihood


@dataclass(frozen=True)
class Log:
    """log x, the encoder's view of positive numbers, whose scale may span decades."""

    def __call__(self, x: jax.Array) -> jax.Array:
        # Pseudo-inputs of a VampPrior may underflow to 0.
        return jnp.log(jnp.maximum(x, jnp.finfo(x.dtype).tiny))

    def __str__(self) -> str:
        return "log x"


class AbstractPositive(AbstractLikelihood):
    """A likelihood of numbers above 0. The encoder sees log x. A missing entry is filled with 1."""

    support = constraints.positive
    data_range = (0.0, float("inf"))
    fill = 1.0

    @property
    def encoder_view(self) -> Log:
        return Log()
