"""Model comparison: fitted variants ranked by log p(x) of the same held-out rows."""

import inspect
import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from probvae.criticism.datatree_variables import DataTree, import_xarray
from probvae.criticism.posterior.pareto import ParetoShape, pareto_shape
from probvae.evidence import BoundEstimate, check_density
from probvae.faq import cite
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.inputs import to_numbers
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, DataLike, RngKey
from probvae.vae import VAE


@short_repr
class Comparison(NamedTuple):
    """Lower bounds on held-out log p(x) of m variants and n rows, in nats, best variant first.

    ``names`` are the variants' names. ``elpd`` ``(m,)`` is the sum over rows. ``standard_error``
    ``(m,)`` is its standard error, with the rows as draws from a population. ``difference`` ``(m,)`` is
    a variant's elpd minus that of the best: 0 or negative. ``difference_standard_error`` ``(m,)``
    comes from the differences row by row. It is far smaller than the errors of the two if both
    variants find the same rows hard.

    ``monte_carlo_error`` ``(m,)`` is the error from the finite number of particles, NaN if unknown.
    ``weight`` ``(m,)`` is ArviZ's stacking weight: the variant's share in the mixture that predicts
    best, NaN without ``arviz-stats``. ``values`` ``(m, n)`` are the bounds themselves.

    A loose bound looks like a worse model. Use enough particles, and check k-hat with
    ``pareto_shape``.
    """

    names: tuple[str, ...]
    elpd: np.ndarray
    standard_error: np.ndarray
    difference: np.ndarray
    difference_standard_error: np.ndarray
    monte_carlo_error: np.ndarray
    weight: np.ndarray
    values: np.ndarray

    @property
    def num_data(self) -> int:
        """The number n of rows."""
        return self.values.shape[1]

    @property
    def mean(self) -> np.ndarray:
        """The elpd per row, ``(m,)``."""
        return self.elpd / self.num_data

    def elpd_data(self) -> dict[str, Any]:
        """Return an ``ELPDData`` per variant, for ArviZ's own comparisons and plots.

        Raises:
            ImportError: without ``arviz-stats``. Run ``pip install 'probvae[arviz]'``.
        """
        return {name: elpd_data(row) for name, row in zip(self.names, self.values, strict=True)}

    def to_datatree(self) -> DataTree:
        """Return the comparison as an ``xarray.DataTree``, with dimensions ``model`` and ``datum``.

        Its group ``elpd`` holds ``elpd_i``, log p(x) per model and row, and the numbers per model.

        Raises:
            ImportError: without ``xarray``. Run ``pip install 'probvae[arviz]'``.
        """
        xr = import_xarray("to_datatree")
        coordinates = {"model": list(self.names), "datum": np.arange(self.num_data)}
        numbers_of_models = {
            name: ("model", getattr(self, name))
            for name in self._fields
            if name not in ("names", "values")
        }
        arrays = {"elpd_i": (("model", "datum"), self.values), **numbers_of_models}
        return xr.DataTree.from_dict({"elpd": xr.Dataset(arrays, coords=coordinates)})

    def __str__(self) -> str:
        """Return a table with the numbers per row and their sums."""
        width = max(len("model"), *map(len, self.names))
        head = ("rank", "log p(x) / datum", "difference / datum", "elpd", "difference", "weight")
        lines = [f"{head[0]:>4}  {'model':<{width}}" + "".join(f"  {word:>20}" for word in head[1:])]
        n = self.num_data
        for i, name in enumerate(self.names):
            cells = (
                _format_pair(self.elpd[i] / n, self.standard_error[i] / n, 3),
                _format_pair(self.difference[i] / n, self.difference_standard_error[i] / n, 3)
                if i
                else "",
                _format_pair(self.elpd[i], self.standard_error[i], 1),
                _format_pair(self.difference[i], self.difference_standard_error[i], 1) if i else "",
                "" if math.isnan(self.weight[i]) else f"{self.weight[i]:.2f}",
            )
            lines.append(f"{i + 1:>4}  {name:<{width}}" + "".join(f"  {cell:>20}" for cell in cells))
        return "\n".join(lines)


def _format_pair(value: float, error: float, digits: int) -> str:
    return f"{value:.{digits}f} +- {error:.{digits}f}"


