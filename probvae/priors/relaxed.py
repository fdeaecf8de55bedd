"""Priors of relaxed discrete codes: binary concrete, and concrete on the log scale."""

import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.checks import OpenUnitInterval, PositiveFloat
from probvae.distributions import ExpConcrete
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class RelaxedBernoulli(AbstractDistributionPrior):
    r"""Relaxed bits (binary concrete). The decoder receives sigmoid(z).

    $z_i \sim \mathrm{Logistic}(\log(p / (1 - p)) / t, 1 / t)$. As t goes to 0, the code becomes
    ``Bernoulli(p)``.

    The site holds logits on the real line, so that no density is evaluated at a bit that rounds to 0
    or 1. Any guide on the real line works. ``guides.RelaxedBernoulli`` is the family of the paper.
    The ELBO is that of the relaxed model. To score the discrete model, fit ``Bernoulli`` parts with
    ``init_params=fitted.params``.

    Args:
        probability: p.
        temperature: t.

    Reference: Maddison, Mnih and Teh 2017, arXiv:1611.00712, sections 3.3 and C.3.2.
    """

    probability: OpenUnitInterval = 0.5
    temperature: PositiveFloat = field(default=0.5, kw_only=True)

    def distribution(self, scope: Scope) -> dist.Distribution:
        loc = math.log(self.probability / (1 - self.probability)) / self.temperature
        # log(p / (1 - p)) plus standard logistic noise, divided by t.
        return dist.Logistic(jnp.full(scope.latent_dim, loc), 1 / self.temperature).to_event(1)

    def code(self, z: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(z)

    def __str__(self) -> str:
        return f"logit of relaxed Bernoulli({self.probability:g}), temperature {self.temperature:g}"


@dataclass(frozen=True)
class RelaxedCategorical(AbstractDistributionPrior):
    r"""A relaxed class, uniform over K = ``latent_dim``. The decoder receives exp(z).

    $z \sim \mathrm{ExpConcrete}(0, t)$. As t goes to 0, the code becomes ``Categorical()``.

    Args:
        temperature: t.

    Reference: Maddison, Mnih and Teh 2017, arXiv:1611.00712. Jang, Gu and Poole 2017,
    arXiv:1611.01144, use the categorical KL, which gives no bound for the relaxed code.
    """

    temperature: PositiveFloat = 0.5

    def distribution(self, scope: Scope) -> dist.Distribution:
        return ExpConcrete(jnp.zeros(scope.latent_dim), self.temperature)

    def code(self, z: jax.Array) -> jax.Array:
        return jnp.exp(z)

    def __str__(self) -> str:
        return f"log of relaxed Categorical(1/K), temperature {self.temperature:g}"
