"""The pooled marginal distribution of entries, and the distance between two of them."""

import numpy as np

MOST_POINTS = 4096  # points at which two distributions are compared
ROUNDING = 2 * np.finfo(np.float32).eps  # by which a level may differ, relatively, where computed anew


def points(entries: np.ndarray) -> np.ndarray:
    """Return where distributions are compared with that of ``entries``: its values, or its quantiles.

    With all distinct values the Kolmogorov-Smirnov distance to it is exact, whatever the other: between
    two of them one distribution is constant and the other monotone. With ``MOST_POINTS`` quantiles it
    is exact to 1 / ``MOST_POINTS``.
    """
    values = np.unique(entries)
    if len(values) <= MOST_POINTS:
        return values
    return np.unique(np.quantile(entries, np.linspace(0, 1, MOST_POINTS + 1), method="nearest"))


def shares(entries: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the shares of entries below each point, and at most at it: ``(2, points)``."""
    ordered = np.sort(entries)
    counts = [np.searchsorted(ordered, at, side) for side in ("left", "right")]
    return np.stack(counts) / len(entries)


def ks_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return sup_t |F_a(t) - F_b(t)|, in [0, 1], of two arrays of ``shares``."""
    return float(np.abs(a - b).max())


def snapped(x: np.ndarray, levels: np.ndarray | None) -> np.ndarray:
    """Return x with values that are a level but for rounding set to it (k / 255 by other code)."""
    if levels is None:
        return x
    tolerance = ROUNDING * np.abs(x)
    nearest = levels[np.searchsorted(levels, x - tolerance).clip(max=len(levels) - 1)]
    return np.where(np.abs(x - nearest) <= tolerance, nearest, x)


def levels_of(entries: np.ndarray) -> np.ndarray | None:
    """Return the distinct values of discrete data; None where most entries have one of their own."""
    values = np.unique(entries)
    return values if len(values) <= min(MOST_POINTS, len(entries) // 2) else None
