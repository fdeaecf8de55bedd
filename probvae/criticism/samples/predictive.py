"""Predictive checks: test statistics, marginals and coverage of data against replicates."""

from typing import Any, NamedTuple

import jax
import numpy as np

from probvae.checks import check_draw_arguments
from probvae.criticism.observed import observe
from probvae.criticism.samples import marginal
from probvae.criticism.samples.coverage import Coverage, Ranks, measure_coverage
from probvae.criticism.samples.marginal import Marginal
from probvae.criticism.samples.replicates import Replicate, draw_replicates
from probvae.criticism.samples.statistics import (
    NamedStatistics,
    check_statistics,
    evaluate_statistics,
    select_observed,
    usual_statistics,
)
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.interfaces import AbstractLikelihood, Block
from probvae.short_repr import short_repr
from probvae.typing import DataLike, RngKey

MIN_REPLICATES = 20  # with fewer, no tail share is below 0.1


@short_repr
class Check(NamedTuple):
    """One test statistic of the data against that of the replicates.

    ``observed`` has shape ``()`` or ``(k,)``, and ``replicates`` ``(r,)`` or ``(r, k)``. ``tail_share``
    is two-sided, 2 min(1 + #{T_rep >= T}, 1 + #{T_rep <= T}) / (r + 1), and at most 1. ``difference``
    is the observed value minus the mean of the replicates, in units of the statistic. ``deviations`` is
    the same in standard deviations of the replicates (infinite where they do not vary and the data
    differ).
    """

    observed: np.ndarray
    replicates: np.ndarray
    tail_share: np.ndarray
    difference: np.ndarray
    deviations: np.ndarray


@short_repr
class Predictive(NamedTuple):
    """Data against replicates of one kind.

    ``statistics`` holds the checks by name. ``coverage`` is that of all entries. If the likelihood is a
    ``Joint``, ``blocks`` holds the checks of each block of columns by its name, with the usual
    statistics, because columns of different kinds are not pooled. ``marginal`` is then that of the
    block with the largest distances.
    """

    statistics: dict[str, Check]
    marginal: Marginal
    coverage: Coverage
    blocks: dict[str, "Predictive"] = {}  # noqa: RUF012


@short_repr
class PredictiveChecks(NamedTuple):
    """Data against replicates from the prior (z ~ p) and from the posterior (z ~ q(z|x)).

    For data drawn from the model, ``prior`` is nominal: tail shares are uniform, and intervals have
    their nominal coverage. ``posterior`` depends on the datum that it predicts. So its tail shares are
    closer to 1, and its intervals cover more than their nominal mass, even for the exact posterior.
    Only deviations to the other side show a fault. ``num_data`` is the size of the data and of each of
    the ``num_replicates`` replicates.
    """

    prior: Predictive
    posterior: Predictive
    num_data: int
    num_replicates: int


def predictive_checks(
    fitted: Fitted,
    x: DataLike,
    *,
    rng_key: RngKey,
    statistics: Any = None,
    num_replicates: int = 100,
    levels: tuple[float, ...] = (0.5, 0.8, 0.9),
) -> PredictiveChecks:
    """Compare data with replicates x_rep ~ p(x|z), z ~ p(z), and z ~ q(z|x).

    A replicate is a whole data set of the same size, with the same context and missing entries. Three
    things are compared:

    - Test statistics T(x) and T(x_rep). The usual ones are the mean, the standard deviation, the share
      of zeros, the share at the ends of the likelihood's data range (or of the data set's own), edges
      (the mean absolute difference of neighbouring entries) and the number of distinct values.
    - The marginal distribution of entries.
    - The coverage of central intervals: whether each entry is inside that of its replicates. Randomized
      ranks make this exact for discrete entries too.

    Data and replicates have the same role. So for data drawn from the model each tail share is an exact
    rank: P(tail share <= j / (r + 1)) = j / (r + 1), and less with ties. Columns of a ``Joint`` are
    checked block by block, see ``Predictive``.

    Args:
        fitted: a fitted VAE.
        x: held-out data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``. If the likelihood
            adds noise (``Spread``), the results are about one noisy draw of them.
        rng_key: a typed key.
        statistics: further statistics by name. Each is a function of data ``(n, *event_shape)`` in
            double precision (a NumPy masked array if entries are missing) to a number or a vector
            ``(k,)``.
        num_replicates: r, at least 20.
        levels: the masses of the intervals, in (0, 1).

    Raises:
        ValueError: for invalid data, a likelihood that has no density, fewer than 20 replicates, or a
            statistic that returns anything but finite numbers of one shape.

    Reference: Gelman, Meng and Stern 1996, Statistica Sinica 6:733; Meng 1994, Annals of Statistics
    22:1142, on the tail shares of the posterior kind.
    """
    check_fitted(fitted)
    check_statistics(statistics or {})
    check_draw_arguments(rng_key, num_replicates=num_replicates)
    _check_options(num_replicates, levels)
    noise_key, draw_key, tie_key = jax.random.split(rng_key, 3)
    data = observe(fitted, x, noise_key, guide=False, fold=False)
    kinds = [_Kind(data, fitted.vae.likelihood, statistics or {}) for _ in Replicate._fields]
    for replicate in draw_replicates(fitted, data, rng_key=draw_key, num_replicates=num_replicates):
        for kind, x_rep in zip(kinds, replicate, strict=True):
            kind.add(x_rep)
    random = np.random.default_rng(np.asarray(jax.random.key_data(tie_key)))
    prior, posterior = (kind.compare(random, levels) for kind in kinds)
    return PredictiveChecks(prior, posterior, len(data.x), num_replicates)


