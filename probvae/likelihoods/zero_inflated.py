"""Counts with more zeros than their mean explains."""

from dataclasses import dataclass, field

import jax
import numpyro.distributions as dist

from probvae.interfaces import Scope
from probvae.likelihoods.count_base import AbstractCounts
from probvae.likelihoods.negative_binomial import check_start, negative_binomial
from probvae.typing import Shape


@dataclass(frozen=True)
class ZeroInflatedNegativeBinomial(AbstractCounts):
    """p(x|z) = prod_d pi_d [x_d = 0] + (1 - pi_d) NB(x_d; mu_d, r_d).

    The decoder gives the mean's output and the gate's logit, pi = sigmoid(g(z)); r has one learned
    value per entry (``"likelihood$log_concentration"``), and log mu_d = m_d + f_d(z) with m learned
    (``"likelihood$log_mean"``). The mean is (1 - pi) mu. The encoder sees log(1 + x), unless it is
    ``nets.InputTransform``.

    Args:
        mean: ``FreeMean()``, or ``LibrarySize()`` where the context holds the log library size.
        start: r at the start, for all entries.

    Reference: Lopez et al. 2018, Nature Methods 15:1053 (scVI).
    """

    start: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_start(self)

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, 2)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        p = negative_binomial(self, outputs[..., 0], scope)
        return dist.ZeroInflatedDistribution(p, gate_logits=outputs[..., 1])

    def __str__(self) -> str:
        return f"pi(z) [x = 0] + (1 - pi(z)) NegativeBinomial(mu, r), {self.mean}, r learned per entry"
