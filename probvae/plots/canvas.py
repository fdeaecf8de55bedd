"""Building blocks of figures: an empty figure, axes with labels, and data side by side."""

import importlib
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from probvae.faq import cite
from probvae.plots.palette import BLUE, GREY, ORANGE, VERMILLION
from probvae.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:  # matplotlib is optional, and the annotations below must exist without it
    Axes = Figure = Any

WIDTH = 7.2  # inches
Limits: TypeAlias = tuple[float, float]
Groups: TypeAlias = dict[str, ArrayLike]
__all__ = ["BLUE", "GREY", "ORANGE", "is_image", "new_figure", "side_by_side", "tidy"]
TILES_WIDTH = 5.6  # inches: narrower, so that the labels are large enough on a phone
MAX_PANELS = 8  # vectors side by side


def new_figure(*, height: float, width: float = WIDTH) -> Figure:
    """Return an empty matplotlib ``Figure`` without pyplot's global state. Sizes are in inches."""
    try:
        figure_class = importlib.import_module("probvae.plots.notebook_figure").NotebookFigure
    except ImportError:
        raise ImportError(
            "figures need matplotlib, which is not installed: pip install 'probvae[plots]'. "
            f"{cite('missing-extra')}"
        ) from None
    return figure_class(figsize=(width, height), layout="constrained", facecolor="white")


def tidy(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> Axes:
    """Set the labels of axes, and remove the frame's upper and right line."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def side_by_side(
    groups: Groups, *, title: str, item: str, limits: Limits | None = None, columns: int = 10
) -> Figure:
    """Draw several groups of data, ``(n, *event)`` each, item by item.

    Images ``(h, w)`` and ``(h, w, 1 or 3)`` become tiles, with one row per group. Other data become
    lines, with one panel per item and all groups in it, for at most ``MAX_PANELS`` evenly spread items.

    Args:
        groups: the data of each group, by its label.
        title: the title of the figure.
        item: the name of one item, for the axis label.
        limits: the lowest and highest value of an image. By default those of the data.
        columns: the number of tiles in a row.
    """
    arrays = {name: np.asarray(group, float) for name, group in groups.items()}
    limits = limits or _limits(arrays)
    event_shape = next(iter(arrays.values())).shape[1:]
    if is_image(event_shape):
        return _tiles(arrays, title, item, limits, columns)
    return _lines(arrays, title, item)


def is_image(event_shape: tuple[int, ...]) -> bool:
    """Return whether data of this shape are drawn as images."""
    return len(event_shape) == 2 or (len(event_shape) == 3 and event_shape[-1] in (1, 3))


def _limits(arrays: dict[str, np.ndarray]) -> Limits:
    return min(float(a.min()) for a in arrays.values()), max(float(a.max()) for a in arrays.values())


def _tiles(
    arrays: dict[str, np.ndarray], title: str, item: str, limits: Limits, columns: int
) -> Figure:
    blocks = _blocks(arrays, columns)
    picture, middles = _mosaic(blocks, min(columns, len(blocks[0][0])), limits)
    height = 0.76 * TILES_WIDTH * picture.shape[0] / picture.shape[1]
    figure = new_figure(height=min(height, 10.0) + 0.75, width=TILES_WIDTH)
    axes = tidy(figure.add_subplot(), x=f"each column: {item}" if len(arrays) > 1 else f"each: {item}")
    figure.set_layout_engine("compressed")  # for axes with a fixed aspect ratio
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    # Without interpolation, an SVG holds the pixels as they are, which is small and sharp at any size.
    image = axes.imshow(picture, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="none")
    axes.spines[:].set_visible(False)
    axes.set_yticks(middles, list(arrays) * len(blocks) if len(arrays) > 1 else [""] * len(middles))
    axes.set_xticks([])
    axes.tick_params(length=0, labelsize=10)
    if picture.ndim == 2:
        bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
        bar.set_label("value of x", fontsize=9)
        bar.ax.tick_params(labelsize=9)
        bar.ax.locator_params(nbins=min(4, max(len(middles) // 2, 1)))
    return figure


def _blocks(arrays: dict[str, np.ndarray], columns: int) -> list[list[np.ndarray]]:
    """Return blocks of rows, with one row of each group in a block."""
    n = len(next(iter(arrays.values())))
    starts = range(0, n, columns)
    return [[a[start : start + columns] for a in arrays.values()] for start in starts]


def _mosaic(
    blocks: list[list[np.ndarray]], columns: int, limits: Limits
) -> tuple[np.ndarray, list[float]]:
    """Return one image of all blocks, and the vertical middle of each row.

    The image is grey, with masked gaps, or RGBA in [0, 1], with transparent gaps.
    """
    height, width = blocks[0][0].shape[1:3]
    gap = max(height // 16, 1)
    strips: list[np.ndarray] = []
    middles = []
    for block in blocks:
        for row in block:
            middles.append(sum(map(len, strips)) + height / 2 - 0.5)
            strips += [_strip(row, columns, gap), _blank(gap, columns * (width + gap), row)]
        # A wider gap separates blocks of several groups.
        strips.append(_blank(gap * (len(block) > 1), columns * (width + gap), row))
    picture = np.concatenate(strips[:-2])[:, :-gap]  # without the gaps after the last row and column
    if picture.ndim == 3:
        low, high = limits
        unit = (np.clip(picture, low, high) - low) / ((high - low) or 1.0)
        opaque = np.isfinite(picture).all(-1, keepdims=True)
        return np.concatenate([np.where(opaque, unit, 1.0), opaque], axis=-1), middles
    return np.ma.masked_invalid(np.clip(picture, *limits)), middles


def _strip(row: np.ndarray, columns: int, gap: int) -> np.ndarray:
    """Return the images of a row side by side, each with a gap to its right."""
    height, width, *channels = row.shape[1:]
    channels = [] if channels == [1] else channels
    strip = np.full((height, columns, width + gap, *channels), np.nan)
    images = row.reshape(len(row), height, width, *channels)
    strip[:, : len(row), :width] = np.swapaxes(images, 0, 1)
    return strip.reshape(height, columns * (width + gap), *channels)


def _blank(height: int, width: int, row: np.ndarray) -> np.ndarray:
    channels = (3,) if row.shape[3:] == (3,) else ()
    return np.full((height, width, *channels), np.nan)


def _lines(arrays: dict[str, np.ndarray], title: str, item: str) -> Figure:
    n = len(next(iter(arrays.values())))
    items = np.linspace(0, n - 1, min(n, MAX_PANELS)).round().astype(int)
    columns = min(len(items), 4)
    rows = -(-len(items) // columns)
    figure = new_figure(height=1.7 * rows + 1.1)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, index in zip(panels, items, strict=False):
        tidy(axes)
        for (name, group), colour in zip(arrays.items(), (GREY, VERMILLION, BLUE), strict=False):
            _profile(axes, group[index].ravel(), name, colour)
    for axes in panels[len(items) :]:
        axes.set_visible(False)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    figure.supxlabel(f"entry of x (each panel: {item})", fontsize=9, x=0.06, ha="left")
    figure.supylabel("value of x", fontsize=9)
    if len(arrays) > 1:
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower right", fontsize=8, frameon=False, ncols=3)
    return figure


def _profile(axes: Axes, values: np.ndarray, name: str, colour: str) -> None:
    marker = "o" if values.size <= 60 else ""
    axes.plot(values, color=colour, lw=1.2, marker=marker, ms=2.5, label=name)
