"""A check that the draws of your own guide follow its density."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution

from probvae.batching import Rows, map_blocks, map_rows
from probvae.compilation import compile_program
from probvae.distributions import PartlyObserved
from probvae.evidence import Batch
from probvae.objectives.terms import in_plate, latent_sites, site_log_prob, trace_guide, unwrap_expanded
from probvae.typing import Params, Program, RngKey
from probvae.vae import VAE

ROWS = 32  # checked
DRAWS = 4  # per row
NARROW = 1e3  # in units of float rounding: a density of this width may repeat a draw


def check_guide_draws(vae: VAE, values: Params, data: Batch) -> None:
    """Raise if all draws of a code are one point although the guide's density is wide.

    Every bound on log p(x) relies on draws that follow the density. If all draws are the mode, the
    "bound" may exceed log p(x) by many nats, and no other check shows it. The tests cover the package's
    own guides, so this checks only yours.

    Raises:
        ValueError: for a repeated draw. The error names a row and the remedy.
    """
    if not vae.posterior.is_density or type(vae.posterior).__module__.startswith("probvae."):
        return
    n = len(data.x)
    indices = np.unique(np.linspace(0, n - 1, min(n, ROWS)).astype(int))
    rows = jax.tree.map(lambda a: np.asarray(a)[indices], data)
    repeated = map_blocks(partial(_find_repeated, vae.eval(), values), rows, jax.random.key(0))
    for site, is_repeated in repeated.items():
        if is_repeated.any():
            raise ValueError(
                f"the posterior {type(vae.posterior).__name__} draws equal particles: {DRAWS} draws of "
                f'"{site}" for row {indices[is_repeated.argmax()]} are the same point, and its density '
                "there is that of a wide distribution. Use the key in the distribution's `sample`. For "
                "a guide without spread, use guides.PointMass()."
            )


@partial(compile_program, static_argnames=("vae",))
def _find_repeated(vae: VAE, values: Params, rows: Rows) -> dict[str, jax.Array]:
    """Return for each continuous site and row whether all draws are equal and the density is wide."""

    def check_row(key: RngKey, datum: Batch) -> dict[str, jax.Array]:
        batch = jax.tree.map(lambda a: a[None], tuple(datum))
        draw = partial(_draw, values, vae.guide, batch)
        draws = jax.vmap(draw)(jax.random.split(key, DRAWS))
        return {site: _is_stuck(z, log_q) for site, (z, log_q) in draws.items()}

    return map_rows(check_row, rows, batch_size=ROWS)


def _draw(
    values: Params, guide: Program, batch: tuple, key: RngKey
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Return z ``(units,)`` and log q(z|x) of one datum, by site."""
    trace = trace_guide(key, values, guide, batch, {})
    return {
        name: (trace[name]["value"].reshape(-1), site_log_prob(trace[name])[0])
        for name in latent_sites(trace)
        if in_plate(trace[name]) and not _may_repeat(trace[name]["fn"])
    }


def _may_repeat(q: Distribution) -> bool:
    """Tell whether draws may well be equal: q is discrete, or some values are observed."""
    return bool(q.support.is_discrete) or isinstance(unwrap_expanded(q), PartlyObserved)


def _is_stuck(z: jax.Array, log_q: jax.Array) -> jax.Array:
    """Tell whether draws ``(draws, units)`` are equal though their density is not that of a spike."""
    width = NARROW * jnp.finfo(z.dtype).eps * jnp.maximum(jnp.abs(z[0]), 1.0)
    return (z == z[0]).all() & (log_q[0] < -jnp.log(width).sum())
