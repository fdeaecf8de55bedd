"""`RepeatedNets`: residual nets of one recipe, compiled once for any number of them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpyro

from probvae.nets.module import check_net, function, make_initializer
from probvae.typing import Recipe, Shape, Weights


class RepeatedNets(NamedTuple):
    """Residual nets f_0, f_1, ... with their weights. Each adds its output to its input.

    ``params`` are the weights of all nets, stacked. ``apply(params, x)`` is one of them at x.
    """

    params: Weights  # each array with a leading axis, of the nets
    apply: Callable[[Weights, jax.Array], jax.Array]

    def climb(self, x: jax.Array) -> jax.Array:
        """Return x, x + f_0(x), ..., one more than there are nets: ``(nets + 1, *x.shape)``."""
        if not self.params:
            return x[None]

        def step(x: jax.Array, params: Weights) -> tuple[jax.Array, jax.Array]:
            return x + self.apply(params, x), x

        last, before = jax.lax.scan(step, x, self.params)
        return jnp.concatenate([before, last[None]])


def register_repeated(role: str, recipe: Recipe, shape: Shape, count: int) -> RepeatedNets:
    """Register the weights of ``count`` residual nets of one recipe at ``role$params``, stacked.

    Each net starts as ``register`` would start it, from its own key. They run in a loop. Neither the
    programs nor the optimizer's work grow with their number.

    Args:
        role: the first part of the site's name, such as ``"guide$bottom_up"``.
        recipe: hashable. ``recipe(shape, shape, *, rngs)`` returns an NNX module.
        shape: shape of one input, and of one output, without the batch.
        count: the number of nets. 0 registers nothing.

    Raises:
        ValueError: the net has running state or dropout, or its weights have a prior.
    """
    net = check_net(role, recipe)
    apply, draw = function(net, shape, shape), make_initializer(net, shape, shape, "params")

    def draw_each(key: jax.Array) -> Weights:
        return jax.vmap(draw)(jax.random.split(key, count))

    return RepeatedNets(numpyro.param(f"{role}$params", draw_each) if count else {}, apply)
