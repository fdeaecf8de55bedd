"""The guide against NUTS: the posterior of z by chains, for a few data."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from numpyro.infer import MCMC, NUTS, init_to_sample

from probvae.batching import Rows, map_blocks, map_rows
from probvae.checks import check_key, check_positive_integer
from probvae.compilation import compile_program
from probvae.criticism.datatree_variables import unit_names
from probvae.criticism.observed import apply_noise
from probvae.criticism.posterior.unconstrained import draw_posterior_codes, join_sites
from probvae.evidence import Batch, check_density, check_one_decoder
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.fitted.queries import posterior_programs
from probvae.tracing import Site, trace_structure
from probvae.typing import Params, RngKey

R_HAT = 1.01  # Vehtari et al. 2021, section 4: above it chains have not mixed
AT_A_TIME = 16  # data in one vectorised block: all wait for the deepest tree among them


class ReferenceChains(NamedTuple):
    """How q(z|x) differs from the posterior p(z|x) by NUTS, per datum (n) and unit of the code.

    Units of a hierarchy come site after site, by name. ``(n, units)`` where nothing else is said:

    ``shift``: mean of q minus mean of the chains, in standard deviations of the chains, with its Monte
    Carlo ``shift_standard_error``. ``scale_ratio``: standard deviation of q over that of the chains
    (below 1: q is narrower), with ``scale_ratio_standard_error``. ``correlation_difference`` ``(n,
    units, units)``: correlations of q minus those of the chains; ``skewness_difference``: third
    standardised moments likewise. ``mean`` and ``standard_deviation`` are the chains' own. ``r_hat``
    and ``ess`` (bulk) are ArviZ's of the chains, ``divergences`` ``(n,)`` counts divergent steps, and
    ``converged`` ``(n,)`` is false where an ``r_hat`` exceeds 1.01 (or is nan): of such a datum nothing
    is known. ``chains`` ``(n, num_chains, num_samples, units)`` are the draws of the chains, and
    ``draws``, of the same shape, draws of q(z|x).
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
        """Return the draws as ArviZ's functions take them: ``z`` by NUTS, and ``z_guide`` by q(z|x).

        Both have dimensions chain, draw, datum and latent. ``arviz_stats.summary(tree)`` gives R-hat
        and ESS, and ``plot_forest(tree)`` has the intervals of both.

        Raises:
            ImportError: without ``xarray``: ``pip install 'probvae[arviz]'``.
        """
        try:
            import xarray as xr
        except ImportError as error:
            raise ImportError("to_datatree needs xarray: pip install 'probvae[arviz]'.") from error
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


def reference_chains(
    fitted: Fitted,
    x: Any,
    *,
    rng_key: RngKey,
    num_chains: int = 4,
    num_warmup: int = 500,
    num_samples: int = 1000,
) -> ReferenceChains:
    """Draw the posterior of z for each datum by NUTS, and compare the guide with it.

    The chains run on ``fitted.model`` given x, each datum a model of its own with its own step size
    and metric, and start at draws of the prior: they know nothing of the guide. As many draws of
    q(z|x) are taken as there are of the chains. Take few data (16, say): each costs some
    ``num_chains * (num_warmup + num_samples)`` trees of decoder gradients.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``; where the likelihood adds noise
            (``Spread``), all is about one noisy draw of them.
        rng_key: a typed key.
        num_chains: chains per datum, at least 2.
        num_warmup: steps of each that adapt, and are left out.
        num_samples: draws of each that are kept.

    Raises:
        ImportError: without ``arviz-stats``: ``pip install 'probvae[arviz]'``.
        ValueError: for a code that NUTS cannot move (discrete, or on a sphere), a part that is no
            density, or data that do not fit.

    Reference: Hoffman and Gelman 2014, arXiv:1111.4246; R-hat and ESS: Vehtari et al. 2021,
    arXiv:1903.08008.
    """
    check_fitted(fitted)
    _check(fitted.vae, rng_key, num_chains, num_warmup=num_warmup, num_samples=num_samples)
    noise_key, chain_key, guide_key = jax.random.split(rng_key, 3)
    data = apply_noise(fitted, x, noise_key)
    told, plan = (fitted.vae.eval(), fitted.values), _Plan(num_chains, num_warmup, num_samples)
    chains, divergences = map_blocks(partial(_chains, *told, plan=plan), data, chain_key)
    drawn = partial(draw_posterior_codes, *told, num_draws=num_chains * num_samples)
    draws = map_blocks(drawn, data, guide_key)
    return _compare_draws(np.asarray(chains, np.float64), np.asarray(draws, np.float64), divergences)


