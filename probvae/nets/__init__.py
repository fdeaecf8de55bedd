"""Nets: frozen recipes `recipe(in_shape, out_shape, *, rngs) -> nnx.Module`."""

from probvae.nets.bayesian import Bayesian
from probvae.nets.bfloat16 import BFloat16
from probvae.nets.built import Built
from probvae.nets.conv import Conv, ConvTranspose
from probvae.nets.convolution import convolve
from probvae.nets.dense import MLP, GatedMLP, Linear
from probvae.nets.equinox import Equinox
from probvae.nets.gated_conv import GatedConv, GatedConvDecoder
from probvae.nets.linen import Linen
from probvae.nets.made import MADE
from probvae.nets.masked_conv import MaskedConv
from probvae.nets.module import Recipe, function, register, register_posterior
from probvae.nets.resnet import ResNet, ResNetTranspose
from probvae.nets.stack import Stack, register_stack
from probvae.nets.transformed import Transformed
from probvae.nets.transformer import Transformer, TransformerDecoder

__all__ = [
    "BFloat16",
    "Bayesian",
    "Built",
    "Conv",
    "ConvTranspose",
    "Equinox",
    "GatedConv",
    "GatedConvDecoder",
    "GatedMLP",
    "Linear",
    "Linen",
    "MADE",
    "MLP",
    "MaskedConv",
    "Recipe",
    "ResNet",
    "ResNetTranspose",
    "Stack",
    "Transformed",
    "Transformer",
    "TransformerDecoder",
    "convolve",
    "function",
    "register",
    "register_posterior",
    "register_stack",
]
