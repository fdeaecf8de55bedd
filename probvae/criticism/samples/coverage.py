"""Coverage of central predictive intervals, from the ranks of data among their replicates."""

from typing import NamedTuple

import numpy as np


class Coverage(NamedTuple):
    """Shares of entries inside their central predictive intervals.

    ``levels`` ``(l,)`` are the intervals' nominal masses, ``share`` ``(l,)`` the shares of all observed
    entries inside, ``standard_error`` ``(l,)`` its standard error over data (entries of a datum hang
    together; nan for one datum), ``by_entry`` ``(l, *event)`` the share of data for each entry (nan
    where it is never observed).
    """

    levels: np.ndarray
    share: np.ndarray
    standard_error: np.ndarray
    by_entry: np.ndarray


class Ranks:
    """The ranks of data ``(n, *event)`` among replicates that go by one at a time."""

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

    def randomised(self, random: np.random.Generator) -> np.ndarray:
        """Return u = (#below + V (#equal + 1)) / (r + 1), V ~ Uniform(0, 1), for each entry.

        Where an entry and its replicates are exchangeable u is uniform on [0, 1], for any number r of
        replicates and for discrete entries as for real ones: ties are broken by chance.
        """
        v = random.uniform(size=self.x.shape)
        return (self.below + v * (self.equal + 1)) / (self.count + 1)


def coverage(u: np.ndarray, mask: np.ndarray | None, levels: tuple[float, ...]) -> Coverage:
    """Return the shares with |u - 1/2| <= level / 2, of the ranks of entries that are observed.

    Args:
        u: ranks in [0, 1], ``(n, *event)``.
        mask: ``(n, *event)``, true where x is observed.
        levels: masses of the intervals.
    """
    known = np.ones(u.shape, bool) if mask is None else mask
    inside = np.stack([(np.abs(u - 0.5) <= level / 2) & known for level in levels])
    n, total = len(u), known.sum()
    share = inside.reshape(len(levels), -1).sum(1) / total
    per_datum = inside.reshape(len(levels), n, -1).sum(-1)
    excess = per_datum - share[:, None] * known.reshape(n, -1).sum(-1)
    error = np.sqrt(n / (n - 1) * (excess**2).sum(1)) / total if n > 1 else np.full(len(levels), np.nan)
    seen = known.sum(0)
    by_entry = np.where(seen > 0, inside.sum(1) / np.maximum(seen, 1), np.nan)
    return Coverage(np.asarray(levels), share, error, by_entry)
