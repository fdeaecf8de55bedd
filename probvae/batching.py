"""Rows of data in blocks of a few sizes, and the map over rows that compiled programs use.

JAX compiles a program for each shape that it meets and never frees it. So data enter compiled programs
in blocks whose sizes are powers of two. Copies of the last row fill up the last block, and ``map_rows``
skips them.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from probvae.compilation import trace_once
from probvae.typing import ArrayLike, PyTree, RngKey

# Few enough decoder rows to bound memory, and to stay in the processor's cache (10 % less time).
ROWS = 1_250  # decoder rows at a time
MAX_BLOCK = 1024  # rows of a block where each is one decoder row

Progress: TypeAlias = Callable[[list], Iterable]  # a bar around a list


class Rows(NamedTuple):
    """A block of rows, as a compiled program receives it: ``data`` ``(size, ...)``.

    The first ``count`` rows are data. The others are copies of the last one. ``index`` ``(size,)``
    holds the place of each row among all rows.
    """

    data: PyTree
    index: Any
    count: Any  # an integer, which is traced inside a program
    rng_key: Any = None

    @property
    def keys(self) -> jax.Array:
        """A key for each row. It does not depend on the rest of the batch."""
        return fold_keys(self.rng_key, self.index)


def fold_keys(rng_key: RngKey, index: ArrayLike) -> jax.Array:
    """Return ``fold_in(rng_key, i)`` for each i of an index."""
    return jax.vmap(partial(jax.random.fold_in, rng_key))(index)


def power_of_two(n: int) -> int:
    """Return the largest power of two that is at most ``n``, and 1 for ``n`` below 1."""
    return 1 << (max(n, 1).bit_length() - 1)


def is_traced(tree: PyTree) -> bool:
    """Return whether an array of a tree is traced, as inside your own ``jit``."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def num_rows(data: PyTree) -> int:
    """Return the number of rows of a tree of arrays."""
    return len(jax.tree.leaves(data)[0])


def all_rows(data: PyTree, rng_key: RngKey | None = None) -> Rows:
    """Return all rows as one block. Use it for traced arrays, which cannot be filled up."""
    n = num_rows(data)
    return Rows(data, np.arange(n, dtype=np.int32), n, rng_key)


def split_blocks(
    data: PyTree, rng_key: RngKey | None = None, at_most: int | None = None
) -> list[Callable[[], Rows]]:
    """Return one function for each block of ``data``, in order. Call it to get the block.

    Each block has ``at_most`` rows. If all data fit in one smaller block, its size is the next power of
    two. NumPy cuts the arrays, so that nothing compiles here.

    Args:
        data: a tree of arrays with one row per datum.
        rng_key: the key that the keys of the rows are derived from.
        at_most: the rows of a block, a power of two. The default is ``MAX_BLOCK``.
    """
    n = num_rows(data)
    size = min(power_of_two(2 * n - 1), at_most or MAX_BLOCK)

    def cut_block(start: int) -> Rows:
        index = np.minimum(np.arange(start, start + size, dtype=np.int32), n - 1)
        rows = jax.tree.map(lambda a: np.asarray(a)[index], data)
        return Rows(rows, index, np.int32(min(size, n - start)), rng_key)

    return [partial(cut_block, start) for start in range(0, n, size)]


def map_blocks(
    run: Callable[[Rows], PyTree],
    data: PyTree,
    rng_key: RngKey | None = None,
    *,
    at_most: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """Call a compiled program on each block. Return the results of all rows as NumPy arrays.

    Args:
        run: the program, from ``Rows`` to a tree of arrays with one row per datum.
        data: a tree of arrays with one row per datum.
        rng_key: the key that the keys of the rows are derived from.
        at_most: the rows of a block, as in ``split_blocks``.
        progress: a bar around the list of blocks.
    """
    parts = []
    blocks = split_blocks(data, rng_key, at_most)
    for cut_block in progress(blocks) if progress else blocks:
        rows = cut_block()
        result = jax.device_get(run(rows))
        parts.append(jax.tree.map(lambda a: a[: rows.count], result))  # noqa: B023
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts) if len(parts) > 1 else parts[0]


