"""Flax linen modules as nets."""

import inspect
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

from probvae.checks import Checked
from probvae.nets.external_modules import check_hashable, check_module, describe_adapter, reshape_output
from probvae.typing import Shape

# what a linen module may call the mode, and its value in training
MODES = {"train": True, "training": True, "deterministic": False, "use_running_average": False}


@dataclass(frozen=True, repr=False)
class Linen(Checked):
    """A flax linen module as a net, called on a batch.

    A linen module holds no weights, so it can be given as it is. To serve any shapes, give its class,
    or a function, that takes ``(in_shape, out_shape)``. If its ``__call__`` has an argument ``train``,
    ``training``, ``deterministic`` or ``use_running_average``, it is told; it may then use dropout,
    and keep running averages, at ``<role>$state``. Its output is put into ``out_shape``, in C order.

    Args:
        module: a linen module, or ``(in_shape, out_shape) -> linen.Module``.
        spatial: whether context and mask join the encoder's image as channels, not as one vector.
    """

    module: Any
    spatial: bool = False

    def __post_init__(self) -> None:
        check_hashable("Linen", self.module, "(in_shape, out_shape) -> linen.Module")

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        given = isinstance(self.module, linen.Module)
        module = self.module if given else self.module(in_shape, out_shape)
        check_module("nets.Linen", module, linen.Module)
        return _LinenModule(module, in_shape, out_shape, rngs)

    def __repr__(self) -> str:
        return describe_adapter(self, self.module)


class _LinenModule(nnx.Module):
    """A linen module's variables as NNX variables; linen draws and applies them."""

    def __init__(self, module: linen.Module, in_shape: Shape, out_shape: Shape, rngs: nnx.Rngs) -> None:
        self.module, self.out_shape, self.deterministic = module, out_shape, True
        variables = dict(module.init(rngs.params(), jnp.zeros((1, *in_shape)), **self._told()))
        self.key = rngs.dropout.fork() if self._told() else None
        self.params = nnx.data(jax.tree.map(nnx.Param, variables.pop("params", {})))
        self.state = nnx.data(jax.tree.map(nnx.BatchStat, variables))
        if variables and not self._told():
            raise ValueError(
                f"the linen module {type(module).__name__} keeps {sorted(variables)}, and cannot be "
                f"told whether it trains; expected a `__call__` with one of the arguments "
                f"{', '.join(MODES)}. Add `train: bool`."
            )

    def __call__(self, x: jax.Array) -> jax.Array:
        variables = {"params": _values(self.params), **_values(self.state)}
        keys = {"dropout": self.key()} if self.key is not None else {}
        kept = [] if self.deterministic else list(self.state)
        y, updates = self.module.apply(variables, x, rngs=keys, mutable=kept, **self._told())
        if kept:
            self.state = nnx.data(jax.tree.map(nnx.BatchStat, dict(updates)))
        return reshape_output(y, self.out_shape)

    def _told(self) -> dict[str, Any]:
        known = inspect.signature(type(self.module).__call__).parameters
        return {name: value != self.deterministic for name, value in MODES.items() if name in known}


def _values(variables: Any) -> Any:
    def leaf(node: Any) -> bool:
        return isinstance(node, nnx.Variable)

    return jax.tree.map(lambda variable: variable[...], variables, is_leaf=leaf)
