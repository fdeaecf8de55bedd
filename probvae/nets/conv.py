"""Stacks of convolutions: from an image to a vector, and back."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
from flax import nnx

from probvae.checks import Checked
from probvae.nets.fast_convolution import conv, doubling
from probvae.nets.layers import (
    as_image,
    check_count,
    check_rate,
    check_sizes,
    describe_recipe,
    finish_layer,
    image_shape,
)
from probvae.typing import Shape


@dataclass(frozen=True, repr=False)
class Conv(Checked):
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
    takes_images: ClassVar[bool] = True
    channels: tuple[int, ...] = (32, 64)
    kernel: int = 3
    activation: Callable = jax.nn.relu
    norm: Callable | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_sizes("Conv", "channels", self.channels)
        check_count("Conv", "kernel", self.kernel)
        check_rate("Conv", self.dropout)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        return ConvModule(self, image_shape(in_shape, "Conv", "input"), out_shape, rngs)

    def __repr__(self) -> str:
        return describe_recipe(self, channels=self.channels, kernel=self.kernel)


@dataclass(frozen=True, repr=False)
class ConvDecoder(Checked):
    """A linear layer to a small image, and transposed convolutions, each doubling it.

    The last one's output is cropped to the size asked for. ``channels`` run from the code to
    the image; ``kernel``, ``activation``, ``norm`` and ``dropout`` are as for ``Conv``.
    """

    takes_images: ClassVar[bool] = True
    channels: tuple[int, ...] = (64, 32)
    kernel: int = 3
    activation: Callable = jax.nn.relu
    norm: Callable | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_sizes("ConvDecoder", "channels", self.channels)
        check_count("ConvDecoder", "kernel", self.kernel)
        check_rate("ConvDecoder", self.dropout)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        image = image_shape(out_shape, "ConvDecoder", "output")
        return ConvDecoderModule(self, in_shape, image, out_shape, rngs)

    def __repr__(self) -> str:
        return describe_recipe(self, channels=self.channels, kernel=self.kernel)


def alone(layer: nnx.Module, image: Shape) -> nnx.Module:
    """Add nothing to a layer whose output is ``image``: what a residual net does otherwise."""
    return layer


class ConvModule(nnx.Module):
    """The layers of ``Conv``; ``stage`` may add to each before its normalisation."""

    def __init__(
        self, net: Any, image: Shape, out_shape: Shape, rngs: nnx.Rngs, stage: Callable = alone
    ) -> None:
        self.out_shape = out_shape
        *grid, n = image
        layers = []
        for m in net.channels:
            layer = conv(n, m, (net.kernel, net.kernel), strides=2, rngs=rngs)
            grid, n = [_halve_sizes(side, 1) for side in grid], m
            layers.append(finish_layer(net, stage(layer, (*grid, m)), m, rngs))
        self.layers = nnx.List(layers)
        self.last = nnx.Linear(math.prod(grid) * n, math.prod(out_shape), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        h = as_image(x)
        for layer in self.layers:
            h = layer(h)
        return self.last(h.reshape(len(x), -1)).reshape(len(x), *self.out_shape)


class ConvDecoderModule(nnx.Module):
    """The layers of ``ConvDecoder``; ``stage`` as for ``ConvModule``."""

    def __init__(
        self,
        net: Any,
        in_shape: Shape,
        image: Shape,
        out_shape: Shape,
        rngs: nnx.Rngs,
        stage: Callable = alone,
    ) -> None:
        self.out_shape = out_shape
        grid, (n, *others) = [_halve_sizes(side, len(net.channels)) for side in image[:2]], net.channels
        self.small = (*grid, n)
        size = math.prod(self.small)
        first = nnx.Linear(math.prod(in_shape), size, rngs=rngs)
        self.first = finish_layer(net, stage(first, self.small), size, rngs)
        layers = []
        for m in others:
            layer = doubling(n, m, net.kernel, rngs=rngs)
            grid, n = [2 * side for side in grid], m
            layers.append(finish_layer(net, stage(layer, (*grid, m)), m, rngs))
        self.layers = nnx.List(layers)
        self.last = doubling(n, image[2], net.kernel, rngs=rngs)

    def __call__(self, z: jax.Array) -> jax.Array:
        h = self.first(z.reshape(len(z), -1)).reshape(len(z), *self.small)
        for layer in self.layers:
            h = layer(h)
        h = self.last(h)[:, : self.out_shape[0], : self.out_shape[1]]
        return h.reshape(len(z), *self.out_shape)


def _halve_sizes(side: int, times: int) -> int:
    """Halve, rounding up, as often as there are layers."""
    return -(-side // 2**times)
