"""Blocks of one form, one after the other: compiled once, however deep."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx


class RepeatedBlocks(nnx.Module):
    """``depth`` blocks in a loop, their weights stacked along a first axis.

    Each block starts as ``make(rngs)`` starts one, from a key of its own; running state and dropout are
    a block's own too. With ``remat`` only what each block is given is kept for the gradient, and the
    rest is computed again (Chen et al. 2016, arXiv:1604.06174).
    """

    def __init__(
        self, make: Callable[[nnx.Rngs], nnx.Module], depth: int, rngs: nnx.Rngs, *, remat: bool
    ) -> None:
        self.block: Any = nnx.split_rngs(splits=depth)(nnx.vmap(make))(rngs)
        self.remat = remat

    def __call__(self, h: jax.Array) -> jax.Array:
        graph, params, rest = nnx.split(self.block, nnx.Param, ...)

        def step(h: jax.Array, arrays: Any) -> tuple[jax.Array, Any]:
            block = nnx.merge(graph, *arrays)
            h = block(h)
            return h, nnx.state(block, nnx.Not(nnx.Param))

        h, after = jax.lax.scan(jax.checkpoint(step) if self.remat else step, h, (params, rest))
        if jax.tree.leaves(after):  # batch statistics, and what dropout has drawn
            nnx.update(self.block, after)
        return h
