"""Test statistics: what a whole data set is boiled down to before data and replicates are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Statistic: TypeAlias = Callable[[np.ndarray], Any]


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
    """Return how many values the entries take: 2 of bits, 256 of bytes, one each of real numbers."""
    return len(np.unique(select_observed(x)))


def edges(x: np.ndarray) -> Any:
    """Return the mean absolute difference of neighbouring entries, in units of x.

    Neighbours lie beside each other along the event's first two axes (an image's rows and columns),
    or along its only one; 0 where it has none. Noise on pixels that are smooth in the data raises it,
    blurred pixels lower it.
    """
    differences = [np.abs(np.ma.diff(x, axis=axis)) for axis in range(1, min(x.ndim, 3))]
    found = np.concatenate([select_observed(d) for d in differences] or [np.zeros(1)])
    return found.mean() if found.size else 0.0


@dataclass(frozen=True)
class ShareAtEnds:
    """The share of entries at or beyond the ends of a range.

    An infinite end stands for the data set's own least or greatest entry. The statistic is then a
    function of one data set alone, so that data and replicates are treated alike.

    Args:
        low: its lower end.
        high: its upper end.
    """

    low: float
    high: float

    def __call__(self, x: np.ndarray) -> Any:
        low = self.low if np.isfinite(self.low) else x.min()
        high = self.high if np.isfinite(self.high) else x.max()
        return ((x <= low) | (x >= high)).mean()


def usual_statistics(data_range: tuple[float, float]) -> dict[str, Statistic]:
    """Return the statistics that every check has.

    Args:
        data_range: the likelihood's.
    """
    return {
        "mean": mean,
        "standard_deviation": standard_deviation,
        "share_of_zeros": share_of_zeros,
        "share_at_ends": ShareAtEnds(*data_range),
        "edges": edges,
        "distinct_values": distinct_values,
    }


def evaluate_statistics(statistics: Mapping[str, Statistic], x: np.ndarray) -> dict[str, np.ndarray]:
    """Return each statistic of one data set, a scalar or a vector.

    Raises:
        ValueError: for one that returns anything else, or numbers that are not finite.
    """
    return {name: _value(name, statistic(x)) for name, statistic in statistics.items()}


def check_statistics(statistics: Any) -> None:
    """Raise unless statistics are functions by name."""
    given = statistics.values() if isinstance(statistics, Mapping) else [statistics]
    if not isinstance(statistics, Mapping) or not all(map(callable, given)):
        raise TypeError(
            "statistics expects functions by name, as {'skewness': lambda x: ...}, each of data (n, "
            f"*event_shape) and to a number or a vector; got {statistics!r}."
        )


def select_observed(x: np.ndarray) -> np.ndarray:
    """Return the entries that are observed, as a vector."""
    return x.compressed() if isinstance(x, np.ma.MaskedArray) else x.ravel()


def _value(name: str, found: Any) -> np.ndarray:
    try:
        value = np.asarray(found, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(_check_statistic(name, repr(found))) from error
    if value.ndim > 1 or not np.isfinite(value).all():
        got = "numbers that are not finite" if value.ndim <= 1 else f"shape {value.shape}"
        raise ValueError(_check_statistic(name, got))
    return value


def _check_statistic(name: str, got: str) -> str:
    return (
        f"the statistic {name!r} expects to return a finite number or a vector of them, of data (n, "
        f"*event_shape); got {got}. Reduce over the data, and mind what is 0 / 0 in a constant sample."
    )
