"""The ArviZ tree of a fitted VAE: draws, predictions, log densities and data."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import Independent, biject_to, constraints

from probvae.checks import check_draw_arguments
from probvae.compilation import compile_program
from probvae.criticism.datatree_variables import (
    Dataset,
    DataTree,
    Variable,
    build_column_variables,
    build_variables,
    entries_dataset,
    import_xarray,
    unit_names,
)
from probvae.criticism.posterior.pareto import LEAST_PARTICLES, from_log_weights
from probvae.evidence import Batch, check_density
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.fitted.sweep import Sweep
from probvae.objectives import terms
from probvae.objectives.terms import trace_programs
from probvae.typing import DataLike, Params, RngKey
from probvae.vae import VAE

MAX_VALUES = 10_000_000  # in each predictive group, 40 MB: larger events keep every k-th draw
MIN_PREDICTIVE = 25  # draws that each chain keeps in any case: plots show 50 draws
GIVEN_Z = "_given_z"  # suffix in log_likelihood, so that no name equals that of an observed variable
NOT_FOR_LOO = "not_for_loo_use_probvae_criticism_elpd"
DRAWS = ("chain", "draw")
SHARED_GROUPS = ("observed_data", "constant_data")  # the same for all members of a sweep


def to_datatree(
    fitted: Fitted | Sweep,
    x: DataLike,
    *,
    rng_key: RngKey,
    num_samples: int = 250,
    num_chains: int = 4,
    column_names: Sequence[str] | None = None,
    per_entry: bool = False,
) -> DataTree:
    """Return draws of q(z|x), predictions and log densities as an ``xarray.DataTree`` for ArviZ.

    You can pass the tree to ArviZ's functions as it is. ``docs/how-to/arviz.md`` lists these functions,
    and those that have no meaning here. Groups:

    - ``posterior``: independent draws of the guide's sites, with dimensions ``chain``, ``draw``,
      ``datum``, ``latent``. Sites other than ``"z"`` have a dimension of their own, as ``y_latent``.
      If the only site holds real numbers, ``z_mean`` is its mean over rows and units.
    - ``unconstrained_posterior``: the same in R^n, for sites on a simplex or in an interval.
    - ``posterior_predictive``: x ~ p(x|z) at each draw.
    - ``prior`` and ``prior_predictive``: the same number of draws from the model.
    - ``observed_data``: x, with NaN where the mask says that an entry is missing.
    - ``constant_data``: the context, as ``context_0`` and so on, and a mask for each observed variable,
      such as ``x_0_mask``, true where it is observed.
    - ``log_prior``: log p(z) of each site, per row, in nats.
    - ``log_likelihood``: log p(x|z) per row as ``x_given_z``, in nats, or per entry with
      ``per_entry``. ArviZ's ``psense`` functions sum both over rows, so the other rows add noise. Use
      ``psense_per_row``. ``arviz_stats.loo`` rejects the tree, because p(x|z) is not the predictive
      density of a row. Use ``elpd``, which integrates z out.
    - ``sample_stats``, in nats: ``log_weight``, log p(x, z) - log q(z|x); ``kl``; ``elbo``,
      log p(x|z) - kl. With at least 100 draws also ``k_hat`` per row, as in ``elpd``.

    Data with one axis and at most 20 columns have one variable per column. Other data have one flat
    variable ``x`` (``x_<block>`` for each block of a ``Joint``). ``events`` returns the arrays.
    Predictive groups of large events keep every k-th draw, so that each has about 10^7 values.

    Args:
        fitted: a fitted VAE, or a sweep: its tree has the members along a dimension ``member``.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``. If the likelihood adds noise
            (``Spread``), all groups describe one noisy draw of the data.
        rng_key: a typed key.
        num_samples: draws of z per row and chain.
        num_chains: the number of chains. Draws are independent within and between chains. ArviZ's rank
            plots need at least two chains.
        column_names: one name per column of x. By default those of a data frame.
        per_entry: return log p(x|z) per entry. The likelihood must factorise over entries.

    Raises:
        ImportError: without ``xarray``. Run ``pip install 'probvae[arviz]'``.
        ValueError: if a part is not a density, because it has no log weights.

    Examples:
        >>> import jax, numpy as np
        >>> from probvae import VAE, fit, likelihoods, to_datatree
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> vae = VAE(event_shape=(3,), latent_dim=2, likelihood=likelihoods.Gaussian())
        >>> fitted = fit(vae, x, rng_key=jax.random.key(0), epochs=2, progress=False)
        >>> tree = to_datatree(fitted, x[:5], rng_key=jax.random.key(1))
        >>> dict(tree["posterior"].sizes)["datum"]
        5
    """
    if isinstance(fitted, Sweep):
        options: dict[str, Any] = {"rng_key": rng_key, "num_samples": num_samples}
        options |= {"num_chains": num_chains, "column_names": column_names, "per_entry": per_entry}
        return _stack_trees(fitted, partial(to_datatree, x=x, **options))
    check_fitted(fitted)
    import_xarray("to_datatree")
    vae = fitted.vae
    check_density(vae)
    check_draw_arguments(rng_key, num_samples=num_samples, num_chains=num_chains)
    if per_entry and not vae.likelihood.factorises:
        raise ValueError(
            f"per_entry expects a likelihood that factorises over entries; got "
            f"{type(vae.likelihood).__name__}. Leave per_entry=False."
        )
    variables = build_variables(vae, column_names or _frame_columns(x))
    data = fitted.check_data(x)
    data = data._replace(x=vae.observe(jax.random.fold_in(rng_key, num_samples), data.x))
    thin = _choose_thinning(num_samples, num_chains * len(data.x) * math.prod(vae.event_shape))
    run = partial(_draw_groups, vae.eval(), fitted.values, data=data, num_samples=num_samples)
    keys = jax.random.split(rng_key, num_chains)
    chains = [jax.device_get(run(key, thin=thin, per_entry=per_entry)) for key in keys]
    groups = jax.tree.map(lambda *draws: np.stack(draws), *chains)
    arrays = Batch(*(None if array is None else np.asarray(array) for array in data))
    return _build_tree(groups, arrays, variables, vae.event_shape, thin)


def _stack_trees(sweep: Sweep, build_tree: Callable[[Fitted], DataTree]) -> DataTree:
    """Return the trees of all members along a dimension ``member``.

    Each member has a coordinate ``key``, the number of its key, and one for each swept value. The
    members are not chains, and R-hat cannot compare them: each key leads to codes with a rotation of
    their own.

    Args:
        sweep: the fitted members.
        build_tree: returns the tree of one member.
    """
    import xarray as xr

    trees = [build_tree(fitted) for fitted in sweep.fitted]
    places = product(range(sweep.num_keys), *sweep.over.values())
    coordinates: dict[str, Any] = {"member": np.arange(len(trees))}
    for name, column in zip(("key", *sweep.over), zip(*places, strict=True), strict=True):
        coordinates[name] = ("member", np.array(column))
    groups = {}
    for name in trees[0].children:
        datasets = [tree[name].to_dataset() for tree in trees]
        groups[name] = datasets[0]
        if name not in SHARED_GROUPS:
            stacked = xr.concat(datasets, "member").assign_coords(coordinates)
            first = [dim for dim in (*DRAWS, "member") if dim in stacked.dims]
            groups[name] = stacked.transpose(*first, ...)
    return xr.DataTree.from_dict(groups)


def _frame_columns(x: DataLike) -> list[str] | None:
    """Return the column names of a data frame, or None for other data."""
    columns = getattr(x.x if isinstance(x, Batch) else x, "columns", None)
    if columns is None or not all(isinstance(name, str) for name in columns):
        return None
    return list(columns)


def _choose_thinning(num_samples: int, values_per_draw: int) -> int:
    """Return k such that every k-th draw of x gives at most ``MAX_VALUES`` values."""
    max_draws = max(MIN_PREDICTIVE, MAX_VALUES // values_per_draw)
    return -(-num_samples // max_draws)


class _Groups(NamedTuple):
    """Draws by variable, with leading axes draw and row (after stacking: chain, draw and row)."""

    posterior: dict[str, Any]
    unconstrained: dict[str, Any]
    prior: dict[str, Any]
    log_prior: dict[str, Any]
    log_likelihood: Any  # per row or per entry
    sample_stats: dict[str, Any]
    posterior_predictive: Any
    prior_predictive: Any


@partial(compile_program, static_argnames=("vae", "num_samples", "thin", "per_entry"))
def _draw_groups(
    vae: VAE,
    values: Params,
    rng_key: RngKey,
    data: Batch,
    *,
    num_samples: int,
    thin: int,
    per_entry: bool,
) -> _Groups:
    """Return draws for all groups, with x of every ``thin``-th draw only."""

    def draw(key: RngKey) -> _Groups:
        posterior_key, prior_key, *x_keys = jax.random.split(key, 4)
        bound_terms = terms(posterior_key, values, vae.model, vae.guide, *data)
        guide, model = trace_programs(posterior_key, values, vae.model, vae.guide, tuple(data), {})
        prior = handlers.substitute(handlers.seed(vae.model, prior_key), values)
        prior_sites = handlers.trace(prior).get_trace(*data)
        return _Groups(
            posterior=_add_mean({name: guide[name]["value"] for name in bound_terms.kl}),
            unconstrained=_unconstrain({name: guide[name] for name in bound_terms.kl}),
            prior=_add_mean({name: prior_sites[name]["value"] for name in bound_terms.kl}),
            log_prior=bound_terms.log_prior,
            log_likelihood=_entry_log_prob(model["x"]) if per_entry else bound_terms.log_likelihood,
            sample_stats={
                "log_weight": bound_terms.log_weight,
                "elbo": bound_terms.log_likelihood - bound_terms.total_kl,
                "kl": bound_terms.total_kl,
            },
            posterior_predictive=model["x"]["fn"].sample(x_keys[0]),
            prior_predictive=prior_sites["x"]["fn"].sample(x_keys[1]),
        )

    def draw_run(keys: jax.Array) -> _Groups:
        run = jax.lax.map(draw, keys)
        return run._replace(
            posterior_predictive=run.posterior_predictive[0],
            prior_predictive=run.prior_predictive[0],
        )

    # For large events, x of all draws would exceed memory. So draws come in runs of `thin` draws,
    # and only the first draw of each run keeps its x.
    keys = jax.random.split(rng_key, num_samples)
    num_runs = -(-num_samples // thin)
    index = jnp.minimum(jnp.arange(num_runs * thin), num_samples - 1)
    runs = jax.lax.map(draw_run, keys[index.reshape(num_runs, thin)])  # (num_runs, thin, n, ...)
    draws = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:num_samples], runs)
    return draws._replace(
        posterior_predictive=runs.posterior_predictive, prior_predictive=runs.prior_predictive
    )


def _add_mean(sites: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Return the values of sites, with their mean if the only site holds real numbers.

    ArviZ's power-scaling plots need a second variable. For a posterior with only one,
    ``arviz_base.extract`` returns an array instead of a dataset, and the plots fail. The mean adds one
    panel to a plot. A number per row would add one panel per row, and ArviZ 1 stops at 40 panels.
    """
    if len(sites) > 1:
        return sites
    ((name, z),) = sites.items()
    real = jnp.issubdtype(z.dtype, jnp.floating)
    return {**sites, f"{name}_mean": z.mean()} if real else sites


