"""dSprites: white shapes on black, rendered from five known factors.

The factors, their values and their order are those of the published set. The images are rendered here:
outlines and sizes in pixels differ from the published file. Results on one are therefore not comparable
with results on the other.

Reference: Matthey, Higgins, Hassabis and Lerchner 2017, "dSprites: disentanglement testing sprites
dataset".
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8

from probvae.data.read_errors import DataError
from probvae.typing import ArrayLike

FACTORS = ("shape", "scale", "orientation", "position_x", "position_y")
SHAPES = ("square", "ellipse", "heart")
SCALES = np.linspace(0.5, 1.0, 6)
ORIENTATIONS = np.linspace(0.0, 2 * np.pi, 40)  # the first and the last are the same, as published
POSITIONS = np.linspace(0.0, 1.0, 32)
SIZES = (len(SHAPES), len(SCALES), len(ORIENTATIONS), len(POSITIONS), len(POSITIONS))
NUM_IMAGES = 737_280  # the product of the sizes
SIDE = 64
WINDOW = SIDE - len(POSITIONS) + 1  # side of a sprite's square, which moves one pixel per position

SQUARE = 9.3  # half its side at scale 1, in pixels: no side is a whole number of pixels
ELLIPSE = (14.3, 7.3)  # half axes, in pixels
HEART = 9.7  # pixels per unit of its curve (x^2 + y^2 - 1)^3 = x^2 y^3
HEART_CENTRE = 0.29348  # the height of its centre of mass, in that unit


def factors(index: Integer[np.ndarray, "n"]) -> Integer[np.ndarray, "n 5"]:
    """Return the factor levels of images 0 to 737,279. The last factor varies fastest."""
    return np.stack(np.unravel_index(index, SIZES), axis=-1)


def values(levels: ArrayLike) -> Float[np.ndarray, "n 5"]:
    """Return shape (1, 2, 3), scale, orientation in radians, and positions in [0, 1]."""
    grids = (np.arange(1.0, 4.0), SCALES, ORIENTATIONS, POSITIONS, POSITIONS)
    columns = zip(grids, _check_levels(levels).T, strict=True)
    return np.stack([grid[level] for grid, level in columns], axis=-1)


def render(levels: ArrayLike) -> UInt8[np.ndarray, "n 64 64"]:
    """Return images, 0 and 1, from the levels of their factors. y counts downwards.

    Each of the 720 sprites is drawn once and copied to its place. An image takes 4,096 bytes: render a
    large set in parts.

    Raises:
        ValueError: the levels are not ``(n, 5)``, or out of their factor's range.
    """
    shape, scale, orientation, x, y = _check_levels(levels).T
    images = np.zeros((len(x), SIDE, SIDE), np.uint8)
    window = np.arange(WINDOW)
    rows, columns = y[:, None, None] + window[:, None], x[:, None, None] + window
    images[np.arange(len(x))[:, None, None], rows, columns] = _draw_sprites()[shape, scale, orientation]
    return images


def sprite(shape: str, scale: float, orientation: float) -> Bool[np.ndarray, "33 33"]:
    """Draw one sprite on its own window. A pixel is white if its centre is inside the shape.

    Args:
        shape: one of ``SHAPES``.
        scale: factor of lengths, at most 1.
        orientation: in radians, counter-clockwise.
    """
    offsets = np.arange(WINDOW) - WINDOW // 2
    right, up = offsets[None, :] / scale, -offsets[:, None] / scale
    cos, sin = np.cos(orientation), np.sin(orientation)
    return _is_inside(shape, cos * right + sin * up, cos * up - sin * right)


def _is_inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    if shape == "square":
        return np.maximum(abs(u), abs(v)) <= SQUARE
    if shape == "ellipse":
        return (u / ELLIPSE[0]) ** 2 + (v / ELLIPSE[1]) ** 2 <= 1
    u, v = u / HEART, v / HEART + HEART_CENTRE
    return (u**2 + v**2 - 1) ** 3 <= u**2 * v**3


@lru_cache(maxsize=1)
def _draw_sprites() -> np.ndarray:
    sprites = [[[sprite(k, s, a) for a in ORIENTATIONS] for s in SCALES] for k in SHAPES]
    return np.asarray(sprites, np.uint8)


def _check_levels(levels: ArrayLike) -> np.ndarray:
    levels = np.asarray(levels)
    if levels.ndim != 2 or levels.shape[1] != 5 or levels.dtype.kind not in "iu":
        got = f"{levels.dtype} {levels.shape}. Use dsprites.factors(index)."
        raise DataError(f"dsprites: expected integer levels (n, 5) of {FACTORS}; got {got}")
    if levels.size and (levels.min() < 0 or (levels.max(0) >= SIZES).any()):
        got = f"{levels.min(0).tolist()} to {levels.max(0).tolist()}"
        raise DataError(f"dsprites: expected levels of {FACTORS} from 0 and below {SIZES}; got {got}.")
    return levels
