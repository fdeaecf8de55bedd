"""The guide against NUTS chains of the posterior p(z|x), for a few data."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from numpyro.infer import MCMC, NUTS, init_to_sample

from probvae.batching import Rows, map_blocks, map_rows
from probvae.checks import check_draw_arguments
from probvae.compilation import compile_program
from probvae.criticism.datatree_variables import import_xarray, unit_names
from probvae.criticism.observed import observe
from probvae.criticism.posterior.pareto import import_array_stats
from probvae.criticism.posterior.unconstrained import draw_posterior_codes, join_sites
from probvae.evidence import Batch, check_density, check_exact_density, check_one_decoder
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.fitted.queries import posterior_programs
from probvae.short_repr import short_repr
from probvae.tracing import Site, trace_structure
from probvae.typing import DataLike, Params, RngKey
from probvae.vae import VAE

MAX_R_HAT = 1.01  # Vehtari et al. 2021, section 4: above it chains have not mixed
BATCH_SIZE = 16  # data in one vectorized block, which all wait for the deepest tree among them


@short_repr
class ReferenceChains(NamedTuple):
    """How q(z|x) differs from the posterior p(z|x) by NUTS, per datum (n) and unit of the code.

    The units of a hierarchy come site after site, by name. Arrays are ``(n, units)`` unless stated.

    - ``shift`` is the mean of q minus the mean of the chains, in standard deviations of the chains,
      with its Monte Carlo ``shift_standard_error``.
    - ``scale_ratio`` is the standard deviation of q over that of the chains (below 1: q is narrower),
      with its ``scale_ratio_standard_error``.
    - ``correlation_difference`` ``(n, units, units)`` is the correlations of q minus those of the
      chains. ``skewness_difference`` is the same for third standardized moments.
    - ``mean`` and ``standard_deviation`` are the chains' own.
    - ``r_hat`` and ``ess`` (bulk) are ArviZ's of the chains. ``divergences`` ``(n,)`` counts divergent
      steps. ``converged`` ``(n,)`` is false where an ``r_hat`` exceeds 1.01 or is nan. Do not use the
      other numbers of such a datum.
    - ``chains`` ``(n, num_chains, num_samples, units)`` are the draws of the chains, and ``draws``, of
      the same shape, draws of q(z|x).
    """

    shift: np.ndarray
    shift_standard_error: np.ndarray
    scale_ratio: np.ndarray
    scale_ratio_standard_error: np.ndarray
    correlation_difference: np.ndarray
    skewness_difference: np.ndarray
    mean: np.ndarray
    standard_deviation: np.ndarray
    r_hat: np.ndarray
    ess: np.ndarray
    divergences: np.ndarray
    converged: np.ndarray
    chains: np.ndarray
    draws: np.ndarray

    def to_datatree(self) -> Any:
        """Return the draws for ArviZ's functions: ``z`` by NUTS, and ``z_guide`` by q(z|x).

        Both have the dimensions chain, draw, datum and latent. ``arviz_stats.summary(tree)`` gives
        R-hat and ESS, and ``plot_forest(tree)`` shows the intervals of both.

        Raises:
            ImportError: without ``xarray``. Run ``pip install 'probvae[arviz]'``.
        """
        xr = import_xarray("to_datatree")
        dims = ("chain", "draw", "datum", "latent")
        arrays = {
            name: (dims, np.moveaxis(values, 0, 2))
            for name, values in (("z", self.chains), ("z_guide", self.draws))
        }
        sizes = dict(zip(("datum", "chain", "draw", "latent"), self.chains.shape, strict=True))
        coordinates: dict[str, Any] = {name: np.arange(size) for name, size in sizes.items()}
        coordinates["latent"] = unit_names(sizes["latent"])
        statistics = {name: ("datum", getattr(self, name)) for name in ("divergences", "converged")}
        groups = {
            "posterior": xr.Dataset(arrays, coords=coordinates),
            "sample_stats": xr.Dataset(statistics, coords={"datum": coordinates["datum"]}),
        }
        return xr.DataTree.from_dict(groups)


class _Plan(NamedTuple):
    num_chains: int
    num_warmup: int
    num_samples: int


class _Moments(NamedTuple):
    mean: np.ndarray  # (n, units)
    deviation: np.ndarray  # (n, units)
    correlation: np.ndarray  # (n, units, units)
    skewness: np.ndarray  # (n, units)


def reference_chains(
    fitted: Fitted,
    x: DataLike,
    *,
    rng_key: RngKey,
    num_chains: int = 4,
    num_warmup: int = 500,
    num_samples: int = 1000,
) -> ReferenceChains:
    """Draw the posterior of z for each datum by NUTS, and compare the guide with it.

    The chains run on ``fitted.model`` given x. Each datum is a model of its own, with its own step size
    and metric. The chains start at draws of the prior, so they do not depend on the guide. q(z|x) gets
    as many draws as the chains. Use few data, such as 16: each costs about
    ``num_chains * (num_warmup + num_samples)`` trees of decoder gradients.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``. If the likelihood adds noise
            (``Spread``), the results are about one noisy draw of them.
        rng_key: a typed key.
        num_chains: chains per datum, at least 2.
        num_warmup: steps of each chain that adapt and are discarded.
        num_samples: draws of each chain after these, at least 4.

    Raises:
        ImportError: without ``arviz-stats``. Run ``pip install 'probvae[arviz]'``.
        ValueError: for a code that NUTS cannot move (discrete, or on a sphere), a part that has no
            density, or invalid data.

    Reference: Hoffman and Gelman 2014, arXiv:1111.4246; R-hat and ESS: Vehtari et al. 2021,
    arXiv:1903.08008.
    """
    check_fitted(fitted)
    check_draw_arguments(rng_key, num_warmup=num_warmup, num_samples=num_samples, num_chains=num_chains)
    if num_chains < 2:
        raise ValueError("num_chains expects at least 2, because R-hat compares chains; got 1.")
    if num_samples < 4:
        raise ValueError(f"num_samples expects at least 4, for R-hat; got {num_samples}.")
    check_density(fitted.vae)
    check_one_decoder(fitted.vae, "reference_chains")
    check_exact_density(fitted.vae, "reference_chains")
    for name, site in trace_structure(fitted.vae).model.items():
        if site.support != "real":
            raise ValueError(_explain_immovable(type(fitted.vae.prior).__name__, name, site))
    noise_key, chain_key, guide_key = jax.random.split(rng_key, 3)
    data = observe(fitted, x, noise_key)
    vae, values = fitted.vae.eval(), fitted.values
    plan = _Plan(num_chains, num_warmup, num_samples)
    run_chains = partial(_run_chains, vae, values, plan=plan)
    chains, divergences = map_blocks(run_chains, data, chain_key)
    draw_guide = partial(draw_posterior_codes, vae, values, num_draws=num_chains * num_samples)
    draws = map_blocks(draw_guide, data, guide_key)
    return _compare_draws(np.asarray(chains, np.float64), np.asarray(draws, np.float64), divergences)


def _explain_immovable(prior: str, name: str, site: Site) -> str:
    if site.discrete:
        return (
            f'NUTS moves a code by gradients, and the prior {prior} draws a discrete code at "{name}". '
            "Sum over the states instead, which is exact: p(z|x) = p(x, z) / sum_z p(x, z)."
        )
    return (
        f'NUTS moves codes in R^n, and the prior {prior} draws codes on a {site.support} at "{name}". '
        "Judge the guide by importance weights (fitted.log_prob) or by calibration (sbc)."
    )


@partial(compile_program, static_argnames=("vae", "plan"))
def _run_chains(vae: VAE, values: Params, rows: Rows, plan: _Plan) -> tuple[jax.Array, jax.Array]:
    """Return draws ``(n, chains, samples, units)`` and counts of divergences ``(n,)``."""
    model = posterior_programs(vae.model, values)

    # NumPyro's NUTS is itself a traced loop, so vmap over data runs all of them in one program, each
    # with its own adaptation. A tree ends for all rows of a batch when the deepest one ends.
    def run_datum(key: RngKey, datum: Batch) -> tuple[jax.Array, jax.Array]:
        kernel = NUTS(model, init_strategy=init_to_sample)
        mcmc = MCMC(kernel, **plan._asdict(), chain_method="vectorized", progress_bar=False)
        mcmc.run(key, *jax.tree.map(lambda a: a[None], datum), extra_fields=("diverging",))
        divergences = mcmc.get_extra_fields()["diverging"].sum()
        return join_sites(mcmc.get_samples(group_by_chain=True), 2), divergences

    return map_rows(run_datum, rows, batch_size=BATCH_SIZE)


def _compare_draws(chains: np.ndarray, draws: np.ndarray, divergences: np.ndarray) -> ReferenceChains:
    """Compare ``(n, chains, samples, units)`` with ``(n, draws, units)``."""
    stats = import_array_stats("reference_chains")
    by_unit = np.moveaxis(chains, -1, 1)  # ArviZ's axes: chain, draw
    with np.errstate(divide="ignore", invalid="ignore"):  # chains that do not move
        r_hat, ess = stats.rhat(by_unit), stats.ess(by_unit)
        mean_error, deviation_error = (stats.mcse(by_unit, method=name) for name in ("mean", "sd"))
    p, q = _moments(chains.reshape(len(chains), -1, chains.shape[-1])), _moments(draws)
    ratio, k = q.deviation / p.deviation, draws.shape[1]
    # The chains have the errors that ArviZ estimates from their autocorrelation. Draws of q are
    # independent: their mean has the variance s_q^2 / k, and log s_q about 1 / (2 k), as for a normal.
    return ReferenceChains(
        shift=(q.mean - p.mean) / p.deviation,
        shift_standard_error=np.sqrt((mean_error / p.deviation) ** 2 + ratio**2 / k),
        scale_ratio=ratio,
        scale_ratio_standard_error=ratio * np.sqrt((deviation_error / p.deviation) ** 2 + 1 / (2 * k)),
        correlation_difference=q.correlation - p.correlation,
        skewness_difference=q.skewness - p.skewness,
        mean=p.mean,
        standard_deviation=p.deviation,
        r_hat=r_hat,
        ess=ess,
        divergences=divergences,
        converged=(r_hat <= MAX_R_HAT).all(-1),
        chains=chains,
        draws=draws.reshape(chains.shape),
    )


def _moments(z: np.ndarray) -> _Moments:
    """Return the moments of draws ``(n, draws, units)``, per datum."""
    mean, deviation = z.mean(1), z.std(1, ddof=1)
    standardized = (z - mean[:, None]) / deviation[:, None]
    correlation = np.einsum("nki,nkj->nij", standardized, standardized) / (z.shape[1] - 1)
    return _Moments(mean, deviation, correlation, (standardized**3).mean(1))