def compare(
    fitted: Mapping[str, Fitted],
    x: DataLike,
    *,
    rng_key: RngKey,
    num_particles: int = 5000,
    num_noise_draws: int = 1,
    progress: bool = False,
) -> Comparison:
    """Compare variants by importance-weighted bounds on log p(x) of the same held-out rows.

    Args:
        fitted: two or more fitted variants, by name.
        x: held-out rows ``(n, *event_shape)``, or a ``Batch(x, context, mask)``. Variants without a
            context ignore the batch's context.
        rng_key: a typed key. All variants use the same one.
        num_particles: draws of z per row, as in ``Fitted.log_prob``.
        num_noise_draws: as in ``Fitted.log_prob``, for variants with ``Spread`` noise.
        progress: show progress bars.

    Raises:
        ValueError: for a single variant, a part that is not a density, or variants whose log p(x)
            are not comparable: densities and probabilities, or data with different noise.
    """
    _check_several(fitted)
    for variant in fitted.values():
        check_fitted(variant)
    check_comparable({name: variant.vae for name, variant in fitted.items()})
    bounds = {}
    for name, variant in fitted.items():
        data = variant.check_data(drop_context(variant.vae, x), name=f"x of {name!r}")
        # check_data compared x with the training data. Without `data`, log_prob does not do so again.
        bounds[name] = replace(variant, data=None).log_prob(
            data,
            rng_key=rng_key,
            num_particles=num_particles,
            num_noise_draws=num_noise_draws,
            progress=progress,
        )
    return compare_values(bounds)


def compare_values(values: Mapping[str, BoundEstimate | ArrayLike]) -> Comparison:
    """Compare variants by values of log p(x) that you have already computed.

    All values must be of the same rows in the same order. Only their number is checked.

    Args:
        values: by name, two or more: a ``BoundEstimate`` or an array ``(n,)`` in nats.

    Raises:
        ValueError: for a single variant, different numbers of rows, fewer than two rows, or values
            that are not finite.
    """
    _check_several(values)
    table = np.stack(_check_values(values))
    monte_carlo_errors = [
        math.sqrt((value.standard_error**2).sum()) if isinstance(value, BoundEstimate) else math.nan
        for value in values.values()
    ]
    order = np.argsort(-table.sum(1), kind="stable")
    table = table[order]
    paired = table - table[0]
    return Comparison(
        tuple(np.array(list(values), object)[order]),
        *(table.sum(1), error_of_sum(table), paired.sum(1), error_of_sum(paired)),
        np.array(monte_carlo_errors)[order],
        stacking_weights(table),
        table,
    )


def drop_context(vae: VAE, x: DataLike) -> DataLike:
    """Return data without their context if the VAE has no context."""
    return x._replace(context=None) if hasattr(x, "context") and not vae.context_shape else x


def _check_several(variants: Mapping[str, Any]) -> None:
    if not isinstance(variants, Mapping) or len(variants) < 2:
        size = len(variants) if isinstance(variants, Mapping) else repr(variants)
        raise ValueError(
            "a comparison expects two or more models by name, such as {'a': fitted_a, 'b': fitted_b}; "
            f"got {size}. For one model, use fitted.log_prob(x, ...)."
        )


def _check_values(values: Mapping[str, BoundEstimate | ArrayLike]) -> list[np.ndarray]:
    """Return values as float64 arrays of one length."""
    arrays = []
    for name, value in values.items():
        bounds = value.value if isinstance(value, BoundEstimate) else value
        array = np.asarray(to_numbers(f"log p(x) of {name!r}", bounds), np.float64)
        if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all():
            is_row = array.ndim == 1 and len(array) > 1
            fault = "values that are not finite" if is_row else array.shape
            raise ValueError(
                f"log p(x) of {name!r} expects finite values of shape (n,) with n >= 2; got {fault}."
            )
        arrays.append(array)
    sizes = {name: len(array) for name, array in zip(values, arrays, strict=True)}
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"a comparison expects values of the same data; got {sizes} rows. Evaluate all variants "
            "on one test set."
        )
    return arrays


def check_comparable(vaes: Mapping[str, VAE]) -> None:
    """Raise ``ValueError`` unless all VAEs have a log p(x), of the same data and of one kind."""
    for name, vae in vaes.items():
        try:
            check_density(vae)
        except ValueError as error:
            error.add_note(f"(the model {name!r})")
            raise
    properties = {
        "event shape": lambda vae: str(vae.event_shape),
        "noise": lambda vae: str(vae.likelihood.observation or "none"),
        "values": lambda vae: _value_kinds(vae.likelihood.support),
    }
    for description, describe in properties.items():
        kinds = {name: describe(vae) for name, vae in vaes.items()}
        if len(set(kinds.values())) > 1:
            words = "; ".join(f"{name!r}: {kind}" for name, kind in kinds.items())
            raise ValueError(
                f"a comparison expects log p(x) of the same data; these differ in {description}: "
                f"{words}. Compare only variants that agree."
            )


def _value_kinds(support: Any) -> str:
    """Say whether p(x|z) gives probabilities, densities (in units of 1 / x), or both."""
    parts = getattr(support, "parts", (support,))
    kinds = ["probabilities" if part.is_discrete else "densities" for part in parts]
    return " and ".join(dict.fromkeys(kinds))


