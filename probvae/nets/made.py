"""Masked dense layers: output i depends on inputs before i, and on what it is told."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.checks import Checked
from probvae.nets.layers import check_sizes
from probvae.typing import Shape


class _Masked(nnx.Module):
    """(W * mask) x + b: unit j of degree b_j may see input i of degree a_i <= b_j (or < b_j)."""

    def __init__(
        self, a: Shape, b: Shape, start: nnx.Initializer, *, strict: bool, rngs: nnx.Rngs
    ) -> None:
        self.kernel = nnx.Param(start(rngs.params(), (len(a), len(b))))
        self.bias = nnx.Param(jnp.zeros(len(b)))
        self.degrees, self.strict = (a, b), strict

    def __call__(self, x: jax.Array) -> jax.Array:
        a, b = (jnp.asarray(degrees) for degrees in self.degrees)
        mask = a[:, None] < b if self.strict else a[:, None] <= b
        return x @ (self.kernel[...] * mask.astype(x.dtype)) + self.bias[...]


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
class MADE(Checked):
    """A masked net: from ``(n + context,)`` to ``(n, k)``, row i a function of entries before i.

    The context, last in the input, is seen by all. Row i sees every entry before it where all hidden
    layers have n units or more; narrower ones leave some out. The last layer starts small, so that a
    flow starts near the identity.

    Args:
        hidden: widths of the hidden layers.
        start: standard deviation of the last layer's start.

    Reference: Germain et al. 2015, arXiv:1502.03509.
    """

    causal: ClassVar[bool] = True
    hidden: tuple[int, ...] = (64,)
    start: float = 1e-2

    def __post_init__(self) -> None:
        check_sizes("MADE", "hidden", self.hidden)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        if len(in_shape) != 1 or not out_shape or in_shape[0] < out_shape[0]:
            raise ValueError(
                f"MADE expects a vector (n + context,) and gives (n, k); got {in_shape} and "
                f"{out_shape}. It serves flows and likelihoods.Autoregressive; for an encoder or a "
                "decoder take nets.MLP."
            )
        n, k = out_shape[0], math.prod(out_shape[1:])
        told = [0] * (in_shape[0] - n)  # degree 0: seen by all
        degrees = [(*range(1, n + 1), *told), *(_degrees(n, width) for width in self.hidden)]
        last = tuple(i for i in range(1, n + 1) for _ in range(k))
        he, small = nnx.initializers.he_normal(), nnx.initializers.normal(self.start)
        pairs = zip(degrees, degrees[1:], strict=False)
        layers: list[nnx.Module] = [_Masked(a, b, he, strict=False, rngs=rngs) for a, b in pairs]
        layers.append(_Masked(degrees[-1], last, small, strict=True, rngs=rngs))
        return _MADE(layers, out_shape)


def _degrees(n: int, width: int) -> Shape:
    """Degrees 0..n - 1 in turn or, where there are fewer units than n, spread over them."""
    return tuple(j % n if width >= n else j * n // width for j in range(width))
