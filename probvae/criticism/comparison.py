"""Fitted variants compared by their held-out log p(x), datum by datum."""

import inspect
import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from probvae.criticism.posterior.pareto import ParetoShape, pareto_shape
from probvae.criticism.short_repr import short_repr
from probvae.evidence import BoundEstimate, check_density
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.inputs import to_numbers
from probvae.typing import RngKey


@short_repr
class Comparison(NamedTuple):
    """Bounds on held-out log p(x) of several variants, in nats, best first.

    ``names`` are those of the m variants; ``elpd`` ``(m,)`` is the sum over data and ``standard_error``
    ``(m,)`` its standard error, data being draws from a population; ``difference`` ``(m,)`` is a
    variant's elpd less that of the best, 0 or negative, and ``difference_standard_error`` ``(m,)`` its
    own, of differences datum by datum: far smaller than the errors of the two where variants find the
    same data hard. ``monte_carlo_error`` ``(m,)`` is the particles' part of the elpd's error (nan where
    none was given). ``weight`` ``(m,)`` is ArviZ's stacking weight, a mixture's share in the best
    predictions (nan without ``arviz-stats``). ``values`` ``(m, n)`` are the bounds themselves; the mean
    per datum is ``elpd / n``. A bound with more slack looks like a worse model: take particles enough,
    and see k-hat.
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
        """The number n of data."""
        return self.values.shape[1]

    @property
    def mean(self) -> np.ndarray:
        """The elpd per datum, ``(m,)``."""
        return self.elpd / self.num_data

    def elpd_data(self) -> dict[str, Any]:
        """Return ArviZ's ``ELPDData`` by name, for its own comparisons and plots.

        Raises:
            ImportError: without ``arviz-stats``: ``pip install 'probvae[arviz]'``.
        """
        return {name: elpd_data(row) for name, row in zip(self.names, self.values, strict=True)}

    def to_datatree(self) -> Any:
        """Return the comparison as an ``xarray.DataTree``, with dimensions ``model`` and ``datum``.

        Group ``elpd`` holds ``elpd_i``, log p(x) per model and row, and the numbers of each model.

        Raises:
            ImportError: without ``xarray``: ``pip install 'probvae[arviz]'``.
        """
        try:
            import xarray as xr
        except ImportError as error:
            raise ImportError("to_datatree needs xarray: pip install 'probvae[arviz]'.") from error
        coordinates = {"model": list(self.names), "datum": np.arange(self.num_data)}
        numbers_of_models = {
            name: ("model", getattr(self, name))
            for name in self._fields
            if name not in ("names", "values")
        }
        arrays = {"elpd_i": (("model", "datum"), self.values), **numbers_of_models}
        return xr.DataTree.from_dict({"elpd": xr.Dataset(arrays, coords=coordinates)})

    def __str__(self) -> str:
        """Return a table, per datum and in sum."""
        width = max(len("model"), *map(len, self.names))
        head = ("rank", "log p(x) / datum", "difference / datum", "elpd", "difference", "weight")
        lines = [f"{head[0]:>4}  {'model':<{width}}" + "".join(f"  {word:>20}" for word in head[1:])]
        for i, name in enumerate(self.names):
            n = self.num_data
            cells = (
                _pair(self.elpd[i] / n, self.standard_error[i] / n, 3),
                _pair(self.difference[i] / n, self.difference_standard_error[i] / n, 3, first=i == 0),
                _pair(self.elpd[i], self.standard_error[i], 1),
                _pair(self.difference[i], self.difference_standard_error[i], 1, first=i == 0),
                "" if math.isnan(self.weight[i]) else f"{self.weight[i]:.2f}",
            )
            lines.append(f"{i + 1:>4}  {name:<{width}}" + "".join(f"  {cell:>20}" for cell in cells))
        return "\n".join(lines)


def compare(
    fitted: Mapping[str, Fitted],
    x: Any,
    *,
    rng_key: RngKey,
    num_particles: int = 5000,
    num_noise_draws: int = 1,
    progress: bool = False,
) -> Comparison:
    """Compare variants by their importance-weighted bounds on log p(x) of the same held-out data.

    Args:
        fitted: fitted variants by name, two or more.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``. Where some variants take a
            context and others none, the latter are not given it.
        rng_key: a typed key, the same for all.
        num_particles: as in ``Fitted.log_prob``, the same for all.
        num_noise_draws: as in ``Fitted.log_prob``, for variants with ``Spread`` noise.
        progress: show bars.

    Raises:
        ValueError: for one variant alone, a part that is no density, or variants whose log p(x) are of
            different things: densities and probabilities, or data with different noise.
    """
    _check_several(fitted)
    _check_alike(fitted)
    found = {}
    for name, one in fitted.items():
        data = one.check_data(_drop_context(one, x), name=f"x of {name!r}")
        found[name] = replace(one, data=None).log_prob(  # compared with the training data already
            data,
            rng_key=rng_key,
            num_particles=num_particles,
            num_noise_draws=num_noise_draws,
            progress=progress,
        )
    return compare_values(found)


def compare_values(values: Mapping[str, Any]) -> Comparison:
    """Compare variants by values of log p(x) that are there already, of the same data in one order.

    Values do not know their data: only their number is checked.

    Args:
        values: by name, an ``Evidence`` or an array ``(n,)`` in nats, two or more.

    Raises:
        ValueError: for one alone, other numbers of data, fewer than two data, or what is not finite.
    """
    _check_several(values)
    table = np.stack(_check_values(values))
    errors = [_monte_carlo(value) for value in values.values()]
    order = np.argsort(-table.sum(1), kind="stable")
    table = table[order]
    paired = table - table[0]
    names = tuple(np.array(list(values), object)[order])
    return Comparison(
        names,
        table.sum(1),
        error_of_sum(table),
        paired.sum(1),
        error_of_sum(paired),
        np.array(errors)[order],
        stacking_weights(table),
        table,
    )


def _monte_carlo(value: Any) -> float:
    """Return the particles' standard error of a sum over data."""
    return math.sqrt((value.standard_error**2).sum()) if isinstance(value, BoundEstimate) else math.nan


