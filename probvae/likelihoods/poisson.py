"""A likelihood of counts whose variance equals their mean: independent Poisson entries."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist

from probvae.distributions import PoissonLogMean
from probvae.interfaces import Scope
from probvae.likelihoods.count_base import AbstractCounts
from probvae.typing import Shape


@dataclass(frozen=True)
class Poisson(AbstractCounts):
    r"""Independent Poisson counts, whose variance equals their mean $\mu$.

    $p(x|z) = \prod_d \mu_d^{x_d} \exp(-\mu_d) / x_d!$, with $\log \mu_d = m_d + f_d(z)$.

    m has one learned number per entry (``"likelihood$log_mean"``). ``fit`` starts it at the log of the
    data's mean. The encoder sees log(1 + x), unless it is ``nets.InputTransform``.

    Args:
        mean: ``FreeMean()``, or ``LibrarySize()`` if the context holds the log library size.

    Reference: Lopez et al. 2018, Nature Methods 15:1053. This is the limit of their negative binomial.
    """

    def output_shape(self, event_shape: Shape) -> Shape:
        return event_shape

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return PoissonLogMean(self.log_mean(outputs, scope))

    def __str__(self) -> str:
        return f"Poisson(mu), {self.mean}"
