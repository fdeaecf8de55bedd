"""Coverage of central predictive intervals, from the ranks of data among their replicates."""

from typing import NamedTuple

import numpy as np

from probvae.short_repr import short_repr


@short_repr
class Coverage(NamedTuple):
    """Shares of entries inside their central predictive intervals.

    ``levels`` ``(l,)`` are the nominal masses of the intervals. ``share`` ``(l,)`` is the share of all
    observed entries inside. ``standard_error`` ``(l,)`` is its standard error over data, because the
    entries of one datum are dependent (nan for one datum). ``by_entry`` ``(l, *event)`` is the share of
    data for each entry (nan where it is never observed).
    """

    levels: np.ndarray
    share: np.ndarray
    standard_error: np.ndarray
    by_entry: np.ndarray


class Ranks:
    """The ranks of data ``(n, *event)`` among replicates, which you add one at a time."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        self.below = np.zeros(x.shape, np.int32)
        self.equal = np.zeros(x.shape, np.int32)
        self.count = 0

    def add(self, replicate: np.ndarray) -> None:
        """Compare one replicate ``(n, *event)`` with the data."""
        self.below += replicate < self.x
        self.equal += replicate == self.x
        self.count += 1

    def randomize(self, random: np.random.Generator) -> np.ndarray:
        """Return u = (#below + V (#equal + 1)) / (r + 1), V ~ Uniform(0, 1), for each entry.

        If an entry and its replicates are exchangeable, u is uniform on [0, 1], for any number r of
        replicates. This holds for discrete entries too, because V breaks ties at random.
        """
        v = random.uniform(size=self.x.shape)
        return (self.below + v * (self.equal + 1)) / (self.count + 1)


def measure_coverage(u: np.ndarray, mask: np.ndarray | None, levels: tuple[float, ...]) -> Coverage:
    """Return the shares of observed entries whose ranks have |u - 1/2| <= level / 2.

    Args:
        u: ranks in [0, 1], ``(n, *event)``.
        mask: ``(n, *event)``, true where x is observed.
        levels: masses of the intervals.
    """
    observed = np.ones(u.shape, bool) if mask is None else mask
    inside = np.stack([(np.abs(u - 0.5) <= level / 2) & observed for level in levels])
    n, total = len(u), observed.sum()
    share = inside.reshape(len(levels), -1).sum(1) / total
    # A share is a ratio of two sums over data, whose sizes vary with the mask. By the delta method its
    # error is that of the sum of residuals: entries inside minus share * observed entries, per datum.
    per_datum = inside.reshape(len(levels), n, -1).sum(-1)
    residual = per_datum - share[:, None] * observed.reshape(n, -1).sum(-1)
    error = (
        np.sqrt(n / (n - 1) * (residual**2).sum(1)) / total if n > 1 else np.full(len(levels), np.nan)
    )
    count = observed.sum(0)
    by_entry = np.where(count > 0, inside.sum(1) / np.maximum(count, 1), np.nan)
    return Coverage(np.asarray(levels), share, error, by_entry)
