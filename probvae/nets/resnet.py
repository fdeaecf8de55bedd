"""Residual nets: stacks of convolutions with blocks that add to what they are given."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
from flax import nnx

from probvae.checks import Checked
from probvae.nets.conv import ConvDecoderModule, ConvModule
from probvae.nets.fast_convolution import conv
from probvae.nets.layers import (
    check_count,
    check_rate,
    check_sizes,
    describe_recipe,
    finish_layer,
    image_shape,
)
from probvae.nets.repeated_blocks import RepeatedBlocks
from probvae.typing import Shape


@dataclass(frozen=True, repr=False)
class ResNet(Checked):
    """Strided convolutions, each followed by residual blocks, and a linear layer to the output.

    A block leaves the size as it is and adds to the signal h, which nothing else touches until the
    stage's end: h + V g(W g(h)), where g normalises and activates, and W and V are convolutions. V
    starts at zero, so that the net starts as ``Conv`` with the same arguments and the depth
    costs nothing.

    Args:
        channels: of each stage; each stage halves the image.
        blocks: residual blocks in each stage.
        kernel: side of the square kernels.
        activation: an elementwise function.
        norm: a normalisation ``(features, *, rngs)`` such as ``nnx.LayerNorm``, or None.
        dropout: rate after each activation.
        remat: keep for the gradient only what each block is given: less memory, a third more time.

    Reference: He et al. 2016, arXiv:1512.03385, and 2016b, arXiv:1603.05027, figure 1b (the order
    inside a block). A stage begins with a plain strided convolution, not with a block of two sizes;
    the start at zero is that of Zhang, Dauphin and Ma 2019, arXiv:1901.09321.
    """

    spatial: ClassVar[bool] = True
    takes_images: ClassVar[bool] = True
    channels: tuple[int, ...] = (32, 64)
    blocks: int = 2
    kernel: int = 3
    activation: Callable = jax.nn.relu
    norm: Callable | None = None
    dropout: float = 0.0
    remat: bool = False

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        image = image_shape(in_shape, "ResNet", "input")
        return ConvModule(self, image, out_shape, rngs, partial(_Stage, self, rngs=rngs))

    def __repr__(self) -> str:
        return describe_recipe(self, channels=self.channels, blocks=self.blocks, kernel=self.kernel)


@dataclass(frozen=True, repr=False)
class ResNetDecoder(Checked):
    """A linear layer to a small image, and transposed convolutions, each doubling it.

    Residual blocks follow each but the last, which gives the image, cropped to the size asked for.
    ``channels`` run from the code to the image; ``blocks``, ``kernel``, ``activation``, ``norm``,
    ``dropout`` and ``remat`` are as for ``ResNet``; it starts as ``ConvDecoder`` with the same
    arguments.
    """

    takes_images: ClassVar[bool] = True
    channels: tuple[int, ...] = (64, 32)
    blocks: int = 2
    kernel: int = 3
    activation: Callable = jax.nn.relu
    norm: Callable | None = None
    dropout: float = 0.0
    remat: bool = False

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        image = image_shape(out_shape, "ResNetDecoder", "output")
        stage = partial(_Stage, self, rngs=rngs)
        return ConvDecoderModule(self, in_shape, image, out_shape, rngs, stage)

    def __repr__(self) -> str:
        return describe_recipe(self, channels=self.channels, blocks=self.blocks, kernel=self.kernel)


class _Stage(nnx.Module):
    """A layer that gives an image (perhaps as a vector), and residual blocks on that image."""

    def __init__(self, net: Any, layer: nnx.Module, image: Shape, *, rngs: nnx.Rngs) -> None:
        self.layer = layer
        self.image = image
        self.blocks = RepeatedBlocks(
            lambda rngs: _Block(net, image[-1], rngs), net.blocks, rngs, remat=net.remat
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.layer(x)
        return self.blocks(y.reshape(len(y), *self.image)).reshape(y.shape)


class _Block(nnx.Module):
    """h + V g(W g(h)), V zero at the start."""

    def __init__(self, net: Any, features: int, rngs: nnx.Rngs) -> None:
        same = partial(conv, features, features, (net.kernel, net.kernel), rngs=rngs)
        self.before = finish_layer(net, nnx.identity, features, rngs)
        self.first = finish_layer(net, same(), features, rngs)
        self.last = same(kernel_init=nnx.initializers.zeros)

    def __call__(self, h: jax.Array) -> jax.Array:
        return h + self.last(self.first(self.before(h)))


def _check(net: Any) -> None:
    name = type(net).__name__
    check_sizes(name, "channels", net.channels)
    check_count(name, "blocks", net.blocks)
    check_count(name, "kernel", net.kernel)
    check_rate(name, net.dropout)
