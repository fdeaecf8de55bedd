"""Sampling of a hierarchy of codes from the top down, shared by ``TwoLevel`` and ``Ladder``."""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpyro

from probvae.checks import Requirement
from probvae.interfaces import AbstractDistributionPrior, Scope, TopDown

SinglePrior = Annotated[
    AbstractDistributionPrior,
    Requirement("a prior that is one distribution, such as priors.StandardNormal()"),
]


def sample_top_down(top: AbstractDistributionPrior, hierarchy: TopDown, scope: Scope) -> jax.Array:
    """Draw all codes from the top down, and return the last state ``(batch, width)``."""
    p_top = top.distribution(scope)
    conditional, update = hierarchy.register()
    z = numpyro.sample(hierarchy.sites[0], p_top)  # i = 0, the only code without a conditional
    h = update(0, jnp.zeros((*z.shape[:-1], hierarchy.width)), z)
    for i, site in enumerate(hierarchy.sites[1:], 1):
        h = update(i, h, numpyro.sample(site, conditional(i, h)))
    return h
