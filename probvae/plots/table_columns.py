"""Figures of a table: one panel for each column, by its type, with its name, levels and dates."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from probvae.data.column_types import AbstractColumn, AbstractLevels, Date, Ordinal, Positive
from probvae.plots.canvas import Axes, Figure, new_figure, tidy
from probvae.plots.columns import (
    MAX_DOTS,
    TAIL,
    add_legend,
    bin_edges,
    bin_shares,
    explained_variance,
    ks_distance,
    shorten,
)
from probvae.plots.palette import BLUE, GREY, VERMILLION, Style

Columns = Sequence[AbstractColumn]

MAX_COLUMNS = 24  # in one figure
PER_ROW = 3
MAX_LEVELS = 8  # with a bar each. The rest share one
WIDE_RANGE = 50.0  # of a positive column's central values, from which on its axis is logarithmic
DAY_ZERO = np.datetime64("1970-01-01")  # of matplotlib's dates


def compare_table_columns(draws: np.ndarray, data: np.ndarray | None, columns: Columns) -> Figure:
    """Draw the distribution of each column: filled bars for the data, lines for the draws.

    A column of levels has a bar for each level. The number in the title is the Kolmogorov-Smirnov
    distance, or for levels without an order the total variation distance. If there are too many
    columns, the figure has those with the largest distances.

    Args:
        draws: draws ``(n, D)`` as numbers.
        data: data ``(m, D)`` with NaN where missing, or None.
        columns: the modelled columns of the schema.
    """
    distances = np.zeros(len(columns))
    if data is not None:
        distances = np.array(
            [measure_distance(c, draws[:, i], data[:, i]) for i, c in enumerate(columns)]
        )
    chosen = _choose(distances)
    figure, panels = _make_panels(
        "Draws of the model, and the data" if data is not None else "Draws of the model",
        len(chosen), len(columns), "where data and draws differ most",
    )  # fmt: skip
    for axes, i in zip(panels, chosen, strict=True):
        note = "" if data is None else f" ({distances[i]:.2f})"
        tidy(axes, title=f"{_head(columns[i].name)}{note}")
        own = None if data is None else data[:, i]
        if isinstance(columns[i], AbstractLevels):
            _draw_levels(axes, columns[i], draws[:, i], own)
        else:
            _draw_numbers(axes, columns[i], draws[:, i], own)
    if data is not None:
        add_legend(figure, panels[0])
    return figure


def compare_table_rows(x: np.ndarray, mean: np.ndarray, columns: Columns) -> Figure:
    """Draw each column of reconstructions against the data. Missing cells are left out.

    Numbers and dates are dots, with the line where both are equal. A column of levels has a bar for
    each level: the share of its rows whose reconstruction has the same level.

    Args:
        x: data ``(n, D)`` with NaN where missing.
        mean: their reconstructions.
        columns: the modelled columns of the schema.
    """
    r2 = explained_variance(x, mean)
    quality = np.array(
        [
            _share_equal(x[:, i], mean[:, i]) if isinstance(c, AbstractLevels) else r2[i]
            for i, c in enumerate(columns)
        ]
    )
    chosen = _choose(-quality)
    figure, panels = _make_panels(
        "Data x, and their reconstructions", len(chosen), len(columns), "with the largest differences"
    )
    rows = np.linspace(0, len(x) - 1, min(len(x), MAX_DOTS)).round().astype(int)
    for axes, i in zip(panels, chosen, strict=True):
        column = columns[i]
        if isinstance(column, AbstractLevels):
            note = f" ({quality[i]:.0%})" if np.isfinite(quality[i]) else ""
            tidy(axes, title=f"{_head(column.name)}{note}", x="same level")
            _draw_recall(axes, column, x[:, i], mean[:, i])
            continue
        note = f" (R\u00b2 {r2[i]:.2f})" if np.isfinite(r2[i]) and len(x) > 2 else ""
        tidy(axes, title=f"{_head(column.name)}{note}", x="x", y="E[x|z]")
        a, b = (_to_axis(column, values[rows, i]) for values in (x, mean))
        if np.isfinite(a).any():
            ends = [np.nanmin([a, b]), np.nanmax([a, b])]
            axes.plot(ends, ends, color=VERMILLION, lw=1.0, ls="--", zorder=1)
            axes.plot(a, b, "o", ms=2.5, mew=0, alpha=0.5, color=BLUE, zorder=2)
        _label_axis(axes.xaxis, column)
        _label_axis(axes.yaxis, column)
    return figure


def compare_table_paths(path: np.ndarray, ends: np.ndarray, columns: Columns) -> Figure:
    """Draw each column along the path between two rows: E[x|z] along the codes, and the rows.

    Args:
        path: the decoded points ``(num_points, D)``.
        ends: the two rows ``(2, D)``.
        columns: the modelled columns of the schema.
    """
    change = np.ptp(path, axis=0) / np.maximum([_width(column) for column in columns], 1e-12)
    chosen = _choose(change)
    figure, panels = _make_panels(
        "From one row to another: E[x|z] along the codes",
        len(chosen), len(columns), "that change most",
    )  # fmt: skip
    t = np.linspace(0, 1, len(path))
    for axes, i in zip(panels, chosen, strict=True):
        column, line, rows = columns[i], path[:, i], ends[:, i]
        style: Style = {}
        if isinstance(column, AbstractLevels):
            # Only the levels on the path have a place, so that their names do not overlap.
            line, style = np.rint(line), {"drawstyle": "steps-mid"}
            levels = np.unique(np.concatenate([line, rows])).astype(int)
            line, rows = np.searchsorted(levels, line), np.searchsorted(levels, rows)
            labels = [_shorten_level(column.levels[k]) for k in levels]
            axes.set_yticks(range(len(labels)), labels)
        axes.plot(t, _to_axis(column, line), "-", lw=1.5, color=BLUE, label="decoded codes", **style)
        dots = _to_axis(column, rows)
        axes.plot([0, 1], dots, "o", ms=5, color=VERMILLION, label="the two rows")
        tidy(axes, title=_head(column.name), x="t")
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        if not style:
            _label_axis(axes.yaxis, column)
    add_legend(figure, panels[0])
    return figure


def measure_distance(column: AbstractColumn, draws: np.ndarray, data: np.ndarray) -> float:
    """Return the distance of two samples of a column, between 0 and 1. NaN without a value."""
    if isinstance(column, AbstractLevels) and not isinstance(column, Ordinal):
        shares = [level_shares(column, values) for values in (draws, data)]
        return float(np.abs(shares[0] - shares[1]).sum() / 2)
    return ks_distance(draws, data)


def level_shares(column: AbstractLevels, values: np.ndarray) -> np.ndarray:
    """Return the share of each level among the observed values: ``(levels,)``."""
    seen = np.rint(values[~np.isnan(values)]).astype(int)
    return np.bincount(seen, minlength=len(column.levels)) / max(len(seen), 1)


def _draw_levels(
    axes: Axes, column: AbstractLevels, draws: np.ndarray, data: np.ndarray | None
) -> None:
    of_draws = level_shares(column, draws)
    of_data = of_draws if data is None else level_shares(column, data)
    shown = _choose_levels(column, of_data)
    rest = np.setdiff1d(np.arange(len(of_data)), shown)
    labels = [_shorten_level(column.levels[k]) for k in shown]
    if len(rest):
        labels.append(f"{len(rest)} others")
    at = np.arange(len(labels))
    heights = [
        np.append(shares[shown], [shares[rest].sum()] * bool(len(rest)))
        for shares in (of_data, of_draws)
    ]
    if data is not None:
        axes.barh(at, heights[0], height=0.8, color=GREY, alpha=0.5, lw=0, label="data", zorder=1)
    style: Style = {"facecolor": "none", "edgecolor": BLUE, "lw": 1.5, "zorder": 2}
    axes.barh(at, heights[1], height=0.8, label="draws of the model", **style)
    _label_levels(axes, labels)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
    axes.locator_params(axis="x", nbins=3)


def _choose_levels(column: AbstractLevels, shares: np.ndarray) -> np.ndarray:
    """Return the levels that have a bar, in their order, or without one by their share."""
    if len(shares) <= MAX_LEVELS and isinstance(column, Ordinal):
        return np.arange(len(shares))
    most = np.argsort(-shares, kind="stable")[: MAX_LEVELS - (len(shares) > MAX_LEVELS)]
    return np.sort(most) if isinstance(column, Ordinal) else most


def _label_levels(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels, fontsize=8 if len(labels) < 7 else 7)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _draw_numbers(
    axes: Axes, column: AbstractColumn, draws: np.ndarray, data: np.ndarray | None
) -> None:
    reference = draws if data is None or np.isnan(data).all() else data
    both = np.concatenate([reference, draws])
    most = int(np.clip(2 * np.sqrt(len(reference)), 8, 24))  # fewer bars for a small table
    if _is_wide(column, reference):
        bins = np.exp(bin_edges(np.log(both), most))
        axes.set_xscale("log")
    else:
        bins = bin_edges(both, most)
    if data is not None:
        shares, edges = bin_shares(data, bins), _to_axis(column, bins)
        axes.stairs(shares, edges, fill=True, color=GREY, alpha=0.5, lw=0, label="data", zorder=1)
    shares, edges = bin_shares(draws, bins), _to_axis(column, bins)
    axes.stairs(shares, edges, color=BLUE, lw=1.5, label="draws of the model", zorder=2)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylim(bottom=0.0)
    _label_axis(axes.xaxis, column)


def _is_wide(column: AbstractColumn, values: np.ndarray) -> bool:
    if not isinstance(column, Positive):
        return False
    low, high = np.nanquantile(values, [TAIL, 1 - TAIL])
    return bool(low > 0 and high / low > WIDE_RANGE)


def _draw_recall(axes: Axes, column: AbstractLevels, x: np.ndarray, mean: np.ndarray) -> None:
    shown = [k for k in _choose_levels(column, level_shares(column, x)) if (x == k).any()]
    recall = [float((np.rint(mean[x == k]) == k).mean()) for k in shown]
    axes.barh(range(len(shown)), recall, height=0.7, color=BLUE, alpha=0.7, lw=0)
    axes.axvline(1.0, color=VERMILLION, lw=1.0, ls="--", zorder=1)
    _label_levels(axes, [_shorten_level(column.levels[k]) for k in shown])
    axes.set_xlim(0, 1.05)
    axes.set_xticks([0, 0.5, 1.0], ["0", "50%", "100%"])


def _share_equal(x: np.ndarray, mean: np.ndarray) -> float:
    seen = ~np.isnan(x)
    return float((np.rint(mean[seen]) == x[seen]).mean()) if seen.any() else float("nan")


def _to_axis(column: AbstractColumn, values: np.ndarray) -> np.ndarray:
    """Return the numbers of a column as matplotlib draws them: dates in days since 1970."""
    if not isinstance(column, Date):
        return values
    return values + (np.datetime64(column.origin) - DAY_ZERO) / np.timedelta64(1, "D")


def _label_axis(axis: Any, column: AbstractColumn) -> None:
    """Set the ticks of an axis: dates, or a few numbers."""
    if isinstance(column, Date):
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator(minticks=2, maxticks=4)
        axis.set_major_locator(locator)
        axis.set_major_formatter(ConciseDateFormatter(locator))
    elif axis.get_scale() == "linear":
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        axis.set_major_locator(MaxNLocator(3))
        axis.set_major_formatter(FuncFormatter(_format_number))


def _format_number(value: float, _: object = None) -> str:
    """Return a short number for a tick, such as 200k."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):g}{unit}"
    return f"{value:,.6g}"


