"""Draws of the guide for each datum, all latent sites joined into one vector of units."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from probvae.chunks import ROWS
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
def drawn_codes(vae: Any, values: Params, keys: jax.Array, data: Batch, *, num_draws: int) -> jax.Array:
    """Return draws of q(z|x), ``(n, num_draws, units)``, a key for each datum."""

    def one_datum(row: tuple[RngKey, Batch]) -> jax.Array:
        batch = jax.tree.map(lambda a: a[None], row[1])
        draw_keys = jax.random.split(row[0], num_draws)
        draw = lambda key: drawn(key, values, vae.guide, batch)  # noqa: E731
        return jax.lax.map(draw, draw_keys, batch_size=min(ROWS, num_draws))

    return jax.lax.map(one_datum, (keys, data))
