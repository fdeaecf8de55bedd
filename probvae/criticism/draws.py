"""Draws of the guide for each datum, all latent sites joined into one vector of units."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from probvae.chunks import ROWS, Rows, over_rows
from probvae.evidence import Batch
from probvae.objectives.terms import guide_traced, latent_sites
from probvae.tracing import compiled
from probvae.typing import Params, RngKey


def joined(sites: dict[str, jax.Array], leading: int) -> jax.Array:
    """Join the values of sites, by name, on one last axis; ``leading`` axes come before the datum's."""
    flat = [sites[name].reshape(*sites[name].shape[:leading], -1) for name in sorted(sites)]
    return jnp.concatenate(flat, axis=-1)


def drawn(key: RngKey, values: Params, guide: Any, batch: Batch) -> jax.Array:
    """Draw the code of one datum (a batch of one), ``(units,)``."""
    trace = guide_traced(key, values, guide, tuple(batch), {})
    return joined({name: trace[name]["value"] for name in latent_sites(trace)}, 0)


@partial(compiled, static_argnames=("vae", "num_draws"))
def drawn_codes(vae: Any, values: Params, rows: Rows, *, num_draws: int) -> jax.Array:
    """Return draws of q(z|x), ``(n, num_draws, units)``, a key for each datum."""

    def one_datum(key: RngKey, datum: Batch) -> jax.Array:
        batch = jax.tree.map(lambda a: a[None], datum)
        draw_keys = jax.random.split(key, num_draws)
        draw = lambda key: drawn(key, values, vae.guide, batch)  # noqa: E731
        return jax.lax.map(draw, draw_keys, batch_size=min(ROWS, num_draws))

    return over_rows(one_datum, rows, rows.keys, rows.data, at_a_time=1)
