"""Nets: frozen recipes `recipe(in_shape, out_shape, *, rngs) -> nnx.Module`, without arrays."""

from probvae.nets.bayesian import BayesianNet
from probvae.nets.bfloat16 import BFloat16
from probvae.nets.column_inputs import ColumnInputs
from probvae.nets.conv import Conv, ConvDecoder
from probvae.nets.dense import MLP, GatedMLP, Linear
from probvae.nets.equinox import Equinox
from probvae.nets.fast_convolution import convolve
from probvae.nets.gated_conv import GatedConv, GatedConvDecoder
from probvae.nets.input_transform import InputTransform
from probvae.nets.linear_skip import LinearSkip
from probvae.nets.linen import Linen
from probvae.nets.made import MADE
from probvae.nets.masked_conv import MaskedConv
from probvae.nets.module import function, register, register_posterior
from probvae.nets.pretrained import PretrainedNet
from probvae.nets.repeated_nets import RepeatedNets, register_repeated
from probvae.nets.resnet import ResNet, ResNetDecoder
from probvae.nets.transformer import Transformer, TransformerDecoder
from probvae.typing import Recipe

__all__ = [
    "BFloat16",
    "BayesianNet",
    "ColumnInputs",
    "Conv",
    "ConvDecoder",
    "Equinox",
    "GatedConv",
    "GatedConvDecoder",
    "GatedMLP",
    "InputTransform",
    "Linear",
    "LinearSkip",
    "Linen",
    "MADE",
    "MLP",
    "MaskedConv",
    "PretrainedNet",
    "Recipe",
    "RepeatedNets",
    "ResNet",
    "ResNetDecoder",
    "Transformer",
    "TransformerDecoder",
    "convolve",
    "function",
    "register",
    "register_posterior",
    "register_repeated",
]
