"""A sweep: the validation ELBO of its trainings against what was swept."""

import importlib
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from probvae.fitted import Sweep
from probvae.plots.canvas import BLUE, GREY, ORANGE, WIDTH, new_figure, tidy

DECADE = 10.0  # highest over lowest: from here on the axis is logarithmic
DWARFED = 20.0  # times
FEW = (BLUE, ORANGE)  # lines of colours of their own
CLOSE = 0.06  # of the axis: ticks nearer than that would run into each other


def sweep(found: Sweep, *, names: Sequence[Any] | None = None) -> Any:
    """Return a figure of the validation ELBO: a dot for each training, a line through means over keys.

    The axis is the first name that was swept, logarithmic where its numbers are positive and span a
    decade; each combination of the others has a line. With nothing swept, the keys are the axis.

    Args:
        found: as ``probvae.sweep`` returns it.
        names: of the keys, such as their seeds; by default their numbers.
    """
    elbo = found.columns()["elbo"]
    figure = new_figure(height=4.0, width=WIDTH)
    axes = figure.add_subplot()
    if found.over:
        _lines(axes, found.over, elbo)
        axes.set_xlabel(next(iter(found.over)))
    else:
        _keys(axes, elbo, names)
    line = "; line: mean over keys" if elbo.shape[0] > 1 else ""
    many = f"{elbo.size} training{'s' if elbo.size > 1 else ''}"
    title = f"Validation ELBO of {many} (higher is better){line}"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    tidy(axes, x=axes.get_xlabel(), y="nats per datum")
    axes.grid(visible=True, alpha=0.25)
    _limit_scale(axes, elbo)
    if len(axes.get_legend_handles_labels()[1]) > 1:
        figure.legend(loc="outside right center", fontsize=8, frameon=False)
    return figure


def _keys(axes: Any, elbo: np.ndarray, names: Sequence[Any] | None) -> None:
    at = np.arange(len(elbo))
    axes.plot(at, elbo, "o", color=BLUE, ms=5)
    if np.isfinite(elbo).any():
        axes.axhline(np.nanmean(elbo), color=BLUE, lw=1.4)
    axes.set_xlabel("key" if names is None else "seed")
    if names is not None:
        axes.set_xticks(at, [str(name) for name in names])
    else:
        axes.xaxis.get_major_locator().set_params(integer=True)


def _lines(axes: Any, over: dict[str, tuple[float, ...]], elbo: np.ndarray) -> None:
    first, *others = over
    order = np.argsort(over[first])
    x = np.asarray(over[first], float)[order]
    combinations = list(product(*(over[name] for name in others)))
    for at, (numbers, colour) in enumerate(zip(combinations, _colours(len(combinations)), strict=True)):
        y = elbo.reshape(*elbo.shape[:2], -1)[:, order, at]
        named = (f"{name} = {value:g}" for name, value in zip(others, numbers, strict=True))
        axes.plot(np.broadcast_to(x, y.shape).ravel(), y.ravel(), "o", color=colour, ms=4, alpha=0.6)
        axes.plot(x, _mean(y), color=colour, lw=1.6, label=", ".join(named))
    _ticks(axes, x)


def _colours(n: int) -> list[Any]:
    if n <= len(FEW):
        return list(FEW[:n])
    return list(importlib.import_module("matplotlib").colormaps["viridis"](np.linspace(0.0, 0.85, n)))


def _mean(y: np.ndarray) -> np.ndarray:
    """Return means over the trainings that have a number."""
    known = np.isfinite(y)
    total = np.where(known, y, 0.0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def _ticks(axes: Any, x: np.ndarray) -> None:
    """Make the axis logarithmic where that serves; mark the numbers themselves where there is room."""
    logarithmic = len(x) > 1 and x[0] > 0 and x[-1] >= DECADE * x[0]
    if logarithmic:
        axes.set_xscale("log")
    at = np.log(x) if logarithmic else x
    if len(x) == 1 or np.diff(at).min() > CLOSE * (at[-1] - at[0]):
        axes.set_xticks(x, [f"{value:g}" for value in x])
        axes.minorticks_off()


def _limit_scale(axes: Any, elbo: np.ndarray) -> None:
    """Leave trainings off the scale that dwarf the others' differences; say how many are not seen."""
    known = np.sort(elbo[np.isfinite(elbo)])
    notes = []
    if len(known) > 1:
        spread = known[-1] - known[len(known) // 2]
        if known[-1] - known[0] > DWARFED * spread > 0:
            low = known[-1] - 3.0 * spread
            axes.set_ylim(low, known[-1] + 0.2 * spread)
            notes.append(f"{(known < low).sum()} far below are off the scale")
    if missing := elbo.size - len(known):
        notes.append(f"{missing} not finite from the start")
    if notes:
        axes.text(0.02, 0.03, "; ".join(notes), transform=axes.transAxes, fontsize=8, color=GREY)
