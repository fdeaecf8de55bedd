"""Predictive checks of each column of a table: its mean, spread, quantiles and shares of levels."""

from typing import NamedTuple

import numpy as np

from probvae.criticism.samples.predictive import MIN_REPLICATES, Check, compare_statistic
from probvae.criticism.samples.table_replicates import draw_tables, read_rows
from probvae.data.column_types import AbstractColumn, AbstractLevels, Date
from probvae.fitted import Fitted
from probvae.short_repr import short_repr
from probvae.typing import DataLike, RngKey

QUANTILES = (0.05, 0.5, 0.95)
MAX_LEVELS = 20  # of one column that are checked, the most frequent ones
SHOWN = 8  # checks that print shows


@short_repr
class ColumnChecks(NamedTuple):
    """Statistics of each column, in the data and in replicates of the same size.

    Attributes:
        checks: a `Check` by name of the column and of the statistic: "mean", "sd" and quantiles of
            numbers and dates, and the share of each level.
        num_data: the number of rows of the data.
        num_replicates: the number of replicates.
    """

    checks: dict[str, dict[str, Check]]
    num_data: int
    num_replicates: int

    def largest(self, count: int = SHOWN) -> list[tuple[str, str, Check]]:
        """Return column, statistic and check of the largest deviations, in sd of the replicates."""
        every = [(c, s, check) for c, own in self.checks.items() for s, check in own.items()]
        return sorted(every, key=lambda each: -abs(float(each[2].deviations)))[:count]

    def __str__(self) -> str:
        head = (
            f"{self.num_data:,} rows against {self.num_replicates} replicates, the largest deviations "
            "first:"
        )
        return "\n".join([head, *(f"  {describe_check(*each)}" for each in self.largest())])


def describe_check(column: str, statistic: str, check: Check) -> str:
    """Return a check in words."""
    mean = float(np.mean(check.replicates))
    return (
        f"{column}: {statistic} {float(check.observed):.4g} in the data, {mean:.4g} in draws "
        f"({float(check.deviations):+.1f} sd)"
    )


def column_checks(
    fitted: Fitted, x: DataLike, *, rng_key: RngKey, num_replicates: int = 50
) -> ColumnChecks:
    """Check each column of a table against draws of the model, x ~ p(x|z), z ~ p(z).

    Numbers and dates have their mean, standard deviation, and 5, 50 and 95 % quantiles. Columns of
    levels have the share of each level. A replicate has the size and the missing cells of the data.

    Args:
        fitted: a VAE that was trained on a ``data.Table``.
        x: held-out rows: a table, a frame, or a ``Batch`` of one with a context.
        rng_key: a typed key.
        num_replicates: tables of draws, at least 20.

    Raises:
        ValueError: if the VAE was not trained on a table, or for fewer than 20 replicates.
    """
    if num_replicates < MIN_REPLICATES:
        raise ValueError(f"num_replicates expects at least {MIN_REPLICATES}; got {num_replicates}.")
    rows, context = read_rows(fitted, x)
    columns = rows.schema.modelled
    observed = [describe_column(column, rows.x[:, i]) for i, column in enumerate(columns)]
    drawn: list[list[dict[str, float]]] = [[] for _ in columns]
    tables = draw_tables(fitted, rows, context, rng_key=rng_key, num_replicates=num_replicates)
    for table in tables:
        for i, column in enumerate(columns):
            drawn[i].append(describe_column(column, table[:, i]))
    checks = {
        column.name: {
            name: compare_statistic(np.asarray(value), np.array([each[name] for each in replicates]))
            for name, value in list(own.items())[: None if _is_number(column) else MAX_LEVELS]
        }
        for column, own, replicates in zip(columns, observed, drawn, strict=True)
        if own
    }
    return ColumnChecks(checks, len(rows.x), num_replicates)


def describe_column(column: AbstractColumn, values: np.ndarray) -> dict[str, float]:
    """Return the statistics of one column. NaN counts as missing. Empty without a value.

    Levels come in the order of their shares, the largest first.
    """
    seen = values[~np.isnan(values)]
    if not len(seen):
        return {}
    if isinstance(column, AbstractLevels):
        shares = np.bincount(seen.astype(int), minlength=len(column.levels)) / len(seen)
        order = np.argsort(-shares, kind="stable")
        return {f"share of {column.levels[k]}": float(shares[k]) for k in order}
    unit = " (days)" if isinstance(column, Date) else ""
    quantiles = np.quantile(seen, QUANTILES)
    names = [f"{share:.0%} quantile{unit}" for share in QUANTILES]
    moments = {f"mean{unit}": float(seen.mean()), f"sd{unit}": float(seen.std())}
    return moments | dict(zip(names, quantiles.tolist(), strict=True))


def _is_number(column: AbstractColumn) -> bool:
    return not isinstance(column, AbstractLevels)
