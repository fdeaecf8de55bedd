"""A fitted VAE and data in ArviZ's form."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import Independent, biject_to

from probvae.checks import check_draw_arguments
from probvae.compilation import compile_program
from probvae.criticism.datatree_variables import (
    build_variables,
    entries_dataset,
    find_columns,
    unit_names,
)
from probvae.criticism.posterior.pareto import LEAST_PARTICLES, from_log_weights
from probvae.evidence import Batch, check_density
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.fitted.sweep import Sweep
from probvae.objectives import terms
from probvae.objectives.terms import trace_programs
from probvae.typing import RngKey

MAX_VALUES = 10_000_000  # of each predictive group, 40 MB: larger events keep every k-th draw
MIN_PREDICTIVE = 25  # draws of each chain are kept all the same: plots show 50 draws
GIVEN_Z = "_given_z"  # ends the names in log_likelihood: none is a namesake of an observed variable
NOT_FOR_LOO = "not_for_loo_use_probvae_criticism_elpd"
DRAWS = ("chain", "draw")


def to_datatree(
    fitted: Fitted | Sweep,
    x: Any,
    *,
    rng_key: RngKey,
    num_samples: int = 250,
    num_chains: int = 4,
    column_names: Sequence[str] | None = None,
    per_entry: bool = False,
) -> Any:
    """Return draws of q(z|x) and what belongs to them as an ``xarray.DataTree``, ArviZ's own form.

    ArviZ's functions take the tree without a keyword. ``docs/arviz.md`` lists them, with those that
    make no sense here. Groups:

    - ``posterior``: independent draws of the guide's sites, with dimensions ``chain``, ``draw``,
      ``datum``, ``latent``. Sites other than ``"z"`` have a dimension of their own, as ``y_latent``.
      If there is one site of real numbers, ``z_mean`` is its mean over rows and units.
    - ``unconstrained_posterior``: the same in R^n, for sites on a simplex or in an interval.
    - ``posterior_predictive``: x ~ p(x|z) at each draw. ``prior`` and ``prior_predictive``: as many
      draws of the model.
    - ``observed_data``: x, with NaN where the mask says that an entry is missing.
    - ``constant_data``: the context, as ``context_0`` and so on, and a mask for each observed variable,
      such as ``x_0_mask``, true where it is observed.
    - ``log_prior``: log p(z) of each site, per row. ``log_likelihood``: log p(x|z) per row, as
      ``x_given_z``, or with ``per_entry`` per entry. Nats. ArviZ's ``psense`` functions sum both
      over rows, and the other rows add noise: ``psense_per_row`` takes each row by itself.
      ``arviz_stats.loo`` refuses the tree, because p(x|z) is not the predictive density of a row.
      Use ``elpd``, which integrates z out.
    - ``sample_stats``: ``log_weight``, log p(x, z) - log q(z|x), ``kl``, ``elpd``'s ``k_hat`` per row
      from 100 draws on, and ``elbo``, log p(x|z) - kl. Nats.

    Data of one axis with at most 20 columns have a variable for each column. Larger data have one flat
    variable ``x`` (``x_<block>`` for each block of a ``Joint``). ``events`` gives the arrays back.
    Predictive groups of large events keep every k-th draw, so that each has about 10^7 values.

    Args:
        fitted: a fitted VAE. For a sweep, every member's tree side by side, along ``member``.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``. If the likelihood adds noise
            (``Spread``), all groups are about one noisy draw of them.
        rng_key: a typed key.
        num_samples: draws of z per row and chain.
        num_chains: chains. Draws are independent within and between them, and ArviZ's rank plots
            need at least two.
        column_names: a name for each column of x. A data frame has names already.
        per_entry: give log p(x|z) per entry. The likelihood must factorise.

    Raises:
        ImportError: without ``xarray``: ``pip install 'probvae[arviz]'``.
        ValueError: if a part is no density, because there are no log weights then.
    """
    if isinstance(fitted, Sweep):
        from probvae.criticism.sweep_datatree import stack_trees

        options: dict[str, Any] = {"rng_key": rng_key, "num_samples": num_samples}
        options |= {"num_chains": num_chains, "column_names": column_names, "per_entry": per_entry}
        return stack_trees(fitted, partial(to_datatree, x=x, **options))
    check_fitted(fitted)
    _check_xarray()
    vae = fitted.vae
    check_density(vae)
    check_draw_arguments(rng_key, num_samples=num_samples, num_chains=num_chains)
    if per_entry and not vae.likelihood.factorises:
        raise ValueError(
            f"per_entry needs a likelihood that factorises over entries, and "
            f"{type(vae.likelihood).__name__} does not. Leave per_entry=False."
        )
    variables = build_variables(vae, column_names or _frame_columns(x))
    data = fitted.check_data(x)
    data = data._replace(x=vae.observe(jax.random.fold_in(rng_key, num_samples), data.x))
    thin = _thinning(num_samples, num_chains * len(data.x) * math.prod(vae.event_shape))
    run = partial(_draws, vae.eval(), fitted.values, data=data, num_samples=num_samples)
    keys = jax.random.split(rng_key, num_chains)
    chains = [jax.device_get(run(key, thin=thin, per_entry=per_entry)) for key in keys]
    arrays = jax.tree.map(lambda *draws: np.stack(draws), *chains)
    return _tree(arrays, Batch(*map(_as_numpy, data)), variables, vae.event_shape, thin)


def _check_xarray() -> None:
    try:
        import xarray  # noqa: F401
    except ImportError as error:
        raise ImportError("to_datatree needs xarray: pip install 'probvae[arviz]'.") from error


def _frame_columns(x: Any) -> list[str] | None:
    """Return the names of a data frame's columns; None for anything else."""
    columns = getattr(x.x if isinstance(x, Batch) else x, "columns", None)
    if columns is None or not all(isinstance(name, str) for name in columns):
        return None
    return list(columns)


