"""Kolmogorov-Smirnov distances between the marginal distributions of data and replicates."""

from typing import NamedTuple

import numpy as np

from probvae.short_repr import short_repr

MAX_POINTS = 4096  # distinct values of a sample, beyond which neighbours are grouped
CURVE_POINTS = 200
ROUNDING = 2 * np.finfo(np.float32).eps  # relative difference of a level that is computed twice


@short_repr
class Marginal(NamedTuple):
    """The pooled marginal distribution of entries against that of the replicates.

    ``distance`` is the Kolmogorov-Smirnov distance sup_t |F(t) - G(t)|, in [0, 1], of the data from all
    replicates together. ``replicates`` ``(r,)`` holds the distance of each replicate from the data and
    all other replicates. ``tail_share`` is (1 + #{replicates at least as far}) / (r + 1), an exact
    rank. For a ``Joint``, each distance is the largest over its blocks.

    ``curve`` ``(points, 2)`` shows where the two differ: G(t), the share of replicated entries up to a
    value t, and F(t) - G(t). Its largest absolute value is ``distance``. A ``Joint`` has one curve for
    each block and none for the whole.
    """

    distance: float
    replicates: np.ndarray
    tail_share: float
    curve: np.ndarray | None = None


class Atoms(NamedTuple):
    """A sample as its distinct values, in ascending order, with the number of entries at each."""

    values: np.ndarray
    counts: np.ndarray


def find_atoms(entries: np.ndarray) -> Atoms:
    """Return the distinct values of a sample, with counts.

    A sample with more than ``MAX_POINTS`` of them is cut into ``MAX_POINTS`` groups of neighbours. Each
    group counts at its median, so the distribution function has an error of 1 / (2 ``MAX_POINTS``).
    """
    ordered = np.sort(entries)
    if 1 + np.count_nonzero(ordered[1:] != ordered[:-1]) > MAX_POINTS:
        edges = np.linspace(0, len(ordered), MAX_POINTS + 1).astype(int)
        ordered = np.repeat(ordered[(edges[:-1] + edges[1:]) // 2], np.diff(edges))
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return Atoms(ordered[first], np.diff(first, append=len(ordered)))


def measure_distances(samples: list[Atoms]) -> np.ndarray:
    """Return the Kolmogorov-Smirnov distance of each sample from all others pooled, ``(samples,)``.

    All samples have the same role. So if all are draws of one distribution, the rank of each distance
    is uniform, for any distribution and any number of entries.
    """
    # scipy.stats.ks_2samp would sort the whole pool once for each sample. Here it is sorted once.
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

    Args:
        counts: entries of the sample at each of its values.
        below: entries of the whole pool below each value.
        up_to: entries of the whole pool at each value or below.
        total: entries of the whole pool.
    """
    # Between two values of the sample its own distribution function is constant, and the other one is
    # monotone. So the largest difference is at a value of the sample, or just below one.
    own = np.cumsum(counts)
    size = own[-1]
    at = np.abs(own / size - (up_to - own) / (total - size))
    before = own - counts
    just_below = np.abs(before / size - (below - before) / (total - size))
    return float(max(at.max(), just_below.max()))


def measure_curve(samples: list[Atoms]) -> np.ndarray:
    """Return G(t) and F(t) - G(t) of the first sample, F, against all others pooled, ``(points, 2)``.

    There is a point at, and one just below, each of at most ``CURVE_POINTS`` values of the first
    sample. The value with the largest difference is one of them.
    """
    first, rest = samples[0], samples[1:]
    values = np.concatenate([each.values for each in rest])
    counts = np.concatenate([each.counts for each in rest])
    order = np.argsort(values, kind="stable")
    up_to = np.concatenate([[0], np.cumsum(counts[order])]) / counts.sum()
    own = np.concatenate([[0], np.cumsum(first.counts)]) / first.counts.sum()
    below, at = (
        up_to[np.searchsorted(values[order], first.values, side=side)] for side in ("left", "right")
    )
    pairs = np.stack(  # (values, just below and at, 2)
        [np.stack([below, own[:-1] - below], axis=-1), np.stack([at, own[1:] - at], axis=-1)], axis=1
    )
    worst = int(np.abs(pairs[:, :, 1]).max(axis=1).argmax())
    spread = np.linspace(0, len(pairs) - 1, min(CURVE_POINTS, len(pairs))).astype(int)
    curve = pairs[np.union1d(spread, [worst])].reshape(-1, 2)
    return np.concatenate([[[0.0, 0.0]], curve, [[1.0, 0.0]]])


def rank_distances(distance: np.ndarray) -> Marginal:
    """Return the check from distances ``(1 + r,)``: that of the data, then those of the replicates."""
    data, replicates = float(distance[0]), distance[1:]
    tail = (1 + int((replicates >= data).sum())) / len(distance)
    return Marginal(data, replicates, tail)


def snap_to_levels(x: np.ndarray, levels: np.ndarray | None) -> np.ndarray:
    """Return x with values that equal a level up to rounding set to it (k / 255 by other code)."""
    if levels is None:
        return x
    tolerance = ROUNDING * np.abs(x)
    nearest = levels[np.searchsorted(levels, x - tolerance).clip(max=len(levels) - 1)]
    return np.where(np.abs(x - nearest) <= tolerance, nearest, x)


def find_levels(entries: np.ndarray) -> np.ndarray | None:
    """Return the distinct values of discrete data. None if most entries have one of their own."""
    values = np.unique(entries)
    return values if len(values) <= min(MAX_POINTS, len(entries) // 2) else None
