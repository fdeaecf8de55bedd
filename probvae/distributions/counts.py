"""Distributions of counts on the log scale, without overflow or cancellation.

For counts of 1e6, x log mu, mu and log x! are about 1e7 each, but log P(x) is about -8. In float32 the
sum is wrong by several nats. Counts above LARGE therefore use deviances (Loader 2000), which are sums
of positive terms and do not cancel.
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
FLAT = 40.0  # of log r: from here the negative binomial equals a Poisson distribution in float64
NEAR = 0.1  # |x - m| / (x + m) below which log(x / m) is a short series
HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


class PoissonLogMean(dist.Distribution):
    r"""$P(x) = \exp(x \log \mu - \mu) / x!$, with the parameter $\log \mu$.

    The density of NumPyro's version (0.22) is -inf if $\mu$ underflows. Here counts of 1e6 keep their
    digits in float32: see ``deviance``. The density bounds $\mu$ softly to [e^-80, e^80].

    Args:
        log_mean: $\log \mu$.
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
        mean, x = jnp.exp(log_mean), _to_float(value, log_mean)
        # each branch of the `where` sees only counts for which it is finite
        few, many = jnp.minimum(x, LARGE), jnp.maximum(x, LARGE)
        return jnp.where(
            x > LARGE,
            -deviance(many, log_mean, many - mean)
            - 0.5 * jnp.log(many)
            - HALF_LOG_2_PI
            - stirling(many),
            few * log_mean - mean - gammaln(few + 1.0),
        )

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw counts."""
        return jax.random.poisson(key, jnp.exp(self.log_mean), sample_shape + self.batch_shape)

    @property
    def mean(self) -> jax.Array:
        """The mean, mu."""
        return jnp.exp(self.log_mean)

    @property
    def variance(self) -> jax.Array:
        """The variance, mu."""
        return jnp.exp(self.log_mean)


class NegativeBinomialLogMean(dist.Distribution):
    r"""The negative binomial distribution, with the parameters $\log \mu$ and $\log r$.

    $$P(x) = \frac{\Gamma(x + r)}{\Gamma(r) \, x!} \left(\frac{r}{r + \mu}\right)^r
    \left(\frac{\mu}{r + \mu}\right)^x$$

    has mean $\mu$ and variance $\mu + \mu^2 / r$. It is a Poisson distribution whose mean is drawn from
    $\mathrm{Gamma}(r, \mathrm{rate} = r / \mu)$, and $\mathrm{Poisson}(\mu)$ in the limit of large r.
    NumPyro's version (0.22) loses all digits there. Here large counts and large r keep their digits in
    float32. The density bounds $\mu$ softly to [e^-80, e^80], and r to [e^-80, e^40], above which r has
    no influence.

    Args:
        log_mean: $\log \mu$.
        log_concentration: $\log r$.
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
        x = _to_float(value, log_mean)
        # Small x or r: ratios of Gamma functions. Both large: deviances. Each branch sees only values
        # of its own range, since the gradient of a `where` is NaN if that of either branch is.
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
        """The mean, mu."""
        return jnp.exp(self.log_mean)

    @property
    def variance(self) -> jax.Array:
        """The variance, mu + mu^2 / r."""
        return jnp.exp(self.log_mean) + jnp.exp(2 * self.log_mean - self.log_concentration)


def _by_gammas(x: jax.Array, r: jax.Array, log_odds: jax.Array) -> jax.Array:
    """Return log NB(x; mu, r) for a small x or r, with the ratio of Gamma functions by a series."""
    # log Gamma(x + r) cancels with log x! if x is the larger one, else with log Gamma(r). This
    # difference is `log_rising`, which has a series for a large base. The third Gamma function is
    # small.
    swap = (x > LARGE) & (r < x)
    base, more, rest = (jnp.where(swap, a, b) for a, b in ((x + 1, r), (r - 1, x), (r, x + 1)))
    choices = log_rising(base, more) - gammaln(rest)
    return choices - r * jax.nn.softplus(log_odds) - x * jax.nn.softplus(-log_odds)


def _by_deviances(x: jax.Array, r: jax.Array, log_mean: jax.Array, log_odds: jax.Array) -> jax.Array:
    """Return log NB(x; mu, r) for large x and r."""
    # NB(x; mu, r) = r / n * Binomial(r; n, r / (r + mu)) with n = x + r. The binomial mean of r is
    # n r / (r + mu) and that of x is n mu / (r + mu). They differ from r and x by
    # off = r (x - mu) / (r + mu), which is passed on with all its digits.
    n, off = x + r, (x - jnp.exp(log_mean)) * jax.nn.sigmoid(-log_odds)
    log_n = jnp.log(n)
    of_r = deviance(r, log_n + jax.nn.log_sigmoid(-log_odds), -off)
    of_x = deviance(x, log_n + jax.nn.log_sigmoid(log_odds), off)
    curvature = 0.5 * (jnp.log(r) - log_n - jnp.log(x)) - HALF_LOG_2_PI
    return curvature + stirling(n) - stirling(r) - stirling(x) - of_r - of_x


@jax.custom_jvp
def deviance(
    x: jax.typing.ArrayLike, log_mean: jax.typing.ArrayLike, difference: jax.Array
) -> jax.Array:
    r"""Return $x \log(x / m) - (x - m) \ge 0$ for x > 0, with all digits for x near m.

    There it uses $\log(x / m) = 2 (v + v^3 / 3 + v^5 / 5 + \dots)$ with $v = (x - m) / (x + m)$.

    Args:
        x: a count, or another positive number.
        log_mean: log m.
        difference: x - m, with all its digits. A difference of rounded x and m would have none.

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
    """Return the derivative: log(x / m) in x and -(x - m) in log m."""
    # `difference` is a function of the other two arguments. Its tangent is part of theirs already.
    x, log_mean, difference = primals
    v = difference / (x + jnp.exp(log_mean))
    near = jnp.abs(v) < NEAR
    log_ratio = jnp.where(near, 2 * jnp.arctanh(jnp.where(near, v, 0.0)), _log_ratio(x, log_mean))
    return deviance(*primals), log_ratio * tangents[0] - difference * tangents[1]


def _log_ratio(x: jax.typing.ArrayLike, log_mean: jax.typing.ArrayLike) -> jax.Array:
    """Return log(x / m). The quotient has more digits than log x - log m, unless m is close to 0."""
    tiny = jnp.less(log_mean, -60)
    return jnp.where(tiny, jnp.log(x) - log_mean, jnp.log(x / jnp.exp(jnp.maximum(log_mean, -60.0))))


def _to_float(value: jax.typing.ArrayLike, log_mean: jax.Array) -> jax.Array:
    return jnp.asarray(value).astype(jnp.result_type(value, log_mean))


def log_rising(r: jax.Array, x: jax.typing.ArrayLike) -> jax.Array:
    """Return log(Gamma(r + x) / Gamma(r)) for r > 0 and x >= 0, with all digits for a small x / r."""
    is_large = r > LARGE
    big, small = jnp.where(is_large, r, LARGE), jnp.where(is_large, LARGE, r)
    grows = (big - 0.5) * jnp.log1p(x / big) + x * jnp.log(big + x) - x
    return jnp.where(
        is_large, grows + stirling(big + x) - stirling(big), gammaln(small + x) - gammaln(small)
    )


def stirling(y: jax.Array) -> jax.Array:
    """Return log Gamma(y) - ((y - 1/2) log y - y + log(2 pi) / 2), Stirling's series for large y."""
    inverse = 1 / y
    square = inverse**2
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1_260 - square / 1_680)))
