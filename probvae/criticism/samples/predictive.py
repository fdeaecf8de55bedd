"""Predictive checks: whether data look like what the model would have given in their place."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from probvae.checks import check_key, check_positive_integer
from probvae.criticism.samples import marginal
from probvae.criticism.samples.coverage import Coverage, Ranks, coverage
from probvae.criticism.samples.marginal import Marginal
from probvae.criticism.samples.replicates import Replicate, apply_observation, draw_replicates
from probvae.criticism.samples.statistics import (
    check_statistics,
    evaluate_statistics,
    select_observed,
    usual_statistics,
)
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.interfaces import AbstractLikelihood, Block
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


class Predictive(NamedTuple):
    """Data against replicates of one kind.

    ``statistics`` by name. Where the likelihood is a ``Joint``, ``blocks`` holds the checks of each
    block of columns by its name, and the usual statistics are there: columns of different kinds are
    not pooled. ``coverage`` is that of all entries, and ``marginal`` that of the furthest block.
    """

    statistics: dict[str, Check]
    marginal: Marginal
    coverage: Coverage
    blocks: dict[str, Any] = {}  # noqa: RUF012  (each a Predictive)


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
    the share at the ends of the likelihood's data range (of a data set's own, where that has none),
    edges (the mean absolute difference of neighbouring entries) and the number of distinct values.

    Data and replicates are treated alike. For data drawn from the model each tail share is therefore
    an exact rank, P(tail share <= j / (r + 1)) = j / (r + 1), less where there are ties. Columns of a
    ``Joint`` are checked block by block, see ``Predictive``.

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
    check_fitted(fitted)
    check_statistics(statistics or {})
    _check_counts(num_replicates, levels)
    noise_key, draw_key, tie_key = jax.random.split(check_typed_key(rng_key), 3)
    data = apply_observation(fitted, x, noise_key)
    kinds = [_Kind(data, fitted.vae.likelihood, statistics or {}) for _ in Replicate._fields]
    for drawn in draw_replicates(fitted, data, rng_key=draw_key, num_replicates=num_replicates):
        for kind, replicate in zip(kinds, drawn, strict=True):
            kind.add(replicate)
    random = np.random.default_rng(np.asarray(jax.random.key_data(tie_key)))
    prior, posterior = (kind.compared(random, levels) for kind in kinds)
    return PredictiveChecks(prior, posterior, len(data.x), num_replicates)


def check_typed_key(rng_key: Any) -> RngKey:
    """Return a typed key; raise for anything else."""
    check_key(rng_key)
    return rng_key


class _Statistics:
    """Test statistics of the data, and of replicates as they go by."""

    def __init__(self, functions: Mapping[str, Any], x: np.ndarray) -> None:
        self.functions = functions
        self.observed = evaluate_statistics(functions, x)
        self.replicates: dict[str, list[np.ndarray]] = {name: [] for name in functions}

    def add(self, x: np.ndarray) -> None:
        for name, value in evaluate_statistics(self.functions, x).items():
            if value.shape != self.observed[name].shape:
                raise ValueError(
                    f"the statistic {name!r} expects to return one shape for all data sets; got "
                    f"{self.observed[name].shape} of the data and {value.shape} of a replicate."
                )
            self.replicates[name].append(value)

    def checks(self) -> dict[str, Check]:
        return {name: _check(self.observed[name], np.stack(v)) for name, v in self.replicates.items()}


class _Part:
    """Columns of one kind, of the data and of replicates as they go by."""

    def __init__(
        self, x: np.ndarray, mask: np.ndarray | None, columns: slice, statistics: Mapping[str, Any]
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
        """Return the columns in double precision, on the data's levels, missing entries masked."""
        own = marginal.snap_to_levels(np.asarray(x[..., self.columns], np.float64), self.levels)
        return own if self.mask is None else np.ma.MaskedArray(own, ~self.mask)

    def add(self, replicate: np.ndarray) -> None:
        own = self.prepare(replicate)
        self.statistics.add(own)
        self.atoms.append(marginal.find_atoms(select_observed(own)))
        self.ranks.add(np.asarray(own))


class _Kind:
    """The data against replicates of one kind, as a whole or by the blocks of a ``Joint``."""

    def __init__(self, data: Batch, likelihood: AbstractLikelihood, more: Mapping[str, Any]) -> None:
        self.x, self.mask = np.asarray(data.x), data.mask
        whole = Block(slice(None), likelihood)
        self.has_blocks = bool(likelihood.named_blocks)
        self.parts = {
            name: _Part(
                self.x,
                self.mask,
                block.columns,
                {**usual_statistics(block.likelihood.data_range), **({} if self.has_blocks else more)},
            )
            for name, block in (likelihood.named_blocks or {"": whole}).items()
            if self.mask is None or self.mask[..., block.columns].any()
        }
        self.statistics = _Statistics(more if self.has_blocks else {}, self._whole(self.x))

    def add(self, replicate: np.ndarray) -> None:
        for part in self.parts.values():
            part.add(replicate)
        self.statistics.add(self._whole(replicate))

    def _whole(self, x: np.ndarray) -> np.ndarray:
        whole = np.array(x, np.float64)
        for part in self.parts.values():
            whole[..., part.columns] = np.asarray(part.prepare(x))
        return whole if self.mask is None else np.ma.MaskedArray(whole, ~self.mask)

    def compared(self, random: np.random.Generator, levels: tuple[float, ...]) -> Predictive:
        ranks = np.full(self.x.shape, np.nan)
        distances, checked = [], {}
        for name, part in self.parts.items():
            own = ranks[..., part.columns] = part.ranks.randomised(random)
            distances.append(marginal.distances(part.atoms))
            checked[name] = Predictive(
                part.statistics.checks(),
                marginal.rank_distances(distances[-1]),
                coverage(own, part.mask, levels),
            )
        if not self.has_blocks:
            return checked[""]
        return Predictive(
            self.statistics.checks(),
            marginal.rank_distances(np.max(distances, axis=0)),
            coverage(ranks, self.mask, levels),
            checked,
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


def _check_counts(num_replicates: Any, levels: Any) -> None:
    check_positive_integer("num_replicates", num_replicates)
    if num_replicates < FEWEST:
        raise ValueError(
            f"num_replicates expects at least {FEWEST}, or no tail share could be small; got "
            f"{num_replicates}."
        )
    if not all(0 < level < 1 for level in levels) or not len(levels):
        raise ValueError(
            f"levels expects masses of intervals in (0, 1), as (0.5, 0.9); got {levels!r}."
        )
