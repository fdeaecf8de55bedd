"""`Linen`: flax linen modules as nets."""

import inspect
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

from probvae.checks import Checked
from probvae.nets.external_modules import check_hashable, check_module, describe_adapter, reshape_output
from probvae.typing import Shape, Weights

# the names of a linen module's argument for the mode, and its value in training
MODES = {"train": True, "training": True, "deterministic": False, "use_running_average": False}


@dataclass(frozen=True, repr=False)
class Linen(Checked):
    """A flax linen module as a net, called on a batch.

    A linen module holds no weights, so you can give it directly. For nets of any shape, give its class,
    or a function, with the arguments ``(in_shape, out_shape)``. The module may have dropout, and keep
    running averages at ``<role>$state``. Then its ``__call__`` needs one of the arguments ``train``,
    ``training``, ``deterministic`` and ``use_running_average``, which receives the mode. The output is
    reshaped to ``out_shape``, in C order.

    Args:
        module: a linen module, or ``(in_shape, out_shape) -> linen.Module``.
        spatial: whether context and mask join the encoder's image as channels, not as one vector.
    """

    module: Any
    spatial: bool = False

    def __post_init__(self) -> None:
        check_hashable("Linen", self.module, "(in_shape, out_shape) -> linen.Module")

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        is_built = isinstance(self.module, linen.Module)
        module = self.module if is_built else self.module(in_shape, out_shape)
        check_module("nets.Linen", module, linen.Module)
        return _LinenModule(module, in_shape, out_shape, rngs)

    def __repr__(self) -> str:
        return describe_adapter(self, self.module)


class _LinenModule(nnx.Module):
    """A linen module's variables as NNX variables. linen initializes and applies them."""

    def __init__(self, module: linen.Module, in_shape: Shape, out_shape: Shape, rngs: nnx.Rngs) -> None:
        self.module, self.out_shape, self.deterministic = module, out_shape, True
        mode = self._mode_arguments()
        variables = dict(module.init(rngs.params(), jnp.zeros((1, *in_shape)), **mode))
        self.key = rngs.dropout.fork() if mode else None
        self.params = nnx.data(jax.tree.map(nnx.Param, variables.pop("params", {})))
        self.state = nnx.data(jax.tree.map(nnx.BatchStat, variables))
        if variables and not mode:
            expected = f"a `__call__` with one of the arguments {', '.join(MODES)}"
            fix = "Add `train: bool`."
            got = f"the linen module {type(module).__name__}, which keeps {sorted(variables)}"
            raise ValueError(f"nets.Linen expects {expected}; got {got}. {fix}")

    def __call__(self, x: jax.Array) -> jax.Array:
        variables = {"params": _get_values(self.params), **_get_values(self.state)}
        keys = {"dropout": self.key()} if self.key is not None else {}
        mutable = [] if self.deterministic else list(self.state)
        mode = self._mode_arguments()
        y, updates = self.module.apply(variables, x, rngs=keys, mutable=mutable, **mode)
        if mutable:
            self.state = nnx.data(jax.tree.map(nnx.BatchStat, dict(updates)))
        return reshape_output(y, self.out_shape)

    def _mode_arguments(self) -> dict[str, Any]:
        parameters = inspect.signature(type(self.module).__call__).parameters
        return {
            name: value != self.deterministic for name, value in MODES.items() if name in parameters
        }


def _get_values(variables: Weights) -> Weights:
    def is_variable(node: object) -> bool:
        return isinstance(node, nnx.Variable)

    return jax.tree.map(lambda variable: variable[...], variables, is_leaf=is_variable)
