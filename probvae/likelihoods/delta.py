"""A deterministic decoder, without a density until ``Spread`` adds noise."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist

from probvae.interfaces import AbstractLikelihood, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class Delta(AbstractLikelihood):
    """A point mass at the decoder's output, $x = f(z)$. Use it inside ``Spread``: it has no density.

    Reference: Zhang et al. 2020, Spread divergence, arXiv:1811.08968, section 4 (delta-VAE).
    """

    is_density = False

    def output_shape(self, event_shape: Shape) -> Shape:
        return event_shape

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return dist.Delta(outputs)

    def __str__(self) -> str:
        return "Delta(f(z))"
