"""Decoder weights with a prior (``nets.BayesianNet``), fixed at a draw or at the mean of q(w)."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from probvae.nets import BayesianNet
from probvae.typing import Params, PyTree, RngKey
from probvae.vae import VAE


def fix_weights(vae: VAE, values: Params, rng_key: RngKey | None) -> tuple[VAE, Params]:
    """Return the VAE and its values with fixed decoder weights: the mean of q(w), or a draw."""
    if not isinstance(vae.decoder, BayesianNet):
        return vae, values
    rest: dict[str, Any] = dict(values)
    loc, log_scale = rest.pop("decoder$loc"), rest.pop("decoder$log_scale")
    weights = loc if rng_key is None else _draw_weights(rng_key, loc, log_scale)
    return replace(vae, decoder=vae.decoder.net), {**rest, "decoder$params": weights}


def _draw_weights(rng_key: RngKey, loc: PyTree, log_scale: PyTree) -> PyTree:
    leaves, form = jax.tree.flatten(loc)
    keys = jax.tree.unflatten(form, list(jax.random.split(rng_key, len(leaves))))
    return jax.tree.map(
        lambda key, m, log_s: m + jnp.exp(log_s) * jax.random.normal(key, m.shape, m.dtype),
        keys,
        loc,
        log_scale,
    )
