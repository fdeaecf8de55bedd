"""Coupling layers, affine and with splines."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions.transforms import AffineTransform, Transform

from probvae import nets
from probvae.distributions.coupling import Coupling as CouplingTransform
from probvae.distributions.log_bounds import bound_scale, check_bound
from probvae.distributions.spline import RationalQuadraticSpline
from probvae.flows.layer import AbstractLayer, conditioner
from probvae.nets.layers import check_count

SMALL = 1e-2  # of the conditioner's output at the start: near the identity


@dataclass(frozen=True)
class Coupling(AbstractLayer):
    """y_a = x_a, y_b = s(x_a) x_b + m(x_a), and then the halves change places.

    Both directions take one pass. Needs ``latent_dim`` >= 2.

    Args:
        net: a recipe of the net that gives m and log s.
        log_bound: the bound on |log s|.

    Reference: Dinh, Sohl-Dickstein and Bengio 2017, arXiv:1605.08803, equations 7 and 8.
    """

    net: nets.Recipe = nets.MLP((64,))
    log_bound: float = 3.0

    def __post_init__(self) -> None:
        check_bound(self, self.log_bound)

    def transforms(
        self, role: str, latent_dim: int, told: jax.Array | None, *, training: bool
    ) -> list[Transform]:
        return _couple(self, self._affine, 2, role, latent_dim, told, training=training)

    def _affine(self, raw: jax.Array) -> Transform:
        scale = bound_scale(2 * raw[..., 1], self.log_bound)
        return AffineTransform(raw[..., 0], scale)

    def __str__(self) -> str:
        return "coupling"


@dataclass(frozen=True)
class SplineCoupling(AbstractLayer):
    """y_a = x_a, y_b = a monotone rational-quadratic spline of x_b given x_a; then they change places.

    The spline acts on [-bound, bound] and is the identity outside. Needs ``latent_dim`` >= 2.

    Args:
        bins: K, of each spline.
        bound: half the length of the interval, in the code's units.
        net: a recipe of the net that gives the splines' parameters.

    Raises:
        TypeError, ValueError: for no bins, or a bound that is not positive.

    Reference: Durkan et al. 2019, arXiv:1906.04032.
    """

    bins: int = 8
    bound: float = 5.0
    net: nets.Recipe = nets.MLP((64,))

    def __post_init__(self) -> None:
        check_count("SplineCoupling", "bins", self.bins)
        if not self.bound > 0:
            raise ValueError(f"SplineCoupling(bound=...) expects a number > 0; got {self.bound!r}.")

    def transforms(
        self, role: str, latent_dim: int, told: jax.Array | None, *, training: bool
    ) -> list[Transform]:
        size = 3 * self.bins - 1
        return _couple(self, self._spline, size, role, latent_dim, told, training=training)

    def _spline(self, raw: jax.Array) -> Transform:
        return RationalQuadraticSpline(raw, self.bound)

    def __str__(self) -> str:
        return f"spline coupling ({self.bins} bins)"


def _couple(
    layer: Any,
    bijection: Callable,
    size: int,
    role: str,
    latent_dim: int,
    told: jax.Array | None,
    *,
    training: bool,
) -> list[Transform]:
    """Two couplings: each half moves once, given the other."""
    if latent_dim < 2:
        raise ValueError(
            f"flows.{type(layer).__name__} splits the code in two halves and needs latent_dim >= 2; "
            f"got {latent_dim}. Take flows.Autoregressive(), or a longer code."
        )
    low, high = latent_dim // 2, latent_dim - latent_dim // 2
    steps = []
    for first, a, b in ((True, low, high), (False, high, low)):
        name = f"{role}{'a' if first else 'b'}"
        apply = conditioner(name, layer.net, a, told, (b, size), training=training)
        steps.append(CouplingTransform(_Small(apply), bijection, first=first))
    return steps


@partial(jax.tree_util.register_dataclass, data_fields=("net",), meta_fields=())
@dataclass(frozen=True, eq=False)
class _Small:
    """A conditioner whose output is small at the start."""

    net: Any

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.asarray(SMALL, x.dtype) * self.net(x)
