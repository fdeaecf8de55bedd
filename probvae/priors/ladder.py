"""A prior of many levels of codes, drawn from the top down."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from probvae import nets
from probvae.checks import PositiveFloat, PositiveInt, scale_bound
from probvae.distributions import diagonal_normal
from probvae.interfaces import AbstractProgramPrior, Scope, TopDown
from probvae.priors.standard_normal import StandardNormal
from probvae.priors.top_down import SinglePrior, sample_top_down
from probvae.typing import Shape

LINEAR = nets.Linear()


@dataclass(frozen=True)
class Ladder(AbstractProgramPrior):
    r"""A hierarchy of codes $z_L, \ldots, z_1$, drawn from the top down. The decoder receives h.

    Each code adds to a state h, which is 0 above the top. With $z_L \sim$ ``top``,

    $z_l | z_{>l} \sim \mathrm{Normal}(m_l(h), \mathrm{diag}(s_l(h)^2))$, then
    $h \leftarrow h + f_l(h, z_l)$.

    $f_l$ is a net (a residual block that also reads the code). m and r, with
    $\log s = b \tanh(r / 2b)$, are affine in h. The sites are ``"zL"`` to ``"z1"`` (nearest the data),
    each of length ``latent_dim``.

    The matching guide is ``guides.Ladder``, which runs these same nets on its own draws. With
    ``groups=2`` the guides of ``TwoLevel`` work too. With a ``VampPrior`` as ``top``, $p(z_L)$ is a
    mixture of $q(z_L | x)$.

    Args:
        groups: L, the number of codes.
        top: $p(z_L)$, any prior that is one distribution.
        width: length of the state h, which the decoder receives.
        net: a recipe of $f_l$, the same for all groups.
        log_bound: b, the bound on $|\log s|$.

    Reference: Sonderby et al. 2016, arXiv:1602.02282, whose p(x | z) reads $z_1$ alone. The residual
    blocks, and a p(x | z) that depends on all codes, follow Child 2021, arXiv:2011.10650.
    """

    groups: PositiveInt = 3
    top: SinglePrior = field(default_factory=StandardNormal)
    width: PositiveInt = 64
    net: nets.Recipe = nets.MLP((128,))
    log_bound: PositiveFloat = scale_bound(10.0, looser=1.0)

    def code_dim(self, latent_dim: int) -> int:
        return self.width

    def top_down(self, scope: Scope) -> TopDown:
        n, width = scope.latent_dim, self.width
        sites = tuple(f"z{self.groups - i}" for i in range(self.groups))

        def net(role: str, recipe: nets.Recipe, *shapes: Shape) -> Callable:
            return nets.register(f"prior${role}", recipe, *shapes, training=scope.training)

        def register() -> tuple[Callable, Callable]:
            # The top code has no head, because its distribution is `top`. Every code has a step.
            heads = [net(site, LINEAR, (width,), (n, 2)) for site in sites[1:]]
            steps = [net(f"after_{site}", self.net, (width + n,), (width,)) for site in sites]

            def update(i: int, h: jax.Array, z: jax.Array) -> jax.Array:
                return h + steps[i](jnp.concatenate([h, z], axis=-1))

            return lambda i, h: diagonal_normal(heads[i - 1](h), self.log_bound), update

        return TopDown(sites, width, register)

    def sample(self, scope: Scope) -> jax.Array:
        return sample_top_down(self.top, self.top_down(scope), scope)

    def __str__(self) -> str:
        return f"z{self.groups} ~ {self.top}, z_l | z_>l ~ Normal(m(h_l), diag(s(h_l)^2)), h_l of z_>l"
