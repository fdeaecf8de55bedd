"""How many rows a compiled program takes at a time: a few sizes, whatever the data and particles.

A program is compiled for each shape that it meets, and is never freed. So rows come to programs in
blocks whose sizes are powers of two, filled up with copies of the last row. ``over_rows`` leaves those
out.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.compilation import trace_once
from probvae.typing import RngKey

ROWS = 1_250  # decoder rows at a time: bounds memory; few enough to stay in the cache (10 % less time)
BLOCK = 400_000  # decoder rows between two reports of progress
MOST = 1024  # rows of a block where each is one decoder row


class Rows(NamedTuple):
    """A block of rows, as a compiled program is given it: ``data`` ``(size, ...)``.

    The first ``count`` are rows of the data, and the others copies of the last one. ``index``
    ``(size,)`` are their numbers among all rows.
    """

    data: Any
    index: Any
    count: Any
    rng_key: Any = None

    @property
    def keys(self) -> jax.Array:
        """A key for each row. It does not depend on the rest of the batch."""
        return jax.vmap(partial(jax.random.fold_in, self.rng_key))(self.index)


def power_of_two(n: int) -> int:
    """Return the largest power of two that is at most ``n``; 1 for less."""
    return 1 << (max(n, 1).bit_length() - 1)


def is_traced(tree: Any) -> bool:
    """Say whether an array of a tree is traced, as in the user's own ``jit``."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def num_rows(data: Any) -> int:
    """Return the number of rows of a tree of arrays."""
    return len(jax.tree.leaves(data)[0])


def all_rows(data: Any, rng_key: RngKey | None = None) -> Rows:
    """Return rows of any number as one block: of traced arrays, which cannot be filled up."""
    n = num_rows(data)
    return Rows(data, np.arange(n, dtype=np.int32), n, rng_key)


def split_blocks(
    data: Any, rng_key: RngKey | None = None, at_most: int | None = None
) -> list[Callable[[], Rows]]:
    """Return functions that give the blocks of ``data``, in order.

    A block has ``at_most`` rows. The only block of fewer data has the next power of two.

    Args:
        data: a tree of arrays with a row for each datum; they are cut by NumPy, which compiles nothing.
        rng_key: the key that the rows' own are made of.
        at_most: rows of a block, a power of two; ``MOST`` by default.
    """
    n = num_rows(data)
    size = min(power_of_two(2 * n - 1), at_most or MOST)

    def block(start: int) -> Rows:
        index = np.minimum(np.arange(start, start + size, dtype=np.int32), n - 1)
        rows = jax.tree.map(lambda a: np.asarray(a)[index], data)
        return Rows(rows, index, np.int32(min(size, n - start)), rng_key)

    return [partial(block, start) for start in range(0, n, size)]


def map_blocks(
    run: Callable[[Rows], Any],
    data: Any,
    rng_key: RngKey | None = None,
    *,
    at_most: int | None = None,
    progress: Any = None,
) -> Any:
    """Call a compiled program on blocks of rows; return its results for the rows, as NumPy arrays.

    Args:
        run: from ``Rows`` to a tree of arrays with a row for each.
        data: a tree of arrays with a row for each datum.
        rng_key: the key that the rows' own are made of.
        at_most: as in ``blocks``.
        progress: a bar around the list of blocks.
    """
    parts = []
    todo = split_blocks(data, rng_key, at_most)
    for block in progress(todo) if progress else todo:
        rows = block()
        result = jax.device_get(run(rows))
        parts.append(jax.tree.map(lambda a: a[: rows.count], result))  # noqa: B023
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts) if len(parts) > 1 else parts[0]


def map_rows(one: Callable[..., Any], rows: Rows, *trees: Any, at_a_time: int) -> Any:
    """Call ``one`` on each row of trees of arrays, in a compiled program, as ``jax.lax.map`` does.

    The copies at the end of a block cost nothing: the loop ends before them. Their results are zeros.

    Args:
        one: from a row of each tree to a tree of arrays.
        rows: the block.
        trees: of arrays with a row for each of the block's.
        at_a_time: how many rows are taken together, at most.
    """
    size = num_rows(trees)
    width = power_of_two(min(at_a_time, size))
    if size % width:  # of traced rows, which are as many as they are
        return jax.lax.map(lambda row: one(*row), trees, batch_size=width)
    chunks = jax.tree.map(lambda a: a.reshape(size // width, width, *a.shape[1:]), trees)
    together = trace_once(jax.vmap(one))

    def chunk(i: Any) -> Any:
        return together(*jax.tree.map(lambda a: a[i], chunks))

    def step(i: jax.Array, done: Any) -> Any:
        return jax.tree.map(lambda all_, new: all_.at[i].set(new), done, chunk(i))

    shapes = jax.eval_shape(chunk, 0)
    none = jax.tree.map(lambda a: jnp.zeros((size // width, *a.shape), a.dtype), shapes)
    done = jax.lax.fori_loop(0, (rows.count + width - 1) // width, step, none)
    return jax.tree.map(lambda a: a.reshape(size, *a.shape[2:]), done)


def data_per_block(rows_each: int) -> int:
    """Return how many data to take together, each of so many decoder rows."""
    return max(ROWS // rows_each, 1)


def rows_per_block(n: int, rows_each: int = 1) -> int:
    """Return how many of ``n`` to take together, each of so many decoder rows, of ``ROWS`` at most.

    A divisor of n where one is near: what is left over would be compiled as a program of its own.
    """
    most = min(data_per_block(rows_each), n)
    divisor = next(k for k in range(most, 0, -1) if n % k == 0)
    return divisor if 2 * divisor >= most else most


def map_particles(value: Any, update: Any, start: Any, rows: Rows, num_particles: int) -> Any:
    """Fold ``update(total, values, counts)`` over chunks of particles for each datum.

    The last chunk is padded: ``counts`` is true for exactly ``num_particles`` values in all.
    """
    chunk = min(num_particles, ROWS)
    chunks = -(-num_particles // chunk)

    def one_datum(key: jax.Array, datum: Any) -> Any:
        def one_chunk(total: Any, i: jax.Array) -> tuple[Any, None]:
            index = i * chunk + jnp.arange(chunk)
            particle_keys = jax.vmap(partial(jax.random.fold_in, key))(index)
            values = jax.vmap(value, in_axes=(0, None))(particle_keys, datum)
            return update(total, values, index < num_particles), None

        return jax.lax.scan(one_chunk, start, jnp.arange(chunks))[0]

    together = data_per_block(num_particles)
    return map_rows(one_datum, rows, rows.keys, rows.data, at_a_time=together)


def run_in_blocks(
    run: Callable[[Rows], Any], data: Any, rng_key: RngKey, num_particles: int, progress: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Call a compiled program that takes ``num_particles`` for each datum on blocks of data."""
    at_most = power_of_two(BLOCK // num_particles)
    first, second = map_blocks(run, data, rng_key, at_most=at_most, progress=progress)
    return first.astype(np.float64), second.astype(np.float64)
