"""Predictive checks: whether data look like what the model would have given in their place."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from probvae.criticism import marginal
from probvae.criticism.coverage import Coverage, Ranks, coverage
from probvae.criticism.replicates import Replicate, observed, replicates
from probvae.criticism.statistics import (
    check_statistics,
    evaluated,
    observed_entries,
    usual_statistics,
)
from probvae.evidence import Batch
from probvae.training import Fitted, checks
from probvae.typing import RngKey

FEWEST = 20  # replicates: below, no tail share is under 0.1


class Check(NamedTuple):
    """One test statistic of the data against that of the replicates.

    ``observed`` has shape ``()`` or ``(k,)``, ``replicates`` ``(r,)`` or ``(r, k)``; ``tail_share`` is
    two-sided, 2 min(1 + #{T_rep >= T}, 1 + #{T_rep <= T}) / (r + 1) and at most 1; ``difference`` is
    the observed less the replicates' mean, in units of the statistic, and ``deviations`` the same in
    standard deviations of the replicates (infinite where they do not vary and the data differ).
    """

    observed: np.ndarray
    replicates: np.ndarray
    tail_share: np.ndarray
    difference: np.ndarray
    deviations: np.ndarray


class Marginal(NamedTuple):
    """The pooled marginal distribution of entries against that of all replicates.

    ``distance`` is Kolmogorov and Smirnov's, in [0, 1]; ``replicates`` ``(r,)`` each replicate's own
    distance from the others; ``tail_share`` (1 + #{at least as far}) / (r + 1).
    """

    distance: float
    replicates: np.ndarray
    tail_share: float


class Predictive(NamedTuple):
    """Data against replicates of one kind: ``statistics`` by name."""

    statistics: dict[str, Check]
    marginal: Marginal
    coverage: Coverage


class PredictiveChecks(NamedTuple):
    """Data against replicates from the prior (z ~ p) and from the posterior (z ~ q(z|x)).

    For data drawn from the model, ``prior`` is nominal: tail shares are uniform, intervals cover as
    they say. ``posterior`` has seen the datum that it predicts: its tail shares are drawn to 1 and its
    intervals cover more than they say, even for the exact posterior; only the other side tells a fault.
    ``num_data`` were compared with ``num_replicates`` sets of as many.
    """

    prior: Predictive
    posterior: Predictive
    num_data: int
    num_replicates: int


def predictive_checks(
    fitted: Fitted,
    x: Any,
    *,
    rng_key: RngKey,
    statistics: Any = None,
    num_replicates: int = 100,
    levels: tuple[float, ...] = (0.5, 0.8, 0.9),
) -> PredictiveChecks:
    """Compare data with replicates x_rep ~ p(x|z), z ~ p(z), and z ~ q(z|x).

    A replicate is a whole data set of the data's size, with their context and their missing entries;
    what is compared are test statistics T(x) and T(x_rep), the marginal distribution of entries, and
    for each entry whether it lies in a central interval of its replicates, by randomised ranks (exact
    for discrete entries too). Every check has the mean, the standard deviation, the share of zeros,
    the share at the ends of the likelihood's data range (of the data, where that has none), edges (the
    mean absolute difference of neighbouring entries) and the number of distinct values.

    Args:
        fitted: a fitted VAE.
        x: held-out data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``; where the likelihood
            adds noise (``Spread``), all of it is about one noisy draw of them.
        rng_key: a typed key.
        statistics: more of them, by name: functions of data ``(n, *event_shape)``, in double precision
            (a numpy masked array where entries are missing), to a number or a vector ``(k,)``.
        num_replicates: r.
        levels: masses of the intervals, in (0, 1).

    Raises:
        ValueError: for data that do not fit, a likelihood that is no density, fewer than 20
            replicates, or a statistic that returns anything but finite numbers of one shape.

    Reference: Gelman, Meng and Stern 1996, Statistica Sinica 6:733; Meng 1994, Annals of Statistics
    22:1142, on the tail shares of the posterior kind.
    """
    checks.check_fitted(fitted)
    check_statistics(statistics or {})
    _check_counts(num_replicates, levels)
    noise_key, draw_key, tie_key = jax.random.split(checked_key(rng_key), 3)
    data = observed(fitted, x, noise_key)
    seen = _Observed(data, fitted.vae.likelihood.data_range, statistics or {})
    kinds = [_Gathered(seen) for _ in Replicate._fields]
    for drawn in replicates(fitted, data, rng_key=draw_key, num_replicates=num_replicates):
        for kind, replicate in zip(kinds, drawn, strict=True):
            kind.add(replicate)
    random = np.random.default_rng(np.asarray(jax.random.key_data(tie_key)))
    prior, posterior = (kind.compared(random, levels) for kind in kinds)
    return PredictiveChecks(prior, posterior, len(data.x), num_replicates)


def checked_key(rng_key: Any) -> RngKey:
    """Return a typed key; raise for anything else."""
    checks.check_key(rng_key)
    return rng_key


class _Observed:
    """The data's side: what every replicate is compared with."""

    def __init__(self, data: Batch, data_range: tuple[float, float], more: Mapping) -> None:
        self.mask = data.mask
        self.levels = None
        self.x = self.prepared(data.x)
        entries = observed_entries(self.x)
        self.levels = marginal.levels_of(entries)
        self.statistics = {**usual_statistics(self.x, data_range), **more}
        self.points = marginal.points(entries)
        self.values = evaluated(self.statistics, self.x)
        self.shares = marginal.shares(entries, self.points)

    def prepared(self, x: np.ndarray) -> np.ndarray:
        """Return data in double precision, on the data's levels, without what is missing."""
        x = marginal.snapped(np.asarray(x, np.float64), self.levels)
        return x if self.mask is None else np.ma.MaskedArray(x, ~self.mask)


class _Gathered:
    """What is kept of replicates of one kind as they go by."""

    def __init__(self, seen: _Observed) -> None:
        self.seen = seen
        self.values: dict[str, list] = {name: [] for name in seen.values}
        self.shares: list[np.ndarray] = []
        self.ranks = Ranks(np.asarray(seen.x))

    def add(self, replicate: np.ndarray) -> None:
        x = self.seen.prepared(replicate)
        for name, value in evaluated(self.seen.statistics, x).items():
            if value.shape != self.seen.values[name].shape:
                raise ValueError(
                    f"the statistic {name!r} expects to return one shape for all data sets; got "
                    f"{self.seen.values[name].shape} of the data and {value.shape} of a replicate."
                )
            self.values[name].append(value)
        self.shares.append(marginal.shares(observed_entries(x), self.seen.points))
        self.ranks.add(np.asarray(x))

    def compared(self, random: np.random.Generator, levels: tuple[float, ...]) -> Predictive:
        found = {k: _check(self.seen.values[k], np.stack(v)) for k, v in self.values.items()}
        ranks = self.ranks.randomised(random)
        return Predictive(
            found,
            _marginal(self.seen.shares, np.stack(self.shares)),
            coverage(ranks, self.seen.mask, levels),
        )


def _check(value: np.ndarray, drawn: np.ndarray) -> Check:
    above, below = (drawn >= value).sum(0), (drawn <= value).sum(0)
    tail = np.minimum(2 * (1 + np.minimum(above, below)) / (len(drawn) + 1), 1.0)
    difference, spread = value - drawn.mean(0), drawn.std(0, ddof=1)
    rounding = 1e-12 * np.maximum(np.abs(value), np.abs(drawn).max(0))
    difference = np.where(np.abs(difference) <= rounding, 0.0, difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = difference / np.where(spread <= rounding, 0.0, spread)
    return Check(value, drawn, tail, difference, np.where(difference == 0, 0.0, deviations))


def _marginal(shares: np.ndarray, drawn: np.ndarray) -> Marginal:
    r, total = len(drawn), drawn.sum(0)
    distance = marginal.ks_distance(shares, total / r)
    own = np.array([marginal.ks_distance(one, (total - one) / (r - 1)) for one in drawn])
    return Marginal(distance, own, (1 + int((own >= distance).sum())) / (r + 1))


def _check_counts(num_replicates: Any, levels: Any) -> None:
    checks.check_count("num_replicates", num_replicates)
    if num_replicates < FEWEST:
        raise ValueError(
            f"num_replicates expects at least {FEWEST}, or no tail share could be small; got "
            f"{num_replicates}."
        )
    if not all(0 < level < 1 for level in levels) or not len(levels):
        raise ValueError(
            f"levels expects masses of intervals in (0, 1), as (0.5, 0.9); got {levels!r}."
        )
