"""Distributions of counts on the log scale, where nothing overflows or cancels."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import gammaln
from numpyro.distributions import constraints

LARGE = 20.0  # from here the asymptotic series of log Gamma is exact to float64's 15 digits


class PoissonLogMean(dist.Distribution):
    """P(x) = exp(x log mu - mu) / x!, by log mu: NumPyro's (0.22) gives -inf where mu underflows."""

    arg_constraints = {"log_mean": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, log_mean: jax.typing.ArrayLike, *, validate_args: bool | None = None) -> None:
        self.log_mean = log_mean
        super().__init__(jnp.shape(log_mean), validate_args=validate_args)

    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return the log probability of each count."""
        value = jnp.asarray(value)
        return value * self.log_mean - jnp.exp(self.log_mean) - gammaln(value + 1.0)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw counts."""
        return jax.random.poisson(key, jnp.exp(self.log_mean), sample_shape + self.batch_shape)

    @property
    def mean(self) -> jax.Array:
        """Mu."""
        return jnp.exp(self.log_mean)

    @property
    def variance(self) -> jax.Array:
        """Mu."""
        return jnp.exp(self.log_mean)


class NegativeBinomialLogMean(dist.Distribution):
    """P(x) = Gamma(x + r) / (Gamma(r) x!) (r / (r + mu))^r (mu / (r + mu))^x, by log mu and log r.

    Mean mu, variance mu + mu^2 / r: a Poisson distribution whose mean is Gamma(r, rate r / mu), and
    Poisson(mu) as r grows. NumPyro's (0.22) loses all digits there: log Gamma(x + r) - log Gamma(r)
    is taken here by its asymptotic series.

    Args:
        log_mean: log mu.
        log_concentration: log r.
    """

    arg_constraints = {"log_mean": constraints.real, "log_concentration": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(
        self,
        log_mean: jax.typing.ArrayLike,
        log_concentration: jax.typing.ArrayLike,
        *,
        validate_args: bool | None = None,
    ) -> None:
        shape = jnp.broadcast_shapes(jnp.shape(log_mean), jnp.shape(log_concentration))
        self.log_mean = jnp.broadcast_to(log_mean, shape)
        self.log_concentration = jnp.broadcast_to(log_concentration, shape)
        super().__init__(shape, validate_args=validate_args)

    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return the log probability of each count."""
        log_odds = self.log_mean - self.log_concentration  # of mu / (r + mu)
        r = jnp.exp(self.log_concentration)
        choices = log_rising(r, value) - gammaln(value + 1.0)
        return choices - r * jax.nn.softplus(log_odds) - value * jax.nn.softplus(-log_odds)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw a Gamma mean, then counts."""
        gamma_key, poisson_key = jax.random.split(key)
        r = jnp.exp(self.log_concentration)
        log_gamma = jax.random.loggamma(gamma_key, r, sample_shape + self.batch_shape)
        mean = jnp.exp(log_gamma + self.log_mean - self.log_concentration)
        return jax.random.poisson(poisson_key, mean)

    @property
    def mean(self) -> jax.Array:
        """Mu."""
        return jnp.exp(self.log_mean)

    @property
    def variance(self) -> jax.Array:
        """Mu + mu^2 / r."""
        return jnp.exp(self.log_mean) + jnp.exp(2 * self.log_mean - self.log_concentration)


def log_rising(r: jax.Array, x: jax.typing.ArrayLike) -> jax.Array:
    """Return log(Gamma(r + x) / Gamma(r)) for r > 0 and x >= 0, also where x / r is small."""
    far = r > LARGE
    big, small = jnp.where(far, r, LARGE), jnp.where(far, LARGE, r)
    grows = (big - 0.5) * jnp.log1p(x / big) + x * jnp.log(big + x) - x
    return jnp.where(
        far, grows + _stirling(big + x) - _stirling(big), gammaln(small + x) - gammaln(small)
    )


def _stirling(y: jax.Array) -> jax.Array:
    """Return what log Gamma(y) has beyond (y - 1/2) log y - y + log(2 pi) / 2, for large y."""
    inverse = 1 / y
    square = inverse**2
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1_260 - square / 1_680)))
