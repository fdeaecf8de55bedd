"""What all figures share: an empty figure without global state, and data side by side in it."""

import importlib
from typing import Any, TypeAlias

import numpy as np

from probvae.typing import ArrayLike

WIDTH = 7.2  # inches
Limits: TypeAlias = tuple[float, float]
Groups: TypeAlias = dict[str, ArrayLike]
BLUE, ORANGE, GREY = "#0b5fa5", "#d9730d", "#8a8f98"
PANELS = 8  # vectors shown side by side


def new_figure(*, height: float, width: float = WIDTH) -> Any:
    """Return an empty matplotlib ``Figure``, sizes in inches; pyplot is not involved."""
    try:
        figure_class = importlib.import_module("matplotlib.figure").Figure
    except ImportError:
        raise ImportError(
            "figures are drawn by matplotlib, which is not installed. Install it: "
            "pip install 'probvae[plots]'."
        ) from None
    return figure_class(figsize=(width, height), layout="constrained", facecolor="white")


def tidy(axes: Any, *, title: str = "", x: str = "", y: str = "") -> Any:
    """Give axes their words, and take away the frame's upper and right line."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def side_by_side(
    groups: Groups, *, title: str, item: str, limits: Limits | None = None, columns: int = 10
) -> Any:
    """Return a figure of several groups of data, ``(n, *event)`` each, item by item.

    Images ``(h, w)`` and ``(h, w, 1 or 3)`` are tiles, a row for each group; other data are lines, a
    panel for each item with the groups over one another.

    Args:
        groups: the data of each group, by what it is.
        title: of the figure.
        item: what a column holds, for its axis.
        limits: lowest and highest value shown; by default those of the data.
        columns: tiles in a row.
    """
    arrays = {name: np.asarray(group, float) for name, group in groups.items()}
    limits = limits or _limits(arrays)
    event_shape = next(iter(arrays.values())).shape[1:]
    draw = _tiles if is_image(event_shape) else _lines
    return draw(arrays, title, item, limits, columns)


def is_image(event_shape: tuple[int, ...]) -> bool:
    """Tell whether a datum is shown as an image."""
    return len(event_shape) == 2 or (len(event_shape) == 3 and event_shape[-1] in (1, 3))


def _limits(arrays: dict[str, np.ndarray]) -> Limits:
    return min(float(a.min()) for a in arrays.values()), max(
        float(a.max()) for a in arrays.values()
    )


def _tiles(
    arrays: dict[str, np.ndarray], title: str, item: str, limits: Limits, columns: int
) -> Any:
    n = len(next(iter(arrays.values())))
    columns = min(columns, n)
    rows = [a[start : start + columns] for start in range(0, n, columns) for a in arrays.values()]
    picture = _mosaic(rows, columns, limits)
    cell = 0.92 * WIDTH / columns * rows[0].shape[1] / rows[0].shape[2]
    figure = new_figure(height=min(len(rows) * cell, 11.0) + 0.9)
    axes = tidy(figure.add_subplot(), title=title, x=item)
    shown = axes.imshow(picture, cmap="gray", vmin=limits[0], vmax=limits[1])
    axes.spines[:].set_visible(False)
    names = list(arrays) * (len(rows) // len(arrays)) if len(arrays) > 1 else []
    middles = (np.arange(len(rows)) + 0.5) * picture.shape[0] / len(rows) - 0.5
    axes.set_yticks(middles[: len(names)], names)
    axes.set_xticks([])
    axes.tick_params(length=0)
    if picture.ndim == 2:
        bar = figure.colorbar(shown, ax=axes, shrink=0.8, aspect=25, pad=0.02)
        bar.set_label("pixel value", fontsize=8)
        bar.ax.tick_params(labelsize=8)
    return figure


def _mosaic(rows: list[np.ndarray], columns: int, limits: Limits) -> np.ndarray:
    """Return one image of rows of images with gaps between them: grey, or RGB in [0, 1]."""
    height, width = rows[0].shape[1:3]
    gap = max(height // 16, 1)
    colour = rows[0].shape[3:] == (3,)
    channels = (3,) if colour else ()
    cell = np.full((len(rows), height + gap, columns, width + gap, *channels), np.nan)
    for at, row in enumerate(rows):
        images = np.clip(row.reshape(len(row), height, width, *channels), *limits)
        cell[at, :height, : len(row), :width] = np.swapaxes(images, 0, 1)
    picture = cell.reshape(len(rows) * (height + gap), columns * (width + gap), *channels)
    if colour:
        low, high = limits
        return np.nan_to_num((picture - low) / ((high - low) or 1.0), nan=1.0)
    return np.ma.masked_invalid(picture)


def _lines(
    arrays: dict[str, np.ndarray], title: str, item: str, limits: Limits, columns: int
) -> Any:
    n = min(len(next(iter(arrays.values()))), PANELS)
    columns = min(n, 4)
    rows = -(-n // columns)
    figure = new_figure(height=1.7 * rows + 1.1)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for at, axes in enumerate(panels):
        tidy(axes)
        for (name, group), colour in zip(arrays.items(), (GREY, ORANGE, BLUE), strict=False):
            if at < n:
                _profile(axes, group[at].ravel(), name, colour)
        axes.set_visible(at < n)
    panels[0].set_ylim(*_padded(limits))
    figure.suptitle(title, fontsize=10)
    figure.supxlabel(f"entry of x (each panel: {item})", fontsize=9)
    figure.supylabel("value of x", fontsize=9)
    if len(arrays) > 1:
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower right", fontsize=8, frameon=False, ncols=3)
    return figure


def _profile(axes: Any, values: np.ndarray, name: str, colour: str) -> None:
    few = values.size <= 60
    axes.plot(values, color=colour, lw=1.2, marker="o" if few else "", ms=2.5, label=name)


def _padded(limits: Limits) -> Limits:
    low, high = limits
    pad = 0.05 * ((high - low) or 1.0)
    return low - pad, high + pad
