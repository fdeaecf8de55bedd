"""A guide for hierarchies: bottom up through the encoder, then top down with the prior."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro
from numpyro.distributions import Distribution, Normal

from probvae import nets
from probvae.checks import PositiveFloat, PositiveInt, scale_bound
from probvae.distributions import diagonal_normal
from probvae.interfaces import AbstractProgramGuide, Scope, TopDown
from probvae.typing import Shape


@dataclass(frozen=True)
class Ladder(AbstractProgramGuide):
    r"""A guide of a hierarchy that multiplies each $p(z_l | z_{>l})$ by a normal message of x.

    The encoder returns features $d_1$ of x. A residual net of the guide computes the higher ones,
    $d_{l+1} = d_l + g_l(d_l)$, without draws. On the way down, h is the state of the prior's own nets
    at the draws so far. A net maps $(d_l, h)$ to the message's mean a and scale t. With the mean m and
    scale s of $p(z_l | z_{>l})$,

    $q(z_l | x, z_{>l}) = \mathrm{Normal}((m / s^2 + a / t^2) v, v)$, $1 / v = 1 / s^2 + 1 / t^2$.

    At the top, q is the message alone. The guide need not learn what the prior knows: q equals p where
    x carries no information (t large), and is never wider than p. If p(x, z) is normal, q has the form
    of the exact conditional, except for correlations. q draws everything that $p(z_l | z_{>l})$ depends
    on before $z_l$, so each KL has a closed form.

    The matching priors are ``priors.Ladder``, with any number of groups, and ``priors.TwoLevel``.

    Args:
        width: length of the features d.
        bottom_up: a recipe of $g_l$, the same for all levels.
        message: a recipe of the nets from $(d_l, h)$ to a message.
        log_bound: b, the bound on $|\log t|$, as in ``MeanField``.

    Reference: Sonderby et al. 2016, arXiv:1602.02282, whose message depends on $d_l$ alone. In Child
    2021, arXiv:2011.10650, a net of $d_l$ and h returns the mean and scale of q, without a product.
    """

    uses_top_down = True

    width: PositiveInt = 64
    bottom_up: nets.Recipe = nets.MLP((128,))
    message: nets.Recipe = nets.MLP((128,))
    log_bound: PositiveFloat = scale_bound(10.0, looser=1.0)

    def output_shape(self, latent_dim: int) -> Shape:
        return (self.width,)

    def sample(self, outputs: jax.Array, scope: Scope) -> None:
        # The nets are registered in a fixed order, before the first draw: parameters start from keys
        # that NumPyro hands out in the order of the sites.
        hierarchy = _hierarchy(scope)
        features = self._features(outputs, hierarchy)
        message_nets = [self._message_net(site, scope) for site in hierarchy.sites]
        conditional, update = hierarchy.register()
        h = jnp.zeros((len(outputs), hierarchy.width))
        for i, site in enumerate(hierarchy.sites):
            message = message_nets[i](features[i], h)
            q = product(conditional(i, h), message) if i else message
            h = update(i, h, numpyro.sample(site, q))

    def top(self, outputs: jax.Array, scope: Scope) -> Distribution:
        hierarchy = _hierarchy(scope)
        h = jnp.zeros((len(outputs), hierarchy.width))
        features = self._features(outputs, hierarchy)
        return self._message_net(hierarchy.sites[0], scope)(features[0], h)

    def _features(self, outputs: jax.Array, hierarchy: TopDown) -> jax.Array:
        """Return the features of all levels, from the top level down: ``(levels, batch, width)``."""
        levels = len(hierarchy.sites)
        up = nets.register_repeated("guide$bottom_up", self.bottom_up, (self.width,), levels - 1)
        return up.climb(outputs)[::-1]

    def _message_net(self, site: str, scope: Scope) -> Callable[..., Distribution]:
        shapes = (self.width + _hierarchy(scope).width,), (scope.latent_dim, 2)
        net = nets.register(f"guide${site}", self.message, *shapes, training=scope.training)

        def message(d: jax.Array, h: jax.Array) -> Distribution:
            return diagonal_normal(net(jnp.concatenate([d, h], axis=-1)), self.log_bound)

        return message

    def __str__(self) -> str:
        return "prod_l q(z_l | x, z_>l), each p(z_l | z_>l) times a normal message of x"


def _hierarchy(scope: Scope) -> TopDown:
    """Return the prior's hierarchy. ``VAE`` raises if the prior has none, so it is there."""
    assert scope.top_down is not None
    return scope.top_down


def product(p: Distribution, message: Distribution) -> Distribution:
    """Return the normal that is proportional to p times a message, entry by entry.

    Only the mean and the variance of p are used.
    """
    # Precisions add: with w = s^2 / (s^2 + t^2), the mean is m + w (a - m) and the variance w t^2.
    # This form neither divides by a small variance nor subtracts large numbers.
    w = p.variance / (p.variance + message.variance)
    mean = p.mean + w * (message.mean - p.mean)
    return Normal(mean, jnp.sqrt(w * message.variance)).to_event(1)
