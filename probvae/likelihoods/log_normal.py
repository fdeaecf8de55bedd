"""A likelihood of positive numbers with relative errors: independent log-normal entries."""

from dataclasses import dataclass, field

import jax
import numpyro.distributions as dist

from probvae.distributions import soft_clip
from probvae.interfaces import Scope
from probvae.likelihoods.positive_base import AbstractPositive
from probvae.likelihoods.scales import MAX_LOG, LearnedScale, NonOptimalScale
from probvae.typing import Shape


@dataclass(frozen=True)
class LogNormal(AbstractPositive):
    r"""Independent positive entries whose logarithms are normal.

    $p(x|z) = \prod_d \mathrm{Normal}(\log x_d; f_d(z), \sigma_d^2) / x_d$. The component ``scale``
    supplies sigma, the standard deviation of log x.

    Use it for amounts with a relative error, such as incomes and concentrations. The median is
    $\exp(f)$ and the mean is $\exp(f + \sigma^2 / 2)$. A value of 0 has no logarithm and raises an
    error. The encoder sees log x, unless it is ``nets.InputTransform``. For data far from 1, such as
    amounts in the thousands, use ``Standardized(LogNormal())``: nets then see log x with mean 0 and
    standard deviation 1. f is softly clipped beyond 40.

    Args:
        scale: sigma of log x, which has no unit: ``FixedScale``, ``LearnedScale``, ``ColumnScale`` or
            ``PixelScale``.

    Reference: Nazabal et al. 2020, arXiv:1807.03653 (HI-VAE), section 2.1.

    Examples:
        >>> from probvae import likelihoods
        >>> print(likelihoods.LogNormal(scale=likelihoods.ColumnScale()))
        LogNormal(f(z), sigma^2), sigma learned per entry
    """

    scale: NonOptimalScale = field(default_factory=LearnedScale)

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, 1 + self.scale.num_outputs)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        loc = soft_clip(outputs[..., 0], -MAX_LOG, MAX_LOG)
        return dist.LogNormal(loc, self.scale(loc, outputs[..., 1:], scope))

    def __str__(self) -> str:
        return f"LogNormal(f(z), sigma^2), {self.scale}"
