"""One of K as the prior."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from probvae.distributions import OneHotCategorical
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class Categorical(AbstractDistributionPrior):
    """p(z = e_k) = w_k, z one-hot of length K = ``latent_dim``; w_k = 1/K unless learned.

    Args:
        learned: learn w.

    Reference: Jang, Gu and Poole 2017, arXiv:1611.01144 (there one code of many categoricals).
    """

    learned: bool = False

    def distribution(self, scope: Scope) -> dist.Distribution:
        logits = jnp.zeros(scope.latent_dim)
        return OneHotCategorical(numpyro.param("prior$logits", logits) if self.learned else logits)

    def __str__(self) -> str:
        return "Categorical(w), learned" if self.learned else "Categorical(1/K)"
