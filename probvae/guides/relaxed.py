"""Guides of relaxed discrete codes: binary concrete, and concrete on the log scale."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist

from probvae.checks import PositiveFloat
from probvae.distributions import ExpConcrete
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class RelaxedBernoulli(AbstractDistributionGuide):
    r"""Relaxed bits: sigmoid(z) is a relaxed bit (binary concrete).

    $q(z_i|x) = \mathrm{Logistic}(z_i; l_i(x) / t, 1 / t)$, with the logits l from the encoder.

    The encoder's outputs are those of ``guides.Bernoulli``, so that the parameters of one guide can
    start the other.

    Args:
        temperature: t. At low values codes are nearly bits, and gradients have a high variance.

    Reference: Maddison, Mnih and Teh 2017, arXiv:1611.00712, from which the default 2/3 comes.
    """

    temperature: PositiveFloat = 2 / 3

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim,)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return dist.Logistic(outputs / self.temperature, 1 / self.temperature).to_event(1)

    def __str__(self) -> str:
        return f"Logistic(l(x) / t, 1 / t), t = {self.temperature:.3g}"


@dataclass(frozen=True)
class RelaxedCategorical(AbstractDistributionGuide):
    r"""A relaxed class: exp(z) is a relaxed one-hot vector of length K = ``latent_dim``.

    $q(z|x) = \mathrm{ExpConcrete}(z; l(x), t)$, with the logits l from the encoder.

    Args:
        temperature: t.

    Reference: Maddison, Mnih and Teh 2017, arXiv:1611.00712. Jang, Gu and Poole 2017, arXiv:1611.01144.
    """

    temperature: PositiveFloat = 2 / 3

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim,)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return ExpConcrete(outputs, self.temperature)

    def __str__(self) -> str:
        return f"ExpConcrete(l(x), t), t = {self.temperature:.3g}"
