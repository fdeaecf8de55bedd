"""Whether the draws of a guide of the user's own follow its density."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from probvae.batching import Rows, map_blocks, map_rows
from probvae.compilation import compile_program
from probvae.distributions import PartlyObserved
from probvae.evidence import Batch
from probvae.objectives.terms import in_plate, latent_sites, site_log_prob, trace_guide, unwrap_expanded
from probvae.typing import Params, RngKey

ROWS = 32  # are looked at
DRAWS = 4  # for each of them
NARROW = 1e3  # in units of float rounding: a density of this width may well repeat a draw


def check_guide_draws(vae: Any, values: Params, data: Batch) -> None:
    """Raise where all draws of a code are one point although the guide gives it a wide density.

    Every bound on log p(x) trusts that draws follow the density. If they are all the mode, the "bound"
    can be nats above log p(x), and nothing else shows it. The package's own guides are tested, so the
    question is asked of others only.

    Raises:
        ValueError: it names a row and what to do.
    """
    if not vae.posterior.is_density or type(vae.posterior).__module__.startswith("probvae."):
        return
    n = len(data.x)
    some = np.unique(np.linspace(0, n - 1, min(n, ROWS)).astype(int))
    rows = jax.tree.map(lambda a: np.asarray(a)[some], data)
    stuck = map_blocks(partial(_find_repeated, vae.eval(), values), rows, jax.random.key(0))
    for site, found in stuck.items():
        if found.any():
            raise ValueError(
                f"the posterior {type(vae.posterior).__name__} draws equal particles: {DRAWS} draws of "
                f'"{site}" for row {some[found.argmax()]} are the same point, and its density there is '
                "that of a wide distribution. Bounds on log p(x) need draws that follow the density: "
                "let `sample` of the distribution use its key. A guide without spread is "
                "guides.PointMass()."
            )


@partial(compile_program, static_argnames=("vae",))
def _find_repeated(vae: Any, values: Params, rows: Rows) -> dict[str, jax.Array]:
    """Say, per continuous site, whether a row's draws are equal and their density is not narrow."""

    def one_datum(key: RngKey, datum: Batch) -> dict[str, jax.Array]:
        batch = jax.tree.map(lambda a: a[None], tuple(datum))
        draw = partial(_draw, values, vae.guide, batch)
        drawn = jax.vmap(draw)(jax.random.split(key, DRAWS))
        return {site: _is_stuck(*z) for site, z in drawn.items()}

    return map_rows(one_datum, rows, batch_size=ROWS)


def _draw(values: Params, guide: Any, batch: tuple, key: RngKey) -> dict[str, Any]:
    trace = trace_guide(key, values, guide, batch, {})
    return {
        name: (trace[name]["value"].reshape(-1), site_log_prob(trace[name])[0])
        for name in latent_sites(trace)
        if in_plate(trace[name]) and not _may_repeat(trace[name]["fn"])
    }


def _may_repeat(q: Any) -> bool:
    """Say whether draws of a distribution may well be equal: it is discrete, or some are known."""
    return bool(q.support.is_discrete) or isinstance(unwrap_expanded(q), PartlyObserved)


def _is_stuck(z: jax.Array, log_q: jax.Array) -> jax.Array:
    """Say whether draws ``(draws, units)`` are equal though their density is not that of a spike."""
    width = NARROW * jnp.finfo(z.dtype).eps * jnp.maximum(jnp.abs(z[0]), 1.0)
    return (z == z[0]).all() & (log_q[0] < -jnp.log(width).sum())
