"""A prior whose entries are an AR(1) process, so that the code cannot collapse."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.checks import PositiveFloat
from probvae.interfaces import AbstractDistributionPrior, Scope


@dataclass(frozen=True)
class AutoregressiveNormal(AbstractDistributionPrior):
    r"""An AR(1) process over the entries of the code, with a committed rate ``delta``.

    $z_1 \sim \mathrm{Normal}(0, 1)$ and $z_t = \alpha z_{t-1} + e_t$,
    $e_t \sim \mathrm{Normal}(0, 1 - \alpha^2)$.

    The entries are correlated, and each has variance 1. A guide with independent entries, such as
    ``guides.MeanField``, can therefore never equal this prior. For every encoder and every x, in nats
    per datum,

    $\mathrm{KL}(q || p) \ge \delta = ((n - 2) \log(1 + \alpha^2) - \log(1 - \alpha^2)) / 2$.

    Equality holds at mean 0 and $s_t^2 = (1 - \alpha^2) / (1 + \alpha^2)$ (first and last entry:
    $1 - \alpha^2$). The bound holds for independent entries only: a correlated guide can reach 0.

    Args:
        delta: the committed rate, in nats per datum. It fixes alpha for a code of length n >= 2.

    Reference: Razavi et al. 2019, arXiv:1901.03416. Their process runs over time, with one sequence
    per entry. Here it runs over the entries of one code.
    """

    delta: PositiveFloat = 1.0

    def alpha(self, latent_dim: int) -> float:
        """Return the correlation of neighbouring entries that commits ``delta`` nats."""
        if latent_dim < 2:
            raise ValueError(
                "AutoregressiveNormal correlates entries of the code and expects latent_dim >= 2; "
                f"got {latent_dim}. Use a longer code, or priors.StandardNormal()."
            )
        low, high = 0.0, 1.0
        for _ in range(60):  # bisection: the rate increases with alpha
            middle = (low + high) / 2
            low, high = (middle, high) if _rate(middle, latent_dim) < self.delta else (low, middle)
        return low

    def distribution(self, scope: Scope) -> dist.Distribution:
        # Unrolled, z_t = sum_{k <= t} alpha^(t - k) e_k. The matrix of these coefficients, each times
        # the standard deviation of e_k, is the Cholesky factor of the covariance alpha^|t - k|.
        n = scope.latent_dim
        alpha = self.alpha(n)
        lag = jnp.arange(n)[:, None] - jnp.arange(n)  # (n, n)
        innovation = jnp.where(jnp.arange(n) == 0, 1.0, math.sqrt(1 - alpha**2))
        scale_tril = jnp.where(lag >= 0, alpha ** jnp.maximum(lag, 0), 0.0) * innovation
        return dist.MultivariateNormal(jnp.zeros(n), scale_tril=scale_tril)

    def __str__(self) -> str:
        return f"AR(1) normal over the entries, committed to {self.delta:g} nats"


def _rate(alpha: float, n: int) -> float:
    square = alpha**2
    return 0.5 * ((n - 2) * math.log1p(square) - math.log1p(-square)) if square < 1 else math.inf
