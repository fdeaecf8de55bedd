"""The interface of flow layers, and the composition of several layers."""

import abc
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions.transforms import PermuteTransform, Transform

from probvae import nets
from probvae.checks import Checked
from probvae.nets.module import RegisteredNet
from probvae.typing import Shape


class AbstractLayer(Checked, abc.ABC):
    """A bijection of the code that is fast in the direction from noise to code.

    A subclass is a frozen dataclass. ``condition`` is the layer's conditioning input besides the code:
    ``(..., c)``, or None.
    """

    @abc.abstractmethod
    def transforms(
        self, role: str, latent_dim: int, condition: jax.Array | None, *, training: bool
    ) -> list[Transform]:
        """Register the layer's weights at ``role`` and return its transforms, in order."""


def transforms(
    layer: AbstractLayer,
    depth: int,
    role: str,
    latent_dim: int,
    condition: jax.Array | None = None,
    *,
    training: bool,
) -> list[Transform]:
    """Return the transforms of ``depth`` layers, each with its own weights.

    Every second layer receives the entries of the code in reverse order, and returns them in order.

    Args:
        layer: the kind of layer.
        depth: number of layers.
        role: the first part of the parameters' names: ``"prior"`` or ``"guide"``.
        latent_dim: length of the code.
        condition: conditioning input of the layers' nets besides the code, ``(batch, k)``.
        training: whether dropout is on.
    """
    reverse = PermuteTransform(jnp.arange(latent_dim)[::-1])
    steps: list[Transform] = []
    for i in range(depth):
        step = layer.transforms(f"{role}{i}", latent_dim, condition, training=training)
        steps += [reverse, *step, reverse] if i % 2 else step
    return steps


@partial(jax.tree_util.register_dataclass, data_fields=("net", "condition"), meta_fields=("out_shape",))
@dataclass(frozen=True, eq=False)
class Conditioner:
    """A net of the code and of a conditioning input: z ``(..., n)`` -> ``(..., *out_shape)``.

    It is a pytree, so that a compiled function can return a distribution with such layers.
    """

    net: RegisteredNet
    condition: Any  # (..., c), or None. Abstract where JAX traces shapes alone.
    out_shape: Shape

    def __call__(self, z: jax.Array) -> jax.Array:
        # Code and condition may differ in batch shape: one code under many components of a mixture, or
        # many draws for one x. A net takes one batch axis, so both are broadcast and flattened to it.
        inputs = [array for array in (z, self.condition) if array is not None]
        batch = jnp.broadcast_shapes(*(array.shape[:-1] for array in inputs))
        rows = [jnp.broadcast_to(a, (*batch, a.shape[-1])).reshape(-1, a.shape[-1]) for a in inputs]
        return self.net(jnp.concatenate(rows, axis=-1)).reshape(*batch, *self.out_shape)


def register_conditioner(
    role: str,
    net: nets.Recipe,
    latent_dim: int,
    condition: jax.Array | None,
    out_shape: Shape,
    *,
    training: bool,
) -> Conditioner:
    """Register a net of z ``(..., latent_dim)`` and ``condition`` with output ``(..., *out_shape)``."""
    size = latent_dim + (0 if condition is None else condition.shape[-1])
    return Conditioner(
        nets.register(role, net, (size,), out_shape, training=training), condition, out_shape
    )
