"""A prior of two levels of codes."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax

from probvae import nets
from probvae.checks import PositiveFloat, scale_bound
from probvae.distributions import diagonal_normal
from probvae.interfaces import AbstractProgramPrior, Scope, TopDown
from probvae.priors.standard_normal import StandardNormal
from probvae.priors.top_down import SinglePrior, sample_top_down


@dataclass(frozen=True)
class TwoLevel(AbstractProgramPrior):
    r"""A hierarchy of two codes. The decoder receives z1.

    $z_2 \sim$ ``top``, $z_1 | z_2 \sim \mathrm{Normal}(m(z_2), \mathrm{diag}(s(z_2)^2))$, with
    $\log s = b \tanh(r / 2b)$. The sites are ``"z2"`` and ``"z1"``, both of length ``latent_dim``.

    The matching guides are ``guides.TwoLevelTopDown``, ``guides.TwoLevelBottomUp`` and
    ``guides.Ladder``. The top can be any distribution prior on the real line. A ``VampPrior`` as top is
    a mixture of q(z2 | x), so it needs ``TwoLevelTopDown`` or ``Ladder``, where q(z2 | x) is one
    distribution.

    Args:
        top: p(z2), any prior that is one distribution.
        net: a recipe of the net from z2 to m and r.
        log_bound: b, the bound on $|\log s|$.

    Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, section 2. Sonderby et al. 2016,
    arXiv:1602.02282. With a VampPrior on top: Tomczak and Welling 2018, arXiv:1705.07120, section 3.
    """

    top: SinglePrior = field(default_factory=StandardNormal)
    net: nets.Recipe = nets.MLP((100,))
    log_bound: PositiveFloat = scale_bound(10.0, looser=1.0)

    def top_down(self, scope: Scope) -> TopDown:
        n = scope.latent_dim

        def register() -> tuple[Callable, Callable]:
            net = nets.register("prior$z1", self.net, (n,), (n, 2), training=scope.training)
            # The state h is the last code itself.
            return lambda i, h: diagonal_normal(net(h), self.log_bound), lambda i, h, z: z

        return TopDown(("z2", "z1"), n, register)

    def sample(self, scope: Scope) -> jax.Array:
        return sample_top_down(self.top, self.top_down(scope), scope)

    def __str__(self) -> str:
        return f"z2 ~ {self.top}, z1 | z2 ~ Normal(m(z2), diag(s(z2)^2))"