class _Statistics:
    """Test statistics of the data, and of replicates, which you add one at a time."""

    def __init__(self, functions: NamedStatistics, x: np.ndarray) -> None:
        self.functions = functions
        self.observed = evaluate_statistics(functions, x)
        self.replicates: dict[str, list[np.ndarray]] = {name: [] for name in functions}

    def add(self, x: np.ndarray) -> None:
        for name, value in evaluate_statistics(self.functions, x).items():
            if value.shape != self.observed[name].shape:
                raise ValueError(
                    f"the statistic {name!r} expects to return one shape for all data sets; got "
                    f"{self.observed[name].shape} for the data and {value.shape} for a replicate."
                )
            self.replicates[name].append(value)

    def checks(self) -> dict[str, Check]:
        return {
            name: compare_statistic(self.observed[name], np.stack(v))
            for name, v in self.replicates.items()
        }


class _Part:
    """Columns of one kind, of the data and of replicates, which you add one at a time."""

    def __init__(
        self, x: np.ndarray, mask: np.ndarray | None, columns: slice, statistics: NamedStatistics
    ) -> None:
        self.columns = columns
        self.mask = None if mask is None else mask[..., columns]
        self.levels: np.ndarray | None = None
        own = self.prepare(x)
        self.levels = marginal.find_levels(select_observed(own))
        self.statistics = _Statistics(statistics, own)
        self.atoms = [marginal.find_atoms(select_observed(own))]
        self.ranks = Ranks(np.asarray(own))

    def prepare(self, x: np.ndarray) -> np.ndarray:
        """Return the columns in double precision, on the levels of the data, and mask missing ones."""
        own = marginal.snap_to_levels(np.asarray(x[..., self.columns], np.float64), self.levels)
        return own if self.mask is None else np.ma.MaskedArray(own, ~self.mask)

    def add(self, replicate: np.ndarray) -> None:
        own = self.prepare(replicate)
        self.statistics.add(own)
        self.atoms.append(marginal.find_atoms(select_observed(own)))
        self.ranks.add(np.asarray(own))


class _Kind:
    """The data against replicates of one kind, pooled or by the blocks of a ``Joint``."""

    def __init__(self, data: Batch, likelihood: AbstractLikelihood, more: NamedStatistics) -> None:
        self.x, self.mask = np.asarray(data.x), data.mask
        pooled = Block(slice(None), likelihood)
        self.has_blocks = bool(likelihood.named_blocks)
        self.parts = {
            name: _Part(
                self.x,
                self.mask,
                block.columns,
                {**usual_statistics(block.likelihood.data_range), **({} if self.has_blocks else more)},
            )
            for name, block in (likelihood.named_blocks or {"": pooled}).items()
            if self.mask is None or self.mask[..., block.columns].any()
        }
        # Your own statistics see all columns. With blocks, the usual ones are those of each block.
        self.statistics = _Statistics(more if self.has_blocks else {}, self._join_columns(self.x))

    def add(self, replicate: np.ndarray) -> None:
        for part in self.parts.values():
            part.add(replicate)
        self.statistics.add(self._join_columns(replicate))

    def _join_columns(self, x: np.ndarray) -> np.ndarray:
        joined = np.array(x, np.float64)
        for part in self.parts.values():
            joined[..., part.columns] = np.asarray(part.prepare(x))
        return joined if self.mask is None else np.ma.MaskedArray(joined, ~self.mask)

    def compare(self, random: np.random.Generator, levels: tuple[float, ...]) -> Predictive:
        ranks = np.full(self.x.shape, np.nan)
        distances, blocks = [], {}
        for name, part in self.parts.items():
            own = ranks[..., part.columns] = part.ranks.randomize(random)
            distances.append(marginal.measure_distances(part.atoms))
            blocks[name] = Predictive(
                part.statistics.checks(),
                marginal.rank_distances(distances[-1])._replace(
                    curve=marginal.measure_curve(part.atoms)
                ),
                measure_coverage(own, part.mask, levels),
            )
        if not self.has_blocks:
            return blocks[""]
        return Predictive(
            self.statistics.checks(),
            marginal.rank_distances(np.max(distances, axis=0)),
            measure_coverage(ranks, self.mask, levels),
            blocks,
        )


def compare_statistic(value: np.ndarray, replicates: np.ndarray) -> Check:
    """Return the check of one statistic, ``()`` or ``(k,)``, against its replicates."""
    above, below = (replicates >= value).sum(0), (replicates <= value).sum(0)
    tail = np.minimum(2 * (1 + np.minimum(above, below)) / (len(replicates) + 1), 1.0)
    difference, spread = value - replicates.mean(0), replicates.std(0, ddof=1)
    # The mean of equal numbers may differ from them in the last place. Without the rounding, constant
    # replicates that equal the data would give a difference over a spread of 1e-17.
    rounding = 1e-12 * np.maximum(np.abs(value), np.abs(replicates).max(0))
    difference = np.where(np.abs(difference) <= rounding, 0.0, difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = difference / np.where(spread <= rounding, 0.0, spread)
    return Check(value, replicates, tail, difference, np.where(difference == 0, 0.0, deviations))


def _check_options(num_replicates: int, levels: tuple[float, ...]) -> None:
    if num_replicates < MIN_REPLICATES:
        raise ValueError(
            f"num_replicates expects at least {MIN_REPLICATES}, so that a tail share can be small; got "
            f"{num_replicates}."
        )
    if not all(0 < level < 1 for level in levels) or not len(levels):
        raise ValueError(
            f"levels expects masses of intervals in (0, 1), such as (0.5, 0.9); got {levels!r}."
        )
