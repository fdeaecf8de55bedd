"""`MADE`: masked dense layers, in which output i depends only on the inputs before i."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.checks import Checked, Sizes
from probvae.typing import Shape


class _MaskedLinear(nnx.Module):
    """(W * mask) x + b. Unit j uses input i if their degrees satisfy a_i <= b_j (strict: a_i < b_j)."""

    def __init__(
        self, a: Shape, b: Shape, start: nnx.Initializer, *, strict: bool, rngs: nnx.Rngs
    ) -> None:
        self.kernel = nnx.Param(start(rngs.params(), (len(a), len(b))))
        self.bias = nnx.Param(jnp.zeros(len(b)))
        self.degrees, self.strict = (a, b), strict

    def __call__(self, x: jax.Array) -> jax.Array:
        a, b = (jnp.asarray(degrees) for degrees in self.degrees)
        mask = a[:, None] < b if self.strict else a[:, None] <= b  # (inputs, units)
        return x @ (self.kernel[...] * mask.astype(x.dtype)) + self.bias[...]


class _MADEModule(nnx.Module):
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
    """A masked net, in which output row i is a function of the inputs before i.

    It maps ``(n + context,)`` to ``(n, k)``. The context, last in the input, reaches all outputs. Row i
    uses every input before it if all hidden layers have at least n units. Narrower layers skip some.
    The last layer starts small, so that a flow starts near the identity.

    Args:
        hidden: widths of the hidden layers.
        start: standard deviation of the last layer's initial weights.

    Reference: Germain et al. 2015, arXiv:1502.03509.
    """

    causal: ClassVar[bool] = True
    hidden: Sizes = (64,)
    start: float = 1e-2

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        if len(in_shape) != 1 or not out_shape or in_shape[0] < out_shape[0]:
            fix = "Use it in flows and likelihoods.Autoregressive, and nets.MLP as encoder or decoder."
            expected = "a vector (n + context,) as its input and (n, k) as its output"
            raise ValueError(f"MADE expects {expected}; got {in_shape} and {out_shape}. {fix}")
        n, k = out_shape[0], math.prod(out_shape[1:])
        # A unit of degree d may depend on x_1..x_d. Entry i of x has degree i, the context 0. A hidden
        # unit of degree d uses units of degree <= d. The outputs of row i use units of degree < i,
        # which depend on x_1..x_(i-1). A path from x_i to row i would need degrees i <= ... < i.
        context = [0] * (in_shape[0] - n)
        degrees = [(*range(1, n + 1), *context), *(_hidden_degrees(n, m) for m in self.hidden)]
        last = tuple(i for i in range(1, n + 1) for _ in range(k))
        he, small = nnx.initializers.he_normal(), nnx.initializers.normal(self.start)
        pairs = zip(degrees, degrees[1:], strict=False)
        layers: list[nnx.Module] = [_MaskedLinear(a, b, he, strict=False, rngs=rngs) for a, b in pairs]
        layers.append(_MaskedLinear(degrees[-1], last, small, strict=True, rngs=rngs))
        return _MADEModule(layers, out_shape)


def _hidden_degrees(n: int, width: int) -> Shape:
    """Return degrees 0..n - 1 in turn or, for fewer units than n, spread over this range."""
    return tuple(j % n if width >= n else j * n // width for j in range(width))
