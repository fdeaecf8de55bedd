"""`Equinox`: equinox modules as nets."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx

from probvae.checks import Checked
from probvae.nets.external_modules import check_hashable, check_module, describe_adapter, reshape_output
from probvae.typing import Shape

EquinoxTree: TypeAlias = Any  # equinox.Module: equinox is optional, so its class has no import here


@dataclass(frozen=True, repr=False)
class Equinox(Checked):
    """An equinox module as a net, called on one datum and mapped over the batch.

    Its floating-point arrays are the weights. Layers with an ``inference`` flag (dropout) receive the
    mode, and ``__call__(x, *, key)`` receives a key for each datum. Layers with running state
    (``BatchNorm``) raise ``ValueError``. The output is reshaped to ``out_shape``, in C order.

    Args:
        make: the module's class, or a function, with the arguments ``(in_shape, out_shape, *, key)``.
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
    """An equinox module whose arrays are NNX variables. It is assembled again at each call."""

    def __init__(self, name: str, module: EquinoxTree, out_shape: Shape, rngs: nnx.Rngs) -> None:
        eqx = _import_equinox(name)
        check_module(name, module, eqx.Module)
        _check_stateless(module, eqx)
        arrays, rest = eqx.partition(module, eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)
        self.arrays = nnx.List([_make_variable(leaf) for leaf in leaves])
        self.assemble = lambda leaves: eqx.combine(jax.tree.unflatten(structure, leaves), rest)
        self.mode = eqx.nn.inference_mode
        self.key = rngs.dropout.fork() if _has_node(module, _has_inference_flag) else None
        self.out_shape, self.deterministic = out_shape, True

    def __call__(self, x: jax.Array) -> jax.Array:
        module = self.assemble([array[...] for array in self.arrays])
        if self.key is None:
            return reshape_output(jax.vmap(module)(x), self.out_shape)
        module = self.mode(module, self.deterministic)
        keys = jax.random.split(self.key(), len(x))
        y = jax.vmap(lambda x, key: module(x, key=key))(x, keys)
        return reshape_output(y, self.out_shape)


def _make_variable(array: jax.Array) -> nnx.Variable:
    """Make floating-point arrays weights. Other arrays (indices, tables) are not trained."""
    return (nnx.Param if jnp.issubdtype(array.dtype, jnp.inexact) else nnx.BatchStat)(array)


def _has_inference_flag(node: object) -> bool:
    return hasattr(node, "inference")


def _has_node(module: EquinoxTree, condition: Callable[[Any], bool]) -> bool:
    return any(condition(node) for node in jax.tree.leaves(module, is_leaf=condition))


def _check_stateless(module: EquinoxTree, eqx: ModuleType) -> None:
    if _has_node(module, lambda node: isinstance(node, eqx.nn.StateIndex)):
        fix = "Use equinox.nn.LayerNorm or GroupNorm, or an NNX net with nnx.BatchNorm."
        got = f"{type(module).__name__}, which has layers with running state (BatchNorm)"
        raise ValueError(f"expected an equinox module without state; got {got}. {fix}")


def _import_equinox(name: str) -> ModuleType:
    try:
        import equinox
    except ImportError as error:
        fix = "Run: pip install equinox"
        raise ImportError(f"{name} expects equinox, which is not installed. {fix}") from error
    return equinox
