"""Masked dense layers: output i depends on inputs before i, and on what it is told."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.typing import Shape


class _Masked(nnx.Module):
    """(W * mask) x + b, where unit j of the layer may see unit i of the input if mask[i, j]."""

    def __init__(self, mask: tuple, start: nnx.Initializer, *, rngs: nnx.Rngs) -> None:
        n, m = len(mask), len(mask[0])
        self.kernel = nnx.Param(start(rngs.params(), (n, m)))
        self.bias = nnx.Param(jnp.zeros(m))
        self.mask = mask

    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.kernel[...] * jnp.asarray(self.mask, x.dtype)
        return x @ kernel + self.bias[...]


class _MADE(nnx.Module):
    def __init__(self, layers: list[nnx.Module], out_shape: Shape) -> None:
        self.layers = nnx.List(layers)
        self.out_shape = out_shape

    def __call__(self, x: jax.Array) -> jax.Array:
        h = self.layers[0](x)
        for layer in list(self.layers)[1:]:
            h = layer(jax.nn.relu(h))
        return h.reshape(x.shape[0], *self.out_shape)


@dataclass(frozen=True)
class MADE:
    """A masked net: from ``(n + context,)`` to ``(n, k)``, row i a function of entries before i.

    The context, last in the input, is seen by all. The last layer starts small, so that a flow starts
    near the identity.

    Args:
        hidden: widths of the hidden layers.
        start: standard deviation of the last layer's start.

    Reference: Germain et al. 2015, arXiv:1502.03509.
    """

    hidden: tuple[int, ...] = (64,)
    start: float = 1e-2

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        n, k = out_shape[0], math.prod(out_shape[1:])
        told = [0] * (in_shape[0] - n)  # degree 0: seen by all
        degrees = [[*range(1, n + 1), *told]]
        degrees += [[j % n for j in range(width)] for width in self.hidden]
        masks = [_mask(a, b, strict=False) for a, b in zip(degrees, degrees[1:], strict=False)]
        masks.append(_mask(degrees[-1], [i for i in range(1, n + 1) for _ in range(k)], strict=True))
        he, small = nnx.initializers.he_normal(), nnx.initializers.normal(self.start)
        starts = [he] * len(self.hidden) + [small]
        pairs = zip(masks, starts, strict=True)
        return _MADE([_Masked(mask, start, rngs=rngs) for mask, start in pairs], out_shape)


def _mask(inputs: list[int], outputs: list[int], *, strict: bool) -> tuple:
    """Entry (i, j): whether output j may see input i."""
    return tuple(tuple(i < j if strict else i <= j for j in outputs) for i in inputs)
