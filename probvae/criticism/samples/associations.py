"""Associations between pairs of columns: in the data, and in draws of the model."""

import warnings
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from probvae.criticism.samples.table_replicates import draw_tables, read_rows
from probvae.data import Schema, column_types
from probvae.fitted import Fitted
from probvae.short_repr import short_repr
from probvae.typing import DataLike, RngKey

SHOWN = 5  # pairs that print shows


@short_repr
class Association(NamedTuple):
    """The association of two columns, in the data and in draws.

    Attributes:
        first: the name of one column.
        second: the name of the other.
        kind: "rank correlation", "correlation ratio" or "Cramer's V".
        data: the association in the data.
        draws: its mean over replicates of the data's size.
        spread: its standard deviation over them.
    """

    first: str
    second: str
    kind: str
    data: float
    draws: float
    spread: float

    def __str__(self) -> str:
        return (
            f"{self.first}, {self.second}: {self.kind} {self.data:.2f} in the data, {self.draws:.2f} "
            f"in draws (sd {self.spread:.2f} over replicates)"
        )


@short_repr
class Associations(NamedTuple):
    """Associations of all pairs of columns, as symmetric matrices ``(D, D)``.

    They are NaN where a pair has no two values to compare.

    Attributes:
        names: the names of the D columns.
        data: the associations in the data ``(D, D)``.
        draws: their mean ``(D, D)`` over replicates of the data's size.
        spread: their standard deviation ``(D, D)`` over the replicates.
        is_number: ``(D,)``, True for columns of numbers and False for columns of levels.
    """

    names: tuple[str, ...]
    data: np.ndarray
    draws: np.ndarray
    spread: np.ndarray
    is_number: np.ndarray

    @property
    def pairs(self) -> list[Association]:
        """The pairs, those with the largest difference of data and draws first."""
        size = len(self.names)
        pairs = [self._pair(i, j) for i in range(size) for j in range(i)]
        finite = [pair for pair in pairs if np.isfinite(pair.data - pair.draws)]
        return sorted(finite, key=lambda pair: -abs(pair.data - pair.draws))

    def _pair(self, i: int, j: int) -> Association:
        first, second = min(i, j), max(i, j)
        words = ("Cramer's V", "correlation ratio", "rank correlation")
        kind = words[int(self.is_number[i]) + int(self.is_number[j])]
        numbers = (float(matrix[i, j]) for matrix in (self.data, self.draws, self.spread))
        return Association(self.names[first], self.names[second], kind, *numbers)

    @property
    def mean_difference(self) -> float:
        """The mean absolute difference of data and draws over all pairs."""
        pairs = self.pairs
        return float(np.mean([abs(p.data - p.draws) for p in pairs])) if pairs else float("nan")

    def __str__(self) -> str:
        pairs = self.pairs
        head = f"associations of {len(pairs)} pairs: mean difference {self.mean_difference:.3f}"
        return "\n".join([head, *(f"  {pair}" for pair in pairs[:SHOWN])])


def associations(
    fitted: Fitted, x: DataLike, *, rng_key: RngKey, num_replicates: int = 10
) -> Associations:
    r"""Compare the association of each pair of columns in data and in draws of the model.

    For two numbers it is the rank correlation (Spearman), for a number and levels the correlation
    ratio $\eta$ of the number's ranks, and for two columns of levels Cramer's V. Ranks depend neither
    on units nor on outliers. Dates and ordinal levels count as numbers. Each replicate has the size and
    the missing cells of the data, because $\eta$ and V are biased upward in small tables.

    Args:
        fitted: a VAE that was trained on a ``data.Table``.
        x: held-out rows: a table, a frame, or a ``Batch`` of one with a context.
        rng_key: a typed key.
        num_replicates: tables of draws.

    Raises:
        ValueError: if the VAE was not trained on a table.
    """
    rows, context = read_rows(fitted, x)
    tables = draw_tables(fitted, rows, context, rng_key=rng_key, num_replicates=num_replicates)
    drawn = np.stack([measure_associations(table, rows.schema) for table in tables])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a pair that is NaN in each replicate
        mean, spread = np.nanmean(drawn, axis=0), np.nanstd(drawn, axis=0, ddof=1)
    data = measure_associations(rows.x, rows.schema)
    return Associations(rows.schema.names, data, mean, spread, _find_numbers(rows.schema))


