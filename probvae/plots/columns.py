"""Figures of data with columns, such as rows of a table: one small panel for each column.

More than ``MAX_COLUMNS`` columns do not fit. Each figure then has the columns where there is most to
see, and its title says how they were chosen.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from probvae.plots.canvas import Axes, Figure, new_figure, tidy
from probvae.plots.palette import BLUE, GREY, VERMILLION, Style

MAX_COLUMNS = 12  # in one figure
PER_ROW = 4
MANY = 30  # columns, from which on a further panel shows all of them
MAX_BARS = 20  # values of a discrete column that have a bar each
TAIL = 0.005  # share of values on each side that share the bar at the end
MAX_DOTS = 400  # in one panel


class Columns(NamedTuple):
    """Rows ``(n, columns)``, as numbers, and the name of each column."""

    rows: np.ndarray
    names: list[str]


def name_columns(event_shape: tuple[int, ...], names: Sequence[str] | None = None) -> list[str]:
    """Return the names of all entries of a datum: the given ones, or their indices.

    Raises:
        ValueError: if the number of names is not that of the entries.
    """
    count = int(np.prod(event_shape))
    if names is None:
        places = np.ndindex(*event_shape)
        return [f"x[{', '.join(map(str, place))}]" if place else "x" for place in places]
    if len(names) != count:
        raise ValueError(
            f"column_names expects {count} names, one for each entry of a datum of shape "
            f"{event_shape}; got {len(names)}."
        )
    return [str(name) for name in names]


def compare_columns(
    draws: np.ndarray, data: np.ndarray | None, names: list[str], *, title: str
) -> Figure:
    """Draw the distribution of each column: bars for the data, a line for the draws.

    If there are too many columns, the figure has those where the two differ most by the
    Kolmogorov-Smirnov distance. From ``MANY`` columns on, a further panel shows the range of all.

    Args:
        draws: draws ``(n, columns)``.
        data: data ``(m, columns)`` to compare the draws with, or None.
        names: the names of the columns.
        title: the title of the figure.
    """
    reference = draws if data is None else data
    if data is None:
        interest, rule = np.nanstd(draws, axis=0), "that vary most"
    else:
        interest = np.array([ks_distance(a, b) for a, b in zip(draws.T, data.T, strict=True)])
        rule = "where data and draws differ most (Kolmogorov-Smirnov distance)"
    chosen = _choose(interest)
    figure = _titled(title, chosen, len(names), rule, has_overview=len(names) > MANY)
    panels = _panels(figure, len(chosen), overview=len(names) > MANY)
    if len(names) > MANY:
        _draw_overview(panels.pop(0), draws, data)
    for axes, column in zip(panels, chosen, strict=True):
        bins = bin_edges(np.concatenate([reference[:, column], draws[:, column]]))
        if data is not None:
            height = bin_shares(data[:, column], bins)
            axes.stairs(height, bins, fill=True, color=GREY, alpha=0.5, lw=0, label="data", zorder=1)
        height = bin_shares(draws[:, column], bins)
        axes.stairs(height, bins, color=BLUE, lw=1.5, label="draws of the model", zorder=2)
        difference = "" if data is None else f" ({interest[column]:.2f})"
        tidy(axes, title=f"{shorten(names[column])}{difference}")
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_ylim(bottom=0.0)
    if data is not None:
        add_legend(figure, panels[0])
    return figure


def compare_rows(x: np.ndarray, mean: np.ndarray, names: list[str], *, title: str) -> Figure:
    """Draw each column of reconstructions against the data, with the line where both are equal.

    If there are too many columns, the figure has those with the lowest R^2, the share of the column's
    variance that the reconstruction explains.

    Args:
        x: data ``(n, columns)``.
        mean: their reconstructions.
        names: the names of the columns.
        title: the title of the figure.
    """
    r2 = explained_variance(x, mean)
    chosen = _choose(-r2)
    figure = _titled(title, chosen, len(names), "with the lowest R\u00b2")
    rows = np.linspace(0, len(x) - 1, min(len(x), MAX_DOTS)).round().astype(int)
    for axes, column in zip(_panels(figure, len(chosen)), chosen, strict=True):
        a, b = x[rows, column], mean[rows, column]
        ends = [float(min(np.nanmin(a), np.nanmin(b))), float(max(np.nanmax(a), np.nanmax(b)))]
        axes.plot(ends, ends, color=VERMILLION, lw=1.0, ls="--", zorder=1)
        axes.plot(a, b, "o", ms=2.5, mew=0, alpha=0.5, color=BLUE, zorder=2)
        note = f" (R\u00b2 {r2[column]:.2f})" if np.isfinite(r2[column]) and len(x) > 2 else ""
        tidy(axes, title=f"{shorten(names[column])}{note}", x="x", y="E[x|z]")
    return figure


def compare_paths(paths: dict[str, np.ndarray], names: list[str], *, title: str) -> Figure:
    """Draw each column along paths from one datum to another, t from 0 to 1.

    If there are too many columns, the figure has those that change most, in units of their range.

    Args:
        paths: paths ``(num_points, columns)`` by name.
        names: the names of the columns.
        title: the title of the figure.
    """
    stacked = np.stack(list(paths.values()))
    chosen = _choose(np.ptp(stacked, axis=1).max(0))
    figure = _titled(title, chosen, len(names), "that change most")
    panels = _panels(figure, len(chosen))
    styles: tuple[Style, ...] = ({"color": GREY, "ls": "--"}, {"color": BLUE, "ls": "-"})
    for axes, column in zip(panels, chosen, strict=True):
        for (label, path), style in zip(paths.items(), styles, strict=False):
            axes.plot(np.linspace(0, 1, len(path)), path[:, column], lw=1.5, label=label, **style)
        tidy(axes, title=shorten(names[column]), x="t")
    add_legend(figure, panels[0])
    return figure


def draw_points(points: np.ndarray, names: list[str], *, title: str) -> Figure:
    """Draw a few points of data space: a dot for each point, in a row for each column.

    If there are too many columns, the figure has those that vary most.

    Args:
        points: points ``(n, columns)``.
        names: the names of the columns.
        title: the title of the figure.
    """
    chosen = _choose(np.nanstd(points, axis=0), most=MANY)
    figure = new_figure(height=1.2 + 0.2 * len(chosen), width=5.0)
    figure.suptitle(
        _describe_choice(title, chosen, len(names), "that vary most"), fontsize=10, x=0.01, ha="left"
    )
    axes = tidy(figure.add_subplot(), x="value")
    for place, column in enumerate(chosen):
        at = np.full(len(points), place)
        axes.plot(points[:, column], at, "o", ms=4, mew=0, alpha=0.5, color=BLUE)
    axes.set_yticks(range(len(chosen)), [shorten(names[column]) for column in chosen])
    axes.set_ylim(len(chosen) - 0.5, -0.5)
    axes.grid(visible=True, axis="y", alpha=0.25)
    return figure


def _choose(interest: np.ndarray, most: int = MAX_COLUMNS) -> np.ndarray:
    """Return the columns of most interest, in the order of the data."""
    order = np.argsort(-np.nan_to_num(interest, nan=-np.inf), kind="stable")
    return np.sort(order[:most])


def _describe_choice(title: str, chosen: np.ndarray, count: int, rule: str) -> str:
    return title if len(chosen) == count else f"{title}. {len(chosen)} of {count} columns, {rule}"


def _titled(
    title: str, chosen: np.ndarray, count: int, rule: str, *, has_overview: bool = False
) -> Figure:
    rows = -(-len(chosen) // PER_ROW)
    figure = new_figure(height=1.5 * rows + 0.6 + 1.8 * has_overview, width=7.2)
    text = _describe_choice(title, chosen, count, rule)
    figure.suptitle(text, fontsize=10, x=0.01, ha="left", wrap=True)
    return figure


def _panels(figure: Figure, count: int, *, overview: bool = False) -> list[Axes]:
    """Return panels for columns, after one over the whole width for the overview."""
    per_row = min(PER_ROW, count)
    rows = -(-count // per_row)
    grid = figure.add_gridspec(rows + overview, per_row, height_ratios=[1.1] * overview + [1.0] * rows)
    panels = [figure.add_subplot(grid[0, :])] if overview else []
    places = np.ndindex(rows, per_row)
    cells = [place for _, place in zip(range(count), places, strict=False)]
    return panels + [figure.add_subplot(grid[row + overview, at]) for row, at in cells]


def _draw_overview(axes: Axes, draws: np.ndarray, data: np.ndarray | None) -> None:
    """Draw the central 90 % and the median of each column, over the number of the column."""
    at = np.arange(draws.shape[1])
    if data is not None:
        low, high = np.nanquantile(data, [0.05, 0.95], axis=0)
        axes.fill_between(at, low, high, color=GREY, alpha=0.5, lw=0, step="mid", zorder=1)
    for share, style in ((0.05, "--"), (0.5, "-"), (0.95, "--")):
        line = np.nanquantile(draws, share, axis=0)
        axes.plot(at, line, color=BLUE, ls=style, lw=1.0, drawstyle="steps-mid", zorder=2)
    tidy(axes, title="all columns: median and central 90 %", x="column")


def bin_edges(values: np.ndarray, most: int = 24) -> np.ndarray:
    """Return the edges of bars: around each value of a discrete column, or at equal distances.

    Args:
        values: the values.
        most: the number of bars of a continuous column.
    """
    finite = values[np.isfinite(values)]
    levels = np.unique(finite)
    if len(levels) <= 1:
        middle = float(levels[0]) if len(levels) else 0.0
        return np.array([middle - 0.5, middle + 0.5])
    if len(levels) <= MAX_BARS and np.ptp(np.diff(levels)) < 1e-6 * np.ptp(levels):
        step = levels[1] - levels[0]
        return np.append(levels - step / 2, levels[-1] + step / 2)
    low, high = np.quantile(finite, [TAIL, 1 - TAIL])
    if not high > low:
        low, high = float(levels[0]), float(levels[-1])
    if np.all(levels == np.round(levels)):  # bars of equally many whole numbers
        low, high = np.floor(low) - 0.5, np.ceil(high) + 0.5
        step = max(np.ceil((high - low) / min(MAX_BARS, most)), 1.0)
        return np.arange(low, high + step, step)
    return np.linspace(low, high, most + 1)


def bin_shares(values: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Return the share of values in each bar. Values beyond the ends count in the bars there."""
    finite = values[np.isfinite(values)]
    inside = np.clip(finite, bins[0], bins[-1])
    return np.histogram(inside, bins)[0] / max(len(finite), 1)


def ks_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples, without missing values."""
    a, b = np.sort(a[np.isfinite(a)]), np.sort(b[np.isfinite(b)])
    if not (len(a) and len(b)):
        return float("nan")
    at = np.concatenate([a, b])
    share_a, share_b = (np.searchsorted(each, at, side="right") / len(each) for each in (a, b))
    return float(np.abs(share_a - share_b).max())


def explained_variance(x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return 1 - (residual variance) / (variance) of each column. NaN if it is constant or empty."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without a value
        variance = np.nanvar(x, axis=0)
        residual = np.nanmean((x - mean) ** 2, axis=0)
    return np.where(variance > 0, 1 - residual / np.where(variance > 0, variance, 1.0), np.nan)


def shorten(name: str, most: int = 22) -> str:
    """Return a name that fits above a panel."""
    return name if len(name) <= most else f"{name[: most - 1]}\u2026"


def add_legend(figure: Figure, axes: Axes) -> None:
    """Add the legend of one panel below a figure."""
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower left", fontsize=9, frameon=False, ncols=3)