def map_rows(function: Callable[[RngKey, Any], Any], rows: Rows, *, batch_size: int) -> Any:
    """Return ``function(key, datum)`` of each row of a block, inside a compiled program.

    It does what ``jax.lax.map`` does with a ``batch_size``, but skips the copies at the end of the
    block. Their results are zeros.

    Args:
        function: from the key and the datum of one row to a tree of arrays.
        rows: the block.
        batch_size: the largest number of rows that run together, by ``vmap``.
    """
    arrays = rows.keys, rows.data
    size = num_rows(arrays)
    width = power_of_two(min(batch_size, size))
    if size % width:  # traced rows, which come in any number
        return jax.lax.map(lambda row: function(*row), arrays, batch_size=width)

    # ``lax.map`` would run all chunks. A loop whose end is traced stops after the last chunk with data,
    # so that one compiled program serves every number of rows at the price of that number.
    chunks = jax.tree.map(lambda a: a.reshape(size // width, width, *a.shape[1:]), arrays)
    call_function = trace_once(jax.vmap(function))

    def run_chunk(i: Any) -> Any:
        return call_function(*jax.tree.map(lambda a: a[i], chunks))

    def step(i: jax.Array, results: Any) -> Any:
        return jax.tree.map(lambda a, new: a.at[i].set(new), results, run_chunk(i))

    shapes = jax.eval_shape(run_chunk, 0)
    zeros = jax.tree.map(lambda a: jnp.zeros((size // width, *a.shape), a.dtype), shapes)
    results = jax.lax.fori_loop(0, (rows.count + width - 1) // width, step, zeros)
    return jax.tree.map(lambda a: a.reshape(size, *a.shape[2:]), results)


def map_arrays(function: Callable[..., Any], *arrays: PyTree, rows_each: int = 1) -> Any:
    """Return ``function(*row)`` of each row of trees of arrays, where none is a copy.

    Args:
        function: from one row of each tree to a tree of arrays.
        arrays: trees of arrays with as many rows each.
        rows_each: the decoder rows that one call needs. At most ``ROWS`` of them run together.
    """
    batch_size = rows_per_block(num_rows(arrays), rows_each)
    return jax.lax.map(lambda row: function(*row), arrays, batch_size=batch_size)


def data_per_block(rows_each: int) -> int:
    """Return how many data run together if each needs ``rows_each`` decoder rows."""
    return max(ROWS // rows_each, 1)


def rows_per_block(n: int, rows_each: int = 1) -> int:
    """Return how many of ``n`` rows run together if each needs ``rows_each`` decoder rows.

    This is a divisor of ``n`` where one is near: JAX would compile a second program for a remainder.
    """
    most = min(data_per_block(rows_each), n)
    divisor = next(k for k in range(most, 0, -1) if n % k == 0)
    return divisor if 2 * divisor >= most else most


def fold_particles(
    draw: Callable[[RngKey, Any], Any],
    update: Callable[[Any, Any, jax.Array], Any],
    start: Any,
    rows: Rows,
    num_particles: int,
) -> Any:
    """Fold ``total = update(total, values, counts)`` over chunks of particles, for each datum.

    Args:
        draw: from the key of a particle and a datum to the value of the particle.
        update: from the total, the values of a chunk and ``counts`` ``(chunk,)`` to the new total. The
            last chunk is padded: ``counts`` is true for exactly ``num_particles`` values in all.
        start: the first total.
        rows: a block of data.
        num_particles: the particles of each datum.
    """
    chunk = min(num_particles, ROWS)
    num_chunks = -(-num_particles // chunk)

    def fold_datum(key: RngKey, datum: Any) -> Any:
        def fold_chunk(total: Any, i: jax.Array) -> tuple[Any, None]:
            index = i * chunk + jnp.arange(chunk)
            values = jax.vmap(draw, in_axes=(0, None))(fold_keys(key, index), datum)
            return update(total, values, index < num_particles), None

        return jax.lax.scan(fold_chunk, start, jnp.arange(num_chunks))[0]

    return map_rows(fold_datum, rows, batch_size=data_per_block(num_particles))
