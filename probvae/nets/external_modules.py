"""What the adapters of modules from elsewhere share: shapes, and errors that name the adapter."""

import math
from typing import Any

import jax
from flax import nnx

from probvae.typing import Shape


def reshape_output(y: Any, out_shape: Shape) -> jax.Array:
    """Put an output of the right size into its shape; ``register`` refuses one of another size."""
    if not isinstance(y, jax.Array):
        raise TypeError(
            f"expected one array of {math.prod(out_shape)} numbers per datum from a net's module, for "
            f"the shape {out_shape}; got a {type(y).__name__}. Stack what it returns on the last axis."
        )
    fits = y.ndim > 0 and math.prod(y.shape[1:]) == math.prod(out_shape)
    return y.reshape(len(y), *out_shape) if fits else y


def describe_adapter(net: Any, module: Any) -> str:
    """Name an adapter and what it adapts in one line, without addresses."""
    name = getattr(module, "__name__", type(module).__name__)
    return f"{type(net).__name__}({name}{', spatial=True' if net.spatial else ''})"


def check_hashable(name: str, value: Any, form: str) -> None:
    """Raise unless a recipe's field can be hashed: modules with weights or lists cannot."""
    try:
        hash(value)
    except TypeError as error:
        raise TypeError(
            f"nets.{name} expects a value without arrays or lists, which can be hashed; got a "
            f"{type(value).__name__}. Give a function `{form}` that makes it"
            f"{', or nets.PretrainedNet(module) for the weights it has' if name == 'Equinox' else ''}."
        ) from error


def check_module(name: str, module: Any, kind: type) -> None:
    """Raise unless what a recipe made is a module of its framework."""
    if not isinstance(module, kind):
        framework = "NNX" if kind is nnx.Module else kind.__module__.split(".")[0]
        raise TypeError(
            f"{name} expects to make a {framework} module; got {module!r}. {adapter_hint(module)}"
        )


def is_module(net: Any) -> bool:
    """Whether something is a module and no recipe: it is built, or of another framework."""
    return isinstance(net, nnx.Module) or _framework(net) in ("linen", "equinox")


def adapter_hint(net: Any) -> str:
    """Say how to give something as a net."""
    if _framework(net) == "linen":
        return "Give a linen module as nets.Linen(module)."
    if _framework(net) == "equinox" and isinstance(net, type):
        return f"Give an equinox class as nets.Equinox({net.__name__})."
    if _framework(net) == "equinox":
        return "Give an equinox module as nets.Equinox(make), or nets.PretrainedNet(module) for its weights."
    return (
        "A module that is built already must be given as its recipe, or, to start from its weights, "
        "as nets.PretrainedNet(module)."
    )


def _framework(net: Any) -> str:
    """Name where a module or its class comes from, without importing it."""
    kind = net if isinstance(net, type) else type(net)
    homes = [base.__module__.split(".") for base in kind.__mro__]
    if ["flax", "linen"] in [home[:2] for home in homes]:
        return "linen"
    return "equinox" if ["equinox"] in [home[:1] for home in homes] else ""
