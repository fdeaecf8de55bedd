"""Real-valued data with heavier tails than the Gaussian's."""

from dataclasses import dataclass, field

import jax
import numpyro.distributions as dist

from probvae.interfaces import AbstractLikelihood, Scope
from probvae.likelihoods.scales import AbstractScale, LearnedScale, check_scale
from probvae.typing import Shape


@dataclass(frozen=True)
class Laplace(AbstractLikelihood):
    """p(x|z) = prod_d exp(-|x_d - f_d(z)| / b_d) / (2 b_d), b as the component ``scale`` says.

    Its location is a median: the absolute error with its constant. The standard deviation is
    sqrt(2) b. Where x = f(z) the gradient is taken as 0.

    Args:
        scale: b in the data's units: one of ``FixedScale``, ``LearnedScale``, ``PixelScale``.

    Reference: Kingma and Welling 2014, arXiv:1312.6114, section 2.4.
    """

    scale: AbstractScale = field(default_factory=LearnedScale)

    def __post_init__(self) -> None:
        check_scale(self)

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, 1 + self.scale.num_outputs)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        loc = outputs[..., 0]
        return dist.Laplace(loc, self.scale(loc, outputs[..., 1:], scope))

    def __str__(self) -> str:
        return f"Laplace(f(z), b), with b for sigma in: {self.scale}"
