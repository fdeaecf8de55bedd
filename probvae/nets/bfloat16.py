"""A net whose products are taken in half the bits."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.checks import Checked
from probvae.typing import Shape


@dataclass(frozen=True, repr=False)
class BFloat16(Checked):
    """A net that computes in bfloat16: weights, gradients and what it returns stay in float32.

    Every NNX layer of the net casts its input and its weights, so that products, and what is kept for
    the gradient, have half the bits (softmax and statistics of LayerNorm stay in float32).
    Likelihoods, KL and sums over them come after the net, in float32. It pays on devices with units for
    it: a GPU, a TPU.

    Args:
        net: a recipe.

    Raises:
        TypeError: for a net that cannot be called, or whose module has no NNX layer to tell.

    Reference: Kalamkar et al. 2019, arXiv:1905.12322; weights in float32 as in Micikevicius et al.
    2018, arXiv:1710.03740.
    """

    net: Any

    def __post_init__(self) -> None:
        if not callable(self.net):
            raise TypeError(f"BFloat16(net=...) expects a recipe; got {self.net!r}.")

    @property
    def spatial(self) -> bool:
        """Whether the net wants images, and a context on their grid."""
        return getattr(self.net, "spatial", False)

    @property
    def takes_images(self) -> bool:
        """Whether x must lie on a grid (height, width) or (height, width, channels)."""
        return getattr(self.net, "takes_images", False)

    @property
    def causal(self) -> bool:
        """Whether an entry of the output depends on those before it alone."""
        return getattr(self.net, "causal", False)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        net = self.net(in_shape, out_shape, rngs=rngs)
        nodes = [node for _, node in nnx.iter_graph(net) if isinstance(node, nnx.Module)]
        layers = [module for module in nodes if hasattr(module, "dtype")]
        if not layers:
            raise TypeError(
                f"BFloat16 tells the layers of flax.nnx to compute in bfloat16; got {self.net}, which "
                "has none. Set the type in the module itself, such as linen's dtype."
            )
        for layer in layers:
            layer.dtype = jnp.bfloat16
        return _Within(net)

    def __repr__(self) -> str:
        return f"BFloat16({self.net})"


class _Within(nnx.Module):
    def __init__(self, net: nnx.Module) -> None:
        self.net: Any = net

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.net(x.astype(jnp.bfloat16)).astype(x.dtype)
