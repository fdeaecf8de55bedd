"""`RepeatedBlocks`: equal blocks in a loop, compiled once at any depth."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
from flax import nnx

State: TypeAlias = Any  # nnx.State: its type parameters are more than beartype reads


class RepeatedBlocks(nnx.Module):
    """``depth`` blocks in a loop, their weights stacked along a first axis.

    ``make(rngs)`` initializes each block from its own key. Running state and dropout are separate for
    each block, too. With ``remat``, only the inputs of the blocks are stored for the gradient, and the
    rest is computed again (Chen et al. 2016, arXiv:1604.06174).
    """

    def __init__(
        self, make: Callable[[nnx.Rngs], nnx.Module], depth: int, rngs: nnx.Rngs, *, remat: bool
    ) -> None:
        self.block: nnx.Module = nnx.split_rngs(splits=depth)(nnx.vmap(make))(rngs)
        self.remat = remat

    def __call__(self, h: jax.Array) -> jax.Array:
        graph, params, rest = nnx.split(self.block, nnx.Param, ...)

        def step(h: jax.Array, arrays: tuple[State, State]) -> tuple[jax.Array, State]:
            block = nnx.merge(graph, *arrays)
            h = block(h)
            return h, nnx.state(block, nnx.Not(nnx.Param))

        h, after = jax.lax.scan(jax.checkpoint(step) if self.remat else step, h, (params, rest))
        if jax.tree.leaves(after):  # batch statistics, and the counts of dropout's streams
            nnx.update(self.block, after)
        return h
