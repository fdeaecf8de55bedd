"""Test statistics of a whole data set, for the comparison of data with replicates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Statistic: TypeAlias = Callable[[np.ndarray], Any]
NamedStatistics: TypeAlias = Mapping[str, Statistic]


def mean(x: np.ndarray) -> Any:
    """Return the mean of all entries."""
    return x.mean()


def standard_deviation(x: np.ndarray) -> Any:
    """Return the standard deviation of all entries, pooled over data."""
    return x.std()


def share_of_zeros(x: np.ndarray) -> Any:
    """Return the share of entries that are exactly 0."""
    return (x == 0).mean()


def distinct_values(x: np.ndarray) -> int:
    """Return the number of distinct values: 2 for bits, 256 for bytes, one per entry for reals."""
    return len(np.unique(select_observed(x)))


def edges(x: np.ndarray) -> Any:
    """Return the mean absolute difference of neighbouring entries, in units of x.

    Neighbours are adjacent along the first two axes of the event (rows and columns of an image), or
    along its only axis. Without an axis the result is 0. Noise on smooth images raises it, and blur
    lowers it.
    """
    differences = [np.abs(np.ma.diff(x, axis=axis)) for axis in range(1, min(x.ndim, 3))]
    flat = np.concatenate([select_observed(d) for d in differences] or [np.zeros(1)])
    return flat.mean() if flat.size else 0.0


@dataclass(frozen=True)
class ShareAtEnds:
    """The share of entries at or beyond the ends of a range.

    An infinite end stands for the smallest or largest entry of the data set itself. So the statistic
    depends on one data set only, and treats data and replicates alike.

    Args:
        low: the lower end.
        high: the upper end.
    """

    low: float
    high: float

    def __call__(self, x: np.ndarray) -> Any:
        low = self.low if np.isfinite(self.low) else x.min()
        high = self.high if np.isfinite(self.high) else x.max()
        return ((x <= low) | (x >= high)).mean()


def usual_statistics(data_range: tuple[float, float]) -> dict[str, Statistic]:
    """Return the statistics of every check, for a likelihood with this data range."""
    return {
        "mean": mean,
        "standard_deviation": standard_deviation,
        "share_of_zeros": share_of_zeros,
        "share_at_ends": ShareAtEnds(*data_range),
        "edges": edges,
        "distinct_values": distinct_values,
    }


def evaluate_statistics(statistics: NamedStatistics, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return each statistic of one data set, a scalar or a vector.

    Raises:
        ValueError: for a statistic that returns anything else, or numbers that are not finite.
    """
    return {name: _value(name, statistic(x)) for name, statistic in statistics.items()}


def check_statistics(statistics: object) -> None:
    """Raise unless statistics are functions by name."""
    if not isinstance(statistics, Mapping) or not all(map(callable, statistics.values())):
        raise TypeError(
            "statistics expects functions by name, such as {'skewness': lambda x: ...}, of data "
            f"(n, *event_shape); got {statistics!r}."
        )


def select_observed(x: np.ndarray) -> np.ndarray:
    """Return the observed entries as a vector."""
    return x.compressed() if isinstance(x, np.ma.MaskedArray) else x.ravel()


def _value(name: str, result: Any) -> np.ndarray:
    try:
        value = np.asarray(result, np.float64)
        problem = f"shape {value.shape}" if value.ndim > 1 else ""
        problem = problem or ("" if np.isfinite(value).all() else "numbers that are not finite")
    except (TypeError, ValueError):
        problem = repr(result)
    if problem:
        raise ValueError(
            f"the statistic {name!r} expects to return a finite number or a vector of them, from data "
            f"(n, *event_shape); got {problem}. Reduce over the data, and avoid 0 / 0 in a constant "
            "sample."
        )
    return value
