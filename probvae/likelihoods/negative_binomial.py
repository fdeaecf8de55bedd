"""Counts that vary more than their mean."""

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from probvae.distributions import NegativeBinomialLogMean
from probvae.interfaces import Scope
from probvae.likelihoods.count_base import AbstractCounts
from probvae.typing import Shape


@dataclass(frozen=True)
class NegativeBinomial(AbstractCounts):
    """p(x|z) = prod_d NB(x_d; mean mu_d, concentration r_d), of variance mu_d + mu_d^2 / r_d.

    NB(x; mu, r) = Gamma(x + r) / (Gamma(r) x!) (r / (r + mu))^r (mu / (r + mu))^x. log mu_d =
    m_d + f_d(z); m and r are learned, one number per entry (``"likelihood$log_mean"``,
    ``"likelihood$log_concentration"``). The encoder sees log(1 + x), unless it is ``nets.InputTransform``.

    Args:
        mean: ``FreeMean()``, or ``LibrarySize()`` where the context holds the log library size.
        start: r at the start, for all entries.

    Reference: Lopez et al. 2018, Nature Methods 15:1053 (scVI; r is its theta).
    """

    start: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_start(self)

    def output_shape(self, event_shape: Shape) -> Shape:
        return event_shape

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return negative_binomial(self, outputs, scope)

    def __str__(self) -> str:
        return f"NegativeBinomial(mu, r), {self.mean}, r learned per entry"


def negative_binomial(likelihood: Any, raw: jax.Array, scope: Scope) -> dist.Distribution:
    """Return NB(mu, r) with the learned r of ``likelihood``."""
    start = jnp.full(raw.shape[1:], math.log(likelihood.start))
    log_concentration = numpyro.param("likelihood$log_concentration", start)
    return NegativeBinomialLogMean(likelihood.log_mean(raw, scope), log_concentration)


def check_start(likelihood: Any) -> None:
    """Raise unless the concentration starts at a positive number."""
    if not (math.isfinite(likelihood.start) and likelihood.start > 0):
        raise ValueError(
            f"{type(likelihood).__name__}(start=...) expects a positive concentration; got "
            f"{likelihood.start!r}."
        )
