"""Calibration without refitting: whether q(z|x) says how far z is from where q puts it."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.batching import rows_per_block
from probvae.checks import check_key, check_kind, check_positive_integer
from probvae.compilation import compile_program
from probvae.criticism.datatree_variables import unit_names
from probvae.criticism.posterior.simulation import simulate
from probvae.criticism.posterior.uniformity import symmetry, uniformity
from probvae.evidence import Batch, check_density
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.objectives.terms import latent_sites, trace_guide
from probvae.typing import ArrayLike, Params, RngKey

LEVELS = (0.5, 0.8, 0.9)
LEAST_DRAWS = 20  # a rank among fewer tells little, and no standard deviation


class SiteCalibration(NamedTuple):
    """How z* ~ p(z|x*) lies in draws of q(z|x*), for each unit of a site, over ``n`` simulations.

    ``rank`` ``(n, units)``: how many of the draws are below z*. ``pit`` ``(n, units)``: (rank + U) /
    (L + 1), U uniform on (0, 1), which is uniform if q is the posterior. ``coverage`` ``(levels,
    units)``: how often z* is in q's central interval. ``shift`` ``(units,)``: the mean of r = (z* -
    mean of q) / (standard deviation of q) over its standard deviation, so in posterior standard
    deviations; > 0 where q lies too low. ``spread`` ``(units,)``: the standard deviation of r, 1 where
    q is right; > 1 where q is too narrow, or its mean errs from datum to datum. ``uniformity`` is the
    Kolmogorov-Smirnov distance of ``pit`` from uniform; ``symmetry`` that of ``pit`` from 1 - ``pit``
    (0 for a q that is centred right, of whatever scale); each with its p-value
    (``uniformity_p_value``, ``symmetry_p_value``), all ``(units,)``.
    """

    rank: np.ndarray
    pit: np.ndarray
    coverage: np.ndarray
    shift: np.ndarray
    spread: np.ndarray
    uniformity: np.ndarray
    uniformity_p_value: np.ndarray
    symmetry: np.ndarray
    symmetry_p_value: np.ndarray


class Calibration(NamedTuple):
    """Calibration of each latent site, from ``num_data`` simulations with ``num_draws`` of q each.

    ``sites`` has each site's, by name; ``levels`` are those of the central intervals. The standard
    error of a coverage c is sqrt(c (1 - c) / num_data), that of a shift about 1 / sqrt(num_data).
    """

    sites: dict[str, SiteCalibration]
    levels: tuple[float, ...]
    num_data: int
    num_draws: int


def sbc(
    fitted: Fitted,
    *,
    rng_key: RngKey,
    num_data: int = 2000,
    num_draws: int = 200,
    levels: tuple[float, ...] = LEVELS,
    context: ArrayLike | None = None,
) -> Calibration:
    """Return ranks of z* under q(z|x*) and what they say, for (z*, x*) drawn from the model.

    z* is a draw of p(z|x*), so that its rank among L draws of q(z|x*) is uniform on 0, ..., L if q is
    the posterior (the converse does not hold: q(z|x) = p(z) is uniform too, and has no information).
    The guide is amortized: no simulation is fitted. x* is like the model's data, not like yours; with
    ``Spread`` it has its noise. Ties, as for discrete codes, are broken at random, which keeps ranks
    uniform; ``shift`` and ``spread`` leave out simulations where all draws are one.

    Args:
        fitted: a fitted VAE.
        rng_key: a typed key.
        num_data: simulations.
        num_draws: L, for each.
        levels: of the central intervals, each in (0, 1).
        context: ``(num_data, *context_shape)``, for a model that has one.

    Raises:
        ValueError: for too few draws, a level that is none, or a part that is no density.

    Reference: Talts et al. 2018, arXiv:1804.06788 (ranks); Yao et al. 2018, arXiv:1802.02538
    (symmetry; they fit each simulation).
    """
    check_fitted(fitted)
    check_key(rng_key)
    check_positive_integer("num_data", num_data)
    _check_draws(num_draws, levels)
    check_density(fitted.vae)
    model_key, guide_key = jax.random.split(rng_key)
    z, data = simulate(fitted, model_key, num_data, context)
    keys = jax.random.split(guide_key, num_data)
    found = jax.device_get(_rank_draws(fitted.vae.eval(), fitted.values, keys, z, data, num_draws))
    sites = {name: _site(found[name], levels, num_draws) for name in found}
    return Calibration(sites, tuple(levels), num_data, num_draws)


def to_datatree(found: Calibration) -> Any:
    """Return the ``pit`` of all sites as ArviZ takes it, in group ``prior_sbc``.

    Simulations are draws of one chain. ``arviz_plots.plot_ecdf_pit(tree)`` draws the ECDF of each unit
    with simultaneous bands, and with ``coverage=True`` that of the central intervals.

    Raises:
        ImportError: without ``xarray``: ``pip install 'probvae[arviz]'``.
    """
    try:
        import xarray as xr
    except ImportError as error:
        raise ImportError("to_datatree needs xarray: pip install 'probvae[arviz]'.") from error
    variables: dict[str, Any] = {}
    coordinates: dict[str, Any] = {"chain": [0], "draw": np.arange(found.num_data)}
    for name, site in found.sites.items():
        unit = "latent" if name == "z" else f"{name}_latent"
        variables[name] = (["chain", "draw", unit], site.pit[None])
        coordinates[unit] = unit_names(site.pit.shape[-1])
    return xr.DataTree.from_dict({"prior_sbc": xr.Dataset(variables, coords=coordinates)})


def _check_draws(num_draws: Any, levels: Any) -> None:
    check_positive_integer("num_draws", num_draws)
    if num_draws < LEAST_DRAWS:
        raise ValueError(
            f"calibration expects at least {LEAST_DRAWS} draws of q for each simulation; got "
            f"{num_draws}. Take num_draws=200 or so."
        )
    check_kind("levels", tuple(levels) if isinstance(levels, list) else levels, tuple[float, ...])
    if not levels or not all(0 < level < 1 for level in levels):
        raise ValueError(f"levels expects shares in (0, 1), such as (0.5, 0.9); got {levels}.")


@partial(compile_program, static_argnames=("vae", "num_draws"))
def _rank_draws(
    vae: Any, values: Params, keys: jax.Array, z: Any, data: Batch, num_draws: int
) -> dict[str, tuple[jax.Array, ...]]:
    """Return for each site and unit: rank, a uniform number, and (z - mean of q) / sd of q."""

    def one(row: tuple) -> dict[str, tuple[jax.Array, ...]]:
        key, z, datum = row
        tie_key, key = jax.random.split(key)
        told = tuple(jax.tree.map(lambda a: a[None], datum))

        def draw(key: RngKey) -> dict[str, jax.Array]:
            trace = trace_guide(key, values, vae.guide, told, {})
            return {name: trace[name]["value"][0] for name in latent_sites(trace) if name in z}

        drawn = jax.vmap(draw)(jax.random.split(key, num_draws))
        return {
            name: _place_ranks(jax.random.fold_in(tie_key, i), z[name].ravel(), drawn[name])
            for i, name in enumerate(sorted(z))
        }

    return jax.lax.map(one, (keys, z, data), batch_size=rows_per_block(len(keys), num_draws))


def _place_ranks(key: RngKey, z: jax.Array, draws: jax.Array) -> tuple[jax.Array, ...]:
    draws = draws.reshape(len(draws), -1)
    tie_key, key = jax.random.split(key)
    below, equal = (draws < z).sum(0), (draws == z).sum(0)
    rank = below + jax.random.randint(tie_key, z.shape, 0, equal + 1)
    residual = (z - draws.mean(0)) / draws.std(0, ddof=1)
    return rank, jax.random.uniform(key, z.shape), jnp.where(jnp.ptp(draws, 0) > 0, residual, jnp.nan)


def _site(placed: tuple[np.ndarray, ...], levels: tuple[float, ...], num_draws: int) -> SiteCalibration:
    rank, u, residual = placed
    pit = (rank + u.astype(float)) / (num_draws + 1)
    coverage = np.stack([(np.abs(2 * pit - 1) <= level).mean(0) for level in levels])
    mean, spread = _moments(residual.astype(float))
    return SiteCalibration(rank, pit, coverage, mean / spread, spread, *uniformity(pit), *symmetry(pit))


def _moments(residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each column, without nan; nan where nothing is left."""
    kept = np.isfinite(residual)
    count = np.maximum(kept.sum(0), 1)
    mean = np.where(kept, residual, 0.0).sum(0) / count
    square = np.where(kept, (residual - mean) ** 2, 0.0).sum(0) / np.maximum(count - 1, 1)
    enough = kept.sum(0) > 1
    return np.where(enough, mean, math.nan), np.sqrt(np.where(enough, square, math.nan))
