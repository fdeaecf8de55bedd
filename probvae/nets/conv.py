"""Stacks of convolutions: from an image to a vector, and back."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
from flax import nnx

from probvae.nets.blocks import as_image, check_rate, check_sizes, described, finished, image_shape
from probvae.typing import Shape


@dataclass(frozen=True, repr=False)
class Conv:
    """Strided convolutions, each halving the image, and a linear layer to the output.

    Args:
        channels: of each convolution.
        kernel: side of the square kernels.
        activation: an elementwise function.
        norm: a normalisation ``(features, *, rngs)`` such as ``nnx.LayerNorm``, or None.
        dropout: rate after each layer.

    Reference: Radford, Metz and Chintala 2016, arXiv:1511.06434 (strides instead of pooling).
    """

    spatial: ClassVar[bool] = True
    channels: tuple[int, ...] = (32, 64)
    kernel: int = 3
    activation: Callable = jax.nn.relu
    norm: Callable | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_sizes("Conv", "channels", self.channels)
        check_rate("Conv", self.dropout)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        return _ConvModule(self, image_shape(in_shape, "Conv", "input"), out_shape, rngs)

    def __repr__(self) -> str:
        return described(self, channels=self.channels, kernel=self.kernel)


@dataclass(frozen=True, repr=False)
class ConvTranspose:
    """A linear layer to a small image, and transposed convolutions, each doubling it.

    The last one's output is cropped to the size asked for. Arguments as for :class:`Conv`, the
    channels from the code to the image.
    """

    channels: tuple[int, ...] = (64, 32)
    kernel: int = 3
    activation: Callable = jax.nn.relu
    norm: Callable | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_sizes("ConvTranspose", "channels", self.channels)
        check_rate("ConvTranspose", self.dropout)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        return _ConvTransposeModule(self, in_shape, out_shape, rngs)

    def __repr__(self) -> str:
        return described(self, channels=self.channels, kernel=self.kernel)


class _ConvModule(nnx.Module):
    def __init__(self, net: Conv, image: Shape, out_shape: Shape, rngs: nnx.Rngs) -> None:
        self.out_shape = out_shape
        sizes = (image[2], *net.channels)
        kernel = (net.kernel, net.kernel)
        layers = [
            nnx.Conv(n, m, kernel, strides=2, rngs=rngs)
            for n, m in zip(sizes[:-1], sizes[1:], strict=True)
        ]
        self.layers = nnx.List(
            [finished(net, layer, m, rngs) for layer, m in zip(layers, sizes[1:], strict=True)]
        )
        height, width = (_halved(side, len(net.channels)) for side in image[:2])
        self.last = nnx.Linear(height * width * sizes[-1], math.prod(out_shape), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        h = as_image(x)
        for layer in self.layers:
            h = layer(h)
        return self.last(h.reshape(len(x), -1)).reshape(len(x), *self.out_shape)


class _ConvTransposeModule(nnx.Module):
    def __init__(self, net: ConvTranspose, in_shape: Shape, out_shape: Shape, rngs: nnx.Rngs) -> None:
        height, width, channels = image_shape(out_shape, "ConvTranspose", "output")
        self.out_shape = out_shape
        self.small = (*(_halved(side, len(net.channels)) for side in (height, width)), net.channels[0])
        first = nnx.Linear(math.prod(in_shape), math.prod(self.small), rngs=rngs)
        self.first = finished(net, first, math.prod(self.small), rngs)
        sizes, kernel = net.channels, (net.kernel, net.kernel)
        layers = [
            nnx.ConvTranspose(n, m, kernel, strides=(2, 2), rngs=rngs)
            for n, m in zip(sizes[:-1], sizes[1:], strict=True)
        ]
        self.layers = nnx.List(
            [finished(net, layer, m, rngs) for layer, m in zip(layers, sizes[1:], strict=True)]
        )
        self.last = nnx.ConvTranspose(sizes[-1], channels, kernel, strides=(2, 2), rngs=rngs)

    def __call__(self, z: jax.Array) -> jax.Array:
        h = self.first(z.reshape(len(z), -1)).reshape(len(z), *self.small)
        for layer in self.layers:
            h = layer(h)
        h = self.last(h)[:, : self.out_shape[0], : self.out_shape[1]]
        return h.reshape(len(z), *self.out_shape)


def _halved(side: int, times: int) -> int:
    """Halve, rounding up, as often as there are layers."""
    return -(-side // 2**times)
