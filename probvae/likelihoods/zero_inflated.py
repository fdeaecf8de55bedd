"""Counts with more zeros than their mean explains."""

from dataclasses import dataclass, field

import jax
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.interfaces import AbstractLikelihood, Scope
from probvae.likelihoods.means import AbstractMean, FreeMean, check_mean
from probvae.likelihoods.negative_binomial import check_start, negative_binomial
from probvae.typing import Shape


@dataclass(frozen=True)
class ZeroInflatedNegativeBinomial(AbstractLikelihood):
    """p(x|z) = prod_d pi_d [x_d = 0] + (1 - pi_d) NB(x_d; mu_d, r_d).

    The decoder gives the mean's output and the gate's logit, pi = sigmoid(g(z)); r has one learned
    value per entry (``"likelihood$log_concentration"``). The mean is (1 - pi) mu.

    Args:
        mean: ``FreeMean()``, or ``LibrarySize()`` where the context holds the log library size.
        start: r at the start, for all entries.

    Reference: Lopez et al. 2018, Nature Methods 15:1053 (scVI).
    """

    support = constraints.nonnegative_integer
    data_range = (0.0, float("inf"))
    mean: AbstractMean = field(default_factory=FreeMean)
    start: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        check_mean(self)
        check_start(self)

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, 2)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        p = negative_binomial(self, outputs[..., 0], scope)
        return dist.ZeroInflatedDistribution(p, gate_logits=outputs[..., 1])

    def __str__(self) -> str:
        return f"pi(z) [x = 0] + (1 - pi(z)) NegativeBinomial(mu, r), {self.mean}, r learned per entry"