def _unconstrain(sites: dict[str, dict]) -> dict[str, jax.Array]:
    """Map the values of constrained sites to R^n, for sites with such a bijection."""
    values = {}
    for name, site in sites.items():
        support = site["fn"].support
        base = support
        while hasattr(base, "base_constraint"):
            base = base.base_constraint
        try:
            transform = biject_to(support)
        except (NotImplementedError, TypeError):  # discrete states, or a sphere
            continue
        if base is not constraints.real:
            values[name] = transform.inv(site["value"])
    return values


def _entry_log_prob(site: dict) -> jax.Array:
    """Return log p(x_j|z) of each entry j. It is 0 for missing entries."""
    p = site["fn"]
    while isinstance(p, Independent):
        p = p.base_dist
    return p.log_prob(site["value"])


def _build_tree(
    draws: _Groups, data: Batch, variables: list[Variable], event_shape: tuple, thin: int
) -> DataTree:
    import xarray as xr

    coordinates = {"chain": np.arange(len(draws.log_likelihood))}
    num_draws = next(iter(draws.posterior.values())).shape[1]
    coordinates["draw"] = np.arange(num_draws)
    thinned = {**coordinates, "draw": np.arange(0, num_draws, thin)}
    masked = data.x if data.mask is None else np.where(data.mask, data.x, np.nan)
    groups = {
        "posterior": _site_dataset(draws.posterior, coordinates),
        "unconstrained_posterior": _site_dataset(draws.unconstrained, coordinates),
        "prior": _site_dataset(draws.prior, coordinates),
        "log_prior": _row_dataset(draws.log_prior, coordinates),
        "log_likelihood": _log_likelihood(draws.log_likelihood, variables, coordinates, event_shape),
        "sample_stats": _row_dataset(draws.sample_stats, coordinates),
        "posterior_predictive": entries_dataset(
            variables, draws.posterior_predictive, thinned, event_shape
        ),
        "prior_predictive": entries_dataset(variables, draws.prior_predictive, thinned, event_shape),
        "observed_data": entries_dataset(variables, masked, {}, event_shape),
        "constant_data": _constant_data(data, variables, event_shape),
    }
    log_weight = draws.sample_stats["log_weight"]
    log_weight = log_weight.reshape(-1, log_weight.shape[-1])
    if len(log_weight) >= LEAST_PARTICLES:
        groups["sample_stats"]["k_hat"] = ("datum", from_log_weights(log_weight).k_hat)
    return xr.DataTree.from_dict({name: group for name, group in groups.items() if group.data_vars})


