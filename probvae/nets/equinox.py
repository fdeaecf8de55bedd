"""Equinox modules as nets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.checks import Checked
from probvae.nets.external_modules import check_hashable, check_module, describe_adapter, reshape_output
from probvae.typing import Shape


@dataclass(frozen=True, repr=False)
class Equinox(Checked):
    """An equinox module as a net, called on one datum and mapped over the batch.

    Its floating arrays are the weights. Where it has layers with an ``inference`` flag (dropout), they
    are told the mode, and ``__call__(x, *, key)`` gets a key for each datum. Layers with running state
    (``BatchNorm``) are refused. Its output is put into ``out_shape``, in C order.

    Args:
        make: the module's class, or a function, that takes ``(in_shape, out_shape, *, key)``.
        spatial: whether context and mask join the encoder's image as channels, not as one vector.
    """

    make: Callable[..., Any]
    spatial: bool = False

    def __post_init__(self) -> None:
        check_hashable("Equinox", self.make, "(in_shape, out_shape, *, key) -> equinox.Module")

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        module = self.make(in_shape, out_shape, key=rngs.params())
        return EquinoxModule("nets.Equinox", module, out_shape, rngs)

    def __repr__(self) -> str:
        return describe_adapter(self, self.make)


class EquinoxModule(nnx.Module):
    """An equinox module's arrays as NNX variables, put together again at each call."""

    def __init__(self, name: str, module: Any, out_shape: Shape, rngs: nnx.Rngs) -> None:
        eqx = _equinox(name)
        check_module(name, module, eqx.Module)
        _check_stateless(module, eqx)
        arrays, rest = eqx.partition(module, eqx.is_array)
        leaves, form = jax.tree.flatten(arrays)
        self.arrays = nnx.List([_variable(leaf) for leaf in leaves])
        self.whole = lambda leaves: eqx.combine(jax.tree.unflatten(form, leaves), rest)
        self.mode = eqx.nn.inference_mode
        self.key = rngs.dropout.fork() if _some(module, _has_mode) else None
        self.out_shape, self.deterministic = out_shape, True

    def __call__(self, x: jax.Array) -> jax.Array:
        module = self.whole([array[...] for array in self.arrays])
        if self.key is None:
            return reshape_output(jax.vmap(module)(x), self.out_shape)
        module = self.mode(module, self.deterministic)
        keys = jax.random.split(self.key(), len(x))
        y = jax.vmap(lambda x, key: module(x, key=key))(x, keys)
        return reshape_output(y, self.out_shape)


def _variable(array: jax.Array) -> nnx.Variable:
    """Floating arrays are weights; others (indices, tables) stay as they are."""
    return (nnx.Param if jnp.issubdtype(array.dtype, jnp.inexact) else nnx.BatchStat)(array)


def _has_mode(node: Any) -> bool:
    return hasattr(node, "inference")


def _some(module: Any, kind: Callable[[Any], bool]) -> bool:
    return any(kind(node) for node in jax.tree.leaves(module, is_leaf=kind))


def _check_stateless(module: Any, eqx: Any) -> None:
    if _some(module, lambda node: isinstance(node, eqx.nn.StateIndex)):
        raise ValueError(
            f"the equinox module {type(module).__name__} has layers with running state (BatchNorm); "
            "expected a function of the datum alone. Take equinox.nn.LayerNorm or GroupNorm, or an "
            "NNX net with nnx.BatchNorm."
        )


def _equinox(name: str) -> Any:
    try:
        import equinox
    except ImportError as error:
        raise ImportError(
            f"{name} expects equinox, for a module that is not NNX's; it is not installed: "
            "pip install equinox."
        ) from error
    return equinox
