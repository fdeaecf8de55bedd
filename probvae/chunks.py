"""How much a compiled program takes at a time: memory is bounded, whatever the data and particles."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from probvae.typing import Params, RngKey

ROWS = 1_250  # decoder rows at a time: bounds memory; few enough to stay in the cache (10 % less time)
BLOCK = 400_000  # decoder rows between two reports of progress


def data_at_a_time(rows_each: int) -> int:
    """Return how many data to take together, each of so many decoder rows."""
    return max(ROWS // rows_each, 1)


def at_a_time(n: int, rows_each: int = 1) -> int:
    """Return how many of ``n`` to take together, each of so many decoder rows, of ``ROWS`` at most.

    A divisor of n where one is near: what is left over would be compiled as a program of its own.
    """
    most = min(data_at_a_time(rows_each), n)
    whole = next(k for k in range(most, 0, -1) if n % k == 0)
    return whole if 2 * whole >= most else most


def over_particles(
    value: Any,
    update: Any,
    start: Any,
    neutral: float,
    keys: jax.Array,
    data: Any,
    num_particles: int,
) -> Any:
    """Fold ``update`` over chunks of particles for each datum; exactly ``num_particles`` count."""
    chunk = min(num_particles, ROWS)
    chunks = -(-num_particles // chunk)

    def one_datum(key: jax.Array, datum: Any) -> Any:
        def one_chunk(total: Any, i: jax.Array) -> tuple[Any, None]:
            index = i * chunk + jnp.arange(chunk)
            particle_keys = jax.vmap(partial(jax.random.fold_in, key))(index)
            values = jax.vmap(value, in_axes=(0, None))(particle_keys, datum)
            return update(total, jnp.where(index < num_particles, values, neutral)), None

        return jax.lax.scan(one_chunk, start, jnp.arange(chunks))[0]

    together = data_at_a_time(num_particles)
    return jax.lax.map(lambda row: one_datum(*row), (keys, data), batch_size=together)


def in_blocks(
    run: Any, params: Params, data: Any, rng_key: RngKey, num_particles: int, progress: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Call a compiled program on blocks of equal size, the last one padded."""
    n = len(jax.tree.leaves(data)[0])
    block = _block_size(n, num_particles)
    starts = range(0, n, block)
    results = []
    for start in progress(starts) if progress else starts:
        index = np.minimum(np.arange(start, start + block), n - 1)
        keys = jax.vmap(partial(jax.random.fold_in, rng_key))(index)
        rows = jax.tree.map(lambda a: jnp.asarray(a[index]), data)  # noqa: B023
        results.append(jax.device_get(run(params, keys, rows)))
    first, second = (
        np.concatenate(parts)[:n].astype(np.float64) for parts in zip(*results, strict=True)
    )
    return first, second


def _block_size(n: int, num_particles: int) -> int:
    """Return how many data to take between reports, shared out so that little is padded."""
    together = data_at_a_time(num_particles)
    blocks = -(-n * num_particles // max(BLOCK, num_particles * together))
    return min(n, together * -(-n // (blocks * together)))