def _row_dataset(arrays: dict[str, np.ndarray], coordinates: dict[str, Any]) -> Dataset:
    """Return a dataset of numbers per row, ``(chain, draw, n)``."""
    import xarray as xr

    n = next(iter(arrays.values())).shape[2]
    dims = [*DRAWS, "datum"]
    return xr.Dataset(
        {name: (dims, values) for name, values in arrays.items()},
        coords={**coordinates, "datum": np.arange(n)},
    )


def _site_dataset(arrays: dict[str, np.ndarray], coordinates: dict[str, Any]) -> Dataset:
    """Return a dataset of the values of sites, ``(chain, draw, n, units)``."""
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
    values: np.ndarray, variables: list[Variable], coordinates: dict[str, Any], event_shape: tuple
) -> Dataset:
    """Return a dataset of log p(x|z), with a second variable of zeros that makes ``loo`` raise.

    ``arviz_stats.loo`` accepts one variable only. It would score a row by p(x|z) at codes that were
    inferred from that same row, which is not a predictive density. Power scaling needs this group and
    sums its variables, so zeros do no harm. The message of ``loo`` shows the variable's name, which
    says what to use.
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


def _constant_data(data: Batch, variables: list[Variable], event_shape: tuple) -> Dataset:
    """Return a dataset of the context, by column if it has few, and of the mask."""
    import xarray as xr

    datasets = []
    if data.context is not None:
        shape = data.context.shape[1:]
        columns = build_column_variables("context", shape)
        datasets.append(entries_dataset(columns, data.context, {}, shape))
    if data.mask is not None:
        real = [variable._replace(discrete=False) for variable in variables]
        masks = entries_dataset(real, data.mask, {}, event_shape)
        names = {variable.name: f"{variable.name}_mask" for variable in variables}
        datasets.append(masks.rename(names))
    return xr.merge(datasets, combine_attrs="drop") if datasets else xr.Dataset()