def _drop_context(fitted: Fitted, x: Any) -> Any:
    """Return data without the context, for a variant that takes none."""
    return x._replace(context=None) if hasattr(x, "context") and not fitted.vae.context_shape else x


def _check_several(given: Any) -> None:
    if not isinstance(given, Mapping) or len(given) < 2:
        got = f"{len(given)}" if isinstance(given, Mapping) else repr(given)
        raise ValueError(
            "a comparison expects two or more by name, as {'mean field': ..., 'flow': ...}; got "
            f"{got}. For one alone, fitted.log_prob(x) has its mean and standard error."
        )


def _check_values(values: Mapping[str, Any]) -> list[np.ndarray]:
    """Return values as arrays of one length."""
    raw = (v.value if isinstance(v, BoundEstimate) else v for v in values.values())
    named = zip(values, raw, strict=True)
    arrays = [np.asarray(to_numbers(f"log p(x) of {n!r}", v), np.float64) for n, v in named]
    for name, array in zip(values, arrays, strict=True):
        if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all():
            what = "values that are not finite" if array.ndim == 1 and len(array) > 1 else array.shape
            raise ValueError(
                f"log p(x) of {name!r} expects finite values (n,), n at least 2; got {what}."
            )
    sizes = {name: len(array) for name, array in zip(values, arrays, strict=True)}
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"a comparison expects values of the same data; got {sizes} of them. Evaluate all on one "
            "test set."
        )
    return arrays


def _check_alike(fitted: Mapping[str, Fitted]) -> None:
    """Raise unless all have a log p(x), and of the same kind of thing."""
    for name, one in fitted.items():
        check_fitted(one)
        try:
            check_density(one.vae)
        except ValueError as error:
            error.add_note(f"(the model {name!r})")
            raise
    for what, of in (("event shape", _event_shape), ("noise", _noise), ("values", _kind)):
        kinds = {name: of(one) for name, one in fitted.items()}
        if len(set(kinds.values())) > 1:
            words = "; ".join(f"{name!r}: {kind}" for name, kind in kinds.items())
            raise ValueError(
                f"a comparison expects log p(x) of the same data; these differ in {what}: {words}. "
                "Compare those that agree."
            )


def _event_shape(fitted: Fitted) -> str:
    return str(fitted.vae.event_shape)


def _noise(fitted: Fitted) -> str:
    noise = fitted.vae.likelihood.observation
    return "none" if noise is None else str(noise)


