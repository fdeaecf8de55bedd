"""Convolutional nets: `Conv` from an image to a vector, `ConvDecoder` back."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import jax
from flax import nnx

from probvae.checks import Checked, PositiveInt, Rate, Sizes
from probvae.nets.fast_convolution import conv, conv_transpose
from probvae.nets.layers import LayerRecipe, as_image, describe_recipe, finish_layer, image_shape
from probvae.typing import Shape


@runtime_checkable
class ConvRecipe(LayerRecipe, Protocol):
    """A recipe of strided convolutions: that of ``Conv`` or of ``ResNet``, or of their decoders."""

    @property
    def channels(self) -> Shape: ...

    @property
    def kernel(self) -> int: ...


@dataclass(frozen=True, repr=False)
class _AbstractConv(Checked):
    """The fields of ``Conv`` and ``ConvDecoder``."""

    takes_images: ClassVar[bool] = True
    channels: Sizes = (32, 64)
    kernel: PositiveInt = 3
    activation: Callable = jax.nn.relu
    norm: Callable | None = None
    dropout: Rate = 0.0

    def __repr__(self) -> str:
        return describe_recipe(self, channels=self.channels, kernel=self.kernel)


@dataclass(frozen=True, repr=False)
class Conv(_AbstractConv):
    """An encoder of images: strided convolutions, each halving the image, and a linear layer.

    Args:
        channels: of each convolution.
        kernel: side of the square kernels.
        activation: an elementwise function.
        norm: a normalisation ``(features, *, rngs)`` such as ``nnx.LayerNorm``, or None.
        dropout: rate after each layer.

    Reference: Radford, Metz and Chintala 2016, arXiv:1511.06434 (strides instead of pooling).

    Examples:
        >>> import jax
        >>> from flax import nnx
        >>> from probvae import nets
        >>> net = nets.Conv((8, 16))((28, 28), (2,), rngs=nnx.Rngs(0))
        >>> net(jax.numpy.ones((5, 28, 28))).shape
        (5, 2)
    """

    spatial: ClassVar[bool] = True

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        return ConvModule(self, image_shape(in_shape, "Conv", "input"), out_shape, rngs)


@dataclass(frozen=True, repr=False)
class ConvDecoder(_AbstractConv):
    """A decoder of images: a linear layer to a small image, and convolutions, each doubling it.

    The last output is cropped to the size of the image.

    Args:
        channels: of each transposed convolution, from the code to the image.
        kernel: side of the square kernels.
        activation: an elementwise function.
        norm: a normalisation ``(features, *, rngs)`` such as ``nnx.LayerNorm``, or None.
        dropout: rate after each layer.

    Reference: Radford, Metz and Chintala 2016, arXiv:1511.06434.
    """

    channels: Sizes = (64, 32)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        image = image_shape(out_shape, "ConvDecoder", "output")
        return ConvDecoderModule(self, in_shape, image, out_shape, rngs)


def keep_layer(layer: nnx.Module, image: Shape) -> nnx.Module:
    """Return a layer as it is. ``ResNet`` adds residual blocks at this place."""
    return layer


class ConvModule(nnx.Module):
    """The layers of ``Conv``. ``stage`` may add blocks to each one before its normalisation."""

    def __init__(
        self,
        net: ConvRecipe,
        image: Shape,
        out_shape: Shape,
        rngs: nnx.Rngs,
        stage: Callable = keep_layer,
    ) -> None:
        self.out_shape = out_shape
        *grid, n = image
        layers = []
        for m in net.channels:
            layer = conv(n, m, (net.kernel, net.kernel), strides=2, rngs=rngs)
            grid, n = [_halve(side, 1) for side in grid], m
            layers.append(finish_layer(net, stage(layer, (*grid, m)), m, rngs))
        self.layers = nnx.List(layers)
        self.last = nnx.Linear(math.prod(grid) * n, math.prod(out_shape), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        h = as_image(x)
        for layer in self.layers:
            h = layer(h)
        return self.last(h.reshape(len(x), -1)).reshape(len(x), *self.out_shape)


class ConvDecoderModule(nnx.Module):
    """The layers of ``ConvDecoder``. ``stage`` is as for ``ConvModule``."""

    def __init__(
        self,
        net: ConvRecipe,
        in_shape: Shape,
        image: Shape,
        out_shape: Shape,
        rngs: nnx.Rngs,
        stage: Callable = keep_layer,
    ) -> None:
        self.out_shape = out_shape
        # The small image is halved and rounded up once per layer, so that doubling it as often gives at
        # least the size of the image. The surplus rows and columns are cropped: 7 -> 14 -> 28, and
        # 5 -> 10 -> 20 for a side of 19.
        grid, (n, *others) = [_halve(side, len(net.channels)) for side in image[:2]], net.channels
        self.small = (*grid, n)
        size = math.prod(self.small)
        first = nnx.Linear(math.prod(in_shape), size, rngs=rngs)
        self.first = finish_layer(net, stage(first, self.small), size, rngs)
        layers = []
        for m in others:
            layer = conv_transpose(n, m, net.kernel, rngs=rngs)
            grid, n = [2 * side for side in grid], m
            layers.append(finish_layer(net, stage(layer, (*grid, m)), m, rngs))
        self.layers = nnx.List(layers)
        self.last = conv_transpose(n, image[2], net.kernel, rngs=rngs)

    def __call__(self, z: jax.Array) -> jax.Array:
        h = self.first(z.reshape(len(z), -1)).reshape(len(z), *self.small)
        for layer in self.layers:
            h = layer(h)
        h = self.last(h)[:, : self.out_shape[0], : self.out_shape[1]]
        return h.reshape(len(z), *self.out_shape)


def _halve(side: int, times: int) -> int:
    """Return side / 2^times, rounded up."""
    return -(-side // 2**times)
