"""`BFloat16`: a net whose matrix products use half the bits."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.checks import Checked
from probvae.typing import Recipe, Shape


@dataclass(frozen=True, repr=False)
class BFloat16(Checked):
    """A net that computes in bfloat16. Its weights, gradients and outputs stay in float32.

    Every NNX layer of the net casts its input and its weights. Products, and the values stored for the
    gradient, then have half the bits. (Softmax and the statistics of LayerNorm stay in float32.)
    Likelihoods, KL and sums over them follow in float32. It is faster on devices with bfloat16 units,
    such as a GPU or a TPU.

    Args:
        net: a recipe.

    Raises:
        TypeError: the net is not callable, or its module has no NNX layer.

    Reference: Kalamkar et al. 2019, arXiv:1905.12322; weights in float32 as in Micikevicius et al.
    2018, arXiv:1710.03740.
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

    @property
    def causal(self) -> bool:
        """Whether an entry of the output depends only on the entries before it."""
        return getattr(self.net, "causal", False)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        net = self.net(in_shape, out_shape, rngs=rngs)
        nodes = [node for _, node in nnx.iter_graph(net) if isinstance(node, nnx.Module)]
        layers = [module for module in nodes if hasattr(module, "dtype")]
        if not layers:
            fix = "Set the dtype in the module itself, for example linen's dtype."
            got = f"{self.net}, which has none"
            raise TypeError(f"BFloat16 expects a net with layers of flax.nnx; got {got}. {fix}")
        for layer in layers:
            layer.dtype = jnp.bfloat16
        return _BFloat16Module(net)

    def __repr__(self) -> str:
        return f"BFloat16({self.net})"


class _BFloat16Module(nnx.Module):
    def __init__(self, net: nnx.Module) -> None:
        self.net: Any = net

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.net(x.astype(jnp.bfloat16)).astype(x.dtype)