def measure_associations(x: np.ndarray, schema: Schema) -> np.ndarray:
    """Return the association of each pair of columns ``(D, D)``. The diagonal is 1.

    Args:
        x: a table as numbers ``(n, D)``, with NaN where missing.
        schema: its columns.
    """
    is_number = _find_numbers(schema)
    numbers, levels = np.flatnonzero(is_number), np.flatnonzero(~is_number)
    result = np.full((x.shape[1],) * 2, np.nan)
    ranks = np.stack([_rank(x[:, i]) for i in numbers], axis=1) if len(numbers) else x[:, :0]
    seen = ~np.isnan(x[:, numbers])  # (n, numbers)
    result[np.ix_(numbers, numbers)] = _correlate(ranks, seen)
    codes = {i: _one_hot(x[:, i]) for i in levels}
    for i in levels:
        result[i, numbers] = result[numbers, i] = _correlation_ratios(codes[i], ranks, seen)
        for j in levels:
            result[i, j] = _cramers_v(codes[i].T @ codes[j])
    np.fill_diagonal(result, 1.0)
    return result


def _find_numbers(schema: Schema) -> np.ndarray:
    kinds = (column_types.YesNo, column_types.Categorical)
    return np.array([not isinstance(column, kinds) for column in schema.modelled], bool)


def _rank(values: np.ndarray) -> np.ndarray:
    """Return centred ranks of the observed values, in [-1/2, 1/2]. 0 where missing."""
    seen = ~np.isnan(values)
    ranks = np.zeros(len(values))
    if seen.any():
        own = rankdata(values[seen])
        ranks[seen] = (own - own.mean()) / len(own)
    return ranks


def _correlate(ranks: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the correlations of columns ``(D, D)`` over the rows where both are observed."""
    weights = seen.astype(float)
    count = weights.T @ weights  # rows with both
    total = ranks.T @ weights  # [i, j]: sum of i over the rows with j
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = ranks.T @ ranks / count - total * total.T / count**2
        variance = (ranks**2).T @ weights / count - (total / count) ** 2
        return _positive_ratio(covariance, np.sqrt(np.maximum(variance * variance.T, 0)))


def _correlation_ratios(codes: np.ndarray, ranks: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return eta of each number's ranks by the levels of one column."""
    count = codes.T @ seen  # (levels, numbers)
    total = codes.T @ ranks
    has_level = codes.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_term = total.sum(axis=0) ** 2 / count.sum(axis=0)
        between = np.where(count > 0, total**2 / count, 0.0).sum(axis=0) - mean_term
        overall = has_level @ ranks**2 - mean_term
        ratio = np.sqrt(_positive_ratio(np.maximum(between, 0), overall))
    return np.where((count > 0).sum(axis=0) > 1, ratio, np.nan)


def _cramers_v(counts: np.ndarray) -> float:
    """Return Cramer's V of a table of counts. Levels that do not occur are left out."""
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    smaller = min(counts.shape) - 1
    if smaller < 1:
        return float("nan")
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    return float(np.sqrt(((counts - expected) ** 2 / expected).sum() / counts.sum() / smaller))


def _one_hot(values: np.ndarray) -> np.ndarray:
    """Return the codes of a column of levels ``(n, levels)``. A missing level has zeros."""
    levels = np.unique(values[~np.isnan(values)])
    return (values[:, None] == levels).astype(float)


def _positive_ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a / b, NaN where b is not above rounding errors."""
    return np.where(b > 1e-12, a / np.where(b > 1e-12, b, 1.0), np.nan)
