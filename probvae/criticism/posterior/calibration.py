"""Simulation-based calibration: ranks of true codes among draws of q(z|x), without refitting."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.batching import map_arrays
from probvae.checks import check_draw_arguments, check_kind
from probvae.compilation import compile_program
from probvae.criticism.datatree_variables import import_xarray, unit_names
from probvae.criticism.posterior.simulation import simulate
from probvae.criticism.posterior.uniformity import measure_symmetry, measure_uniformity
from probvae.evidence import Batch, check_density
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.objectives.terms import latent_sites, trace_guide
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, Params, RngKey
from probvae.vae import VAE

LEVELS = (0.5, 0.8, 0.9)
MIN_DRAWS = 20  # a rank among fewer says little


class DrawRanks(NamedTuple):
    """z* among draws of q, ``(n, units)``: its rank, a uniform number, and (z* - mean) / sd of q."""

    rank: ArrayLike
    uniform: ArrayLike
    residual: ArrayLike


@short_repr
class SiteCalibration(NamedTuple):
    """z* ~ p(z|x*) among draws of q(z|x*), for each unit of a site, over ``n`` simulations.

    ``rank`` ``(n, units)`` is the number of draws below z*. ``pit`` ``(n, units)`` is (rank + U) /
    (L + 1) with U uniform on (0, 1). It is uniform if q is the posterior. ``coverage`` ``(levels,
    units)`` is the share of z* in q's central interval.

    Let r = (z* - mean of q) / (standard deviation of q). ``shift`` ``(units,)`` is the mean of r over
    its standard deviation, so it is in posterior standard deviations. It is above 0 where q lies too
    low. ``spread`` ``(units,)`` is the standard deviation of r. It is 1 where q is right, and above 1
    where q is too narrow or its mean errs from datum to datum.

    ``uniformity`` is the Kolmogorov-Smirnov distance of ``pit`` from uniform. ``symmetry`` is that of
    ``pit`` from 1 - ``pit``: 0 for a q with the right centre, of any scale. Each has its p-value
    (``uniformity_p_value``, ``symmetry_p_value``), and all are ``(units,)``.
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


