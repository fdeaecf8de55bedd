"""A decoder that hardly needs its code: every pixel sees the pixels before it in a window."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx


@dataclass(frozen=True)
class Window:
    """An example of your own masked net: one MLP for all pixels, on the pixels before in a window.

    It maps ``(h, w, 1 + features)`` to ``(h, w, k)``. Pixel (r, c) sees the rows from r - reach to
    r - 1 at columns c - reach to c + reach, and its own row from c - reach to c - 1. It is a masked
    convolution and then 1 x 1 convolutions, written as matrix products, which are several times faster
    on a CPU.

    Args:
        hidden: widths of the hidden layers.
        reach: pixels up, left and right.
    """

    causal: ClassVar[bool] = True
    spatial: ClassVar[bool] = True
    hidden: tuple[int, ...] = (64, 64)
    reach: int = 3

    def __call__(self, in_shape, out_shape, *, rngs: nnx.Rngs) -> nnx.Module:
        num_seen = self.reach * (2 * self.reach + 1) + self.reach
        sizes = (num_seen + in_shape[2] - 1, *self.hidden, math.prod(out_shape[2:]))
        return _Window(sizes, self.reach, out_shape, rngs)


class _Window(nnx.Module):
    def __init__(self, sizes, reach: int, out_shape, rngs: nnx.Rngs) -> None:
        pairs = zip(sizes[:-1], sizes[1:], strict=True)
        self.layers = nnx.List([nnx.Linear(n, m, rngs=rngs) for n, m in pairs])
        self.reach, self.out_shape = reach, out_shape

    def __call__(self, x: jax.Array) -> jax.Array:
        image, features = x[..., 0], x[..., 1:]
        y = jnp.concatenate([before(image, self.reach), features], axis=-1)
        for layer in self.layers[:-1]:
            y = jax.nn.relu(layer(y))
        return self.layers[-1](y).reshape(len(x), *self.out_shape)


def before(image: jax.Array, reach: int) -> jax.Array:
    """Return the pixels within reach before each pixel of ``(batch, h, w)``, on a new last axis."""
    h, w = image.shape[1:]
    wide = jnp.pad(image, ((0, 0), (reach, 0), (reach, reach)))
    above = [(i, j) for i in range(reach) for j in range(2 * reach + 1)]
    left = [(reach, j) for j in range(reach)]
    return jnp.stack([wide[:, i : i + h, j : j + w] for i, j in above + left], axis=-1)
