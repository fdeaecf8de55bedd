"""Building blocks of the gallery's pictures: a card with panels, tiles of images, maps of codes."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image, ImageChops

from probvae.runs import Run

Panel: TypeAlias = Callable[[Axes, Run, jax.Array], None]

SIZE, DPI = (5.2, 2.0), 150  # inches, dots per inch: 780 x 300 pixels, shown 520 wide
COLOURS = 64  # of a picture's palette
TEXT, RULE = "#20242c", "#c6ccd6"
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#7a828e"
# One colour for each digit (Tol's muted scheme, its two light ones darkened). A glyph names the digit.
DIGITS = (
    *("#cc6677", "#332288", "#a8871d", "#117733", "#3a8fb7"),
    *("#882255", "#2b8a7c", "#777722", "#aa4499", "#555555"),
)
INK = LinearSegmentedColormap.from_list("ink", ["#eef1f6", "#a9bad3", "#3d5f96", "#0d2247"])


def draw_card(panels: Sequence[Panel], run: Run, rng_key: jax.Array) -> Figure:
    """Return a picture with the panels side by side."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.04)
    for i, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1)
        panel(axes, run, jax.random.fold_in(rng_key, i))
    return figure


def save(figure: Figure, path: Path, *, colours: int = COLOURS) -> None:
    """Write a figure as a PNG file with a palette, without the white below its last panel."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=figure.dpi, format="png")
    image = Image.open(buffer).convert("RGB")
    _, _, _, bottom = ImageChops.invert(image).getbbox()
    image = image.crop((0, 0, image.width, min(bottom + image.width // 80, image.height)))
    # This method keeps rare colours, such as those of single digits in a map.
    method, dither = Image.Quantize.MAXCOVERAGE, Image.Dither.NONE
    image.quantize(colours, method=method, kmeans=2, dither=dither).save(path, optimize=True)


def tidy(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    """Set the title and the labels of axes, in few and large letters."""
    axes.set_title(title, fontsize=9, loc="left", color=TEXT)
    axes.set_xlabel(x, fontsize=8.5, color=TEXT)
    axes.set_ylabel(y, fontsize=8.5, color=TEXT)
    axes.tick_params(labelsize=7.5, length=2, colors=TEXT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)


def draw_tiles(
    axes: Axes,
    rows: Any,
    title: str,
    *,
    limits: tuple[float, float] = (0.0, 1.0),
    labels: Sequence[str] = (),
    columns: Sequence[str] = (),
    colours: Any = INK,
    height: int = 48,
) -> None:
    """Draw images ``(rows, columns, height, width)`` as tiles, enlarged by bicubic interpolation.

    Args:
        axes: the axes.
        rows: the images.
        title: the title.
        limits: the values of white and of ink.
        labels: a label for each row.
        columns: a label for each column.
        colours: a color map.
        height: the height of a tile in pixels of the mosaic.
    """
    rows = np.asarray(rows, np.float32)
    low, high = limits
    tiles = [[_enlarge((i - low) / (high - low), height) for i in row] for row in rows]
    tall, wide = tiles[0][0].shape
    gap = height // 12
    picture = np.ones((len(tiles) * (tall + gap) - gap, len(tiles[0]) * (wide + gap) - gap, 3))
    for r, row in enumerate(tiles):
        for c, tile in enumerate(row):
            place = slice(r * (tall + gap), None), slice(c * (wide + gap), None)
            picture[place][:tall, :wide] = colours(np.clip(tile, 0, 1))[..., :3]
    axes.imshow(picture, interpolation="antialiased")
    tidy(axes, title)
    axes.spines[:].set_visible(False)
    axes.set_anchor("NW")
    axes.tick_params(length=0, pad=2, top=False, labeltop=bool(columns), labelbottom=False)
    axes.set_yticks([r * (tall + gap) + tall / 2 for r in range(len(labels))], labels)
    axes.set_xticks([c * (wide + gap) + wide / 2 for c in range(len(columns))], columns)


def _enlarge(image: np.ndarray, height: int) -> np.ndarray:
    """Return a larger image. Its border is continued, so that bicubic interpolation keeps it."""
    padded = np.pad(image, 2, mode="edge")
    factor = height / len(image)
    size = [round(n * factor) for n in padded.shape[::-1]]
    large = np.asarray(Image.fromarray(padded).resize(size, Image.Resampling.BICUBIC))
    edge = round(2 * factor)
    return large[edge:-edge, edge:-edge]


def draw_digits(axes: Axes, points: Any, labels: Any, *, size: float = 6.0, alpha: Any = 1.0) -> None:
    """Draw a digit for each point ``(n, 2)``. Its glyph and its colour show its class."""
    alphas = np.broadcast_to(alpha, len(points))
    for (a, b), label, opacity in zip(np.asarray(points), labels, alphas, strict=True):
        style = {"color": DIGITS[int(label)], "alpha": float(opacity), "fontsize": size}
        axes.text(a, b, str(label), ha="center", va="center", clip_on=True, **style)


def limits_of(values: np.ndarray, margin: float = 0.06) -> tuple[float, float]:
    """Return axis limits with a margin."""
    low, high = float(np.min(values)), float(np.max(values))
    return low - margin * (high - low), high + margin * (high - low)