@short_repr
class Calibration(NamedTuple):
    """Calibration of each latent site, from ``num_data`` simulations with ``num_draws`` of q each.

    ``sites`` holds the results by site name. ``levels`` are the masses of the central intervals. The
    standard error of a coverage c is sqrt(c (1 - c) / num_data), and that of a shift about
    1 / sqrt(num_data).
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
    """Rank z* among draws of q(z|x*), for pairs (z*, x*) drawn from the model.

    z* is a draw of p(z|x*). So its rank among L draws of q(z|x*) is uniform on 0, ..., L if q is the
    posterior. The converse does not hold: the ranks of q(z|x) = p(z) are uniform too, though it ignores
    x. The guide is amortized, so nothing is fitted here.

    x* is like the model's data, not like yours. With ``Spread`` it includes its noise. Ties, as for
    discrete codes, are broken at random, which keeps the ranks uniform. ``shift`` and ``spread`` skip
    simulations whose draws are all equal.

    Args:
        fitted: a fitted VAE.
        rng_key: a typed key.
        num_data: the number of simulations.
        num_draws: L, for each simulation.
        levels: of the central intervals, each in (0, 1).
        context: ``(num_data, *context_shape)``, for a model that has one.

    Raises:
        ValueError: for too few draws, a level outside (0, 1), or a part that has no density.

    Reference: Talts et al. 2018, arXiv:1804.06788 (ranks); Yao et al. 2018, arXiv:1802.02538
    (symmetry, where each simulation is fitted).
    """
    check_fitted(fitted)
    check_draw_arguments(rng_key, num_data=num_data, num_draws=num_draws)
    _check_options(num_draws, levels)
    check_density(fitted.vae)
    model_key, guide_key = jax.random.split(rng_key)
    z, data = simulate(fitted, model_key, num_data, context)
    keys = jax.random.split(guide_key, num_data)
    ranks = jax.device_get(_rank_draws(fitted.vae.eval(), fitted.values, keys, z, data, num_draws))
    sites = {name: _calibrate_site(ranks[name], levels, num_draws) for name in ranks}
    return Calibration(sites, tuple(levels), num_data, num_draws)


def to_datatree(calibration: Calibration) -> Any:
    """Return the ``pit`` of all sites for ArviZ, in the group ``prior_sbc``.

    Simulations are draws of one chain. ``arviz_plots.plot_ecdf_pit(tree)`` draws the ECDF of each unit
    with simultaneous bands, and with ``coverage=True`` that of the central intervals.

    Raises:
        ImportError: without ``xarray``. Run ``pip install 'probvae[arviz]'``.
    """
    xr = import_xarray("to_datatree")
    variables: dict[str, Any] = {}
    coordinates: dict[str, Any] = {"chain": [0], "draw": np.arange(calibration.num_data)}
    for name, site in calibration.sites.items():
        unit = "latent" if name == "z" else f"{name}_latent"
        variables[name] = (["chain", "draw", unit], site.pit[None])
        coordinates[unit] = unit_names(site.pit.shape[-1])
    return xr.DataTree.from_dict({"prior_sbc": xr.Dataset(variables, coords=coordinates)})


def _check_options(num_draws: int, levels: tuple[float, ...]) -> None:
    if num_draws < MIN_DRAWS:
        raise ValueError(
            f"num_draws expects at least {MIN_DRAWS} draws of q for each simulation; got {num_draws}. "
            "Use num_draws=200."
        )
    check_kind("levels", tuple(levels) if isinstance(levels, list) else levels, tuple[float, ...])
    if not levels or not all(0 < level < 1 for level in levels):
        raise ValueError(f"levels expects shares in (0, 1), such as (0.5, 0.9); got {levels}.")


@partial(compile_program, static_argnames=("vae", "num_draws"))
def _rank_draws(
    vae: VAE, values: Params, keys: jax.Array, z: dict, data: Batch, num_draws: int
) -> dict[str, DrawRanks]:
    """Rank the codes of each site and unit among draws of q."""

    def rank_datum(key: RngKey, z: dict, datum: Batch) -> dict[str, DrawRanks]:
        tie_key, key = jax.random.split(key)
        batch = tuple(jax.tree.map(lambda a: a[None], datum))

        def draw(key: RngKey) -> dict[str, jax.Array]:
            trace = trace_guide(key, values, vae.guide, batch, {})
            return {name: trace[name]["value"][0] for name in latent_sites(trace) if name in z}

        draws = jax.vmap(draw)(jax.random.split(key, num_draws))
        return {
            name: _rank_site(jax.random.fold_in(tie_key, i), z[name].ravel(), draws[name])
            for i, name in enumerate(sorted(z))
        }

    return map_arrays(rank_datum, keys, z, data, rows_each=num_draws)


def _rank_site(key: RngKey, z: jax.Array, draws: jax.Array) -> DrawRanks:
    draws = draws.reshape(len(draws), -1)  # (draws, units)
    tie_key, key = jax.random.split(key)
    below, equal = (draws < z).sum(0), (draws == z).sum(0)
    rank = below + jax.random.randint(tie_key, z.shape, 0, equal + 1)
    residual = (z - draws.mean(0)) / draws.std(0, ddof=1)
    residual = jnp.where(jnp.ptp(draws, 0) > 0, residual, jnp.nan)
    return DrawRanks(rank, jax.random.uniform(key, z.shape), residual)


def _calibrate_site(ranks: DrawRanks, levels: tuple[float, ...], num_draws: int) -> SiteCalibration:
    rank, uniform, residual = (np.asarray(a) for a in ranks)
    pit = (rank + uniform.astype(float)) / (num_draws + 1)
    coverage = np.stack([(np.abs(2 * pit - 1) <= level).mean(0) for level in levels])
    mean, spread = _moments(residual.astype(float))
    tests = *measure_uniformity(pit), *measure_symmetry(pit)
    return SiteCalibration(rank, pit, coverage, mean / spread, spread, *tests)


def _moments(residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and standard deviation of each column without nan. nan for one value or none."""
    finite = np.isfinite(residual)
    count = finite.sum(0)
    mean = np.where(finite, residual, 0.0).sum(0) / np.maximum(count, 1)
    square = np.where(finite, (residual - mean) ** 2, 0.0).sum(0) / np.maximum(count - 1, 1)
    return np.where(count > 1, mean, math.nan), np.sqrt(np.where(count > 1, square, math.nan))