def _as_numpy(array: Any) -> np.ndarray | None:
    return None if array is None else np.asarray(array)


def _thinning(num_samples: int, values_per_draw: int) -> int:
    """Return k, where the predictive groups keep every k-th draw."""
    most = max(MIN_PREDICTIVE, MAX_VALUES // values_per_draw)
    return -(-num_samples // most)


class _Drawn(NamedTuple):
    """Draws by variable, with axes draw and datum first."""

    posterior: dict[str, Any]
    unconstrained: dict[str, Any]
    prior: dict[str, Any]
    log_prior: dict[str, Any]
    log_likelihood: Any  # of rows, or of entries
    sample_stats: dict[str, Any]
    posterior_predictive: Any
    prior_predictive: Any


@partial(compile_program, static_argnames=("vae", "num_samples", "thin", "per_entry"))
def _draws(
    vae: Any,
    values: Any,
    rng_key: RngKey,
    data: Batch,
    *,
    num_samples: int,
    thin: int,
    per_entry: bool,
) -> _Drawn:
    """Return draws of all groups, x of every ``thin``-th one only."""

    def draw(key: RngKey) -> _Drawn:
        posterior_key, prior_key, *x_keys = jax.random.split(key, 4)
        read = terms(posterior_key, values, vae.model, vae.guide, *data)
        guide, model = trace_programs(posterior_key, values, vae.model, vae.guide, tuple(data), {})
        prior = handlers.substitute(handlers.seed(vae.model, prior_key), values)
        drawn = handlers.trace(prior).get_trace(*data)
        return _Drawn(
            posterior=_with_mean({name: guide[name]["value"] for name in read.kl}),
            unconstrained=_unconstrained({name: guide[name] for name in read.kl}),
            prior=_with_mean({name: drawn[name]["value"] for name in read.kl}),
            log_prior=read.log_prior,
            log_likelihood=_entry_log_prob(model["x"]) if per_entry else read.log_likelihood,
            sample_stats={
                "log_weight": read.log_weight,
                "elbo": read.log_likelihood - read.total_kl,
                "kl": read.total_kl,
            },
            posterior_predictive=model["x"]["fn"].sample(x_keys[0]),
            prior_predictive=drawn["x"]["fn"].sample(x_keys[1]),
        )

    def draw_several(keys: jax.Array) -> _Drawn:
        several = jax.lax.map(draw, keys)
        return several._replace(
            posterior_predictive=several.posterior_predictive[0],
            prior_predictive=several.prior_predictive[0],
        )

    # x of all draws would not fit in memory for large events. So draws come in runs of `thin`,
    # and only the first draw of each run keeps its x.
    keys = jax.random.split(rng_key, num_samples)
    runs = -(-num_samples // thin)
    index = jnp.minimum(jnp.arange(runs * thin), num_samples - 1).reshape(runs, thin)
    drawn = jax.lax.map(draw_several, keys[index])
    joined = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:num_samples], drawn)
    return joined._replace(
        posterior_predictive=drawn.posterior_predictive, prior_predictive=drawn.prior_predictive
    )


def _with_mean(sites: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Return the values of sites; of a single site of real numbers, with their mean.

    ArviZ's power-scaling plots need a second variable: ``arviz_base.extract`` returns an array, not a
    dataset, for a posterior that has only one, and the plots then fail. The mean adds one panel to a
    plot. A number per row would add as many as there are rows, and ArviZ 1 stops at 40 panels.
    """
    if len(sites) > 1:
        return sites
    ((name, z),) = sites.items()
    real = jnp.issubdtype(z.dtype, jnp.floating)
    return {**sites, f"{name}_mean": z.mean()} if real else sites


def _unconstrained(sites: dict[str, dict]) -> dict[str, jax.Array]:
    """Return the values of constrained sites in R^n, of those that a bijection takes there."""
    found = {}
    for name, site in sites.items():
        support = site["fn"].support
        base = support
        while hasattr(base, "base_constraint"):
            base = base.base_constraint
        try:
            transform = biject_to(support)
        except (NotImplementedError, TypeError):  # discrete states, or a sphere
            continue
        if type(base).__name__ != "_Real":
            found[name] = transform.inv(site["value"])
    return found


def _entry_log_prob(site: dict) -> jax.Array:
    """Return log p(x_j|z) of each entry; 0 where it is missing."""
    p = site["fn"]
    while isinstance(p, Independent):
        p = p.base_dist
    return p.log_prob(site["value"])


def _tree(drawn: _Drawn, data: Batch, variables: list, event_shape: tuple, thin: int) -> Any:
    import xarray as xr

    coordinates = {"chain": np.arange(len(drawn.log_likelihood))}
    num_draws = next(iter(drawn.posterior.values())).shape[1]
    coordinates["draw"] = np.arange(num_draws)
    kept = {**coordinates, "draw": np.arange(0, num_draws, thin)}
    masked = data.x if data.mask is None else np.where(data.mask, data.x, np.nan)
    groups = {
        "posterior": _site_dataset(drawn.posterior, coordinates),
        "unconstrained_posterior": _site_dataset(drawn.unconstrained, coordinates),
        "prior": _site_dataset(drawn.prior, coordinates),
        "log_prior": _row_dataset(drawn.log_prior, coordinates),
        "log_likelihood": _log_likelihood(drawn.log_likelihood, variables, coordinates, event_shape),
        "sample_stats": _row_dataset(drawn.sample_stats, coordinates),
        "posterior_predictive": entries_dataset(
            variables, drawn.posterior_predictive, kept, event_shape
        ),
        "prior_predictive": entries_dataset(variables, drawn.prior_predictive, kept, event_shape),
        "observed_data": entries_dataset(variables, masked, {}, event_shape),
        "constant_data": _constant_data(data, variables, event_shape),
    }
    log_weight = drawn.sample_stats["log_weight"]
    log_weight = log_weight.reshape(-1, log_weight.shape[-1])
    if len(log_weight) >= LEAST_PARTICLES:
        groups["sample_stats"]["k_hat"] = ("datum", from_log_weights(log_weight).k_hat)
    return xr.DataTree.from_dict({name: group for name, group in groups.items() if group.data_vars})


def _row_dataset(arrays: dict[str, np.ndarray], coordinates: dict[str, Any]) -> Any:
    """Return numbers per row, ``(chain, draw, n)``."""
    import xarray as xr

    n = next(iter(arrays.values())).shape[2]
    dims = [*DRAWS, "datum"]
    return xr.Dataset(
        {name: (dims, values) for name, values in arrays.items()},
        coords={**coordinates, "datum": np.arange(n)},
    )


def _site_dataset(arrays: dict[str, np.ndarray], coordinates: dict[str, Any]) -> Any:
    """Return values of sites, ``(chain, draw, n, units)``."""
    import xarray as xr

    variables: dict[str, Any] = {}
    units: dict[str, Any] = {}
    for name, values in arrays.items():
        unit = "latent" if name == "z" else f"{name}_latent"
        variables[name] = ([*DRAWS, "datum", unit][: values.ndim], values)
        units |= {"datum": np.arange(values.shape[2])} if values.ndim > 2 else {}
        units |= {unit: unit_names(values.shape[3])} if values.ndim > 3 else {}
    return xr.Dataset(variables, coords={**coordinates, **units})


def _log_likelihood(
    values: np.ndarray, variables: list, coordinates: dict[str, Any], event_shape: tuple
) -> Any:
    """Return log p(x|z), with a second variable of zeros.

    ``arviz_stats.loo`` takes one variable only. It would score a row by p(x|z) at codes that were
    inferred from that very row, which is no predictive density. Power scaling sums the variables of
    the group, and needs p(x|z), so the group cannot be left out. The second variable makes ``loo``
    raise, and its name, which the message shows, says what to use.
    """
    dims = [*DRAWS, "datum"]
    if values.ndim == 3:
        dataset = _row_dataset({f"x{GIVEN_Z}": values}, coordinates)
    else:
        places = [variable._replace(discrete=False) for variable in variables]
        dataset = entries_dataset(places, values, coordinates, event_shape)
        dataset = dataset.rename({variable.name: f"{variable.name}{GIVEN_Z}" for variable in places})
    n = values.shape[2]
    return dataset.assign({NOT_FOR_LOO: (dims, np.zeros((*values.shape[:2], n), values.dtype))})


def _constant_data(data: Batch, variables: list, event_shape: tuple) -> Any:
    """Return the context, a variable for each of its columns where they are few, and the mask."""
    import xarray as xr

    datasets = []
    if data.context is not None:
        shape = data.context.shape[1:]
        datasets.append(entries_dataset(find_columns("context", shape), data.context, {}, shape))
    if data.mask is not None:
        real = [variable._replace(discrete=False) for variable in variables]
        masks = entries_dataset(real, data.mask, {}, event_shape)
        names = {variable.name: f"{variable.name}_mask" for variable in variables}
        datasets.append(masks.rename(names))
    return xr.merge(datasets, combine_attrs="drop") if datasets else xr.Dataset()
