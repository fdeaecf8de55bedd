"""`MultinomialLogShares`: the multinomial distribution by log shares, for arrays of counts."""

import math

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.distributions.counts import PoissonLogMean
from probvae.distributions.support import check_support
from probvae.typing import Shape


class MultinomialLogShares(dist.Distribution):
    r"""$P(x | N) = N! \prod_d p_d^{x_d} / x_d!$ with $N = \sum_d x_d$, by the log shares $\log p$.

    Draws and moments have the given total. The density takes N from x itself: it is a density of x
    given its own total. Counts of 1e6 keep their digits in float32, unlike in NumPyro's version (0.22).

    Args:
        log_shares: $\log p$, ``(*batch, *event)``. The exponentials sum to 1 over the event.
        total: N of draws, ``(*batch,)``, an integer of any dtype.
        event_dim: the number of axes of the event.
    """

    arg_constraints: dict = {}
    pytree_data_fields = ("log_shares", "total")

    def __init__(
        self,
        log_shares: jax.Array,
        total: jax.typing.ArrayLike,
        *,
        event_dim: int = 1,
        validate_args: bool | None = None,
    ) -> None:
        batch = log_shares.shape[: log_shares.ndim - event_dim]
        self.log_shares = log_shares
        self.total = jnp.broadcast_to(total, batch).astype(log_shares.dtype)
        super().__init__(batch, log_shares.shape[len(batch) :], validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """Counts, in every entry."""
        return constraints.independent(constraints.nonnegative_integer, self.event_dim)

    @check_support
    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return the log probability of each array of counts, given its total."""
        # Counts x_d with means N p_d are a multinomial given their total N, which has mean N, too. The
        # log probabilities of PoissonLogMean keep their digits where N log p, log N! and log x! cancel.
        entries = tuple(range(-self.event_dim, 0))
        x = jnp.asarray(value).astype(self.log_shares.dtype)
        total = x.sum(entries)
        log_total = jnp.log(jnp.maximum(total, 1.0))
        log_means = self.log_shares + jnp.expand_dims(log_total, entries)
        counts = PoissonLogMean(log_means, validate_args=False).log_prob(x).sum(entries)
        return counts - PoissonLogMean(log_total, validate_args=False).log_prob(total)

    def sample(self, key: jax.Array, sample_shape: Shape = ()) -> jax.Array:
        """Draw counts that sum to the total, as floats."""
        shape = tuple(sample_shape) + self.batch_shape
        size = math.prod(self.event_shape)
        shares = jnp.exp(self.log_shares).reshape(*self.batch_shape, size)
        shares = jnp.broadcast_to(shares, (*shape, size)).reshape(-1, size)
        total = jnp.broadcast_to(self.total, shape).reshape(-1)
        # One row at a time: versions of JAX differ in how they broadcast the total.
        keys = jax.random.split(key, len(total))
        x = jax.vmap(jax.random.multinomial)(keys, total, shares)
        return x.reshape(shape + self.event_shape)

    @property
    def mean(self) -> jax.Array:
        """The mean of each entry, N p."""
        return jnp.exp(self.log_shares) * self._wide_total

    @property
    def variance(self) -> jax.Array:
        """The variance of each entry, N p (1 - p)."""
        return self.mean * -jnp.expm1(self.log_shares)

    @property
    def _wide_total(self) -> jax.Array:
        return jnp.expand_dims(self.total, tuple(range(-self.event_dim, 0)))
