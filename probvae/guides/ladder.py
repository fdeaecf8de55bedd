"""The guide of a ladder: from the data up without draws, and down again with the prior."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro
from numpyro.distributions import Distribution, Normal

from probvae import nets
from probvae.checks import scale_bound
from probvae.distributions import check_bound, diagonal_normal
from probvae.interfaces import AbstractProgramGuide, Scope, TopDown
from probvae.nets.layers import check_count
from probvae.typing import Shape


@dataclass(frozen=True)
class Ladder(AbstractProgramGuide):
    """q(z_l | x, z_>l) is p(z_l | z_>l) times a normal message of x, from the top down.

    The encoder gives features d_1 of x, and a residual net of the guide the higher ones,
    d_(l+1) = d_l + g_l(d_l). On the way down, h is the state of the prior's own nets at the draws so
    far. With (a, t) = (a_l, t_l)(d_l, h) the message's mean and scale, and (m, s) those of p,

        q(z_l | x, z_>l) = Normal((m / s^2 + a / t^2) v, v),    1 / v = 1 / s^2 + 1 / t^2;

    at the top q is the message alone. What p knows q need not learn; q is p where x says nothing (t
    large), and never wider; where p(x, z) is normal, q has the form of the exact conditional (up to
    correlations). All that p(z_l | z_>l) rests on is drawn first, so that each KL has its closed form.
    The prior is ``priors.Ladder`` with any number of groups, or ``TwoLevel``.

    Args:
        width: length of the features d.
        bottom_up: a recipe of g_l, one for all levels.
        message: a recipe of the nets from (d_l, h) to a message.
        log_bound: b, the bound on |log t|, as in ``MeanField``.

    Raises:
        ValueError: for a width below 1, or a bound that is not positive.

    Reference: Sonderby et al. 2016, arXiv:1602.02282 (there the message is of d_l alone). Child 2021,
    arXiv:2011.10650, has no product: a net of d_l and h gives q's mean and scale.
    """

    uses_top_down = True

    width: int = 64
    bottom_up: nets.Recipe = nets.MLP((128,))
    message: nets.Recipe = nets.MLP((128,))
    log_bound: float = scale_bound(10.0, looser=1.0)

    def __post_init__(self) -> None:
        check_bound(self, self.log_bound)
        check_count("Ladder", "width", self.width)

    def output_shape(self, latent_dim: int) -> Shape:
        return (self.width,)

    def sample(self, outputs: jax.Array, scope: Scope) -> None:
        down = _check_hierarchy(scope)
        features = self._features(outputs, down)
        heard = [self._message(site, scope) for site in down.sites]
        conditional, after = down.register()
        h = jnp.zeros((len(outputs), down.width))
        for i, site in enumerate(down.sites):
            message = heard[i](features[i], h)
            q = product(conditional(i, h), message) if i else message
            h = after(i, h, numpyro.sample(site, q))

    def top(self, outputs: jax.Array, scope: Scope) -> Distribution:
        down = _check_hierarchy(scope)
        h = jnp.zeros((len(outputs), down.width))
        return self._message(down.sites[0], scope)(self._features(outputs, down)[0], h)

    def _features(self, outputs: jax.Array, down: TopDown) -> jax.Array:
        """Return the features of all levels, the top's first: ``(levels, batch, width)``."""
        levels = len(down.sites)
        up = nets.register_repeated("guide$bottom_up", self.bottom_up, (self.width,), levels - 1)
        return up.climb(outputs)[::-1]

    def _message(self, site: str, scope: Scope) -> Callable[..., Distribution]:
        shapes = (self.width + _check_hierarchy(scope).width,), (scope.latent_dim, 2)
        net = nets.register(f"guide${site}", self.message, *shapes, training=scope.training)

        def message(d: jax.Array, h: jax.Array) -> Distribution:
            return diagonal_normal(net(jnp.concatenate([d, h], axis=-1)), self.log_bound)

        return message

    def __str__(self) -> str:
        return "prod_l q(z_l | x, z_>l), each p(z_l | z_>l) times a normal message of x"


def _check_hierarchy(scope: Scope) -> TopDown:
    """Return the prior's hierarchy: where the parts are joined, one without is refused."""
    assert scope.top_down is not None
    return scope.top_down


def product(p: Distribution, message: Distribution) -> Distribution:
    """Return the normal that p times a message is, entry by entry; of p, mean and variance count."""
    trust = p.variance / (p.variance + message.variance)
    mean = p.mean + trust * (message.mean - p.mean)
    return Normal(mean, jnp.sqrt(trust * message.variance)).to_event(1)
