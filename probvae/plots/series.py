"""Figures of time series ``(T, variables)``: values over the steps, in panels by variable."""

from collections.abc import Sequence

import numpy as np

from probvae.plots.canvas import Axes, Figure, new_figure, tidy
from probvae.plots.palette import BLUE, GREY, LINE_STYLES, VERMILLION, Style

Names = Sequence[str] | None
MAX_VARIABLES = 4
MAX_SERIES = 4  # side by side
MAX_DRAWS = 3  # on top of each other
STEPS_PER_VARIABLE = 3  # at least, in what counts as a time series
BAND = (0.05, 0.95)


def is_series(event_shape: tuple[int, ...]) -> bool:
    """Return whether data of this shape count as time series: many steps of a few variables."""
    return len(event_shape) == 2 and event_shape[0] >= STEPS_PER_VARIABLE * event_shape[1]


def compare_series(groups: dict[str, np.ndarray], names: Names = None, *, title: str) -> Figure:
    """Draw the first series of several groups on top of each other: a row for each variable.

    Args:
        groups: at most three groups of series ``(n, T, variables)``, by name.
        names: a name for each variable.
        title: the title of the figure.
    """
    first = next(iter(groups.values()))
    names = _variable_names(first, names)
    variables = choose_variables(first)
    count = min(len(first), MAX_SERIES)
    figure = new_figure(height=1.5 * len(variables) + 0.6)
    _set_title(figure, title, variables, first)
    panels = figure.subplots(len(variables), count, sharex=True, sharey="row", squeeze=False)
    styles: tuple[Style, ...] = (
        {"color": GREY, "lw": 2.2},
        {"color": BLUE, "ls": "--", "lw": 1.3},
        {"color": VERMILLION},
    )
    for row, variable in zip(panels, variables, strict=True):
        for index, axes in enumerate(row):
            for (name, group), style in zip(groups.items(), styles, strict=False):
                axes.plot(group[index, :, variable], label=name, **style)
            tidy(axes, title=f"datum {index}, {names[variable]}")
            axes.tick_params(labelbottom=True, labelleft=True)
    _add_legend(figure, panels[0, 0])
    return figure


def summarize_series(
    draws: np.ndarray, data: np.ndarray | None, names: Names = None, *, title: str
) -> Figure:
    """Draw the central 90 % of draws and data at each step, and a few draws, by variable.

    Args:
        draws: draws ``(n, T, variables)``.
        data: data ``(m, T, variables)`` to compare the draws with, or None.
        names: a name for each variable.
        title: the title of the figure.
    """
    names = _variable_names(draws, names)
    variables = choose_variables(draws if data is None else data)
    rows = -(-len(variables) // 2)
    figure = new_figure(height=2.2 * rows + 0.6)
    _set_title(figure, title, variables, draws)
    panels = figure.subplots(rows, min(len(variables), 2), squeeze=False).ravel()
    steps = np.arange(draws.shape[1])
    for axes, variable in zip(panels, variables, strict=False):
        if data is not None:
            low, high = np.nanquantile(data[:, :, variable], BAND, axis=0)
            label = "data, central 90 %"
            axes.fill_between(steps, low, high, color=GREY, alpha=0.35, lw=0, label=label, zorder=1)
        low, high = np.nanquantile(draws[:, :, variable], BAND, axis=0)
        axes.plot(steps, low, "--", color=BLUE, lw=1.4, label="draws, central 90 %", zorder=3)
        axes.plot(steps, high, "--", color=BLUE, lw=1.4, zorder=3)
        for index, path in enumerate(draws[:MAX_DRAWS, :, variable]):
            name = "single draws" if not index else None
            axes.plot(steps, path, color=VERMILLION, lw=0.9, alpha=0.8, label=name, zorder=2)
        tidy(axes, title=names[variable], x="step")
    for axes in panels[len(variables) :]:
        axes.set_visible(False)
    _add_legend(figure, panels[0])
    return figure


def compare_paths(paths: dict[str, np.ndarray], names: Names = None, *, title: str) -> Figure:
    """Draw the series on paths from one datum (t = 0) to another (t = 1), a column for each path.

    Args:
        paths: paths ``(num_points, T, variables)`` by name.
        names: a name for each variable.
        title: the title of the figure.
    """
    first = next(iter(paths.values()))
    names = _variable_names(first, names)
    variables = choose_variables(first)
    figure = new_figure(height=1.8 * len(variables) + 0.6)
    _set_title(figure, title, variables, first)
    panels = figure.subplots(len(variables), len(paths), sharex=True, sharey="row", squeeze=False)
    for row, variable in zip(panels, variables, strict=True):
        for axes, (name, path) in zip(row, paths.items(), strict=True):
            _draw_path(axes, path[:, :, variable])
            tidy(axes, title=f"{name}, {names[variable]}")
            axes.tick_params(labelbottom=True, labelleft=True)
    _add_legend(figure, panels[0, 0])
    return figure


def _draw_path(axes: Axes, path: np.ndarray) -> None:
    for values in path[1:-1]:
        axes.plot(values, color=GREY, lw=0.9)
    axes.plot(path[0], color=BLUE, lw=1.6, ls=LINE_STYLES[0], label="t = 0")
    axes.plot(path[-1], color=VERMILLION, lw=1.6, ls=LINE_STYLES[1], label="t = 1")


def choose_variables(series: np.ndarray) -> np.ndarray:
    """Return the variables that vary most, at most ``MAX_VARIABLES``, in the order of the data."""
    spread = np.nanstd(series, axis=(0, 1))
    return np.sort(np.argsort(-spread, kind="stable")[:MAX_VARIABLES])


def draw_series(points: np.ndarray, names: Names = None, *, title: str) -> Figure:
    """Draw series as thin lines on top of each other, in a panel for each variable.

    Args:
        points: series ``(n, T, variables)``.
        names: a name for each variable.
        title: the title of the figure.
    """
    names = _variable_names(points, names)
    variables = choose_variables(points)
    figure = new_figure(height=1.8 * len(variables) + 0.4, width=5.0)
    _set_title(figure, title, variables, points)
    panels = figure.subplots(len(variables), 1, squeeze=False).ravel()
    for axes, variable in zip(panels, variables, strict=True):
        axes.plot(points[:, :, variable].T, color=BLUE, lw=0.8, alpha=0.5)
        tidy(axes, title=names[variable], x="step")
    return figure


def _variable_names(series: np.ndarray, names: Names) -> list[str]:
    count = series.shape[-1]
    if names is None:
        return [f"variable {index}" for index in range(count)]
    if len(names) != count:
        raise ValueError(
            f"column_names expects {count} names, one for each variable of a time series; got "
            f"{len(names)}."
        )
    return [str(name) for name in names]


def _set_title(figure: Figure, title: str, variables: np.ndarray, series: np.ndarray) -> None:
    count = series.shape[-1]
    if len(variables) < count:
        title = f"{title}. The {len(variables)} of {count} variables that vary most"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")


def _add_legend(figure: Figure, axes: Axes) -> None:
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower left", fontsize=9, frameon=False, ncols=3)
