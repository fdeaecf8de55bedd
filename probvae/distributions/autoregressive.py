"""A distribution over whole data by the conditionals of their entries, in order."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.compilation import compile_program
from probvae.typing import Shape


class Autoregressive(dist.Distribution):
    """p(x | h) = prod_i p(x_i | x_<i, h), the entries of x in row-major order.

    The density is one pass, a draw at most one per entry. The mean has no closed
    form: see ``mean``.

    Args:
        conditional: a pytree, called with x ``(rows, *event)`` and h ``(rows, *event, c)``; returns a
            distribution elementwise over ``(rows, *event)`` whose entry i depends on x_<i and h only,
            as does what it draws for entry i by a given key. Its ``support`` is that of an entry.
        features: h, of shape ``(*batch, *event, c)``.
        event_dim: the number of axes of x.
        mean_draws: S, over how many draws the mean is taken.
    """

    arg_constraints: dict = {}
    pytree_data_fields = ("conditional", "features")
    pytree_aux_fields = ("mean_draws",)

    def __init__(
        self,
        conditional: Any,
        features: jax.Array,
        *,
        event_dim: int,
        mean_draws: int = 1,
        validate_args: bool | None = None,
    ) -> None:
        self.conditional, self.features, self.mean_draws = conditional, features, mean_draws
        end = features.ndim - 1
        shapes = features.shape[: end - event_dim], features.shape[end - event_dim : end]
        super().__init__(*shapes, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """The support of an entry, for all of them."""
        return constraints.independent(self.conditional.support, self.event_dim)

    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return sum_i log p(x_i | x_<i, h): x is given, so that all terms are one pass."""
        value = jnp.asarray(value)
        leading = value.shape[: value.ndim - self.event_dim]
        shape = jnp.broadcast_shapes(leading, self.batch_shape)
        x = jnp.broadcast_to(value, (*shape, *self.event_shape)).astype(self.features.dtype)
        p = self.conditional(self._rows(x, 0), self._features(shape))
        return p.log_prob(self._rows(x, 0)).reshape(*shape, math.prod(self.event_shape)).sum(-1)

    def sample(self, key: jax.Array, sample_shape: Shape = ()) -> jax.Array:
        """Draw the entries, each given those before it: in at most a pass for each.

        Discrete entries take far fewer passes, all being drawn at once until they agree (Wiggers and
        Hoogeboom 2020, arXiv:2002.09928, fixed-point iteration): the law is the same.
        """
        return _draw(self, key, tuple(sample_shape))

    @property
    def mean(self) -> jax.Array:
        """An unbiased estimate: the mean over S draws of E[x_i | x_<i, h], with fixed noise.

        E[x_i | h] = E[E[x_i | x_<i, h]]. The noise is the same for all data, so that the estimate is
        one function of h: exact where the entries are independent given h, and else as rough as S
        draws of x_<i make it.
        """
        return self.estimated_mean(jax.random.key(0), self.mean_draws)

    @property
    def centre(self) -> jax.Array:
        """The mean; of levels the most probable one, by the mean over S draws of P(x_i | x_<i, h)."""
        return _estimate_centre(self, jax.random.key(0), self.mean_draws)

    def estimated_mean(self, rng_key: jax.Array, num_draws: int) -> jax.Array:
        """Return the mean over ``num_draws`` draws x of E[x_i | x_<i, h], by noise of ``rng_key``."""
        return _estimate_mean(self, rng_key, num_draws)

    @property
    def variance(self) -> jax.Array:
        """Not given: it has no closed form, and the training step asks for it."""
        raise NotImplementedError("the variance of an autoregressive distribution is not known.")

    def _rows(self, a: jax.Array, extra: int) -> jax.Array:
        """Put all axes before the event's (and ``extra`` after it) in one."""
        kept = a.shape[a.ndim - self.event_dim - extra :]
        return a.reshape(-1, *kept)

    def _features(self, shape: Shape) -> jax.Array:
        wide = jnp.broadcast_to(self.features, (*shape, *self.features.shape[len(self.batch_shape) :]))
        return self._rows(wide, 1)


@partial(compile_program, static_argnames="sample_shape")
def _draw(p: Autoregressive, rng_key: jax.Array, sample_shape: Shape) -> jax.Array:
    shape = (*sample_shape, *p.batch_shape)
    h = p._features(shape)
    size = math.prod(p.event_shape)

    def drawn(x: jax.Array) -> jax.Array:
        """Every entry by noise of its own, the same at each call, given those of x before it."""
        given = p.conditional(x.reshape(h.shape[:-1]), h)
        return given.sample(rng_key).reshape(x.shape).astype(x.dtype)

    settle = _draw_fixed_point if p.support.is_discrete else _in_order
    return settle(drawn, jnp.zeros((len(h), size), h.dtype)).reshape(*shape, *p.event_shape)


def _in_order(drawn: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """Draw entry after entry: what stands after it may be anything, and stays 0."""
    return jax.lax.fori_loop(0, x.shape[1], lambda i, x: x.at[:, i].set(drawn(x)[:, i]), x)


def _draw_fixed_point(drawn: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """Draw all entries until none changes: of equal noise there is one such x, the draw in order.

    The first i entries are right after i passes, most of the others long before. Continuous entries
    settle late, if at all, and a wrong guess may overflow.
    """

    def step(state: tuple) -> tuple:
        i, x, _ = state
        new = drawn(x)
        return i + 1, new, (new != x).any()

    start = 0, x, True
    return jax.lax.while_loop(lambda state: state[2] & (state[0] < x.shape[1]), step, start)[1]


@partial(compile_program, static_argnames="num_draws")
def _estimate_mean(p: Autoregressive, rng_key: jax.Array, num_draws: int) -> jax.Array:
    return _estimate(p, rng_key, num_draws, lambda given: given.mean.mean(0))


@partial(compile_program, static_argnames="num_draws")
def _estimate_centre(p: Autoregressive, rng_key: jax.Array, num_draws: int) -> jax.Array:
    def centre(given: dist.Distribution) -> jax.Array:
        levels = isinstance(given, dist.CategoricalLogits | dist.CategoricalProbs)
        return given.probs.mean(0).argmax(-1).astype(float) if levels else given.mean.mean(0)

    return _estimate(p, rng_key, num_draws, centre)


def _estimate(p: Autoregressive, rng_key: jax.Array, num_draws: int, value: Callable) -> jax.Array:
    """Return ``value`` of the conditionals of each entry at ``num_draws`` draws of those before it."""

    def one_datum(h: jax.Array) -> jax.Array:
        alone = Autoregressive(p.conditional, h, event_dim=p.event_dim)
        x = alone.sample(rng_key, (num_draws,))
        return value(p.conditional(x, alone._features((num_draws,))))

    found = jax.vmap(one_datum)(p._features(p.batch_shape))
    return found.reshape(*p.batch_shape, *p.event_shape)
