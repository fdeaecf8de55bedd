"""Gated convolutions with strides of one's choice: from an image to a vector, and back."""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
from flax import nnx

from probvae.checks import Checked
from probvae.nets.dense import GatedMLP
from probvae.nets.fast_convolution import conv
from probvae.nets.layers import as_image, check_count, check_sizes, image_shape
from probvae.typing import Shape


class _Gated(nnx.Module):
    """(W * x + b) sigmoid(V * x + c), * a convolution, with He's start."""

    def __init__(self, n: int, m: int, kernel: int, stride: int, *, rngs: nnx.Rngs) -> None:
        he = nnx.initializers.he_normal()
        like = partial(conv, n, m, (kernel, kernel), strides=stride, kernel_init=he, rngs=rngs)
        self.signal, self.gate = like(), like()

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.signal(x) * jax.nn.sigmoid(self.gate(x))


@dataclass(frozen=True)
class GatedConv(Checked):
    """Gated convolutions h * sigmoid(g), and a linear layer to the output: an encoder of images.

    Args:
        channels: of each convolution.
        kernels: side of each one's square kernel.
        strides: of each; 1 keeps the size of the image, 2 halves it, rounded up.

    Raises:
        ValueError: for tuples of different lengths, none, or not of positive integers.

    Reference: Tomczak and Welling 2018, arXiv:1705.07120, whose code has the nets that are the default.
    """

    spatial: ClassVar[bool] = True
    takes_images: ClassVar[bool] = True
    channels: tuple[int, ...] = (32, 32, 64, 64, 6)
    kernels: tuple[int, ...] = (7, 3, 5, 3, 3)
    strides: tuple[int, ...] = (1, 2, 1, 2, 1)

    def __post_init__(self) -> None:
        for field in ("channels", "kernels", "strides"):
            check_sizes("GatedConv", field, getattr(self, field))
        counts = len(self.channels), len(self.kernels), len(self.strides)
        if len(set(counts)) > 1 or not self.channels:
            raise ValueError(
                "GatedConv expects a kernel and a stride for each layer of channels, one at least; got "
                f"{counts[0]} channels, {counts[1]} kernels and {counts[2]} strides."
            )

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        return _GatedConvModule(self, image_shape(in_shape, "GatedConv", "input"), out_shape, rngs)


class _GatedConvModule(nnx.Module):
    def __init__(self, net: GatedConv, image: Shape, out_shape: Shape, rngs: nnx.Rngs) -> None:
        self.out_shape = out_shape
        *grid, n = image
        layers = []
        for m, kernel, stride in zip(net.channels, net.kernels, net.strides, strict=True):
            layers.append(_Gated(n, m, kernel, stride, rngs=rngs))
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
    """Gated dense layers to an image, and gated convolutions that keep its size: a decoder of images.

    Args:
        hidden: widths of the gated dense layers.
        channels: of each gated convolution, which a convolution of 1 x 1 follows.
        kernel: side of their square kernels.

    Raises:
        ValueError: for sizes that are not positive integers, or no convolution.

    Reference: Tomczak and Welling 2018, arXiv:1705.07120, whose code has the nets that are the default.
    """

    takes_images: ClassVar[bool] = True
    hidden: tuple[int, ...] = (300, 300)
    channels: tuple[int, ...] = (64, 64, 64, 64)
    kernel: int = 3

    def __post_init__(self) -> None:
        check_sizes("GatedConvDecoder", "hidden", self.hidden)
        check_sizes("GatedConvDecoder", "channels", self.channels)
        check_count("GatedConvDecoder", "kernel", self.kernel)
        if not self.channels:
            raise ValueError(
                "GatedConvDecoder(channels=...) expects at least one layer, as (64,); got (). Take "
                "nets.GatedMLP for dense layers alone."
            )

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
        self.layers = nnx.List([_Gated(n, m, net.kernel, 1, rngs=rngs) for n, m in pairs])
        self.last = conv(sizes[-1], image[2], (1, 1), rngs=rngs)

    def __call__(self, z: jax.Array) -> jax.Array:
        h = self.first(z)
        for layer in self.layers:
            h = layer(h)
        return self.last(h).reshape(len(z), *self.out_shape)
