"""Guides of a hierarchy of two codes: top down, and bottom up."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro
from numpyro.distributions import Distribution

from probvae import nets
from probvae.checks import PositiveFloat, scale_bound
from probvae.distributions import diagonal_normal
from probvae.interfaces import AbstractProgramGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class TwoLevelTopDown(AbstractProgramGuide):
    r"""A top-down guide of two codes: $q(z_2 | x) q(z_1 | x, z_2)$, each a diagonal normal.

    The encoder returns q(z2 | x), and two more outputs for each unit. A net maps these and z2 to
    q(z1 | x, z2). z2, on which p(z1 | z2) depends, is drawn first, so both KLs have closed forms.

    Args:
        net: a recipe of the net of q(z1 | x, z2).
        log_bound: b, the bound on $|\log s|$, as in ``MeanField``.

    Reference: Sonderby et al. 2016, arXiv:1602.02282, who also multiply q(z1 | x, z2) by the prior.
    """

    net: nets.Recipe = nets.MLP((100,))
    log_bound: PositiveFloat = scale_bound(10.0, looser=1.0)

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim, 4)

    def sample(self, outputs: jax.Array, scope: Scope) -> None:
        n = scope.latent_dim
        net = nets.register("guide$z1", self.net, (3 * n,), (n, 2), training=scope.training)
        z2 = numpyro.sample("z2", self.top(outputs, scope))
        inputs = jnp.concatenate([z2, outputs[..., 2], outputs[..., 3]], axis=-1)  # (batch, 3 n)
        numpyro.sample("z1", diagonal_normal(net(inputs), self.log_bound))

    def top(self, outputs: jax.Array, scope: Scope) -> Distribution:
        return diagonal_normal(outputs[..., :2], self.log_bound)

    def __str__(self) -> str:
        return "q(z2 | x) q(z1 | x, z2), normal"


@dataclass(frozen=True)
class TwoLevelBottomUp(AbstractProgramGuide):
    r"""A bottom-up guide of two codes: $q(z_1 | x) q(z_2 | z_1)$, each a diagonal normal.

    The encoder returns q(z1 | x). z1 is drawn before z2, on which p(z1 | z2) depends. Its KL therefore
    has no closed form and is sampled.

    Args:
        net: a recipe of the net of q(z2 | z1).
        log_bound: b, the bound on $|\log s|$, as in ``MeanField``.

    Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, section 2.
    """

    net: nets.Recipe = nets.MLP((100,))
    log_bound: PositiveFloat = scale_bound(10.0, looser=1.0)

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim, 2)

    def sample(self, outputs: jax.Array, scope: Scope) -> None:
        n = scope.latent_dim
        net = nets.register("guide$z2", self.net, (n,), (n, 2), training=scope.training)
        z1 = numpyro.sample("z1", diagonal_normal(outputs, self.log_bound))
        numpyro.sample("z2", diagonal_normal(net(z1), self.log_bound))

    def __str__(self) -> str:
        return "q(z1 | x) q(z2 | z1), normal"
