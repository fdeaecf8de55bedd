"""A prior over K classes, as one-hot codes."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from probvae.distributions import OneHotCategorical
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class Categorical(AbstractDistributionPrior):
    """One of K classes: the code is one-hot, of length K = ``latent_dim``.

    $p(z = e_k) = w_k$, where $w_k = 1/K$ unless you learn it.

    Args:
        learned: learn the weights w.

    Reference: Jang, Gu and Poole 2017, arXiv:1611.01144. Their code consists of many categoricals.
    """

    learned: bool = False

    def distribution(self, scope: Scope) -> dist.Distribution:
        logits = jnp.zeros(scope.latent_dim)
        return OneHotCategorical(numpyro.param("prior$logits", logits) if self.learned else logits)

    def __str__(self) -> str:
        return "Categorical(w), learned" if self.learned else "Categorical(1/K)"
