"""`Autoregressive`: a distribution of a datum by the conditionals of its entries, in order."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.compilation import compile_program
from probvae.typing import Shape

Conditional: TypeAlias = Any  # a pytree that is callable and has a ``support``


class Autoregressive(dist.Distribution):
    r"""$p(x | h) = \prod_i p(x_i | x_{<i}, h)$, with the entries of x in row-major order.

    The density takes one pass, a draw at most one pass per entry. The mean has no closed form: see
    ``mean``.

    Args:
        conditional: a pytree, called with x ``(rows, *event)`` and h ``(rows, *event, c)``. It returns
            an elementwise distribution over ``(rows, *event)``. Entry i, and its draw under a fixed
            key, must depend on x_<i and h only. Its ``support`` is that of an entry.
        features: h, of shape ``(*batch, *event, c)``.
        event_dim: the number of axes of x.
        mean_draws: S, the number of draws for the mean.
    """

    arg_constraints: dict = {}
    pytree_data_fields = ("conditional", "features")
    pytree_aux_fields = ("mean_draws",)

    def __init__(
        self,
        conditional: Conditional,
        features: jax.Array,
        *,
        event_dim: int,
        mean_draws: int = 1,
        validate_args: bool | None = None,
    ) -> None:
        self.conditional, self.features, self.mean_draws = conditional, features, mean_draws
        end = features.ndim - 1  # the axis of the features themselves
        shapes = features.shape[: end - event_dim], features.shape[end - event_dim : end]
        super().__init__(*shapes, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """The support of an entry, for all entries."""
        return constraints.independent(self.conditional.support, self.event_dim)

    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return sum_i log p(x_i | x_<i, h), in one pass."""
        value = jnp.asarray(value)
        leading = value.shape[: value.ndim - self.event_dim]
        shape = jnp.broadcast_shapes(leading, self.batch_shape)
        x = jnp.broadcast_to(value, (*shape, *self.event_shape)).astype(self.features.dtype)
        p = self.conditional(self._rows(x, 0), self._features(shape))
        return p.log_prob(self._rows(x, 0)).reshape(*shape, math.prod(self.event_shape)).sum(-1)

    def sample(self, key: jax.Array, sample_shape: Shape = ()) -> jax.Array:
        """Draw the entries, each given those before it, in at most one pass per entry.

        Discrete entries take far fewer passes. They are drawn all at once until none changes: the
        fixed-point iteration of Wiggers and Hoogeboom 2020, arXiv:2002.09928. The draws are the same.
        """
        return _draw(self, key, tuple(sample_shape))

    @property
    def mean(self) -> jax.Array:
        r"""An unbiased estimate: the mean over S draws of $E[x_i | x_{<i}, h]$, with fixed noise.

        $E[x_i | h] = E[E[x_i | x_{<i}, h]]$. The noise is the same for all data, so the estimate is a
        deterministic function of h. It is exact if the entries are independent given h.
        """
        return self.estimate_mean(jax.random.key(0), self.mean_draws)

    @property
    def centre(self) -> jax.Array:
        """The mean or, for levels, the mode: the largest mean over S draws of P(x_i | x_<i, h)."""
        return _estimate_centre(self, jax.random.key(0), self.mean_draws)

    def estimate_mean(self, rng_key: jax.Array, num_draws: int) -> jax.Array:
        """Return the mean over ``num_draws`` draws x of E[x_i | x_<i, h], with noise of ``rng_key``."""
        return _estimate_mean(self, rng_key, num_draws)

    @property
    def variance(self) -> jax.Array:
        """Not implemented: it has no closed form."""
        raise NotImplementedError("the variance of an autoregressive distribution has no closed form.")

    def _rows(self, a: jax.Array, extra: int) -> jax.Array:
        """Merge all axes before the event's axes, which ``extra`` axes follow, into one."""
        return a.reshape(-1, *a.shape[a.ndim - self.event_dim - extra :])

    def _features(self, shape: Shape) -> jax.Array:
        wide = jnp.broadcast_to(self.features, (*shape, *self.features.shape[len(self.batch_shape) :]))
        return self._rows(wide, 1)


@partial(compile_program, static_argnames="sample_shape")
def _draw(p: Autoregressive, rng_key: jax.Array, sample_shape: Shape) -> jax.Array:
    shape = (*sample_shape, *p.batch_shape)
    h = p._features(shape)
    size = math.prod(p.event_shape)

    def draw_given(x: jax.Array) -> jax.Array:
        """Draw every entry given the entries of x before it, with the same noise at each call."""
        conditionals = p.conditional(x.reshape(h.shape[:-1]), h)
        return conditionals.sample(rng_key).reshape(x.shape).astype(x.dtype)

    draw_all = _draw_fixed_point if p.support.is_discrete else _draw_in_order
    return draw_all(draw_given, jnp.zeros((len(h), size), h.dtype)).reshape(*shape, *p.event_shape)


def _draw_in_order(draw_given: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """Draw one entry after another. Later entries are still 0, and have no influence."""
    return jax.lax.fori_loop(0, x.shape[1], lambda i, x: x.at[:, i].set(draw_given(x)[:, i]), x)


def _draw_fixed_point(draw_given: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """Draw all entries until none changes."""
    # With the noise fixed, x_i is a function of x_<i. So x = draw_given(x) has exactly one solution,
    # the draw in order. Pass i makes the first i entries final. The others are guesses, most of which
    # are right long before. Continuous entries are excluded: they rarely repeat exactly, and a wrong
    # guess may overflow.

    def step(state: tuple) -> tuple:
        i, x, _ = state
        new = draw_given(x)
        return i + 1, new, (new != x).any()

    start = 0, x, True
    return jax.lax.while_loop(lambda state: state[2] & (state[0] < x.shape[1]), step, start)[1]


@partial(compile_program, static_argnames="num_draws")
def _estimate_mean(p: Autoregressive, rng_key: jax.Array, num_draws: int) -> jax.Array:
    return _estimate(p, rng_key, num_draws, lambda conditionals: conditionals.mean.mean(0))


@partial(compile_program, static_argnames="num_draws")
def _estimate_centre(p: Autoregressive, rng_key: jax.Array, num_draws: int) -> jax.Array:
    def centre(p: dist.Distribution) -> jax.Array:
        has_levels = isinstance(p, dist.CategoricalLogits | dist.CategoricalProbs)
        return p.probs.mean(0).argmax(-1).astype(float) if has_levels else p.mean.mean(0)

    return _estimate(p, rng_key, num_draws, centre)


def _estimate(p: Autoregressive, rng_key: jax.Array, num_draws: int, value: Callable) -> jax.Array:
    """Return ``value`` of the conditionals p(x_i | x_<i, h) at ``num_draws`` draws of x."""

    def estimate_row(h: jax.Array) -> jax.Array:
        row = Autoregressive(p.conditional, h, event_dim=p.event_dim)
        x = row.sample(rng_key, (num_draws,))
        return value(p.conditional(x, row._features((num_draws,))))

    rows = jax.vmap(estimate_row)(p._features(p.batch_shape))
    return rows.reshape(*p.batch_shape, *p.event_shape)
