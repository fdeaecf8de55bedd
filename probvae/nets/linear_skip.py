"""`LinearSkip`: the sum of an affine map and a net."""

import math
from dataclasses import dataclass

import jax
from flax import nnx

from probvae.checks import Checked
from probvae.typing import Recipe, Shape


@dataclass(frozen=True, repr=False)
class LinearSkip(Checked):
    """$f(x) = W x + b + g(x)$: an affine map past a net g.

    It is the net of ``VAE.for_table``. Columns of a table are often almost linear in each other. The
    affine map represents that part exactly, as in factor analysis, and g bends it. So g can be small
    and have a high dropout rate, which a net that must also pass the linear part on cannot.

    Args:
        net: the recipe of g.

    Reference: He et al. 2016, arXiv:1512.03385 (shortcuts past layers).

    Examples:
        >>> from probvae import nets
        >>> nets.LinearSkip(nets.MLP((64,), dropout=0.2))
        LinearSkip(MLP(hidden=(64,), activation=relu, dropout=0.2))
    """

    net: Recipe

    @property
    def spatial(self) -> bool:
        """Whether the net uses images, and a context on their grid."""
        return getattr(self.net, "spatial", False)

    @property
    def takes_images(self) -> bool:
        """Whether x must lie on a grid (height, width) or (height, width, channels)."""
        return getattr(self.net, "takes_images", False)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        return _LinearSkipModule(self.net(in_shape, out_shape, rngs=rngs), in_shape, out_shape, rngs)

    def __repr__(self) -> str:
        return f"LinearSkip({self.net})"


class _LinearSkipModule(nnx.Module):
    def __init__(self, net: nnx.Module, in_shape: Shape, out_shape: Shape, rngs: nnx.Rngs) -> None:
        self.net = net
        self.linear = nnx.Linear(math.prod(in_shape), math.prod(out_shape), rngs=rngs)
        self.out_shape = out_shape

    def __call__(self, x: jax.Array) -> jax.Array:
        affine = self.linear(x.reshape(x.shape[0], -1))
        return affine.reshape(x.shape[0], *self.out_shape) + self.net(x)
