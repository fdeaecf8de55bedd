"""Masked convolutions: pixel i of the output depends on pixels before i, and on what it is told."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.checks import Checked
from probvae.nets.fast_convolution import conv
from probvae.nets.layers import check_sizes, describe_recipe
from probvae.typing import Shape


@dataclass(frozen=True, repr=False)
class MaskedConv(Checked):
    """A PixelCNN: from ``(h, w, 1 + context)`` to ``(h, w, k)``, a pixel a function of those before it.

    The order is row by row, left to right; the image is the first channel of the input, and the others,
    the context, are seen by every layer at their pixel. In place of masked kernels, two stacks of
    convolutions see a shifted image: v the rows above (down by one), u the pixels to the left (right
    by one), layer by layer

        v' = a(conv(v) + A c),    u' = a(conv(u) + B v' + C c),

    (gated: a(h) = tanh(h_1) * sigmoid(h_2), h_1 and h_2 the halves of twice as many channels), with
    kernels that reach only up, or only left, so that no earlier pixel within reach is in a blind
    spot. ``len(channels) * (kernel // 2) + 1`` is the reach, in pixels, to the left and up.

    Args:
        channels: of each layer.
        kernel: side of the square whose upper half the kernels cover; odd.
        activation: a, an elementwise function; not asked where gated.
        residual: whether a layer as wide as the one before adds its input u.
        gated: whether a is the gate; it takes twice the weights.

    Raises:
        ValueError: for no layers, or a side that is even or below 3.

    Reference: van den Oord, Kalchbrenner and Kavukcuoglu 2016, arXiv:1601.06759, section 3.3; the two
    stacks: van den Oord et al. 2016, arXiv:1606.05328, sections 2.1 (the gate) and 2.2.
    """

    spatial: ClassVar[bool] = True
    causal: ClassVar[bool] = True
    channels: tuple[int, ...] = (32, 32, 32)
    kernel: int = 5
    activation: Callable = jax.nn.relu
    residual: bool = True
    gated: bool = False

    def __post_init__(self) -> None:
        check_sizes("MaskedConv", "channels", self.channels)
        if not self.channels:
            raise ValueError("MaskedConv(channels=...) expects at least one layer, as (32,); got ().")
        if not isinstance(self.kernel, int) or self.kernel < 3 or self.kernel % 2 == 0:
            raise ValueError(
                f"MaskedConv(kernel=...) expects an odd side of 3 or more; got {self.kernel!r}."
            )

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        if len(in_shape) != 3 or len(out_shape) < 2 or in_shape[:2] != out_shape[:2]:
            raise ValueError(
                "MaskedConv expects an image (height, width, 1 + context) and gives (height, width, "
                f"k); got {in_shape} and {out_shape}. It serves likelihoods.Autoregressive on images; "
                "for an encoder take nets.Conv."
            )
        return _MaskedConvModule(self, in_shape, out_shape, rngs)

    def __repr__(self) -> str:
        told = {"channels": self.channels, "kernel": self.kernel, "residual": self.residual}
        return describe_recipe(self, **told, **({"gated": True} if self.gated else {}))


class _Layer(nnx.Module):
    """One layer of both stacks (see ``MaskedConv``)."""

    def __init__(self, net: MaskedConv, n: int, m: int, told: int, rngs: nnx.Rngs) -> None:
        side, half = net.kernel, net.kernel // 2
        above, left = ((half, 0), (half, half)), ((0, 0), (half, 0))
        wide = 2 * m if net.gated else m
        self.rows = conv(n, wide, (half + 1, side), padding=above, rngs=rngs)
        self.row = conv(n, wide, (1, half + 1), padding=left, rngs=rngs)
        self.down = nnx.Linear(m, wide, rngs=rngs)
        self.told = nnx.Linear(told, 2 * wide, use_bias=False, rngs=rngs) if told else None
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
        told, sizes = in_shape[2] - 1, (1, *net.channels)
        pairs = zip(sizes[:-1], sizes[1:], strict=True)
        self.layers = nnx.List([_Layer(net, n, m, told, rngs) for n, m in pairs])
        self.last = nnx.Linear(sizes[-1], math.prod(out_shape[2:]), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        image, c = x[..., :1], x[..., 1:]
        v = jnp.pad(image, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]
        u = jnp.pad(image, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]
        for layer in self.layers:
            v, u = layer(v, u, c)
        return self.last(u).reshape(x.shape[0], *self.out_shape)