def _width(column: AbstractColumn) -> float:
    if isinstance(column, AbstractLevels):
        return float(len(column.levels) - 1)
    return float(getattr(column, "high", 1.0)) - float(getattr(column, "low", 0.0))


def _head(name: str) -> str:
    return shorten(name, 18)


def _shorten_level(level: object) -> str:
    return shorten(str(level), 16)


def _choose(interest: np.ndarray) -> np.ndarray:
    """Return the columns of most interest, in the order of the table."""
    order = np.argsort(-np.nan_to_num(interest, nan=-np.inf), kind="stable")
    return np.sort(order[:MAX_COLUMNS])


def _make_panels(title: str, shown: int, count: int, rule: str) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each column that is shown."""
    per_row = min(PER_ROW, shown)
    rows = -(-shown // per_row)
    figure = new_figure(height=1.75 * rows + 0.6, width=7.2)
    text = title if shown == count else f"{title}. {shown} of {count} columns, {rule}"
    figure.suptitle(textwrap.fill(text, 90), fontsize=10, x=0.01, ha="left")
    layout: Any = figure.get_layout_engine()
    layout.set(rect=(0, 0, 0.96, 1))  # titles may be wider than their panels
    grid = figure.add_gridspec(rows, per_row)
    cells = [place for _, place in zip(range(shown), np.ndindex(rows, per_row), strict=False)]
    return figure, [figure.add_subplot(grid[cell]) for cell in cells]
