"""Dense nets: `Linear`, `MLP` and `GatedMLP`."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
from flax import nnx

from probvae.checks import Checked, Rate, Sizes
from probvae.nets.layers import describe_recipe, finish_layer
from probvae.typing import Shape


class _DenseModule(nnx.Module):
    """Flatten a datum, apply the layers in turn, and reshape the output."""

    def __init__(self, layers: list[nnx.Module], out_shape: Shape) -> None:
        self.layers = nnx.List(layers)
        self.out_shape = out_shape

    def __call__(self, x: jax.Array) -> jax.Array:
        h = x.reshape(x.shape[0], -1)
        for layer in self.layers:
            h = layer(h)
        return h.reshape(x.shape[0], *self.out_shape)


class _GatedDense(nnx.Module):
    """(W x + b) * sigmoid(V x + c), with He's initialization."""

    def __init__(self, n: int, m: int, *, rngs: nnx.Rngs) -> None:
        he = nnx.initializers.he_normal()
        self.signal = nnx.Linear(n, m, kernel_init=he, rngs=rngs)
        self.gate = nnx.Linear(n, m, kernel_init=he, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.signal(x) * jax.nn.sigmoid(self.gate(x))


@dataclass(frozen=True)
class Linear(Checked):
    """One affine map, $f(x) = W x + b$. With it, a Gaussian VAE is probabilistic PCA.

    Reference: Tipping and Bishop 1999; Lucas et al. 2019, arXiv:1911.02469.
    """

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        sizes = math.prod(in_shape), math.prod(out_shape)
        return _DenseModule([nnx.Linear(*sizes, rngs=rngs)], out_shape)


@dataclass(frozen=True, repr=False)
class MLP(Checked):
    """A multilayer perceptron: dense layers with activations, and a linear output layer.

    Args:
        hidden: widths of the hidden layers.
        activation: an elementwise function.
        norm: a normalisation ``(features, *, rngs)`` such as ``nnx.LayerNorm``, or None.
        dropout: rate after each hidden layer.

    Examples:
        >>> import jax
        >>> from flax import nnx
        >>> from probvae import nets
        >>> recipe = nets.MLP((16,))
        >>> net = recipe((3,), (2,), rngs=nnx.Rngs(0))
        >>> net(jax.numpy.ones((5, 3))).shape
        (5, 2)
    """

    hidden: Sizes = (500,)
    activation: Callable = jax.nn.relu
    norm: Callable | None = None
    dropout: Rate = 0.0

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        def layer(n: int, m: int) -> nnx.Module:
            return finish_layer(self, nnx.Linear(n, m, rngs=rngs), m, rngs)

        return _stack_layers(self.hidden, layer, in_shape, out_shape, rngs)

    def __repr__(self) -> str:
        return describe_recipe(self, hidden=self.hidden)


@dataclass(frozen=True)
class GatedMLP(Checked):
    r"""Gated dense layers, $(W x + b) \, \sigma(V x + c)$, and a linear output layer.

    Args:
        hidden: widths of the hidden layers.

    Reference: the nets of Tomczak and Welling 2018, arXiv:1705.07120, section 4.1.
    """

    hidden: Sizes = (300, 300)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        def layer(n: int, m: int) -> nnx.Module:
            return _GatedDense(n, m, rngs=rngs)

        return _stack_layers(self.hidden, layer, in_shape, out_shape, rngs)


def _stack_layers(
    hidden: Shape, layer: Callable, in_shape: Shape, out_shape: Shape, rngs: nnx.Rngs
) -> nnx.Module:
    sizes = (math.prod(in_shape), *hidden)
    layers = [layer(n, m) for n, m in zip(sizes[:-1], sizes[1:], strict=True)]
    return _DenseModule([*layers, nnx.Linear(sizes[-1], math.prod(out_shape), rngs=rngs)], out_shape)
