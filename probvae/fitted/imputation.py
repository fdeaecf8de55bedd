"""Missing entries given the observed ones: draws, means, intervals, and a check of their weights."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae import html
from probvae.batching import Rows, data_per_block, map_blocks, map_rows
from probvae.checks import OpenUnitInterval, check_number, format_value
from probvae.compilation import compile_program
from probvae.distributions import find_averages, merge_averages, pareto_tail_shape
from probvae.evidence import Batch
from probvae.faq import cite
from probvae.fitted.guide_density_check import check_guide_draws
from probvae.fitted.pooling import Estimator, Pooled, pool_estimates
from probvae.html import format_shape
from probvae.objectives.terms import terms
from probvae.short_repr import short_repr
from probvae.typing import Params, RngKey, Trace
from probvae.vae import VAE

MANY_PARTICLES = 100  # of ``impute``. With fewer, a user knows that the draws are rough.
FEW_PARTICLES = 10  # effective ones


@short_repr
class Interval(NamedTuple):
    """The ends of an interval for each entry, in the units of x.

    Attributes:
        low: the lower ends ``(n, *event_shape)``. An observed entry has its own value at both ends.
        high: the upper ends ``(n, *event_shape)``.
    """

    low: jax.Array
    high: jax.Array


@short_repr
class Imputed(NamedTuple):
    r"""Data with their missing entries filled: by draws, and by what is known of each entry.

    Every field keeps observed entries unchanged. All fields use the same K particles
    $z_k \sim q(z|x_{observed})$, with weights $w_k \propto p(x_{observed}, z_k) / q(z_k|x_{observed})$
    that sum to 1.

    Attributes:
        x: draws ``(num_samples, n, *event_shape)``.
        effective_particles: $1 / \sum_k w_k^2$, ``(n,)``, between 1 and K.
        mean: $\sum_k w_k E[x | z_k]$, ``(n, *event_shape)``, in the units of x. It has less noise than
            the mean of draws. For ``Bernoulli`` it is P(x = 1). For unordered levels
            (``Categorical``) it is the level with the largest weighted probability, and for
            ``StudentT`` the mean of the centres.
        pareto_k: k-hat of the weights, ``(n,)``. Above 0.7 the weights are too uneven for any number of
            particles that you can afford. It has the special values of ``criticism.ParetoShape``. It
            needs at least 100 particles, and is nan for fewer.
        quantiles: quantiles of p(x_missing | x_observed) by level, each ``(n, *event_shape)``. They are
            values of weighted draws. Only the levels that you ask ``impute`` for are here.
        to_frame: what ``pool`` calls on each completed data set before the estimator, or None.
        probabilities: $\sum_k w_k p(x | z_k)$ of each level, ``(n, columns, K)``, by block of columns
            with K levels (``Categorical``, ``Ordinal``). Of a VAE for a table, the name of the column.
    """

    x: jax.Array
    effective_particles: jax.Array
    mean: jax.Array
    pareto_k: jax.Array
    quantiles: dict[float, jax.Array] = {}  # noqa: RUF012
    to_frame: Callable[[np.ndarray], Any] | None = None
    probabilities: dict[str, jax.Array] = {}  # noqa: RUF012

    @property
    def frame(self) -> Any:
        """The table with its missing cells filled by ``mean``: means of numbers, modes of levels.

        For medians, ask ``impute`` for ``quantiles=(0.5,)`` and use
        ``imputed.to_frame(imputed.quantiles[0.5])``.
        """
        return self._to_frame(self.mean)

    @property
    def frames(self) -> list[Any]:
        """The table with its missing cells filled by draws: a frame for each of ``num_samples``."""
        return [self._to_frame(x) for x in self.x]

    def _to_frame(self, x: jax.Array) -> Any:
        if self.to_frame is None:
            raise ValueError(
                "a frame needs a table: give impute a frame or a data.Table, and a VAE that was "
                "trained on a data.Table. Here x was an array, so use imputed.x and imputed.mean."
            )
        return self.to_frame(np.asarray(x))

    def interval(self, level: float = 0.9) -> Interval:
        """Return the central interval of each entry that contains it with this probability.

        Raises:
            ValueError: unless ``impute`` was asked for the quantiles at its two ends.
        """
        check_number("level", level, OpenUnitInterval)
        tail = (1.0 - level) / 2
        return Interval(self._quantile(tail, level), self._quantile(1.0 - tail, level))

    def _quantile(self, probability: float, level: float) -> jax.Array:
        for known, values in self.quantiles.items():
            if abs(known - probability) < 1e-6:
                return values
        low = (1.0 - level) / 2
        raise ValueError(
            f"interval({level:g}) expects the quantiles {low:.6g} and {1 - low:.6g}; got "
            f"{sorted(self.quantiles) or 'none'}. Call impute(..., quantiles=({low:.6g}, "
            f"{1 - low:.6g}))."
        )

    def pool(
        self, estimator: Estimator, *, complete_degrees_of_freedom: float | int | None = None
    ) -> Pooled:
        """Estimate something on each completed data set, and pool the results by Rubin's rules.

        Args:
            estimator: ``estimator(x) -> (estimate, variance)`` for completed data
                ``(n, *event_shape)``. Both are numbers, or arrays of one shape. The variance is the
                squared standard error that you would report if nothing were missing.
            complete_degrees_of_freedom: those of the estimator on complete data, such as n - 1 for the
                mean of n rows. With them, the degrees of freedom are those of Barnard and Rubin for
                small samples.

        Raises:
            ValueError: for fewer than two draws, or results of different shapes.

        Reference: Rubin 1987, Multiple imputation for nonresponse in surveys; Barnard and Rubin 1999,
        Biometrika 86.
        """
        if len(self.x) < 2:
            raise ValueError(
                f"pool expects at least 2 completed data sets; got {len(self.x)}. Call impute(..., "
                "num_samples=20)."
            )
        completed = (np.asarray(x) for x in self.x)
        frames = completed if self.to_frame is None else map(self.to_frame, completed)
        return pool_estimates(map(estimator, frames), complete_degrees_of_freedom)

    def describe(self) -> dict[str, str]:
        """Return the size of the draws, the effective particles and k-hat, in words."""
        num_samples, n, *event_shape = self.x.shape
        rows = {"draws": f"{num_samples:,} of {n:,} data of shape {format_shape(event_shape)}"}
        if n and not isinstance(self.effective_particles, jax.core.Tracer):
            particles = np.asarray(self.effective_particles)
            row = f"least {particles.min():.3g} (row {particles.argmin()})"
            rows["effective particles"] = f"median {np.median(particles):.3g}, {row}"
            if not np.isnan(self.pareto_k).all():
                rows["k-hat"] = f"above 0.7 in {(np.asarray(self.pareto_k) > 0.7).sum():,} rows"
        if self.quantiles:
            rows["quantiles"] = ", ".join(f"{level:g}" for level in self.quantiles)
        return rows

    def __str__(self) -> str:
        return "Imputed: " + "; ".join(f"{name} {text}" for name, text in self.describe().items())

    def _repr_html_(self) -> str:
        return html.block(html.table(self.describe()))


def impute(
    vae: VAE,
    values: Params,
    rng_key: RngKey,
    data: Batch,
    *,
    num_samples: int,
    num_particles: int,
    quantiles: Sequence[float],
) -> Imputed:
    """Draw (z, x) for all particles, and resample ``num_samples`` of them in proportion to w."""
    check_guide_draws(vae, values, data)
    levels = _check_quantiles(quantiles)
    counts: dict[str, Any] = {"num_samples": num_samples, "num_particles": num_particles}
    probabilities = np.array(levels, np.float32)
    program = partial(_impute, vae, values, probabilities=probabilities, **counts)
    rows = map_blocks(program, data, rng_key)
    draws, ends = (np.moveaxis(rows[name], 1, 0) for name in ("x", "quantiles"))
    x, ends, effective, mean, pareto_k = jax.device_put(
        (draws, list(ends), rows["effective"], rows["mean"], rows["pareto_k"])
    )
    imputed = Imputed(
        x,
        effective,
        mean,
        pareto_k,
        dict(zip(levels, ends, strict=True)),
        probabilities=_name_probabilities(vae, rows["levels"]),
    )
    warn_of_few_particles(imputed, num_particles)
    return imputed


def _name_probabilities(vae: VAE, levels: list[Any]) -> dict[str, jax.Array]:
    """Return the probabilities of levels by block. A likelihood without blocks has the name "x"."""
    names = list(vae.likelihood.named_blocks) or ["x"]
    named = zip(names, levels, strict=True) if len(names) == len(levels) else ()
    return {name: jax.device_put(p) for name, p in named if p is not None}


def require_mask(data: Batch, *, is_table: bool) -> Batch:
    """Return data with a mask. A table may have no gaps. Raise ValueError for an array without one."""
    if data.mask is not None:
        return data
    if is_table:
        return data._replace(mask=np.ones(data.x.shape, bool))
    raise ValueError(
        "impute expects a mask that is True where x is observed; got None. If missing entries "
        "are NaN, call impute(x, np.isfinite(x), ...)."
    )


def _check_quantiles(quantiles: object) -> tuple[float, ...]:
    if not isinstance(quantiles, Sequence | np.ndarray) or isinstance(quantiles, str):
        raise TypeError(
            "quantiles expects a tuple of probabilities, such as (0.05, 0.95); got "
            f"{format_value(quantiles)}."
        )
    for level in quantiles:
        check_number("quantiles", level, OpenUnitInterval)
    return tuple(float(level) for level in quantiles)


def warn_of_few_particles(imputed: Imputed, num_particles: int) -> None:
    """Warn of rows whose draws are copies of a few particles, unless few particles were asked for."""
    effective = imputed.effective_particles
    if num_particles < MANY_PARTICLES or isinstance(effective, jax.core.Tracer):
        return
    num_few = int((~(np.asarray(effective) >= FEW_PARTICLES)).sum())
    if num_few:
        warnings.warn(
            f"{num_few} of {len(effective)} rows have fewer than {FEW_PARTICLES} effective particles "
            f"of {num_particles}, so their draws are too alike: use a larger num_particles, and if "
            "effective_particles does not grow with it, a guide that is closer to the posterior. "
            f"{cite('few-effective-particles')}",
            UserWarning,
            stacklevel=4,
        )


@partial(compile_program, static_argnames=("vae", "num_samples", "num_particles"))
def _impute(
    vae: VAE,
    values: Params,
    rows: Rows,
    *,
    probabilities: jax.Array,
    num_samples: int,
    num_particles: int,
) -> dict[str, Any]:
    def particle(key: RngKey, datum: Batch) -> tuple[jax.Array, Any]:
        batch = jax.tree.map(lambda a: a[None], datum)
        particle_terms = terms(key, values, vae.model, vae.guide, *batch, look=_draw_x)
        return particle_terms.log_weight[0], jax.tree.map(lambda a: a[0], particle_terms.extra)

    def one_datum(key: RngKey, datum: Batch) -> dict[str, Any]:
        # x is drawn for all particles, and then resampled: a draw of x after resampling z would need a
        # second pass through the decoder.
        index_key, particle_key = jax.random.split(key)
        particle_keys = jax.random.split(particle_key, num_particles)
        log_w, (x, averages) = jax.vmap(particle, in_axes=(0, None))(particle_keys, datum)
        indices = jax.random.categorical(index_key, log_w, shape=(num_samples,))
        w = jax.nn.softmax(log_w)
        averages = jax.tree.map(partial(_average, w), averages)
        mean = merge_averages(averages, datum.x.ndim)
        quantiles = weighted_quantiles(x, w, probabilities)
        return {
            "x": jnp.where(datum.mask, datum.x, x[indices]),
            "quantiles": jnp.where(datum.mask, datum.x, quantiles),
            "effective": 1 / jnp.square(w).sum(),
            "mean": jnp.where(datum.mask, datum.x, mean),
            "pareto_k": pareto_tail_shape(log_w),
            "levels": [a if a.ndim > datum.x.ndim else None for a in averages],
        }

    return map_rows(one_datum, rows, batch_size=data_per_block(num_particles))


def _draw_x(guide_trace: Trace, model_trace: Trace, rng_key: RngKey) -> tuple[jax.Array, Any]:
    p = model_trace["x"]["fn"]
    return p.sample(jax.random.fold_in(rng_key, 2)), find_averages(p)


def _average(w: jax.Array, values: jax.Array) -> jax.Array:
    """Return the weighted mean over the first axis. A value without weight may be infinite."""
    w = w.reshape(-1, *(1,) * (values.ndim - 1))
    return jnp.where(w > 0, w * values, 0.0).sum(0)


def weighted_quantiles(x: jax.Array, w: jax.Array, probabilities: jax.Array) -> jax.Array:
    """Return the least value whose cumulative weight reaches each probability.

    Args:
        x: values ``(K, *event_shape)``.
        w: weights ``(K,)`` that sum to 1.
        probabilities: ``(Q,)``, each in (0, 1).

    Returns:
        ``(Q, *event_shape)``, each entry one of the K values.
    """
    # XLA's sort on a CPU takes 2.5 times as long as this bisection (1,000 x 10 values, two levels). It
    # needs one weighted count for each bit of a float. Floats whose sign bit is handled have the order
    # of integers, so the bisection ends at one of the values, whatever their range.
    keys = _to_ordered_integers(x.astype(float))  # (K, *event)
    w = w.reshape(-1, *(1,) * (x.ndim - 1))
    total = w.sum()

    def find_quantile(p: jax.Array) -> jax.Array:
        def halve(_: jax.Array | int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            low, high = ends  # the weight up to low is below p, and that up to high is not
            middle = (low >> 1) + (high >> 1) + (low & high & 1)
            reached = jnp.where(keys <= middle, w, 0.0).sum(0) >= p * total
            return jnp.where(reached, low, middle), jnp.where(reached, middle, high)

        num_bits = keys.dtype.itemsize * 8
        return jax.lax.fori_loop(0, num_bits, halve, (keys.min(0) - 1, keys.max(0)))[1]

    return _to_floats(jax.vmap(find_quantile)(probabilities))


def _to_ordered_integers(x: jax.Array) -> jax.Array:
    integers = jax.lax.bitcast_convert_type(x, jnp.int64 if x.dtype.itemsize == 8 else jnp.int32)
    return jnp.where(integers < 0, integers ^ jnp.iinfo(integers.dtype).max, integers)


def _to_floats(integers: jax.Array) -> jax.Array:
    bits = jnp.where(integers < 0, integers ^ jnp.iinfo(integers.dtype).max, integers)
    return jax.lax.bitcast_convert_type(
        bits, jnp.float64 if integers.dtype.itemsize == 8 else jnp.float32
    )
