"""Guides of a hierarchy of two codes."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro
from numpyro.distributions import Distribution

from probvae import nets
from probvae.checks import scale_bound
from probvae.distributions import check_bound, diagonal_normal
from probvae.interfaces import AbstractProgramGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class TwoLevelTopDown(AbstractProgramGuide):
    """q(z2 | x) q(z1 | x, z2), each normal with a diagonal covariance.

    The encoder gives q(z2 | x), and for each unit two more outputs, told with z2 to the net of
    q(z1 | x, z2). All that p(z1 | z2) rests on is drawn first, so that both KLs have closed forms.

    Args:
        net: a recipe of the net of the second code.
        log_bound: b, the bound on |log s|, as in ``MeanField``.

    Reference: Sonderby et al. 2016, arXiv:1602.02282 (there q(z1 | x, z2) also meets the prior).
    """

    net: nets.Recipe = nets.MLP((100,))
    log_bound: float = scale_bound(10.0, looser=1.0)

    def __post_init__(self) -> None:
        check_bound(self, self.log_bound)

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim, 4)

    def sample(self, outputs: jax.Array, scope: Scope) -> None:
        n = scope.latent_dim
        net = nets.register("guide$z1", self.net, (3 * n,), (n, 2), training=scope.training)
        z2 = numpyro.sample("z2", self.top(outputs, scope))
        told = jnp.concatenate([z2, outputs[..., 2], outputs[..., 3]], axis=-1)
        numpyro.sample("z1", diagonal_normal(net(told), self.log_bound))

    def top(self, outputs: jax.Array, scope: Scope) -> Distribution:
        return diagonal_normal(outputs[..., :2], self.log_bound)

    def __str__(self) -> str:
        return "q(z2 | x) q(z1 | x, z2), normal"


@dataclass(frozen=True)
class TwoLevelBottomUp(AbstractProgramGuide):
    """q(z1 | x) q(z2 | z1), each normal with a diagonal covariance.

    The encoder gives q(z1 | x). z1 is drawn before the z2 that p(z1 | z2) rests on: its KL is
    sampled, never in closed form.

    Args:
        net: a recipe of the net of the second code.
        log_bound: b, the bound on |log s|, as in ``MeanField``.

    Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, section 2.
    """

    net: nets.Recipe = nets.MLP((100,))
    log_bound: float = scale_bound(10.0, looser=1.0)

    def __post_init__(self) -> None:
        check_bound(self, self.log_bound)

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim, 2)

    def sample(self, outputs: jax.Array, scope: Scope) -> None:
        n = scope.latent_dim
        net = nets.register("guide$z2", self.net, (n,), (n, 2), training=scope.training)
        z1 = numpyro.sample("z1", diagonal_normal(outputs, self.log_bound))
        numpyro.sample("z2", diagonal_normal(net(z1), self.log_bound))

    def __str__(self) -> str:
        return "q(z1 | x) q(z2 | z1), normal"
