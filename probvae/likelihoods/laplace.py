"""A likelihood of real-valued data with the absolute error: independent Laplace entries."""

from dataclasses import dataclass, field

import jax
import numpyro.distributions as dist

from probvae.interfaces import AbstractLikelihood, Scope
from probvae.likelihoods.scales import LearnedScale, NonOptimalScale
from probvae.typing import Shape


@dataclass(frozen=True)
class Laplace(AbstractLikelihood):
    r"""Independent Laplace entries: the absolute error, with its normalising constant.

    $p(x|z) = \prod_d \exp(-|x_d - f_d(z)| / b_d) / (2 b_d)$. The component ``scale`` supplies b.

    The location is a median, and the standard deviation is $\sqrt{2} b$. Where $x = f(z)$ the gradient
    is 0.

    Args:
        scale: b in the data's units: ``FixedScale``, ``LearnedScale``, ``ColumnScale`` or
            ``PixelScale``.

    Reference: Kingma and Welling 2014, arXiv:1312.6114, section 2.4.
    """

    scale: NonOptimalScale = field(default_factory=LearnedScale)

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, 1 + self.scale.num_outputs)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        loc = outputs[..., 0]
        return dist.Laplace(loc, self.scale(loc, outputs[..., 1:], scope))

    def __str__(self) -> str:
        return f"Laplace(f(z), b), with b for sigma in: {self.scale}"
