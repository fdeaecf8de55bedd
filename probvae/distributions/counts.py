"""Distributions of counts on the log scale, where nothing overflows or cancels.

Counts of 1e6 make x log mu, mu and log x! about 1e7 each, while log P(x) is about -8: in float32 the
sum would err by several nats. From LARGE on, log P(x) is therefore written by deviances (Loader
2000), which are sums of positive terms: none of them cancels.
"""

import math

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import gammaln
from numpyro.distributions import constraints

from probvae.distributions.log_bounds import soft_clip
from probvae.distributions.support import check_support

LARGE = 20.0  # from here the asymptotic series of log Gamma is exact to float64's 15 digits
MOST = 80.0  # of |log mu| and |log r|: e^80 and e^-80 are still ordinary numbers of float32
FLAT = 40.0  # of log r: from here the negative binomial is a Poisson distribution to float64's digits
NEAR = 0.1  # |x - m| / (x + m) below which log(x / m) is a short series
HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


class PoissonLogMean(dist.Distribution):
    """P(x) = exp(x log mu - mu) / x!, by log mu: NumPyro's (0.22) gives -inf where mu underflows.

    Counts of 1e6 keep their digits in float32: see ``deviance``. Beyond e^80 and e^-80 the density
    takes mu for bounded, softly.
    """

    arg_constraints = {"log_mean": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, log_mean: jax.typing.ArrayLike, *, validate_args: bool | None = None) -> None:
        self.log_mean = log_mean
        super().__init__(jnp.shape(log_mean), validate_args=validate_args)

    @check_support
    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return the log probability of each count."""
        log_mean = soft_clip(self.log_mean, -MOST, MOST)
        mean, x = jnp.exp(log_mean), _real(value, log_mean)
        few, many = jnp.minimum(x, LARGE), jnp.maximum(x, LARGE)
        return jnp.where(
            x > LARGE,
            -deviance(many, log_mean, many - mean)
            - 0.5 * jnp.log(many)
            - HALF_LOG_2_PI
            - _stirling(many),
            few * log_mean - mean - gammaln(few + 1.0),
        )

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
    Poisson(mu) as r grows. NumPyro's (0.22) loses all digits there. Here large counts and large r keep
    their digits in float32, too. Beyond e^80 and e^-80 the density takes mu and r for bounded, softly
    (r already beyond e^40, where it no longer matters).

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

    @check_support
    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return the log probability of each count."""
        log_mean = soft_clip(self.log_mean, -MOST, MOST)
        log_r = soft_clip(self.log_concentration, -MOST, FLAT)
        x = _real(value, log_mean)
        both = (x > LARGE) & (log_r > math.log(LARGE))
        few, low = (jnp.where(both, LARGE, a) for a in (x, jnp.exp(log_r)))
        many, high = (jnp.maximum(a, LARGE) for a in (x, jnp.exp(log_r)))
        log_odds = log_mean - log_r  # of mu / (r + mu)
        return jnp.where(
            both,
            _by_deviances(many, high, log_mean, log_odds),
            _by_gammas(few, low, log_odds),
        )

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


def _by_gammas(x: jax.Array, r: jax.Array, log_odds: jax.Array) -> jax.Array:
    """Return log NB(x; mu, r) where x or r is small: its factors, the larger one's by a series."""
    swap = (x > LARGE) & (r < x)  # log Gamma(x + r) / x! does not cancel, nor does .. / Gamma(r) else
    base, more, rest = (jnp.where(swap, a, b) for a, b in ((x + 1, r), (r - 1, x), (r, x + 1)))
    choices = log_rising(base, more) - gammaln(rest)
    return choices - r * jax.nn.softplus(log_odds) - x * jax.nn.softplus(-log_odds)


def _by_deviances(x: jax.Array, r: jax.Array, log_mean: jax.Array, log_odds: jax.Array) -> jax.Array:
    """Return log NB(x; mu, r) where x and r are large: r / n times a binomial of r in n = x + r.

    The binomial's means are n r / (r + mu) of r and n mu / (r + mu) of x, which differ from r and x by
    r (x - mu) / (r + mu).
    """
    n, off = x + r, (x - jnp.exp(log_mean)) * jax.nn.sigmoid(-log_odds)
    log_n = jnp.log(n)
    of_r = deviance(r, log_n + jax.nn.log_sigmoid(-log_odds), -off)
    of_x = deviance(x, log_n + jax.nn.log_sigmoid(log_odds), off)
    curvature = 0.5 * (jnp.log(r) - log_n - jnp.log(x)) - HALF_LOG_2_PI
    return curvature + _stirling(n) - _stirling(r) - _stirling(x) - of_r - of_x


@jax.custom_jvp
def deviance(
    x: jax.typing.ArrayLike, log_mean: jax.typing.ArrayLike, difference: jax.Array
) -> jax.Array:
    """Return x log(x / m) - (x - m) >= 0 for x > 0, which does not cancel where x is near m.

    With v = (x - m) / (x + m), log(x / m) = 2 (v + v^3 / 3 + v^5 / 5 + ...).

    Args:
        x: a count, or another positive number.
        log_mean: log m.
        difference: x - m, with its digits.

    Reference: Loader 2000, Fast and accurate computation of binomial probabilities.
    """
    v = difference / (x + jnp.exp(log_mean))
    square, series = v**2, jnp.zeros_like(v)
    for k in range(17, 1, -2):
        series = square * (1 / k + series)
    near = difference * v + 2 * x * v * series
    return jnp.where(jnp.abs(v) < NEAR, near, x * _log_ratio(x, log_mean) - difference)


@deviance.defjvp
def _deviance_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    """Its slope is log(x / m) in x and -(x - m) in log m; ``difference`` follows from these."""
    x, log_mean, difference = primals
    v = difference / (x + jnp.exp(log_mean))
    near = jnp.abs(v) < NEAR
    log_ratio = jnp.where(near, 2 * jnp.arctanh(jnp.where(near, v, 0.0)), _log_ratio(x, log_mean))
    return deviance(*primals), log_ratio * tangents[0] - difference * tangents[1]


def _log_ratio(x: jax.typing.ArrayLike, log_mean: jax.typing.ArrayLike) -> jax.Array:
    """Return log(x / m): the quotient has more digits than log x - log m, unless m is next to 0."""
    tiny = jnp.less(log_mean, -60)
    return jnp.where(tiny, jnp.log(x) - log_mean, jnp.log(x / jnp.exp(jnp.maximum(log_mean, -60.0))))


def _real(value: jax.typing.ArrayLike, log_mean: jax.Array) -> jax.Array:
    return jnp.asarray(value).astype(jnp.result_type(value, log_mean))


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
