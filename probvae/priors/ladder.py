"""A ladder of codes as the prior: as many levels as one likes, and one state that passes by them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from probvae import nets
from probvae.checks import scale_bound
from probvae.distributions import check_bound, diagonal_normal
from probvae.interfaces import AbstractDistributionPrior, AbstractProgramPrior, Scope, TopDown
from probvae.nets.layers import check_count
from probvae.priors.standard_normal import StandardNormal
from probvae.priors.top_down import check_top, sample_top_down
from probvae.typing import Shape

LINEAR = nets.Linear()


@dataclass(frozen=True)
class Ladder(AbstractProgramPrior):
    """Codes z_L, ..., z_1 from the top down, and a state h that each adds to; the decoder is given h.

    With h = 0 above the top, z_L ~ top,

        z_l | z_>l ~ Normal(m_l(h), diag(s_l(h)^2)),    h <- h + f_l(h, z_l),

    m and r of log s = b tanh(r / 2b) affine in h, f_l a net: a residual block that is told the code.
    Sites ``"zL"`` to ``"z1"`` (nearest the data), each of length ``latent_dim``. The guide is
    ``guides.Ladder``, which runs these same nets on its own draws; with ``groups=2``, those of
    ``TwoLevel`` fit too. A ``VampPrior`` on top mixes q(z_L | x).

    Args:
        groups: L, the number of codes.
        top: p(z_L).
        width: of the state h, which the decoder is given.
        net: a recipe of f_l, one for all groups.
        log_bound: b, the bound on |log s|.

    Raises:
        TypeError, ValueError: for a top that is no one distribution, a number of groups or a width
            below 1, a bound that is not positive.

    Reference: Sonderby et al. 2016, arXiv:1602.02282; the residual blocks as in Child 2021,
    arXiv:2011.10650. (In the first, p(x | z) is told z_1 alone; here, as in the second, all codes.)
    """

    groups: int = 3
    top: AbstractDistributionPrior = field(default_factory=StandardNormal)
    width: int = 64
    net: nets.Recipe = nets.MLP((128,))
    log_bound: float = scale_bound(10.0, looser=1.0)

    def __post_init__(self) -> None:
        check_bound(self, self.log_bound)
        check_count("Ladder", "groups", self.groups)
        check_count("Ladder", "width", self.width)
        check_top(self)

    def code_dim(self, latent_dim: int) -> int:
        return self.width

    def top_down(self, scope: Scope) -> TopDown:
        n, width = scope.latent_dim, self.width
        sites = tuple(f"z{self.groups - i}" for i in range(self.groups))

        def net(role: str, recipe: nets.Recipe, *shapes: Shape) -> Callable:
            return nets.register(f"prior${role}", recipe, *shapes, training=scope.training)

        def register() -> tuple[Callable, Callable]:
            heads = [net(site, LINEAR, (width,), (n, 2)) for site in sites[1:]]
            steps = [net(f"after_{site}", self.net, (width + n,), (width,)) for site in sites]

            def after(i: int, h: jax.Array, z: jax.Array) -> jax.Array:
                return h + steps[i](jnp.concatenate([h, z], axis=-1))

            return lambda i, h: diagonal_normal(heads[i - 1](h), self.log_bound), after

        return TopDown(sites, width, register)

    def sample(self, scope: Scope) -> jax.Array:
        return sample_top_down(self.top, self.top_down(scope), scope)

    def __str__(self) -> str:
        return f"z{self.groups} ~ {self.top}, z_l | z_>l ~ Normal(m(h_l), diag(s(h_l)^2)), h_l of z_>l"
