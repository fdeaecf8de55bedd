"""Simulated pairs (z*, x*) from the model, where z* is an exact posterior draw of x*."""

from functools import partial

import jax
import numpy as np
from numpyro import handlers

from probvae import inputs
from probvae.batching import map_arrays
from probvae.compilation import compile_program
from probvae.data_checks import check_context
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.objectives.terms import in_plate, latent_sites
from probvae.typing import ArrayLike, Params, RngKey
from probvae.vae import VAE


def simulate(
    fitted: Fitted, rng_key: RngKey, num_data: int, context: ArrayLike | None
) -> tuple[dict[str, jax.Array], Batch]:
    """Draw ``num_data`` pairs: codes by site ``(n, ...)``, and the data, with the noise of ``Spread``.

    Raises:
        ValueError: for a context that does not have one row per datum.
    """
    rows = None if context is None else np.shape(inputs.to_numbers("context", context))[:1]
    if rows not in (None, (num_data,)):
        raise ValueError(
            f"context expects one row for each of {num_data} simulated data; got "
            f"{rows[0] if rows else 'one number'}. Draw rows of the data's own context."
        )
    context = check_context(fitted.vae, context)
    keys = jax.random.split(rng_key, num_data)
    z, x = _simulate_rows(fitted.vae.eval(), fitted.values, keys, context)
    return z, Batch(x, context)


@partial(compile_program, static_argnames=("vae",))
def _simulate_rows(
    vae: VAE, values: Params, keys: jax.Array, context: ArrayLike | None
) -> tuple[dict[str, jax.Array], jax.Array]:
    def simulate_row(key: RngKey, context: jax.Array | None) -> tuple[dict[str, jax.Array], jax.Array]:
        model = handlers.substitute(handlers.seed(vae.model, key), data=dict(values))
        trace = handlers.trace(model).get_trace(None, None if context is None else context[None])
        sites = [name for name in latent_sites(trace) if name != "x" and in_plate(trace[name])]
        return {name: trace[name]["value"][0] for name in sites}, trace["x"]["value"][0]

    return map_arrays(simulate_row, keys, context)
