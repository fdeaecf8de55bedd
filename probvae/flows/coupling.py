"""Coupling layers of flows: `Coupling`, which is affine, and `SplineCoupling`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from numpyro.distributions.transforms import AffineTransform, Transform

from probvae import nets
from probvae.checks import PositiveFloat, PositiveInt
from probvae.distributions.coupling import Coupling as CouplingTransform
from probvae.distributions.log_bounds import bound_scale
from probvae.distributions.spline import RationalQuadraticSpline
from probvae.flows.layer import AbstractLayer, Conditioner, register_conditioner

SMALL = 1e-2  # factor of the conditioner's output, so that a layer starts near the identity


@dataclass(frozen=True)
class Coupling(AbstractLayer):
    """$y_a = x_a$, $y_b = s(x_a) x_b + m(x_a)$, and then the halves swap.

    Both directions take one pass. It needs ``latent_dim`` >= 2.

    Args:
        net: the recipe of the net that computes m and log s.
        log_bound: the bound on |log s|.

    Reference: Dinh, Sohl-Dickstein and Bengio 2017, arXiv:1605.08803, equations 7 and 8.
    """

    net: nets.Recipe = nets.MLP((64,))
    log_bound: PositiveFloat = 3.0

    def transforms(
        self, role: str, latent_dim: int, condition: jax.Array | None, *, training: bool
    ) -> list[Transform]:
        return _couple(self, self._affine, 2, role, latent_dim, condition, training=training)

    def _affine(self, raw: jax.Array) -> Transform:
        scale = bound_scale(2 * raw[..., 1], self.log_bound)
        return AffineTransform(raw[..., 0], scale)

    def __str__(self) -> str:
        return "coupling"


@dataclass(frozen=True)
class SplineCoupling(AbstractLayer):
    """$y_a = x_a$, $y_b = f(x_b; x_a)$ with a monotone spline f, and then the halves swap.

    f is a rational-quadratic spline on [-bound, bound], and the identity outside. It needs
    ``latent_dim`` >= 2.

    Args:
        bins: number of bins of each spline.
        bound: half the length of the interval, in the code's units.
        net: the recipe of the net that computes the splines' parameters.

    Raises:
        TypeError, ValueError: ``bins`` is not a positive integer, or ``bound`` not positive.

    Reference: Durkan et al. 2019, arXiv:1906.04032.
    """

    bins: PositiveInt = 8
    bound: PositiveFloat = 5.0
    net: nets.Recipe = nets.MLP((64,))

    def transforms(
        self, role: str, latent_dim: int, condition: jax.Array | None, *, training: bool
    ) -> list[Transform]:
        size = 3 * self.bins - 1
        return _couple(self, self._spline, size, role, latent_dim, condition, training=training)

    def _spline(self, raw: jax.Array) -> Transform:
        return RationalQuadraticSpline(raw, self.bound)

    def __str__(self) -> str:
        return f"spline coupling ({self.bins} bins)"


def _couple(
    layer: Coupling | SplineCoupling,
    bijection: Callable,
    size: int,
    role: str,
    latent_dim: int,
    condition: jax.Array | None,
    *,
    training: bool,
) -> list[Transform]:
    """Return two couplings. Each half is transformed once, given the other."""
    if latent_dim < 2:
        fix = "Use flows.Autoregressive(), or a longer code."
        name = f"flows.{type(layer).__name__}"
        raise ValueError(f"{name} splits the code and expects latent_dim >= 2; got {latent_dim}. {fix}")
    low, high = latent_dim // 2, latent_dim - latent_dim // 2
    couplings = []
    for first, a, b in ((True, low, high), (False, high, low)):
        name, shape = f"{role}{'a' if first else 'b'}", (b, size)
        net = register_conditioner(name, layer.net, a, condition, shape, training=training)
        couplings.append(CouplingTransform(_ScaledConditioner(net), bijection, first=first))
    return couplings


@partial(jax.tree_util.register_dataclass, data_fields=("net",), meta_fields=())
@dataclass(frozen=True, eq=False)
class _ScaledConditioner:
    """A conditioner whose output is small at the start of training."""

    net: Conditioner

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.asarray(SMALL, x.dtype) * self.net(x)