def _check(vae: Any, rng_key: Any, num_chains: Any, **counts: Any) -> None:
    check_key(rng_key)
    check_density(vae)
    check_one_decoder(vae, "NUTS")
    for name, count in {**counts, "num_chains": num_chains}.items():
        check_positive_integer(name, count)
    if num_chains < 2:
        raise ValueError("num_chains expects at least 2: R-hat compares chains; got 1.")
    if counts["num_samples"] < 4:
        raise ValueError(f"num_samples expects at least 4, for R-hat; got {counts['num_samples']}.")
    for name, site in trace_structure(vae).model.items():
        if site.support != "real":
            raise ValueError(_refusal(type(vae.prior).__name__, name, site))


def _refusal(prior: str, name: str, site: Site) -> str:
    if site.discrete:
        return (
            f'NUTS moves a code by gradients, and the prior {prior} draws a discrete one at "{name}": '
            "sum over the states instead, which is exact: p(z|x) = p(x, z) / sum_z p(x, z)."
        )
    return (
        f'NUTS moves codes in R^n, and the prior {prior} draws codes on a {site.support} at "{name}". '
        "Judge the guide there by importance weights (fitted.log_prob), or by calibration."
    )


@partial(compile_program, static_argnames=("vae", "plan"))
def _chains(vae: Any, values: Params, rows: Rows, plan: _Plan) -> tuple[jax.Array, jax.Array]:
    """Return draws ``(n, chains, samples, units)`` and counts of divergences ``(n,)``."""
    model = posterior_programs(vae.model, values)

    def one_datum(key: RngKey, datum: Batch) -> tuple[jax.Array, jax.Array]:
        mcmc = MCMC(
            NUTS(model, init_strategy=init_to_sample),
            **plan._asdict(),
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(key, *jax.tree.map(lambda a: a[None], datum), extra_fields=("diverging",))
        return join_sites(mcmc.get_samples(group_by_chain=True), 2), mcmc.get_extra_fields()[
            "diverging"
        ].sum()

    return map_rows(one_datum, rows, rows.keys, rows.data, at_a_time=AT_A_TIME)


def _compare_draws(chains: np.ndarray, draws: np.ndarray, divergences: np.ndarray) -> ReferenceChains:
    """Compare ``(n, chains, samples, units)`` with ``(n, draws, units)``."""
    stats = _arviz()
    by_unit = np.moveaxis(chains, -1, 1)  # ArviZ's axes: chain, draw
    with np.errstate(divide="ignore", invalid="ignore"):  # chains that stand still
        r_hat, ess = stats.rhat(by_unit), stats.ess(by_unit)
        of_mean, of_deviation = (stats.mcse(by_unit, method=method) for method in ("mean", "sd"))
    reference = chains.reshape(len(chains), -1, chains.shape[-1])
    (m, s, correlation, skewness), (m_q, s_q, correlation_q, skewness_q) = map(
        _moments, (reference, draws)
    )
    ratio, k = s_q / s, draws.shape[1]
    return ReferenceChains(
        shift=(m_q - m) / s,
        shift_standard_error=np.sqrt((of_mean / s) ** 2 + ratio**2 / k),
        scale_ratio=ratio,
        scale_ratio_standard_error=ratio * np.sqrt((of_deviation / s) ** 2 + 1 / (2 * k)),
        correlation_difference=correlation_q - correlation,
        skewness_difference=skewness_q - skewness,
        mean=m,
        standard_deviation=s,
        r_hat=r_hat,
        ess=ess,
        divergences=divergences,
        converged=(r_hat <= R_HAT).all(-1),
        chains=chains,
        draws=draws.reshape(chains.shape),
    )


def _moments(z: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return mean, standard deviation, correlations and skewness of draws ``(n, draws, units)``."""
    mean, deviation = z.mean(1), z.std(1, ddof=1)
    unit = (z - mean[:, None]) / deviation[:, None]
    correlation = np.einsum("nki,nkj->nij", unit, unit) / (z.shape[1] - 1)
    return mean, deviation, correlation, (unit**3).mean(1)


def _arviz() -> Any:
    try:
        from arviz_stats.base import array_stats
    except ImportError as error:
        raise ImportError(
            "reference_chains needs arviz-stats: pip install 'probvae[arviz]'."
        ) from error
    return array_stats
