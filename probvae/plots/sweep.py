"""Figure of a sweep: the validation ELBO of each member against the swept values."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from probvae.fitted import Sweep
from probvae.plots.canvas import WIDTH, Axes, Figure, new_figure, tidy
from probvae.plots.palette import BLUE, CYCLE, QUIET, line_style

DECADE = 10.0  # a range with at least this ratio has a logarithmic axis
DWARFED = 20.0  # a low value is off the scale if it makes the range this many times larger
MIN_GAP = 0.06  # of the axis: closer ticks would overlap


def sweep(result: Sweep, *, names: Sequence[object] | None = None) -> Figure:
    """Draw the validation ELBO of a sweep: a dot per training, and a line through means over keys.

    The horizontal axis is the first swept name. It is logarithmic if its values are positive and span a
    decade. Each combination of the other swept values has a line. Without swept values, the horizontal
    axis is the key.

    Args:
        result: from ``probvae.sweep``.
        names: names of the keys, such as their seeds. By default their numbers.
    """
    elbo = result.columns()["elbo"]
    figure = new_figure(height=4.0, width=WIDTH)
    axes = figure.add_subplot()
    if result.over:
        _lines(axes, result.over, elbo)
        axes.set_xlabel(next(iter(result.over)))
    else:
        _keys(axes, elbo, names)
    line = "; line: mean over keys" if elbo.shape[0] > 1 else ""
    count = f"{elbo.size} training{'s' if elbo.size > 1 else ''}"
    title = f"Validation ELBO of {count} (higher is better){line}"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    tidy(axes, x=axes.get_xlabel(), y="nats per datum")
    axes.grid(visible=True, alpha=0.25)
    _limit_scale(axes, elbo)
    if len(axes.get_legend_handles_labels()[1]) > 1:
        figure.legend(loc="outside right center", fontsize=8, frameon=False)
    return figure


def _keys(axes: Axes, elbo: np.ndarray, names: Sequence[object] | None) -> None:
    at = np.arange(len(elbo))
    axes.plot(at, elbo, "o", color=BLUE, ms=5)
    if np.isfinite(elbo).any():
        axes.axhline(np.nanmean(elbo), color=BLUE, lw=1.4)
    axes.set_xlabel("key" if names is None else "seed")
    if names is not None:
        axes.set_xticks(at, [str(name) for name in names])
    else:
        axes.locator_params(axis="x", integer=True)


def _lines(axes: Axes, over: dict[str, tuple[float, ...]], elbo: np.ndarray) -> None:
    first, *others = over
    order = np.argsort(over[first])
    x = np.asarray(over[first], float)[order]
    combinations = list(product(*(over[name] for name in others)))
    for index, (values, style) in enumerate(zip(combinations, _styles(len(combinations)), strict=True)):
        y = elbo.reshape(*elbo.shape[:2], -1)[:, order, index]  # (keys, x)
        label = ", ".join(f"{name} = {value:g}" for name, value in zip(others, values, strict=True))
        axes.plot(
            np.broadcast_to(x, y.shape).ravel(), y.ravel(), "o", color=style["color"], ms=4, alpha=0.6
        )
        axes.plot(x, _finite_mean(y), lw=1.6, label=label, **style)
    _ticks(axes, x)


def _styles(n: int) -> list[dict[str, Any]]:
    """Return a colour and a line style for each of n lines. Many lines have the colours of a scale."""
    from matplotlib import colormaps

    if n <= len(CYCLE):
        return [line_style(index) for index in range(n)]
    scale = colormaps["viridis"](np.linspace(0.0, 0.85, n))
    return [{**line_style(index), "color": colour} for index, colour in enumerate(scale)]


def _finite_mean(y: np.ndarray) -> np.ndarray:
    """Return means over the keys whose training has a finite ELBO."""
    known = np.isfinite(y)
    total = np.where(known, y, 0.0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def _ticks(axes: Axes, x: np.ndarray) -> None:
    """Make the axis logarithmic if the values span a decade, and label the values if they fit."""
    logarithmic = len(x) > 1 and x[0] > 0 and x[-1] >= DECADE * x[0]
    if logarithmic:
        axes.set_xscale("log")
    at = np.log(x) if logarithmic else x
    if len(x) == 1 or np.diff(at).min() > MIN_GAP * (at[-1] - at[0]):
        axes.set_xticks(x, [f"{value:g}" for value in x])
        axes.minorticks_off()


def _limit_scale(axes: Axes, elbo: np.ndarray) -> None:
    """Limit the scale if a few low values dwarf the other differences, and say how many are hidden."""
    known = np.sort(elbo[np.isfinite(elbo)])
    notes = []
    if len(known) > 1:
        spread = known[-1] - known[len(known) // 2]
        if known[-1] - known[0] > DWARFED * spread > 0:
            low = known[-1] - 3.0 * spread
            axes.set_ylim(low, known[-1] + 0.2 * spread)
            notes.append(f"{(known < low).sum()} far below the others (off the scale)")
    if missing := elbo.size - len(known):
        notes.append(f"{missing} not finite from the start")
    if notes:
        axes.text(0.02, 0.03, "; ".join(notes), transform=axes.transAxes, fontsize=8, color=QUIET)
