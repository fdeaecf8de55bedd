"""Transformers on patches: from an image to a vector through one learned token, and back."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.checks import Checked
from probvae.nets.layers import as_image, check_count, check_rate, describe_recipe, image_shape
from probvae.nets.patches import from_patches, grid_of, positions, to_patches
from probvae.nets.repeated_blocks import RepeatedBlocks
from probvae.typing import Shape


@dataclass(frozen=True, repr=False)
class Transformer(Checked):
    """Attention over the patches of an image; what a learned token has gathered gives the output.

    A patch is embedded by a linear layer and told its place by fixed sines and cosines of its row and
    column. The token, without a place, stands beside the patches. Blocks are pre-norm,

        h <- h + attention(norm(h)),    h <- h + mlp(norm(h)),

    with LayerNorm, in a loop that is compiled once, however deep. The token's last value, normalised,
    goes through a linear layer.

    Args:
        patch: side of the square patches; the image's sides are multiples of it.
        hidden: width of a patch's embedding, a multiple of 4 and of ``heads``.
        depth: number of blocks.
        heads: of each attention.
        mlp_ratio: width of the hidden layer of a block's MLP, in units of ``hidden``.
        activation: an elementwise function, in the MLPs.
        dropout: rate after each attention and MLP, before it is added.
        remat: keep for the gradient only what each block is given: less memory, a third more time.

    Reference: Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.1; Vaswani et al. 2017,
    arXiv:1706.03762; the fixed places as in He et al. 2022, arXiv:2111.06377.
    """

    spatial: ClassVar[bool] = True
    takes_images: ClassVar[bool] = True
    patch: int = 4
    hidden: int = 64
    depth: int = 2
    heads: int = 4
    mlp_ratio: int = 4
    activation: Callable = jax.nn.gelu
    dropout: float = 0.0
    remat: bool = False

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        image = image_shape(in_shape, "Transformer", "input")
        grid_of("Transformer", image, self.patch)
        return _TransformerModule(self, image, out_shape, rngs)

    def __repr__(self) -> str:
        return _describe(self)


@dataclass(frozen=True, repr=False)
class TransformerDecoder(Checked):
    """The way back: the embedded code at every patch, told the patch's place, and attention.

    A linear layer of the code is tiled over the patches; the places are added; after the blocks, a
    linear layer gives each patch its pixels. ``patch``, ``hidden``, ``depth``, ``heads``,
    ``mlp_ratio``, ``activation``, ``dropout`` and ``remat`` are as for ``Transformer``; nothing is
    masked and nothing is generated in turn.
    """

    takes_images: ClassVar[bool] = True
    patch: int = 4
    hidden: int = 64
    depth: int = 2
    heads: int = 4
    mlp_ratio: int = 4
    activation: Callable = jax.nn.gelu
    dropout: float = 0.0
    remat: bool = False

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        image = image_shape(out_shape, "TransformerDecoder", "output")
        grid = grid_of("TransformerDecoder", image, self.patch)
        return _TransformerDecoderModule(self, in_shape, grid, (image, out_shape), rngs)

    def __repr__(self) -> str:
        return _describe(self)


class _TransformerModule(nnx.Module):
    def __init__(self, net: Transformer, image: Shape, out_shape: Shape, rngs: nnx.Rngs) -> None:
        self.patch, self.out_shape = net.patch, out_shape
        self.embed = nnx.Linear(net.patch**2 * image[2], net.hidden, rngs=rngs)
        self.token = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (net.hidden,)))
        self.blocks = _Blocks(net, rngs)
        self.last = nnx.Linear(net.hidden, math.prod(out_shape), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        patches = to_patches(as_image(x), self.patch)  # (batch, rows, columns, pixels)
        h = self.embed(patches)
        h = h + positions(patches.shape[1:3], h.shape[-1]).astype(h.dtype)
        h = h.reshape(len(x), -1, h.shape[-1])
        token = jnp.broadcast_to(self.token[...].astype(h.dtype), (len(x), 1, h.shape[-1]))
        h = self.blocks(jnp.concatenate([token, h], axis=1))
        return self.last(h[:, 0]).reshape(len(x), *self.out_shape)


class _TransformerDecoderModule(nnx.Module):
    def __init__(
        self,
        net: TransformerDecoder,
        in_shape: Shape,
        grid: Shape,
        shapes: tuple[Shape, Shape],
        rngs: nnx.Rngs,
    ) -> None:
        image, self.out_shape = shapes
        self.patch, self.grid = net.patch, grid
        self.embed = nnx.Linear(math.prod(in_shape), net.hidden, rngs=rngs)
        self.blocks = _Blocks(net, rngs)
        self.last = nnx.Linear(net.hidden, net.patch**2 * image[2], rngs=rngs)

    def __call__(self, z: jax.Array) -> jax.Array:
        code = self.embed(z.reshape(len(z), -1))
        h = code[:, None, None] + positions(self.grid, code.shape[-1]).astype(code.dtype)
        h = self.blocks(h.reshape(len(z), -1, code.shape[-1]))
        patches = self.last(h).reshape(len(z), *self.grid, -1)
        return from_patches(patches, self.patch).reshape(len(z), *self.out_shape)


class _Blocks(nnx.Module):
    """All blocks, and the normalisation that pre-norm blocks need at their end."""

    def __init__(self, net: Any, rngs: nnx.Rngs) -> None:
        self.blocks = RepeatedBlocks(lambda rngs: _Block(net, rngs), net.depth, rngs, remat=net.remat)
        self.norm = nnx.LayerNorm(net.hidden, rngs=rngs)

    def __call__(self, h: jax.Array) -> jax.Array:
        return self.norm(self.blocks(h))


class _Block(nnx.Module):
    """h + attention(norm(h)), then h + mlp(norm(h)), on ``(batch, tokens, hidden)``."""

    def __init__(self, net: Any, rngs: nnx.Rngs) -> None:
        n, wide = net.hidden, net.mlp_ratio * net.hidden
        self.norms = nnx.List([nnx.LayerNorm(n, rngs=rngs) for _ in range(2)])
        self.attention = nnx.MultiHeadAttention(net.heads, n, decode=False, rngs=rngs)
        self.wide = nnx.Linear(n, wide, rngs=rngs)
        self.narrow = nnx.Linear(wide, n, rngs=rngs)
        self.activation = net.activation
        self.dropout = nnx.Dropout(net.dropout, rngs=rngs) if net.dropout else nnx.identity

    def __call__(self, h: jax.Array) -> jax.Array:
        h = h + self.dropout(self.attention(self.norms[0](h)))
        mlp = self.narrow(self.activation(self.wide(self.norms[1](h))))
        return h + self.dropout(mlp)


def _check(net: Any) -> None:
    name = type(net).__name__
    for field in ("patch", "hidden", "depth", "heads", "mlp_ratio"):
        check_count(name, field, getattr(net, field))
    check_rate(name, net.dropout)
    for divisor, why in ((net.heads, "one equal part per head"), (4, "sine and cosine of two places")):
        if net.hidden % divisor:
            raise ValueError(
                f"{name}(hidden=...) expects a multiple of {divisor} ({why}); got hidden={net.hidden} "
                f"with heads={net.heads}. Take hidden={math.lcm(4, net.heads)} or a multiple of it."
            )


def _describe(net: Any) -> str:
    names = ("patch", "hidden", "depth", "heads", "mlp_ratio")
    return describe_recipe(net, **{name: getattr(net, name) for name in names})
