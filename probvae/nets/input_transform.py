"""A net that sees a function of its input."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.checks import Checked, check_function, format_value, signature_error
from probvae.typing import Shape


@dataclass(frozen=True, repr=False)
class InputTransform(Checked):
    """f(g(x)): a net f of a fixed function g of its input.

    Counts whose scale runs over decades are seen by ``InputTransform(MLP(), jnp.log1p)``; levels without
    order by a g that returns their one-hot codes. Where a VAE has a context, g is given data and
    context in one array.

    Args:
        net: the recipe of f.
        function: g, of a batch ``(batch, *in_shape)``; it may change all axes but the first. Give a
            named function or a ``partial``, made once: two lambdas are never equal, and each makes the
            programs be compiled again.

    Raises:
        TypeError: for a net or a function that cannot be called, or the two in the other order.
        ValueError: when the VAE is built, for a function that fails on its input.
    """

    net: Any
    function: Any

    def __post_init__(self) -> None:
        for name, value in (("net", self.net), ("function", self.function)):
            if not callable(value):
                raise TypeError(f"InputTransform({name}=...) expects a callable; got {value!r}.")
        shape: Shape = (1,)
        not_a_net = signature_error(self.net, shape, shape, rngs=None)
        if not_a_net and not signature_error(self.function, shape, shape, rngs=None):
            raise TypeError(
                "Transformed expects first the net, then the function of its input; got "
                f"net={format_value(self.net)} and function={format_value(self.function)}. Change their order: "
                "InputTransform(net, function), such as InputTransform(nets.MLP((300,)), jnp.log1p)."
            )
        if not_a_net:
            raise TypeError(
                "InputTransform(net=...) expects a recipe `recipe(in_shape, out_shape, *, rngs)`, such as "
                f"nets.MLP((300,)); got {format_value(self.net)}, which cannot be called so ({not_a_net})."
            )
        check_function("InputTransform(function=...)", self.function, shape, such_as="jnp.log1p")

    @property
    def spatial(self) -> bool:
        """Whether the net wants images, and a context on their grid."""
        return getattr(self.net, "spatial", False)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        batch = jax.ShapeDtypeStruct((1, *in_shape), jnp.result_type(float))
        try:
            seen = jax.eval_shape(self.function, batch)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self}: the function fails on a batch of shape {batch.shape}, one input with the "
                f"batch's axis before it: {error}"
            ) from error
        return _After(self.net(seen.shape[1:], out_shape, rngs=rngs), self.function)

    def __repr__(self) -> str:
        return f"InputTransform({self.net}, {getattr(self.function, '__name__', self.function)})"


def transforms_input(recipe: Any) -> bool:
    """Whether a net, or the net inside of a wrapper such as ``BFloat16``, is ``InputTransform``."""
    while not isinstance(recipe, InputTransform) and hasattr(recipe, "net"):
        recipe = recipe.net
    return isinstance(recipe, InputTransform)


class _After(nnx.Module):
    def __init__(self, net: Any, function: Callable) -> None:
        self.net = net
        self.function = function

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.net(self.function(x))
