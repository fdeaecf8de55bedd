"""The VampPrior: a variational mixture of posteriors as the prior."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.checks import PositiveFloat, PositiveInt
from probvae.containers import to_numbers
from probvae.distributions import mixture
from probvae.interfaces import AbstractDistributionPrior, Scope
from probvae.typing import ArrayLike, RngKey


@dataclass(frozen=True)
class VampPrior(AbstractDistributionPrior):
    r"""A mixture of the guide's own posteriors at K learned pseudo-inputs $u_k$.

    $p(z) = \sum_k w_k q(z | u_k)$.

    The prior shares the encoder with the guide. In a VAE with context, each pseudo-input has a learned
    pseudo-context. Pseudo-inputs start at draws of Normal(start_mean, start_scale^2), clipped into the
    range of the data. Use ``start_at`` to start them at data instead.

    Give the prior a higher learning rate than the nets, such as 1e-2 beside 1e-3. At the nets' rate,
    a few thousand steps hardly move the pseudo-inputs, and the prior may be worse than N(0, I).
    ``models/vampprior.py`` shows the optimizer.

    Args:
        components: K, the number of pseudo-inputs.
        learned_weights: learn $w_k$. Otherwise $w_k = 1/K$, as in the paper.
        start_mean: mean of the random start, in the data's units.
        start_scale: standard deviation of the random start, in the data's units. It must be positive:
            identical pseudo-inputs receive identical gradients, so they never separate.

    Reference: Tomczak and Welling 2018, arXiv:1705.07120, equation 9. The paper's code clips u to
    [0, 1]. Here a smooth bijection keeps u in range, so that gradients do not vanish at a bound.

    Examples:
        >>> from probvae import priors
        >>> print(priors.VampPrior(components=50))
        sum_k 1/50 q(z | u_k), k = 1..50, u_k learned
    """

    components: PositiveInt = 500
    learned_weights: bool = False
    start_mean: float = 0.5
    start_scale: PositiveFloat = 0.1

    def distribution(self, scope: Scope) -> dist.Distribution:
        # q(z | u_k) is the guide at the pseudo-inputs, as a distribution with batch shape (K,). It runs
        # the encoder with the guide's own weights, so gradients of the KL reach the encoder twice: at
        # the data, and here. It runs in evaluation mode: batch statistics and dropout would make p(z)
        # depend on the batch.
        shape = (self.components, *scope.event_shape)
        u = numpyro.param(
            "prior$pseudo_inputs",
            lambda key: self._clip(self._draw_start(key, shape), scope.data_range),
            constraint=_range_constraint(*scope.data_range),
        )
        logits = jnp.zeros(self.components)
        if self.learned_weights:
            logits = numpyro.param("prior$logits", logits)
        q = scope.posterior(u, self._pseudo_context(scope))
        return mixture(logits, q)

    def start_at(self, data: ArrayLike, *, rng_key: RngKey, noise: float = 0.01) -> dict:
        """Return ``init_params`` that start the pseudo-inputs at K random rows of ``data``.

        Args:
            data: rows ``(n, *event_shape)`` in the likelihood's data range, n >= K.
            rng_key: key for the choice of rows and for the noise.
            noise: standard deviation of the noise added to the rows, in the data's units.

        Raises:
            ValueError: if there are fewer rows than components.
        """
        data = to_numbers("data", data)
        if len(data) < self.components:
            raise ValueError(
                f"VampPrior.start_at expects at least components={self.components} rows of data; "
                f"got {len(data)}. Use fewer components, or more data."
            )
        row_key, noise_key = jax.random.split(rng_key)
        rows = jax.random.choice(row_key, len(data), (self.components,), replace=False)
        u = jnp.asarray(data)[rows].astype(jnp.zeros(()).dtype)
        u = u + noise * jax.random.normal(noise_key, u.shape)
        low, high = jnp.min(jnp.asarray(data)), jnp.max(jnp.asarray(data))
        return {"prior$pseudo_inputs": self._clip(u, (float(low), float(high)))}

    def _draw_start(self, key: RngKey, shape: tuple[int, ...]) -> jax.Array:
        return self.start_mean + self.start_scale * jax.random.normal(key, shape)

    def _clip(self, u: jax.Array, data_range: tuple[float, float]) -> jax.Array:
        """Clip into the open interval: the inverse of the bijection is infinite at a bound."""
        low, high = data_range
        margin = 1e-2 * min(high - low, 1.0)
        return jnp.clip(u, low + margin, high - margin)

    def _pseudo_context(self, scope: Scope) -> jax.Array | None:
        if not scope.context_shape:
            return None
        shape = (self.components, *scope.context_shape)
        return numpyro.param("prior$pseudo_context", lambda key: 0.1 * jax.random.normal(key, shape))

    def __str__(self) -> str:
        weights = "w_k" if self.learned_weights else f"1/{self.components}"
        return f"sum_k {weights} q(z | u_k), k = 1..{self.components}, u_k learned"


def _range_constraint(low: float, high: float) -> constraints.Constraint:
    if math.isfinite(low) and math.isfinite(high):
        return constraints.interval(low, high)
    return constraints.greater_than(low) if math.isfinite(low) else constraints.real
