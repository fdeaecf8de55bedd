"""Relaxed discrete codes as guides."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist

from probvae.distributions import ExpConcrete, check_temperature
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class RelaxedBernoulli(AbstractDistributionGuide):
    """q(z_i|x) = Logistic(z_i; l_i(x) / t, 1 / t): sigmoid(z) is a relaxed bit (binary concrete).

    The encoder's outputs are those of ``guides.Bernoulli``: the parameters of one start the other.

    Args:
        temperature: t; low ones are near bits, and give gradients of high variance.

    Reference: Maddison, Mnih and Teh 2017, arXiv:1611.00712 (2/3 is theirs).
    """

    temperature: float = 2 / 3

    def __post_init__(self) -> None:
        check_temperature(self)

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim,)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return dist.Logistic(outputs / self.temperature, 1 / self.temperature).to_event(1)

    def __str__(self) -> str:
        return f"Logistic(l(x) / t, 1 / t), t = {self.temperature:.3g}"


@dataclass(frozen=True)
class RelaxedCategorical(AbstractDistributionGuide):
    """q(z|x) = ExpConcrete(z; l(x), t): exp(z) is a relaxed one of K = ``latent_dim``.

    Args:
        temperature: t.

    Reference: Maddison, Mnih and Teh 2017, arXiv:1611.00712; Jang, Gu and Poole 2017, arXiv:1611.01144.
    """

    temperature: float = 2 / 3

    def __post_init__(self) -> None:
        check_temperature(self)

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim,)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return ExpConcrete(outputs, self.temperature)

    def __str__(self) -> str:
        return f"ExpConcrete(l(x), t), t = {self.temperature:.3g}"
