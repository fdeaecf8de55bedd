"""A likelihood of real-valued data: independent normal entries."""

from dataclasses import dataclass, field

import jax
import numpyro.distributions as dist

from probvae.interfaces import AbstractLikelihood, Scope
from probvae.likelihoods.scales import LearnedScale, Scale
from probvae.typing import Shape


@dataclass(frozen=True)
class Gaussian(AbstractLikelihood):
    r"""Independent normal entries. The component ``scale`` supplies the standard deviation sigma.

    $p(x|z) = \prod_d \mathrm{Normal}(x_d; f_d(z), \sigma_d^2)$.

    Args:
        scale: one of ``FixedScale``, ``LearnedScale``, ``ColumnScale``, ``PixelScale`` or
            ``OptimalScale``.

    Reference: Kingma and Welling 2014, arXiv:1312.6114. For sigma: Rybkin, Daniilidis and Levine 2021,
    arXiv:2006.13202.

    Examples:
        >>> from probvae import likelihoods
        >>> print(likelihoods.Gaussian(scale=likelihoods.FixedScale(0.5)))
        Normal(f(z), sigma^2), sigma = 0.5
    """

    scale: Scale = field(default_factory=LearnedScale)

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, 1 + self.scale.num_outputs)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        loc = outputs[..., 0]
        return dist.Normal(loc, self.scale(loc, outputs[..., 1:], scope))

    def __str__(self) -> str:
        return f"Normal(f(z), sigma^2), {self.scale}"
