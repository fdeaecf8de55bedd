"""Residual nets: `ResNet` from an image to a vector, `ResNetDecoder` back."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
from flax import nnx

from probvae.checks import Checked, PositiveInt, Rate, Sizes
from probvae.nets.conv import ConvDecoderModule, ConvModule
from probvae.nets.fast_convolution import conv
from probvae.nets.layers import describe_recipe, finish_layer, image_shape
from probvae.nets.repeated_blocks import RepeatedBlocks
from probvae.typing import Shape


@dataclass(frozen=True, repr=False)
class _AbstractResNet(Checked):
    """The fields of ``ResNet`` and ``ResNetDecoder``."""

    takes_images: ClassVar[bool] = True
    channels: Sizes = (32, 64)
    blocks: PositiveInt = 2
    kernel: PositiveInt = 3
    activation: Callable = jax.nn.relu
    norm: Callable | None = None
    dropout: Rate = 0.0
    remat: bool = False

    def __repr__(self) -> str:
        return describe_recipe(self, channels=self.channels, blocks=self.blocks, kernel=self.kernel)


@dataclass(frozen=True, repr=False)
class ResNet(_AbstractResNet):
    """An encoder of images: strided convolutions, each followed by residual blocks, and a linear layer.

    A block keeps the size of the image and adds to the signal $h$, which is not normalised until the
    end of the stage: $h + V g(W g(h))$. Here $g$ normalises and activates, and $W$ and $V$ are
    convolutions. $V$ starts at zero, so the net starts as ``Conv`` with the same arguments, at any
    depth.

    Args:
        channels: of each stage. Each stage halves the image.
        blocks: residual blocks in each stage.
        kernel: side of the square kernels.
        activation: an elementwise function.
        norm: a normalisation ``(features, *, rngs)`` such as ``nnx.LayerNorm``, or None.
        dropout: rate after each activation.
        remat: store only the inputs of blocks for the gradient: less memory, a third more time.

    Reference: He et al. 2016, arXiv:1512.03385, and 2016b, arXiv:1603.05027, figure 1b (the order
    inside a block). Here a stage begins with a plain strided convolution, not with a block of two
    sizes. The start at zero is that of Zhang, Dauphin and Ma 2019, arXiv:1901.09321.
    """

    spatial: ClassVar[bool] = True

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        image = image_shape(in_shape, "ResNet", "input")
        return ConvModule(self, image, out_shape, rngs, partial(_Stage, self, rngs=rngs))


@dataclass(frozen=True, repr=False)
class ResNetDecoder(_AbstractResNet):
    """A decoder of images: a linear layer to a small image, and convolutions, each doubling it.

    Residual blocks follow each layer but the last, whose output is cropped to the size of the image.
    The net starts as ``ConvDecoder`` with the same arguments.

    Args:
        channels: of each stage, from the code to the image.
        blocks: residual blocks in each stage.
        kernel: side of the square kernels.
        activation: an elementwise function.
        norm: a normalisation ``(features, *, rngs)`` such as ``nnx.LayerNorm``, or None.
        dropout: rate after each activation.
        remat: store only the inputs of blocks for the gradient: less memory, a third more time.

    Reference: as for ``ResNet``.
    """

    channels: Sizes = (64, 32)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        image = image_shape(out_shape, "ResNetDecoder", "output")
        stage = partial(_Stage, self, rngs=rngs)
        return ConvDecoderModule(self, in_shape, image, out_shape, rngs, stage)


class _Stage(nnx.Module):
    """A layer that returns an image (or its entries as a vector), and residual blocks on the image."""

    def __init__(
        self, net: _AbstractResNet, layer: nnx.Module, image: Shape, *, rngs: nnx.Rngs
    ) -> None:
        self.layer = layer
        self.image = image
        self.blocks = RepeatedBlocks(
            lambda rngs: _Block(net, image[-1], rngs), net.blocks, rngs, remat=net.remat
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.layer(x)
        return self.blocks(y.reshape(len(y), *self.image)).reshape(y.shape)


class _Block(nnx.Module):
    """h + V g(W g(h)), with V zero at the start."""

    def __init__(self, net: _AbstractResNet, features: int, rngs: nnx.Rngs) -> None:
        same = partial(conv, features, features, (net.kernel, net.kernel), rngs=rngs)
        self.before = finish_layer(net, nnx.identity, features, rngs)
        self.first = finish_layer(net, same(), features, rngs)
        self.last = same(kernel_init=nnx.initializers.zeros)

    def __call__(self, h: jax.Array) -> jax.Array:
        return h + self.last(self.first(self.before(h)))
