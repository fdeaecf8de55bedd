"""A hierarchy of two codes as the prior."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax

from probvae import nets
from probvae.checks import scale_bound
from probvae.distributions import check_bound, diagonal_normal
from probvae.interfaces import AbstractDistributionPrior, AbstractProgramPrior, Scope, TopDown
from probvae.priors.standard_normal import StandardNormal
from probvae.priors.top_down import check_top, sample_top_down


@dataclass(frozen=True)
class TwoLevel(AbstractProgramPrior):
    """z2 ~ top, z1 | z2 ~ Normal(m(z2), diag(s(z2)^2)); the decoder is given z1.

    Sites ``"z2"`` and ``"z1"``, both of length ``latent_dim``; log s = b tanh(r / 2b). Its guides are
    ``guides.TwoLevelTopDown``, ``guides.TwoLevelBottomUp`` and ``guides.Ladder``. Any distribution
    prior of the plane may be on top; a ``VampPrior`` mixes q(z2|x), which the first and the last of
    these guides have as one distribution.

    Args:
        top: p(z2).
        net: a recipe of the net from z2 to m and r.
        log_bound: b, the bound on |log s|.

    Raises:
        TypeError, ValueError: for a top that is no one distribution, or a bound that is not positive.

    Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, section 2; Sonderby et al. 2016,
    arXiv:1602.02282; with a VampPrior on top, Tomczak and Welling 2018, arXiv:1705.07120, section 3.
    """

    top: AbstractDistributionPrior = field(default_factory=StandardNormal)
    net: nets.Recipe = nets.MLP((100,))
    log_bound: float = scale_bound(10.0, looser=1.0)

    def __post_init__(self) -> None:
        check_bound(self, self.log_bound)
        check_top(self)

    def top_down(self, scope: Scope) -> TopDown:
        n = scope.latent_dim

        def register() -> tuple[Callable, Callable]:
            net = nets.register("prior$z1", self.net, (n,), (n, 2), training=scope.training)
            return lambda i, h: diagonal_normal(net(h), self.log_bound), lambda i, h, z: z

        return TopDown(("z2", "z1"), n, register)

    def sample(self, scope: Scope) -> jax.Array:
        return sample_top_down(self.top, self.top_down(scope), scope)

    def __str__(self) -> str:
        return f"z2 ~ {self.top}, z1 | z2 ~ Normal(m(z2), diag(s(z2)^2))"
