"""Numbers in place of weights that have a posterior."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from probvae.nets import Bayesian
from probvae.training import checks
from probvae.typing import RngKey


def point_weights(fitted: Any, *, rng_key: RngKey | None = None) -> Any:
    """Return a fitted VAE with one decoder: the mean of q(w) or, given ``rng_key``, a draw of it.

    It is an ordinary fitted VAE, whose decoder is the net of ``nets.Bayesian`` and whose p(x|z) is one
    function of z: what AIS, NUTS and ``fitted.as_prior()`` need. The mean of q(w) is not the mean of
    p(x|z, w): several draws show what the weights leave open. A VAE without such weights is returned
    as it is.

    Args:
        fitted: a fitted VAE.
        rng_key: a typed key.
    """
    checks.check_fitted(fitted)
    if rng_key is not None:
        checks.check_key(rng_key)
    if not isinstance(fitted.vae.decoder, Bayesian):
        return fitted
    values = dict(fitted.values)
    loc, log_scale = values.pop("decoder$loc"), values.pop("decoder$log_scale")
    weights = loc if rng_key is None else _draw(rng_key, loc, log_scale)
    vae = replace(fitted.vae, decoder=fitted.vae.decoder.net)
    return replace(fitted, vae=vae, values={**values, "decoder$params": weights})


def _draw(rng_key: RngKey, loc: Any, log_scale: Any) -> Any:
    leaves, form = jax.tree.flatten(loc)
    keys = jax.tree.unflatten(form, list(jax.random.split(rng_key, len(leaves))))
    return jax.tree.map(
        lambda key, m, log_s: m + jnp.exp(log_s) * jax.random.normal(key, m.shape, m.dtype),
        keys,
        loc,
        log_scale,
    )
