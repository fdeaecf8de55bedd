"""Nets: frozen recipes `recipe(in_shape, out_shape, *, rngs) -> nnx.Module`."""

from probvae.nets.conv import Conv, ConvTranspose
from probvae.nets.dense import MLP, GatedMLP, Linear
from probvae.nets.made import MADE
from probvae.nets.masked_conv import MaskedConv
from probvae.nets.module import Recipe, register

__all__ = [
    "Conv",
    "ConvTranspose",
    "GatedMLP",
    "Linear",
    "MADE",
    "MLP",
    "MaskedConv",
    "Recipe",
    "register",
]