def _kind(fitted: Fitted) -> str:
    """Say of each block of entries whether p(x|z) is a probability or a density, in units of 1 / x."""
    support = fitted.vae.likelihood.support
    parts = getattr(support, "parts", (support,))
    kinds = ["probabilities" if part.is_discrete else "densities" for part in parts]
    return " and ".join(dict.fromkeys(kinds))


def _pair(value: float, error: float, digits: int, *, first: bool = False) -> str:
    return "" if first else f"{value:.{digits}f} +- {error:.{digits}f}"


def elpd(
    fitted: Fitted, x: Any, *, rng_key: RngKey, num_particles: int = 2000, num_noise_draws: int = 1
) -> Any:
    r"""Return log p(x) of held-out rows as ArviZ's ``ELPDData``, with the code integrated out.

    For each row $\log p(x_i) \ge \log \frac1K \sum_k p(x_i, z_k) / q(z_k|x_i)$, as
    ``fitted.log_prob``. Its ``pareto_k`` is k-hat of these weights, as ``pareto_shape``. Use it where
    ArviZ has ``loo``: in ``arviz_stats.compare``, ``plot_compare`` and ``plot_khat``. ``loo`` itself
    has no right answer here. It would score a row by p(x|z) at codes that q inferred from this row.

    Args:
        fitted: a fitted VAE.
        x: held-out data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_particles: K, for each row. At least 100.
        num_noise_draws: as in ``Fitted.log_prob``, for ``Spread``.

    Raises:
        ImportError: without ``arviz-stats``: ``pip install 'probvae[arviz]'``.
        ValueError: for a part that is no density, or data that do not fit.

    Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519; Vehtari et al. 2024,
    arXiv:1507.02646 (k-hat).
    """
    shape = pareto_shape(fitted, x, rng_key=rng_key, num_particles=num_particles)
    evidence = fitted.log_prob(
        x, rng_key=rng_key, num_particles=num_particles, num_noise_draws=num_noise_draws
    )
    return elpd_data(evidence.value, shape)


def elpd_data(values: np.ndarray, shape: ParetoShape | None = None) -> Any:
    """Return values of log p(x) ``(n,)``, in nats, as the installed ArviZ's ``ELPDData``.

    ArviZ's versions differ in their fields. Fields that we do not know are None. The kind is "loo",
    because ArviZ compares no other, but nothing is left out: the rows are held out, so there is no
    optimism (``p`` is 0).

    Args:
        values: the values.
        shape: the tails of the importance weights. Without it each ``pareto_k`` is -inf.

    Raises:
        ImportError: without ``arviz-stats``: ``pip install 'probvae[arviz]'``.
    """
    try:
        from arviz_stats import utils
        from xarray import DataArray
    except ImportError as error:
        raise ImportError("ELPDData needs arviz-stats: pip install 'probvae[arviz]'.") from error
    rows = {"datum": np.arange(len(values))}
    k_hat = np.full(len(values), -np.inf) if shape is None else shape.k_hat
    known = {
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
    values_by_field: dict[str, Any] = {
        name: known.get(name) for name in {*required, *(known.keys() & fields)}
    }
    return container(**values_by_field)


def stacking_weights(values: np.ndarray) -> np.ndarray:
    """Return ArviZ's stacking weights ``(m,)`` of values ``(m, n)``; nan without ``arviz-stats``.

    They do not change when a number is added to all values of a datum; taking the greatest from each
    keeps the exponentials that ArviZ forms of them within range.

    Reference: Yao, Vehtari, Simpson and Gelman 2018, arXiv:1704.02030.
    """
    try:
        from arviz_stats import compare
    except ImportError:
        return np.full(len(values), np.nan)
    relative = values - values.max(axis=0)
    unrounded = {"round_to": "none"} if "round_to" in inspect.signature(compare).parameters else {}
    with warnings.catch_warnings():  # of what pandas deprecates, inside of ArviZ
        for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", kind)
        found = compare({str(i): elpd_data(row) for i, row in enumerate(relative)}, **unrounded)
    return np.array([float(found.loc[str(i), "weight"]) for i in range(len(values))])


def error_of_sum(values: np.ndarray) -> np.ndarray:
    """Return the standard error of the sum over the last axis, of draws from a population."""
    return np.asarray(math.sqrt(values.shape[-1]) * values.std(axis=-1, ddof=1))
