"""Transformers on patches: `Transformer` from an image to a vector, `TransformerDecoder` back."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.checks import Checked, PositiveInt, Rate
from probvae.nets.layers import as_image, describe_recipe, image_shape
from probvae.nets.patches import count_patches, from_patches, positions, to_patches
from probvae.nets.repeated_blocks import RepeatedBlocks
from probvae.typing import Shape


@dataclass(frozen=True, repr=False)
class _AbstractTransformer(Checked):
    """The fields of ``Transformer`` and ``TransformerDecoder``."""

    takes_images: ClassVar[bool] = True
    patch: PositiveInt = 4
    hidden: PositiveInt = 64
    depth: PositiveInt = 2
    heads: PositiveInt = 4
    mlp_ratio: PositiveInt = 4
    activation: Callable = jax.nn.gelu
    dropout: Rate = 0.0
    remat: bool = False

    def __post_init__(self) -> None:
        equal_parts = (self.heads, "one equal part per head")
        for divisor, why in (equal_parts, (4, "sine and cosine of two places")):
            if self.hidden % divisor:
                fix = f"Use hidden={math.lcm(4, self.heads)} or a multiple of it."
                got = f"hidden={self.hidden} with heads={self.heads}"
                name = type(self).__name__
                raise ValueError(
                    f"{name}(hidden=...) expects a multiple of {divisor} ({why}); got {got}. {fix}"
                )

    def __repr__(self) -> str:
        names = ("patch", "hidden", "depth", "heads", "mlp_ratio")
        return describe_recipe(self, **{name: getattr(self, name) for name in names})


@dataclass(frozen=True, repr=False)
class Transformer(_AbstractTransformer):
    r"""An encoder of images: attention over patches, and an output from one learned token.

    A linear layer embeds each patch. Fixed sines and cosines of its row and column are added. The
    learned token, without a place, joins the patches. Blocks are pre-norm,

    $$h \leftarrow h + \mathrm{attention}(\mathrm{norm}(h)), \quad
    h \leftarrow h + \mathrm{mlp}(\mathrm{norm}(h)),$$

    with LayerNorm. They run in a loop that is compiled once, at any depth. A linear layer maps the
    normalised last value of the token to the output.

    Args:
        patch: side of the square patches. It must divide both sides of the image.
        hidden: width of a patch's embedding, a multiple of 4 and of ``heads``.
        depth: number of blocks.
        heads: of each attention.
        mlp_ratio: width of the hidden layer of a block's MLP, in units of ``hidden``.
        activation: an elementwise function, in the MLPs.
        dropout: rate after each attention and MLP, before the sum.
        remat: store only the inputs of blocks for the gradient: less memory, a third more time.

    Reference: Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.1; Vaswani et al. 2017,
    arXiv:1706.03762. The fixed places are as in He et al. 2022, arXiv:2111.06377.
    """

    spatial: ClassVar[bool] = True

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        image = image_shape(in_shape, "Transformer", "input")
        count_patches("Transformer", image, self.patch)
        return _TransformerModule(self, image, out_shape, rngs)


@dataclass(frozen=True, repr=False)
class TransformerDecoder(_AbstractTransformer):
    """A decoder of images: the embedded code at every patch, and attention between patches.

    A linear layer embeds the code. The embedding is copied to every patch, and the place of the patch
    is added. After the blocks of ``Transformer``, a linear layer maps each patch to its pixels. There
    is no mask: all patches are decoded at once.

    Args:
        patch: side of the square patches. It must divide both sides of the image.
        hidden: width of a patch's embedding, a multiple of 4 and of ``heads``.
        depth: number of blocks.
        heads: of each attention.
        mlp_ratio: width of the hidden layer of a block's MLP, in units of ``hidden``.
        activation: an elementwise function, in the MLPs.
        dropout: rate after each attention and MLP, before the sum.
        remat: store only the inputs of blocks for the gradient: less memory, a third more time.

    Reference: as for ``Transformer``.
    """

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        image = image_shape(out_shape, "TransformerDecoder", "output")
        count_patches("TransformerDecoder", image, self.patch)
        return _TransformerDecoderModule(self, in_shape, image, out_shape, rngs)


class _TransformerModule(nnx.Module):
    def __init__(self, net: Transformer, image: Shape, out_shape: Shape, rngs: nnx.Rngs) -> None:
        self.patch, self.out_shape = net.patch, out_shape
        self.embed = nnx.Linear(net.patch**2 * image[2], net.hidden, rngs=rngs)
        self.token = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (net.hidden,)))
        self.blocks = _Blocks(net, rngs)
        self.last = nnx.Linear(net.hidden, math.prod(out_shape), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        # The token has no pixels of its own. It attends to all patches in every block, and its last
        # value stands for the whole image. The patches' last values are not used.
        patches = to_patches(as_image(x), self.patch)  # (batch, rows, columns, pixels)
        h = self.embed(patches)  # (batch, rows, columns, hidden)
        h = h + positions(patches.shape[1:3], h.shape[-1]).astype(h.dtype)
        h = h.reshape(len(x), -1, h.shape[-1])  # (batch, patches, hidden)
        token = jnp.broadcast_to(self.token[...].astype(h.dtype), (len(x), 1, h.shape[-1]))
        h = self.blocks(jnp.concatenate([token, h], axis=1))  # (batch, 1 + patches, hidden)
        return self.last(h[:, 0]).reshape(len(x), *self.out_shape)


class _TransformerDecoderModule(nnx.Module):
    def __init__(
        self, net: TransformerDecoder, in_shape: Shape, image: Shape, out_shape: Shape, rngs: nnx.Rngs
    ) -> None:
        self.patch, self.out_shape = net.patch, out_shape
        self.grid = count_patches("TransformerDecoder", image, net.patch)
        self.embed = nnx.Linear(math.prod(in_shape), net.hidden, rngs=rngs)
        self.blocks = _Blocks(net, rngs)
        self.last = nnx.Linear(net.hidden, net.patch**2 * image[2], rngs=rngs)

    def __call__(self, z: jax.Array) -> jax.Array:
        code = self.embed(z.reshape(len(z), -1))  # (batch, hidden)
        # all patches start from the same code: only their places tell them apart
        h = code[:, None, None] + positions(self.grid, code.shape[-1]).astype(code.dtype)
        h = self.blocks(h.reshape(len(z), -1, code.shape[-1]))  # (batch, patches, hidden)
        patches = self.last(h).reshape(len(z), *self.grid, -1)  # (batch, rows, columns, pixels)
        return from_patches(patches, self.patch).reshape(len(z), *self.out_shape)


class _Blocks(nnx.Module):
    """All blocks, and the normalisation that pre-norm blocks need at their end."""

    def __init__(self, net: _AbstractTransformer, rngs: nnx.Rngs) -> None:
        self.blocks = RepeatedBlocks(lambda rngs: _Block(net, rngs), net.depth, rngs, remat=net.remat)
        self.norm = nnx.LayerNorm(net.hidden, rngs=rngs)

    def __call__(self, h: jax.Array) -> jax.Array:
        return self.norm(self.blocks(h))


class _Block(nnx.Module):
    """h + attention(norm(h)), then h + mlp(norm(h)), on ``(batch, tokens, hidden)``."""

    def __init__(self, net: _AbstractTransformer, rngs: nnx.Rngs) -> None:
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
