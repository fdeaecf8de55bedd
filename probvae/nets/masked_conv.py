"""`MaskedConv`: masked convolutions, in which an output pixel depends only on the pixels before it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.checks import Checked, PositiveInt, Sizes
from probvae.nets.fast_convolution import conv
from probvae.nets.layers import describe_recipe
from probvae.typing import Shape


@dataclass(frozen=True, repr=False)
class MaskedConv(Checked):
    r"""A PixelCNN, in which an output pixel is a function of the pixels before it.

    It maps ``(h, w, 1 + context)`` to ``(h, w, k)``. The order is row by row, left to right. The image
    is the first channel of the input. The other channels, the context $c$, enter every layer at their
    pixel. Two stacks of convolutions on a shifted image take the place of masked kernels. $v$ covers
    the rows above (shifted down by one), and $u$ the pixels to the left (shifted right by one). Layer
    by layer,

    $$v' = a(\mathrm{conv}(v) + A c), \quad u' = a(\mathrm{conv}(u) + B v' + C c).$$

    A gated layer has twice as many channels, in halves $h_1$ and $h_2$, and
    $a(h) = \tanh(h_1) \, \sigma(h_2)$. The kernels reach only up, or only left, so there is no blind
    spot: every earlier pixel within reach counts. The reach is ``len(channels) * (kernel // 2) + 1``
    pixels to the left and up.

    Args:
        channels: of each layer.
        kernel: side of the square whose upper half the kernels cover. It must be odd.
        activation: a, an elementwise function. A gated net does not use it.
        residual: whether a layer as wide as the one before adds its input u.
        gated: whether a is the gate. It takes twice the weights.

    Raises:
        ValueError: there are no layers, or the side is even or below 3.

    Reference: van den Oord, Kalchbrenner and Kavukcuoglu 2016, arXiv:1601.06759, section 3.3. The two
    stacks: van den Oord et al. 2016, arXiv:1606.05328, sections 2.1 (the gate) and 2.2.
    """

    spatial: ClassVar[bool] = True
    causal: ClassVar[bool] = True
    channels: Sizes = (32, 32, 32)
    kernel: PositiveInt = 5
    activation: Callable = jax.nn.relu
    residual: bool = True
    gated: bool = False

    def __post_init__(self) -> None:
        if not self.channels:
            raise ValueError(
                "MaskedConv(channels=...) expects at least one layer, such as (32,); got ()."
            )
        if self.kernel < 3 or self.kernel % 2 == 0:
            raise ValueError(f"MaskedConv(kernel=...) expects an odd side >= 3; got {self.kernel!r}.")

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        if len(in_shape) != 3 or len(out_shape) < 2 or in_shape[:2] != out_shape[:2]:
            fix = "Use it in likelihoods.Autoregressive on images, and nets.Conv as an encoder."
            expected = (
                "an image (height, width, 1 + context) as its input and (height, width, k) as output"
            )
            raise ValueError(f"MaskedConv expects {expected}; got {in_shape} and {out_shape}. {fix}")
        return _MaskedConvModule(self, in_shape, out_shape, rngs)

    def __repr__(self) -> str:
        fields = {"channels": self.channels, "kernel": self.kernel, "residual": self.residual}
        return describe_recipe(self, **fields, **({"gated": True} if self.gated else {}))


class _Layer(nnx.Module):
    """One layer of both stacks (see ``MaskedConv``)."""

    def __init__(self, net: MaskedConv, n: int, m: int, context: int, rngs: nnx.Rngs) -> None:
        side, half = net.kernel, net.kernel // 2
        above, left = ((half, 0), (half, half)), ((0, 0), (half, 0))
        wide = 2 * m if net.gated else m
        self.rows = conv(n, wide, (half + 1, side), padding=above, rngs=rngs)
        self.row = conv(n, wide, (1, half + 1), padding=left, rngs=rngs)
        self.down = nnx.Linear(m, wide, rngs=rngs)
        # `told` is a key of saved weights: it keeps its name
        self.told = nnx.Linear(context, 2 * wide, use_bias=False, rngs=rngs) if context else None
        self.activation = _gate if net.gated else net.activation
        self.residual = net.residual and n == m

    def __call__(self, v: jax.Array, u: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array]:
        for_v, for_u = jnp.split(self.told(c), 2, axis=-1) if self.told else (0, 0)
        new_v = self.activation(self.rows(v) + for_v)
        new_u = self.activation(self.row(u) + self.down(new_v) + for_u)
        return new_v, new_u + u if self.residual else new_u


def _gate(h: jax.Array) -> jax.Array:
    signal, gate = jnp.split(h, 2, axis=-1)
    return jnp.tanh(signal) * jax.nn.sigmoid(gate)


class _MaskedConvModule(nnx.Module):
    def __init__(self, net: MaskedConv, in_shape: Shape, out_shape: Shape, rngs: nnx.Rngs) -> None:
        self.out_shape = out_shape
        context, sizes = in_shape[2] - 1, (1, *net.channels)
        pairs = zip(sizes[:-1], sizes[1:], strict=True)
        self.layers = nnx.List([_Layer(net, n, m, context, rngs) for n, m in pairs])
        self.last = nnx.Linear(sizes[-1], math.prod(out_shape[2:]), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        # Pixel (i, j) of v holds pixels of rows < i, in all columns, and of u also those of row i in
        # columns < j. The two shifts make this true at the start. Each layer keeps it: its kernels
        # reach from (i, j) only up (v), or only left (u), and u adds v of the same pixel. A single
        # stack with a masked square kernel would miss pixels above to the right: the blind spot.
        image, c = x[..., :1], x[..., 1:]  # (batch, h, w, 1), (batch, h, w, context)
        v = jnp.pad(image, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]
        u = jnp.pad(image, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]
        for layer in self.layers:
            v, u = layer(v, u, c)
        return self.last(u).reshape(x.shape[0], *self.out_shape)
