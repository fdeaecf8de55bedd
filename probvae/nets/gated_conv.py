"""Gated convolutional nets: `GatedConv` from an image to a vector, `GatedConvDecoder` back."""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
from flax import nnx

from probvae.checks import Checked, PositiveInt, Sizes
from probvae.nets.dense import GatedMLP
from probvae.nets.fast_convolution import conv
from probvae.nets.layers import as_image, image_shape
from probvae.typing import Shape


class _GatedLayer(nnx.Module):
    """(W * x + b) sigmoid(V * x + c), with * a convolution, and He's initialization."""

    def __init__(self, n: int, m: int, kernel: int, stride: int, *, rngs: nnx.Rngs) -> None:
        he = nnx.initializers.he_normal()
        layer = partial(conv, n, m, (kernel, kernel), strides=stride, kernel_init=he, rngs=rngs)
        self.signal, self.gate = layer(), layer()

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.signal(x) * jax.nn.sigmoid(self.gate(x))


@dataclass(frozen=True)
class GatedConv(Checked):
    r"""An encoder of images: gated convolutions and a linear layer.

    A gated convolution is $(W * x + b) \, \sigma(V * x + c)$.

    Args:
        channels: of each convolution.
        kernels: side of the square kernel of each.
        strides: of each. 1 keeps the size of the image, 2 halves it, rounded up.

    Raises:
        ValueError: the tuples differ in length, are empty, or hold numbers below 1.

    Reference: Tomczak and Welling 2018, arXiv:1705.07120. The defaults are the nets of their code.
    """

    spatial: ClassVar[bool] = True
    takes_images: ClassVar[bool] = True
    channels: Sizes = (32, 32, 64, 64, 6)
    kernels: Sizes = (7, 3, 5, 3, 3)
    strides: Sizes = (1, 2, 1, 2, 1)

    def __post_init__(self) -> None:
        counts = len(self.channels), len(self.kernels), len(self.strides)
        if len(set(counts)) > 1 or not self.channels:
            got = f"{counts[0]} channels, {counts[1]} kernels and {counts[2]} strides"
            expected = "a kernel and a stride for each layer of channels, one at least"
            raise ValueError(f"GatedConv expects {expected}; got {got}.")

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        return _GatedConvModule(self, image_shape(in_shape, "GatedConv", "input"), out_shape, rngs)


class _GatedConvModule(nnx.Module):
    def __init__(self, net: GatedConv, image: Shape, out_shape: Shape, rngs: nnx.Rngs) -> None:
        self.out_shape = out_shape
        *grid, n = image
        layers = []
        for m, kernel, stride in zip(net.channels, net.kernels, net.strides, strict=True):
            layers.append(_GatedLayer(n, m, kernel, stride, rngs=rngs))
            grid, n = [-(-side // stride) for side in grid], m
        self.layers = nnx.List(layers)
        self.last = nnx.Linear(math.prod(grid) * n, math.prod(out_shape), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        h = as_image(x)
        for layer in self.layers:
            h = layer(h)
        return self.last(h.reshape(len(x), -1)).reshape(len(x), *self.out_shape)


@dataclass(frozen=True)
class GatedConvDecoder(Checked):
    """A decoder of images: gated dense layers to an image, and gated convolutions that keep its size.

    Args:
        hidden: widths of the gated dense layers.
        channels: of each gated convolution. A convolution of 1 x 1 follows them.
        kernel: side of their square kernels.

    Raises:
        ValueError: a size is below 1, or ``channels`` is empty.

    Reference: Tomczak and Welling 2018, arXiv:1705.07120. The defaults are the nets of their code.
    """

    takes_images: ClassVar[bool] = True
    hidden: Sizes = (300, 300)
    channels: Sizes = (64, 64, 64, 64)
    kernel: PositiveInt = 3

    def __post_init__(self) -> None:
        if not self.channels:
            expected = "at least one layer, such as (64,)"
            fix = "Use nets.GatedMLP for dense layers alone."
            raise ValueError(f"GatedConvDecoder(channels=...) expects {expected}; got (). {fix}")

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        image = image_shape(out_shape, "GatedConvDecoder", "output")
        return _GatedConvDecoderModule(self, in_shape, image, out_shape, rngs)


class _GatedConvDecoderModule(nnx.Module):
    def __init__(
        self, net: GatedConvDecoder, in_shape: Shape, image: Shape, out_shape: Shape, rngs: nnx.Rngs
    ) -> None:
        self.out_shape = out_shape
        self.first = GatedMLP(net.hidden)(in_shape, (*image[:2], 1), rngs=rngs)
        sizes = (1, *net.channels)
        pairs = zip(sizes[:-1], sizes[1:], strict=True)
        self.layers = nnx.List([_GatedLayer(n, m, net.kernel, 1, rngs=rngs) for n, m in pairs])
        self.last = conv(sizes[-1], image[2], (1, 1), rngs=rngs)

    def __call__(self, z: jax.Array) -> jax.Array:
        h = self.first(z)
        for layer in self.layers:
            h = layer(h)
        return self.last(h).reshape(len(z), *self.out_shape)
