"""A guide over K classes, as one-hot codes."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist

from probvae.distributions import OneHotCategorical
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class Categorical(AbstractDistributionGuide):
    r"""One of K classes: z is one-hot, of length K = ``latent_dim``.

    $q(z = e_k | x) = \mathrm{softmax}(l(x))_k$, with the logits l from the encoder. ``objectives.ELBO``
    sums over the K codes exactly.

    Reference: Kingma et al. 2014, arXiv:1406.5298. The class variable of their model M2 is summed over,
    too.
    """

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim,)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return OneHotCategorical(outputs)

    def __str__(self) -> str:
        return "Categorical(softmax(l(x)))"
