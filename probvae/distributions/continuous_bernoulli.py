"""`ContinuousBernoulli`: the continuous Bernoulli distribution on logits."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.distributions.support import check_support

NEAR = 0.5  # |logit| below which the closed forms lose digits, and their series are exact


class ContinuousBernoulli(dist.Distribution):
    r"""$p(x) = e^{l x} \, l / (e^l - 1)$ on [0, 1], with logit l.

    That is $C(\lambda) \lambda^x (1 - \lambda)^{1 - x}$ with $\lambda = \sigma(l)$ and
    $C(\lambda) = 2 \, \mathrm{atanh}(1 - 2 \lambda) / (1 - 2 \lambda)$, $C(1/2) = 2$. The mean is not
    $\lambda$ but $1 / (1 - e^{-l}) - 1 / l$. All three lose digits near l = 0, where a series in l
    replaces them.

    Args:
        logits: l, any real number.

    Reference: Loaiza-Ganem and Cunningham 2019, arXiv:1907.06845, equations 6 to 9.
    """

    arg_constraints = {"logits": constraints.real}
    support = constraints.unit_interval
    reparametrized_params = ["logits"]

    def __init__(self, logits: jax.typing.ArrayLike, *, validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(jnp.shape(logits), validate_args=validate_args)

    @check_support
    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return the log density at ``value``, elementwise."""
        return jnp.asarray(value) * self.logits - log_normalizer(self.logits)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw by inversion of the distribution function, with gradients in the logits."""
        u = jax.random.uniform(key, sample_shape + self.batch_shape)
        return self.icdf(u)

    def icdf(self, q: jax.typing.ArrayLike) -> jax.Array:
        """Return x with P(X <= x) = q, which is log(1 + q (e^l - 1)) / l."""
        # For l > 0, e^l may overflow. There 1 - x has logit -l, and P(1 - X <= 1 - x) = 1 - q.
        logits, q = jnp.asarray(self.logits), jnp.asarray(q)
        near = jnp.abs(logits) < 1e-3
        positive = logits > 0
        negative = -jnp.abs(jnp.where(near, 1.0, logits))
        mass = jnp.where(positive, 1 - q, q)
        inside = jnp.maximum(mass * jnp.expm1(negative), -1 + jnp.finfo(negative.dtype).epsneg)
        x = jnp.log1p(inside) / negative
        x = jnp.clip(jnp.where(positive, 1 - x, x), 0.0, 1.0)
        return jnp.where(near, q + 0.5 * logits * q * (1 - q), x)

    @property
    def mean(self) -> jax.Array:
        """1 / (1 - e^-l) - 1 / l."""
        logits, near, safe = _mark_small(self.logits)
        series = 0.5 + logits / 12 - logits**3 / 720 + logits**5 / 30_240 - logits**7 / 1_209_600
        return jnp.where(near, series, -1 / jnp.expm1(-safe) - 1 / safe)

    @property
    def variance(self) -> jax.Array:
        """1 / l^2 - 1 / (4 sinh(l / 2)^2)."""
        logits, near, safe = _mark_small(self.logits)
        series = 1 / 12 - logits**2 / 240 + logits**4 / 6_048 - logits**6 / 172_800
        series = series + logits**8 / 5_322_240
        falling = jnp.exp(-jnp.abs(safe))
        return jnp.where(near, series, 1 / safe**2 - falling / jnp.expm1(-jnp.abs(safe)) ** 2)


def log_normalizer(logits: jax.typing.ArrayLike) -> jax.Array:
    """Return log((e^l - 1) / l) = l / 2 + log(sinh(l / 2) / (l / 2)), elementwise."""
    logits, near, safe = _mark_small(logits)
    u2 = (jnp.where(near, logits, 0.0) / 2) ** 2
    series = u2 * (1 / 6 - u2 * (1 / 180 - u2 * (1 / 2_835 - u2 * (1 / 37_800 - u2 / 467_775))))
    size = jnp.abs(safe)
    closed = jax.nn.relu(safe) + jnp.log(-jnp.expm1(-size)) - jnp.log(size)
    return jnp.where(near, logits / 2 + series, closed)


def _mark_small(logits: jax.typing.ArrayLike) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the logits, where they are near 0, and the logits with 1 in these places."""
    # Both branches of a `where` are differentiated. The 1 keeps the closed form finite where the series
    # is used: a NaN there would spoil the gradient even though its value is discarded.
    logits = jnp.asarray(logits)
    near = jnp.abs(logits) < NEAR
    return logits, near, jnp.where(near, 1.0, logits)
