"""An AR(1) process over the code's entries as the prior, with a committed rate."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class AutoregressiveNormal(AbstractDistributionPrior):
    """z_1 ~ Normal(0, 1), z_t = alpha z_(t-1) + e_t, e_t ~ Normal(0, 1 - alpha^2).

    Entries are correlated and each has variance 1, so that no normal with independent entries is this
    prior: under ``guides.MeanField``, whatever the encoder and x,
    KL(q || p) >= delta = ((n - 2) log(1 + alpha^2) - log(1 - alpha^2)) / 2 nats per datum,
    with equality at mean 0 and s_t^2 = (1 - alpha^2) / (1 + alpha^2) (the first and the last entry:
    1 - alpha^2). No other guide is bound by it: a correlated one can reach 0.

    Args:
        delta: the committed rate, in nats per datum; it fixes alpha for the code's length n >= 2.

    Raises:
        ValueError: for a rate that is not positive and finite.

    Reference: Razavi et al. 2019, arXiv:1901.03416: their delta, for one sequence over the code's
    entries instead of many over time.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.delta) and self.delta > 0):
            raise ValueError(
                f"AutoregressiveNormal(delta=...) expects a rate > 0, in nats; got {self.delta!r}."
            )

    def alpha(self, latent_dim: int) -> float:
        """Return the correlation of neighbours that commits ``delta`` nats, by bisection."""
        if latent_dim < 2:
            raise ValueError(
                "AutoregressiveNormal correlates the code's entries and needs latent_dim >= 2; got "
                f"{latent_dim}. Take a longer code, or priors.StandardNormal()."
            )
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if _rate(middle, latent_dim) < self.delta else (low, middle)
        return low

    def distribution(self, scope: Scope) -> dist.Distribution:
        n = scope.latent_dim
        alpha = self.alpha(n)
        lag = jnp.arange(n)[:, None] - jnp.arange(n)
        innovation = jnp.where(jnp.arange(n) == 0, 1.0, math.sqrt(1 - alpha**2))
        scale_tril = jnp.where(lag >= 0, alpha ** jnp.maximum(lag, 0), 0.0) * innovation
        return dist.MultivariateNormal(jnp.zeros(n), scale_tril=scale_tril)

    def __str__(self) -> str:
        return f"AR(1) normal over the entries, committed to {self.delta:g} nats"


def _rate(alpha: float, n: int) -> float:
    square = alpha**2
    return 0.5 * ((n - 2) * math.log1p(square) - math.log1p(-square)) if square < 1 else math.inf
