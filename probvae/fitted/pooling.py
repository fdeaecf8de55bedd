"""Rubin's rules: one estimate, with its error, from several completed data sets."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy import stats

from probvae.checks import OpenUnitInterval, PositiveFloat, check_number, format_value
from probvae.short_repr import short_repr

Value: TypeAlias = np.ndarray | np.floating | float
Estimator: TypeAlias = Callable[[Any], tuple[Any, Any]]


@short_repr
@dataclass(frozen=True, eq=False)
class Pooled:
    r"""An estimate pooled over M completed data sets. All fields but the last have its shape.

    Attributes:
        estimate: the mean of the M estimates.
        within: W, the mean of their variances: the error if nothing were missing.
        between: B, the variance of the M estimates: the error because entries are missing.
        total: $T = W + (1 + 1/M) B$, the variance of ``estimate``.
        degrees_of_freedom: $\nu$ of the t distribution of (truth - estimate) / sqrt(T). By default
            $(M - 1) (1 + W / ((1 + 1/M) B))^2$ (Rubin 1987). inf where B is 0.
        missing_information: the share of the information about the estimate that is missing,
            $(r + 2 / (\nu + 3)) / (r + 1)$ with $r = (1 + 1/M) B / W$.
        num_samples: M.
    """

    estimate: Value
    within: Value
    between: Value
    total: Value
    degrees_of_freedom: Value
    missing_information: Value
    num_samples: int

    @property
    def standard_error(self) -> Value:
        """The square root of ``total``."""
        return np.sqrt(self.total)

    def interval(self, level: float = 0.95) -> tuple[Value, Value]:
        """Return the ends of the confidence interval, by the t distribution."""
        check_number("level", level, OpenUnitInterval)
        half = stats.t.ppf(0.5 + level / 2, self.degrees_of_freedom) * self.standard_error
        return self.estimate - half, self.estimate + half

    def __str__(self) -> str:
        source = f"{self.num_samples} completed data sets"
        if np.size(self.estimate) != 1:
            return f"Pooled: estimates of shape {np.shape(self.estimate)} from {source}"
        low, high = (float(np.squeeze(end)) for end in self.interval())
        estimate, error, degrees, missing = (
            float(np.squeeze(value))
            for value in (
                self.estimate,
                self.standard_error,
                self.degrees_of_freedom,
                self.missing_information,
            )
        )
        return (
            f"{estimate:.4g} +- {error:.2g} (95 % interval {low:.4g} to {high:.4g}, {degrees:.3g} "
            f"degrees of freedom, {missing:.0%} of the information missing, {source})"
        )


def pool_estimates(
    results: Iterable[tuple[Any, Any]], complete_degrees_of_freedom: float | int | None = None
) -> Pooled:
    """Return the pooled estimate of (estimate, variance) pairs, one for each completed data set."""
    estimates, variances = zip(*map(_check_result, results), strict=True)
    shapes = {a.shape for a in estimates}
    if len(shapes) > 1:
        raise ValueError(
            "pool expects an estimator whose results have the same shape for each completed data set; "
            f"got {sorted(shapes)}."
        )
    m = len(estimates)
    within, between = np.mean(variances, axis=0), np.var(estimates, axis=0, ddof=1)
    spread = (1 + 1 / m) * between
    total = within + spread
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = (m - 1) * (1 + within / spread) ** 2
        if complete_degrees_of_freedom is not None:
            degrees = _adjust_degrees(degrees, spread / total, complete_degrees_of_freedom)
        r = spread / within
        missing = np.where(np.isinf(r), 1.0, (r + 2 / (degrees + 3)) / (r + 1))
    return Pooled(np.mean(estimates, axis=0), within, between, total, degrees, missing, m)


def _adjust_degrees(degrees: Value, share: Value, complete: float | int) -> Value:
    """Return the degrees of freedom of Barnard and Rubin 1999, which never exceed the complete ones."""
    check_number("complete_degrees_of_freedom", complete, PositiveFloat)
    observed = (complete + 1) / (complete + 3) * complete * (1 - share)
    return 1 / (1 / degrees + 1 / observed)


def _check_result(result: object) -> tuple[Value, Value]:
    """Return an estimator's result as two float arrays of one shape."""
    expects = "pool expects an estimator that returns (estimate, variance)"
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise TypeError(f"{expects}; got {format_value(result)}.")
    try:
        estimate, variance = (np.asarray(value, np.float64) for value in result)
    except (TypeError, ValueError):
        raise TypeError(f"{expects}, two numbers or arrays; got {format_value(result)}.") from None
    if estimate.shape != variance.shape:
        raise ValueError(
            f"{expects} of one shape; got {estimate.shape} and {variance.shape}. For several "
            "estimates, return the variance of each, such as the diagonal of their covariance."
        )
    if not (np.isfinite(estimate).all() and (variance >= 0).all() and np.isfinite(variance).all()):
        raise ValueError(
            f"{expects}, finite and with a variance >= 0; got {format_value(estimate.tolist())} and "
            f"{format_value(variance.tolist())}."
        )
    return estimate, variance
