"""`GammaLogMean`: the Gamma distribution by its log mean and log shape, without cancellation."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import gammaln
from numpyro.distributions import constraints

from probvae.distributions.counts import HALF_LOG_2_PI, LARGE, stirling
from probvae.distributions.log_bounds import soft_clip
from probvae.distributions.support import check_support

MOST = 40.0  # of |log mu|: no data are larger than e^40
FLAT = 25.0  # of |log a|: a relative standard deviation of e^-12, or nearly all mass at 0
RATIO = 60.0  # of log(x / mu), above which the density is scored as at the bound


class GammaLogMean(dist.Distribution):
    r"""The Gamma distribution, with the parameters $\log \mu$ and $\log a$.

    $$p(x) = \frac{(a / \mu)^a}{\Gamma(a)} x^{a - 1} \exp(-a x / \mu)$$

    has mean $\mu$ and variance $\mu^2 / a$. NumPyro's version (0.22) loses its digits in float32 for a
    large shape a: its terms of size a log a cancel. Here the density is a normal one's constant times
    $\exp(-a (u - 1 - \log u))$ with $u = x / \mu$, which keeps them. The density bounds $\mu$ softly to
    [e^-40, e^40] and a to [e^-25, e^25].

    Args:
        log_mean: $\log \mu$.
        log_shape: $\log a$.
    """

    arg_constraints = {"log_mean": constraints.real, "log_shape": constraints.real}
    support = constraints.positive

    def __init__(
        self,
        log_mean: jax.typing.ArrayLike,
        log_shape: jax.typing.ArrayLike,
        *,
        validate_args: bool | None = None,
    ) -> None:
        shape = jnp.broadcast_shapes(jnp.shape(log_mean), jnp.shape(log_shape))
        self.log_mean = jnp.broadcast_to(log_mean, shape)
        self.log_shape = jnp.broadcast_to(log_shape, shape)
        super().__init__(shape, validate_args=validate_args)

    @check_support
    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return the log density of each value."""
        log_mean, a = soft_clip(self.log_mean, -MOST, MOST), jnp.exp(self._log_shape)
        log_x = jnp.log(value)
        t = soft_clip(log_x - log_mean, -jnp.inf, RATIO)
        # log(a^a e^-a / Gamma(a)), by Stirling's series for a large a. Each branch of the `where` sees
        # only shapes for which it is finite.
        few, many = jnp.minimum(a, LARGE), jnp.maximum(a, LARGE)
        constant = jnp.where(
            a > LARGE,
            0.5 * jnp.log(many) - HALF_LOG_2_PI - stirling(many),
            few * jnp.log(few) - few - gammaln(few),
        )
        return constant - a * (jnp.expm1(t) - t) - log_x

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw numbers above 0. Those below the smallest normal float are that float."""
        a = jnp.exp(self._log_shape)
        log_gamma = jax.random.loggamma(key, a, sample_shape + self.batch_shape)
        x = jnp.exp(log_gamma - self._log_shape + self.log_mean)
        return jnp.maximum(x, jnp.finfo(x.dtype).tiny)

    @property
    def _log_shape(self) -> jax.Array:
        return soft_clip(self.log_shape, -FLAT, FLAT)

    @property
    def mean(self) -> jax.Array:
        """The mean, mu."""
        return jnp.exp(self.log_mean)

    @property
    def variance(self) -> jax.Array:
        """The variance, mu^2 / a."""
        return jnp.exp(2 * self.log_mean - self._log_shape)
