"""Several nets of one recipe that follow each other: compiled once, however many they are."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro

from probvae.nets.module import Recipe, check_net, function, start_of
from probvae.typing import Shape


class RepeatedNets(NamedTuple):
    """Residual nets f_0, f_1, ... with their weights: each adds to what it is given.

    ``params`` are the weights of all, stacked; ``apply(params, x)`` is one of them at x.
    """

    params: Any  # each array with a leading axis, of the nets
    apply: Callable[[Any, jax.Array], jax.Array]

    def climb(self, x: jax.Array) -> jax.Array:
        """Return x, x + f_0(x), ... for as many nets as there are: ``(nets + 1, *x.shape)``."""
        if not self.params:
            return x[None]

        def step(at: jax.Array, weights: Any) -> tuple[jax.Array, jax.Array]:
            return at + self.apply(weights, at), at

        last, before = jax.lax.scan(step, x, self.params)
        return jnp.concatenate([before, last[None]])


def register_repeated(role: str, recipe: Recipe, shape: Shape, count: int) -> RepeatedNets:
    """Register the weights of ``count`` residual nets of one recipe at ``role$params``, stacked.

    Each net starts as ``register`` would start it, from a key of its own. They run in a loop: the
    programs do not grow with their number, nor does the optimizer's work on them.

    Args:
        role: the site name's first half, such as ``"guide$bottom_up"``.
        recipe: hashable; ``recipe(shape, shape, *, rngs)`` returns an NNX module.
        shape: shape of one input, and of one output, without the batch.
        count: how many nets; 0 registers nothing.

    Raises:
        ValueError: for a net with running state or dropout, or whose weights have a prior.
    """
    told = check_net(role, recipe), shape, shape
    apply, start = function(*told), start_of(*told, "params")

    def drawn(key: jax.Array) -> Any:
        return jax.vmap(start)(jax.random.split(key, count))

    return RepeatedNets(numpyro.param(f"{role}$params", drawn) if count else {}, apply)
