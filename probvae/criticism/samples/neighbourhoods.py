"""Precision, recall, density and coverage of samples, by balls to nearest neighbours."""

from typing import NamedTuple

import numpy as np

from probvae.checks import check_positive_integer
from probvae.criticism.samples.features import check_features, check_pair
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike

ROWS = 1_000  # rows of the matrix of distances in memory at a time


@short_repr
class Neighbourhoods(NamedTuple):
    """Samples against data, by the ball of each point that reaches its k-th nearest neighbour.

    - ``precision`` is the share of samples inside a ball of some datum.
    - ``recall`` is the share of data inside a ball of some sample.
    - ``density`` is the mean number of balls of data that a sample lies in, over k. It is 1 in
      expectation for equal distributions, and may exceed 1.
    - ``coverage`` is the share of data whose ball contains a sample. For equal distributions it is
      ``expected_coverage`` on average, for any distribution.

    ``num_neighbours`` is k.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    expected_coverage: float
    num_neighbours: int


def neighbourhoods(data: ArrayLike, samples: ArrayLike, *, num_neighbours: int = 5) -> Neighbourhoods:
    """Compare features of data and samples by balls to the k-th nearest neighbour of the same kind.

    Args:
        data: features ``(n, columns)``.
        samples: features ``(m, columns)``.
        num_neighbours: k. The point itself does not count.

    Raises:
        ValueError: for different numbers of features, or at most k points of a kind.

    Reference: Kynkaanniemi et al. 2019, arXiv:1904.06991 (precision, recall); Naeem et al. 2020,
    arXiv:2002.09797 (density, coverage).
    """
    check_positive_integer("num_neighbours", num_neighbours)
    x, y = check_features(data, "data"), check_features(samples, "samples")
    n, m, k = len(x), len(y), num_neighbours
    check_pair("neighbourhoods", x, y, k + 1)
    x_radius, y_radius = _radii(x, k), _radii(y, k)
    in_data, covered, recalled = np.zeros(m, int), np.zeros(n, bool), np.zeros(n, bool)
    # One pass over blocks of data gives all four measures: a block of distances (rows, m) is compared
    # with the balls of its data (down the rows) and with those of all samples (along the columns).
    for rows in _blocks(n):
        distance = _distances(x[rows], y)
        inside = distance <= x_radius[rows, None]
        in_data += inside.sum(0)  # (m,)
        covered[rows] = inside.any(1)  # (rows,)
        recalled[rows] = (distance <= y_radius).any(1)
    return Neighbourhoods(
        float((in_data > 0).mean()),
        float(recalled.mean()),
        float(in_data.mean() / k),
        float(covered.mean()),
        compute_expected_coverage(n, m, k),
        k,
    )


def compute_expected_coverage(num_data: int, num_samples: int, num_neighbours: int) -> float:
    """Return 1 - prod_{j=1..k} (n - j) / (n + m - j).

    This is the probability that the k points nearest to a datum are not all data.
    """
    j = np.arange(1, num_neighbours + 1)
    return float(1 - np.prod((num_data - j) / (num_data + num_samples - j)))


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    """Return the distance of each point to its k-th nearest other one."""
    # The nearest point is the point itself, at distance 0, so index k is the k-th other one.
    radii = [np.partition(_distances(x[rows], x), k, axis=1)[:, k] for rows in _blocks(len(x))]
    return np.concatenate(radii)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import cdist

    return cdist(a, b)  # by differences, so that equal points have distance 0


def _blocks(n: int) -> list[slice]:
    return [slice(start, start + ROWS) for start in range(0, n, ROWS)]
