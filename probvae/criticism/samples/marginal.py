"""The marginal distribution of entries, and how far that of each sample is from all others'."""

from typing import NamedTuple

import numpy as np

MOST_POINTS = 4096  # distinct values of a sample that are told apart
ROUNDING = 2 * np.finfo(np.float32).eps  # by which a level may differ, relatively, where computed anew


class Marginal(NamedTuple):
    """The pooled marginal distribution of entries against that of the replicates.

    ``distance`` is Kolmogorov and Smirnov's, sup_t |F(t) - G(t)| in [0, 1], of the data from all
    replicates together. ``replicates`` ``(r,)`` is each replicate's own distance from all other
    replicates and the data. ``tail_share`` is (1 + #{at least as far}) / (r + 1), an exact rank.
    Of a ``Joint``, each distance is the largest of its blocks'.
    """

    distance: float
    replicates: np.ndarray
    tail_share: float


class Atoms(NamedTuple):
    """A sample as its distinct values, in ascending order, with the number of entries at each."""

    values: np.ndarray
    counts: np.ndarray


def find_atoms(entries: np.ndarray) -> Atoms:
    """Return the distinct values of a sample, with counts.

    A sample with more than ``MOST_POINTS`` of them is cut into so many groups of neighbours, and each
    group counts at its median. Its distribution function is then exact to 1 / (2 ``MOST_POINTS``).
    """
    ordered = np.sort(entries)
    if 1 + np.count_nonzero(ordered[1:] != ordered[:-1]) > MOST_POINTS:
        edges = np.linspace(0, len(ordered), MOST_POINTS + 1).astype(int)
        ordered = np.repeat(ordered[(edges[:-1] + edges[1:]) // 2], np.diff(edges))
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return Atoms(ordered[first], np.diff(first, append=len(ordered)))


def distances(samples: list[Atoms]) -> np.ndarray:
    """Return the Kolmogorov-Smirnov distance of each sample from all others pooled, ``(samples,)``.

    Every sample is treated alike. If all are draws of one law, the rank of any of the distances is
    therefore uniform, whatever the law and however many entries there are.
    """
    pooled = np.concatenate([each.values for each in samples])
    counts = np.concatenate([each.counts for each in samples])
    values, place = np.unique(pooled, return_inverse=True)
    at = np.bincount(place, weights=counts, minlength=len(values))
    up_to = np.cumsum(at)  # entries of all samples that are at most values
    ends = np.cumsum([len(each.values) for each in samples])[:-1]
    return np.array(
        [
            _distance(each.counts, up_to[own] - at[own], up_to[own], up_to[-1])
            for each, own in zip(samples, np.split(place, ends), strict=True)
        ]
    )


def _distance(counts: np.ndarray, below: np.ndarray, up_to: np.ndarray, total: float) -> float:
    """Return the distance of one sample from the rest of the pool.

    Between two values of the sample its own distribution function is constant and the other monotone,
    so that the largest difference lies at one of its values, or just below one.

    Args:
        counts: entries of the sample at each of its values.
        below: entries of the whole pool below each value.
        up_to: entries of the whole pool at each value or below.
        total: entries of the whole pool.
    """
    own = np.cumsum(counts)
    size = own[-1]
    at = np.abs(own / size - (up_to - own) / (total - size))
    before = own - counts
    just_below = np.abs(before / size - (below - before) / (total - size))
    return float(max(at.max(), just_below.max()))


def rank_distances(distance: np.ndarray) -> Marginal:
    """Return the marginal check by distances ``(1 + r,)``, of the data and of each replicate."""
    data, replicates = float(distance[0]), distance[1:]
    tail = (1 + int((replicates >= data).sum())) / len(distance)
    return Marginal(data, replicates, tail)


def snap_to_levels(x: np.ndarray, levels: np.ndarray | None) -> np.ndarray:
    """Return x with values that are a level but for rounding set to it (k / 255 by other code)."""
    if levels is None:
        return x
    tolerance = ROUNDING * np.abs(x)
    nearest = levels[np.searchsorted(levels, x - tolerance).clip(max=len(levels) - 1)]
    return np.where(np.abs(x - nearest) <= tolerance, nearest, x)


def find_levels(entries: np.ndarray) -> np.ndarray | None:
    """Return the distinct values of discrete data; None where most entries have one of their own."""
    values = np.unique(entries)
    return values if len(values) <= min(MOST_POINTS, len(entries) // 2) else None
