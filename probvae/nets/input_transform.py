"""`InputTransform`: a net of a fixed function of its input."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.checks import Checked, check_function, format_value, signature_error
from probvae.typing import Recipe, Shape


@dataclass(frozen=True, repr=False)
class InputTransform(Checked):
    """$f(g(x))$: a net $f$ of a fixed function $g$ of its input.

    Use ``InputTransform(MLP(), jnp.log1p)`` for counts that span several orders of magnitude, and a g
    that returns one-hot codes for levels without an order. In a VAE with a context, g receives data and
    context in one array.

    Args:
        net: the recipe of f.
        function: g, of a batch ``(batch, *in_shape)``. It may change all axes but the first. Give a
            named function or a ``partial``, and create it once. Two lambdas are never equal, so each
            one causes a new compilation.

    Raises:
        TypeError: the net or the function is not callable, or the two are swapped.
        ValueError: the function fails on its input. Raised when you build the VAE.
    """

    net: Recipe
    function: Callable[[jax.Array], jax.Array]

    def __post_init__(self) -> None:
        shape: Shape = (1,)
        why = signature_error(self.net, shape, shape, rngs=None)
        if why and not signature_error(self.function, shape, shape, rngs=None):
            got = f"net={format_value(self.net)} and function={format_value(self.function)}"
            fix = "Swap them, as in InputTransform(nets.MLP((300,)), jnp.log1p)."
            raise TypeError(f"InputTransform expects a net, then a function; got {got}. {fix}")
        if why:
            expected = "a recipe `recipe(in_shape, out_shape, *, rngs)`, such as nets.MLP((300,))"
            got = f"{format_value(self.net)}, which has another signature ({why})"
            raise TypeError(f"InputTransform(net=...) expects {expected}; got {got}.")
        check_function("InputTransform(function=...)", self.function, shape, such_as="jnp.log1p")

    @property
    def spatial(self) -> bool:
        """Whether the net uses images, and a context on their grid."""
        return getattr(self.net, "spatial", False)

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        batch = jax.ShapeDtypeStruct((1, *in_shape), jnp.result_type(float))
        try:
            output = jax.eval_shape(self.function, batch)
        except (TypeError, ValueError) as error:
            place = f"a batch of shape {batch.shape}, one input after the batch's axis"
            raise ValueError(f"{self}: the function fails on {place}: {error}") from error
        return _InputTransformModule(self.net(output.shape[1:], out_shape, rngs=rngs), self.function)

    def __repr__(self) -> str:
        return f"InputTransform({self.net}, {getattr(self.function, '__name__', self.function)})"


def transforms_input(recipe: Recipe) -> bool:
    """Return whether a net, or the net in a wrapper such as ``BFloat16``, is an ``InputTransform``."""
    while not isinstance(recipe, InputTransform) and hasattr(recipe, "net"):
        recipe = recipe.net
    return isinstance(recipe, InputTransform)


class _InputTransformModule(nnx.Module):
    def __init__(self, net: nnx.Module, function: Callable[[jax.Array], jax.Array]) -> None:
        self.net = net
        self.function = function

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.net(self.function(x))
