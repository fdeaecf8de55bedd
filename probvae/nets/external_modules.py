"""Shared code of the adapters for external modules: output shapes, and errors that name the adapter."""

import math
from typing import Any, TypeAlias

import jax
from flax import nnx

from probvae.checks import Checked
from probvae.typing import Shape

Candidate: TypeAlias = Any  # a net as a user gives it, perhaps a module of another framework


def reshape_output(y: Candidate, out_shape: Shape) -> jax.Array:
    """Reshape an output of the right size. Another size is returned: ``register`` raises for it."""
    if not isinstance(y, jax.Array):
        expected = f"one array of {math.prod(out_shape)} numbers per datum, for the shape {out_shape}"
        fix = "Stack the outputs on the last axis."
        raise TypeError(f"a net's module expects to return {expected}; got a {type(y).__name__}. {fix}")
    has_size = y.ndim > 0 and math.prod(y.shape[1:]) == math.prod(out_shape)
    return y.reshape(len(y), *out_shape) if has_size else y


def describe_adapter(net: Checked, module: Candidate) -> str:
    """Return the repr of an adapter: its name and the module's, without memory addresses."""
    name = getattr(module, "__name__", type(module).__name__)
    spatial = ", spatial=True" if getattr(net, "spatial", False) else ""
    return f"{type(net).__name__}({name}{spatial})"


def check_hashable(name: str, value: Candidate, form: str) -> None:
    """Raise `TypeError` unless a recipe's field is hashable. Modules with weights are not."""
    try:
        hash(value)
    except TypeError as error:
        own = ", or nets.PretrainedNet(module) to use its weights" if name == "Equinox" else ""
        got = f"a {type(value).__name__}. Give a function `{form}`{own}."
        raise TypeError(
            f"nets.{name} expects a value that can be hashed, without arrays or lists; got {got}"
        ) from error


def check_module(name: str, module: Candidate, kind: type) -> None:
    """Raise `TypeError` unless a recipe made a module of its framework."""
    if not isinstance(module, kind):
        framework = "NNX" if kind is nnx.Module else kind.__module__.split(".")[0]
        hint = adapter_hint(module)
        raise TypeError(f"{name} expects to make a {framework} module; got {module!r}. {hint}")


def is_module(net: Candidate) -> bool:
    """Return whether a net is a built NNX module, or a module or class of another framework."""
    return isinstance(net, nnx.Module) or _find_framework(net) in ("linen", "equinox")


def adapter_hint(net: Candidate) -> str:
    """Return the advice for something that is not a recipe."""
    if _find_framework(net) == "linen":
        return "Give a linen module as nets.Linen(module)."
    if _find_framework(net) == "equinox" and isinstance(net, type):
        return f"Give an equinox class as nets.Equinox({net.__name__})."
    if _find_framework(net) == "equinox":
        own = "nets.PretrainedNet(module) for its weights"
        return f"Give an equinox module as nets.Equinox(make), or {own}."
    return (
        "Give a module that is built already as its recipe, or as nets.PretrainedNet(module) to start "
        "from its weights."
    )


def _find_framework(net: Candidate) -> str:
    """Return the framework of a module or class, without importing it."""
    kind = net if isinstance(net, type) else type(net)
    homes = [base.__module__.split(".") for base in kind.__mro__]
    if ["flax", "linen"] in [home[:2] for home in homes]:
        return "linen"
    return "equinox" if ["equinox"] in [home[:1] for home in homes] else ""
