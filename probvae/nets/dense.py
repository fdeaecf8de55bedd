"""Nets of dense layers: recipes that hold sizes and no arrays."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
from flax import nnx

from probvae.checks import Checked
from probvae.nets.layers import check_rate, check_sizes, describe_recipe, finish_layer
from probvae.typing import Shape


class _Stack(nnx.Module):
    """Flatten a datum, apply the layers in turn, give the output its shape."""

    def __init__(self, layers: list[nnx.Module], out_shape: Shape) -> None:
        self.layers = nnx.List(layers)
        self.out_shape = out_shape

    def __call__(self, x: jax.Array) -> jax.Array:
        h = x.reshape(x.shape[0], -1)
        for layer in self.layers:
            h = layer(h)
        return h.reshape(x.shape[0], *self.out_shape)


class _GatedDense(nnx.Module):
    """(W x + b) * sigmoid(V x + c), with He's start."""

    def __init__(self, n: int, m: int, *, rngs: nnx.Rngs) -> None:
        he = nnx.initializers.he_normal()
        self.signal = nnx.Linear(n, m, kernel_init=he, rngs=rngs)
        self.gate = nnx.Linear(n, m, kernel_init=he, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.signal(x) * jax.nn.sigmoid(self.gate(x))


@dataclass(frozen=True)
class Linear(Checked):
    """One affine map, f(x) = W x + b; with it a Gaussian VAE is probabilistic PCA.

    Reference: Tipping and Bishop 1999; Lucas et al. 2019, arXiv:1911.02469.
    """

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        sizes = math.prod(in_shape), math.prod(out_shape)
        return _Stack([nnx.Linear(*sizes, rngs=rngs)], out_shape)


@dataclass(frozen=True, repr=False)
class MLP(Checked):
    """Dense layers with an activation between them, and a linear last one.

    Args:
        hidden: widths of the hidden layers.
        activation: an elementwise function.
        norm: a normalisation ``(features, *, rngs)`` such as ``nnx.LayerNorm``, or None.
        dropout: rate after each hidden layer.
    """

    hidden: tuple[int, ...] = (500,)
    activation: Callable = jax.nn.relu
    norm: Callable | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_sizes("MLP", "hidden", self.hidden)
        check_rate("MLP", self.dropout)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        def layer(n: int, m: int) -> nnx.Module:
            return finish_layer(self, nnx.Linear(n, m, rngs=rngs), m, rngs)

        return _stack_layers(self.hidden, layer, in_shape, out_shape, rngs)

    def __repr__(self) -> str:
        return describe_recipe(self, hidden=self.hidden)


@dataclass(frozen=True)
class GatedMLP(Checked):
    """Gated dense layers h * sigmoid(g), and a linear last one.

    Args:
        hidden: widths of the hidden layers.

    Reference: the nets of Tomczak and Welling 2018, arXiv:1705.07120, section 4.1.
    """

    hidden: tuple[int, ...] = (300, 300)

    def __post_init__(self) -> None:
        check_sizes("GatedMLP", "hidden", self.hidden)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        def layer(n: int, m: int) -> nnx.Module:
            return _GatedDense(n, m, rngs=rngs)

        return _stack_layers(self.hidden, layer, in_shape, out_shape, rngs)


def _stack_layers(
    hidden: Shape, layer: Callable, in_shape: Shape, out_shape: Shape, rngs: nnx.Rngs
) -> nnx.Module:
    sizes = (math.prod(in_shape), *hidden)
    layers = [layer(n, m) for n, m in zip(sizes[:-1], sizes[1:], strict=True)]
    return _Stack([*layers, nnx.Linear(sizes[-1], math.prod(out_shape), rngs=rngs)], out_shape)
