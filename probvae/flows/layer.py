"""What every invertible layer answers."""

import abc
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions.transforms import PermuteTransform, Transform

from probvae import nets
from probvae.checks import Checked
from probvae.typing import Shape


def check_flow(part: Any) -> None:
    """Raise unless a part's ``layer`` is one, and its ``depth`` a positive integer."""
    name = type(part).__name__
    if not isinstance(part.layer, AbstractLayer):
        raise TypeError(
            f"{name}(layer=...) expects a layer such as flows.Autoregressive() or flows.Coupling(); "
            f"got {part.layer!r}."
        )
    if not isinstance(part.depth, int) or part.depth < 1:
        raise ValueError(f"{name}(depth=...) expects a positive integer; got {part.depth!r}.")


class AbstractLayer(Checked, abc.ABC):
    """A bijection of the code, fast in the direction from noise to code.

    A subclass is a frozen dataclass. ``told`` is what the layer is conditioned on besides the code:
    ``(..., c)``, or None.
    """

    @abc.abstractmethod
    def transforms(
        self, role: str, latent_dim: int, told: jax.Array | None, *, training: bool
    ) -> list[Transform]:
        """Register the layer's weights at ``role`` and return its transforms, in order."""


def transforms(
    layer: AbstractLayer,
    depth: int,
    role: str,
    latent_dim: int,
    told: jax.Array | None = None,
    *,
    training: bool,
) -> list[Transform]:
    """Return ``depth`` layers of a kind, each with weights of its own, every second one turned round.

    Every second layer sees the code in reverse order, and gives it back in order.

    Args:
        layer: the kind.
        depth: how many.
        role: the first half of the parameters' names: ``"prior"`` or ``"guide"``.
        latent_dim: length of the code.
        told: what the layers' nets are told beside the code, ``(batch, k)``.
        training: whether dropout is on.
    """
    reverse = PermuteTransform(jnp.arange(latent_dim)[::-1])
    steps: list[Transform] = []
    for i in range(depth):
        here = layer.transforms(f"{role}{i}", latent_dim, told, training=training)
        steps += [reverse, *here, reverse] if i % 2 else here
    return steps


@partial(jax.tree_util.register_dataclass, data_fields=("net", "told"), meta_fields=("out_shape",))
@dataclass(frozen=True, eq=False)
class Conditioner:
    """A net of the code and of what else a layer is told: z ``(..., n)`` -> ``(..., *out_shape)``.

    A pytree, so that a compiled function can return a distribution with such layers.
    """

    net: Any
    told: Any  # `(..., c)`, or None
    out_shape: Shape

    def __call__(self, z: jax.Array) -> jax.Array:
        told = self.told
        batch = z.shape[:-1] if told is None else jnp.broadcast_shapes(z.shape[:-1], told.shape[:-1])
        parts = [part for part in (z, told) if part is not None]
        rows = [jnp.broadcast_to(p, (*batch, p.shape[-1])).reshape(-1, p.shape[-1]) for p in parts]
        return self.net(jnp.concatenate(rows, axis=-1)).reshape(*batch, *self.out_shape)


def conditioner(
    role: str,
    net: nets.Recipe,
    latent_dim: int,
    told: jax.Array | None,
    out_shape: Shape,
    *,
    training: bool,
) -> Conditioner:
    """Register a net; return z ``(..., latent_dim)`` -> ``(..., *out_shape)``, the net told more."""
    extra = 0 if told is None else told.shape[-1]
    apply = nets.register(role, net, (latent_dim + extra,), out_shape, training=training)

    return Conditioner(apply, told, out_shape)
