"""A likelihood of counts whose variance exceeds their mean: independent negative binomial entries."""

import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from probvae.checks import PositiveFloat
from probvae.distributions import NegativeBinomialLogMean
from probvae.interfaces import Scope
from probvae.likelihoods.count_base import AbstractCounts
from probvae.typing import Shape


@dataclass(frozen=True)
class NegativeBinomial(AbstractCounts):
    r"""Independent counts with mean $\mu$ and variance $\mu + \mu^2 / r$.

    $p(x|z) = \prod_d \mathrm{NB}(x_d; \mu_d, r_d)$, with $\log \mu_d = m_d + f_d(z)$ and
    $\mathrm{NB}(x; \mu, r) = \Gamma(x + r) / (\Gamma(r) x!) (r / (r + \mu))^r (\mu / (r + \mu))^x$.

    m and r are learned, with one number per entry (``"likelihood$log_mean"``,
    ``"likelihood$log_concentration"``). The encoder sees log(1 + x), unless it is
    ``nets.InputTransform``.

    Args:
        mean: ``FreeMean()``, or ``LibrarySize()`` if the context holds the log library size.
        start: initial value of r, for all entries.

    Reference: Lopez et al. 2018, Nature Methods 15:1053 (scVI, where r is called theta).
    """

    start: PositiveFloat = field(default=1.0, kw_only=True)

    def output_shape(self, event_shape: Shape) -> Shape:
        return event_shape

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return negative_binomial(self.log_mean(outputs, scope), self.start)

    def __str__(self) -> str:
        return f"NegativeBinomial(mu, r), {self.mean}, r learned per entry"


def negative_binomial(log_mean: jax.Array, start: float) -> dist.Distribution:
    """Return NB(mu, r) with a learned r, one number per entry, that starts at ``start``."""
    # The parameter is log r, so that r stays positive without a constraint.
    log_start = jnp.full(log_mean.shape[1:], math.log(start))
    log_concentration = numpyro.param("likelihood$log_concentration", log_start)
    return NegativeBinomialLogMean(log_mean, log_concentration)
