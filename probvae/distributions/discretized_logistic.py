"""`DiscretizedLogistic`: the logistic distribution on grey levels."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.distributions.support import check_support


class _Levels(constraints.ParameterFreeConstraint):
    """The values 0, 1 / (n - 1), ..., 1."""

    is_discrete = True

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, x: jax.typing.ArrayLike) -> jax.Array:
        x = jnp.asarray(x)
        k = x * (self.count - 1)
        return (jnp.abs(k - jnp.round(k)) < 1e-2) & (x >= 0) & (x <= 1)

    def __repr__(self) -> str:
        return f"k / {self.count - 1} (k = 0..{self.count - 1})"

    def feasible_like(self, prototype: jax.typing.ArrayLike) -> jax.Array:
        return jnp.zeros(jnp.shape(prototype))

    def eq(self, other: object, static: bool = False) -> bool:  # noqa: FBT001, FBT002
        return isinstance(other, _Levels) and self.count == other.count

    def tree_flatten(self) -> tuple:
        return (), ((), {"count": self.count})


levels = _Levels


class DiscretizedLogistic(dist.Distribution):
    r"""The mass of $\mathrm{Logistic}(m, s)$ around each of n levels $x = k / (n - 1)$, k = 0..n-1.

    $$P(x) = \sigma((x + h - m) / s) - \sigma((x - h - m) / s),$$

    where $h = 1 / (2 (n - 1))$ is half a level. The lowest level has all mass below it and the highest
    all mass above, so the n masses sum to 1. The density is exact for any m and s, without clipping or
    approximation in the tails.

    Args:
        loc: m, in units in which the data range is [0, 1].
        log_scale: log s.
        num_levels: n.

    Reference: Kingma et al. 2016, arXiv:1606.04934, equation 35 (there the mass of a level lies above
    it); Salimans et al. 2017, arXiv:1701.05517, equation 2.
    """

    arg_constraints = {"loc": constraints.real, "log_scale": constraints.real}
    pytree_aux_fields = ("num_levels",)

    def __init__(
        self,
        loc: jax.typing.ArrayLike,
        log_scale: jax.typing.ArrayLike,
        *,
        num_levels: int = 256,
        validate_args: bool | None = None,
    ) -> None:
        shape = jnp.broadcast_shapes(jnp.shape(loc), jnp.shape(log_scale))
        self.loc, self.log_scale = (jnp.broadcast_to(a, shape) for a in (loc, log_scale))
        self.num_levels = num_levels
        super().__init__(shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The n levels."""
        return levels(self.num_levels)

    @check_support
    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return the log probability of each level, in nats."""
        # With a = (x - h - m) / s and b = (x + h - m) / s, both sigmoids round to 0 or to 1 in the
        # tails, and their difference to 0. The product of the same value has no cancellation:
        #   sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)),    a - b = -2 h / s.
        half, rate = 0.5 / (self.num_levels - 1), jnp.exp(-self.log_scale)
        value = jnp.asarray(value)
        centred = value - self.loc
        above = jax.nn.log_sigmoid((centred + half) * rate)  # log sigmoid(b)
        below = jax.nn.log_sigmoid((half - centred) * rate)  # log sigmoid(-a)
        width = jnp.log(-jnp.expm1(-2 * half * rate))
        inside = above + below + width
        lowest, highest = value < half, value > 1 - half
        return jnp.where(lowest, above, jnp.where(highest, below, inside))

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draw from the logistic distribution and round to the nearest level."""
        noise = jax.random.logistic(key, sample_shape + self.batch_shape)
        top = self.num_levels - 1
        x = self.loc + jnp.exp(self.log_scale) * noise
        return jnp.round(jnp.clip(x, 0.0, 1.0) * top) / top

    @property
    def mean(self) -> jax.Array:
        """The mean: the sum of P(x >= k / (n - 1)) over k = 1..n-1, divided by n - 1."""
        top, rate = self.num_levels - 1, jnp.exp(-self.log_scale)

        # one level at a time: no array (*shape, n)
        def add(k: jax.Array, total: jax.Array) -> jax.Array:
            return total + jax.nn.sigmoid((self.loc - (k + 0.5) / top) * rate)

        return jax.lax.fori_loop(0, top, add, jnp.zeros_like(self.loc)) / top

    @property
    def variance(self) -> jax.Array:
        """Not implemented: it needs a sum over all levels."""
        raise NotImplementedError("the variance of a DiscretizedLogistic is not implemented.")