def elpd(
    fitted: Fitted, x: DataLike, *, rng_key: RngKey, num_particles: int = 2000, num_noise_draws: int = 1
) -> Any:
    r"""Return log p(x) of held-out rows as ArviZ's ``ELPDData``, with the code integrated out.

    For each row $\log p(x_i) \ge \log \frac1K \sum_k p(x_i, z_k) / q(z_k|x_i)$, as in
    ``fitted.log_prob``. Its ``pareto_k`` is the k-hat of these weights, as in ``pareto_shape``.

    Use it in place of ArviZ's ``loo``, for example in ``arviz_stats.compare``, ``plot_compare`` and
    ``plot_khat``. ``loo`` itself is wrong here: it would score a row by p(x|z) at codes that q
    inferred from this row.

    Args:
        fitted: a fitted VAE.
        x: held-out data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_particles: K, the draws of z per row. At least 100.
        num_noise_draws: as in ``Fitted.log_prob``, for ``Spread``.

    Raises:
        ImportError: without ``arviz-stats``. Run ``pip install 'probvae[arviz]'``.
        ValueError: for a part that is not a density, or incompatible data.

    Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519; Vehtari et al. 2024,
    arXiv:1507.02646 (k-hat).
    """
    shape = pareto_shape(fitted, x, rng_key=rng_key, num_particles=num_particles)
    bound = fitted.log_prob(
        x, rng_key=rng_key, num_particles=num_particles, num_noise_draws=num_noise_draws
    )
    return elpd_data(bound.value, shape)


def elpd_data(values: np.ndarray, shape: ParetoShape | None = None) -> Any:
    """Return values of log p(x) ``(n,)``, in nats, as the installed ArviZ's ``ELPDData``.

    ArviZ's versions differ in their fields. Fields that we do not know are None. The kind is "loo",
    because ArviZ compares no other. No row is left out in fact: the rows are held out, so there is no
    optimism (``p`` is 0).

    Args:
        values: log p(x) of each row.
        shape: the tails of the importance weights. Without it each ``pareto_k`` is -inf.

    Raises:
        ImportError: without ``arviz-stats``. Run ``pip install 'probvae[arviz]'``.
    """
    try:
        from arviz_stats import utils
        from xarray import DataArray
    except ImportError as error:
        raise ImportError(
            f"ELPDData needs arviz-stats: pip install 'probvae[arviz]'. {cite('missing-extra')}"
        ) from error
    rows = {"datum": np.arange(len(values))}
    k_hat = np.full(len(values), -np.inf) if shape is None else shape.k_hat
    known_fields = {
        "kind": "loo",
        "elpd": float(values.sum()),
        "se": float(error_of_sum(values)),
        "p": 0.0,
        "n_samples": 1 if shape is None else shape.num_particles,
        "n_data_points": len(values),
        "scale": "log",
        "warning": shape is not None and bool(shape.doubtful.any()),
        "good_k": 0.7 if shape is None else shape.threshold,
        "pareto_k": DataArray(k_hat, dims=["datum"], coords=rows),
        "elpd_i": DataArray(values, dims=["datum"], coords=rows),
    }
    # From ArviZ 1.3 on the base class has no kind, and the class for "loo" has a name of its own.
    container = getattr(utils, "ELPDDataLOO", utils.ELPDData)
    fields = inspect.signature(container).parameters
    required = [name for name, field in fields.items() if field.default is inspect.Parameter.empty]
    names = {*required, *(known_fields.keys() & fields)}
    values_by_field: dict[str, Any] = {name: known_fields.get(name) for name in names}
    return container(**values_by_field)


def stacking_weights(values: np.ndarray) -> np.ndarray:
    """Return ArviZ's stacking weights ``(m,)`` of values ``(m, n)``, or NaN without ``arviz-stats``.

    Reference: Yao, Vehtari, Simpson and Gelman 2018, arXiv:1704.02030.
    """
    try:
        from arviz_stats import compare
    except ImportError:
        return np.full(len(values), np.nan)
    # ArviZ takes exponentials of the values, and log p(x) of an image is near -1e3. The weights do not
    # change when a number is added to all values of a row, so the largest value of each row becomes 0.
    relative = values - values.max(axis=0)
    unrounded = {"round_to": "none"} if "round_to" in inspect.signature(compare).parameters else {}
    with warnings.catch_warnings():  # ArviZ calls functions that pandas deprecates
        for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", kind)
        table = compare({str(i): elpd_data(row) for i, row in enumerate(relative)}, **unrounded)
    return np.array([float(table.loc[str(i), "weight"]) for i in range(len(values))])


def error_of_sum(values: np.ndarray) -> np.ndarray:
    """Return the standard error of sums over the last axis, with its entries as independent draws."""
    return np.asarray(math.sqrt(values.shape[-1]) * values.std(axis=-1, ddof=1))
