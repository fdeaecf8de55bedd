"""`RoundedNormal` and `RoundedLogNormal`: the mass of the numbers that round to a whole number."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import log_ndtr
from numpyro.distributions import constraints

from probvae.distributions.support import check_support

NARROW = (
    0.05  # standard deviations. Below it, an expansion is exact to 4 digits, and a difference is not.
)
HALF_LOG_2PI = 0.9189385332046727


class _Whole(constraints.ParameterFreeConstraint):
    """The whole numbers, or those from 1 on."""

    is_discrete = True

    def __init__(self, *, positive: bool) -> None:
        self.positive = positive

    def __call__(self, x: jax.typing.ArrayLike) -> jax.Array:
        x = jnp.asarray(x)
        return (x == jnp.round(x)) & ((x >= 1) | (not self.positive))

    def __repr__(self) -> str:
        return "whole numbers from 1 on" if self.positive else "whole numbers"

    def feasible_like(self, prototype: jax.typing.ArrayLike) -> jax.Array:
        return jnp.ones(jnp.shape(prototype))

    def eq(self, other: object, static: bool = False) -> bool:  # noqa: FBT001, FBT002
        return isinstance(other, _Whole) and self.positive == other.positive

    def tree_flatten(self) -> tuple:
        return (), ((), {"positive": self.positive})


whole = _Whole(positive=False)
positive_whole = _Whole(positive=True)


class RoundedNormal(dist.Distribution):
    r"""The mass of $\mathrm{Normal}(m, s^2)$ around each whole number.

    $$P(x) = \Phi((x + 1/2 - m) / s) - \Phi((x - 1/2 - m) / s).$$

    Draws are rounded draws of the normal distribution. ``mean`` is m, which differs from the mean of
    the rounded number by less than 1/2, and by less than 1e-2 for s > 1/2.

    Args:
        loc: m.
        scale: s, positive.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(
        self,
        loc: jax.typing.ArrayLike,
        scale: jax.typing.ArrayLike,
        *,
        validate_args: bool | None = None,
    ) -> None:
        shape = jnp.broadcast_shapes(jnp.shape(loc), jnp.shape(scale))
        self.loc, self.scale = (jnp.broadcast_to(a, shape) for a in (loc, scale))
        super().__init__(shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The whole numbers."""
        return whole

    @check_support
    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return the log mass of each whole number, in nats."""
        return log_normal_mass((jnp.asarray(value) - self.loc) / self.scale, 1.0 / self.scale)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw from the normal distribution, and round."""
        return jnp.round(dist.Normal(self.loc, self.scale).sample(key, sample_shape))

    @property
    def mean(self) -> jax.Array:
        """The mean m before rounding."""
        return self.loc

    @property
    def variance(self) -> jax.Array:
        """The variance before rounding, and 1/12, that of the rounding error."""
        return self.scale**2 + 1 / 12


class RoundedLogNormal(RoundedNormal):
    r"""The mass of $\mathrm{LogNormal}(m, s^2)$ around each whole number from 1 on.

    P(1) has all mass below 3/2. ``mean`` and ``variance`` are those before rounding.

    Args:
        loc: m, the mean of log x.
        scale: s, positive.
    """

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The whole numbers from 1 on."""
        return positive_whole

    @check_support
    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return the log mass of each whole number, in nats."""
        x = jnp.maximum(jnp.asarray(value, float), 1.0)
        # Half the width of [log(x - 1/2), log(x + 1/2)], without cancellation for large x.
        half = jnp.arctanh(0.5 / x)
        middle = (jnp.log(x) + 0.5 * jnp.log1p(-0.25 / x**2) - self.loc) / self.scale
        lowest = log_ndtr((jnp.log(1.5) - self.loc) / self.scale)
        return jnp.where(x < 1.5, lowest, log_normal_mass(middle, 2 * half / self.scale))

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw from the lognormal distribution, and round to a whole number from 1 on."""
        x = dist.LogNormal(self.loc, self.scale).sample(key, sample_shape)
        return jnp.maximum(jnp.round(x), 1.0)

    @property
    def mean(self) -> jax.Array:
        """The mean before rounding."""
        return dist.LogNormal(self.loc, self.scale).mean

    @property
    def variance(self) -> jax.Array:
        """The variance before rounding, and 1/12, that of the rounding error."""
        return dist.LogNormal(self.loc, self.scale).variance + 1 / 12


def log_normal_mass(middle: jax.Array, width: jax.Array) -> jax.Array:
    r"""Return the log mass of the standard normal distribution on an interval, in nats.

    $\log(\Phi(u + w/2) - \Phi(u - w/2))$ for the middle u and the width w > 0.
    """
    u = -jnp.abs(middle)  # in the left tail, where log Phi has all its digits
    # A narrow interval: Phi(b) - Phi(a) cancels. With t from the middle, phi(u + t) is
    # phi(u) exp(-u t - t^2 / 2), and the integral of exp(-u t) is w sinh(u w / 2) / (u w / 2). The
    # factor exp(-t^2 / 2) changes the log by less than 4e-4.
    narrow = -0.5 * u**2 - HALF_LOG_2PI + jnp.log(width) + _log_sinhc(0.5 * u * width)
    # A wide one. The width is bounded below so that the branch that is not used has finite gradients.
    w = jnp.maximum(width, NARROW)
    above, below = log_ndtr(u + 0.5 * w), log_ndtr(u - 0.5 * w)
    wide = above + jnp.log(-jnp.expm1(below - above))
    return jnp.where(width < NARROW, narrow, wide)


def _log_sinhc(x: jax.Array) -> jax.Array:
    """Return log(sinh(x) / x)."""
    x = jnp.abs(x)
    safe = jnp.maximum(x, 1e-2)
    large = safe + jnp.log(-jnp.expm1(-2 * safe)) - jnp.log(2 * safe)
    return jnp.where(x < 1e-2, x**2 / 6, large)
