"""What hierarchies of codes share: the top, and the way down from it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro

from probvae.interfaces import AbstractDistributionPrior, Scope, TopDown


def sample_top_down(top: AbstractDistributionPrior, down: TopDown, scope: Scope) -> jax.Array:
    """Issue all sites from the top down; return the last state ``(batch, width)``."""
    p_top = top.distribution(scope)
    conditional, after = down.register()
    z = numpyro.sample(down.sites[0], p_top)
    h = after(0, jnp.zeros((*z.shape[:-1], down.width)), z)
    for i, site in enumerate(down.sites[1:], 1):
        h = after(i, h, numpyro.sample(site, conditional(i, h)))
    return h


def check_top(prior: Any) -> None:
    """Raise unless a hierarchy's top is one distribution."""
    if not isinstance(prior.top, AbstractDistributionPrior):
        raise TypeError(
            f"{type(prior).__name__}(top=...) expects a prior that is one distribution, such as "
            f"priors.StandardNormal(); got {prior.top!r}."
        )
