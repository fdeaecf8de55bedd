"""Relaxed discrete codes as priors."""

import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.distributions import ExpConcrete, check_temperature
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class RelaxedBernoulli(AbstractDistributionPrior):
    """z_i ~ Logistic(log(p / (1 - p)) / t, 1 / t); the decoder is given sigmoid(z): relaxed bits.

    The site holds the bits' logits, so that no density is taken at a bit that rounds to 0 or 1; it
    lives on the real line, and any guide of the plane fits (``guides.RelaxedBernoulli`` the family of
    the paper). As t goes to 0 the code becomes ``Bernoulli(p)``. The ELBO is that of the relaxed model:
    to score the discrete one, fit ``Bernoulli`` parts with ``init_params=fitted.params``.

    Args:
        probability: p.
        temperature: t.

    Raises:
        ValueError: for a probability outside (0, 1), or a temperature that is not positive.

    Reference: Maddison, Mnih and Teh 2017, arXiv:1611.00712, sections 3.3 and C.3.2 (binary concrete).
    """

    probability: float = 0.5
    temperature: float = field(default=0.5, kw_only=True)

    def __post_init__(self) -> None:
        check_temperature(self)
        if not 0 < self.probability < 1:
            raise ValueError(
                f"RelaxedBernoulli(probability=...) expects a number in (0, 1); got "
                f"{self.probability!r}."
            )

    def distribution(self, scope: Scope) -> dist.Distribution:
        loc = math.log(self.probability / (1 - self.probability)) / self.temperature
        return dist.Logistic(jnp.full(scope.latent_dim, loc), 1 / self.temperature).to_event(1)

    def code(self, z: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(z)

    def __str__(self) -> str:
        return f"logit of relaxed Bernoulli({self.probability:g}), temperature {self.temperature:g}"


@dataclass(frozen=True)
class RelaxedCategorical(AbstractDistributionPrior):
    """z ~ ExpConcrete(0, t), uniform over K = ``latent_dim`` classes; the decoder is given exp(z).

    Args:
        temperature: t; as it goes to 0 the code becomes ``Categorical()``.

    Reference: Maddison, Mnih and Teh 2017, arXiv:1611.00712; Jang, Gu and Poole 2017,
    arXiv:1611.01144 (there with the categorical KL, which is no bound for the relaxed code).
    """

    temperature: float = 0.5

    def __post_init__(self) -> None:
        check_temperature(self)

    def distribution(self, scope: Scope) -> dist.Distribution:
        return ExpConcrete(jnp.zeros(scope.latent_dim), self.temperature)

    def code(self, z: jax.Array) -> jax.Array:
        return jnp.exp(z)

    def __str__(self) -> str:
        return f"log of relaxed Categorical(1/K), temperature {self.temperature:g}"
