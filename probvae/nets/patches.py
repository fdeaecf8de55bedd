"""Patches of images: cutting, joining, and fixed embeddings of their positions."""

import jax
import jax.numpy as jnp

from probvae.typing import Shape


def count_patches(name: str, image: Shape, patch: int) -> Shape:
    """Return the number of rows and of columns of patches in an image.

    Raises:
        ValueError: a side of the image is not a multiple of the patch's. The message begins with
            ``name``, the net.
    """
    height, width = image[:2]
    if height % patch or width % patch:
        expected = f"an image whose sides are multiples of {patch}"
        fix = "Use a patch that divides both sides, or pad the images."
        raise ValueError(f"{name}(patch={patch}) expects {expected}; got {height} x {width}. {fix}")
    return height // patch, width // patch


def to_patches(x: jax.Array, patch: int) -> jax.Array:
    """Cut images ``(batch, height, width, channels)`` into ``(batch, rows, columns, pixels)``."""
    batch, height, width, channels = x.shape
    grid = height // patch, width // patch
    x = x.reshape(batch, grid[0], patch, grid[1], patch, channels)
    return x.swapaxes(2, 3).reshape(batch, *grid, patch * patch * channels)


def from_patches(patches: jax.Array, patch: int) -> jax.Array:
    """Join patches to images, the inverse of ``to_patches``."""
    batch, rows, columns, pixels = patches.shape
    x = patches.reshape(batch, rows, columns, patch, patch, pixels // patch**2).swapaxes(2, 3)
    return x.reshape(batch, rows * patch, columns * patch, -1)


def positions(grid: Shape, hidden: int) -> jax.Array:
    r"""Return fixed sines and cosines of the position of each patch, ``(rows, columns, hidden)``.

    With $n = hidden / 4$ and $w_k = 10000^{-k / n}$ for $k = 0, \dots, n - 1$, the patch in row $i$ and
    column $j$ has, in this order,

    $$\sin(i w_k), \; \cos(i w_k), \; \sin(j w_k), \; \cos(j w_k).$$

    Reference: Vaswani et al. 2017, arXiv:1706.03762, section 3.5, once for the row and once for the
    column as in He et al. 2022, arXiv:2111.06377, whose code has the column first.
    """
    n = hidden // 4
    w = 10000.0 ** (-jnp.arange(n) / n)

    def waves(count: int) -> jax.Array:
        angles = jnp.arange(count)[:, None] * w
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)  # (count, 2 n)

    rows, columns = (waves(count) for count in grid)
    shape = (*grid, hidden // 2)
    by_row = jnp.broadcast_to(rows[:, None], shape)
    return jnp.concatenate([by_row, jnp.broadcast_to(columns, shape)], axis=-1)
