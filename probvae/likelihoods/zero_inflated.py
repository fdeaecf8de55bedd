"""A likelihood of counts with excess zeros: independent zero-inflated negative binomial entries."""

from dataclasses import dataclass, field

import jax
import numpyro.distributions as dist

from probvae.checks import PositiveFloat
from probvae.interfaces import Scope
from probvae.likelihoods.count_base import AbstractCounts
from probvae.likelihoods.negative_binomial import negative_binomial
from probvae.typing import Shape


@dataclass(frozen=True)
class ZeroInflatedNegativeBinomial(AbstractCounts):
    r"""Independent counts with more zeros than their mean explains.

    $p(x|z) = \prod_d \pi_d [x_d = 0] + (1 - \pi_d) \mathrm{NB}(x_d; \mu_d, r_d)$, with
    $\pi = \sigma(g(z))$ and $\log \mu_d = m_d + f_d(z)$.

    The decoder returns f, and g, the logit of $\pi$. m (``"likelihood$log_mean"``) and r
    (``"likelihood$log_concentration"``) are learned, with one number per entry. The mean is
    $(1 - \pi) \mu$. The encoder sees log(1 + x), unless it is ``nets.InputTransform``.

    Args:
        mean: ``FreeMean()``, or ``LibrarySize()`` if the context holds the log library size.
        start: initial value of r, for all entries.

    Reference: Lopez et al. 2018, Nature Methods 15:1053 (scVI).
    """

    start: PositiveFloat = field(default=1.0, kw_only=True)

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, 2)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        p = negative_binomial(self.log_mean(outputs[..., 0], scope), self.start)
        return dist.ZeroInflatedDistribution(p, gate_logits=outputs[..., 1])

    def __str__(self) -> str:
        return f"pi(z) [x = 0] + (1 - pi(z)) NegativeBinomial(mu, r), {self.mean}, r learned per entry"
