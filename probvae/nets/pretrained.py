"""`PretrainedNet`: a module that brings its weights."""

from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx

from probvae.checks import Checked
from probvae.nets.equinox import EquinoxModule
from probvae.nets.external_modules import describe_adapter, reshape_output
from probvae.typing import Shape


@dataclass(frozen=True, eq=False, repr=False)
class PretrainedNet(Checked):
    """A module with weights. Training starts from these weights, for any key.

    The weights are copied, so training does not change your module. Do not change it meanwhile. Nets
    trained from several keys start alike. Two pretrained nets are equal only if they are one object:
    build it once. The output is reshaped to ``out_shape``, in C order.

    Args:
        module: an NNX or equinox module. (A linen module has no weights. Give its initial values to
            ``fit`` as ``init_params``.)
        spatial: whether context and mask join the encoder's image as channels, not as one vector.
    """

    module: Any
    spatial: bool = False

    def __call__(self, in_shape: Shape, out_shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
        if isinstance(self.module, nnx.Module):
            return _PretrainedModule(nnx.clone(self.module), out_shape)
        return EquinoxModule("nets.PretrainedNet", self.module, out_shape, rngs)

    def __repr__(self) -> str:
        return describe_adapter(self, self.module)


class _PretrainedModule(nnx.Module):
    def __init__(self, module: nnx.Module, out_shape: Shape) -> None:
        self.module = module
        self.out_shape = out_shape

    def __call__(self, x: jax.Array) -> jax.Array:
        return reshape_output(self.module(x), self.out_shape)
